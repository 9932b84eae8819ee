// Knows how to show a screen to a terminal emulator, press keys on it, and read what a person would see.

import {EventEmitter} from 'node:events';
import {readFileSync} from 'node:fs';
import {Unicode11Addon} from '@xterm/addon-unicode11';
import headless from '@xterm/headless';
import type {Fact, TapeHeader} from '../../src/model/fact.ts';
import type {Intent} from '../../src/model/intent.ts';
import {createState, type Message, type Mode, reduce, type State} from '../../src/model/state.ts';
import type {TerminalPort} from '../../src/model/terminal-port.ts';
import {createStore, type Store} from '../../src/store.ts';
import {type Ending, type Keyboard, runScreen} from '../../src/ui/screen.tsx';

export type Tape = {readonly header: TapeHeader; readonly facts: readonly Fact[]};

export function readTape(name: string): Tape {
  const [first = '', ...lines] = readFileSync(new URL(`../../fixtures/tapes/${name}.jsonl`, import.meta.url), 'utf8')
    .trimEnd()
    .split('\n');
  return {header: JSON.parse(first) as TapeHeader, facts: lines.map(line => JSON.parse(line) as Fact)};
}

export type Played = {
  readonly store: Store<State, Message>;
  readonly intents: readonly Intent[];
  /** Everything that was written to the terminal. */
  readonly bytes: () => string;
  press(keys: string): Promise<void>;
  resize(columns: number, rows: number): Promise<void>;
  /** The screen as text, without the spaces at the ends of rows. */
  text(): string;
  /** What a cell looks like. */
  cell(x: number, y: number): {readonly inverse: boolean; readonly coloured: boolean; readonly bold: boolean; readonly char: string};
  cursor(): {readonly x: number; readonly y: number};
  settled(): Promise<void>;
  close(): Promise<Ending>;
  readonly done: Promise<Ending>;
  /** The modes that are still set in the terminal. */
  modes(): {readonly mouse: string; readonly alternate: boolean; readonly paste: boolean; readonly raw: boolean};
};

export type PlayOptions = {
  readonly tape: Tape;
  readonly mode: Mode;
  readonly columns: number;
  readonly rows: number;
  readonly terminal?: TerminalPort;
  readonly colours?: boolean;
};

/** Opens the screen; a tape is folded at once unless it is to be replayed. */
export async function play(options: PlayOptions): Promise<Played> {
  const {tape, mode, columns, rows} = options;
  // Raw mode leaves ONLCR on (libuv, uv_tty_set_mode): the terminal sees a carriage return before each line feed.
  const terminal = new headless.Terminal({cols: columns, rows, allowProposedApi: true, convertEol: true});
  terminal.loadAddon(new Unicode11Addon());
  terminal.unicode.activeVersion = '11';
  let written = '';
  let writing = 0;
  let lastWrite = performance.now();
  const stdout = Object.assign(new EventEmitter(), {
    isTTY: true,
    columns,
    rows,
    writable: true,
    write: (data: string | Uint8Array) => {
      written += typeof data === 'string' ? data : Buffer.from(data).toString();
      lastWrite = performance.now();
      writing++;
      terminal.write(data, () => {
        writing--;
      });
      return true;
    },
  });
  let raw = false;
  const stdin = Object.assign(new EventEmitter(), {
    setRawMode: (on: boolean) => {
      raw = on;
    },
    resume: () => {},
    pause: () => {},
  });
  const store = createStore(
    createState({header: tape.header, mode, utcOffset: 0, ...(mode === 'replay' ? {tape: tape.facts} : {})}),
    reduce,
  );
  if (mode !== 'replay') store.dispatch({kind: 'facts', facts: tape.facts});
  const intents: Intent[] = [];
  const screen = runScreen({
    store,
    perform: intent => intents.push(intent),
    stdin: stdin as unknown as Keyboard,
    stdout: stdout as unknown as NodeJS.WriteStream,
    colours: options.colours ?? true,
    // Time stands still, so that a frame does not depend on the machine's speed.
    now: () => Number(tape.header.at),
    ...(options.terminal === undefined ? {} : {terminal: options.terminal}),
  });

  const settled = async () => {
    lastWrite = performance.now();
    do await new Promise(resolve => setTimeout(resolve, 10));
    while (writing > 0 || performance.now() - lastWrite < 60);
  };
  const line = (y: number) => terminal.buffer.active.getLine(terminal.buffer.active.baseY + y);
  await settled();
  return {
    store,
    intents,
    bytes: () => written,
    settled,
    press: async keys => {
      stdin.emit('data', Buffer.from(keys));
      await settled();
    },
    resize: async (width, height) => {
      Object.assign(stdout, {columns: width, rows: height});
      terminal.resize(width, height);
      stdout.emit('resize');
      await settled();
    },
    text: () => {
      const lines: string[] = [];
      for (let y = 0; y < terminal.rows; y++) lines.push(line(y)?.translateToString(true) ?? '');
      return `${lines.join('\n')}\n`;
    },
    cell: (x, y) => {
      const cell = line(y)?.getCell(x);
      return {
        inverse: cell?.isInverse() !== 0,
        coloured: cell?.isFgDefault() === false || cell?.isBgDefault() === false,
        bold: cell?.isBold() !== 0,
        char: cell?.getChars() ?? '',
      };
    },
    cursor: () => ({x: terminal.buffer.active.cursorX, y: terminal.buffer.active.cursorY}),
    done: screen.done,
    close: async () => {
      screen.close();
      const ending = await screen.done;
      await settled();
      return ending;
    },
    modes: () => ({
      mouse: terminal.modes.mouseTrackingMode,
      alternate: terminal.buffer.active.type === 'alternate',
      paste: terminal.modes.bracketedPasteMode,
      raw,
    }),
  };
}

/** A program's terminal without a program: what it would write is given, what it would read is kept. */
export function fakeTerminal(title: string) {
  let listener: (bytes: Uint8Array) => void = () => {};
  let ender: () => void = () => {};
  const state = {input: '', paused: 0, resumed: 0, size: {columns: 0, rows: 0}};
  const port: TerminalPort = {
    title,
    onData: given => {
      listener = given;
    },
    onEnd: given => {
      ender = given;
    },
    pause: () => {
      state.paused++;
    },
    resume: () => {
      state.resumed++;
    },
    write: bytes => {
      state.input += Buffer.from(bytes).toString('latin1');
    },
    resize: (columns, rows) => {
      state.size = {columns, rows};
    },
  };
  return {port, state, print: (text: string) => listener(Buffer.from(text)), end: () => ender()};
}
