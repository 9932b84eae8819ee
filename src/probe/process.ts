// Knows how a process looks in /proc: each file's decoder beside its reader.

import type {Apart} from '../model/apart.ts';
import type {CgroupPath, Ids, NamespaceLinks, ProcessSeen, Refusal, Seen, ThreadSeen} from '../model/fact.ts';
import {isRefusal} from '../model/fact.ts';
import type {CapabilitySets, Credentials} from '../model/identity.ts';
import {NAMESPACE_LINKS, type NamespaceLink} from '../model/namespace.ts';
import {readObjectsApart} from './objects-apart.ts';
import {isGone, readLink, readNumbers, readText} from './proc-file.ts';

/** Fields of /proc/PID/stat (proc_pid_stat(5)). */
export type Stat = {
  readonly pid: number;
  readonly comm: string;
  readonly state: string;
  readonly ppid: number;
  /** PF_… of include/linux/sched.h. */
  readonly flags: number;
  readonly threads: number;
  /** Clock ticks after boot. */
  readonly start: string;
};

const malformed = (during: string): Refusal => ({errno: 'EBADMSG', during});

/** The name may hold anything, spaces and parentheses too: it ends at the last parenthesis. */
export function decodeStat(text: string): Seen<Stat> {
  const open = text.indexOf('(');
  const close = text.lastIndexOf(')');
  if (open < 0 || close < open) return malformed('decode stat');
  const fields = text.slice(close + 2).split(' ');
  const [state = '', ppid = '', , , , , flags = ''] = fields;
  const threads = fields[17] ?? '';
  const start = (fields[19] ?? '').trim();
  if (!/^[A-Za-z]$/.test(state) || !/^[0-9]+$/.test(start)) return malformed('decode stat');
  return {
    pid: Number.parseInt(text, 10),
    comm: text.slice(open + 1, close),
    state,
    ppid: Number(ppid),
    flags: Number(flags),
    threads: Number(threads),
    start,
  };
}

/** What nsview uses of /proc/PID/status (proc_pid_status(5)). */
export type Status = {
  readonly tgid: number;
  readonly tracerPid: number;
  readonly uids: Seen<Ids>;
  readonly gids: Seen<Ids>;
  readonly nspid: Seen<readonly number[]>;
  /** CapEff as the kernel prints it. */
  readonly capabilities: string;
};

function decodeIds(line: string | undefined): Seen<Ids> {
  const [real, effective, saved, fs] = (line ?? '').split('\t').map(Number);
  if (real === undefined || effective === undefined || saved === undefined || fs === undefined || Number.isNaN(fs))
    return malformed('decode status');
  return [real, effective, saved, fs];
}

/**
 * The value of a line of /proc/PID/status, by its key with the colon. The kernel escapes newlines in the name, so that no process can forge a
 * line (proc_task_name(), fs/proc/array.c); a carriage return, or another of what a regular expression takes for the end of a line, it does not.
 */
export function statusLine(text: string, key: string): string | undefined {
  const at = text.startsWith(key) ? 0 : text.indexOf(`\n${key}`) + 1;
  if (at === 0 && !text.startsWith(key)) return undefined;
  const from = at + key.length + 1;
  const end = text.indexOf('\n', from);
  return text.slice(from, end < 0 ? undefined : end);
}

export function decodeStatus(text: string): Status {
  const line = (key: string) => statusLine(text, key);
  const nspid = line('NSpid:')?.split('\t').map(Number);
  return {
    tgid: Number(line('Tgid:') ?? 0),
    tracerPid: Number(line('TracerPid:') ?? 0),
    uids: decodeIds(line('Uid:')),
    gids: decodeIds(line('Gid:')),
    nspid: nspid === undefined || nspid.some(Number.isNaN) ? malformed('decode status') : nspid,
    capabilities: line('CapEff:') ?? '0',
  };
}

