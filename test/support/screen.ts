// Knows how to use nsview as a person does: at a terminal, looking at its screen. The pty is not nsview's own (fixtures/pty-run.c).

import {type ChildProcess, spawn} from 'node:child_process';
import type {Writable} from 'node:stream';
import {Unicode11Addon} from '@xterm/addon-unicode11';
import headless from '@xterm/headless';
import {fixture, NSVIEW} from './paths.ts';
import {patient} from './patience.ts';

export type ScreenSize = {readonly rows: number; readonly columns: number};

export class Screen implements AsyncDisposable {
  readonly child: ChildProcess;
  private readonly terminal: InstanceType<typeof headless.Terminal>;
  readonly ended: Promise<number | null>;
  /** Everything that reached the terminal. */
  raw: Buffer = Buffer.alloc(0);

  constructor(size: ScreenSize, program: string, args: readonly string[], environment: NodeJS.ProcessEnv = {}) {
    this.terminal = new headless.Terminal({rows: size.rows, cols: size.columns, allowProposedApi: true, scrollback: 0});
    this.terminal.loadAddon(new Unicode11Addon());
    this.terminal.unicode.activeVersion = '11';
    this.child = spawn(fixture('pty-run'), [String(size.rows), String(size.columns), program, ...args], {
      stdio: ['pipe', 'pipe', 'inherit', 'pipe'],
      env: {...process.env, TERM: 'xterm-256color', LANG: 'C.UTF-8', CI: '', ...environment},
    });
    this.child.stdout?.on('data', (chunk: Buffer) => {
      this.raw = Buffer.concat([this.raw, chunk]);
      this.terminal.write(chunk);
    });
    this.terminal.onData(answer => this.child.stdin?.write(answer));
    this.child.stdin?.on('error', () => {});
    this.ended = new Promise(resolve => this.child.on('close', code => resolve(code)));
  }

  /** Keys, as a terminal sends them. */
  send(keys: string): void {
    this.child.stdin?.write(keys);
  }

  resize({rows, columns}: ScreenSize): void {
    this.terminal.resize(columns, rows);
    (this.child.stdio[3] as Writable).write(`${rows} ${columns}\n`);
  }

  lines(): string[] {
    const {active} = this.terminal.buffer;
    return Array.from({length: this.terminal.rows}, (_, row) => active.getLine(active.baseY + row)?.translateToString(true) ?? '');
  }

  screen(): string {
    return this.lines().join('\n');
  }

  /** True while the program has the alternate screen. */
  get alternate(): boolean {
    return this.terminal.buffer.active.type === 'alternate';
  }

  get mouse(): string {
    return this.terminal.modes.mouseTrackingMode;
  }

  /** The screen, as soon as it shows that. */
  async until(shows: RegExp | ((screen: string) => boolean), what = String(shows)): Promise<string> {
    const holds = typeof shows === 'function' ? shows : (screen: string) => shows.test(screen);
    for (const limit = Date.now() + patient(15_000); ; await new Promise(resolve => setTimeout(resolve, 20))) {
      const screen = this.screen();
      if (holds(screen)) return screen;
      if (Date.now() > limit || this.child.exitCode !== null) throw new Error(`the screen never showed ${what}:\n${screen}`);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.child.stdin?.end();
    await this.ended;
    this.terminal.dispose();
  }
}

export const SMALL: ScreenSize = {rows: 24, columns: 80};
export const MIDDLE: ScreenSize = {rows: 40, columns: 120};

export const nsviewScreen = (size: ScreenSize, ...args: string[]): Screen => new Screen(size, NSVIEW, args);

/** A shell in which to run nsview, so that the terminal can be used afterwards. */
export const shellScreen = (size: ScreenSize): Screen => new Screen(size, 'bash', ['--norc', '--noprofile'], {PS1: '$ ', NSVIEW});
