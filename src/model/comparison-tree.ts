// Knows a snapshot as a tree to compare: a node for each process, and below it one for each thread that is not like it.

import type {CgroupPath, Ids, ProcessSeen, Seen, Snapshot, ThreadSeen} from './fact.ts';
import {isRefusal} from './fact.ts';
import type {Credentials} from './identity.ts';
import type {NamespaceLink} from './namespace.ts';
import type {FileTable, ProcessDetails} from './tree-details.ts';

export type Node = {
  /** Position in `nodes`: parents stand before their children, siblings in the order of their birth. */
  index: number;
  readonly pid: number;
  /** Of a thread that is not like its process. */
  readonly tid: number | null;
  readonly comm: string;
  readonly process: ProcessSeen;
  readonly links: {readonly [link in NamespaceLink]: Seen<string>};
  readonly uids: Seen<Ids>;
  readonly gids: Seen<Ids>;
  readonly credentials: Seen<Credentials> | null;
  readonly cgroup: Seen<readonly CgroupPath[]>;
  readonly thread: ThreadSeen | null;
  readonly details: ProcessDetails | null;
  /** null: where it was not read, and of a thread that has that of its process. */
  readonly fileTable: FileTable | null;
  parent: Node | null;
  children: Node[];
  /** Nodes in the tree that it is the top of. */
  size: number;
};

export type Tree = {
  readonly snapshot: Snapshot;
  readonly nodes: readonly Node[];
  readonly roots: readonly Node[];
  /** Processes that have ended and wait for their parent: nothing of them is isolated from anything. */
  readonly zombies: number;
};

const older = (a: ProcessSeen, b: ProcessSeen): number =>
  a.start.length - b.start.length || (a.start === b.start ? a.pid - b.pid : a.start < b.start ? -1 : 1);

const isZombie = ({state, threads}: ProcessSeen): boolean => (state === 'Z' || state === 'X') && threads.length === 0;

function processNode(process: ProcessSeen, details: ProcessDetails | null): Node {
  const {pid, comm, namespaces, uids, gids, cgroup} = process;
  const credentials = process.credentials ?? null;
  return {
    index: 0,
    pid,
    tid: null,
    comm,
    process,
    links: namespaces,
    uids,
    gids,
    credentials,
    cgroup,
    thread: null,
    details,
    fileTable: details,
    parent: null,
    children: [],
    size: 1,
  };
}

/** As its process, but for what it has of its own. */
function threadNode(node: Node, thread: ThreadSeen): Node {
  const {tid, comm, namespaces = {}, apart = {}} = thread;
  const {credentials} = node;
  const has = <Key extends 'groups' | 'noNewPrivs' | 'seccomp' | 'filters'>(key: Key) => (key in apart ? {[key]: apart[key]} : {});
  const own: Node['credentials'] =
    credentials === null || isRefusal(credentials)
      ? credentials
      : {
          ...credentials,
          ...has('groups'),
          ...has('noNewPrivs'),
          ...has('seccomp'),
          ...has('filters'),
          capabilities: {...credentials.capabilities, ...apart.capabilities},
        };
  const lines = apart.cgroup ?? [];
  const cgroup: Seen<readonly CgroupPath[]> = isRefusal(node.cgroup)
    ? node.cgroup
    : node.cgroup.map(line => lines.find(({hierarchy}) => hierarchy === line.hierarchy) ?? line);
  return {
    ...node,
    tid,
    comm,
    thread,
    fileTable: node.details?.threads?.find(one => one.tid === tid) ?? null,
    links: {...node.links, ...namespaces},
    uids: apart.uids ?? node.uids,
    gids: apart.gids ?? node.gids,
    credentials: own,
    cgroup,
    parent: node,
    children: [],
    size: 1,
  };
}

const isApart = ({namespaces = {}, apart = {}}: ThreadSeen): boolean => Object.keys(namespaces).length + Object.keys(apart).length > 0;

/** Parents by pid; a process that stands above itself, as no kernel tells, is a root. */
export function treeOfSnapshot(snapshot: Snapshot): Tree {
  const living = snapshot.processes.toSorted(older);
  const details = new Map(snapshot.details?.processes.map(one => [one.pid, one]));
  const byPid = new Map(living.map(process => [process.pid, processNode(process, details.get(process.pid) ?? null)]));
  const parents = new Set(living.map(({ppid}) => ppid));
  let zombies = 0;
  const roots: Node[] = [];
  for (const process of living) {
    const node = byPid.get(process.pid);
    if (node === undefined || node.process !== process) continue;
    if (isZombie(process) && !parents.has(process.pid)) {
      zombies++;
      continue;
    }
    const parent = byPid.get(process.ppid);
    if (parent === undefined || parent === node) roots.push(node);
    else {
      node.parent = parent;
      parent.children.push(node);
    }
    for (const thread of process.threads) if (isApart(thread)) node.children.push(threadNode(node, thread));
  }
  const nodes: Node[] = [];
  const visit = (from: Node) => {
    const waiting = [from];
    for (let node = waiting.pop(); node !== undefined; node = waiting.pop()) {
      node.index = nodes.length;
      nodes.push(node);
      for (const child of node.children.toReversed()) waiting.push(child);
    }
  };
  for (const root of roots) visit(root);
  // What only a circle of parents leads to: strangers write files.
  const met = new Set(nodes);
  for (const node of byPid.values()) {
    if (met.has(node) || (isZombie(node.process) && !parents.has(node.pid))) continue;
    if (node.parent !== null) node.parent.children = node.parent.children.filter(child => child !== node);
    node.parent = null;
    roots.push(node);
    const from = nodes.length;
    visit(node);
    for (const seen of nodes.slice(from)) met.add(seen);
  }
  for (const node of nodes.toReversed()) if (node.parent !== null) node.parent.size += node.size;
  return {snapshot, nodes, roots, zombies};
}

export const nodeName = ({comm, pid, tid}: Node): string => (tid === null ? `${comm} ${pid}` : `thread ${comm} ${tid} of ${pid}`);

/** Matched processes, or threads: parents before children. `above`: the pair of the nearest ancestors that are matched. */
export type Pair = {readonly a: Node; readonly b: Node; readonly above: Pair | null};
