// Knows what is compared of each process besides what it is in: one row a fact.

import {bitsOf, capabilityName, maskOf} from './capability.ts';
import type {Node} from './comparison-tree.ts';
import {isRefusal, type Refusal, type Seen} from './fact.ts';
import type {CapabilitySets, Credentials} from './identity.ts';
import {HABITS, type ProcessDetails} from './tree-details.ts';

/** A text that says all of it; null: the snapshot does not tell. */
type Read = (node: Node) => Seen<string> | null;
export type PlainFact = {
  readonly what: string;
  readonly read: Read;
  /** There may be ids in it, such as the pid in the name of a folder. */
  readonly named?: true;
  /** Only what differs, of both: where all of it is long. */
  readonly told?: (a: string, b: string) => readonly [string, string];
};

const ids =
  (key: 'uids' | 'gids'): Read =>
  ({[key]: seen}) =>
    isRefusal(seen) ? seen : seen.join(' ');

function credential(read: (credentials: Credentials) => string | null): Read {
  return ({credentials}) => (credentials === null || isRefusal(credentials) ? credentials : read(credentials));
}

const SECCOMP = ['none', 'strict', 'filters'];
const SETS: readonly (keyof CapabilitySets)[] = ['effective', 'permitted', 'inheritable', 'bounding', 'ambient'];

const names = (mask: bigint): string => bitsOf(mask).map(capabilityName).join(' ');

/** What each has that the other has not. */
function capabilitiesTold(a: string, b: string): readonly [string, string] {
  const [one, other] = [maskOf(a), maskOf(b)];
  const beyond = (mask: bigint): string => (mask === 0n ? 'without' : `also ${names(mask)}`);
  return [beyond(one & ~other), beyond(other & ~one)];
}

/** Facts of the credentials: they are the same text where they are the same. */
export const CREDENTIAL_FACTS: readonly PlainFact[] = [
  {what: 'user ids', read: ids('uids')},
  {what: 'group ids', read: ids('gids')},
  {what: 'groups', read: credential(({groups}) => (groups.length === 0 ? 'none' : groups.toSorted((x, y) => x - y).join(' ')))},
  ...SETS.map(set => ({
    what: `${set} capabilities`,
    read: credential(({capabilities}) => capabilities[set].replace(/^0+(?=.)/, '')),
    told: capabilitiesTold,
  })),
  {what: 'no_new_privs', read: credential(({noNewPrivs}) => (noNewPrivs === null ? null : noNewPrivs ? 'set' : 'not set'))},
  {what: 'seccomp', read: credential(({seccomp}) => (seccomp === null ? null : (SECCOMP[seccomp] ?? String(seccomp))))},
  {what: 'seccomp filters', read: credential(({filters}) => (filters === null ? null : String(filters)))},
];

const detail =
  (read: (details: ProcessDetails, node: Node) => Seen<string> | null): Read =>
  node =>
    node.details === null ? null : read(node.details, node);

/** A thread that has its own root or directory says so. */
const place =
  (key: 'root' | 'cwd'): Read =>
  node =>
    node.thread?.apart?.[key] ?? node.details?.[key] ?? null;

const NONE = 'none';

/** Pairs `name soft hard` that only one has. */
function limitsTold(a: string, b: string): readonly [string, string] {
  const [one, other] = [a.split('; '), b.split('; ')];
  const beyond = (limits: readonly string[], others: readonly string[]) =>
    limits.filter(limit => !others.includes(limit)).join('; ') || NONE;
  return [beyond(one, other), beyond(other, one)];
}

/** Of the process, not of its threads; a snapshot of the whole machine does not have them. */
export const PLACE_FACTS: readonly PlainFact[] = [
  {what: 'root', named: true, read: place('root')},
  {what: 'cwd', named: true, read: place('cwd')},
  {what: 'umask', read: detail(({umask}) => umask ?? null)},
];

export const DETAIL_FACTS: readonly PlainFact[] = [
  {
    what: 'LSM label',
    named: true,
    read: node =>
      node.thread?.apart?.label ??
      detail(({labels}) => (isRefusal(labels) ? labels : labels.map(({label}) => label).join(' ') || NONE))(node),
  },
  {what: 'dumpable', read: detail(({dumpable}) => (dumpable === null ? 'not known' : dumpable ? 'yes' : 'no'))},
];

export const LIMIT_FACTS: readonly PlainFact[] = [
  {what: 'oom_score_adj', read: detail(({oomScoreAdj}) => oomScoreAdj ?? null)},
  ...HABITS.map(habit => ({what: habit, read: detail(({habits}) => habits?.[habit] ?? null)})),
  {
    what: 'limits',
    read: detail(({limits}) =>
      isRefusal(limits)
        ? limits
        : Object.entries(limits)
            .map(([name, [soft, hard]]) => `${name} ${soft} ${hard}`)
            .join('; '),
    ),
    told: limitsTold,
  },
];

export const NAME_FACTS: readonly PlainFact[] = [
  {what: 'name', named: true, read: ({comm}) => comm},
  {what: 'program', named: true, read: ({process}) => process.exe},
];

export const refusedText = ({during, errno}: Refusal): string => `refused: ${during}: ${errno}`;
