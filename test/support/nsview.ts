// Knows how to run nsview and fixtures as a person would, and what came of it.

import {type ChildProcess, type SpawnOptions, spawn} from 'node:child_process';
import {mkdtempSync, readFileSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {type RunnerTestCase, TestRunner} from 'vitest';
import type {CallFact, Fact, NamespacesFact, TapeHeader} from '../../src/model/fact.ts';
import {parseFact, parseHeader} from '../../src/probe/schemas.ts';
import {NSVIEW} from './paths.ts';
import {patient} from './patience.ts';

export type Outcome = {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
};

/** A process with its output, killed at the end of its scope if it still runs. */
export class Running implements AsyncDisposable {
  readonly child: ChildProcess;
  stdout = '';
  stderr = '';
  readonly ended: Promise<Outcome>;
  private listeners: (() => void)[] = [];

  constructor(program: string, args: readonly string[], options: SpawnOptions = {}) {
    this.child = spawn(program, args, {stdio: ['pipe', 'pipe', 'pipe'], ...options});
    const tell = () => {
      for (const listener of this.listeners.splice(0)) listener();
    };
    this.child.stdout?.on('data', (chunk: Buffer) => {
      this.stdout += chunk.toString();
      tell();
    });
    this.child.stderr?.on('data', (chunk: Buffer) => {
      this.stderr += chunk.toString();
      tell();
    });
    this.child.stdin?.on('error', () => {});
    this.ended = new Promise((resolve, reject) => {
      this.child.on('error', reject);
      this.child.on('close', (code, signal) => {
        tell();
        resolve({code, signal, stdout: this.stdout, stderr: this.stderr});
      });
    });
  }

  get pid(): number {
    return this.child.pid ?? -1;
  }

  /** The match, as soon as stdout has it. */
  async says(pattern: RegExp, where: 'stdout' | 'stderr' = 'stdout'): Promise<RegExpExecArray> {
    const limit = Date.now() + patient(20_000);
    for (;;) {
      const match = pattern.exec(this[where]);
      if (match !== null) return match;
      if (Date.now() > limit || (this.child.exitCode ?? this.child.signalCode) !== null)
        throw new Error(`${pattern} never came; stdout: ${this.stdout}; stderr: ${this.stderr}`);
      await new Promise<void>(resolve => {
        this.listeners.push(resolve);
        setTimeout(resolve, 100);
      });
    }
  }

  /** Ends stdin, upon which fixtures end. */
  release(): void {
    this.child.stdin?.end();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill('SIGKILL');
    await this.ended;
  }
}

export const start = (program: string, ...args: string[]): Running => new Running(program, args);
export const nsview = (...args: string[]): Running => new Running(NSVIEW, args);

/** Run nsview to its end. */
export async function run(...args: string[]): Promise<Outcome> {
  await using running = nsview(...args);
  running.release();
  return await running.ended;
}

/** A folder that is gone at the end of its scope. */
export function temporaryFolder(): Disposable & {readonly path: string; file(name: string): string} {
  const path = mkdtempSync(join(tmpdir(), 'nsview-test-'));
  return {path, file: name => join(path, name), [Symbol.dispose]: () => rmSync(path, {recursive: true, force: true})};
}

export type TapeRead = {readonly header: TapeHeader; readonly facts: readonly Fact[]};

/** A tape, every line of it held to the schema. */
export function readTapeStrictly(path: string): TapeRead {
  const lines = readFileSync(path, 'utf8').split('\n');
  if (lines.pop() !== '') throw new Error('the tape does not end in a newline');
  const header = parseHeader(JSON.parse(lines[0] ?? ''));
  if (!header.ok) throw new Error(header.problem);
  const facts = lines.slice(1).map((line, index) => {
    const fact = parseFact(JSON.parse(line));
    if (!fact.ok || fact.value === null) throw new Error(`line ${index + 2}: ${fact.ok ? 'unknown kind' : fact.problem}: ${line}`);
    return fact.value;
  });
  return {header: header.value, facts};
}

export type Traced = Outcome & TapeRead;

/** How to follow: every test of what is followed runs over both. */
export type How = 'bpf' | 'ptrace';
export const HOWS: readonly How[] = ['bpf', 'ptrace'];
/** By ptrace, what is launched stops at every call, or by the filter of --fast; what is attached to, with --syscalls. */
export type LaunchedHow = How | 'fast';
export const LAUNCHED_HOWS: readonly LaunchedHow[] = [...HOWS, 'fast'];
export type AttachedHow = How | 'syscalls';
export const ATTACHED_HOWS: readonly AttachedHow[] = [...HOWS, 'syscalls'];

/** As options. An ordinary user may not follow by BPF: the test that asks for it is skipped. */
export function followBy(how: LaunchedHow | AttachedHow): readonly string[] {
  if (how === 'bpf' && process.getuid?.() !== 0)
    TestRunner.getCurrentTest<RunnerTestCase | undefined>()?.context.skip('no privilege to follow by BPF: the tests do not run as root');
  return how === 'bpf' || how === 'ptrace' ? ['--follow', how] : ['--follow', 'ptrace', `--${how}`];
}

/** `nsview trace --json` over a program, to its end. */
export const traceProgramBy =
  (how: LaunchedHow) =>
  async (program: string, ...args: string[]): Promise<Traced> => {
    using folder = temporaryFolder();
    const tape = folder.file('tape');
    const outcome = await run('trace', '--json', ...followBy(how), '-o', tape, '--', program, ...args);
    return {...outcome, ...readTapeStrictly(tape)};
  };

export const ofKind = <K extends Fact['kind']>(facts: readonly Fact[], kind: K): Extract<Fact, {kind: K}>[] =>
  facts.filter((fact): fact is Extract<Fact, {kind: K}> => fact.kind === kind);

/** What tells that a task moved between calls or in one, where it did. */
export const moves = (facts: readonly Fact[]): (NamespacesFact | CallFact)[] =>
  facts.filter(
    (fact): fact is NamespacesFact | CallFact =>
      (fact.kind === 'namespaces' || fact.kind === 'call') && Object.keys(fact.changed).length > 0,
  );
