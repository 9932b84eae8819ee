// Knows what to write where a row of the screen changed, in place of Ink's lineUpdate, which takes both rows apart into graphemes: where
// every character takes one cell, counting them is enough. The other rows are Ink's.

import byInk from '../../node_modules/ink/build/line-update.js';
import {isNarrow} from '../model/printable.ts';

const SGR = /\x1b\[[\d;]*m/g;
const SGR_HERE = /\x1b\[[\d;]*m/y;

const sgrAt = (text: string, at: number): string => {
  SGR_HERE.lastIndex = at;
  return text.charCodeAt(at) === 0x1b ? (SGR_HERE.exec(text)?.[0] ?? '') : '';
};

/** Bytes that turn the row `previous`, which is on the screen, into `next`; the cursor is in the row. */
export default function lineUpdate(previous: string, next: string, columns: number | undefined): string {
  const [was, is] = [previous.replaceAll(SGR, ''), next.replaceAll(SGR, '')];
  if (columns === undefined || !isNarrow(was) || !isNarrow(is) || was.length > columns || is.length > columns)
    return byInk(previous, next, columns);
  // What is alike at the beginning stays; the styles that are in force behind it are said again.
  let at = 0;
  let column = 0;
  let styles = '';
  while (at < next.length) {
    const sgr = sgrAt(next, at);
    if (sgr !== '') {
      if (!previous.startsWith(sgr, at)) break;
      styles += sgr;
      at += sgr.length;
    } else {
      if (next[at] !== previous[at]) break;
      at++;
      column++;
    }
  }
  // On the last column, a cursor that waits for its wrap cannot be put back.
  if (column >= columns) [at, column, styles] = [0, 0, ''];
  // CHA, which counts from one, and EL (ECMA-48).
  return `\x1b[${column + 1}G\x1b[K${styles}${next.slice(at)}`;
}