/** What it may do, of the same file. Kernels before 4.10 and 5.9 do not tell no_new_privs and the number of filters. */
export function decodeCredentials(text: string): Credentials {
  const number = (key: string): number | null => {
    const line = statusLine(text, key);
    return line === undefined ? null : Number(line);
  };
  const set = (key: string): string => statusLine(text, key) ?? '0';
  const noNewPrivs = number('NoNewPrivs:');
  return {
    groups: (statusLine(text, 'Groups:') ?? '').split(' ').flatMap(word => (word === '' ? [] : [Number(word)])),
    capabilities: {
      effective: set('CapEff:'),
      permitted: set('CapPrm:'),
      inheritable: set('CapInh:'),
      bounding: set('CapBnd:'),
      ambient: set('CapAmb:'),
    },
    noNewPrivs: noNewPrivs === null ? null : noNewPrivs === 1,
    seccomp: number('Seccomp:'),
    filters: number('Seccomp_filters:'),
  };
}

/** argv as the process has it now: it may have written over it (proc_pid_cmdline(5)). */
export function decodeCmdline(text: string): string[] {
  if (text === '') return [];
  return (text.endsWith('\0') ? text.slice(0, -1) : text).split('\0');
}

/** Lines `hierarchy:controllers:path`; a path may hold colons (cgroups(7), /proc/PID/cgroup). */
export function decodeCgroup(text: string): CgroupPath[] {
  const paths: CgroupPath[] = [];
  for (const line of text.split('\n')) {
    const first = line.indexOf(':');
    const second = line.indexOf(':', first + 1);
    const hierarchy = Number(line.slice(0, first));
    if (first <= 0 || second < 0 || !Number.isInteger(hierarchy)) continue;
    const controllers = line.slice(first + 1, second);
    paths.push({hierarchy, controllers: controllers === '' ? [] : controllers.split(','), path: line.slice(second + 1)});
  }
  return paths;
}

/** `mnt:[4026531832]` → `4026531832` (proc_pid_ns(5)). */
export function decodeNamespaceLink(target: string): Seen<string> {
  const inode = /\[([0-9]+)\]$/.exec(target)?.[1];
  return inode ?? malformed('decode ns link');
}

/** All ten links of a task, `/proc/PID` or `/proc/PID/task/TID`. */
export function readNamespaceLinks(folder: string): NamespaceLinks {
  const links: {[link in NamespaceLink]?: Seen<string>} = {};
  for (const link of NAMESPACE_LINKS) {
    const target = readLink(`${folder}/ns/${link}`);
    links[link] = isRefusal(target) ? target : decodeNamespaceLink(target);
  }
  return links as NamespaceLinks;
}

export const sameSeen = (one: Seen<string> | undefined, other: Seen<string> | undefined): boolean =>
  one === other || (isRefusal(one) && isRefusal(other) && one.errno === other.errno);

/** Lines of status about who it is and what it may do stand in these two parts (proc_pid_status(5)): the same text says the same. */
function credentialText(text: string): string {
  const ids = text.slice(text.indexOf('\nUid:'), text.indexOf('\nFDSize:'));
  const groups = text.slice(text.indexOf('\nGroups:'), text.indexOf('\nNStgid:'));
  return `${ids}${groups}${text.slice(text.indexOf('\nCapInh:'), text.indexOf('\nSpeculation'))}`;
}

const sameList = (one: readonly number[], other: readonly number[]): boolean =>
  one.length === other.length && one.every((value, index) => value === other[index]);

/** What the status of a thread says otherwise than that of its process. */
function decodeApart(process: string, thread: string): Apart {
  if (credentialText(process) === credentialText(thread)) return {};
  const [own, all] = [decodeStatus(thread), decodeStatus(process)];
  const [mine, theirs] = [decodeCredentials(thread), decodeCredentials(process)];
  const apart: {-readonly [key in keyof Apart]: Apart[key]} = {};
  for (const key of ['uids', 'gids'] as const) {
    const [ids, others] = [own[key], all[key]];
    if (!isRefusal(ids) && !isRefusal(others) && !sameList(ids, others)) apart[key] = ids;
  }
  if (!sameList(mine.groups, theirs.groups)) apart.groups = mine.groups;
  const sets: {-readonly [set in keyof CapabilitySets]?: string} = {};
  for (const [set, mask] of Object.entries(mine.capabilities) as [keyof CapabilitySets, string][])
    if (mask !== theirs.capabilities[set]) sets[set] = mask;
  if (Object.keys(sets).length > 0) apart.capabilities = sets;
  if (mine.noNewPrivs !== theirs.noNewPrivs) apart.noNewPrivs = mine.noNewPrivs;
  if (mine.seccomp !== theirs.seccomp) apart.seccomp = mine.seccomp;
  if (mine.filters !== theirs.filters) apart.filters = mine.filters;
  return apart;
}

