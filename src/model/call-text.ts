// Knows how a person reads a system call, whole or in little room. All of it is harmless to a terminal.

import {CAPABILITY, isString} from './call.ts';
import type {CallArgument, CallFact, CallResult} from './fact.ts';
import {cells, fitCells, printable} from './printable.ts';

/** In quotes, as in C: nothing in it can look like the end of it. */
const quoted = (text: string): string => `"${printable(text.replaceAll(/[\\"]/g, '\\$&'))}"`;

const capabilityNames: ReadonlySet<unknown> = new Set(CAPABILITY.map(([, name]) => name));

function listText(list: readonly (string | number)[]): string {
  if (list.some(item => typeof item === 'number')) return `[${list.map(item => printable(String(item))).join(', ')}]`;
  if (list.length === 0) return '0';
  // Most of the capabilities are easier told by those that are missing.
  if (list.length > capabilityNames.size / 2 && list.every(item => capabilityNames.has(item))) {
    const missing = CAPABILITY.filter(([, name]) => !list.includes(name)).map(([, name]) => name);
    return missing.length === 0 ? 'all' : `all but ${missing.join('|')}`;
  }
  return list.map(item => printable(String(item))).join('|');
}

type Structure = {readonly [name: string]: unknown};
const structureOf = (value: unknown): Structure | null =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Structure) : null;

/** An fd of setns, with what it leads to. `name` is that of the namespace, where it has one. */
function fdText({fd, namespace, pid}: Structure, name: string | null): string | null {
  if (typeof fd !== 'number') return null;
  if (typeof pid === 'number') return `${fd} (pid ${pid})`;
  const {type, inode} = structureOf(namespace) ?? {};
  if (typeof type !== 'string' || typeof inode !== 'string') return null;
  return `${fd} (${name ?? `${printable(type)}:[${printable(inode)}]`})`;
}

function argumentText(argument: CallArgument, isText: boolean, fdName: string | null): string {
  if (argument === null) return 'NULL';
  if (typeof argument === 'number') return String(argument);
  if (typeof argument === 'string') return isText ? quoted(argument) : printable(argument);
  // An address, and why what is there could not be read.
  const {errno, during} = argument as Structure;
  if (typeof errno === 'string' && typeof during === 'string') return `${printable(during.replace(/^read /, ''))} (${printable(errno)})`;
  if (Array.isArray(argument)) return listText(argument);
  const structure = argument as {readonly [name: string]: CallArgument};
  const fd = fdText(structure, fdName);
  if (fd !== null) return fd;
  const {address} = structure;
  if (typeof address === 'string') return printable(address);
  return `{${Object.entries(structure)
    .map(([name, value]) => `${printable(name)}=${argumentText(value, false, null)}`)
    .join(', ')}}`;
}

export type CallToTell = Pick<CallFact, 'name' | 'abi' | 'args' | 'cut' | 'result'>;

/** Its arguments in order, each with its name. `fdName` is the name of the namespace that the fd of setns leads to. */
export function argumentTexts(call: CallToTell, fdName: string | null): {readonly name: string; readonly text: string}[] {
  return Object.entries(call.args ?? {}).map(([name, value]) => {
    const isList = name === 'list' && Array.isArray(value) && value.length === 0;
    const text = isList ? '[]' : argumentText(value, isString(call.name, name), fdName);
    return {name: printable(name), text: call.cut?.includes(name) ? `${text}…` : text};
  });
}

export function resultText(result: CallResult): string {
  if (result === null) return '?';
  return typeof result === 'number' ? String(result) : `-1 ${printable(result.errno)}`;
}

/** With its ABI, where that is not the machine's own. */
export const callName = ({name, abi}: CallToTell): string => `${abi === undefined ? '' : `${abi} `}${printable(name)}`;

const SEPARATOR = ', ';
/** Less of an argument says nothing. */
const LEAST = 6;

/** So many cells for each at the most, so that all of them fit: the short ones stay whole. Null where none could say anything. */
function share(widths: readonly number[], room: number): number | null {
  const sorted = [...widths].sort((one, other) => one - other);
  let left = room;
  for (const [index, width] of sorted.entries()) {
    const each = Math.floor(left / (sorted.length - index));
    if (width > each) return each < LEAST ? null : each;
    left -= width;
  }
  return room < 0 ? null : room;
}

/** What is left out of a string is told behind its quotes. */
function shorten(text: string, width: number): string {
  if (cells(text) <= width) return text;
  return text.startsWith('"') ? fitCells(text, width - 1).replace(/…$/, '"…') : fitCells(text, width);
}

/** Arguments that say the least. */
const isEmpty = (text: string): boolean => ['NULL', '0', 'AT_FDCWD', '"none"', '[]'].includes(text);

function fitArguments(texts: readonly string[], room: number): string {
  const whole = texts.join(SEPARATOR);
  if (cells(whole) <= room) return whole;
  const telling = texts.filter(text => !isEmpty(text));
  // Where not all can say something, the first ones do.
  for (let count = telling.length; count > 0; count--) {
    const kept = count < texts.length ? [...telling.slice(0, count), '…'] : telling;
    const widths = kept.map(text => cells(text));
    const most = share(widths, room - SEPARATOR.length * (kept.length - 1));
    if (most !== null) return kept.map(text => shorten(text, most)).join(SEPARATOR);
  }
  return '…';
}

/** `mount("none", "/", NULL, MS_REC|MS_PRIVATE, NULL) = 0`, in so many cells if that can be: its arguments give way, never its result. */
export function callText(call: CallToTell, fdName: string | null = null, room = Number.POSITIVE_INFINITY): string {
  const [name, result] = [`${callName(call)}(`, `) = ${resultText(call.result)}`];
  const texts = call.args === null ? ['…'] : argumentTexts(call, fdName).map(({text}) => text);
  return `${name}${fitArguments(texts, room - cells(name) - cells(result))}${result}`;
}
