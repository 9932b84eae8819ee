import fc from 'fast-check';
import {describe, expect, test} from 'vitest';
import {createInput, type InputEvent} from '../../src/ui/input.ts';

function parse(chunks: readonly (string | Uint8Array)[]): InputEvent[] {
  const events: InputEvent[] = [];
  const input = createInput(event => events.push(event));
  for (const chunk of chunks) input.feed(typeof chunk === 'string' ? Buffer.from(chunk) : chunk);
  input.flush();
  input.close();
  return events;
}

const keysOf = (events: readonly InputEvent[]) => events.map(event => (event.kind === 'key' ? event.key : event.kind));

describe('keys', () => {
  test.each([
    ['a', ['a']],
    ['é日', ['é', '日']],
    ['\x1b[A\x1bOB\x1b[C\x1b[D', ['up', 'down', 'right', 'left']],
    ['\x1b[H\x1b[F\x1b[1~\x1b[4~\x1b[5~\x1b[6~', ['home', 'end', 'home', 'end', 'pageup', 'pagedown']],
    ['\x1b[1;2D\x1b[1;5C\x1b[1;3A', ['shift-left', 'ctrl-right', 'alt-up']],
    ['\x1b[Z\t\r\x7f ', ['shift-tab', 'tab', 'enter', 'backspace', 'space']],
    ['\x03\x1d\x00', ['ctrl-c', 'ctrl-]', 'ctrl-space']],
    ['\x1bOP\x1b[11~\x1b[[A', ['f1', 'f1', 'other']],
    ['\x1ba', ['alt-a']],
    ['\x1b', ['escape']],
    ['\x1b\x1b[A', ['escape', 'up']],
    ['\x1b[97u\x1b[93;5u\x1b[27u\x1b[9;2u', ['a', 'ctrl-]', 'escape', 'shift-tab']],
    ['\x1b[?1;2c', ['other']],
    ['\x1b[I\x1b[O', ['focus', 'focus']],
  ])('%j is %j', (bytes, keys) => expect(keysOf(parse([bytes]))).toEqual(keys));

  test('a character may come in pieces', () => {
    const [one, ...rest] = Buffer.from('日');
    expect(keysOf(parse([Uint8Array.of(one ?? 0), Uint8Array.from(rest)]))).toEqual(['日']);
  });

  test('a lone Escape is a key after a moment', async () => {
    const events: InputEvent[] = [];
    const input = createInput(event => events.push(event));
    input.feed(Buffer.from('\x1b'));
    expect(events).toEqual([]);
    await new Promise(resolve => setTimeout(resolve, 60));
    expect(keysOf(events)).toEqual(['escape']);
    input.close();
  });
});

describe('the mouse', () => {
  test.each([
    ['\x1b[<0;10;5M', {action: 'press', button: 0, x: 9, y: 4}],
    ['\x1b[<2;1;1m', {action: 'release', button: 2, x: 0, y: 0}],
    ['\x1b[<32;3;4M', {action: 'move', button: 0}],
    ['\x1b[<64;3;4M', {action: 'wheel-up'}],
    ['\x1b[<65;300;400M', {action: 'wheel-down', x: 299, y: 399}],
    ['\x1b[<16;3;4M', {action: 'press', modifiers: 16}],
  ])('%j', (bytes, event) => expect(parse([bytes])).toMatchObject([{kind: 'mouse', ...event}]));
});

describe('pastes', () => {
  test('are one event, whatever is in them', () => {
    const events = parse(['\x1b[200~q\x1b[A\n', 'rm -rf\x1b[20', '1~x']);
    expect(events.map(event => (event.kind === 'paste' ? Buffer.from(event.bytes).toString() : keysOf([event])[0]))).toEqual([
      'q\x1b[A\nrm -rf',
      'x',
    ]);
  });
});

// Sequences that mean something, so that random input finds the paths behind them.
const piece = fc.oneof(
  fc.uint8Array({maxLength: 6}),
  fc
    .constantFrom('\x1b[A', '\x1bO', '\x1b[', '\x1b', '\x1b[<0;1;1M', '\x1b[1;5', '日', 'é', '\x1b[[', '\x1b[97;5u', '\x1b[99999999999u')
    .map(text => Uint8Array.from(Buffer.from(text))),
);

describe('any bytes in any pieces', () => {
  test('no byte is lost, added or moved', () => {
    fc.assert(
      fc.property(fc.array(piece, {maxLength: 12}), chunks => {
        const all = Buffer.concat(chunks);
        fc.pre(!all.includes('\x1b[200~'));
        expect(Buffer.concat(parse(chunks).map(event => event.raw))).toEqual(all);
      }),
      {numRuns: 1000},
    );
  });

  test('how the bytes were cut makes no difference', () => {
    fc.assert(
      fc.property(fc.array(piece, {maxLength: 8}), fc.infiniteStream(fc.integer({min: 1, max: 4})), (chunks, sizes) => {
        const all = Buffer.concat(chunks);
        const cut: Uint8Array[] = [];
        for (let from = 0; from < all.length; ) {
          const size = sizes.next().value ?? 1;
          cut.push(all.subarray(from, from + size));
          from += size;
        }
        expect(parse(cut)).toEqual(parse([all]));
      }),
      {numRuns: 1000},
    );
  });
});