/** By the text of /proc/PID/status: of a zombie, or of less. */
export const isEnded = (status: string): boolean => /^[ZX]/.test(statusLine(status, 'State:') ?? '');

/** What is compared of each thread: files of a reference, and objects by kcmp(2), which asks about all threads at once. */
function createComparison(pid: number, tids: readonly number[]): (tid: number) => Apart {
  const folder = `/proc/${pid}/task`;
  // A leader that has ended has given back what the others still have.
  let task = pid;
  let read = readText(`${folder}/${pid}/status`);
  for (let index = 0; index < tids.length && !isRefusal(read) && isEnded(read); index++) {
    task = tids[index] ?? pid;
    read = readText(`${folder}/${task}/status`);
  }
  if (isRefusal(read)) return () => ({});
  let status = read;
  const cgroup = readText(`${folder}/${task}/cgroup`);
  const lines = isRefusal(cgroup) ? [] : cgroup.split('\n');
  const label = readText(`${folder}/${task}/attr/current`);
  const objects = readObjectsApart(
    task,
    tids.filter(tid => tid !== task),
    ['files', 'fs'],
  );
  return tid => {
    if (tid === task) return {};
    const own = readText(`${folder}/${tid}/status`);
    // What a thread that ends has given back is no difference.
    if (isRefusal(own) || isEnded(own)) return {};
    let apart: {-readonly [key in keyof Apart]: Apart[key]} = decodeApart(status, own);
    if (Object.keys(apart).length > 0) {
      // All of them may have changed since the first was read: the C library has each thread make the call.
      const again = readText(`${folder}/${task}/status`);
      if (!isRefusal(again)) status = again;
      apart = decodeApart(status, own);
    }
    const placed = readText(`${folder}/${tid}/cgroup`);
    if (!isRefusal(cgroup) && !isRefusal(placed) && placed !== cgroup)
      apart.cgroup = decodeCgroup(
        placed
          .split('\n')
          .filter(line => !lines.includes(line))
          .join('\n'),
      );
    if (!isRefusal(label)) {
      const mine = readText(`${folder}/${tid}/attr/current`);
      if (!isRefusal(mine) && mine !== label) apart.label = mine.replace(/[\0\n]+$/, '');
    }
    const kinds = objects.get(tid);
    // It ends, and had given them back when they were compared.
    if (kinds === undefined || isRefusal(readLink(`${folder}/${tid}/cwd`)) || isWorker(pid, tid)) return apart;
    apart.objects = kinds;
    if (kinds.includes('fs'))
      for (const link of ['cwd', 'root'] as const) {
        const target = readLink(`${folder}/${tid}/${link}`);
        if (!isRefusal(target) && target !== readLink(`${folder}/${task}/${link}`)) apart[link] = target;
      }
    return apart;
  };
}

/** Every thread but the leader; of its namespaces only the links that differ from the process's, and of the rest only what differs. */
export function readThreads(pid: number, namespaces: NamespaceLinks): ThreadSeen[] {
  const all = readNumbers(`/proc/${pid}/task`);
  if (isRefusal(all)) return [];
  const tids = all.filter(tid => tid !== pid);
  if (tids.length === 0) return [];
  const apartOf = createComparison(pid, tids);
  const threads: ThreadSeen[] = [];
  for (const tid of tids) {
    const folder = `/proc/${pid}/task/${tid}`;
    const comm = readText(`${folder}/comm`);
    if (isRefusal(comm)) continue;
    const links = readNamespaceLinks(folder);
    const differing: {[link in NamespaceLink]?: Seen<string>} = {};
    for (const link of NAMESPACE_LINKS) {
      const mine = links[link];
      // A thread that ended meanwhile has no namespaces; that is no difference.
      if (!sameSeen(mine, namespaces[link]) && !(isRefusal(mine) && isGone(mine))) differing[link] = mine;
    }
    const apart = apartOf(tid);
    threads.push({
      tid,
      comm: comm.endsWith('\n') ? comm.slice(0, -1) : comm,
      ...(Object.keys(differing).length > 0 ? {namespaces: differing} : {}),
      ...(Object.keys(apart).length > 0 ? {apart} : {}),
    });
  }
  return threads;
}

