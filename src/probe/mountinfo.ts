// Knows mount tables: /proc/PID/mountinfo, line by line.

import {closeSync, openSync} from 'node:fs';
import {byteText} from '../model/byte-text.ts';
import type {Mount, Seen} from '../model/fact.ts';
import {isRefusal} from '../model/fact.ts';
import {readBytes, readLink, readText, refusalOf} from './proc-file.ts';

/** `\040` and the like: space, tab, newline, backslash and `#` are octal in mountinfo (mangle(), fs/proc_namespace.c). */
export function decodeOctal(text: string): string {
  return text.includes('\\')
    ? text.replaceAll(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)))
    : text;
}

/**
 * Most lines of a table end alike: each end is taken apart once, and what comes of it is shared. Bounded, since the texts are the kernel's,
 * but of mounts that anybody may make.
 */
const KEPT = 1000;

/** `major:minor`, as native/nsview.h numbers devices. */
export function deviceNumber(device: string): bigint {
  const [major = '0', minor = '0'] = device.split(':');
  return (BigInt(major) << 32n) | BigInt(minor);
}

const OPTIONAL: {readonly [tag: string]: 'shared' | 'master' | 'propagateFrom'} = {
  shared: 'shared',
  master: 'master',
  propagate_from: 'propagateFrom',
};
const PRIVATE: Mount['propagation'] = {};

/** Of the optional fields. */
function propagationOf(fields: readonly string[]): Mount['propagation'] {
  if (fields.length === 0) return PRIVATE;
  const propagation: {shared?: number; master?: number; propagateFrom?: number; unbindable?: true} = {};
  for (const field of fields) {
    const colon = field.indexOf(':');
    const name = OPTIONAL[colon < 0 ? '' : field.slice(0, colon)];
    const value = Number(field.slice(colon + 1));
    if (name !== undefined && Number.isInteger(value)) propagation[name] = value;
    else if (field === 'unbindable') propagation.unbindable = true;
  }
  return propagation;
}

/** What a line says after the mount point. */
type End = Pick<Mount, 'options' | 'propagation' | 'fsType' | 'source' | 'superOptions'> & {readonly text: string};

const optionsOf = (text: string): readonly string[] => text.split(',').map(decodeOctal);

function readEnd(text: string): End | null {
  const [options = '', ...fields] = text.split(' ');
  // Any number of optional fields, and then a single dash.
  const dash = fields.indexOf('-');
  if (dash < 0) return null;
  const [fsType = '', source = '', superOptions = ''] = fields.slice(dash + 1);
  return {
    text,
    options: optionsOf(options),
    propagation: propagationOf(fields.slice(0, dash)),
    fsType: decodeOctal(fsType),
    source: decodeOctal(source),
    superOptions: optionsOf(superOptions),
  };
}

const ends = new Map<string, End | null>();

function endOf(text: string): End | null {
  const known = ends.get(text);
  if (known !== undefined) return known;
  if (ends.size > KEPT) ends.clear();
  // A copy: a part of a table keeps the whole table in memory.
  const plain = Buffer.from(text).toString();
  // What was not UTF-8 would be lost in it.
  const copy = plain === text ? plain : Buffer.from(text, 'utf16le').toString('utf16le');
  const end = readEnd(copy);
  ends.set(copy, end);
  return end;
}

/** What a line says between the mount's id and its point: the parent's id, the device, the root. */
type Middle = Pick<Mount, 'parent' | 'device' | 'root'> & {readonly text: string};

function readMiddle(text: string): Middle | null {
  const [parent = '', device, root] = text.split(' ');
  if (device === undefined || root === undefined || !/^\d+$/.test(parent)) return null;
  return {text, parent: Number(parent), device, root: decodeOctal(root)};
}

const SPACE = 0x20;

/** The number that stands between, or -1 where something else does. */
function digits(text: string, from: number, to: number): number {
  let value = from < to ? 0 : -1;
  for (let at = from; at < to; at++) {
    const digit = text.charCodeAt(at) - 0x30;
    if (digit < 0 || digit > 9) return -1;
    value = value * 10 + digit;
  }
  return value;
}

