// Knows a snapshot as text: a tree in which each process shows only what sets it apart from its parent, and the namespaces by name.

import {isRefusal, type NamespaceLinks, type ProcessSeen, type Seen, type Snapshot} from '../model/fact.ts';
import {createNamespaces, type Namespaces, nameNamespace} from '../model/names.ts';
import {NAMESPACE_LINKS, NAMESPACES, type NamespaceLink, type NamespaceType, typeOfLink} from '../model/namespace.ts';
import {holderText} from '../model/ownership-lines.ts';
import {cells, fitCells, printable} from '../model/printable.ts';
import {apartWords} from '../model/thread-apart.ts';

export type TextOptions = {
  /** Lines are cut to so many cells; 0 leaves them whole. */
  readonly columns: number;
  readonly color: boolean;
};

const count = (number: number, what: string): string => `${number} ${what}${number === 1 ? '' : what.endsWith('s') ? 'es' : 's'}`;

/** A snapshot is of one moment: in it, one inode is one namespace. */
function nameOfInode(names: Namespaces, type: NamespaceType, inode: string): string {
  return (names.byInode.get(inode) ?? nameNamespace(names, type, inode).namespace).name;
}

function nameOf(names: Namespaces, link: NamespaceLink, seen: Seen<string> | undefined): string {
  if (seen === undefined) return '';
  return isRefusal(seen) ? `${link}:${seen.errno}` : nameOfInode(names, typeOfLink(link), seen);
}

/** What a process has that its parent has not: `+mnt:b`, `children in pid:b`, refusals. */
function remarks(names: Namespaces, process: ProcessSeen, parent: NamespaceLinks): string[] {
  const own = process.namespaces;
  const refused = NAMESPACE_LINKS.map(link => own[link]).filter(seen => isRefusal(seen));
  const [first] = refused;
  if (refused.length === NAMESPACE_LINKS.length && first !== undefined) {
    // A zombie has none any more; of others the kernel would not tell.
    return process.state === 'Z' ? [] : [`namespaces not shown: ${first.during}: ${first.errno}`];
  }
  const words: string[] = [];
  const differs = (link: NamespaceLink, than: Partial<NamespaceLinks> | undefined, as: NamespaceLink) => {
    const mine = own[link];
    const theirs = than?.[as];
    return !isRefusal(mine) && theirs !== undefined && !isRefusal(theirs) && mine !== theirs;
  };
  for (const {link} of NAMESPACES) {
    if (isRefusal(own[link])) words.push(nameOf(names, link, own[link]));
    else if (differs(link, parent, link)) words.push(`+${nameOf(names, link, own[link])}`);
  }
  for (const link of ['pid_for_children', 'time_for_children'] as const)
    if (differs(link, own, typeOfLink(link))) words.push(`children in ${nameOf(names, link, own[link])}`);
  return words;
}

export function snapshotText(snapshot: Snapshot, options: TextOptions): string {
  const names = createNamespaces(snapshot.host.namespaces);
  const dim = (text: string) => (options.color ? `\x1b[2m${text}\x1b[22m` : text);
  const accent = (text: string) => (options.color ? `\x1b[1;36m${text}\x1b[22;39m` : text);
  const lines: string[] = [];
  const put = (lead: string, name: string, rest: string) => {
    const room = options.columns > 0 ? options.columns : Number.POSITIVE_INFINITY;
    const start = fitCells(`${lead}${name}`, room);
    const end = rest === '' ? '' : fitCells(`  ${rest}`, room - cells(start));
    lines.push(start + (end === '' ? '' : accent(end)));
  };

  // Names follow the tree from the top, so that the first letters are the nearest to the root.
  const byPid = new Map(snapshot.processes.map(process => [process.pid, process]));
  const children = new Map<number, ProcessSeen[]>();
  const roots: ProcessSeen[] = [];
  for (const process of snapshot.processes) {
    if (!byPid.has(process.ppid) || process.ppid === process.pid) roots.push(process);
    else children.set(process.ppid, [...(children.get(process.ppid) ?? []), process]);
  }
  const draw = (process: ProcessSeen, lead: string, below: string) => {
    // The top of a tree has only nsview itself to be compared with.
    const parent = byPid.get(process.ppid)?.namespaces ?? snapshot.host.namespaces;
    const inner = isRefusal(process.nspid) ? [] : process.nspid.slice(1);
    const name = `${printable(process.comm)} ${process.pid}${inner.length > 0 ? ` (${inner.join(', ')} inside)` : ''}`;
    const state =
      process.state === 'Z'
        ? [process.threads.length > 0 ? 'leader ended' : 'zombie']
        : process.state === 'T' || process.state === 't'
          ? ['stopped']
          : [];
    put(lead, name, [...remarks(names, process, parent), ...state].join(' '));
    for (const thread of process.threads) {
      if (thread.namespaces === undefined && thread.apart === undefined) continue;
      const words = NAMESPACE_LINKS.filter(link => thread.namespaces?.[link] !== undefined).map(
        link => `+${nameOf(names, link, thread.namespaces?.[link])}`,
      );
      put(
        `${below}· `,
        `thread ${thread.tid} ${printable(thread.comm)}`,
        [...words, apartWords(thread.apart ?? {}).join(', ')].filter(word => word !== '').join(' '),
      );
    }
    const own = children.get(process.pid) ?? [];
    own.forEach((child, index) => {
      const last = index === own.length - 1;
      draw(child, `${below}${last ? '└─ ' : '├─ '}`, `${below}${last ? '   ' : '│  '}`);
    });
  };
  for (const root of roots) draw(root, '', '');

  const nameOther = (kind: string, inode: string) => nameOfInode(names, NAMESPACES.find(one => one.type === kind)?.type ?? 'user', inode);
  const legend = snapshot.namespaces.map(namespace => {
    const type = NAMESPACES.find(kind => kind.type === namespace.type)?.type ?? 'user';
    const name = nameOfInode(names, type, namespace.inode);
    const holders = [
      namespace.processes.length > 0 ? count(namespace.processes.length, 'process') : '',
      namespace.threads === undefined ? '' : count(namespace.threads.length, 'thread'),
      namespace.forChildrenOf === undefined ? '' : `for the children of ${namespace.forChildrenOf.join(', ')}`,
      ...(namespace.heldBy ?? []).slice(0, 4).map(holder => holderText(holder, nameOther).who),
    ].filter(text => text !== '');
    return {
      name,
      inode: namespace.inode,
      holders: holders.length === 0 ? 'nobody, and nothing that nsview can ask, holds it' : holders.join(', '),
    };
  });
  const width = Math.max(0, ...legend.map(({name}) => name.length));
  lines.push('');
  for (const {name, inode, holders} of legend) {
    const text = `${name.padEnd(width)}  ${inode.padEnd(10)}  ${holders}`;
    lines.push(options.columns > 0 ? fitCells(text, options.columns) : text);
  }

  const {host, unlisted} = snapshot;
  if (unlisted !== undefined) lines.push(dim(`mount namespaces that nobody is in may be missing: ${unlisted.during}: ${unlisted.errno}`));
  const summary = `${count(snapshot.processes.length, 'process')}, ${count(snapshot.namespaces.length, 'namespace')}, Linux ${printable(host.kernel)}, cgroups ${host.cgroups}; a is nsview's own`;
  return `${lines.join('\n')}\n\n${dim(options.columns > 0 ? fitCells(summary, options.columns) : summary)}\n`;
}
