// Knows how to read what a snapshot of a tree tells besides, so that two trees can be compared.

import {constants, lstatSync} from 'node:fs';
import {z} from 'zod';
import {isRefusal, type Mount, type ProcessSeen, type Refusal, type Seen} from '../model/fact.ts';
import {isDumpable} from '../model/identity.ts';
import {NAMESPACES} from '../model/namespace.ts';
import type {FileTable, OpenFd, Outside, ProcessDetails, SpaceDetails, TreeDetails} from '../model/tree-details.ts';
import {readBoundSockets} from './bound-sockets.ts';
import {habitsSchema, readHabits} from './habits.ts';
import {readRanges} from './id-map.ts';
import {decodeLimits, readLabels, readOverflow, readOwner} from './identity.ts';
import {readMounts} from './mountinfo.ts';
import {createMountsUsed} from './mounts-used.ts';
import {readFolderInNamespace, readInNamespace} from './namespace-file.ts';
import {readLink, readNumbers, readText} from './proc-file.ts';
import {statusLine} from './process.ts';

const refusal = z.object({errno: z.string(), during: z.string()});
const seen = <T extends z.ZodType>(schema: T) => z.union([schema, refusal]);
const ranges = z.array(z.object({inside: z.int(), outside: z.int(), count: z.int()}));

const fileTable = {
  fds: seen(
    z.array(
      z.object({
        fd: z.int(),
        link: z.string(),
        mode: z.enum(['r', 'w', 'rw', '-']),
        mount: z.int().exactOptional(),
        bound: z.string().exactOptional(),
      }),
    ),
  ).describe(
    'The first 1024; - is open neither for reading nor for writing. mount: the id of the one of its namespace that it is on; bound: by what others reach a socket.',
  ),
  open: z.int().describe('How many fds are open.'),
};

export const treeDetailsSchema: z.ZodType<TreeDetails> = z.object({
  outside: z.object({
    namespaces: z.array(z.string()).describe('Namespaces of the tree that processes outside of it are in as well.'),
    cgroups: z.array(z.object({controllers: z.array(z.string()), path: z.string()})).describe('Cgroups of the tree, likewise.'),
    devices: z.array(z.string()).describe('Devices of the mounts that nsview sees itself.'),
    peerGroups: z.array(z.int()).describe('Peer groups of these mounts.'),
  }),
  processes: z.array(
    z.object({
      pid: z.int(),
      root: seen(z.string()),
      cwd: seen(z.string()),
      mounts: z
        .object({root: z.int().exactOptional(), cwd: z.int().exactOptional(), exe: z.int().exactOptional()})
        .exactOptional()
        .describe('Ids of the mounts, of its mount namespace, that these and its program are on.'),
      ...fileTable,
      threads: z
        .array(z.object({tid: z.int(), ...fileTable}))
        .exactOptional()
        .describe('Threads that have a file table of their own.'),
      limits: seen(z.record(z.string(), z.tuple([z.string(), z.string()]))).describe('Soft and hard, as in /proc/PID/limits.'),
      labels: seen(z.array(z.object({module: z.string(), label: z.string()}))),
      dumpable: z.boolean().nullable().describe('null: its files are root’s in any case.'),
      umask: seen(z.string()).exactOptional().describe('Octal, as in /proc/PID/status.'),
      oomScoreAdj: seen(z.string()).exactOptional().describe('/proc/PID/oom_score_adj.'),
      habits: habitsSchema.exactOptional().describe('How it is scheduled, and what else a child inherits.'),
    }),
  ),
  left: z.int().describe('Processes that were not read.'),
  namespaces: z
    .array(
      z.object({
        inode: z.string(),
        uidMap: seen(ranges).exactOptional(),
        gidMap: seen(ranges).exactOptional(),
        setgroups: seen(z.string()).exactOptional(),
        hostname: seen(z.string()).exactOptional(),
        domainname: seen(z.string()).exactOptional(),
        offsets: seen(z.string()).exactOptional().describe('Lines of /proc/PID/timens_offsets.'),
        sysctls: seen(z.record(z.string(), z.string()))
          .exactOptional()
          .describe(
            'What is set inside, by the names of sysctl(8); of an interface what is not as net.ipv4.conf.default has it, and so on.',
          ),
      }),
    )
    .describe('What user, uts, time, net and ipc namespaces have.'),
});

