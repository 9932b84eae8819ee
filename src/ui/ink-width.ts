// Knows how wide Ink's texts are, in place of string-width in Ink: the same answer, but what a frame shows again is not measured again.

import {cells} from '../model/printable.ts';

const SGR = /\x1b\[[\d;]*m/g;
const KEPT = 8192;
const known = new Map<string, number>();

/** Cells of a text, SGR aside. */
export default function stringWidth(text: string): number {
  if (text.length < 2) return cells(text);
  let width = known.get(text);
  if (width === undefined) {
    width = cells(text.includes('\x1b') ? text.replaceAll(SGR, '') : text);
    if (known.size >= KEPT) known.clear();
    known.set(text, width);
  }
  return width;
}
