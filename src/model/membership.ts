// Knows who is in which namespace: links that move, threads that leave their process, and what holds a namespace alive.

import type {Apart} from './apart.ts';
import {isRefusal, type NamespaceChanges, type NamespaceLinks, type Seen} from './fact.ts';
import {type Namespace, type Namespaces, nameNamespace, type Origin} from './names.ts';
import {NAMESPACE_LINKS, type NamespaceLink, type NamespaceType, typeOfLink} from './namespace.ts';
import {grow, type Links, type Process, type Thread} from './process.ts';
import type {Shareable} from './sharing.ts';
import type {Move} from './timeline.ts';

/** The namespace that a link leads to, where it is known and was not refused. */
export function namespaceAt(namespaces: Namespaces, seen: Seen<string> | null | undefined): Namespace | null {
  if (seen === null || seen === undefined || isRefusal(seen)) return null;
  return namespaces.byInode.get(seen) ?? null;
}

/** Counts a link's target; `process` links count members, the others merely hold the namespace. */
function hold(namespaces: Namespaces, namespace: Namespace | null | undefined, link: NamespaceLink | 'thread', by: 1 | -1): void {
  if (namespace === null || namespace === undefined) return;
  if (link !== 'thread' && link === namespace.type) namespace.processes += by;
  else namespace.others += by;
  if (by > 0) namespaces.emptied.delete(namespace);
  else if (namespace.processes + namespace.others === 0 && namespace.index > 0) namespaces.emptied.add(namespace);
}

/** True where the namespace was never seen before. */
export function setLink(
  namespaces: Namespaces,
  process: Process,
  link: NamespaceLink,
  to: Seen<string> | undefined,
  origin: Origin,
): boolean {
  const was = process.links[link];
  if (to === undefined || (was === to && origin !== 'made')) return false;
  // The name first: a namespace that only this process still holds is not to be taken for a dead one.
  const named = isRefusal(to) ? null : nameNamespace(namespaces, typeOfLink(link), to, origin);
  const isNew = named?.isNew ?? false;
  // unshare(CLONE_NEWPID) makes a namespace that its caller never is in: it opens with its first process (pid_namespaces(7)).
  const isFirst = named !== null && link === named.namespace.type && !named.namespace.entered;
  if (named !== null && (isNew || isFirst)) process.opened.add(named.namespace);
  if (isFirst) named.namespace.entered = true;
  if (process.end === null) {
    hold(namespaces, process.spaces[link], link, -1);
    hold(namespaces, named?.namespace, link, 1);
  }
  process.links[link] = to;
  process.spaces[link] = named?.namespace ?? null;
  return isNew;
}

export function setThreads(
  namespaces: Namespaces,
  process: Process,
  threads: readonly {tid: number; comm: string; namespaces?: Links; apart?: Apart}[],
): void {
  process.tids.clear();
  for (const {tid} of threads) process.tids.add(tid);
  const now = new Map(threads.map(thread => [thread.tid, thread]));
  for (const tid of process.threads.keys()) if (!now.has(tid)) dropThread(namespaces, process, tid);
  for (const tid of process.undoApart) if (!now.has(tid)) process.undoApart.delete(tid);
  for (const thread of threads) putThread(namespaces, process, thread.tid, thread.comm, {...thread.namespaces}, thread.apart ?? {});
}

/** Keeps a thread while it is not like its process, and only then. */
export function putThread(
  namespaces: Namespaces,
  process: Process,
  tid: number,
  comm: string,
  links: Links,
  apart: Apart,
  origin: (link: NamespaceLink) => Origin = () => null,
): Set<Namespace> {
  const opened = new Set<Namespace>();
  const thread: Thread = {tid, comm, links: {}, spaces: {}, apart: withUndo(process, tid, apart)};
  for (const link of NAMESPACE_LINKS) {
    const to = links[link];
    if (to === undefined || to === process.links[link]) continue;
    const named = isRefusal(to) ? null : nameNamespace(namespaces, typeOfLink(link), to, origin(link));
    thread.links[link] = to;
    thread.spaces[link] = named?.namespace ?? null;
    hold(namespaces, named?.namespace, 'thread', 1);
    if (named?.isNew) opened.add(named.namespace);
  }
  dropThread(namespaces, process, tid);
  if (Object.keys(thread.links).length + Object.keys(thread.apart).length > 0) {
    process.threads.set(tid, thread);
    grow(process, 1);
  }
  return opened;
}

