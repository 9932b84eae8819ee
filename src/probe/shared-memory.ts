// Knows how to find memory that processes of different namespaces have mapped shared.

import {statSync} from 'node:fs';
import {isRefusal, type Seen} from '../model/fact.ts';
import type {SharedMapping, SharedMemory} from '../model/sharing.ts';
import {namespacesApart} from './apart.ts';
import {loadNative} from './native.ts';
import {isGone, readNumbers, readText} from './proc-file.ts';
import {readStat} from './process.ts';

/** Milliseconds of reading in one look: the maps of the others are read over several looks. */
const SLICE = 8;
/** Processes whose maps are read. */
const MOST_READ = 1024;
const MOST_MAPPINGS = 64;
const MOST_SHARERS = 32;

export type Mapping = {
  readonly file: string;
  readonly path: string;
  readonly bytes: number;
  readonly writes: boolean;
  /** The first of them, as /proc/PID/map_files has it. */
  readonly at: string;
};

/**
 * Files of perf_event_open(2), bpf(2) and others are all one inode (fs/anon_inodes.c): what each mapping leads to, its driver says. Those of
 * io_uring(7) have one each.
 */
const isOfDriver = (path: string): boolean => path.startsWith('anon_inode:') && path !== 'anon_inode:[io_uring]';

/**
 * A device is one inode too, whatever of it is mapped. Not all below /dev is one: a tmpfs may be there, and hugetlbfs has names such as
 * /dev/hugepages-1Gi. Where the kernel does not tell (proc_pid_map_files(5)), it is taken for one.
 */
export function isOfDevice(folder: string, {path, at}: Mapping): boolean {
  if (!path.startsWith('/dev/') || /^\/dev\/(shm\/|hugepages\/|zero \(deleted\)$)/.test(path)) return false;
  try {
    return !statSync(`${folder}/map_files/${at}`).isFile();
  } catch {
    return true;
  }
}

