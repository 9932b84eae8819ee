// Knows what the tab of the identity says of ids, capabilities and whatever else bounds what a process may do.

import {bitsOf, capabilityName, capabilityText, maskOf} from './capability.ts';
import {type Look, nameOf, refusalPieces} from './details-parts.ts';
import {rangePieces} from './id-range.ts';
import {type CapabilitySets, type Identity, type IdMap, idInside, isDumpable, mapsToItself} from './identity.ts';
import {column, cutLine, dim, type Line, type Piece, plain, strong, toned, wrapLine, wrapWords} from './line.ts';
import {printable} from './printable.ts';
import type {Process} from './process.ts';
import {isRefusal, type Seen} from './seen.ts';
import {namespacePiece} from './timeline.ts';
import {namespaceOf, studyOf, type World} from './world.ts';

const LABEL = 11;
/** `no_new_privs` and a space. */
const LONG_LABEL = 13;

/** The process that it is compared with: who made it, or whom the kernel has as its parent once that has ended. */
export function comparedWith(world: World, process: Process): Process | null {
  const {maker} = process;
  if (maker !== null && maker.end === null) return maker;
  const parent = world.byPid.get(process.ppid);
  return parent === undefined || parent.end !== null || parent === process ? null : parent;
}

export function identityOf(world: World, process: Process): Identity | null {
  const fact = studyOf(world, 'identity', process);
  return fact === null || isRefusal(fact.seen) ? null : fact.seen;
}

type Rows = {readonly lines: Line[]; readonly say: (label: string, value: Line) => void};

/** A label, and behind it as many rows as the value needs. */
function rows(look: Look, labelled = LABEL): Rows {
  const lines: Line[] = [];
  const say = (label: string, value: Line) => {
    for (const [index, row] of wrapLine(value, Math.max(8, look.width - labelled)).entries())
      lines.push(cutLine([column('dim', index === 0 ? label : '', labelled), ...row], look.width));
  };
  return {lines, say};
}

const GAP = plain('  ');
/** Words that may each begin a row. */
/** Names apart from each other, and `all but` as what is said of them. */
const words = (text: string, tone: (word: string) => Piece): Piece[] =>
  [...text.matchAll(/^all but \S+|\S+/g)].flatMap(([word], index) => (index === 0 ? [tone(word)] : [GAP, tone(word)]));

function idPieces(id: number, map: IdMap, names: {readonly [id: string]: string}, identity: Identity): Piece[] {
  const name = names[String(id)];
  const outside = [plain(String(id)), ...(name === undefined ? [] : [dim(` ${printable(name)}`)])];
  if (id === map.overflow) {
    if (map.overflowIsMapped === true) return [...outside, dim(' (or one that is not mapped where nsview is)')];
    return [strong(String(id)), dim(' (not mapped where nsview is)')];
  }
  if (identity.sameUser === true || (identity.sameUser === null && mapsToItself(map.ranges))) return outside;
  if (identity.sameUser === null) return [...outside, dim(' (inside: not known)')];
  const inside = idInside(id, map, identity.sameUser);
  return [...outside, dim(' › '), inside === null ? toned('warn', 'not mapped') : strong(String(inside)), dim(' inside')];
}

const NAMES = ['real', 'effective', 'saved', 'fs'] as const;

function idsLine(seen: Identity['uids'], map: IdMap, names: {readonly [id: string]: string}, identity: Identity): Line {
  if (isRefusal(seen)) return refusalPieces(seen);
  if (seen.every(id => id === seen[0])) return idPieces(seen[0], map, names, identity);
  return NAMES.flatMap((name, index) => {
    const id = seen[index] ?? 0;
    const pieces = idPieces(id, map, names, identity);
    const differs = id !== seen[0];
    return [...(index === 0 ? [] : [GAP]), differs ? strong(`${name} `) : dim(`${name} `), ...pieces];
  });
}

/** Who it is: the rows that stand first in the tab. */
export function idLines(identity: Identity, look: Look): Line[] {
  const {lines, say} = rows(look);
  const {uidMap, gidMap, credentials, users, groups, sameUser} = identity;
  say('user', idsLine(identity.uids, uidMap, users, identity));
  say('group', idsLine(identity.gids, gidMap, groups, identity));
  if (!isRefusal(credentials)) {
    const listed = credentials.groups.flatMap((gid, index) => [...(index === 0 ? [] : [GAP]), ...idPieces(gid, gidMap, groups, identity)]);
    say('groups', listed.length === 0 ? [dim('no others')] : listed);
  }
  if (sameUser === false) {
    for (const [label, map] of [
      ['uid map', uidMap],
      ['gid map', gidMap],
    ] as const) {
      if (isRefusal(map.ranges)) say(label, refusalPieces(map.ranges));
      else if (map.ranges.length === 0) say(label, [toned('warn', 'none written yet: every id is unmapped inside')]);
      else
        say(
          label,
          map.ranges.flatMap((range, index) => [...(index === 0 ? [] : [GAP]), ...rangePieces(range)]),
        );
    }
    if (isRefusal(identity.setgroups)) say('setgroups', refusalPieces(identity.setgroups));
    else
      say('setgroups', [
        identity.setgroups === 'deny' ? strong('deny') : plain(printable(identity.setgroups)),
        dim(identity.setgroups === 'deny' ? ': it cannot drop groups' : ''),
      ]);
  }
  return lines;
}

