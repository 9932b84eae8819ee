// Knows how to read who owns and holds the namespaces of a process, and what such a reading may look like on a tape.

import * as z from 'zod';
import {isRefusal, type NamespaceLinks, type Seen} from '../model/fact.ts';
import {NAMESPACES} from '../model/namespace.ts';
import type {Holder, Lineage, NamespaceHolders, Owned, Ownership, Power} from '../model/ownership.ts';
import {isDeaf, machineLook as look} from './holders.ts';
import {readLastCapability} from './identity.ts';
import {readLineage} from './lineage.ts';
import {readLink, readText} from './proc-file.ts';
import {isKernelThread, readNamespaceLinks, readStat, readStatus, type Status} from './process.ts';

const refusal = z.object({errno: z.string(), during: z.string()});
const above = z.object({inode: z.string(), uid: z.union([z.number(), refusal])});
const deaf = z.literal(true).exactOptional().describe('SIGTERM does nothing to it, or to one of those that are named.');
const tid = z.int().exactOptional().describe('Of the thread that has a file table of its own, which has this fd.');
const holder: z.ZodType<Holder> = z.discriminatedUnion('by', [
  z.object({
    by: z.literal('processes'),
    count: z.int(),
    pids: z.array(z.int()),
    deaf,
    kernel: z.literal(true).exactOptional().describe('One of those that are named is a kernel thread, which no signal ends.'),
  }),
  z.object({by: z.literal('zombie'), pid: z.int(), parent: z.int(), deaf}),
  z.object({by: z.literal('thread'), pid: z.int(), tid: z.int(), deaf}),
  z.object({by: z.literal('children'), pid: z.int(), tid: z.int().exactOptional(), deaf}),
  z.object({by: z.literal('fd'), pid: z.int(), tid, fd: z.int(), deaf}),
  z.object({
    by: z.literal('socket'),
    pid: z.int(),
    tid,
    fd: z.int(),
    tun: z.literal(true).exactOptional().describe('A file of /dev/net/tun.'),
    deaf,
  }),
  z.object({
    by: z.literal('mount'),
    inode: z.string(),
    pid: z.int(),
    point: z.string(),
    through: z.string().exactOptional(),
    user: z.string().exactOptional(),
  }),
  z.object({by: z.literal('namespace'), type: z.string(), inode: z.string(), as: z.enum(['owned', 'child'])}),
]);
export const holderSchema = holder;
const lineage: z.ZodType<Lineage> = z.object({
  type: z.string(),
  inode: z.string(),
  chain: z.array(above),
  owners: z.array(above),
  chainEnd: refusal.nullable(),
  ownersEnd: refusal.nullable(),
});

export const ownershipSchema: z.ZodType<Ownership> = z.object({
  namespaces: z.array(
    z.object({
      link: z.enum(NAMESPACES.map(kind => kind.link)),
      lineage: z.union([lineage, refusal]),
      power: z.object({capabilities: z.string(), rule: z.enum(['member', 'owner', 'ancestor', 'none', 'unknown'])}),
    }),
  ),
  lastCapability: z.int().min(0).max(63).default(40),
  pids: z.array(z.object({pid: z.int(), inode: z.string().nullable()})),
  enter: z.array(z.string()),
  holders: z.array(z.object({inode: z.string(), holders: z.array(holder), more: z.int()})),
  empty: z.array(z.object({type: z.string(), inode: z.string(), holders: z.array(holder), more: z.int()})).default([]),
  unlisted: refusal.nullable().default(null),
  asked: z.object({processes: z.int(), of: z.int()}),
});

/**
 * cap_capable (security/commoncap.c, user_namespaces(7)): in its own user namespace a process has its effective set; in one below it, all,
 * where its effective uid made the child of its own on the way down, and its effective set else; elsewhere nothing.
 */
export function powerOver(own: string | null, owners: Lineage['owners'], euid: number | null, effective: string): Power {
  if (own === null) return {capabilities: '0', rule: 'unknown'};
  for (const [index, {inode}] of owners.entries()) {
    if (inode !== own) continue;
    if (index === 0) return {capabilities: effective, rule: 'member'};
    return owners[index - 1]?.uid === euid ? {capabilities: 'all', rule: 'owner'} : {capabilities: effective, rule: 'ancestor'};
  }
  return {capabilities: '0', rule: 'none'};
}

/** An id inside, by a map file of /proc/PID (user_namespaces(7)) whose second column is as the reader sees it; null: not mapped. */
export function idInside(map: string, outside: number): number | null {
  for (const line of map.split('\n')) {
    const [inside = -1, from = -1, size = 0] = line.trim().split(/ +/).map(Number);
    if (size > 0 && outside >= from && outside < from + size) return inside + (outside - from);
  }
  return null;
}

const FLAGS: {readonly [type in (typeof NAMESPACES)[number]['type']]: string} = {
  user: '--user',
  mnt: '--mount',
  pid: '--pid',
  net: '--net',
  uts: '--uts',
  ipc: '--ipc',
  cgroup: '--cgroup',
  time: '--time',
};

