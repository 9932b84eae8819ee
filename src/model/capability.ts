// Knows how sets of capabilities are written for people.

import {CAPABILITY} from './call.ts';

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
