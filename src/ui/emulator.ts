// Knows the terminal that a launched program believes in: its bytes become cells, and its questions are answered.

import {Unicode11Addon} from '@xterm/addon-unicode11';
import headless from '@xterm/headless';
import stringWidth from 'string-width';
import type {TerminalPort} from '../model/terminal-port.ts';
import type {InputEvent} from './input.ts';

/** What it shows now, row by row, each of them exactly as wide as the terminal. */
export type EmulatorFrame = {
  readonly rows: readonly string[];
  /** Where the cursor is; null when it is hidden or scrolled away. */
  readonly cursor: {readonly x: number; readonly y: number} | null;
  /** Rows that lie above what is shown. */
  readonly above: number;
  /** Row where the program writes next, whether its cursor is seen or not. */
  readonly cursorRow: number;
  /** Rows below it: more than none while a person has scrolled back. */
  readonly below: number;
};

export type Emulator = {
  frame(): EmulatorFrame;
  resize(columns: number, rows: number): void;
  /** Keys, pastes and mouse reports for the program. */
  input(event: InputEvent, origin: {readonly x: number; readonly y: number}): void;
  /** The wheel, by so many rows; the newest output is below. A program that fills the screen scrolls itself, if it has the keys. */
  scroll(by: number, hasKeys: boolean): void;
  /** True when the program asked to be told of the mouse. */
  wantsMouse(): boolean;
  /** The program closed its terminal. */
  readonly ended: boolean;
  close(): void;
};

/** Bytes that wait to be parsed: the pty is paused above, and goes on below. */
const MOST_PENDING = 256 * 1024;
const LEAST_PENDING = 64 * 1024;
const SCROLLBACK = 5000;

type Cell = {
  getChars(): string;
  getWidth(): number;
  isFgRGB(): boolean;
  isBgRGB(): boolean;
  isFgPalette(): boolean;
  isBgPalette(): boolean;
  getFgColor(): number;
  getBgColor(): number;
  isBold(): number;
  isDim(): number;
  isItalic(): number;
  isUnderline(): number;
  isBlink(): number;
  isInverse(): number;
  isInvisible(): number;
  isStrikethrough(): number;
  isAttributeDefault(): boolean;
};

function colour(base: 30 | 40, isRgb: boolean, isPalette: boolean, value: number): string {
  if (isRgb) return `${base + 8};2;${(value >> 16) & 255};${(value >> 8) & 255};${value & 255}`;
  if (!isPalette) return '';
  if (value < 8) return String(base + value);
  if (value < 16) return String(base + 60 + value - 8);
  return `${base + 8};5;${value}`;
}

/** The attributes of a cell as parameters of SGR. */
function attributesOf(cell: Cell): string {
  if (cell.isAttributeDefault()) return '';
  const parts: string[] = [];
  if (cell.isBold()) parts.push('1');
  if (cell.isDim()) parts.push('2');
  if (cell.isItalic()) parts.push('3');
  if (cell.isUnderline()) parts.push('4');
  if (cell.isBlink()) parts.push('5');
  if (cell.isInverse()) parts.push('7');
  if (cell.isInvisible()) parts.push('8');
  if (cell.isStrikethrough()) parts.push('9');
  const foreground = colour(30, cell.isFgRGB(), cell.isFgPalette(), cell.getFgColor());
  const background = colour(40, cell.isBgRGB(), cell.isBgPalette(), cell.getBgColor());
  if (foreground !== '') parts.push(foreground);
  if (background !== '') parts.push(background);
  return parts.join(';');
}

// What a cell may hold that a terminal would not draw in place: controls, direction marks, joiners, selectors.
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Default_Ignorable_Code_Point}]/gu;

/** The text of a cell, exactly as wide as the emulator says: where the outer terminal may disagree, a stand-in. */
function textOf(cell: Cell, width: number): string {
  const chars = cell.getChars();
  if (chars === '') return ' '.repeat(width);
  const code = chars.charCodeAt(0);
  if (chars.length === 1 && code >= 0x20 && code < 0x7f) return chars;
  const visible = chars.replaceAll(INVISIBLE, '');
  return stringWidth(visible) === width ? visible : '·'.repeat(width);
}

