// Knows how to read the whole machine, or a tree of it, once.

import {closeSync, openSync} from 'node:fs';
import {type Contained, createContainers} from '../model/container.ts';
import {
  isRefusal,
  type Mount,
  type NamespaceLinks,
  type ProcessSeen,
  type Refusal,
  type Seen,
  type Snapshot,
  type SnapshotCgroup,
  type SnapshotContainer,
  type SnapshotNamespace,
} from '../model/fact.ts';
import {hiddenMounts} from '../model/mounts.ts';
import {NAMESPACES, type NamespaceLink, typeOfLink} from '../model/namespace.ts';
import type {Holder} from '../model/ownership.ts';
import {createLimits} from './cgroup.ts';
import {readContainers} from './containers.ts';
import {createInside} from './containers-inside.ts';
import {
  createSocketNetworks,
  firstMount,
  type Held,
  type OpenTable,
  ofThread,
  pathOfPin,
  pidOfPin,
  pinnedBy,
  readNamespaceFds,
  socketHolder,
  tableHolder,
  userFirst,
} from './holders.ts';
import {readHost} from './host.ts';
import {readLineage} from './lineage.ts';
import {readMountsThrough, walkMountNamespaces} from './mount-namespaces.ts';
import {READERS_ASKED, readMountNamespace} from './mounts-fact.ts';
import {readNetworks} from './network.ts';
import {readNumbers} from './proc-file.ts';
import {type ProcessRead, readAll} from './processes.ts';
import {readTreeDetails} from './tree-details.ts';
import {readTreeSharing} from './tree-sharing.ts';

const LEADER_LINKS: readonly NamespaceLink[] = NAMESPACES.map(kind => kind.link);
const CHILDREN_LINKS: readonly NamespaceLink[] = ['pid_for_children', 'time_for_children'];

/** Every process that /proc lists; those that vanish while it is read are left out, since they are no longer there. */
function readProcesses(fds: boolean): ProcessRead[] {
  const pids = readNumbers('/proc');
  return readAll(isRefusal(pids) ? [] : pids, fds);
}

/** `root` and all that descends from it, by parent. */
function treeOf(processes: readonly ProcessSeen[], root: number): ProcessSeen[] {
  const children = new Map<number, ProcessSeen[]>();
  for (const process of processes) {
    const siblings = children.get(process.ppid);
    if (siblings === undefined) children.set(process.ppid, [process]);
    else siblings.push(process);
  }
  const tree = new Map<number, ProcessSeen>();
  const visit = (process: ProcessSeen) => {
    if (tree.has(process.pid)) return;
    tree.set(process.pid, process);
    for (const child of children.get(process.pid) ?? []) visit(child);
  };
  for (const process of processes) if (process.pid === root) visit(process);
  return processes.filter(process => tree.has(process.pid));
}

/** Every namespace that a process or thread is in, or that its children will be born in. */
function namespacesOf(processes: readonly ProcessSeen[]): SnapshotNamespace[] {
  type Building = {type: string; inode: string; processes: number[]; threads: {pid: number; tid: number}[]; forChildrenOf: number[]};
  const byInode = new Map<string, Building>();
  const at = (link: NamespaceLink, inode: string): Building => {
    let found = byInode.get(inode);
    if (found === undefined) {
      found = {type: typeOfLink(link), inode, processes: [], threads: [], forChildrenOf: []};
      byInode.set(inode, found);
    }
    return found;
  };
  const each = (
    links: {readonly [link in NamespaceLink]?: Seen<string>},
    wanted: readonly NamespaceLink[],
    use: (found: Building) => void,
  ) => {
    for (const link of wanted) {
      const inode = links[link];
      if (inode !== undefined && !isRefusal(inode)) use(at(link, inode));
    }
  };
  for (const process of processes) {
    const {pid, namespaces} = process;
    each(namespaces, LEADER_LINKS, found => found.processes.push(pid));
    for (const link of CHILDREN_LINKS) {
      if (namespaces[link] === namespaces[typeOfLink(link)]) continue;
      each(namespaces, [link], found => found.forChildrenOf.push(pid));
    }
    for (const thread of process.threads) {
      each(thread.namespaces ?? {}, LEADER_LINKS, found => found.threads.push({pid, tid: thread.tid}));
      each(thread.namespaces ?? {}, CHILDREN_LINKS, () => {});
    }
  }
  const order = (type: string) => NAMESPACES.findIndex(kind => kind.type === type);
  return [...byInode.values()]
    .sort((a, b) => order(a.type) - order(b.type) || Number(a.inode) - Number(b.inode))
    .map(({type, inode, processes: pids, threads, forChildrenOf}) => ({
      type,
      inode,
      processes: pids,
      ...(threads.length > 0 ? {threads} : {}),
      ...(forChildrenOf.length > 0 ? {forChildrenOf} : {}),
    }));
}

