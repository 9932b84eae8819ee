// Knows what a terminal sends: keys, mouse reports, pastes and focus, from bytes that come in any pieces.

/** `raw` holds the very bytes, so that whoever has the keys can be given them unaltered. */
export type InputEvent =
  | {readonly kind: 'key'; readonly key: string; readonly text: string; readonly raw: Uint8Array}
  | {
      readonly kind: 'mouse';
      readonly action: 'press' | 'release' | 'move' | 'wheel-up' | 'wheel-down';
      /** 0 left, 1 middle, 2 right. */
      readonly button: number;
      /** From 0. */
      readonly x: number;
      readonly y: number;
      /** Shift 4, Alt 8, Ctrl 16, as reported. */
      readonly modifiers: number;
      readonly raw: Uint8Array;
    }
  /** Between the brackets of mode 2004. */
  | {readonly kind: 'paste'; readonly bytes: Uint8Array; readonly raw: Uint8Array}
  | {readonly kind: 'focus'; readonly inside: boolean; readonly raw: Uint8Array}
  /** A sequence without a meaning here, such as a reply of the terminal. */
  | {readonly kind: 'other'; readonly raw: Uint8Array};

export type Input = {
  /** Bytes as they came. */
  feed(chunk: Uint8Array): void;
  /** What was begun is over: a lone Escape is a key. */
  flush(): void;
  close(): void;
};

/** An Escape that nothing follows within this time was the key. */
const ESCAPE_WAIT = 30;
/** A paste that never ends is handed over in pieces of this size. */
const PASTE_MOST = 1 << 20;
/** No key or report is longer. */
const SEQUENCE_MOST = 64;

const PASTE_START = '\x1b[200~';
const PASTE_END = Buffer.from('\x1b[201~');

const FINALS: {readonly [final: string]: string} = {
  A: 'up',
  B: 'down',
  C: 'right',
  D: 'left',
  E: 'begin',
  F: 'end',
  H: 'home',
  P: 'f1',
  Q: 'f2',
  R: 'f3',
  S: 'f4',
  Z: 'shift-tab',
};
const NUMBERS: {readonly [number: string]: string} = {
  1: 'home',
  2: 'insert',
  3: 'delete',
  4: 'end',
  5: 'pageup',
  6: 'pagedown',
  7: 'home',
  8: 'end',
  11: 'f1',
  12: 'f2',
  13: 'f3',
  14: 'f4',
  15: 'f5',
  17: 'f6',
  18: 'f7',
  19: 'f8',
  20: 'f9',
  21: 'f10',
  23: 'f11',
  24: 'f12',
};
const CONTROLS: {readonly [code: number]: string} = {
  8: 'backspace',
  9: 'tab',
  10: 'enter',
  13: 'enter',
  27: 'escape',
  32: 'space',
  127: 'backspace',
};

/** 1 + shift 1, alt 2, ctrl 4, as CSI parameters carry them. */
function withModifiers(key: string, parameter: string | undefined): string {
  const bits = Number(parameter?.split(':')[0] ?? '1') - 1;
  if (!(bits > 0)) return key;
  return `${bits & 4 ? 'ctrl-' : ''}${bits & 2 ? 'alt-' : ''}${bits & 1 && key !== 'shift-tab' ? 'shift-' : ''}${key}`;
}

/** The key of one character, typed with or without Ctrl. */
function keyOfCode(code: number): {key: string; text: string} {
  const named = CONTROLS[code];
  if (named !== undefined) return {key: named, text: code === 32 ? ' ' : ''};
  if (code < 32)
    return {key: `ctrl-${String.fromCharCode(code === 0 ? 32 : code + 64).toLowerCase()}`.replace('ctrl- ', 'ctrl-space'), text: ''};
  const text = String.fromCodePoint(code);
  return {key: text, text};
}

