// Knows which processes a search means.

import fuzzysort from 'fuzzysort';
import {isRefusal} from './fact.ts';
import {printable} from './printable.ts';
import type {Process} from './process.ts';
import {type Shape, treeOf} from './tree.ts';
import type {World} from './world.ts';

const EVERYTHING: Shape = {folded: new Set(), arrangement: 'process', root: null};
/** Letters of the pattern may be scattered, but not anywhere. */
const THRESHOLD = 0.4;

export type Matches = {
  /** Ids of processes from the top of the tree. */
  readonly ids: readonly string[];
  readonly set: ReadonlySet<string>;
  /** The one that fits best. */
  readonly best: string | null;
};

const NONE: Matches = {ids: [], set: new Set(), best: null};
const cache = new WeakMap<World, {version: number; text: string; matches: Matches}>();

function targetOf(process: Process): string {
  const argv = process.argv === null || isRefusal(process.argv) ? [] : process.argv.slice(1, 12);
  return printable(`${process.comm} ${process.pid} ${argv.join(' ')}`).slice(0, 160);
}

/** Every process whose name, pid or arguments resemble `text`, folded away or not. */
export function searchProcesses(world: World, text: string): Matches {
  if (text === '') return NONE;
  const kept = cache.get(world);
  if (kept !== undefined && kept.version === world.version && kept.text === text) return kept.matches;
  const candidates: {id: string; target: string}[] = [];
  const everything = treeOf(world, EVERYTHING);
  for (const row of everything.slice(0, everything.count))
    if (row.kind === 'process') candidates.push({id: row.id, target: targetOf(row.process)});
  const results = fuzzysort.go(text, candidates, {key: 'target', threshold: THRESHOLD, limit: 0});
  const set = new Set(results.map(result => result.obj.id));
  const matches = {
    ids: candidates.filter(candidate => set.has(candidate.id)).map(candidate => candidate.id),
    set,
    best: results[0]?.obj.id ?? null,
  };
  cache.set(world, {version: world.version, text, matches});
  return matches;
}