/** Members of each mount namespace, the best reader first: one whose root is the namespace's root sees all of it. */
function mountReaders(processes: readonly ProcessSeen[]): Map<string, number[]> {
  const members = new Map<string, number[]>();
  const add = (links: Partial<NamespaceLinks>, pid: number) => {
    const inode = links.mnt;
    if (inode === undefined || isRefusal(inode)) return;
    const pids = members.get(inode);
    if (pids === undefined) members.set(inode, [pid]);
    else pids.push(pid);
  };
  for (const process of processes) {
    if (process.state !== 'Z') add(process.namespaces, process.pid);
    for (const thread of process.threads) add(thread.namespaces ?? {}, thread.tid);
  }
  return members;
}

function cgroupsOf(processes: readonly ProcessSeen[]): SnapshotCgroup[] {
  const cgroups = new Map<string, {hierarchy: number; controllers: readonly string[]; path: string; processes: number[]}>();
  for (const process of processes) {
    if (isRefusal(process.cgroup)) continue;
    for (const {hierarchy, controllers, path} of process.cgroup) {
      const key = `${hierarchy}:${path}`;
      const found = cgroups.get(key);
      if (found === undefined) cgroups.set(key, {hierarchy, controllers, path, processes: [process.pid]});
      else found.processes.push(process.pid);
    }
  }
  const limitsOf = createLimits();
  return [...cgroups.values()]
    .sort((a, b) => a.hierarchy - b.hierarchy || (a.path < b.path ? -1 : 1))
    .map(cgroup => {
      const limits = limitsOf(cgroup);
      return Object.keys(limits).length === 0 ? cgroup : {...cgroup, limits};
    });
}

/** What is known of `all` says which containers `processes` are in. */
export function containersOf(
  all: readonly ProcessSeen[],
  processes: readonly ProcessSeen[],
  base = '',
  tables: readonly MountNamespace[] = [],
): SnapshotContainer[] {
  type Building = Contained & {maker: Contained | null};
  const byPid = new Map<number, Building>();
  for (const process of all) byPid.set(process.pid, {...process, links: process.namespaces, maker: null});
  for (const {pid, ppid} of all) {
    const process = byPid.get(pid);
    const maker = byPid.get(ppid);
    if (process === undefined || maker === undefined) continue;
    // One that has the pid of a parent that ended while /proc was read came later than the child: no process stands above itself.
    const age = Number(process.start) - Number(maker.start);
    if (age > 0 || (age === 0 && maker.pid < pid)) process.maker = maker;
  }
  const read = new Map(tables.map(table => [table.inode, table]));
  const spaces = [...mountReaders(all)].map(([inode, pids]) => {
    const table = read.get(inode);
    const some = pids.slice(0, READERS_ASKED);
    return table === undefined ? {inode, pids: some} : {inode, pids: [table.pid, ...some], mounts: table.mounts};
  });
  const words = createInside().read(spaces);
  const containerOf = createContainers({...readContainers(base), words}, pid => byPid.get(pid));
  const found = new Map<string, {container: NonNullable<ReturnType<typeof containerOf>>; pids: number[]}>();
  for (const {pid} of processes) {
    const process = byPid.get(pid);
    const container = process === undefined ? null : containerOf(process);
    if (container === null) continue;
    const known = found.get(container.key);
    if (known === undefined) found.set(container.key, {container, pids: [pid]});
    else known.pids.push(pid);
  }
  return [...found.values()].map(({container: {runtime, through, id, name, evidence, missing}, pids}) => ({
    runtime,
    ...(through === undefined ? {} : {through}),
    id,
    name,
    processes: pids,
    evidence,
    missing,
  }));
}

type MountNamespace = ReturnType<typeof readMountNamespace>;

type WithHolders = {
  readonly namespaces: SnapshotNamespace[];
  readonly tables: MountNamespace[];
  readonly unlisted: Refusal | null;
  /** Files that lead to namespaces, by inode. */
  readonly paths: ReadonlyMap<string, string>;
};

/**
 * Adds who owns each namespace, what holds it besides tasks, and, of the whole machine, those that have none. `kept` gets fds that `paths` are
 * good as long as.
 */
