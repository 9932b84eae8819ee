// Knows lines of the screen as data: text by meaning, without colours, cut and padded to cells.

import {cells, fitCells, take} from './printable.ts';

/** What a piece of text means; `ns` is a namespace's name, coloured by its index. The theme says how it looks. */
export type Tone = 'plain' | 'dim' | 'strong' | 'accent' | 'good' | 'warn' | 'bad' | 'key' | 'match' | 'chosen' | `ns${number}`;

export type Piece = {readonly text: string; readonly tone: Tone};
export type Line = readonly Piece[];

export const plain = (text: string): Piece => ({text, tone: 'plain'});
export const dim = (text: string): Piece => ({text, tone: 'dim'});
export const strong = (text: string): Piece => ({text, tone: 'strong'});
export const toned = (tone: Tone, text: string): Piece => ({text, tone});

export const lineCells = (line: Line): number => line.reduce((sum, piece) => sum + cells(piece.text), 0);
export const lineText = (line: Line): string => line.map(piece => piece.text).join('');

const SPACES = ' '.repeat(512);
const spaces = (count: number): string => (count <= 0 ? '' : count <= 512 ? SPACES.slice(0, count) : ' '.repeat(count));

/** At most so many cells; a cut line ends in `…`. */
export function cutLine(line: Line, width: number): Line {
  if (lineCells(line) <= width) return line;
  const cut: Piece[] = [];
  let left = width;
  for (const piece of line) {
    const size = cells(piece.text);
    if (size < left) {
      cut.push(piece);
      left -= size;
      continue;
    }
    // What follows does not fit, so this piece gives its last cell to the ellipsis.
    cut.push({text: `${take(piece.text, left - 1)}…`, tone: piece.tone});
    break;
  }
  return width > 0 ? cut : [];
}

/** Exactly so many cells. */
export function padLine(line: Line, width: number): Line {
  const cut = cutLine(line, width);
  const missing = width - lineCells(cut);
  return missing > 0 ? [...cut, plain(spaces(missing))] : cut;
}

/** Exactly so many cells: `left` gives way to `right`, down to `least` cells, before `right` is cut. */
export function spread(left: Line, right: Line, width: number, least = 0): Line {
  const room = Math.max(least, width - lineCells(right) - 1);
  const start = cutLine(left, Math.min(room, width));
  const end = cutLine(right, Math.max(0, width - lineCells(start) - 1));
  return [...start, plain(spaces(width - lineCells(start) - lineCells(end))), ...end];
}

/** One cell of a table: cut and padded. */
export const column = (tone: Tone, text: string, width: number): Piece => {
  const cut = fitCells(text, width);
  return {text: cut + spaces(width - cells(cut)), tone};
};

/** Words over as many rows as they need; a word that is wider than a row is cut. */
export function wrapWords(text: string, width: number): string[] {
  const rows: string[] = [];
  let row = '';
  for (const word of text.split(' ')) {
    if (row !== '' && cells(row) + 1 + cells(word) > width) {
      rows.push(row);
      row = '';
    }
    row += (row === '' ? '' : ' ') + fitCells(word, width);
  }
  rows.push(row);
  return rows;
}

/** The same text over as many rows as it needs: where it can, a row ends behind a space, a comma, a `|` or a colon; nothing is left out. */
export function wrapText(text: string, width: number): string[] {
  const rows: string[] = [];
  let rest = text;
  while (cells(rest) > width) {
    const full = take(rest, width) || Array.from(rest)[0] || rest;
    const end = Math.max(...[' ', ',', '|', ':'].map(mark => full.lastIndexOf(mark))) + 1;
    const row = end > full.length / 2 ? full.slice(0, end) : full;
    rows.push(row);
    rest = rest.slice(row.length);
  }
  return [...rows, rest];
}

/** What is said, and a command behind it where that fits; else below it and whole, since a command that is cut is none. */
export function withCommand(said: string, command: string, width: number): Line[] {
  if (command === '') return [cutLine([plain(said)], width)];
  if (cells(said) + 2 + cells(command) <= width) return [[plain(said), plain('  '), toned('accent', command)]];
  const rows = wrapText(command, Math.max(8, width - 4));
  const below = rows.map((row): Line => [plain('    '), toned('accent', row)]);
  return said.trim() === '' ? below : [cutLine([plain(said)], width), ...below];
}

/** Pieces over as many rows as they need; a gap of two spaces, which sets things apart, is where a row ends. */
export function wrapPieces(line: Line, width: number): Line[] {
  const groups: Piece[][] = [[]];
  for (const piece of line)
    if (piece.text === '  ') groups.push([]);
    else groups.at(-1)?.push(piece);
  const rows: Piece[][] = [[]];
  for (const group of groups) {
    const row = rows.at(-1) ?? [];
    if (row.length > 0 && lineCells(row) + 2 + lineCells(group) > width) rows.push([...group]);
    else row.push(...(row.length > 0 ? [plain('  ')] : []), ...group);
  }
  return rows;
}

/** Pieces over as many rows as they need: a row ends at a space of any of them. A word that is wider than a row is cut. */
export function wrapLine(line: Line, width: number): Line[] {
  const rows: Piece[][] = [];
  let row: Piece[] = [];
  let word: Piece[] = [];
  let gap = '';
  const put = () => {
    if (word.length === 0) return;
    if (row.length > 0 && lineCells(row) + gap.length + lineCells(word) > width) {
      rows.push(row);
      row = [];
    }
    row.push(...(row.length > 0 && gap !== '' ? [plain(gap)] : []), ...cutLine(word, width));
    word = [];
    gap = '';
  };
  for (const {text, tone} of line)
    for (const part of text.split(/( +)/)) {
      if (part === '') continue;
      if (part.startsWith(' ')) {
        put();
        gap += part;
      } else word.push({text: part, tone});
    }
  put();
  return [...rows, row];
}

/** `1 mount`, `2 mounts`. */
export const counted = (count: number, one: string, many = `${one}s`): string => `${count} ${count === 1 ? one : many}`;
