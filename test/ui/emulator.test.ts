import {describe, expect, test} from 'vitest';
import {createEmulator} from '../../src/ui/emulator.ts';
import {createInput} from '../../src/ui/input.ts';
import {fakeTerminal} from '../frames/play.ts';

function open(columns = 20, rows = 4) {
  const terminal = fakeTerminal('sh');
  const emulator = createEmulator(terminal.port, {columns, rows}, () => {});
  const input = createInput(event => emulator.input(event, {x: 5, y: 5}));
  return {
    terminal,
    emulator,
    type: (bytes: string) => {
      input.feed(Buffer.from(bytes));
      input.flush();
    },
    print: async (text: string) => {
      terminal.print(text);
      await new Promise(resolve => setTimeout(resolve, 20));
    },
  };
}

describe('the emulator', () => {
  test('keeps colours and attributes, and every row has its width', async () => {
    const {emulator, print} = open(10, 2);
    await print('\x1b[1;31mred\x1b[0m \x1b[38;5;200mx\x1b[48;2;1;2;3my');
    expect(emulator.frame().rows).toEqual([
      '\x1b[0;1;31mred\x1b[0m \x1b[0;38;5;200mx\x1b[0;38;5;200;48;2;1;2;3my\x1b[0m    ',
      ' '.repeat(10),
    ]);
  });

  test('lets nothing through that could steer the outer terminal', async () => {
    const {emulator, print} = open();
    await print('a\x1b]0;title\x07b\u202ec\u200bd\x1b[?1049l\x1b[2J');
    await print('\x1b[Hx\u202ey');
    expect(emulator.frame().rows.join('')).not.toMatch(/[^\x20-\x7e\x1b·]|\x1b(?!\[[\d;]*m)/);
  });

  test('wide characters take two cells', async () => {
    const {emulator, print} = open(6, 1);
    await print('日本x');
    expect(emulator.frame().rows).toEqual(['日本x ']);
  });

  test('answers what a program asks its terminal', async () => {
    const {terminal, print} = open();
    await print('ab\x1b[6n');
    expect(terminal.state.input).toBe('\x1b[1;3R');
  });

  test('application cursor keys are told as the program set them', async () => {
    const {terminal, print, type} = open();
    type('\x1b[A');
    await print('\x1b[?1h');
    type('\x1b[A\x1b[1;5A');
    expect(terminal.state.input).toBe('\x1b[A\x1bOA\x1b[1;5A');
  });

  test('a paste is bracketed for a program that asked for it', async () => {
    const {terminal, print, type} = open();
    type('\x1b[200~one\x1b[201~');
    await print('\x1b[?2004h');
    type('\x1b[200~two\x1b[201~');
    expect(terminal.state.input).toBe('one\x1b[200~two\x1b[201~');
  });

  test('mouse reports go to a program that asked, in its own cells', async () => {
    const {terminal, print, type, emulator} = open();
    type('\x1b[<0;7;8M');
    expect(terminal.state.input).toBe('');
    await print('\x1b[?1000;1006h');
    expect(emulator.wantsMouse()).toBe(true);
    type('\x1b[<0;7;8M\x1b[<0;7;8m');
    expect(terminal.state.input).toBe('\x1b[<0;2;3M\x1b[<0;2;3m');
  });

  test('the cursor hides when the program hides it', async () => {
    const {emulator, print} = open();
    await print('abc');
    expect(emulator.frame().cursor).toEqual({x: 3, y: 0});
    await print('\x1b[?25l');
    expect(emulator.frame().cursor).toBeNull();
  });

  test('scrolls back, and a key returns to the prompt', async () => {
    const {emulator, print, type} = open(10, 3);
    await print('1\r\n2\r\n3\r\n4\r\n5');
    emulator.scroll(-2, true);
    expect(emulator.frame()).toMatchObject({
      below: 2,
      rows: [expect.stringContaining('1'), expect.stringContaining('2'), expect.stringContaining('3')],
    });
    type('x');
    expect(emulator.frame().below).toBe(0);
  });

  test('the wheel is arrows for a program that fills the screen, if it has the keys', async () => {
    const {emulator, print, terminal} = open();
    await print('\x1b[?1049h');
    emulator.scroll(2, false);
    expect(terminal.state.input).toBe('');
    emulator.scroll(2, true);
    expect(terminal.state.input).toBe('\x1b[B\x1b[B');
  });

  test('a flood is held back, and let go on', async () => {
    const {terminal, print} = open();
    await print('x'.repeat(300 * 1024));
    expect(terminal.state).toMatchObject({paused: 1});
    await new Promise(resolve => setTimeout(resolve, 200));
    expect(terminal.state).toMatchObject({paused: 1, resumed: 1});
  });
});
