// Knows how to keep what is on the screen in detail up to date: mount tables and cgroups, and only those that are shown.

import {type FSWatcher, watch as watchFiles} from 'chokidar';
import {type CgroupFact, type CgroupPath, type Fact, isRefusal, type Seen} from '../model/fact.ts';
import {readCgroups} from './cgroup.ts';
import {readContainers} from './containers.ts';
import {createInside} from './containers-inside.ts';
import {machineLook} from './holders.ts';
import {type Reader, watchMounts} from './mount-watch.ts';
import {readMountinfo} from './mountinfo.ts';
import {readMountsFact} from './mounts-fact.ts';
import {readLink} from './proc-file.ts';
import {sameSeen} from './process.ts';
import {readStudy, STUDY_EVERY, type Study} from './study.ts';

export type Shown = {
  /** Null: through nsview itself. */
  readonly mounts: readonly {readonly inode: string; readonly pid: number | null}[];
  readonly cgroups: readonly CgroupPath[];
  readonly studies: readonly Study[];
};

export type Details = Disposable & {
  /** What is on the screen from now on. What is no longer there is no longer read. */
  show(shown: Shown): void;
};

/** Milliseconds between looks at what no event announces: members of a cgroup, and whether a mount table changed. */
const LOOK = 500;
/** Milliseconds after a table is told to have changed: many changes are one. */
const CHANGES_GATHER = 20;
/** And at least so many times as long as their last reading took. */
const REST = 4;
/** Milliseconds of reading tables in one go, so that a key press never waits longer; the first of them is read whatever it takes. */
const SLICE = 10;
const SLICE_PAUSE = 15;
/** How many mount tables are watched: `wantedDetails` asks for no more. */
const TABLES_WATCHED = 66;
/** Milliseconds between readings of what container runtimes have written. */
const CONTAINERS = 2000;
/** Milliseconds that something is on the screen before it is read: who walks past with a key held down waits for nothing. */
const SETTLED = 60;