/**
 * The mounts of a table (proc_pid_mountinfo(5)). A line that cannot be read is skipped, for a kernel that changed. Tables of thousands of
 * mounts are read while somebody waits for the screen, and a line often differs from the one before in its id and its point alone: the rest is
 * compared, and taken apart only where it is another.
 */
export function decodeMountinfo(text: string): Mount[] {
  const mounts: Mount[] = [];
  // Not includes(): V8 takes that for an arithmetic of the text, and moves it into the loop, where it searches the whole table for each line.
  const isPlain = !/\\/.test(text);
  let middle: Middle | null = null;
  let end: End | null = null;
  for (let from = 0, to = 0; from < text.length; from = to + 1) {
    to = text.indexOf('\n', from);
    if (to < 0) to = text.length;
    const idEnd = text.indexOf(' ', from);
    const id = idEnd < 0 || idEnd > to ? -1 : digits(text, from, idEnd);
    if (id < 0) continue;
    let rootEnd: number = middle === null ? -1 : idEnd + 1 + middle.text.length;
    // A part of a string is a view of it: to make one and compare it takes less than startsWith() does.
    if (middle === null || text.charCodeAt(rootEnd) !== SPACE || text.slice(idEnd + 1, rootEnd) !== middle.text) {
      const parentEnd = text.indexOf(' ', idEnd + 1);
      const deviceEnd = parentEnd < 0 ? -1 : text.indexOf(' ', parentEnd + 1);
      rootEnd = deviceEnd < 0 ? -1 : text.indexOf(' ', deviceEnd + 1);
      middle = rootEnd < 0 || rootEnd > to ? null : readMiddle(text.slice(idEnd + 1, rootEnd));
    }
    const pointEnd = text.indexOf(' ', rootEnd + 1);
    if (middle === null || pointEnd < 0 || pointEnd > to) continue;
    const rest = text.slice(pointEnd + 1, to);
    if (rest !== end?.text) end = endOf(rest);
    if (end === null) continue;
    const point = text.slice(rootEnd + 1, pointEnd);
    mounts.push({
      id,
      parent: middle.parent,
      device: middle.device,
      root: middle.root,
      point: isPlain ? point : decodeOctal(point),
      options: end.options,
      propagation: end.propagation,
      fsType: end.fsType,
      source: end.source,
      superOptions: end.superOptions,
    });
  }
  return mounts;
}

/** Of the bytes of a table: names need not be UTF-8, and two that are not stay two. */
export const decodeTable = (table: Uint8Array): Mount[] => decodeMountinfo(byteText(table));

/** The raw table, to compare cheaply with an earlier one. */
export function readMountinfo(pid: number | 'self'): Seen<Buffer> {
  return readBytes(`/proc/${pid}/mountinfo`);
}

export function readMounts(pid: number | 'self'): Seen<Mount[]> {
  const table = readMountinfo(pid);
  return isRefusal(table) ? table : decodeTable(table);
}

/** Of open(2), the same on every architecture that nsview runs on. */
const O_PATH = 0o10000000;

/**
 * The id of the mount that a path is on, and the path without links, as the kernel resolves it: of an O_PATH fd, which opens nothing, triggers no
 * automount, and asks no server for what is the root of a mount (open(2)).
 */
export function placeOf(path: string): Seen<{readonly id: number; readonly path: string}> {
  let fd: number;
  try {
    fd = openSync(path, O_PATH);
  } catch (error) {
    return refusalOf(error, 'open');
  }
  const info = readText(`/proc/self/fdinfo/${fd}`);
  const whole = readLink(`/proc/self/fd/${fd}`);
  closeSync(fd);
  if (isRefusal(info)) return info;
  const id = /^mnt_id:\s*(\d+)$/m.exec(info)?.[1];
  return id === undefined ? {errno: 'ENODATA', during: 'read fdinfo'} : {id: Number(id), path: isRefusal(whole) ? path : whole};
}

export function mountIdOf(path: string): Seen<number> {
  const place = placeOf(path);
  return isRefusal(place) ? place : place.id;
}