/** Whether it has a list of semaphore undos of its own is told only by a study of the process. */
function withUndo(process: Process, tid: number, apart: Apart): Apart {
  const {objects = [], ...rest} = apart;
  const all: Shareable[] = objects.filter(kind => kind !== 'sysvsem');
  if (process.undoApart.has(tid)) all.push('sysvsem');
  return all.length > 0 ? {...rest, objects: all} : rest;
}

/** A study has told which threads have a list of semaphore undos of their own. */
export function setUndo(namespaces: Namespaces, process: Process, threads: readonly {readonly tid: number; readonly comm: string}[]): void {
  const now = new Map(threads.map(({tid, comm}) => [tid, comm]));
  const changed = new Map(now);
  for (const tid of process.undoApart) changed.set(tid, process.threads.get(tid)?.comm ?? '');
  process.undoApart.clear();
  for (const tid of now.keys()) process.undoApart.add(tid);
  for (const [tid, comm] of changed) {
    const thread = process.threads.get(tid);
    putThread(namespaces, process, tid, thread?.comm ?? comm, {...thread?.links}, thread?.apart ?? {});
  }
}

export function dropThread(namespaces: Namespaces, process: Process, tid: number): void {
  const thread = process.threads.get(tid);
  if (thread === undefined) return;
  for (const link of NAMESPACE_LINKS) hold(namespaces, thread.spaces[link], 'thread', -1);
  process.threads.delete(tid);
  grow(process, -1);
}

/** Moves a process, and says from where to where. */
export function move(namespaces: Namespaces, process: Process, changed: NamespaceChanges, origin: (type: NamespaceType) => Origin): Move[] {
  const moves: Move[] = [];
  for (const link of NAMESPACE_LINKS) {
    const change = changed[link];
    if (change === undefined) continue;
    // The process may have been read from /proc before its clone was told: then it is there already.
    const was = process.spaces[link];
    const arrived = process.links[link] === change.to;
    const from = arrived ? namespaceAt(namespaces, change.from) : (was ?? namespaceAt(namespaces, change.from));
    const isNew = arrived
      ? was !== null && was !== undefined && process.opened.has(was)
      : setLink(namespaces, process, link, change.to, origin(typeOfLink(link)));
    moves.push({link, from, to: process.spaces[link] ?? null, isNew, refusal: isRefusal(change.to) ? change.to : null});
  }
  return moves;
}

export function movesAgainst(namespaces: Namespaces, host: NamespaceLinks, process: Process): Move[] {
  const moves: Move[] = [];
  for (const link of NAMESPACE_LINKS) {
    if (link !== typeOfLink(link)) continue;
    const to = process.spaces[link] ?? null;
    const from = process.maker === null ? namespaceAt(namespaces, host[link]) : (process.maker.spaces[link] ?? null);
    if (to !== null && from !== null && to !== from) moves.push({link, from, to, isNew: process.opened.has(to), refusal: null});
  }
  return moves;
}

export function moveTargets(changed: NamespaceChanges): Links {
  const links: Links = {};
  for (const link of NAMESPACE_LINKS) {
    const change = changed[link];
    if (change !== undefined) links[link] = change.to;
  }
  return links;
}

/** It holds no namespace any more. */
export function letGo(namespaces: Namespaces, process: Process): void {
  for (const link of NAMESPACE_LINKS) hold(namespaces, process.spaces[link], link, -1);
  for (const thread of process.threads.values()) for (const link of NAMESPACE_LINKS) hold(namespaces, thread.spaces[link], 'thread', -1);
  grow(process, -process.threads.size);
  process.threads.clear();
}
