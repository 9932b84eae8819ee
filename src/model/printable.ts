// Knows how strings from strangers become harmless: what a terminal would obey, or not show, is spelled out instead.

import stringWidth from 'string-width';

const PLAIN = /^[\x20-\x7e]*$/;
/** Characters of one cell each that nsview's own lines are full of: to count them costs less than to ask for their width. */
const NARROW = /^[\x20-\x7e\u2190-\u2193\u21c4\u2500-\u257f▌▸▾⌇›’·×…−–]*$/;

// Cc controls, Cf format (bidi, zero width, tags), Zl and Zp line breaks, Cs lone surrogates, Co private use, Cn unassigned, and what
// is invisible by definition (fillers, variation selectors). A mark at the start would sit on the cell before it, which is not its own.
const UNSAFE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Co}\p{Cn}\p{Default_Ignorable_Code_Point}]|^\p{M}/gu;

const SHORT: {readonly [character: string]: string} = {'\n': '\\n', '\t': '\\t', '\r': '\\r'};

function spellOut(character: string): string {
  const short = SHORT[character];
  if (short !== undefined) return short;
  const code = character.codePointAt(0) ?? 0;
  // A byte that is no UTF-8 (byte-text.ts).
  if (code >= 0xdc80 && code <= 0xdcff) return `\\x${(code - 0xdc00).toString(16)}`;
  if (code < 0x100) return `\\x${code.toString(16).padStart(2, '0')}`;
  return `\\u{${code.toString(16)}}`;
}

/** The same text, but nothing in it can steer a terminal, reorder a line or hide. A backslash stays itself. */
export function printable(text: string): string {
  return PLAIN.test(text) ? text : text.replaceAll(UNSAFE, spellOut);
}

/** Whether each UTF-16 unit of the text surely takes one cell. */
export const isNarrow = (text: string): boolean => NARROW.test(text);

/** How many cells printable text takes. */
export function cells(text: string): number {
  return NARROW.test(text) ? text.length : stringWidth(text);
}

/** How many cells a stranger's text takes once it is printable. */
export const printableCells = (text: string): number => (PLAIN.test(text) ? text.length : cells(printable(text)));

/** Made when it is first needed: that takes longer than most commands. */
let graphemes: Intl.Segmenter | undefined;

/** The longest start of `text` that fits into so many cells. */
export function take(text: string, width: number): string {
  if (width <= 0) return '';
  if (NARROW.test(text)) return text.slice(0, width);
  let taken = '';
  let used = 0;
  graphemes ??= new Intl.Segmenter();
  for (const {segment} of graphemes.segment(text)) {
    used += stringWidth(segment);
    if (used > width) break;
    taken += segment;
  }
  return taken;
}

/** Printable text in at most so many cells; what is missing is told by `…`. */
export function fitCells(text: string, width: number): string {
  if (width <= 0) return '';
  if (cells(text) <= width) return text;
  return `${take(text, width - 1)}…`;
}
