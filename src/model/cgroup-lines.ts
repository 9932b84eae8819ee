// Knows what the tab of the cgroups says of limits: what binds, how near it is, and who sets it.

import {
  type CgroupLevel,
  type CgroupResource,
  type CgroupWriter,
  depthLeft,
  type EffectiveLimit,
  effectiveLimit,
  isControlled,
  isCut,
  lowestOf,
  protectionOf,
  resourcesOf,
} from './cgroup-limit.ts';
import {type Look, refusalPieces} from './details-parts.ts';
import {column, cutLine, dim, type Line, type Piece, plain, strong, type Tone, toned, wrapLine} from './line.ts';
import {printable} from './printable.ts';
import {isRefusal} from './seen.ts';

/** `memory+swap` and a space. */
const LABEL = 12;
const PROMISED = ' rsvd';
const GAP = plain('  ');
const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'];

/** Bytes in the largest unit that leaves at least 1, with a decimal below 10. */
export function bytesText(bytes: bigint): string {
  let value = Number(bytes);
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  const rounded = value < 10 && unit > 0 ? Math.round(value * 10) / 10 : Math.round(value);
  return `${rounded} ${UNITS[unit]}`;
}

export function amountText(resource: string, amount: bigint): string {
  if (resource === 'pids' || resource === 'cgroups') return String(amount);
  if (resource === 'cpu') return `${Math.round(Number(amount) / 10) / 100} CPU${amount === 1000n ? '' : 's'}`;
  return resource === 'io' ? `${bytesText(amount)}/s` : bytesText(amount);
}

/** Tenths of the limit, which is not 0, that are used; above nine tenths it is near, above seven it comes nearer. */
export function gauge(use: bigint, limit: bigint): {readonly bar: string; readonly percent: number; readonly tone: Tone} {
  const percent = Math.min(100, Number((use * 100n) / limit));
  const filled = Math.round(percent / 10);
  return {bar: '█'.repeat(filled) + '░'.repeat(10 - filled), percent, tone: percent >= 90 ? 'bad' : percent >= 70 ? 'warn' : 'good'};
}

function limitPieces(resource: string, {limit, use, path, tighter}: EffectiveLimit, own: string): Line {
  const pieces: Piece[] = [];
  const by = path === own ? dim('set here') : plain(`set by ${printable(path)}`);
  // As memory.swap.max often is: nothing is near its end there.
  if (limit === 0n)
    pieces.push(...(use === null || use === 0n ? [] : [plain(`${amountText(resource, use)} used, `)]), strong('none allowed'), GAP, by);
  else if (use === null) pieces.push(strong(amountText(resource, limit)), dim(' at most'), GAP, by);
  else {
    const {bar, percent, tone} = gauge(use, limit);
    pieces.push(strong(amountText(resource, use)), dim(' of '), strong(amountText(resource, limit)), GAP);
    pieces.push(toned(tone, `${bar} ${percent}%`), GAP, by);
  }
  if (tighter !== undefined) {
    const left = tighter.limit - tighter.use;
    const room = `only ${amountText(resource, left < 0n ? 0n : left)} left in ${printable(tighter.path)}, which others use too`;
    pieces.push(GAP, toned('warn', room));
  }
  return pieces;
}

/** What counts as trouble among events: a limit was met, something was killed or held back. */
const TELLING =
  /^(max|oom|oom_kill|oom_group_kill|oom_kill_disable|under_oom|high|fail|nr_throttled|memory\.failcnt|memory\.memsw\.failcnt|hugetlb\..*failcnt|[a-z0-9_]+\.max)$/;

function eventPieces({events, eventsBelow}: CgroupResource, where = ''): Piece[] {
  const pieces = (counted: CgroupResource['events'], which: string): Piece[] =>
    Object.entries(counted ?? {})
      .filter(([name]) => TELLING.test(name))
      .flatMap(([name, value]) => [GAP, toned(name.startsWith('oom') ? 'bad' : 'warn', `${printable(name)} ${value}${which}`)]);
  return [...pieces(events, where), ...pieces(eventsBelow, where === '' ? ' below' : ` below${where}`)];
}

