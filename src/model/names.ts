// Knows how namespaces get their short names: a letter for each of a type, in the order in which nsview first saw them.

import {isRefusal, type NamespaceLinks} from './fact.ts';
import {NAMESPACE_LINKS, type NamespaceType, typeOfLink} from './namespace.ts';

/** 0 → a, 25 → z, 26 → aa, 701 → zz, 702 → aaa. */
export function letters(index: number): string {
  let name = '';
  for (let rest = index + 1; rest > 0; rest = Math.floor((rest - 1) / 26)) name = String.fromCharCode(97 + ((rest - 1) % 26)) + name;
  return name;
}

/** A namespace that was seen. `index` 0 is nsview's own of that type, whether its inode could be read or not. */
export type Namespace = {
  readonly type: NamespaceType;
  readonly inode: string;
  readonly index: number;
  /** Such as `mnt:b`. */
  readonly name: string;
  /** A process was in it, not only set aside for children. */
  entered: boolean;
  /** Living processes that are in it. */
  processes: number;
  /** Links besides those: threads that left their process, and where children will be born. */
  others: number;
};

/** The namespaces by inode, the next index of each type, and those that the last fact left without process and link. */
export type Namespaces = {
  readonly byInode: Map<string, Namespace>;
  readonly next: Map<NamespaceType, number>;
  readonly emptied: Set<Namespace>;
};

function add(namespaces: Namespaces, type: NamespaceType, inode: string, index: number): Namespace {
  const namespace: Namespace = {type, inode, index, name: `${type}:${letters(index)}`, entered: index === 0, processes: 0, others: 0};
  namespaces.byInode.set(inode, namespace);
  return namespace;
}

/** nsview's own namespaces are `a`, always. */
export function createNamespaces(own: NamespaceLinks): Namespaces {
  const namespaces: Namespaces = {byInode: new Map(), next: new Map(), emptied: new Set()};
  for (const link of NAMESPACE_LINKS) {
    if (link !== typeOfLink(link)) continue;
    const inode = own[link];
    if (inode !== undefined && !isRefusal(inode)) add(namespaces, link, inode, 0);
  }
  return namespaces;
}

/** What is known of how a task came into a namespace: `made` by a clone or unshare, or `entered` by a setns, to which it was there before. */
export type Origin = 'made' | 'entered' | null;

/** The namespace behind an inode; `isNew` when it gets its name by this very look. */
export function nameNamespace(
  namespaces: Namespaces,
  type: NamespaceType,
  inode: string,
  origin: Origin = null,
): {namespace: Namespace; isNew: boolean} {
  const known = namespaces.byInode.get(inode);
  if (known !== undefined && !isSuccessor(known, type, origin)) return {namespace: known, isNew: false};
  const index = namespaces.next.get(type) ?? 1;
  namespaces.next.set(type, index + 1);
  return {namespace: add(namespaces, type, inode, index), isNew: true};
}

/**
 * The kernel hands out the lowest free inode number (proc_alloc_inum, fs/proc/generic.c), so that a namespace made after another died
 * often has its number. It is another one where its type differs, where a clone or unshare is known to have made it, or where nothing was
 * left in the former. What an fd or a bind mount kept meanwhile is entered again by setns (namespaces(7)), and is the same. Where no call is
 * known, only network namespaces are commonly kept without processes (ip-netns(8)).
 */
function isSuccessor(known: Namespace, type: NamespaceType, origin: Origin): boolean {
  if (known.type !== type) return true;
  if (known.index === 0 || known.processes + known.others > 0) return false;
  return origin === null ? type !== 'net' : origin === 'made';
}
