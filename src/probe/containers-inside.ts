// Knows what stands inside a mount namespace about the container that it is of: files that runtimes put there, the environment of its first
// process, and the label that it is confined by. But for the label it is the word of whoever is inside.

import type {Runtime, Word} from '../model/container.ts';
import {isRefusal, type Mount, type Seen} from '../model/fact.ts';
import {readMounts} from './mountinfo.ts';
import {loadNative} from './native.ts';
import {isRemote} from './outside-fds.ts';
import {readLink, readText} from './proc-file.ts';
import {readStatus} from './process.ts';

/** A mount namespace with processes that are in it, the first ones first; its mounts as the first of them sees them, where they have been read. */
type Space = {readonly inode: string; readonly pids: readonly number[]; readonly mounts?: Seen<readonly Mount[]>};

/** Bytes of a file inside, and of an environment; namespaces that are looked into. */
const MOST = {bytes: 16384, environment: 65536, spaces: 1024};

/** Members of one that are asked whether they are the first process of a pid namespace. */
const ASKED = 4;

type Said = Pick<Word, 'runtime' | 'id' | 'name'>;

/** Lines `key=value`, quoted or not; the first of each key. */
function valuesOf(text: string): Map<string, string> {
  const values = new Map<string, string>();
  for (const line of text.split('\n')) {
    const found = /^([A-Za-z][A-Za-z-]*)=(?:"(.*)"|(.*))$/.exec(line.trimEnd());
    const key = found?.[1];
    if (key !== undefined && !values.has(key)) values.set(key, (found?.[2] ?? found?.[3] ?? '').slice(0, 256));
  }
  return values;
}

const said = (runtime: Runtime, id: string | undefined, name: string | undefined): Said => ({
  runtime,
  ...(id === undefined || id === '' ? {} : {id}),
  ...(name === undefined || name === '' ? {} : {name}),
});

/** Values of `container=` (systemd.io, CONTAINER_INTERFACE). */
const MANAGERS: {readonly [word: string]: Runtime} = {
  'systemd-nspawn': 'systemd-nspawn',
  podman: 'podman',
  docker: 'docker',
  lxc: 'lxc',
  'lxc-libvirt': 'lxc',
  flatpak: 'flatpak',
};
const managerOf = (word: string): Said | null => {
  const runtime = Object.hasOwn(MANAGERS, word) ? MANAGERS[word] : undefined;
  return runtime === undefined ? null : {runtime};
};

/** What each file means; it is there, and that is enough for the second and third. */
const FILES: readonly {readonly path: string; readonly decode: (text: string) => Said | null}[] = [
  // flatpak-metadata(5): of the application, and of this run of it.
  {
    path: '/.flatpak-info',
    decode: text => {
      const values = valuesOf(text);
      return said('flatpak', values.get('instance-id'), values.get('name'));
    },
  },
  // podman-run(1): with a container that may do all it is filled in.
  {path: '/run/.containerenv', decode: text => said('podman', valuesOf(text).get('id'), valuesOf(text).get('name'))},
  {path: '/.dockerenv', decode: () => ({runtime: 'docker'})},
  {path: '/run/host/container-manager', decode: text => managerOf(text.trim())},
];

const buffer = Buffer.alloc(MOST.bytes);
const identity = new BigInt64Array(2);

function readInside(pid: number, path: string): {readonly text: string; readonly identity: string} | null {
  const size = loadNative().readInside(pid, path, buffer, buffer.length, identity);
  return size < 0 ? null : {text: buffer.toString('utf8', 0, size), identity: `${identity[0]}:${identity[1]}`};
}

/** Whether everything on the way to a file is known to answer: a server that does not would make nsview wait. */
function answers(path: string, mounts: readonly Mount[]): boolean {
  const way = mounts.filter(({point}) => point === '/' || path === point || path.startsWith(`${point}/`));
  return way.some(({point}) => point === '/') && way.every(({fsType}) => !isRemote(fsType));
}