/** nsenter(1) for what differs from nsview's own. Entering a user namespace makes it uid 0 there unless it is told otherwise. */
function enterCommand(pid: number, links: NamespaceLinks, own: NamespaceLinks, status: Seen<Status>): string[] {
  const entered = NAMESPACES.filter(({link}) => !isRefusal(links[link]) && links[link] !== own[link]);
  // Of another mount namespace the kernel shows the root as a path there, which nsview may not have.
  const root = readLink(`/proc/${pid}/root`);
  const isElsewhere = !isRefusal(root) && root !== '/';
  if (entered.length === 0 && !isElsewhere) return [];
  const command = ['nsenter', '-t', String(pid), ...entered.map(({type}) => FLAGS[type])];
  if (entered.some(({type}) => type === 'user')) {
    const [uidMap, gidMap] = [readText(`/proc/${pid}/uid_map`), readText(`/proc/${pid}/gid_map`)];
    const uid = isRefusal(status) || isRefusal(status.uids) || isRefusal(uidMap) ? null : idInside(uidMap, status.uids[1]);
    const gid = isRefusal(status) || isRefusal(status.gids) || isRefusal(gidMap) ? null : idInside(gidMap, status.gids[1]);
    // Without privilege nobody may drop groups where setgroups is denied, and there is one id to be anyway.
    if (uid === null || gid === null || process.geteuid?.() !== 0) command.push('--preserve-credentials');
    else command.push('-S', String(uid), '-G', String(gid));
  }
  if (isElsewhere) command.push('--root');
  return command;
}

type Held = {
  readonly processes: number;
  readonly pids: readonly number[];
  readonly zombies: readonly number[];
  readonly others: readonly Holder[];
};

function zombieHolder(pid: number): Holder {
  const stat = readStat(pid);
  const parent = isRefusal(stat) ? 0 : stat.ppid;
  return {by: 'zombie', pid, parent, ...(parent > 0 && isDeaf(parent) ? {deaf: true as const} : {})};
}

const holdersOf = ({processes, pids, zombies, others}: Held): Holder[] => [
  ...(pids.length > 0
    ? [
        {
          by: 'processes' as const,
          count: processes,
          pids,
          ...(pids.some(isDeaf) ? {deaf: true as const} : {}),
          // Where there are some, they are among the first: pids are kept in their order.
          ...(pids.some(isKernelThread) ? {kernel: true as const} : {}),
        },
      ]
    : []),
  // Where somebody lives in it as well, that one comes first.
  ...(pids.length > 0 ? [] : zombies.map(zombieHolder)),
  ...others.map(holder =>
    (holder.by === 'thread' || holder.by === 'children' || ((holder.by === 'fd' || holder.by === 'socket') && holder.tid !== undefined)) &&
    isDeaf(holder.pid)
      ? {...holder, deaf: true as const}
      : holder,
  ),
];

/** At once, from the first process that there is now to the last, for who can wait. */
export function lookAtAll(): void {
  const limit = performance.now() + 60_000;
  look.restart();
  do look.advance(1000);
  while (look.found.asked < look.found.of && performance.now() < limit);
}

export function readOwnership(pid: number): Seen<Ownership> {
  const links = readNamespaceLinks(`/proc/${pid}`);
  const own = readNamespaceLinks('/proc/self');
  const status = readStatus(pid);
  const user = isRefusal(links.user) ? null : links.user;
  const euid = isRefusal(status) || isRefusal(status.uids) ? null : status.uids[1];
  const effective = isRefusal(status) ? '0' : status.capabilities;
  const namespaces = NAMESPACES.map(({link, type}): Owned => {
    const seen = readLineage(`/proc/${pid}/ns/${link}`);
    if (isRefusal(seen)) return {link, lineage: seen, power: {capabilities: '0', rule: 'unknown'}};
    return {link, lineage: seen, power: powerOver(user, type === 'user' ? seen.chain : seen.owners, euid, effective)};
  });
  const nspid = isRefusal(status) || isRefusal(status.nspid) ? [] : status.nspid;
  const ofPid = namespaces.find(({link}) => link === 'pid')?.lineage;
  const levels = ofPid === undefined || isRefusal(ofPid) ? [] : ofPid.chain;
  look.want();
  const {found} = look;
  const wanted = new Set<string>();
  for (const {lineage: seen} of namespaces) {
    if (isRefusal(seen)) continue;
    for (const {inode} of [...seen.chain, ...seen.owners]) wanted.add(inode);
  }
  return {
    namespaces,
    lastCapability: readLastCapability(),
    pids: [...nspid].reverse().map((one, index) => ({pid: one, inode: levels[index]?.inode ?? null})),
    enter: enterCommand(pid, links, own, status),
    holders: [...wanted].flatMap(inode => {
      const held = found.byInode.get(inode);
      if (held === undefined) return [];
      return [{inode, holders: holdersOf(held), more: held.more}];
    }),
    // Until all were asked, somebody else may be in it.
    empty: [...(found.asked < found.of ? [] : found.byInode)].flatMap(([inode, {type, processes, inhabited, others, more}]) =>
      processes > 0 || inhabited ? [] : [{type, inode, holders: holdersOf({processes, pids: [], zombies: [], others}), more}],
    ),
    unlisted: found.unlisted,
    asked: {processes: found.asked, of: found.of},
  };
}

/** Who holds the namespace of that inode, when all were asked. `null`: nobody and nothing that nsview may see. */
export function readNamespaceHolders(inode: string): NamespaceHolders | null {
  lookAtAll();
  const {byInode, asked} = look.found;
  const held = byInode.get(inode);
  if (held === undefined) return null;
  return {type: held.type, inode, holders: holdersOf(held), more: held.more, processes: asked};
}
