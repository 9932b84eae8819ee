// Knows what the tab of the sharing says of a process.

import {type Details, fixed, heading, type Look, refusalPieces, said} from './details-parts.ts';
import {isRefusal} from './fact.ts';
import {cutLine, dim, type Line, plain, spread, strong, wrapWords} from './line.ts';
import {printable} from './printable.ts';
import type {Process} from './process.ts';
import {type Relation, SHAREABLE, type SharedObject, type Sharing} from './sharing.ts';
import {studyOf, type World} from './world.ts';

export function sharingDetails(world: World, process: Process, look: Look): Details {
  const title = heading(process, [], look.width);
  const fact = studyOf(world, 'sharing', process);
  if (fact === null) return fixed(title, said(look.live ? 'Reading …' : 'This tape holds no reading of it.', look.width));
  if (isRefusal(fact.seen)) {
    if (process.state === 'Z' || process.end !== null)
      return fixed(title, said('It has ended: what it shared with others was given back.', look.width));
    return fixed(title, [cutLine([plain('sharing: '), ...refusalPieces(fact.seen)], look.width)]);
  }
  return fixed(title, [...objectLines(fact.seen, look)]);
}

const RELATIONS: {readonly [relation in Relation]: string} = {
  parent: 'its parent',
  child: 'its child',
  sibling: 'a child of the same parent',
  other: '',
};

/** Sharers that are shown of each object before the rest is counted. */
const SHOWN = 6;

const rowOf = (object: SharedObject) => SHAREABLE.find(({kind}) => kind === object.kind) ?? SHAREABLE[0];

/** What is one object for several processes, the ones that share the same together; then what is its own. */
function objectLines({objects, compared, refused, left}: Sharing, look: Look): Line[] {
  const {width} = look;
  if (isRefusal(objects)) return refusedLines(objects, width);
  const lines: Line[] = [];
  const groups = new Map<string, SharedObject[]>();
  for (const object of objects) {
    if (object.count === 0) continue;
    const key = `${object.count}:${object.with.map(({pid}) => pid).join()}`;
    groups.set(key, [...(groups.get(key) ?? []), object]);
  }
  for (const group of groups.values()) {
    for (const object of group) {
      const {what, flag, means} = rowOf(object);
      lines.push(spread([strong(`one ${what}`)], [dim(flag)], width, 12));
      for (const row of wrapWords(means, Math.max(8, width - 2))) lines.push([dim(`  ${row}`)]);
    }
    const [first] = group;
    if (first === undefined) continue;
    lines.push([dim('with')]);
    for (const {pid, comm, relation} of first.with.slice(0, SHOWN))
      lines.push(cutLine([plain(`  ${printable(comm)} ${pid}`), dim(RELATIONS[relation] === '' ? '' : `  ${RELATIONS[relation]}`)], width));
    const more = first.count - Math.min(SHOWN, first.with.length);
    if (more > 0) lines.push([dim(`  and ${more} more`)]);
    lines.push([]);
  }
  const own = objects.filter(({count}) => count === 0).map(object => rowOf(object).what);
  const nobody = groups.size === 0 ? 'It shares nothing of this with another process. ' : '';
  if (own.length > 0) lines.push(...said(`${nobody}Its own alone: ${own.join('; ')}.`, width));
  const bounds = [
    `compared with ${compared} ${compared === 1 ? 'process' : 'processes'} by kcmp`,
    ...(refused > 0 ? [`${refused} not allowed (ptrace access is needed)`] : []),
    ...(left > 0 ? [`${left} left out`] : []),
  ];
  lines.push(...said(`${bounds.join(', ')}`, width));
  return lines;
}

function refusedLines(refusal: {readonly errno: string; readonly during: string}, width: number): Line[] {
  const why =
    refusal.errno === 'ENOSYS'
      ? 'This kernel has no kcmp (CONFIG_KCMP), and nothing else tells which processes share file table, cwd, memory or signal handlers.'
      : refusal.errno === 'EPERM' || refusal.errno === 'EACCES'
        ? 'To compare it with others, nsview needs the right to read it as by ptrace: run nsview as its user, or as root.'
        : '';
  return [cutLine([plain('what it shares: '), ...refusalPieces(refusal)], width), ...(why === '' ? [] : said(why, width))];
}
