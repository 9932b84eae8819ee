// Knows how to read all processes of a machine fast: native threads read ahead, and what most processes have alike is decoded once.

import type {CgroupPath, Ids, NamespaceLinks, ProcessSeen, Refusal, Seen} from '../model/fact.ts';
import {isRefusal} from '../model/fact.ts';
import type {Credentials} from '../model/identity.ts';
import {NAMESPACE_LINKS, type NamespaceLink} from '../model/namespace.ts';
import {errnoName} from './errno.ts';
import {decodeHolds, FDS, type Held, SOCKETS} from './holders.ts';
import {loadNative} from './native.ts';
import {decodeCgroup, decodeCmdline, decodeCredentials, decodeStatus, readProcess, readStat, readThreads} from './process.ts';
import {PROCESS_LAYOUT} from './record.ts';

const [SIZE, START, LINKS, ROW_SIZE, PID, PPID, HOW, STATE, STATUS, SHARED, ARGV, EXE, CGROUP, COMM, HOLDS, HOLDS_AT, THREADS, THREADS_AT] =
  PROCESS_LAYOUT;
/** struct nsv_thread: its size, and how long its name is and where. */
const THREAD = {size: 24, length: 4, comm: 8} as const;
/** enum nsv_process_how. */
const IS = {whole: 0, gone: 1, threads: 2, odd: 3} as const;
const BY_READ = 1 << 16;
/** A batch is never larger. */
const BATCH_BYTES = 1 << 20;

/** `fds`: what it has open that keeps a namespace; null where that was not asked for or is to be read otherwise. */
export type ProcessRead = {readonly seen: ProcessSeen; readonly fds: readonly Held[] | null};

const refusal = (code: number, during: 'open' | 'readlink'): Refusal => ({
  errno: errnoName(-code & ~BY_READ),
  during: (-code & BY_READ) !== 0 ? 'read' : during,
});

/** The same value for the same text: most processes have most of this alike, and the memory for one of each is enough. */
function interned<Value>(decode: (text: string) => Value): (text: string) => Value {
  const known = new Map<string, Value>();
  return text => {
    let value = known.get(text);
    if (value === undefined) {
      value = decode(text);
      known.set(text, value);
    }
    return value;
  };
}

type Shared = {readonly uids: Seen<Ids>; readonly gids: Seen<Ids>; readonly credentials: Credentials};

