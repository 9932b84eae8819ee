// Knows where container runtimes write what they run, and reads that: whoever wrote it is a stranger, so it is bounded, held to a schema, and
// no symbolic link is followed.

import {closeSync, constants, fstatSync, lstatSync, opendirSync, openSync, readFileSync, readSync} from 'node:fs';
import * as z from 'zod';
import {type ContainerState, type Containers, type Evidence, RUNTIMES, type Runtime, type StatePlace} from '../model/container.ts';
import {isRefusal, type Seen} from '../model/fact.ts';
import {refusalOf} from './proc-file.ts';

const refusal = z.object({errno: z.string(), during: z.string()});
export const containersShape = {
  states: z.array(
    z.object({
      runtime: z.enum(RUNTIMES),
      id: z.string(),
      name: z.string().exactOptional(),
      file: z.string(),
      pid: z.int().exactOptional(),
      start: z.string().exactOptional(),
      written: z.string().exactOptional(),
      minder: z.int().exactOptional(),
      mnt: z.string().exactOptional(),
      owner: z.int(),
    }),
  ),
  places: z.array(z.object({runtime: z.enum(RUNTIMES), directory: z.string(), seen: z.union([z.int(), refusal])})),
  words: z
    .array(
      z.object({
        by: z.enum(['kernel', 'itself']),
        runtime: z.enum(RUNTIMES),
        id: z.string().exactOptional(),
        name: z.string().exactOptional(),
        mnt: z.string(),
        pid: z.int(),
        place: z.string(),
        identity: z.string(),
      }),
    )
    .exactOptional(),
} satisfies {[key in keyof Containers]: z.ZodType<Containers[key]>};

export const evidenceSchema = z.object({by: z.enum(['kernel', 'runtime', 'itself']), says: z.string()}) satisfies z.ZodType<Evidence>;

/** Bytes of one file, and entries of one directory. */
const MOST_BYTES = 1 << 20;
const MOST_ENTRIES = 4096;

/** `written`: in clock ticks after boot. */
type Text = {readonly text: string; readonly owner: number; readonly written: string};

/** As /proc/PID/stat has start times (proc_pid_stat(5)): a hundredth of a second each. */
const ticksAfterBoot = (milliseconds: number): string =>
  String(Math.round((milliseconds - Date.now()) / 10 + Number.parseFloat(readFileSync('/proc/uptime', 'latin1')) * 100));

/** A regular file: what is longer than MOST_BYTES is none of a runtime's. A fifo does not make it wait. */
function readBounded(path: string): Seen<Text> {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    return refusalOf(error, 'open');
  }
  try {
    const {size, uid, mode, mtimeMs} = fstatSync(fd);
    if ((mode & constants.S_IFMT) !== constants.S_IFREG) return {errno: 'EINVAL', during: 'fstat'};
    if (size > MOST_BYTES) return {errno: 'EFBIG', during: 'fstat'};
    const buffer = Buffer.alloc(size);
    let used = 0;
    for (let count = -1; count !== 0 && used < size; used += count) count = readSync(fd, buffer, used, size - used, null);
    return {text: buffer.toString('utf8', 0, used), owner: uid, written: ticksAfterBoot(mtimeMs)};
  } catch (error) {
    return refusalOf(error, 'read');
  } finally {
    closeSync(fd);
  }
}

/** Whether it is a directory, and no link to one. */
function isDirectory(path: string): boolean {
  try {
    return lstatSync(path).isDirectory();
  } catch {
    return false;
  }
}

/** Names in a directory that is no symbolic link, hidden ones too, of what is no link either. */
function list(path: string): Seen<string[]> {
  try {
    if (!lstatSync(path).isDirectory()) return {errno: 'ENOTDIR', during: 'lstat'};
    const directory = opendirSync(path);
    const names: string[] = [];
    try {
      for (let entry = directory.readSync(); entry !== null && names.length < MOST_ENTRIES; entry = directory.readSync())
        if (!entry.isSymbolicLink()) names.push(entry.name);
    } finally {
      directory.closeSync();
    }
    return names.sort();
  } catch (error) {
    return refusalOf(error, 'getdents64');
  }
}

function json<T>(text: string, schema: z.ZodType<T>): T | null {
  try {
    const result = schema.safeParse(JSON.parse(text));
    return result.success ? result.data : null;
  } catch {
    return null;
  }
}

const pid = z.int().min(1).max(4194304);
const ticks = z
  .number()
  .min(0)
  .transform(value => BigInt(Math.trunc(value)).toString());
const id = z.string().min(1).max(1024);

type Found = Partial<Omit<ContainerState, 'runtime' | 'file' | 'owner'>> | null;