/** The shared mappings (`s`) of /proc/PID/maps (proc_pid_maps(5)), those of one file together. */
function decodeSharedMaps(text: string): Map<string, Mapping> {
  const mappings = new Map<string, Mapping>();
  for (let from = 0; from < text.length; ) {
    let end = text.indexOf('\n', from);
    if (end < 0) end = text.length;
    const space = text.indexOf(' ', from);
    if (text[space + 4] === 's') {
      // Of a path only newlines are escaped: any other character, a carriage return too, may be in it.
      const fields = /^([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ (\S+) ([0-9]+) *(.*)$/s.exec(text.slice(from, end));
      const [, low = '0', high = '0', flags = '', device = '', inode = '', path = ''] = fields ?? [];
      // The inode of a System V segment is its id, which counts in each ipc namespace from 0: one is told from another by its key too.
      const isSegment = path.startsWith('/SYSV');
      if (fields !== null && (isSegment || inode !== '0') && !isOfDriver(path)) {
        const key = `${device} ${inode} ${isSegment ? path : ''}`.trim();
        const known = mappings.get(key);
        const [begin, end] = [BigInt(`0x${low}`), BigInt(`0x${high}`)];
        const bytes = Number(end - begin) + (known?.bytes ?? 0);
        const at = known?.at ?? `${begin.toString(16)}-${end.toString(16)}`;
        mappings.set(key, {file: `${device} ${inode}`, path, bytes, writes: flags[1] === 'w' || known?.writes === true, at});
      }
    }
    from = end + 1;
  }
  return mappings;
}

/**
 * A segment stays attached when its process leaves the ipc namespace (shmat(2)); in two of them, ids and keys are those of two segments. Where the
 * kernel does not tell (proc_pid_map_files(5): CAP_CHECKPOINT_RESTORE), those of one namespace are the same.
 */
export function isSameSegment(folder: string, own: Mapping, other: string, theirs: Mapping, sameSpace: boolean): boolean {
  const same = loadNative().sameFile(`${folder}/map_files/${own.at}`, `${other}/map_files/${theirs.at}`);
  return same < 0 ? sameSpace : same === 1;
}

/** `folder` is that of the task in /proc that has it. */
type Mapped = {readonly folder: string; readonly maps: ReadonlyMap<string, Mapping>};

/** What a process has mapped shared: of its leader, or of a thread that goes on without it, since who has ended has no memory. */
export function readSharedMaps(pid: number): Seen<Mapped> {
  const text = readText(`/proc/${pid}/maps`);
  if (isRefusal(text)) return text;
  const tids = text === '' ? readNumbers(`/proc/${pid}/task`) : [];
  for (const tid of isRefusal(tids) ? [] : tids) {
    const folder = `/proc/${pid}/task/${tid}`;
    const found = tid === pid ? '' : readText(`${folder}/maps`);
    if (!isRefusal(found) && found !== '') return {folder, maps: decodeSharedMaps(found)};
  }
  return {folder: `/proc/${pid}`, maps: decodeSharedMaps(text)};
}

/** The scan of the process that is looked at: which others have been read so far, and what they map of all that is shared. */
let scan: {of: string; total: number; queue: number[]; read: Map<number, Mapped | null>} = {
  of: '',
  total: 0,
  queue: [],
  read: new Map(),
};

function goOn(of: string, pid: number): void {
  if (scan.of !== of) scan = {of, total: 0, queue: [], read: new Map()};
  if (scan.queue.length === 0) {
    const all = readNumbers('/proc');
    const pids = (isRefusal(all) ? [] : all).filter(other => other !== pid);
    scan.total = pids.length;
    // Relatives have near pids.
    scan.queue = pids
      .sort((a, b) => Math.abs(a - pid) - Math.abs(b - pid))
      .slice(0, MOST_READ)
      .reverse();
    const there = new Set(scan.queue);
    for (const known of scan.read.keys()) if (!there.has(known)) scan.read.delete(known);
  }
  for (const until = performance.now() + SLICE; scan.queue.length > 0 && performance.now() < until; ) {
    const other = scan.queue.pop() ?? 0;
    const found = readSharedMaps(other);
    if (!isRefusal(found)) scan.read.set(other, found);
    else if (isGone(found)) scan.read.delete(other);
    else scan.read.set(other, null);
  }
}

/** One look: what is known by now. */
export function readSharedMemory(folder: string, pid: number, start: string): Seen<SharedMemory> {
  const text = readText(`${folder}/maps`);
  if (isRefusal(text)) return text;
  const own = decodeSharedMaps(text);
  if (own.size > 0) goOn(`${pid}@${start}`, pid);
  const read = own.size > 0 ? scan.read : new Map<number, Mapped | null>();
  const refused = [...read.values()].filter(mapped => mapped === null).length;
  const mappings: SharedMapping[] = [];
  const apartOf = new Map<number, ReturnType<typeof namespacesApart>>();
  for (const [key, mapping] of own) {
    const {file, path, bytes, writes} = mapping;
    if (mappings.length === MOST_MAPPINGS) break;
    let isDevice: boolean | null = null;
    const sharers: {pid: number; comm: string; writes: boolean; apart: ReturnType<typeof namespacesApart>}[] = [];
    for (const [other, mapped] of read) {
      const theirs = mapped?.maps.get(key);
      if (mapped === null || theirs === undefined || sharers.length === MOST_SHARERS) continue;
      const apart = apartOf.get(other) ?? namespacesApart(folder, mapped.folder);
      apartOf.set(other, apart);
      if (apart.length === 0) continue;
      isDevice ??= isOfDevice(folder, mapping);
      if (isDevice) break;
      if (path.startsWith('/SYSV') && !isSameSegment(folder, mapping, mapped.folder, theirs, !apart.includes('ipc'))) continue;
      const stat = readStat(other);
      if (!isRefusal(stat)) sharers.push({pid: other, comm: stat.comm, writes: theirs.writes, apart});
    }
    if (sharers.length > 0) mappings.push({path, file, bytes, writes, with: sharers.sort((a, b) => a.pid - b.pid)});
  }
  // What one may write and the other sees comes before what both only read.
  const telling = ({writes, with: others}: SharedMapping) => (writes || others.some(other => other.writes) ? 0 : 1);
  mappings.sort((a, b) => telling(a) - telling(b));
  return {mappings, read: read.size - refused, refused, left: own.size > 0 ? Math.max(0, scan.total - read.size) : 0};
}