function createDecoder() {
  const shared = interned((text): Shared => {
    const {uids, gids} = decodeStatus(text);
    return {uids, gids, credentials: decodeCredentials(text)};
  });
  const nspids = interned(text => decodeStatus(text).nspid);
  const cgroups = interned((text): readonly CgroupPath[] => decodeCgroup(text));
  const argvs = interned(decodeCmdline);
  const same = interned(text => text);
  const inode = interned(text => text);
  const links = interned((bytes): NamespaceLinks => {
    const numbers = Buffer.from(bytes, 'latin1');
    const namespaces: {[link in NamespaceLink]?: Seen<string>} = {};
    for (const [index, link] of NAMESPACE_LINKS.entries()) {
      const number = numbers.readBigInt64LE(index * 8);
      const isMalformed = number < 0 && errnoName(Number(-number)) === 'EBADMSG';
      namespaces[link] =
        number >= 0
          ? inode(String(number))
          : isMalformed
            ? {errno: 'EBADMSG', during: 'decode ns link'}
            : refusal(Number(number), 'readlink');
    }
    return namespaces as NamespaceLinks;
  });
  const holds = new BigInt64Array(BATCH_BYTES / 8);
  const holdBytes = Buffer.from(holds.buffer);

  /** The process at `at`; null: it has to be read otherwise, or is gone. */
  return (bytes: Buffer, at: number): ProcessRead | null => {
    let text = at + SIZE;
    const length = (field: number) => bytes.readInt32LE(at + field);
    const take = (field: number): Seen<string> => {
      const size = length(field);
      if (size < 0) return refusal(size, field === EXE ? 'readlink' : 'open');
      text += size;
      return bytes.toString('utf8', text - size, text);
    };
    const status = length(STATUS);
    const ids = status < 0 ? refusal(status, 'open') : shared(bytes.toString('latin1', text, text + length(SHARED)));
    const nspid = status < 0 ? refusal(status, 'open') : nspids(bytes.toString('latin1', text + length(SHARED), text + status));
    if (status > 0) text += status;
    const argv = take(ARGV);
    const exe = take(EXE);
    const cgroup = take(CGROUP);
    const count = length(HOLDS);
    let fds: Held[] = [];
    if (count > 0) {
      const from = at + length(HOLDS_AT);
      text = from + count * 32;
      bytes.copy(holdBytes, 0, from, text);
      fds = decodeHolds(holds, 0, count);
    } else if (length(HOLDS_AT) > 0) text = at + length(HOLDS_AT);
    const pid = length(PID);
    const namespaces = links(bytes.toString('latin1', at + LINKS, at + LINKS + 80));
    const start = String(bytes.readBigUInt64LE(at + START));
    const isApart = bytes[at + HOW] === IS.threads;
    const threads = isApart ? readThreads(pid, namespaces) : [];
    const alike = isApart ? 0 : length(THREADS);
    if (length(THREADS_AT) > 0) text = at + length(THREADS_AT);
    for (let index = 0; index < alike; index++, text += THREAD.size) {
      const from = text + THREAD.comm;
      const comm = same(bytes.toString('utf8', from, from + bytes.readInt32LE(text + THREAD.length)));
      threads.push({tid: bytes.readInt32LE(text), comm});
    }
    if (isApart) {
      const again = readStat(pid);
      if (isRefusal(again) || again.start !== start) return null;
    }
    const seen: ProcessSeen = {
      pid,
      start,
      ppid: length(PPID),
      state: same(String.fromCharCode(bytes[at + STATE] ?? 0)),
      comm: same(bytes.toString('utf8', text, text + length(COMM))),
      argv: isRefusal(argv) ? argv : argvs(argv),
      exe: isRefusal(exe) ? exe : same(exe),
      nspid,
      uids: isRefusal(ids) ? ids : ids.uids,
      gids: isRefusal(ids) ? ids : ids.gids,
      credentials: isRefusal(ids) ? ids : ids.credentials,
      threads,
      namespaces,
      cgroup: isRefusal(cgroup) ? cgroup : cgroups(cgroup),
    };
    return {seen, fds};
  };
}

/** Each of these processes that is there, as readProcess has it, and what it has open if `fds`. */
export function readAll(pids: readonly number[], fds: boolean): ProcessRead[] {
  const native = loadNative();
  const all: ProcessRead[] = [];
  const byItself = (pid: number) => {
    const seen = readProcess(pid, {credentials: true});
    if (!isRefusal(seen)) all.push({seen, fds: null});
  };
  if (native.readBegin(Int32Array.from(pids), pids.length, fds ? FDS | SOCKETS : 0) < 0) {
    for (const pid of pids) byItself(pid);
    return all;
  }
  const own: number[] = [];
  try {
    const decode = createDecoder();
    const bytes = Buffer.allocUnsafe(BATCH_BYTES);
    for (let used = native.readNext(bytes, bytes.length); used > 0; used = native.readNext(bytes, bytes.length))
      for (let at = 0; at < used; at += bytes.readUInt32LE(at + ROW_SIZE)) {
        const how = bytes[at + HOW];
        if (how === IS.gone) continue;
        const read = how === IS.odd ? null : decode(bytes, at);
        if (read === null) byItself(bytes.readInt32LE(at + PID));
        else {
          if (read.seen.pid === process.pid) own.push(all.length);
          all.push(fds ? read : {seen: read.seen, fds: null});
        }
      }
  } finally {
    native.readEnd();
  }
  // Without the threads that have read ahead.
  for (const index of own) {
    const seen = readProcess(process.pid, {credentials: true});
    const read = all[index];
    if (read !== undefined && !isRefusal(seen)) all[index] = {...read, seen};
  }
  return all;
}
