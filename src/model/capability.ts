// Knows how sets of capabilities are written for people.

import {CAPABILITY} from './call.ts';
import type {CapabilityChanges} from './fact.ts';
import type {CapabilitySets} from './identity.ts';

/** Bits of a mask, ascending. */
export function bitsOf(mask: bigint): number[] {
  const bits: number[] = [];
  for (let bit = 0; mask >> BigInt(bit) !== 0n; bit++) if ((mask >> BigInt(bit)) & 1n) bits.push(bit);
  return bits;
}

/** As cap_to_name(3) writes it; a capability that is newer than nsview is cap_N. */
export const capabilityName = (bit: number): string => CAPABILITY[bit]?.[1].toLowerCase() ?? `cap_${bit}`;

export const maskOf = (hexadecimal: string): bigint => (/^[0-9a-f]+$/i.test(hexadecimal) ? BigInt(`0x${hexadecimal}`) : 0n);

/** `none`, `all`, `all but …` or the names, whichever is shortest; `last` is the highest that the kernel knows. */
export function capabilityText(hexadecimal: string, last: number): string {
  const mask = maskOf(hexadecimal);
  const all = (1n << BigInt(last + 1)) - 1n;
  if (mask === 0n) return 'none';
  if (mask === all) return 'all';
  const missing = bitsOf(all & ~mask);
  const has = bitsOf(mask);
  if (missing.length < has.length && (mask & ~all) === 0n) return `all but ${missing.map(capabilityName).join(' ')}`;
  return has.map(capabilityName).join(' ');
}

const SETS = ['permitted', 'effective', 'inheritable', 'bounding', 'ambient'] as const satisfies readonly (keyof CapabilitySets)[];
type Change = {readonly from: string; readonly to: string};

function changesOf(changeOf: (set: keyof CapabilitySets) => Change | undefined): CapabilityChanges | undefined {
  const changes = SETS.flatMap(set => {
    const change = changeOf(set);
    return change === undefined || change.from === change.to ? [] : [[set, change] as const];
  });
  return changes.length === 0 ? undefined : Object.fromEntries(changes);
}

export const capabilityChanges = (before: CapabilitySets, after: CapabilitySets): CapabilityChanges | undefined =>
  changesOf(set => ({from: before[set], to: after[set]}));

/** What two changes are, one after the other. */
export const changedTogether = (first: CapabilityChanges = {}, next: CapabilityChanges = {}): CapabilityChanges | undefined =>
  changesOf(set => {
    const [one, other] = [first[set], next[set]];
    return one === undefined || other === undefined ? (one ?? other) : {from: one.from, to: other.to};
  });

/** So many are told by their names on a line, of more how many there are. */
const FEW = 3;

/** `last` is the highest that the kernel knows; `whole`: with every name; `elsewhere`: they hold in another user namespace than before. */
export type CapabilityTelling = {readonly last: number; readonly whole: boolean; readonly elsewhere: boolean};

function shortText(hexadecimal: string, last: number): string {
  const has = bitsOf(maskOf(hexadecimal)).length;
  const isFew = Math.min(has, last + 1 - has) <= FEW;
  return isFew ? capabilityText(hexadecimal, last) : `${has} of ${last + 1}`;
}

/** From what to what; or what came and went, where that says it in less. */
function changeText({from, to}: Change, {last, whole, elsewhere}: CapabilityTelling): string {
  const [before, after] = [maskOf(from), maskOf(to)];
  const changed = bitsOf(before ^ after);
  const text = whole ? capabilityText : shortText;
  const moved = `${text(from, last)} → ${text(to, last)}`;
  if (elsewhere || before === 0n || after === 0n) return moved;
  const signed = changed.map(bit => `${(after >> BigInt(bit)) & 1n ? '+' : '-'}${capabilityName(bit)}`).join(' ');
  return (whole ? signed.length < moved.length : changed.length <= FEW) ? signed : moved;
}

/** `permitted, effective: all → none`: each change once, with the sets that it befell. */
export function capabilityChangeTexts(changes: CapabilityChanges | undefined, how: CapabilityTelling): string[] {
  const sets = new Map<string, string[]>();
  for (const set of SETS) {
    const change = changes?.[set];
    if (change === undefined) continue;
    const text = changeText(change, how);
    sets.set(text, [...(sets.get(text) ?? []), set]);
  }
  return [...sets].map(([text, names]) => `${names.join(', ')}: ${text}`);
}