/** status of crun(1) (libcrun, container.c and status.c), state.json of runc(8) (libcontainer, State). */
const crunStatus = z.object({pid, 'process-start-time': ticks.optional()});
const runcState = z.object({id, init_process_pid: pid, init_process_start: ticks});
const decodeCrun = (text: string): Found => {
  const found = json(text, crunStatus);
  if (found === null) return null;
  return {pid: found.pid, ...(found['process-start-time'] === undefined ? {} : {start: found['process-start-time']})};
};
const decodeRunc = (text: string): Found => {
  const found = json(text, runcState);
  return found === null ? null : {id: found.id, pid: found.init_process_pid, start: found.init_process_start};
};
const decodePid = (text: string): Found => (/^[0-9]{1,7}\s*$/.test(text) && Number(text) > 0 ? {pid: Number(text)} : null);

/** What Kubernetes and its runtimes write beside a bundle. */
const bundle = z.object({annotations: z.record(z.string(), z.string()).optional()});
const NAMES = ['io.kubernetes.cri-o.ContainerName', 'io.kubernetes.cri.container-name', 'io.kubernetes.container.name', 'nerdctl/name'];
const decodeBundle = (text: string): Found => {
  const annotations = json(text, bundle)?.annotations ?? {};
  const name = NAMES.map(key => annotations[key]).find(one => one !== undefined);
  return name === undefined ? null : {name};
};

