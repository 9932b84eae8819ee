// Knows how to read who a process is, and what such a reading may look like on a tape.

import {readdirSync, statSync} from 'node:fs';
import * as z from 'zod';
import {isRefusal, type Seen} from '../model/fact.ts';
import {type Credentials, type Identity, type IdMap, type Limit, mapsToItself} from '../model/identity.ts';
import {signalName} from './errno.ts';
import {readRanges} from './id-map.ts';
import {readLastCapability} from './last-capability.ts';
import {readLink, readText, refusalOf} from './proc-file.ts';
import {decodeCredentials, decodeStatus, readTracerProcess, statusLine} from './process.ts';

const refusal = z.object({errno: z.string(), during: z.string()});
const seen = <T extends z.ZodType>(schema: T) => z.union([schema, refusal]);
const four = z.tuple([z.int(), z.int(), z.int(), z.int()]);
export const mask = z.string().regex(/^[0-9a-f]{1,16}$/);

export const credentialsSchema: z.ZodType<Credentials> = z.object({
  groups: z.array(z.int()),
  capabilities: z.object({effective: mask, permitted: mask, inheritable: mask, bounding: mask, ambient: mask}),
  noNewPrivs: z.boolean().nullable(),
  seccomp: z.int().nullable().describe('0 none, 1 strict, 2 filters.'),
  filters: z.int().nullable(),
});

const idMap: z.ZodType<IdMap> = z.object({
  ranges: seen(z.array(z.object({inside: z.int(), outside: z.int(), count: z.int()}))),
  overflow: z.int().nullable(),
  overflowIsMapped: z.boolean().exactOptional(),
});

export const identitySchema: z.ZodType<Identity> = z.object({
  state: z.string().exactOptional(),
  tracer: z.object({pid: z.int(), comm: z.string()}).exactOptional(),
  handled: z.array(z.string()).exactOptional(),
  ignored: z.array(z.string()).exactOptional(),
  uids: seen(four),
  gids: seen(four),
  credentials: seen(credentialsSchema),
  lastCapability: z.int().min(0).max(63),
  sameUser: z.boolean().nullable(),
  uidMap: idMap,
  gidMap: idMap,
  setgroups: seen(z.string()),
  labels: seen(z.array(z.object({module: z.string(), label: z.string()}))),
  owner: seen(z.object({uid: z.int(), gid: z.int()})),
  oomScore: seen(z.int()),
  oomScoreAdj: seen(z.int()),
  limits: seen(z.array(z.object({name: z.string(), soft: z.string(), hard: z.string(), units: z.string()}))),
  users: z.record(z.string(), z.string()),
  groups: z.record(z.string(), z.string()),
});

/** A table with columns at least two spaces apart; priorities have no units (proc_pid_limits(5)). */
export function decodeLimits(text: string): Limit[] {
  const limits: Limit[] = [];
  for (const line of text.split('\n')) {
    const [, name, soft, hard, units = ''] = /^Max (.*?) {2,}(\S+) +(\S+)(?: +(\S+))? *$/.exec(line) ?? [];
    if (name !== undefined && soft !== undefined && hard !== undefined) limits.push({name, soft, hard, units});
  }
  return limits;
}

export function readOverflow(which: 'uid' | 'gid'): Pick<IdMap, 'overflow' | 'overflowIsMapped'> {
  const own = readRanges('self', which);
  if (isRefusal(own) || mapsToItself(own)) return {overflow: null};
  const text = readText(`/proc/sys/kernel/overflow${which}`);
  const overflow = Number(isRefusal(text) ? 65534 : text);
  const isMapped = own.some(({inside, count}) => overflow >= inside && overflow < inside + count);
  return {overflow, ...(isMapped ? {overflowIsMapped: true} : {})};
}

/** Without leave to read the links: whose map differs is in another one. */
function isSameUser(pid: number, user: Seen<string>, own: Seen<string>): boolean | null {
  if (!isRefusal(user) && !isRefusal(own)) return user === own;
  for (const which of ['uid_map', 'gid_map']) {
    const [theirs, ours] = [readText(`/proc/${pid}/${which}`), readText(`/proc/self/${which}`)];
    if (!isRefusal(theirs) && !isRefusal(ours) && theirs !== ours) return false;
  }
  return null;
}