function inodesOf({namespaces}: ProcessSeen): string[] {
  return NAMESPACES.flatMap(({link}) => {
    const inode = namespaces[link];
    return isRefusal(inode) ? [] : [inode];
  });
}

function readOutside(all: readonly ProcessSeen[], tree: readonly ProcessSeen[]): Outside {
  const inside = new Set(tree.map(({pid}) => pid));
  const own = new Set(tree.flatMap(inodesOf));
  const namespaces = new Set<string>();
  const lines = new Set<string>(
    tree.flatMap(({cgroup}) => (isRefusal(cgroup) ? [] : cgroup.map(({hierarchy, path}) => `${hierarchy}:${path}`))),
  );
  const cgroups = new Map<string, Outside['cgroups'][number]>();
  for (const process of all) {
    if (inside.has(process.pid)) continue;
    for (const inode of inodesOf(process)) if (own.has(inode)) namespaces.add(inode);
    for (const {hierarchy, controllers, path} of isRefusal(process.cgroup) ? [] : process.cgroup) {
      const key = `${hierarchy}:${path}`;
      if (lines.has(key) && !cgroups.has(key)) cgroups.set(key, {controllers, path});
    }
  }
  const mounts = readMounts('self');
  const table = isRefusal(mounts) ? [] : mounts;
  const groups = table.flatMap(({propagation: {shared, master}}) => [shared ?? [], master ?? []].flat());
  return {
    namespaces: [...namespaces],
    cgroups: [...cgroups.values()],
    devices: [...new Set(table.map(({device}) => device))],
    peerGroups: [...new Set(groups)],
  };
}

/** Processes that are read, and fds of each. */
const MOST = {processes: 4096, fds: 1024};

/** Modes of the link itself: what it is open for (fs/proc/fd.c, tid_fd_mode). */
function readMode(path: string): OpenFd['mode'] {
  try {
    const {mode} = lstatSync(path);
    const reads = (mode & constants.S_IRUSR) !== 0;
    const writes = (mode & constants.S_IWUSR) !== 0;
    return reads && writes ? 'rw' : reads ? 'r' : writes ? 'w' : '-';
  } catch {
    return '-';
  }
}

/** Of a process or a thread: /proc/TID is there for both (proc(5)). */
function readFds(tid: number, mountOf: (fd: number) => number | undefined, bound: ReadonlyMap<string, string>): FileTable {
  const folder = `/proc/${tid}/fd`;
  const numbers = readNumbers(folder);
  if (isRefusal(numbers)) return {fds: numbers, open: 0};
  const fds = numbers.slice(0, MOST.fds).flatMap((fd): OpenFd[] => {
    const link = readLink(`${folder}/${fd}`);
    // Closed meanwhile.
    if (isRefusal(link)) return [];
    const mount = mountOf(fd);
    const name = link.startsWith('socket:[') ? bound.get(link.slice('socket:['.length, -1)) : undefined;
    return [
      {fd, link, mode: readMode(`${folder}/${fd}`), ...(mount === undefined ? {} : {mount}), ...(name === undefined ? {} : {bound: name})},
    ];
  });
  return {fds, open: numbers.length};
}

function readLimits(pid: number): ProcessDetails['limits'] {
  const text = readText(`/proc/${pid}/limits`);
  if (isRefusal(text)) return text;
  return Object.fromEntries(decodeLimits(text).map(({name, soft, hard}) => [name, [soft, hard] as const]));
}

const trimmed = (text: Seen<string>): Seen<string> => (isRefusal(text) ? text : text.trim());