/** The first process of a pid namespace below nsview's. */
function isInit(pid: number): boolean {
  const status = readStatus(pid);
  return !isRefusal(status) && !isRefusal(status.nspid) && status.nspid.length > 1 && status.nspid.at(-1) === 1;
}

/** What a process was started with, as it has it now. */
function readManager(pid: number): Said | null {
  const text = readText(`/proc/${pid}/environ`);
  if (isRefusal(text)) return null;
  const variable = text
    .slice(0, MOST.environment)
    .split('\0')
    .find(one => one.startsWith('container='));
  return variable === undefined ? null : managerOf(variable.slice('container='.length));
}

/** AppArmor: `snap.NAME.APP (enforce)` (apparmor(7)). No other module names one like this. */
function readLabel(pid: number): Said | null {
  const text = readText(`/proc/${pid}/attr/apparmor/current`);
  const label = isRefusal(text) ? readText(`/proc/${pid}/attr/current`) : text;
  const name = isRefusal(label) ? undefined : /^snap\.([a-z0-9-]+(?:_[a-z0-9]+)?)\.[A-Za-z0-9-]+/.exec(label)?.[1];
  return name === undefined ? null : {runtime: 'snap', id: name};
}

/** What is said within one mount namespace. */
function readSpace({inode, pids, mounts}: Space): Word[] {
  const members = [...new Set(pids)].slice(0, ASKED).filter(one => readLink(`/proc/${one}/ns/mnt`) === `mnt:[${inode}]`);
  // Whoever makes a container may be in it, with its root still outside: the first process of its pid namespace is inside.
  const init = members.find(isInit);
  const pid = init ?? members[0];
  if (pid === undefined) return [];
  const words: Word[] = [];
  const add = (by: Word['by'], place: string, one: Said | null, which: string) => {
    if (one !== null) words.push({by, ...one, mnt: inode, pid, place, identity: which});
  };
  add('kernel', `the label of ${pid}`, readLabel(pid), `label:${inode}`);
  const table: Seen<readonly Mount[]> = mounts !== undefined && pid === pids[0] ? mounts : readMounts(pid);
  for (const {path, decode} of isRefusal(table) ? [] : FILES) {
    const read = answers(path, isRefusal(table) ? [] : table) ? readInside(pid, path) : null;
    if (read !== null) add('itself', path, decode(read.text), read.identity);
  }
  if (init !== undefined) add('itself', `the environment of ${init}`, readManager(init), `environment:${inode}`);
  // A process that left meanwhile was looked at elsewhere.
  return readLink(`/proc/${pid}/ns/mnt`) === `mnt:[${inode}]` ? words : [];
}

type Inside = {read(spaces: Iterable<Space>): Word[]};

/**
 * Looks into mount namespaces other than nsview's own; what is the same file there as nsview itself sees says nothing of them. A namespace is
 * looked into three times, and as many in one go as so many milliseconds allow, or one: a runtime fills it after it made it.
 */
export function createInside(milliseconds = Number.POSITIVE_INFINITY): Inside {
  const known = new Map<string, {words: Word[]; looks: number}>();
  return {
    read: spaces => {
      const own = readLink('/proc/self/ns/mnt');
      const ours = new Set(FILES.flatMap(({path}) => readInside(process.pid, path)?.identity ?? []));
      const there = new Set<string>();
      const until = performance.now() + milliseconds;
      let looks = 0;
      for (const space of spaces) {
        if (own === `mnt:[${space.inode}]` || there.size >= MOST.spaces) continue;
        there.add(space.inode);
        const before = known.get(space.inode);
        if ((before?.looks ?? 0) >= 3 || (looks > 0 && performance.now() > until)) continue;
        looks++;
        const words = readSpace(space).filter(word => !ours.has(word.identity));
        known.set(space.inode, {words, looks: (before?.looks ?? 0) + 1});
      }
      for (const inode of known.keys()) if (!there.has(inode)) known.delete(inode);
      return [...known.values()].flatMap(({words}) => words);
    },
  };
}
