// Knows how to find the threads of a process that are not like it, in what is not a namespace.

import {isRefusal, type Seen} from '../model/fact.ts';
import type {Shareable, ThreadApart} from '../model/sharing.ts';
import {readObjectsApart} from './objects-apart.ts';
import {readOutsideFds} from './outside-fds.ts';
import {readLink, readNumbers, readText} from './proc-file.ts';
import {isEnded, isWorker} from './process.ts';

/** Threads that are looked at: a file each, and three comparisons. */
const MOST_THREADS = 512;
/** Threads whose own file tables are looked at. */
const MOST_TABLES = 16;

/** Lines of /proc/PID/status that the kernel keeps for each thread and that say who it is or what it may do (proc_pid_status(5)). */
const KEYS = [
  'Umask',
  'Uid',
  'Gid',
  'Groups',
  'CapInh',
  'CapPrm',
  'CapEff',
  'CapBnd',
  'CapAmb',
  'NoNewPrivs',
  'Seccomp',
  'Seccomp_filters',
];

/** What unshare(2) takes from one thread alone. Signal handlers and memory are common to all threads (clone(2), CLONE_THREAD). */
const APART: readonly Shareable[] = ['files', 'fs', 'sysvsem'];

function decodeStatusLines(text: string): {[key: string]: string} {
  const lines: {[key: string]: string} = {};
  for (const line of text.split('\n')) {
    const colon = line.indexOf(':');
    const key = line.slice(0, colon);
    if (KEYS.includes(key)) lines[key] = line.slice(colon + 1).trim();
  }
  return lines;
}

/** `task` is the thread with which the others are compared: the leader while it lives. */
export function readThreadsApart(pid: number, task: number, parent: number): ThreadApart[] {
  const all = readNumbers(`/proc/${pid}/task`);
  const tids = (isRefusal(all) ? [] : all).filter(tid => tid !== task).slice(0, MOST_THREADS);
  if (tids.length === 0) return [];
  const folder = `/proc/${pid}/task`;
  const own = readText(`${folder}/${task}/status`);
  const lines = isRefusal(own) ? {} : decodeStatusLines(own);
  const ownCgroup = readText(`${folder}/${task}/cgroup`);
  const objects = readObjectsApart(task, tids, APART);
  const found: ThreadApart[] = [];
  let tables = 0;
  for (const tid of tids) {
    const text = readText(`${folder}/${tid}/status`);
    // A thread that ended, or ends: what it has given back is no difference.
    if (isRefusal(text) || isEnded(text)) continue;
    const status: {[key: string]: {thread: string; process: string}} = {};
    for (const [key, thread] of Object.entries(decodeStatusLines(text))) {
      const process = lines[key];
      if (process !== undefined && process !== thread) status[key] = {thread, process};
    }
    // cgroups(7): threads are in cgroups of their own in v1, and in threaded ones of v2.
    const cgroup = readText(`${folder}/${tid}/cgroup`);
    if (!isRefusal(cgroup) && !isRefusal(ownCgroup) && cgroup !== ownCgroup) {
      const [ours, other] = [ownCgroup.split('\n'), cgroup.split('\n')];
      status.Cgroup = {
        thread: other.filter(row => !ours.includes(row)).join(' '),
        process: ours.filter(row => !other.includes(row)).join(' '),
      };
    }
    const own = objects.get(tid) ?? [];
    const apart = own.length > 0 && isWorker(pid, tid) ? [] : own;
    const moved: {cwd?: Seen<string>; root?: Seen<string>} = {};
    if (apart.includes('fs'))
      for (const link of ['cwd', 'root'] as const) {
        const target = readLink(`${folder}/${tid}/${link}`);
        if (!isRefusal(target) && target !== readLink(`${folder}/${task}/${link}`)) moved[link] = target;
      }
    if (apart.length === 0 && Object.keys(status).length === 0) continue;
    const outside = apart.includes('files') && tables++ < MOST_TABLES ? readOutsideFds(`${folder}/${tid}`, tid, parent) : null;
    const fds = outside === null || isRefusal(outside) ? [] : outside.outside.filter(({fd}) => fd !== null);
    // In status it is escaped.
    const comm = readText(`${folder}/${tid}/comm`);
    found.push({
      tid,
      comm: isRefusal(comm) ? '' : comm.replace(/\n$/, ''),
      ...(apart.length > 0 ? {objects: apart} : {}),
      ...moved,
      ...(fds.length > 0 ? {outside: fds} : {}),
      ...(Object.keys(status).length > 0 ? {status} : {}),
    });
  }
  return found;
}