export function createEmulator(port: TerminalPort, size: {columns: number; rows: number}, onChange: () => void): Emulator {
  const terminal = new headless.Terminal({cols: size.columns, rows: size.rows, scrollback: SCROLLBACK, allowProposedApi: true});
  terminal.loadAddon(new Unicode11Addon());
  terminal.unicode.activeVersion = '11';

  let pending = 0;
  let paused = false;
  let ended = false;
  let cursorHidden = false;
  let sgrMouse = false;

  // xterm keeps neither of these where they can be read.
  const watchMode = (final: 'h' | 'l') =>
    terminal.parser.registerCsiHandler({prefix: '?', final}, parameters => {
      for (const parameter of parameters) {
        if (parameter === 25) cursorHidden = final === 'l';
        if (parameter === 1006) sgrMouse = final === 'h';
      }
      return false;
    });
  watchMode('h');
  watchMode('l');
  // RIS and DECSTR bring the cursor back.
  terminal.parser.registerEscHandler({final: 'c'}, () => {
    cursorHidden = false;
    sgrMouse = false;
    return false;
  });

  terminal.onData(data => port.write(Buffer.from(data)));
  terminal.onBinary(data => port.write(Buffer.from(data, 'latin1')));

  port.onData(bytes => {
    pending += bytes.length;
    terminal.write(bytes, () => {
      pending -= bytes.length;
      if (paused && pending < LEAST_PENDING) {
        paused = false;
        port.resume();
      }
      onChange();
    });
    if (!paused && pending > MOST_PENDING) {
      paused = true;
      port.pause();
    }
  });
  port.onEnd(() => {
    ended = true;
    onChange();
  });

  const cell = terminal.buffer.active.getNullCell();

  const rowText = (y: number): string => {
    const line = terminal.buffer.active.getLine(y);
    let text = '';
    let attributes = '';
    let used = 0;
    for (let x = 0; line !== undefined && x < terminal.cols; x++) {
      const read = line.getCell(x, cell);
      if (read === undefined) break;
      const width = read.getWidth();
      if (width === 0) continue;
      const wanted = attributesOf(read);
      if (wanted !== attributes) {
        text += wanted === '' ? '\x1b[0m' : `\x1b[0;${wanted}m`;
        attributes = wanted;
      }
      text += textOf(read, width);
      used += width;
    }
    return `${text}${attributes === '' ? '' : '\x1b[0m'}${' '.repeat(Math.max(0, terminal.cols - used))}`;
  };

  const sendMouse = (event: InputEvent & {kind: 'mouse'}, origin: {x: number; y: number}) => {
    const x = event.x - origin.x;
    const y = event.y - origin.y;
    if (x < 0 || y < 0 || x >= terminal.cols || y >= terminal.rows) return;
    const mode = terminal.modes.mouseTrackingMode;
    if (event.action === 'move' && mode !== 'drag' && mode !== 'any') return;
    if (event.action === 'release' && mode === 'x10') return;
    const wheel = event.action === 'wheel-up' ? 64 : event.action === 'wheel-down' ? 65 : null;
    const code = (wheel ?? event.button + (event.action === 'move' ? 32 : 0)) + event.modifiers;
    if (sgrMouse) port.write(Buffer.from(`\x1b[<${code};${x + 1};${y + 1}${event.action === 'release' ? 'm' : 'M'}`));
    else if (x < 223 && y < 223) {
      // The old encoding has no button for a release: 3 (xterm, ctlseqs, "Normal tracking mode").
      const old = event.action === 'release' ? 3 + event.modifiers : code;
      port.write(Uint8Array.of(0x1b, 0x5b, 0x4d, 32 + old, 33 + x, 33 + y));
    }
  };

  const bytesOf = (event: InputEvent): Uint8Array => {
    if (event.kind === 'paste') {
      if (!terminal.modes.bracketedPasteMode) return event.bytes;
      return Buffer.concat([Buffer.from('\x1b[200~'), event.bytes, Buffer.from('\x1b[201~')]);
    }
    // A program that set application cursor keys (DECCKM) is told SS3, as its own terminal would.
    const isCursorKey = event.raw.length === 3 && event.raw[1] === 0x5b && 'ABCDFH'.includes(String.fromCharCode(event.raw[2] ?? 0));
    if (isCursorKey && terminal.modes.applicationCursorKeysMode) return Uint8Array.of(0x1b, 0x4f, event.raw[2] ?? 0);
    return event.raw;
  };

  return {
    frame: () => {
      const buffer = terminal.buffer.active;
      const rows: string[] = [];
      for (let y = 0; y < terminal.rows; y++) rows.push(rowText(buffer.viewportY + y));
      const below = buffer.baseY - buffer.viewportY;
      const y = buffer.cursorY + below;
      const shown = !cursorHidden && !ended && y < terminal.rows;
      const cursorRow = Math.min(y, terminal.rows - 1);
      return {rows, cursor: shown ? {x: Math.min(buffer.cursorX, terminal.cols - 1), y} : null, cursorRow, above: buffer.viewportY, below};
    },
    resize: (columns, rows) => {
      if (columns === terminal.cols && rows === terminal.rows) return;
      terminal.resize(columns, rows);
      port.resize(columns, rows);
    },
    input: (event, origin) => {
      if (ended) return;
      if (event.kind === 'mouse') {
        if (terminal.modes.mouseTrackingMode !== 'none') sendMouse(event, origin);
        return;
      }
      if (event.kind === 'focus') return;
      // Whoever types looks at the prompt.
      terminal.scrollToBottom();
      port.write(bytesOf(event));
    },
    scroll: (by, hasKeys) => {
      // There is nothing above an alternate screen: its program gets arrows, as from xterm (ctlseqs, "alternate scroll mode").
      if (terminal.buffer.active.type === 'alternate') {
        const arrow = `\x1b${terminal.modes.applicationCursorKeysMode ? 'O' : '['}${by < 0 ? 'A' : 'B'}`;
        if (hasKeys && !ended) port.write(Buffer.from(arrow.repeat(Math.abs(by))));
        return;
      }
      terminal.scrollLines(by);
      onChange();
    },
    wantsMouse: () => terminal.modes.mouseTrackingMode !== 'none',
    get ended() {
      return ended;
    },
    close: () => terminal.dispose(),
  };
}