/** /proc/PID/attr/current, and that of each module with a directory of its own: EINVAL where no module has any (proc_pid_attr(5)). */
export function readLabels(pid: number): Identity['labels'] {
  const folder = `/proc/${pid}/attr`;
  let modules: string[];
  try {
    modules = readdirSync(folder, {withFileTypes: true}).flatMap(entry => (entry.isDirectory() ? [entry.name] : []));
  } catch (error) {
    const refused = refusalOf(error, 'getdents64');
    // A kernel without security modules has no such directory, though the process is there.
    return refused.errno === 'ENOENT' ? [] : refused;
  }
  const labels: {module: string; label: string}[] = [];
  const first = readText(`${folder}/current`);
  if (isRefusal(first) && first.errno !== 'EINVAL' && first.errno !== 'ENOENT') return first;
  for (const [module, text] of [['', first] as const, ...modules.map(name => [name, readText(`${folder}/${name}/current`)] as const)]) {
    const label = isRefusal(text) ? '' : text.replace(/[\0\n]+$/, '');
    if (label !== '' && !labels.some(other => other.label === label)) labels.push({module, label});
  }
  return labels;
}

export function readOwner(pid: number): Identity['owner'] {
  try {
    // Of the directory itself the owner is the effective uid, dumpable or not.
    const {uid, gid} = statSync(`/proc/${pid}/status`);
    return {uid, gid};
  } catch (error) {
    return refusalOf(error, 'stat');
  }
}

/** Names by id of a file such as passwd(5) and group(5), as far as they are asked for. */
function readNames(path: string, ids: ReadonlySet<number>): {[id: string]: string} {
  const names: {[id: string]: string} = {};
  const text = readText(path);
  if (isRefusal(text)) return names;
  for (const line of text.split('\n')) {
    const [name = '', , id = ''] = line.split(':');
    if (name !== '' && id !== '' && ids.has(Number(id)) && !Object.hasOwn(names, id)) names[id] = name;
  }
  return names;
}

function readNumber(path: string): Seen<number> {
  const text = readText(path);
  return isRefusal(text) ? text : Number(text);
}

/** Of a mask in /proc/PID/status, where signal 1 is the lowest bit (proc_pid_status(5)). */
function readSignals(status: string, key: 'SigCgt' | 'SigIgn'): string[] {
  const mask = BigInt(`0x${statusLine(status, `${key}:`) ?? '0'}`);
  const names: string[] = [];
  for (let signal = 1; signal <= 64; signal++) if ((mask >> BigInt(signal - 1)) & 1n) names.push(signalName(signal));
  return names;
}

/** nsview's own helper, its child, is nobody else. */
function readTracer(tid: number): Pick<Identity, 'tracer'> {
  const tracer = readTracerProcess(tid);
  return tracer === null || tracer.ppid === process.pid ? {} : {tracer: {pid: tracer.pid, comm: tracer.comm}};
}

export function readIdentity(pid: number): Seen<Identity> {
  const folder = `/proc/${pid}`;
  const text = readText(`${folder}/status`);
  if (isRefusal(text)) return text;
  const {uids, gids, tracerPid} = decodeStatus(text);
  const credentials = decodeCredentials(text);
  const [user, own] = [readLink(`${folder}/ns/user`), readLink('/proc/self/ns/user')];
  const setgroups = readText(`${folder}/setgroups`);
  const limits = readText(`${folder}/limits`);
  const state = statusLine(text, 'State:')?.[0];
  return {
    ...(state === undefined ? {} : {state}),
    ...readTracer(tracerPid),
    handled: readSignals(text, 'SigCgt'),
    ignored: readSignals(text, 'SigIgn'),
    uids,
    gids,
    credentials,
    lastCapability: readLastCapability(),
    sameUser: isSameUser(pid, user, own),
    uidMap: {ranges: readRanges(pid, 'uid'), ...readOverflow('uid')},
    gidMap: {ranges: readRanges(pid, 'gid'), ...readOverflow('gid')},
    setgroups: isRefusal(setgroups) ? setgroups : setgroups.trim(),
    labels: readLabels(pid),
    owner: readOwner(pid),
    oomScore: readNumber(`${folder}/oom_score`),
    oomScoreAdj: readNumber(`${folder}/oom_score_adj`),
    limits: isRefusal(limits) ? limits : decodeLimits(limits),
    users: readNames('/etc/passwd', new Set(isRefusal(uids) ? [] : uids)),
    groups: readNames('/etc/group', new Set([...(isRefusal(gids) ? [] : gids), ...credentials.groups])),
  };
}