/** proc_pid_status(5): Linux 4.7. */
function umaskOf(text: Seen<string>): Seen<string> {
  if (isRefusal(text)) return text;
  return statusLine(text, 'Umask:') ?? {errno: 'ENOENT', during: 'read Umask'};
}

/** A hostname is at most 64 bytes (uname(2)). */
function readName(pid: number, isOwn: boolean, name: 'hostname' | 'domainname'): Seen<string> {
  const file = `/proc/sys/kernel/${name}`;
  return trimmed(isOwn ? readText(file) : readInNamespace(`/proc/${pid}/ns/uts`, 'uts', file, 256));
}

/** Files below /proc/sys that each ipc namespace has for itself (sysctl of the kernel's documentation): of the others a folder has all. */
const IPC_SYSCTLS: readonly string[] = [
  ...['msgmax', 'msgmnb', 'msgmni', 'sem', 'shmall', 'shmmax', 'shmmni', 'shm_rmid_forced'].map(name => `kernel/${name}`),
  ...['msg_default', 'msg_max', 'msgsize_default', 'msgsize_max', 'queues_max'].map(name => `fs/mqueue/${name}`),
];

/** As sysctl(8) spells it: a point in the name of an interface changes places with the slash. */
const sysctlName = (file: string): string => file.replaceAll(/[./]/g, found => (found === '/' ? '.' : '/'));

type Sysctls = Seen<{readonly [name: string]: string}>;

const isOwnLink = (link: string, type: string): boolean => readLink(link) === readLink(`/proc/self/ns/${type}`);
const oneLine = (text: string): string => text.trim().replaceAll(/\s+/g, ' ');

function readIpcSysctls(pid: number): Sysctls {
  const link = `/proc/${pid}/ns/ipc`;
  const isOwn = isOwnLink(link, 'ipc');
  const values: {[name: string]: string} = {};
  let absent: Refusal | null = null;
  for (const name of IPC_SYSCTLS) {
    const file = `/proc/sys/${name}`;
    const text = isOwn ? readText(file) : readInNamespace(link, 'ipc', file, 4096);
    if (!isRefusal(text)) values[sysctlName(name)] = oneLine(text);
    // This kernel is built without it, or the file is another user's.
    else if (text.during !== 'setns' && (text.errno === 'ENOENT' || text.errno === 'EACCES')) absent ??= text;
    else return text;
  }
  return absent !== null && Object.keys(values).length === 0 ? absent : values;
}

/**
 * What changes by itself (how many connections there are), belongs to the machine (the modules that are loaded), is secret, or is told of the
 * interfaces (NETCONFA_FORWARDING and the like, SnapshotNetwork).
 */
const NOT_SET =
  /(_count|_available_.*|available_.*|fastopen_key|stable_secret|ip_forward|conf\/[^/]+\/(forwarding|rp_filter|proxy_arp|proxy_ndp))$/;
/** What an interface has for itself, and from where a new one has it. */
const OF_DEVICE = /^(ipv[46]\/(?:conf|neigh)\/)([^/]+)(\/.*)$/;

/** All that is in the folder is of that namespace. What an interface has as all new ones have it is not told. */
function readFolderSysctls(pid: number, type: 'net' | 'user'): Sysctls {
  const link = `/proc/${pid}/ns/${type}`;
  const files = readFolderInNamespace(isOwnLink(link, type) ? null : link, type, `/proc/sys/${type}`);
  if (isRefusal(files)) return files;
  const values: {[name: string]: string} = {};
  for (const [file, text] of files) {
    if (type === 'net' && NOT_SET.test(file)) continue;
    const [, before, device, after] = OF_DEVICE.exec(file) ?? [];
    if (device !== undefined && device !== 'default' && files.get(`${before}default${after}`) === text) continue;
    values[sysctlName(`${type}/${file}`)] = oneLine(text);
  }
  return values;
}

