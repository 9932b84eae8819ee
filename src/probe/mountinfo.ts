// Knows mount tables: /proc/PID/mountinfo, line by line.

import type {Mount, Seen} from '../model/fact.ts';
import {isRefusal} from '../model/fact.ts';
import {readBytes} from './proc-file.ts';

/** `\040` and the like: space, tab, newline, backslash and `#` are octal in mountinfo (mangle(), fs/proc_namespace.c). */
export function decodeOctal(text: string): string {
  return text.includes('\\')
    ? text.replaceAll(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)))
    : text;
}

const OPTIONAL: {readonly [tag: string]: 'shared' | 'master' | 'propagateFrom'} = {
  shared: 'shared',
  master: 'master',
  propagate_from: 'propagateFrom',
};

/**
 * Most lines of a table say the same of options and propagation: each text is taken apart once, and what comes of it is shared. Bounded,
 * since the texts are the kernel's, but of mounts that anybody may make.
 */
function remembering<Value>(make: (text: string) => Value): (text: string) => Value {
  const made = new Map<string, Value>();
  return text => {
    let value = made.get(text);
    if (value === undefined) {
      if (made.size > 1000) made.clear();
      value = make(text);
      made.set(text, value);
    }
    return value;
  };
}

const optionsOf = remembering((text): readonly string[] => text.split(',').map(decodeOctal));

/** Of the optional fields, with spaces between. */
const propagationOf = remembering((text): Mount['propagation'] => {
  const propagation: {shared?: number; master?: number; propagateFrom?: number; unbindable?: true} = {};
  for (const field of text.split(' ')) {
    const colon = field.indexOf(':');
    const name = OPTIONAL[colon < 0 ? '' : field.slice(0, colon)];
    const value = Number(field.slice(colon + 1));
    if (name !== undefined && Number.isInteger(value)) propagation[name] = value;
    else if (field === 'unbindable') propagation.unbindable = true;
  }
  return propagation;
});
const PRIVATE: Mount['propagation'] = {};

const SPACE = 0x20;
const DASH = 0x2d;

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

/** Where the field that begins there ends: at a space, or at the end of the line. */
function fieldEnd(text: string, from: number, to: number): number {
  const space = from < to ? text.indexOf(' ', from) : -1;
  return space < 0 || space > to ? to : space;
}

/**
 * A line of the text, or null where it is none: a reader that lags behind a changing kernel skips what it cannot read. It goes from space to
 * space, since tables of thousands of mounts are read while somebody waits for the screen.
 */
function decodeLine(text: string, from: number, to: number): Mount | null {
  const idEnd = text.indexOf(' ', from);
  const parentEnd = text.indexOf(' ', idEnd + 1);
  if (idEnd < 0 || parentEnd < 0 || parentEnd > to) return null;
  const id = digits(text, from, idEnd);
  const parent = digits(text, idEnd + 1, parentEnd);
  if (id < 0 || parent < 0) return null;
  const deviceEnd = fieldEnd(text, parentEnd + 1, to);
  const rootEnd = fieldEnd(text, deviceEnd + 1, to);
  const pointEnd = fieldEnd(text, rootEnd + 1, to);
  const optionsEnd = fieldEnd(text, pointEnd + 1, to);
  // Any number of optional fields, and then a single dash.
  let dash = optionsEnd + 1;
  while (dash < to && !(text.charCodeAt(dash) === DASH && (dash + 1 === to || text.charCodeAt(dash + 1) === SPACE)))
    dash = fieldEnd(text, dash, to) + 1;
  if (dash >= to) return null;
  const typeEnd = fieldEnd(text, dash + 2, to);
  const sourceEnd = fieldEnd(text, typeEnd + 1, to);
  return {
    id,
    parent,
    device: text.slice(parentEnd + 1, deviceEnd),
    root: decodeOctal(text.slice(deviceEnd + 1, rootEnd)),
    point: decodeOctal(text.slice(rootEnd + 1, pointEnd)),
    options: optionsOf(text.slice(pointEnd + 1, optionsEnd)),
    propagation: dash === optionsEnd + 1 ? PRIVATE : propagationOf(text.slice(optionsEnd + 1, dash - 1)),
    fsType: decodeOctal(text.slice(dash + 2, typeEnd)),
    source: decodeOctal(text.slice(typeEnd + 1, sourceEnd)),
    superOptions: optionsOf(text.slice(sourceEnd + 1, fieldEnd(text, sourceEnd + 1, to))),
  };
}

export function decodeMountinfo(text: string): Mount[] {
  const mounts: Mount[] = [];
  for (let from = 0; from < text.length; ) {
    const newline = text.indexOf('\n', from);
    const to = newline < 0 ? text.length : newline;
    const mount = decodeLine(text, from, to);
    if (mount !== null) mounts.push(mount);
    from = to + 1;
  }
  return mounts;
}

/** The raw table, to compare cheaply with an earlier one. */
export function readMountinfo(pid: number | 'self'): Seen<Buffer> {
  return readBytes(`/proc/${pid}/mountinfo`);
}

export function readMounts(pid: number | 'self'): Seen<Mount[]> {
  const bytes = readMountinfo(pid);
  return isRefusal(bytes) ? bytes : decodeMountinfo(bytes.toString());
}