export function readStat(pid: number): Seen<Stat> {
  const text = readText(`/proc/${pid}/stat`);
  return isRefusal(text) ? text : decodeStat(text);
}

/** PF_KTHREAD (include/linux/sched.h): neither exe nor argv tells a kernel thread from a zombie or a refusal. */
const PF_KTHREAD = 0x00200000;

export const isOfKernel = ({flags}: Stat): boolean => (flags & PF_KTHREAD) !== 0;

/** PF_IO_WORKER and PF_USER_WORKER (include/linux/sched.h). */
const PF_WORKERS = 0x10 | 0x4000;

/**
 * A thread that the kernel made in the process, of io_uring(7) or vhost: it runs nothing of the program, and is without a list of semaphore
 * undos, or even a file table, which is nothing that it has of its own (create_io_thread(), vhost_task_create()).
 */
export function isWorker(pid: number, tid: number): boolean {
  const text = readText(`/proc/${pid}/task/${tid}/stat`);
  const stat = isRefusal(text) ? text : decodeStat(text);
  return !isRefusal(stat) && (stat.flags & PF_WORKERS) !== 0;
}

export function isKernelThread(pid: number): boolean {
  const stat = readStat(pid);
  return !isRefusal(stat) && isOfKernel(stat);
}

export function readStatus(pid: number): Seen<Status> {
  const text = readText(`/proc/${pid}/status`);
  return isRefusal(text) ? text : decodeStatus(text);
}

/** Who traces, by TracerPid: that is the tid of a thread, which need not be a leader (proc_pid_status(5)). null: nobody, or it is gone. */
export function readTracerProcess(tid: number): Stat | null {
  const status = tid === 0 ? null : readStatus(tid);
  const stat = status === null || isRefusal(status) ? null : readStat(status.tgid);
  return stat === null || isRefusal(stat) ? null : stat;
}

const decoded = <T>(text: Seen<string>, decode: (text: string) => T): Seen<T> => (isRefusal(text) ? text : decode(text));

/** As it is known once it has exited: its namespaces, program and arguments are gone though its pid is not. */
const isDead = (state: string): boolean => state === 'Z' || state === 'X';

/**
 * One whole reading. A refusal when the process is not there. The start time is read again at the end, so that no reading mixes
 * two processes that had the same pid one after the other.
 */
export function readProcess(pid: number, more: {readonly credentials?: boolean} = {}): Seen<ProcessSeen> {
  for (let attempt = 0; ; attempt++) {
    const stat = readStat(pid);
    if (isRefusal(stat)) return stat;
    const text = readText(`/proc/${pid}/status`);
    const status = decoded(text, decodeStatus);
    const namespaces = readNamespaceLinks(`/proc/${pid}`);
    const argv = decoded(readText(`/proc/${pid}/cmdline`), decodeCmdline);
    const exe = readLink(`/proc/${pid}/exe`);
    const cgroup = decoded(readText(`/proc/${pid}/cgroup`), decodeCgroup);
    const threads = stat.threads > 1 ? readThreads(pid, namespaces) : [];
    const again = readStat(pid);
    if (isRefusal(again)) return again;
    // It changed under the reading, to another process or to a zombie: once more, and then take what there is.
    if ((again.start !== stat.start || isDead(again.state) !== isDead(stat.state)) && attempt < 3) continue;
    return {
      pid,
      start: again.start,
      ppid: again.ppid,
      state: again.state,
      comm: again.comm,
      argv,
      exe,
      nspid: isRefusal(status) ? status : status.nspid,
      uids: isRefusal(status) ? status : status.uids,
      gids: isRefusal(status) ? status : status.gids,
      ...(more.credentials === true ? {credentials: decoded(text, decodeCredentials)} : {}),
      threads,
      namespaces,
      cgroup,
    };
  }
}
