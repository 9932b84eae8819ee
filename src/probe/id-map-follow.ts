// Knows how to tell that the ids of a user namespace were mapped, which no event tells of: its files are read until they say so.

import type {IdMapsFact} from '../model/fact.ts';
import {isRefusal} from '../model/fact.ts';
import {readRanges} from './id-map.ts';
import {readLink, readText} from './proc-file.ts';

/** User namespaces that are read at most, the latest. */
const NAMESPACES_READ = 256;
/** So many are remembered by what they said of setgroups(2). */
const REMEMBERED = 4096;
/** Milliseconds between readings: mostly the maps follow at once. After so many milliseconds without a new namespace, they may never. */
const SOON = 10;
const SOON_FOR = 1000;
const LATER = 500;
/** And at least so many times as long as the last reading took. */
const REST = 10;

const at = (): string => String(process.hrtime.bigint());

/** After one was put in. */
function dropOldest(map: Map<string, unknown>, most: number): void {
  if (map.size <= most) return;
  for (const oldest of map.keys()) {
    map.delete(oldest);
    return;
  }
}

/** What was told of one. `setgroups`: undefined where it is not known what it was at first. */
type Unfinished = {pid: number; uid: boolean; gid: boolean; setgroups: boolean | undefined};

export type IdMapFollow = Disposable & {
  /** A process is in this one now, made by a process in `from`; or it was there before: undefined, and how it is now is no news. */
  look(inode: string, pid: number, from: string | undefined): void;
  /** What has changed of those that were not read yet: mostly it is written at once, and its process may not stay long. */
  readNew(): IdMapsFact[];
};

export type IdMapFollowOptions = {
  /** A process that is in it now. */
  readonly member: (inode: string) => number | undefined;
  readonly emit: (facts: readonly IdMapsFact[]) => void;
};

export function followIdMaps(options: IdMapFollowOptions): IdMapFollow {
  const unfinished = new Map<string, Unfinished>();
  const denies = new Map<string, boolean>();
  let unread: string[] = [];
  let timer: NodeJS.Timeout | undefined;
  let [newest, took] = [0, 0];

  const remember = (inode: string, denied: boolean) => {
    denies.set(inode, denied);
    dropOldest(denies, REMEMBERED);
  };

  const readOf = (inode: string, pid: number) => {
    const [uid, gid, text] = [readRanges(pid, 'uid'), readRanges(pid, 'gid'), readText(`/proc/${pid}/setgroups`)];
    // Afterwards, since none comes back to a user namespace that it has left for one below.
    if (isRefusal(uid) || isRefusal(gid) || readLink(`/proc/${pid}/ns/user`) !== `user:[${inode}]`) return null;
    const denied = isRefusal(text) ? undefined : text.trim() === 'deny';
    if (denied !== undefined) remember(inode, denied);
    return {uid, gid, denied};
  };

  // Most are made in nsview's own, of which no process may have told.
  const own = readLink('/proc/self/ns/user');
  if (!isRefusal(own)) readOf(/\d+/.exec(own)?.[0] ?? '', process.pid);

  const readOne = (inode: string, one: Unfinished): IdMapsFact | null => {
    let now = readOf(inode, one.pid);
    if (now === null) {
      const pid = options.member(inode);
      now = pid === undefined ? null : readOf(inode, pid);
      if (pid === undefined || now === null) {
        unfinished.delete(inode);
        return null;
      }
      one.pid = pid;
    }
    const uid = !one.uid && now.uid.length > 0 ? {uid: now.uid} : {};
    const gid = !one.gid && now.gid.length > 0 ? {gid: now.gid} : {};
    const setgroups = one.setgroups === false && now.denied === true ? ({setgroups: 'deny'} as const) : {};
    one.uid ||= now.uid.length > 0;
    one.gid ||= now.gid.length > 0;
    one.setgroups = now.denied;
    // Each is written once, and once gid_map is, setgroups stays as it is (user_namespaces(7)).
    if (one.uid && one.gid) unfinished.delete(inode);
    const news = {...uid, ...gid, ...setgroups};
    return Object.keys(news).length === 0 ? null : {kind: 'id-maps', at: at(), pid: one.pid, user: inode, ...news};
  };

  const readAll = () => {
    timer = undefined;
    const began = performance.now();
    const facts = [...unfinished].flatMap(([inode, one]) => readOne(inode, one) ?? []);
    took = performance.now() - began;
    if (facts.length > 0) options.emit(facts);
    wait();
  };

  const wait = () => {
    if (unfinished.size === 0) return;
    const pause = performance.now() - newest < SOON_FOR ? SOON : LATER;
    timer ??= setTimeout(readAll, Math.max(pause, REST * took));
  };

  return {
    look: (inode, pid, from) => {
      if (unfinished.has(inode) || (from === undefined && denies.has(inode))) return;
      const one: Unfinished = {pid, uid: false, gid: false, setgroups: from === undefined ? undefined : denies.get(from)};
      if (from === undefined) {
        const now = readOf(inode, pid);
        if (now === null) return;
        Object.assign(one, {uid: now.uid.length > 0, gid: now.gid.length > 0, setgroups: now.denied});
        if (one.uid && one.gid) return;
      }
      unfinished.set(inode, one);
      unread.push(inode);
      dropOldest(unfinished, NAMESPACES_READ);
      newest = performance.now();
      wait();
    },
    readNew: () => {
      const inodes = unread;
      unread = [];
      return inodes.flatMap(inode => {
        const one = unfinished.get(inode);
        return one === undefined ? [] : (readOne(inode, one) ?? []);
      });
    },
    [Symbol.dispose]: () => clearTimeout(timer),
  };
}