const dockerConfig = z.object({ID: id, Name: z.string(), State: z.object({Pid: z.int(), Running: z.boolean()}).optional()});
const decodeDocker = (text: string): Found => {
  const found = json(text, dockerConfig);
  if (found === null || found.State?.Running === false) return null;
  return {id: found.ID, name: found.Name.replace(/^\//, ''), ...((found.State?.Pid ?? 0) > 0 ? {pid: found.State?.Pid ?? 0} : {})};
};

/** `KEY=value` lines, of /run/systemd/machines/NAME (systemd-machined, machine.c). */
const decodeMachine = (text: string): Found => {
  const values = new Map(
    text
      .split('\n')
      .flatMap(line =>
        [/^([A-Z_]+)=(.*)$/.exec(line)].flatMap(found => (found === null ? [] : [[found[1] ?? '', found[2] ?? ''] as const])),
      ),
  );
  const leader = Number(values.get('LEADER') ?? 0);
  if (values.get('CLASS') !== 'container' || values.get('SERVICE') !== 'systemd-nspawn') return null;
  return {...(values.get('NAME') === undefined ? {} : {id: values.get('NAME') ?? ''}), ...(leader > 0 ? {pid: leader} : {})};
};

/** What bwrap(1) tells by --info-fd, which flatpak keeps. */
const bwrapInfo = z.object({'child-pid': pid, 'mnt-namespace': z.int().optional()});
const decodeBwrapInfo = (text: string): Found => {
  const found = json(text, bwrapInfo);
  if (found === null) return null;
  return {pid: found['child-pid'], ...(found['mnt-namespace'] === undefined ? {} : {mnt: String(found['mnt-namespace'])})};
};

/** The name of the application, of a key file as flatpak-metadata(5) has it. */
const decodeFlatpak = (text: string): Found => {
  const name = /^\[Application\]\n(?:[^[].*\n|\n)*?name=(.+)$/m.exec(text)?.[1];
  return name === undefined ? null : {name};
};

/** `*` stands for every name in a directory; the one marked `ID` names the container. */
type StateFile = {readonly runtime: Runtime; readonly path: string; readonly decode: (text: string) => Found};
const FILES: readonly StateFile[] = [
  {runtime: 'crun', path: '/run/crun/ID/status', decode: decodeCrun},
  {runtime: 'crun', path: '/run/user/*/crun/ID/status', decode: decodeCrun},
  {runtime: 'runc', path: '/run/runc/ID/state.json', decode: decodeRunc},
  {runtime: 'runc', path: '/run/user/*/runc/ID/state.json', decode: decodeRunc},
  {runtime: 'docker', path: '/run/docker/runtime-runc/moby/ID/state.json', decode: decodeRunc},
  {runtime: 'docker', path: '/var/lib/docker/containers/ID/config.v2.json', decode: decodeDocker},
  {runtime: 'containerd', path: '/run/containerd/runc/*/ID/state.json', decode: decodeRunc},
  {runtime: 'containerd', path: '/run/containerd/io.containerd.runtime.v2.task/*/ID/init.pid', decode: decodePid},
  {runtime: 'containerd', path: '/run/containerd/io.containerd.runtime.v2.task/*/ID/config.json', decode: decodeBundle},
  {runtime: 'podman', path: '/run/containers/storage/overlay-containers/ID/userdata/pidfile', decode: decodePid},
  {runtime: 'podman', path: '/run/user/*/containers/overlay-containers/ID/userdata/pidfile', decode: decodePid},
  {runtime: 'podman', path: '/run/containers/storage/overlay-containers/ID/userdata/config.json', decode: decodeBundle},
  {runtime: 'systemd-nspawn', path: '/run/systemd/machines/ID', decode: decodeMachine},
  {runtime: 'flatpak', path: '/run/user/*/.flatpak/ID/bwrapinfo.json', decode: decodeBwrapInfo},
  {runtime: 'flatpak', path: '/run/user/*/.flatpak/ID/info', decode: decodeFlatpak},
  {runtime: 'lxc', path: '/var/lib/lxc/ID/config', decode: () => ({})},
];

type Match = {readonly path: string; readonly id: string};

/** Walks a pattern; `told` hears of each directory that was listed. */
function matches(base: string, pattern: string, told: (directory: string, seen: Seen<number>) => void): Match[] {
  let found: Match[] = [{path: base, id: ''}];
  const parts = pattern.slice(1).split('/');
  const isWild = (part: string) => part === '*' || part === 'ID';
  const first = parts.findIndex(isWild);
  for (const [index, part] of parts.entries()) {
    if (!isWild(part)) {
      found = found.map(({path, id: name}) => ({path: `${path}/${part}`, id: name}));
      // Whoever may write below the first that is listed could lead elsewhere by a link.
      if (index > first && index < parts.length - 1) found = found.filter(({path}) => isDirectory(path));
      continue;
    }
    const next: Match[] = [];
    for (const {path, id: name} of found) {
      const names = list(path);
      if (part === 'ID' || isRefusal(names)) told(path.slice(base.length), isRefusal(names) ? names : names.length);
      if (isRefusal(names)) continue;
      for (const entry of names) if (next.length < MOST_ENTRIES) next.push({path: `${path}/${entry}`, id: part === 'ID' ? entry : name});
    }
    found = next;
  }
  return found;
}

/** /run/snapd/ns/NAME.mnt is the mount namespace itself, bound there (snap-confine(1)). */
function readSnaps(base: string, states: ContainerState[], told: (directory: string, seen: Seen<number>) => void): void {
  const directory = `${base}/run/snapd/ns`;
  const names = list(directory);
  told('/run/snapd/ns', isRefusal(names) ? names : names.length);
  for (const file of isRefusal(names) ? [] : names) {
    const name = /^([a-z0-9-]+)\.mnt$/.exec(file)?.[1];
    if (name === undefined) continue;
    try {
      const {ino, uid} = lstatSync(`${directory}/${file}`, {bigint: true});
      states.push({runtime: 'snap', id: name, file: `/run/snapd/ns/${file}`, mnt: String(ino), owner: Number(uid)});
    } catch {
      // Gone meanwhile.
    }
  }
}

/** firejail(1) keeps files named by the pid of the process that minds a sandbox: the first process of it, and its name where it has one. */
function readFirejails(base: string, states: ContainerState[], told: (directory: string, seen: Seen<number>) => void): void {
  for (const kind of ['sandbox', 'name']) {
    const directory = `${base}/run/firejail/${kind}`;
    const pids = list(directory);
    told(`/run/firejail/${kind}`, isRefusal(pids) ? pids : pids.length);
    for (const file of isRefusal(pids) ? [] : pids) {
      if (!/^[0-9]{1,7}$/.test(file)) continue;
      const read = readBounded(`${directory}/${file}`);
      if (isRefusal(read)) continue;
      const said = kind === 'name' ? {name: read.text.trim().slice(0, 256)} : decodePid(read.text);
      if (said === null) continue;
      const {owner, written} = read;
      states.push({runtime: 'firejail', id: file, file: `/run/firejail/${kind}/${file}`, minder: Number(file), owner, written, ...said});
    }
  }
}

/** All that the runtimes have written below `base`, which is empty but for tests. */
export function readContainers(base = ''): Containers {
  const states: ContainerState[] = [];
  const places: StatePlace[] = [];
  const tell = (runtime: Runtime) => (directory: string, seen: Seen<number>) => {
    if (!places.some(place => place.runtime === runtime && place.directory === directory)) places.push({runtime, directory, seen});
  };
  for (const {runtime, path, decode} of FILES)
    for (const match of matches(base, path, tell(runtime))) {
      const read = readBounded(match.path);
      const found = isRefusal(read) ? null : decode(read.text);
      if (isRefusal(read) || found === null) continue;
      // Whoever tells when the process started needs no other proof.
      const written = found.pid === undefined || found.start !== undefined ? {} : {written: read.written};
      states.push({runtime, id: match.id, file: match.path.slice(base.length), owner: read.owner, ...written, ...found});
    }
  readSnaps(base, states, tell('snap'));
  readFirejails(base, states, tell('firejail'));
  return {states, places};
}