function withHolders(
  peopled: readonly SnapshotNamespace[],
  processes: readonly ProcessSeen[],
  tables: readonly MountNamespace[],
  whole: boolean,
  kept: number[],
  fdsOf: (pid: number) => readonly Held[],
): WithHolders {
  const sockets = createSocketNetworks();
  const opened: Omit<OpenTable, 'id'>[] = [];
  type Found = {namespace: SnapshotNamespace; owner: string | undefined; heldBy: Holder[]};
  const byInode = new Map<string, Found>();
  const paths = new Map<string, string>();
  for (const namespace of peopled) byInode.set(namespace.inode, {namespace, owner: undefined, heldBy: []});
  const found = (type: string, inode: string): Found | undefined => {
    let known = byInode.get(inode);
    if (known === undefined && whole) {
      known = {namespace: {type, inode, processes: []}, owner: undefined, heldBy: []};
      byInode.set(inode, known);
    }
    return known;
  };
  const addPath = (links: Partial<NamespaceLinks>, folder: string) => {
    for (const [link, inode] of Object.entries(links)) if (!isRefusal(inode) && !paths.has(inode)) paths.set(inode, `${folder}/ns/${link}`);
  };
  for (const {pid, namespaces, threads} of processes) {
    addPath(namespaces, `/proc/${pid}`);
    for (const {tid, namespaces: apart = {}} of threads) {
      addPath(apart, `/proc/${pid}/task/${tid}`);
      for (const link of CHILDREN_LINKS) {
        const [inode, type] = [apart[link], typeOfLink(link)];
        if (inode === undefined || isRefusal(inode) || inode === (apart[type] ?? namespaces[type])) continue;
        found(type, inode)?.heldBy.push({by: 'children', pid, tid});
      }
    }
    for (const {by, number, type, inode, tid} of fdsOf(pid)) {
      if (by === 'table') {
        opened.push({holder: tableHolder(pid, number, tid), from: isRefusal(namespaces.mnt) ? undefined : namespaces.mnt});
        continue;
      }
      if (by === 'socket') {
        const network = sockets.networkOf(tid || pid, number, inode, (first, path) => {
          if (byInode.has(first) || paths.has(first)) return;
          const fd = openSync(path, 'r');
          kept.push(fd);
          paths.set(first, `/proc/self/fd/${fd}`);
        });
        if (network !== null && network !== namespaces.net) found('net', network)?.heldBy.push(socketHolder(pid, number, inode, tid));
        continue;
      }
      found(type, inode)?.heldBy.push({by: 'fd', pid, ...ofThread(tid), fd: number});
      if (!paths.has(inode)) paths.set(inode, `/proc/${pid}${tid === 0 ? '' : `/task/${tid}`}/fd/${number}`);
    }
  }
  const listed = opened.flatMap(({holder, from}) => {
    const id = firstMount(holder);
    return id === null ? [] : [{holder, from, id}];
  });
  const addOpened = (inode: string, mounts: Seen<readonly Mount[]>) => {
    if (listed.length === 0 || isRefusal(mounts)) return;
    const ids = new Set(mounts.map(({id}) => id));
    for (const {holder, from, id} of listed) if (from !== inode && ids.has(id)) found('mnt', inode)?.heldBy.push(holder);
  };
  for (const {inode: table, pid, mounts} of tables) {
    if (isRefusal(mounts)) continue;
    addOpened(table, mounts);
    for (const mount of mounts) {
      const pinned = pinnedBy(mount);
      if (pinned === null) continue;
      found(pinned.type, pinned.inode)?.heldBy.push({by: 'mount', inode: table, pid, point: mount.point, ...userFirst(pid)});
      const path = paths.has(pinned.inode) ? null : pathOfPin(pid, mount.point, mounts);
      if (path !== null) paths.set(pinned.inode, path);
    }
  }
  const read = new Set(tables.map(({inode}) => inode));
  const unpeopled: MountNamespace[] = [];
  /** The mounts of a namespace that no process is in. `lasting`: the path is good for others, and later. */
  const readInside = (inode: string, path: string, lasting: boolean) => {
    if (read.has(inode)) return;
    read.add(inode);
    const mounts = readMountsThrough(path);
    unpeopled.push({inode, pid: 0, mounts});
    addOpened(inode, mounts);
    for (const mount of isRefusal(mounts) ? [] : mounts) {
      const pinned = pinnedBy(mount);
      if (pinned === null) continue;
      const {point} = mount;
      found(pinned.type, pinned.inode)?.heldBy.push({
        by: 'mount',
        inode,
        pid: 0,
        point,
        ...(lasting ? {through: path, ...userFirst(pidOfPin(path))} : {}),
      });
    }
  };
  if (whole) for (const [inode, path] of paths) if (byInode.get(inode)?.namespace.type === 'mnt') readInside(inode, path, true);
  const seen = new Set<string>();
  /** Below to above, as far as that is not known yet. */
  const climb = (type: string, inode: string, chain: readonly {readonly inode: string}[], as: 'owned' | 'child') => {
    let below = {type, inode, as};
    for (const {inode: up} of chain) {
      const target = found(as === 'child' ? type : 'user', up);
      const child = byInode.get(below.inode);
      if (child !== undefined && (below.as === 'owned' || below.type === 'user')) child.owner = up;
      const {namespace} = target ?? {};
      const isEmpty = namespace !== undefined && namespace.processes.length === 0 && namespace.threads === undefined;
      if (isEmpty && !seen.has(`${below.inode} ${up}`)) target?.heldBy.push({by: 'namespace', ...below});
      seen.add(`${below.inode} ${up}`);
      below = {type: as === 'child' ? type : 'user', inode: up, as: 'child'};
    }
  };
  const lookUp = (inode: string, path: string) => {
    const lineage = readLineage(path);
    // Another one by that path since, or a mount over the mount.
    if (isRefusal(lineage) || lineage.inode !== inode) return;
    climb(lineage.type, inode, lineage.chain.slice(1), 'child');
    if (lineage.type !== 'user') climb(lineage.type, inode, lineage.owners, 'owned');
  };
  for (const [inode, path] of paths) lookUp(inode, path);
  let unlisted: Refusal | null = null;
  if (whole) {
    const walk = walkMountNamespaces();
    try {
      let step = walk.next();
      for (; !step.done; step = walk.next()) {
        const {inode, path} = step.value;
        if (paths.has(inode)) continue;
        found('mnt', inode);
        lookUp(inode, path);
        readInside(inode, path, false);
      }
      unlisted = step.value;
    } finally {
      walk.return(null);
    }
  }
  const order = (type: string) => NAMESPACES.findIndex(kind => kind.type === type);
  const namespaces = [...byInode.values()]
    .map(({namespace, owner, heldBy}) => ({
      ...namespace,
      ...(owner === undefined ? {} : {owner}),
      ...(heldBy.length > 0 ? {heldBy} : {}),
    }))
    .sort((a, b) => order(a.type) - order(b.type) || Number(a.inode) - Number(b.inode));
  return {namespaces, tables: [...tables, ...unpeopled], unlisted, paths};
}

