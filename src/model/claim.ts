// Knows what a claim about the kernel is, as nsview-claims tells it, and where a person reads more.

import type {Tab} from './details.ts';

type Verdict = 'held' | 'broken' | 'skipped';

/** One sentence about Linux that can be false. */
export type Claim = {
  readonly number: number;
  /** The flag of clone3 that it is about, or what else of the call. */
  readonly flag: string;
  readonly id: string;
  readonly sentence: string;
  /** Such as `clone(2)`, and its section or entry. */
  readonly man: string;
  readonly section: string;
  /** Where the kernel sees to it. */
  readonly file: string;
  readonly function: string;
};

export type ToldClaim = Claim & {
  readonly verdict: Verdict;
  /** Why not held. */
  readonly reason?: string;
  readonly link: string;
};

/** A few processes at rest that show what a flag does. */
export type Demonstration = {
  readonly flag: string;
  /** Of the first, from which all descend. */
  readonly pid: number;
  /** It has a tracer of its own: whoever else traces comes when all are at rest. */
  readonly late: boolean;
  readonly tab: Tab;
  /** What is to be seen there. */
  readonly look: string;
  /** The claim. */
  readonly sentence: string;
};

/** One line for a person. */
export const demonstrationText = ({flag, sentence, look}: Demonstration): string => `${flag}: ${sentence}. Here ${look}`;

/** The page that `clone(2)` names, at man7.org. */
export function manLink(man: string): string {
  const match = /^([\w.-]+)\((\d)\)$/.exec(man);
  return match === null ? '' : `https://man7.org/linux/man-pages/man${match[2]}/${match[1]}.${match[2]}.html`;
}

const bare = (flag: string): string => flag.toUpperCase().replace(/^CLONE_/, '');

/** The flag that a person means, with or without CLONE_, in whatever case; null: none of them. */
export function flagOfClaims(asked: string, flags: readonly string[]): string | null {
  return flags.find(flag => bare(flag) === bare(asked)) ?? null;
}

export type ClaimCounts = {readonly held: number; readonly broken: number; readonly skipped: ReadonlyMap<string, number>};

/** Skips by their reason. */
export function countClaims(claims: readonly ToldClaim[]): ClaimCounts {
  const skipped = new Map<string, number>();
  let held = 0;
  let broken = 0;
  for (const {verdict, reason = ''} of claims)
    if (verdict === 'held') held++;
    else if (verdict === 'broken') broken++;
    else skipped.set(reason, (skipped.get(reason) ?? 0) + 1);
  return {held, broken, skipped};
}
