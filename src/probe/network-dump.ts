// Knows how to have a network namespace asked by netlink without entering it.

import {isRefusal, type Refusal, type Seen} from '../model/fact.ts';
import {errnoName} from './errno.ts';
import {loadNative} from './native.ts';
import {decodeLinks, type LinkMessage} from './netlink.ts';

/** Bytes of a dump. */
const MOST_DUMPED = 1 << 20;

const STAGES = ['open', 'setns', 'socket'];
const dumped = Buffer.alloc(MOST_DUMPED);
export const stage = new Int32Array(1);
const LINKS = 0;
export const ADDRESSES = 1;
export const ROUTES = 2;
export const UNIX = 3;
export const SETTINGS = 4;
export const LISTENERS = {tcp: 5, tcp6: 6, udp: 7, udp6: 8, udplite: 9, udplite6: 10} as const;
export const RULES = 11;

const refusedAt = (result: number, type: number): Refusal => ({
  errno: errnoName(-result),
  during: STAGES[stage[0] ?? 0] ?? (type === UNIX || (type >= LISTENERS.tcp && type <= LISTENERS.udplite6) ? 'sock_diag' : 'rtnetlink'),
});

/** `path` is of the namespace: /proc/PID/ns/net. The answer is good until the next dump. */
export function dump(path: string, type: number): Seen<Buffer> {
  const size = loadNative().networkDump(path, type, dumped, dumped.length, stage);
  return size < 0 ? refusedAt(size, type) : dumped.subarray(0, size);
}

/** What does not fit is left out. */
export const isCut = (bytes: Buffer): boolean => bytes.length > MOST_DUMPED - 65536;

export function linksAt(path: string): Seen<LinkMessage[]> {
  const bytes = dump(path, LINKS);
  return isRefusal(bytes) ? bytes : decodeLinks(bytes);
}