/** memory.high holds back whoever allocates; the soft limit of v1 does nothing while there is memory (Documentation/admin-guide/cgroup-v1/memory.rst). */
const SOFT = [
  ['soft', 'slowed down'],
  ['first', 'when the machine is short of it, reclaimed first'],
] as const;

const PROTECTION = [
  ['min', 'kept'],
  ['low', 'kept while others can give'],
] as const;

/** What the kernel does for the memory of a cgroup when there is too little for all, and whom it kills with it. */
function memoryPieces(levels: readonly CgroupLevel[], own: string): Piece[] {
  const pieces: Piece[] = [];
  for (const [of, means] of PROTECTION) {
    const found = protectionOf(levels, of);
    if (found === null) continue;
    const {asked, at, path} = found;
    if (at === 0n) pieces.push(GAP, toned('warn', `memory.${of} ${amountText('memory', asked)} is void: ${printable(path)} has none`));
    else
      pieces.push(GAP, plain(`${amountText('memory', at)} ${means}`), ...(path === own ? [] : [GAP, plain(`set by ${printable(path)}`)]));
  }
  const together = levels.findLast(({resources}) => resources.some(({oomGroup}) => oomGroup === true));
  if (together !== undefined) pieces.push(GAP, plain(`out of memory, all of ${printable(together.path)} are killed together`));
  return pieces;
}

function depthPieces(levels: readonly CgroupLevel[], own: string): Piece[] {
  const found = depthLeft(levels);
  if (found === null) return [];
  const by = found.path === own ? dim('set here') : plain(`set by ${printable(found.path)}`);
  const deep =
    found.left === 0n ? strong('none can be made below') : plain(`${found.left} ${found.left === 1n ? 'level' : 'levels'} deep at most`);
  return [GAP, deep, GAP, by];
}

const pressureText = ({some, full}: NonNullable<CgroupResource['pressure']>): string =>
  `${some}% some${full === undefined ? '' : `, ${full}% all`}`;

/** Whether there is anything to tell but who may write it. */
export const isLimited = (levels: readonly CgroupLevel[]): boolean =>
  levels.some(
    ({resources, frozen}) =>
      frozen === true ||
      resources.some(
        one => one.limit !== null || one.depth !== undefined || (one.use !== undefined && one.use !== '0') || one.pressure !== undefined,
      ),
  );

/** In v2 of every cgroup above as well (cgroup-v2.rst, "Limits"). */
const HOLDS_BELOW = ['io', 'rdma', 'misc'];

/** A list or limits by device. In v1 io of its own alone is limited (blk-throttle.c, throtl_pd_init). */
const textsOf = (levels: readonly CgroupLevel[], resource: string, isV2: boolean): {readonly text: string; readonly path: string}[] =>
  levels.slice(0, isV2 && HOLDS_BELOW.includes(resource) ? levels.length : 1).flatMap(({path, resources}) => {
    const text = resources.find(one => one.resource === resource)?.text;
    return text === undefined ? [] : [{text, path}];
  });

