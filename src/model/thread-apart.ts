// Knows how it is said in a few words what a thread has otherwise than its process.

import type {Apart} from './apart.ts';
import {bitsOf, capabilityName, maskOf} from './capability.ts';
import type {Ids} from './fact.ts';
import {printable} from './printable.ts';
import {isRefusal} from './seen.ts';
import {SHAREABLE} from './sharing.ts';

/** A few capabilities are named. */
const NAMED = 2;

function setWords(set: string, mask: string): string {
  const bits = bitsOf(maskOf(mask));
  const what = set === '' ? '' : `${set} `;
  if (bits.length === 0) return `no ${what}capabilities`;
  if (bits.length <= NAMED) return `only ${what}${bits.map(capabilityName).join(' ')}`;
  return `${bits.length} ${what}capabilities`;
}

function idWords(what: string, ids: Ids): string {
  const [real, effective, saved, fs] = ids;
  if (effective === real && effective === saved && effective === fs) return `${what} ${effective}`;
  return `${what} ${real} effective ${effective}${saved === effective ? '' : ` saved ${saved}`}${fs === effective ? '' : ` fs ${fs}`}`;
}

function seccompWords({seccomp, filters}: Apart): string[] {
  if (seccomp === 0) return ['no seccomp'];
  if (seccomp === 1) return ['strict seccomp'];
  if (typeof filters === 'number') return [`${filters} seccomp filter${filters === 1 ? '' : 's'}`];
  return seccomp === 2 ? ['seccomp filters'] : [];
}

/** In plain words, the most telling first: `uid 65534`, `no capabilities`. */
export function apartWords(apart: Apart): string[] {
  const words: string[] = [];
  if (apart.uids !== undefined) words.push(idWords('uid', apart.uids));
  if (apart.gids !== undefined) words.push(idWords('gid', apart.gids));
  const {effective, permitted, inheritable, bounding, ambient} = apart.capabilities ?? {};
  // All that it has it uses: they are told as one.
  const isUsed = effective !== undefined && permitted !== undefined && maskOf(effective) === maskOf(permitted);
  const sets: [string, string | undefined][] = isUsed
    ? [['', effective]]
    : [
        ['effective', effective],
        ['permitted', permitted],
      ];
  sets.push(['inheritable', inheritable], ['bounding', bounding]);
  // What is ambient is permitted (capabilities(7)): where nothing is, neither is that.
  if (permitted === undefined || maskOf(permitted) !== 0n) sets.push(['ambient', ambient]);
  for (const [set, mask] of sets) if (mask !== undefined) words.push(setWords(set, mask));
  if (apart.noNewPrivs !== undefined && apart.noNewPrivs !== null) words.push(apart.noNewPrivs ? 'no_new_privs' : 'no_new_privs not set');
  words.push(...seccompWords(apart));
  if (apart.root !== undefined && !isRefusal(apart.root)) words.push(`root ${printable(apart.root)}`);
  if (apart.cwd !== undefined && !isRefusal(apart.cwd)) words.push(`cwd ${printable(apart.cwd)}`);
  for (const {path} of apart.cgroup ?? []) words.push(`cgroup ${printable(path)}`);
  if (apart.label !== undefined) words.push(`label ${printable(apart.label)}`);
  if (apart.groups !== undefined) words.push(apart.groups.length === 0 ? 'no groups' : `groups ${apart.groups.join(' ')}`);
  for (const kind of apart.objects ?? []) words.push(`own ${SHAREABLE.find(row => row.kind === kind)?.what ?? kind}`);
  return words;
}
