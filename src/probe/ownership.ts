// Knows how to read who owns and holds the namespaces of a process, and what such a reading may look like on a tape.

import * as z from 'zod';
import {isRefusal, type NamespaceLinks, type Seen} from '../model/fact.ts';
import {NAMESPACES} from '../model/namespace.ts';
import type {Holder, Lineage, NamespaceHolders, Owned, Ownership, Power} from '../model/ownership.ts';
import {cgroupDirectory} from './cgroup.ts';
import {errnoName} from './errno.ts';
import {isDeaf, machineLook as look} from './holders.ts';
import {readLastCapability} from './last-capability.ts';
import {readLineage} from './lineage.ts';
import {readMounts} from './mountinfo.ts';
import {loadNative} from './native.ts';
import {readLink, readText} from './proc-file.ts';
import {decodeCgroup, isKernelThread, readNamespaceLinks, readStat, readStatus, type Status} from './process.ts';

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
  z.object({
    by: z.literal('children'),
    pid: z.int(),
    tid: z.int().exactOptional(),
    ended: z.literal(true).exactOptional().describe('Its first process has ended: fork(2) into it fails with ENOMEM.'),
    deaf,
  }),
  z.object({
    by: z.literal('fd'),
    pid: z.int(),
    tid,
    fd: z.int(),
    table: z.literal(true).exactOptional().describe('An open /proc/PID/mountinfo.'),
    deaf,
  }),
  z
    .object({by: z.literal('queue'), pid: z.int(), tid, fd: z.int(), fds: z.int()})
    .describe('Perhaps: so many fds are in the queue of that socket, and nothing else is known that keeps it.'),
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
  childrenEnded: z.literal(true).exactOptional(),
  enter: z.array(z.string()),
  join: z.array(z.string()).exactOptional(),
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

/** setns(2) leaves its caller in its cgroups, and so without the limits of the process; cgroups(7): a pid that is written to cgroup.procs moves. */
function cgroupsToJoin(pid: number): string[] {
  const [theirs, own] = [readText(`/proc/${pid}/cgroup`), readText('/proc/self/cgroup')];
  const mounts = readMounts('self');
  if (isRefusal(theirs) || isRefusal(own) || isRefusal(mounts) || process.geteuid?.() !== 0) return [];
  const here = new Set(own.split('\n'));
  return theirs.split('\n').flatMap(line => {
    const directories = here.has(line) ? [] : decodeCgroup(line).map(cgroup => cgroupDirectory(cgroup, mounts));
    return directories.flatMap(directory => (isRefusal(directory) ? [] : [`${directory}/cgroup.procs`]));
  });
}

type Held = {
  readonly type: string;
  readonly processes: number;
  readonly pids: readonly number[];
  readonly zombies: readonly number[];
  readonly inhabited: boolean;
  readonly others: readonly Holder[];
};

function zombieHolder(pid: number): Holder {
  const stat = readStat(pid);
  const parent = isRefusal(stat) ? 0 : stat.ppid;
  return {by: 'zombie', pid, parent, ...(parent > 0 && isDeaf(parent) ? {deaf: true as const} : {})};
}

/**
 * With its first process a pid namespace ends for all: alloc_pid() (kernel/pid.c) fails with ENOMEM from then on. Where its children will be born
 * /proc/PID/ns tells since there has been one (pidns_for_children_get(), kernel/pid_namespace.c). `task`: its folder in /proc; `held`: who is there.
 */
function isEnded(task: string, held: Held | undefined): boolean {
  if (held !== undefined && (held.pids.length > 0 || held.inhabited)) return false;
  const init = loadNative().initOf(`${task}/ns/pid_for_children`);
  if (init > 0) {
    // A zombie, whose children were killed before it became one.
    const stat = readStat(init);
    return !isRefusal(stat) && stat.state === 'Z';
  }
  const errno = errnoName(-init);
  return errno === 'ESRCH' || (errno === 'ENOTTY' && process.geteuid?.() === 0);
}

const taskFolder = ({pid, tid}: {readonly pid: number; readonly tid?: number}): string =>
  tid === undefined ? `/proc/${pid}` : `/proc/${pid}/task/${tid}`;

/** Whose process has to end for it to let go. */
const endsByKill = (holder: Holder): holder is Holder & {pid: number} =>
  holder.by === 'thread' || holder.by === 'children' || ((holder.by === 'fd' || holder.by === 'socket') && holder.tid !== undefined);

/** `held`: by a whole look. */
function ended(holder: Holder, held: Held): {readonly ended?: true} {
  return holder.by === 'children' && held.type === 'pid' && isEnded(taskFolder(holder), held) ? {ended: true} : {};
}

const holdersOf = (held: Held, isWhole: boolean): Holder[] => [
  ...(held.pids.length > 0
    ? [
        {
          by: 'processes' as const,
          count: held.processes,
          pids: held.pids,
          ...(held.pids.some(isDeaf) ? {deaf: true as const} : {}),
          // Where there are some, they are among the first: pids are kept in their order.
          ...(held.pids.some(isKernelThread) ? {kernel: true as const} : {}),
        },
      ]
    : []),
  // Where somebody lives in it as well, that one comes first.
  ...(held.pids.length > 0 ? [] : held.zombies.map(zombieHolder)),
  ...held.others.map(holder => ({
    ...holder,
    ...(isWhole ? ended(holder, held) : {}),
    ...(endsByKill(holder) && isDeaf(holder.pid) ? {deaf: true as const} : {}),
  })),
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
  const enter = enterCommand(pid, links, own, status);
  const join = enter.length > 0 ? cgroupsToJoin(pid) : [];
  const isWhole = found.asked === found.of;
  const ofChildren = links.pid_for_children;
  const isApart = !isRefusal(ofChildren) && ofChildren !== links.pid;
  const wanted = new Set<string>();
  for (const {lineage: seen} of namespaces) {
    if (isRefusal(seen)) continue;
    for (const {inode} of [...seen.chain, ...seen.owners]) wanted.add(inode);
  }
  return {
    namespaces,
    lastCapability: readLastCapability(),
    pids: [...nspid].reverse().map((one, index) => ({pid: one, inode: levels[index]?.inode ?? null})),
    ...(isWhole && isApart && isEnded(`/proc/${pid}`, found.byInode.get(ofChildren)) ? {childrenEnded: true as const} : {}),
    enter,
    ...(join.length > 0 ? {join} : {}),
    holders: [...wanted].flatMap(inode => {
      const held = found.byInode.get(inode);
      if (held === undefined) return [];
      return [{inode, holders: holdersOf(held, isWhole), more: held.more}];
    }),
    // Until all were asked, somebody else may be in it.
    empty: [...(isWhole ? found.byInode : [])].flatMap(([inode, held]) =>
      held.processes > 0 || held.inhabited ? [] : [{type: held.type, inode, holders: holdersOf(held, true), more: held.more}],
    ),
    unlisted: found.unlisted,
    asked: {processes: found.asked, of: found.of},
  };
}

/** Who holds the namespace of that inode, when all were asked. `null`: nobody and nothing that nsview may see. */
export function readNamespaceHolders(inode: string): NamespaceHolders | null {
  lookAtAll();
  const {byInode, asked, of} = look.found;
  const held = byInode.get(inode);
  if (held === undefined) return null;
  return {type: held.type, inode, holders: holdersOf(held, asked === of), more: held.more, processes: asked};
}