/** CSI-u (fixterms, kitty): code ; modifiers u. */
function decodeCsiU(parameters: readonly string[]): {key: string; text: string} | null {
  const code = Number(parameters[0]?.split(':')[0]);
  if (!Number.isInteger(code) || code < 0 || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return null;
  const {key, text} = keyOfCode(code);
  const bits = Number(parameters[1]?.split(':')[0] ?? '1') - 1;
  if (!(bits > 0)) return {key, text};
  if (bits === 1 && text !== '' && text !== ' ') return {key: text.toUpperCase(), text: text.toUpperCase()};
  if (bits === 1 && key === 'tab') return {key: 'shift-tab', text: ''};
  return {key: withModifiers(key, parameters[1]), text: ''};
}

function decodeMouse(parameters: readonly string[], final: string, raw: Uint8Array): InputEvent {
  const [code = 0, column = 1, row = 1] = parameters.map(Number);
  if (![code, column, row].every(Number.isInteger)) return {kind: 'other', raw};
  const at = {x: Math.max(0, column - 1), y: Math.max(0, row - 1), modifiers: code & 28, raw};
  if (code & 64) return {kind: 'mouse', action: code & 1 ? 'wheel-down' : 'wheel-up', button: 0, ...at};
  return {kind: 'mouse', action: final === 'm' ? 'release' : code & 32 ? 'move' : 'press', button: code & 3, ...at};
}

/** One whole CSI sequence, `ESC [ … final`. */
function decodeCsi(sequence: string, raw: Uint8Array): InputEvent {
  const final = sequence.at(-1) ?? '';
  const body = sequence.slice(2, -1);
  if (body.startsWith('<') && (final === 'M' || final === 'm')) return decodeMouse(body.slice(1).split(';'), final, raw);
  if (sequence === '\x1b[I' || sequence === '\x1b[O') return {kind: 'focus', inside: final === 'I', raw};
  if (!/^[\d;:]*$/.test(body)) return {kind: 'other', raw};
  const parameters = body.split(';');
  const named = final === '~' ? NUMBERS[parameters[0] ?? ''] : FINALS[final];
  if (named !== undefined) return {kind: 'key', key: withModifiers(named, parameters[1]), text: '', raw};
  const decoded = final === 'u' ? decodeCsiU(parameters) : null;
  return decoded === null ? {kind: 'other', raw} : {kind: 'key', ...decoded, raw};
}

/** Where the sequence that begins with ESC ends; 0 while it is not whole. */
function escapeLength(bytes: Uint8Array): number {
  const second = bytes[1];
  if (second === undefined) return 0;
  if (second === 0x5b || second === 0x4f) {
    // The Linux console sends F1 to F5 as ESC [ [ A.
    const from = second === 0x5b && bytes[2] === 0x5b ? 3 : 2;
    for (let i = from; i < bytes.length; i++) {
      const byte = bytes[i] ?? 0;
      if (byte >= 0x40 && byte <= 0x7e) return i + 1;
      // What cannot be part of a sequence ends it: it was Alt with a key, or garbage.
      if (byte < 0x20 || byte > 0x7e || i >= SEQUENCE_MOST) return 2;
      if (second === 0x4f && i > 6) return 2;
    }
    return 0;
  }
  // A string of the terminal's: DCS, OSC, APC, PM, until ST or BEL; as a key only Alt with that letter.
  const length = characterLength(bytes, 1);
  return length === 0 ? 0 : 1 + length;
}

/** Bytes of the UTF-8 character at `at`; 0 while it is not whole, 1 for what is none. */
function characterLength(bytes: Uint8Array, at: number): number {
  const first = bytes[at] ?? 0;
  const length =
    first < 0x80 ? 1 : first >= 0xc2 && first < 0xe0 ? 2 : first >= 0xe0 && first < 0xf0 ? 3 : first >= 0xf0 && first < 0xf5 ? 4 : 1;
  for (let i = 1; i < length; i++) {
    const next = bytes[at + i];
    if (next === undefined) return 0;
    if ((next & 0xc0) !== 0x80) return 1;
  }
  return length;
}

export function createInput(emit: (event: InputEvent) => void): Input {
  let pending: Buffer = Buffer.alloc(0);
  let pasting = false;
  let timer: NodeJS.Timeout | undefined;

  const emitKey = (raw: Uint8Array, alt: boolean) => {
    const text = Buffer.from(alt ? raw.subarray(1) : raw).toString();
    const {key, text: typed} = keyOfCode(text.codePointAt(0) ?? 0);
    emit({kind: 'key', key: alt ? `alt-${key}` : key, text: alt ? '' : typed, raw});
  };

  /** Handles one event from the start of `pending`; how many bytes it took, 0 when it is not whole. */
  const next = (): number => {
    if (pasting) {
      const end = pending.indexOf(PASTE_END);
      // Everything but what could be the beginning of the end.
      const ready = end >= 0 ? end : pending.length > PASTE_MOST ? pending.length - PASTE_END.length : -1;
      if (ready < 0) return 0;
      const bytes = Uint8Array.from(pending.subarray(0, ready));
      const used = end >= 0 ? end + PASTE_END.length : ready;
      if (end >= 0) pasting = false;
      emit({kind: 'paste', bytes, raw: bytes});
      return used;
    }
    if (pending[0] !== 0x1b) {
      const length = characterLength(pending, 0);
      if (length > 0) emitKey(Uint8Array.from(pending.subarray(0, length)), false);
      return length;
    }
    if (pending[1] === 0x1b) {
      emitKey(Uint8Array.of(0x1b), false);
      return 1;
    }
    const length = escapeLength(pending);
    if (length === 0) return 0;
    const raw = Uint8Array.from(pending.subarray(0, length));
    const sequence = Buffer.from(raw).toString('latin1');
    if (sequence === PASTE_START) pasting = true;
    else if (length > 2 && raw[1] === 0x5b) emit(decodeCsi(sequence, raw));
    else if (length === 3 && raw[1] === 0x4f && FINALS[sequence[2] ?? ''] !== undefined)
      emit({kind: 'key', key: FINALS[sequence[2] ?? ''] ?? '', text: '', raw});
    else if (length > 2 && raw[1] === 0x4f) emit({kind: 'other', raw});
    else emitKey(raw, true);
    return length;
  };

  const drain = () => {
    for (let used = next(); used > 0 && pending.length > 0; ) {
      pending = pending.subarray(used);
      if (pending.length === 0) break;
      used = next();
    }
  };

  const flush = () => {
    clearTimeout(timer);
    timer = undefined;
    while (pending.length > 0 && !pasting) {
      // Not whole, and nothing more came: its first byte stands for itself.
      emitKey(Uint8Array.from(pending.subarray(0, 1)), false);
      pending = pending.subarray(1);
      if (pending.length > 0) drain();
    }
  };

  return {
    feed: chunk => {
      clearTimeout(timer);
      timer = undefined;
      pending = pending.length === 0 ? Buffer.from(chunk) : Buffer.concat([pending, chunk]);
      if (pending.length > 0) drain();
      if (pending.length > 0 && !pasting) timer = setTimeout(flush, ESCAPE_WAIT);
    },
    flush,
    close: () => clearTimeout(timer),
  };
}