// capabilities(7), "Transformation of capabilities during execve()".
const SETS: readonly {readonly set: keyof CapabilitySets; readonly means: string}[] = [
  {set: 'effective', means: 'used by the kernel now'},
  {set: 'permitted', means: 'it may make effective'},
  {set: 'inheritable', means: 'permitted by an execve if the file has them inheritable too'},
  {set: 'bounding', means: 'all that an execve may add, but for what is inheritable'},
  {set: 'ambient', means: 'kept over an execve of a file that has no capabilities and changes no id'},
];

/** `+` what it has and the other has not, `-` what it has not. */
function changes(mine: string, theirs: string): Piece[] {
  const [own, other] = [maskOf(mine), maskOf(theirs)];
  const part = (sign: string, tone: 'warn' | 'good', mask: bigint): Piece[] => {
    const bits = bitsOf(mask);
    if (bits.length > 6) return [toned(tone, `${sign}${bits.length}`), GAP];
    return bits.flatMap(bit => [toned(tone, `${sign}${capabilityName(bit)}`), GAP]);
  };
  return [...part('+', 'warn', own & ~other), ...part('-', 'good', other & ~own)];
}

const SECCOMP: readonly string[] = ['none', 'strict: read, write, _exit and sigreturn alone', 'filtered'];

function capabilityLines(identity: Identity, above: Identity | null, say: Rows['say']): void {
  const {credentials, lastCapability} = identity;
  if (isRefusal(credentials)) {
    say('capabilities', refusalPieces(credentials));
    return;
  }
  const theirs = above === null || isRefusal(above.credentials) ? null : above.credentials.capabilities;
  const sets = credentials.capabilities;
  for (const {set, means} of SETS) {
    const text = capabilityText(sets[set], lastCapability);
    const same = set === 'permitted' && sets.permitted === sets.effective;
    const shown = same
      ? [dim('as effective')]
      : words(text, word => (text === 'none' ? dim(word) : set === 'effective' ? strong(word) : plain(word)));
    const differs = theirs === null ? [] : changes(sets[set], theirs[set]);
    say(set, [...shown, ...(differs.length > 0 ? [GAP, dim('('), ...differs.slice(0, -1), dim(')')] : []), GAP, dim(`· ${means}`)]);
  }
}

const unknown = dim('this kernel does not say');

/** A refused value as such, any other by `show`. */
const shown = <T>(seen: Seen<T>, show: (value: Exclude<T, undefined>) => Line): Line =>
  isRefusal(seen) ? refusalPieces(seen) : show(seen as Exclude<T, undefined>);

function boundLines(identity: Identity, above: Identity | null, say: Rows['say']): void {
  const {credentials} = identity;
  const theirs = above === null || isRefusal(above.credentials) ? null : above.credentials;
  const fresh = (differs: boolean): Piece[] => (differs ? [GAP, strong('new here')] : []);
  if (!isRefusal(credentials)) {
    const {noNewPrivs, seccomp, filters} = credentials;
    const privs =
      noNewPrivs === null
        ? [unknown]
        : noNewPrivs
          ? [strong('set'), dim(': no program raises it')]
          : [dim('not set: set-user-ID programs may raise it')];
    say('no_new_privs', [...privs, ...fresh(theirs !== null && noNewPrivs === true && theirs.noNewPrivs === false)]);
    const mode = seccomp === null ? unknown : seccomp === 0 ? dim('none') : strong(SECCOMP[seccomp] ?? `mode ${seccomp}`);
    const by = seccomp === 2 && filters !== null ? [plain(` by ${filters} program${filters === 1 ? '' : 's'}`)] : [];
    const more =
      theirs?.filters == null || filters === null || filters <= theirs.filters ? [] : [GAP, strong(`${filters - theirs.filters} new here`)];
    say('seccomp', [mode, ...by, ...more]);
  }
  const before = above === null || isRefusal(above.labels) ? null : above.labels;
  say(
    'LSM label',
    shown(identity.labels, labels =>
      labels.length === 0
        ? [dim('none: no security module labels it')]
        : labels.flatMap(({module, label}, index) => [
            ...(index === 0 ? [] : [GAP]),
            dim(module === '' ? '' : `${printable(module)} `),
            plain(printable(label)),
            ...fresh(before !== null && !before.some(other => other.label === label)),
          ]),
    ),
  );
  const dumpable = isDumpable(identity, identity.uidMap, identity.gidMap);
  const hasEnded = identity.state === 'Z' || identity.state === 'X';
  say('dumpable', [
    dumpable === null
      ? dim(
          hasEnded
            ? 'not known: the files of one that has ended are root’s'
            : 'not known: its files would show the same owner in either case',
        )
      : dumpable
        ? dim('yes')
        : strong('no: its files are root’s, and it may not be traced by its own user'),
  ]);
  say('oom', [
    ...shown(identity.oomScore, score => [plain(`score ${score}`)]),
    GAP,
    ...shown(identity.oomScoreAdj, adjust => [
      adjust === 0 ? dim('not adjusted') : strong(`adjusted by ${adjust}`),
      dim(adjust === -1000 ? ': never killed for memory' : ''),
    ]),
  ]);
}