/** Peers and masters are found by the numbers that the tables hold; what no path leads to can only be found out from all of a table. */
function withHidden(table: MountNamespace): Snapshot['mountNamespaces'][number] {
  if (isRefusal(table.mounts)) return table;
  const hidden = [...hiddenMounts(table.mounts).keys()].sort((a, b) => a - b);
  return hidden.length > 0 ? {...table, hidden} : table;
}

export function readSnapshot(options: {readonly root?: number; readonly version: string}): Snapshot {
  const at = String(process.hrtime.bigint());
  const realtime = String(BigInt(Date.now()) * 1_000_000n);
  const read = readProcesses(options.root === undefined);
  const all = read.map(({seen}) => seen);
  const fds = new Map(read.map(one => [one.seen.pid, one.fds]));
  const processes = options.root === undefined ? all : treeOf(all, options.root);
  const mountNamespaces = [...mountReaders(processes)].map(([inode, pids]) => readMountNamespace(inode, pids));
  const namespaces = namespacesOf(processes);
  const kept: number[] = [];
  const held = withHolders(
    namespaces,
    processes,
    mountNamespaces,
    options.root === undefined,
    kept,
    pid => fds.get(pid) ?? readNamespaceFds(pid),
  );
  const networks = new Map<string, {pid: number; path: string}>();
  for (const {type, inode, processes: pids, threads} of held.namespaces) {
    if (type !== 'net') continue;
    const member = pids[0] ?? threads?.[0]?.tid;
    const path = member === undefined ? held.paths.get(inode) : `/proc/${member}/ns/net`;
    if (path !== undefined) networks.set(inode, {pid: member ?? 0, path});
  }
  const snapshot: Snapshot = {
    format: 'nsview/snapshot',
    version: 1,
    nsview: options.version,
    at,
    realtime,
    host: readHost(),
    processes,
    namespaces: held.namespaces,
    mountNamespaces: held.tables.map(withHidden),
    ...(held.unlisted === null ? {} : {unlisted: held.unlisted}),
    cgroups: cgroupsOf(processes),
    networks: readNetworks(networks, options.root !== undefined),
    containers: containersOf(all, processes, '', mountNamespaces),
    ...(options.root === undefined
      ? {}
      : {
          sharing: readTreeSharing(all, processes),
          details: readTreeDetails(all, processes, new Map(mountNamespaces.map(({inode, mounts}) => [inode, mounts]))),
        }),
  };
  for (const fd of kept) closeSync(fd);
  return snapshot;
}
