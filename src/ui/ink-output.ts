// Knows how Ink's texts become the rows of the screen, in place of Ink's own Output, which takes every text apart into its cells for every
// frame: here texts that lie beside one another on a row are joined as they are, and only where one lies upon another Ink joins them.

import InkOutput from '../../node_modules/ink/build/output.js';
import stringWidth from './ink-width.ts';

type Write = {readonly x: number; readonly text: string; readonly width: number};
type Transform = (text: string, index: number) => string;

const KEPT = 1024;
/** Rows of texts that lie upon one another, as Ink joined them. */
const joined = new Map<string, string>();

function joinByInk(writes: readonly Write[], width: number): string {
  const key = `${width}\0${writes.map(({x, text}) => `${x}\0${text}`).join('\0')}`;
  let row = joined.get(key);
  if (row === undefined) {
    const output = new InkOutput({width, height: 1});
    for (const {x, text} of writes) output.write(x, 0, text, {transformers: []});
    row = output.get().output;
    if (joined.size >= KEPT) joined.clear();
    joined.set(key, row);
  }
  return row;
}

function join(writes: readonly Write[], width: number): string {
  const placed = writes.toSorted((a, b) => a.x - b.x);
  let row = '';
  let used = 0;
  for (const {x, text, width: own} of placed) {
    if (x < used) return joinByInk(writes, width);
    row += ' '.repeat(x - used) + text;
    used = x + own;
  }
  return row.trimEnd();
}

export default class Output {
  readonly width: number;
  readonly height: number;
  readonly #rows: Write[][];
  #isClipped = false;
  readonly #whole: InkOutput;

  constructor(size: {width: number; height: number}) {
    this.width = size.width;
    this.height = size.height;
    this.#rows = Array.from({length: size.height}, () => []);
    this.#whole = new InkOutput(size);
  }

  /** Each row of the text closes the styles that it opens. */
  write(x: number, y: number, text: string, options: {transformers: Transform[]}): void {
    if (text === '') return;
    this.#whole.write(x, y, text, options);
    for (const [index, row] of text.split('\n').entries()) {
      let made = row;
      for (const transform of options.transformers) made = transform(made, index);
      this.#rows[y + index]?.push({x, text: made, width: stringWidth(made)});
    }
  }

  clip(bounds: Parameters<InkOutput['clip']>[0]): void {
    this.#isClipped = true;
    this.#whole.clip(bounds);
  }

  unclip(): void {
    this.#whole.unclip();
  }

  get(): {output: string; height: number} {
    if (this.#isClipped) return this.#whole.get();
    return {output: this.#rows.map(writes => join(writes, this.width)).join('\n'), height: this.height};
  }
}
