// Knows how to have a network namespace asked by netlink without entering it.

import {isRefusal, type Refusal, type Seen} from '../model/fact.ts';
import {errnoName} from './errno.ts';
import {loadNative} from './native.ts';
import {decodeLinks, type LinkMessage} from './netlink.ts';

/** Bytes of a dump: as many as most need, and at most. */
const DUMPED = {first: 1 << 20, most: 1 << 24};

const STAGES = ['open', 'setns', 'socket'];
let dumped = Buffer.alloc(DUMPED.first);
export const stage = new Int32Array(1);
const LINKS = 0;
export const ADDRESSES = 1;
export const ROUTES = 2;
export const UNIX = 3;
export const SETTINGS = 4;
export const LISTENERS = {tcp: 5, tcp6: 6, udp: 7, udp6: 8, udplite: 9, udplite6: 10} as const;
export const RULES = 11;
export const TABLES = 12;
export const HOPS = 13;

const refusedAt = (result: number, type: number): Refusal => ({
  errno: errnoName(-result),
  during:
    STAGES[stage[0] ?? 0] ??
    (type === UNIX || (type >= LISTENERS.tcp && type <= LISTENERS.udplite6) ? 'sock_diag' : type === TABLES ? 'nf_tables' : 'rtnetlink'),
});

/** What does not fit is left out. */
export const isCut = (bytes: Buffer): boolean => bytes.length > dumped.length - 65536;

/** `path` is of the namespace: /proc/PID/ns/net. The answer is good until the next dump. */
export function dump(path: string, type: number): Seen<Buffer> {
  for (;;) {
    const size = loadNative().networkDump(path, type, dumped, dumped.length, stage);
    if (size < 0) return refusedAt(size, type);
    const bytes = dumped.subarray(0, size);
    if (!isCut(bytes) || dumped.length >= DUMPED.most) return bytes;
    dumped = Buffer.alloc(4 * dumped.length);
  }
}

export function linksAt(path: string, cut: string[] = []): Seen<LinkMessage[]> {
  const bytes = dump(path, LINKS);
  if (isRefusal(bytes)) return bytes;
  if (isCut(bytes)) cut.push('interfaces');
  return decodeLinks(bytes);
}