/** What the namespaces of the tree have, each through its first member. */
function readSpaces(tree: readonly ProcessSeen[]): SpaceDetails[] {
  const own = readLink('/proc/self/ns/uts');
  const spaces = new Map<string, SpaceDetails>();
  const first = (inode: Seen<string>, read: (inode: string) => SpaceDetails) => {
    if (!isRefusal(inode) && !spaces.has(inode)) spaces.set(inode, read(inode));
  };
  for (const {pid, namespaces: links} of tree) {
    first(links.user, inode => ({
      inode,
      uidMap: readRanges(pid, 'uid'),
      gidMap: readRanges(pid, 'gid'),
      setgroups: trimmed(readText(`/proc/${pid}/setgroups`)),
      sysctls: readFolderSysctls(pid, 'user'),
    }));
    first(links.net, inode => ({inode, sysctls: readFolderSysctls(pid, 'net')}));
    first(links.ipc, inode => ({inode, sysctls: readIpcSysctls(pid)}));
    first(links.uts, inode => {
      const isOwn = own === `uts:[${inode}]`;
      return {inode, hostname: readName(pid, isOwn, 'hostname'), domainname: readName(pid, isOwn, 'domainname')};
    });
    // The file tells of the namespace of the children (fs/proc/base.c, timens_offsets_show).
    first(links.time_for_children, inode => ({inode, offsets: trimmed(readText(`/proc/${pid}/timens_offsets`))}));
  }
  return [...spaces.values()];
}

type Overflows = {readonly uid: number | null; readonly gid: number | null};

type Known = {
  readonly spaces: ReadonlyMap<string, SpaceDetails>;
  readonly overflow: Overflows;
  readonly usedBy: ReturnType<typeof createMountsUsed>;
  readonly bound: ReadonlyMap<string, string>;
};

function readProcessDetails(process: ProcessSeen, {spaces, overflow, usedBy, bound}: Known): ProcessDetails {
  const {pid, state, namespaces, uids, gids} = process;
  const used = usedBy(pid, namespaces.mnt);
  const status = readText(`/proc/${pid}/status`);
  const threads = process.threads.flatMap(({tid, apart}) =>
    apart?.objects?.includes('files') ? [{tid, ...readFds(tid, fd => used.fds.get(`${tid} ${fd}`), bound)}] : [],
  );
  const space = isRefusal(namespaces.user) ? undefined : spaces.get(namespaces.user);
  return {
    pid,
    root: readLink(`/proc/${pid}/root`),
    cwd: readLink(`/proc/${pid}/cwd`),
    ...(Object.keys(used.links).length > 0 ? {mounts: used.links} : {}),
    ...readFds(pid, fd => used.fds.get(`0 ${fd}`), bound),
    ...(threads.length > 0 ? {threads} : {}),
    limits: readLimits(pid),
    labels: readLabels(pid),
    dumpable: isDumpable(
      {state, uids, gids, owner: readOwner(pid)},
      {ranges: space?.uidMap ?? [], overflow: overflow.uid},
      {ranges: space?.gidMap ?? [], overflow: overflow.gid},
    ),
    umask: umaskOf(status),
    oomScoreAdj: trimmed(readText(`/proc/${pid}/oom_score_adj`)),
    habits: readHabits(pid, status),
  };
}

/** `tree`: of all processes those that are told of; `tables`: their mounts, by namespace. */
export function readTreeDetails(
  all: readonly ProcessSeen[],
  tree: readonly ProcessSeen[],
  tables: ReadonlyMap<string, Seen<readonly Mount[]>>,
): TreeDetails {
  const living = tree.filter(({state}) => state !== 'Z' && state !== 'X');
  const namespaces = readSpaces(living);
  const spaces = new Map(namespaces.map(space => [space.inode, space]));
  const read = living.slice(0, MOST.processes);
  const overflow = {uid: readOverflow('uid').overflow, gid: readOverflow('gid').overflow};
  const known = {spaces, overflow, usedBy: createMountsUsed(tables), bound: readBoundSockets(read)};
  return {
    outside: readOutside(all, tree),
    processes: read.map(process => readProcessDetails(process, known)),
    left: living.length - read.length,
    namespaces,
  };
}
