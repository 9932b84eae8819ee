// Knows how to build one of the programs, in either language, as it is or with a defect sown into it; what /proc says of it while it runs;
// and how nsview compares two that run under it.

import {execFileSync, spawnSync} from 'node:child_process';
import {chmodSync, copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {afterAll, beforeAll, expect, it, type TestContext} from 'vitest';
import type {Fact} from '../../src/model/fact.ts';
import {until} from '../support/attached.ts';
import {nsview, type Outcome, Running, readTapeStrictly, run, temporaryFolder} from '../support/nsview.ts';
import {ROOT} from '../support/paths.ts';
import {patient} from '../support/patience.ts';
import {isRoot, needsRoot} from '../support/user.ts';

const SOURCES = join(ROOT, 'fixtures', 'programs');

export type Language = 'c' | 'ocaml';
export const LANGUAGES: readonly Language[] = ['c', 'ocaml'];

/** Null, or why programs in OCaml cannot be built here, as a reason to skip. */
const lacksOcaml = (): string | null =>
  spawnSync('ocamlopt', ['-version']).status === 0 ? null : 'ocamlopt is not installed (Debian: ocaml-nox)';

/** A part of the source, which has to be there exactly once, and what stands in its place. */
type Defect = {
  readonly find: string;
  readonly put: string;
  /** The program's own where nothing is said. */
  readonly inFile?: string | undefined;
};

function sow(source: string, {find, put}: Defect): string {
  const found = source.split(find).length - 1;
  if (found !== 1) throw new Error(`the defect has to fit one place, it fits ${found}: ${find}`);
  return source.replace(find, () => put);
}

const C_FLAGS = ['-std=gnu17', '-O1', '-g', '-Wall', '-Wextra', '-Werror'];
/** Modules without an interface: nothing in them is unused. The rest is about style. */
const OCAML_FLAGS = ['-g', '-w', '+a-4-9-40-41-42-44-45-70', '-warn-error', '+a', '-ccopt', '-Wall -Wextra -Werror'];

/** What every program is linked with, each after what it needs. */
const OCAML_MODULES = ['linux_stubs.c', 'linux.ml', 'confine.ml'];

/** `sanitized`: with ASan and UBSan, C only. `flags` come last and are the compiler's. */
export type Build = {readonly defect?: Defect | undefined; readonly sanitized?: boolean; readonly flags?: readonly string[]};

/** The path of the program, which has its own name and stands in a folder of its own below `folder`. */
export function buildProgram(folder: string, language: Language, name: string, {defect, sanitized, flags = []}: Build = {}): string {
  let into = join(folder, language);
  for (let copy = 2; existsSync(into); copy++) into = join(folder, `${language}-${copy}`);
  mkdirSync(into, {recursive: true});
  // A module of OCaml has no dash in its name.
  const source = language === 'c' ? `${name}.c` : `${name.replaceAll('-', '_')}.ml`;
  const text = readFileSync(join(SOURCES, language === 'c' ? source : `${name}.ml`), 'utf8');
  // A dropped flag may leave something unused, which is no matter here.
  writeFileSync(join(into, source), defect === undefined ? text : sow(text, defect));
  const besides = language === 'c' ? ['linux.h', 'confine.h'] : OCAML_MODULES;
  for (const one of besides) copyFileSync(join(SOURCES, one), join(into, one));
  const program = join(into, name);
  const [compiler, ...args] =
    language === 'c'
      ? [process.env.CC ?? 'cc', ...C_FLAGS, ...(sanitized ? ['-fsanitize=address,undefined', '-fno-sanitize-recover=all'] : [])]
      : ['ocamlopt', ...OCAML_FLAGS, '-I', '+unix', 'unix.cmxa', ...OCAML_MODULES];
  execFileSync(compiler ?? '', [...args, source, '-o', program, ...flags], {cwd: into, stdio: ['ignore', 'pipe', 'pipe']});
  return program;
}

type Built = {get(context: TestContext, language: Language): string};

/** Both languages, built once for a test file; who can read the folder may run them. */
export function builtBefore(name: string): Built {
  const folder = temporaryFolder();
  chmodSync(folder.path, 0o755);
  const lacks = lacksOcaml();
  const programs = new Map<Language, string>();
  beforeAll(() => {
    for (const language of LANGUAGES)
      if (language === 'c' || lacks === null) programs.set(language, buildProgram(folder.path, language, name));
  }, patient(120_000));
  afterAll(() => folder[Symbol.dispose]());
  return {
    get(context, language) {
      const program = programs.get(language);
      return program ?? context.skip(lacks ?? 'not built');
    },
  };
}

function list(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

function text(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

export const nameOf = (pid: number): string => text(`/proc/${pid}/comm`).trimEnd();

export function hasEnded(pid: number): boolean {
  const status = text(`/proc/${pid}/status`);
  return status === '' || /^State:\tZ/m.test(status);
}

/** Empty, too, where it is gone. */
export const childrenOf = (pid: number): number[] =>
  list(`/proc/${pid}/task`)
    .flatMap(tid => text(`/proc/${pid}/task/${tid}/children`).split(' '))
    .filter(child => child !== '')
    .map(Number);

/** It and all that descends from it, with what each is called. */
export const treeOf = (pid: number): {readonly pid: number; readonly name: string}[] => [
  {pid, name: nameOf(pid)},
  ...childrenOf(pid).flatMap(treeOf),
];

/** The one child, as soon as it has executed a program whose first argument is this. */
export async function childThatRuns(parent: number, program: string): Promise<number> {
  const found = () => childrenOf(parent).find(child => text(`/proc/${child}/cmdline`).startsWith(`${program}\0`));
  await until(() => found() !== undefined, `a child of ${parent} that runs ${program}`);
  return found() ?? -1;
}

function linkOf(path: string): string | null {
  try {
    return readlinkSync(path);
  } catch {
    return null;
  }
}

/** Where each fd leads, by number. */
export const fdsOf = (pid: number): {readonly [fd: string]: string} =>
  Object.fromEntries(
    list(`/proc/${pid}/fd`).flatMap(fd => {
      const to = linkOf(`/proc/${pid}/fd/${fd}`);
      return to === null ? [] : [[fd, to]];
    }),
  );

/** How many fds a program has here that opens none: what started the tests may have left some open. */
export async function fdsFromTheStart(): Promise<number> {
  await using plain = new Running('cat', []);
  // Its libraries are open while it starts.
  plain.child.stdin?.write('there\n');
  await plain.says(/there/);
  return Object.keys(fdsOf(plain.pid)).length;
}

/** Mount points that it can reach, each with the type of file system and the options of the mount. */
export const mountsOf = (pid: number): string[] =>
  text(`/proc/${pid}/mountinfo`)
    .trimEnd()
    .split('\n')
    .map(line => {
      const [, , , , at, options, ...rest] = line.split(' ');
      return `${at} ${rest[rest.indexOf('-') + 1]} ${options}`;
    });

/** Kinds of namespaces in which two processes are not together. */
export const KINDS = ['cgroup', 'ipc', 'mnt', 'net', 'pid', 'time', 'user', 'uts'];
export const apartIn = (one: number, other: number): string[] =>
  KINDS.filter(kind => readlinkSync(`/proc/${one}/ns/${kind}`) !== readlinkSync(`/proc/${other}/ns/${kind}`));

/** As whoever has no privilege, such as who runs the tests. */
export const asUser = (program: string, ...args: string[]): Running =>
  isRoot ? new Running('setpriv', ['--reuid=1000', '--regid=1000', '--clear-groups', program, ...args]) : new Running(program, args);

export async function outcomeOf(program: string, ...args: string[]): Promise<Outcome> {
  await using running = new Running(program, args);
  running.release();
  return await running.ended;
}

/** One of the programs as it runs, and the process that was started. */
type Started = {readonly running: Running; readonly root: number};

async function started(running: Running, command: readonly string[], ready: Comparison['ready']): Promise<Started> {
  const [program = ''] = command;
  const root = () => treeOf(running.pid).find(({pid}) => text(`/proc/${pid}/cmdline`).startsWith(`${program}\0`))?.pid;
  await until(
    () => {
      const pid = root();
      return pid !== undefined && ready(pid, running.stdout);
    },
    `${command.join(' ')} is ready; ${running.stderr}`,
    30_000,
  );
  return {running, root: root() ?? -1};
}

/** It is ended by SIGTERM to the process that was started. */
async function end({running, root}: Started, expected: Comparison['status']): Promise<void> {
  const status = typeof expected === 'number' ? expected : expected(running.stdout);
  process.kill(root, 'SIGTERM');
  const {code, signal, stderr} = await running.ended;
  if ((code ?? 128 + (signal === 'SIGTERM' ? 15 : 0)) !== status) throw new Error(`ended with ${code ?? signal}: ${stderr}`);
}

export type Comparison = {
  readonly program: string;
  /** Arguments, each with how it is called; `needs`: what only root can do there. */
  readonly ways: readonly {readonly way: string; readonly args: readonly string[]; readonly needs?: string | null}[];
  /** Whether all of it is there. */
  readonly ready: (root: number, stdout: string) => boolean;
  /** What SIGTERM ends it with, or what that is for what it has said. */
  readonly status: number | ((stdout: string) => number);
  /** Each is sown into one language and compared with the other, run as the first way says that may be gone; a line of nsview diff tells of it. */
  readonly defects: readonly (Defect & {
    readonly language: Language;
    readonly what: string;
    readonly found: RegExp;
    readonly needs?: string;
  })[];
};

/** What `nsview diff` says, once it has settled: a process may be between two calls that it makes after it is ready. */
async function diffOf(a: Started, b: Started, settled: (outcome: Outcome) => boolean): Promise<Outcome> {
  for (let tries = 1; ; tries++) {
    const outcome = await run('diff', String(a.root), String(b.root));
    if (settled(outcome) || tries === 4) return outcome;
  }
}

/** The kind of what was done, each as often as it was. In which order processes did it is chance. */
const stepsOf = (facts: readonly Fact[]): string[] =>
  facts.flatMap(fact => (fact.kind === 'call' ? [fact.name] : fact.kind === 'clone' || fact.kind === 'exit' ? [fact.kind] : [])).toSorted();

/** They start nsview several times. */
const SLOW = {timeout: patient(90_000)};

/** Tests that both languages isolate equally, process for process, while both run under nsview, and that a defect in either is found. */
export function compareLanguages(built: Built, {program, ways, ready, status, defects}: Comparison): void {
  it.for(ways)(`${program} in C and in OCaml, $way: equal by nsview diff, under nsview both`, SLOW, async ({args, needs}, context) => {
    if (needs) needsRoot(needs);
    using folder = temporaryFolder();
    const trace = (language: Language) => {
      const command = [built.get(context, language), ...args];
      return {running: nsview('trace', '--kill-on-exit', '--json', '-o', folder.file(language), '--', ...command), command};
    };
    const [c, ocaml] = [trace('c'), trace('ocaml')];
    await using _c = c.running;
    await using _ocaml = ocaml.running;
    const [a, b] = [await started(c.running, c.command, ready), await started(ocaml.running, ocaml.command, ready)];
    const {code, stdout} = await diffOf(a, b, outcome => outcome.code === 0);
    expect([code, stdout]).toEqual([0, expect.stringMatching(/^equal up to renaming of ids: /)]);
    for (const one of [a, b]) await end(one, status);
    // The tapes tell of the same steps: as many processes, which make the same calls that change isolation.
    const [inC, inOcaml] = LANGUAGES.map(language => stepsOf(readTapeStrictly(folder.file(language)).facts));
    expect(inC).toContain('clone');
    expect(inOcaml).toEqual(inC);
  });

  it.for(defects)(
    `${program} in $language: nsview diff finds $what`,
    SLOW,
    async ({language, find, put, inFile, found, needs: own}, context) => {
      if (own) needsRoot(own);
      const sound = built.get(context, language === 'c' ? 'ocaml' : 'c');
      built.get(context, language);
      using folder = temporaryFolder();
      const defective = buildProgram(folder.path, language, program, {defect: {find, put, inFile}});
      const args = ways.find(({needs}) => isRoot || !needs)?.args ?? [];
      await using one = new Running(sound, args);
      await using other = new Running(defective, args);
      const [a, b] = [await started(one, [sound], ready), await started(other, [defective], ready)];
      const {code, stdout} = await diffOf(a, b, outcome => found.test(outcome.stdout));
      expect(stdout).toMatch(found);
      expect(code).toBe(1);
      for (const each of [a, b]) await end(each, status);
    },
  );
}
