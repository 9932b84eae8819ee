// What src/ui/ink-*.ts do for Ink in the bundle looks on a terminal as what Ink does itself.

import headless from '@xterm/headless';
import fc from 'fast-check';
import stringWidth from 'string-width';
import {expect, test} from 'vitest';
import lineUpdateByInk from '../../node_modules/ink/build/line-update.js';
import OutputOfInk from '../../node_modules/ink/build/output.js';
import sanitizeByInk from '../../node_modules/ink/build/sanitize-ansi.js';
import lineUpdate from '../../src/ui/ink-line-update.ts';
import Output from '../../src/ui/ink-output.ts';
import sanitizeAnsi from '../../src/ui/ink-sanitize.ts';
import width from '../../src/ui/ink-width.ts';

const COLUMNS = 24;
const ROWS = 4;

const STYLES = [
  ['', ''],
  ['\x1b[1m', '\x1b[22m'],
  ['\x1b[2m', '\x1b[22m'],
  ['\x1b[36m', '\x1b[39m'],
  ['\x1b[31m', '\x1b[39m'],
  ['\x1b[7m', '\x1b[27m'],
  ['\x1b[1;4m', '\x1b[22;24m'],
] as const;
const piece = fc.tuple(
  fc
    .array(fc.constantFrom('a', 'b', '1', '2', ' ', ' ', '─', '│', '▌', '…', '漢', 'é'), {minLength: 1, maxLength: 6})
    .map(parts => parts.join('')),
  fc.constantFrom(...STYLES),
);
const row = fc.array(piece, {maxLength: 5}).map(pieces => pieces.map(([text, [on, off]]) => on + text + off).join(''));
const fitting = row.filter(text => stringWidth(text) <= COLUMNS);

/** Each cell of a terminal with what is in it and how it looks, after these bytes. */
async function cellsAfter(bytes: string): Promise<string[]> {
  const terminal = new headless.Terminal({rows: ROWS, cols: COLUMNS, allowProposedApi: true, convertEol: true});
  await new Promise<void>(done => terminal.write(bytes, done));
  const cells: string[] = [];
  for (let y = 0; y < ROWS; y++)
    for (let x = 0; x < COLUMNS; x++) {
      const cell = terminal.buffer.active.getLine(y)?.getCell(x);
      if (cell === undefined) continue;
      // A blank has no colour of its own.
      const chars = cell.getChars() === ' ' ? '' : cell.getChars();
      const looks = [cell.isBold(), cell.isDim(), cell.isUnderline(), cell.getFgColor()].map(Number).join(',');
      cells.push(`${chars}${cell.getWidth()}${cell.isInverse()}${chars === '' ? Number(cell.isUnderline()) : looks}`);
    }
  terminal.dispose();
  return cells;
}

test('a row is as wide', () => {
  fc.assert(
    fc.property(row, text => {
      expect(width(text)).toBe(stringWidth(text));
    }),
  );
});

test('harmless texts are the same, the first time and later', () => {
  fc.assert(
    fc.property(fc.oneof(row, fc.string({unit: 'binary'})), text => {
      expect(sanitizeAnsi(text)).toBe(sanitizeByInk(text));
      expect(sanitizeAnsi(text)).toBe(sanitizeByInk(text));
    }),
  );
});

test('texts lie on the screen as Ink lays them, beside and upon one another', async () => {
  const write = fc.record({x: fc.integer({min: 0, max: COLUMNS - 1}), y: fc.integer({min: 0, max: ROWS}), text: fitting});
  await fc.assert(
    fc.asyncProperty(fc.array(write, {maxLength: 8}), async writes => {
      const ours = new Output({width: COLUMNS, height: ROWS});
      const inks = new OutputOfInk({width: COLUMNS, height: ROWS});
      for (const {x, y, text} of writes) {
        if (x + stringWidth(text) > COLUMNS) continue;
        ours.write(x, y, text, {transformers: []});
        inks.write(x, y, text, {transformers: []});
      }
      const [one, other] = [ours.get(), inks.get()];
      expect(one.height).toBe(other.height);
      expect(await cellsAfter(one.output)).toEqual(await cellsAfter(other.output));
    }),
    {numRuns: 300},
  );
});

test('a row that changed looks as one that is written anew, and as Ink changes it', async () => {
  // Rows that begin alike are the interesting ones.
  const pair = fc.tuple(row, row, row).map(([start, one, other]) => [start + one, start + other] as const);
  const room = pair.filter(rows => rows.every(text => stringWidth(text) <= COLUMNS));
  await fc.assert(
    fc.asyncProperty(room, async ([previous, next]) => {
      const changed = await cellsAfter(previous + lineUpdate(previous, next, COLUMNS));
      expect(changed).toEqual(await cellsAfter(next));
      expect(changed).toEqual(await cellsAfter(previous + lineUpdateByInk(previous, next, COLUMNS)));
    }),
    {numRuns: 500},
  );
});