/** `whose`: the name of the one that it is compared with. */
function limitLines(identity: Identity, above: Identity | null, whose: string, say: Rows['say']): void {
  if (isRefusal(identity.limits)) {
    say('limits', refusalPieces(identity.limits));
    return;
  }
  if (above === null || isRefusal(above.limits)) return;
  const theirs = new Map(above.limits.map(limit => [limit.name, limit]));
  let first = true;
  for (const {name, soft, hard, units} of identity.limits) {
    const has = theirs.get(name);
    if (has === undefined || (has.soft === soft && has.hard === hard)) continue;
    const now = soft === hard ? soft : `${soft}, at most ${hard}`;
    const was = has.soft === has.hard ? has.soft : `${has.soft}, at most ${has.hard}`;
    say(first ? 'limits' : '', [plain(`${name} `), strong(now), dim(units === '' ? '' : ` ${units}`), GAP, dim(`(${whose} ${was})`)]);
    first = false;
  }
  if (first) say('limits', [dim(`as those of ${whose}`)]);
}

const SECUREBIT_MEANS: {readonly [bit: string]: string} = {
  SECBIT_NOROOT: 'uid 0 gives no capabilities at an execve',
  SECBIT_NO_SETUID_FIXUP: 'a change of uid leaves the capabilities',
  SECBIT_KEEP_CAPS: 'what is permitted stays when all uids leave 0, until an execve',
  SECBIT_NO_CAP_AMBIENT_RAISE: 'ambient capabilities cannot be added',
};

/** The first one of its pid namespace (pid_namespaces(7)). */
const isInit = ({nspid}: Process): boolean => nspid !== null && !isRefusal(nspid) && nspid.at(-1) === 1;

/** What prctl(2) set, as far as nsview saw the calls. */
function toldLines(process: Process, say: Rows['say']): void {
  const {securebits, subreaper} = process.told;
  if (securebits !== null)
    say(
      'securebits',
      securebits.length === 0
        ? [dim('none')]
        : securebits.flatMap((bit, index): Piece[] => {
            const means = SECUREBIT_MEANS[bit];
            return [...(index === 0 ? [] : [GAP]), strong(printable(bit)), ...(means === undefined ? [] : [dim(`: ${means}`)])];
          }),
    );
  if (subreaper !== null)
    say('subreaper', [
      subreaper
        ? strong('yes: orphans of its descendants become its children')
        : dim(
            isInit(process)
              ? 'no, but init of its pid namespace: orphans there become its children'
              : 'no: orphans of its descendants go further up',
          ),
    ]);
}

/** Capabilities are held in a user namespace and hold there and below it alone (user_namespaces(7)). */
function reach(world: World, process: Process, identity: Identity): Piece[] {
  const user = namespaceOf(world, process.links.user);
  return identity.sameUser === false && user !== null ? [plain(' in '), namespacePiece(user), dim(' and below, not outside')] : [];
}

/** What bounds it: the rows that follow those of the process. */
export function boundsLines(world: World, process: Process, identity: Identity, look: Look): Line[] {
  const {lines, say} = rows(look, LONG_LABEL);
  const other = comparedWith(world, process);
  const above = other === null ? null : identityOf(world, other);
  lines.push([]);
  const whose = other === null ? '' : nameOf(other);
  const than = above === null ? '' : `  + and - beside ${whose}`;
  const title = [plain('What it may do'), ...reach(world, process, identity), dim(than)];
  lines.push(...wrapLine(title, Math.max(8, look.width)));
  capabilityLines(identity, above, say);
  boundLines(identity, above, say);
  limitLines(identity, above, whose, say);
  toldLines(process, say);
  lines.push([]);
  const {securebits, subreaper} = process.told;
  const unknown = [
    ...(securebits === null ? ['its securebits'] : []),
    ...(subreaper === null ? ['whether it is a subreaper'] : []),
    'its keyrings',
  ];
  const last = unknown.pop();
  const silent = `The kernel tells nobody else ${unknown.length === 0 ? '' : `${unknown.join(', ')} and `}${last}${unknown.length === 0 ? '.' : ', nor does a call that was seen.'}`;
  for (const row of wrapWords(silent, Math.max(8, look.width))) lines.push([dim(row)]);
  return lines;
}