export function watchDetails(options: {readonly emit: (facts: readonly Fact[]) => void}): Details {
  let shown: Shown = {mounts: [], cgroups: [], studies: []};
  let readers: readonly Reader[] = [];
  let files: FSWatcher | undefined;
  let directoriesWatched = '';
  let timer: NodeJS.Timeout | undefined;
  /** The last told: raw mount tables by inode, cgroups by their JSON without its time. */
  const tables = new Map<string, Buffer>();
  const cgroups = new Map<string, string>();
  /** When each study was last made, by kind, pid and mount, and its JSON. */
  const studied = new Map<string, {at: bigint; text: string}>();

  /** Namespaces whose table was refused, and where the root of each reader was. */
  const refused = new Set<string>();
  const roots = new Map<string, Seen<string>>();
  /** Tables to be read soon, by inode: those that are new on the screen, and those that changed. */
  const toRead = new Map<string, number>();
  let reading: NodeJS.Timeout | undefined;
  /** Milliseconds after a change: where tables are large, and change without end, most of the time is for other things. */
  let pause = CHANGES_GATHER;
  const readSoon = (milliseconds: number) => {
    reading ??= setTimeout(readTables, milliseconds);
  };
  const watched = watchMounts({
    most: TABLES_WATCHED,
    changed: ({inode, pid}) => {
      toRead.set(inode, pid);
      readSoon(pause);
    },
  });

  const readTables = () => {
    clearTimeout(reading);
    reading = undefined;
    const facts: Fact[] = [];
    const began = performance.now();
    const until = began + SLICE;
    for (const [inode, pid] of toRead) {
      if (facts.length > 0 && performance.now() > until) break;
      toRead.delete(inode);
      const table = readMountinfo(pid);
      const before = tables.get(inode);
      // What lies outside of its reader's root, that root's own mount too, may change beside the table.
      if (!isRefusal(table) && before?.equals(table) && roots.get(inode) === '/') continue;
      // The last reader has ended: what it saw stays on the screen.
      if (isRefusal(table) && (before !== undefined || refused.has(inode))) continue;
      if (isRefusal(table)) refused.add(inode);
      if (!isRefusal(table)) tables.set(inode, table);
      // The first is the selected process's, as that one sees it.
      const view = inode === readers[0]?.inode ? 'its' : 'whole';
      facts.push(isRefusal(table) ? readMountsFact(inode, pid) : readMountsFact(inode, pid, table, view));
    }
    if (facts.length > 0) options.emit(facts);
    pause = Math.max(CHANGES_GATHER, REST * (performance.now() - began));
    if (toRead.size > 0) readSoon(SLICE_PAUSE);
  };

  /** What poll does not tell: with another root its reader sees another part of the table; and a reader may leave. */
  const lookAtMounts = () => {
    watched.release();
    for (const {inode, pid} of readers) {
      const root = readLink(`/proc/${pid}/root`);
      const isNew = !(tables.has(inode) || refused.has(inode));
      if (isNew || !watched.watches(inode) || !sameSeen(roots.get(inode), root)) toRead.set(inode, pid);
      roots.set(inode, root);
    }
    if (toRead.size > 0) readTables();
  };

  const lookAtCgroups = (facts: Fact[]) => {
    if (shown.cgroups.length === 0) return;
    const read = readCgroups(shown.cgroups);
    for (const fact of read) {
      const key = `${fact.hierarchy}:${fact.path}`;
      const text = JSON.stringify({...fact, at: ''});
      if (cgroups.get(key) === text) continue;
      cgroups.set(key, text);
      facts.push(fact);
    }
    watchDirectories(read);
  };

  /** The first that is due, one at a time, so that a key is heard between two. True where one was read. */
  const study = (facts: Fact[]): boolean => {
    const now = process.hrtime.bigint();
    for (const one of shown.studies) {
      const key = `${one.kind}:${one.pid}:${one.mount ?? ''}`;
      const last = studied.get(key);
      if (last !== undefined && Number(now - last.at) / 1e6 < STUDY_EVERY[one.kind] - LOOK / 2) continue;
      const fact = readStudy(one);
      // Its pid may be another's by now: what was seen of it stays on the screen.
      if (fact === null) continue;
      const text = JSON.stringify(fact.seen);
      studied.set(key, {at: now, text});
      if (last?.text !== text) facts.push(fact);
      return true;
    }
    return false;
  };

  const inside = createInside(SLICE);
  let containers = {at: Number.NEGATIVE_INFINITY, text: ''};
  const lookAtContainers = (facts: Fact[]) => {
    const now = performance.now();
    if (now - containers.at < CONTAINERS - LOOK / 2) return;
    machineLook.want();
    const spaces = [...machineLook.found.byInode].flatMap(([inode, {type, pids}]) =>
      type === 'mnt' && pids.length > 0 ? [{inode, pids}] : [],
    );
    const read = {...readContainers(), words: inside.read(spaces)};
    const text = JSON.stringify(read);
    if (text !== containers.text) facts.push({kind: 'containers', at: String(process.hrtime.bigint()), ...read});
    containers = {at: now, text};
  };

  const look = () => {
    clearTimeout(timer);
    const facts: Fact[] = [];
    lookAtMounts();
    lookAtContainers(facts);
    lookAtCgroups(facts);
    if (facts.length > 0) options.emit(facts);
    timer = setTimeout(lookOn, 0);
  };

  const lookOn = () => {
    const facts: Fact[] = [];
    const more = study(facts);
    if (facts.length > 0) options.emit(facts);
    if (more) timer = setTimeout(lookOn, 0);
    else timer = setTimeout(look, shown.mounts.length + shown.cgroups.length + shown.studies.length > 0 ? LOOK : CONTAINERS);
  };

  /** inotify tells of child cgroups that come and go, and of cgroup.events; never of cgroup.procs (cgroups(7)). */
  const watchDirectories = (read: readonly CgroupFact[]) => {
    const directories: string[] = [];
    for (const fact of read) if (!isRefusal(fact.directory)) directories.push(fact.directory);
    const key = directories.join('\0');
    if (key === directoriesWatched) return;
    directoriesWatched = key;
    void files?.close();
    files = undefined;
    if (directories.length === 0) return;
    files = watchFiles(directories, {depth: 0, ignoreInitial: true, ignorePermissionErrors: true, followSymlinks: false});
    files.on('all', () => {
      // Many at once are one look.
      clearTimeout(timer);
      timer = setTimeout(look, 30);
    });
    files.on('error', () => {});
  };

  return {
    show: next => {
      const inodes = new Set(next.mounts.map(({inode}) => inode));
      for (const inode of tables.keys()) if (!inodes.has(inode)) tables.delete(inode);
      for (const inode of toRead.keys()) if (!inodes.has(inode)) toRead.delete(inode);
      refused.clear();
      roots.clear();
      readers = next.mounts.map(({inode, pid}) => ({inode, pid: pid ?? process.pid}));
      watched.keep(readers);
      shown = next;
      studied.clear();
      cgroups.clear();
      if (shown.cgroups.length === 0) watchDirectories([]);
      clearTimeout(timer);
      timer = setTimeout(look, SETTLED);
    },
    [Symbol.dispose]: () => {
      clearTimeout(timer);
      clearTimeout(reading);
      watched[Symbol.dispose]();
      shown = {mounts: [], cgroups: [], studies: []};
      void files?.close();
    },
  };
}