/** `levels` of one hierarchy, its own cgroup first. `isV2`: who writes it has to come from where both are theirs. */
export function limitLines(levels: readonly CgroupLevel[], look: Look, isV2 = false): Line[] {
  const [own] = levels;
  if (own === undefined) return [];
  const lines: Line[] = [];
  const say = (resource: string, told: Line) => {
    const label = resource.replace(PROMISED, '').replace(/^hugetlb (?=[0-9]{2})/, 'huge ');
    const value = resource.endsWith(PROMISED) ? [dim('promised '), ...told] : told;
    for (const [index, row] of wrapLine(value, Math.max(8, look.width - LABEL - 2)).entries())
      lines.push(cutLine([plain('  '), column('dim', index === 0 ? label : '', LABEL), ...row], look.width));
  };
  const unlimited: string[] = [];
  const none = isCut(levels) ? 'no limit seen' : 'no limit';
  for (const resource of resourcesOf(levels)) {
    const here = own.resources.find(one => one.resource === resource);
    const found = effectiveLimit(levels, resource);
    const binding = levels.find(({path}) => path === found?.path);
    // Met is the limit where it is set: what it held back is counted there, and of the CPU and in v1 nowhere else.
    const met = binding === undefined || binding === own ? undefined : binding.resources.find(one => one.resource === resource);
    const events = [...(met === undefined ? [] : eventPieces(met, ' there')), ...(here === undefined ? [] : eventPieces(here))];
    const extra: Piece[] = [];
    if (here?.peak !== undefined && here.peak !== '0') extra.push(GAP, dim(`peak ${amountText(resource, BigInt(here.peak))}`));
    for (const [of, means] of SOFT) {
      const lowest = lowestOf(levels, resource, of);
      if (lowest === null) continue;
      const by = lowest.path === own.path ? [] : [GAP, plain(`set by ${printable(lowest.path)}`)];
      extra.push(GAP, plain(`${means} above ${amountText(resource, lowest.at)}`), ...by);
    }
    if (resource === 'memory') extra.push(...memoryPieces(levels, own.path));
    if (resource === 'cgroups') extra.push(...depthPieces(levels, own.path));
    const texts = textsOf(levels, resource, isV2);
    for (const {text, path} of texts)
      extra.push(GAP, plain(printable(text)), ...(path === own.path ? [] : [GAP, plain(`set by ${printable(path)}`)]));
    if (here?.pressure !== undefined && here.pressure.some > 0)
      extra.push(GAP, toned('warn', `waited for it ${pressureText(here.pressure)}`));
    if (here?.weight !== undefined && (found !== null || events.length > 0 || extra.length > 0 || (here.use ?? '0') !== '0'))
      extra.push(GAP, dim(`weight ${here.weight}`));
    if (found !== null) say(resource, [...limitPieces(resource, found, own.path), ...events, ...extra]);
    else if (here?.use !== undefined && here.use !== '0')
      say(resource, [
        plain(amountText(resource, BigInt(here.use))),
        dim(texts.length === 0 && isControlled(levels, resource) ? ` used, ${none}` : ' used'),
        ...events,
        ...extra,
      ]);
    else if (events.length > 0 || extra.length > 0) say(resource, [...events, ...extra].slice(1));
    else if (isControlled(levels, resource)) unlimited.push(here?.weight === undefined ? resource : `${resource} (weight ${here.weight})`);
  }
  if (unlimited.length > 0) say(isCut(levels) ? 'none seen' : 'no limit', [dim(unlimited.join(', '))]);
  if (isCut(levels)) say('above', [toned('warn', 'cgroups that nsview does not see: what they limit is not known')]);
  const frozen = levels.find(level => level.frozen === true);
  if (frozen !== undefined) {
    const by = frozen === own ? 'here' : `by ${printable(frozen.path)}`;
    say('frozen', [
      own.freezing === true ? toned('warn', `not yet, told to ${by}: some of its tasks still run`) : toned('bad', `yes, ${by}`),
    ]);
  }
  if (isRefusal(own.writer)) say('writable', refusalPieces(own.writer));
  else {
    const threads =
      own.threadWriter === undefined || isRefusal(own.threadWriter) ? [] : [GAP, dim('for threads '), ...writerPieces(own.threadWriter)];
    say('writable', [...writerPieces(own.writer), ...(isV2 ? fromPieces(levels, own.writer.uid) : []), ...threads]);
  }
  return lines;
}

/**
 * In v2 who moves a process needs to write cgroup.procs of the nearest cgroup above both places too (cgroups(7), "Cgroups delegation: delegation
 * containment"): what is given to a user takes processes from within what is given to them, and from nowhere else.
 */
function fromPieces(levels: readonly CgroupLevel[], uid: number): Piece[] {
  if (uid === 0) return [];
  const end = levels.findIndex(({writer}) => isRefusal(writer) || writer.uid !== uid);
  const given = levels[end - 1];
  return given === undefined ? [] : [GAP, dim(`from ${printable(given.path)} and below alone`)];
}

/** Who may move processes into it: the permission to write cgroup.procs (cgroups(7)). */
function writerPieces({uid, gid, mode}: CgroupWriter): Piece[] {
  const bits = Number.parseInt(mode, 8);
  const group = (bits & 0o020) !== 0 ? [GAP, strong(`and group ${gid}`)] : [];
  const others = (bits & 0o002) !== 0 ? [GAP, toned('bad', 'and everybody')] : [];
  const owner = uid === 0 ? dim('by root') : strong(`by uid ${uid}`);
  return [owner, ...group, ...others, dim(` (${mode})`)];
}
