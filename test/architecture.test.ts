import {readdirSync, readFileSync} from 'node:fs';
import {basename, dirname, join, relative, resolve} from 'node:path';
import {describe, expect, it} from 'vitest';
import {ROOT} from './support/paths.ts';

const SRC = join(ROOT, 'src');

/** Where an import may point to, by folder. `.` is src itself: the store and main. */
const ARROWS: {readonly [folder: string]: readonly string[]} = {
  model: ['model'],
  probe: ['probe', 'model'],
  out: ['out', 'model'],
  ui: ['ui', 'model', 'store'],
  store: [],
  main: ['main', 'store', 'model', 'probe', 'out', 'ui'],
};

/** Packages that only one folder may know. */
const PACKAGES: {readonly [name: string]: readonly string[]} = {
  ink: ['ui'],
  react: ['ui'],
  koffi: ['probe'],
  chokidar: ['probe'],
  zod: ['probe'],
  '@xterm/headless': ['ui'],
  'node:fs': ['probe', 'out', 'main'],
  'node:child_process': [],
};

type Import = {readonly from: string; readonly to: string};

const files = readdirSync(SRC, {recursive: true, encoding: 'utf8'}).filter(name => /\.tsx?$/.test(name));
const folderOf = (name: string): string => (name.includes('/') ? (name.split('/')[0] ?? '') : basename(name).replace(/\.tsx?$/, ''));

function importsOf(name: string): Import[] {
  const text = readFileSync(join(SRC, name), 'utf8');
  const specifiers = [...text.matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)].map(match => match[1] ?? '');
  return specifiers.map(to => ({from: name, to: to.startsWith('.') ? relative(SRC, resolve(dirname(join(SRC, name)), to)) : to}));
}

const imports = files.flatMap(importsOf);
const isPackage = (to: string): boolean => !/\.tsx?$/.test(to);

describe('the arrows', () => {
  it('are there to be looked at', () => {
    expect(files.length).toBeGreaterThan(30);
    expect(imports.length).toBeGreaterThan(100);
  });

  it('point downwards only', () => {
    const wrong = imports.filter(({from, to}) => !isPackage(to) && !(ARROWS[folderOf(from)] ?? []).includes(folderOf(to)));
    expect(wrong).toEqual([]);
  });

  it('let one folder alone know each package', () => {
    const wrong = imports.filter(({from, to}) => isPackage(to) && PACKAGES[to] !== undefined && !PACKAGES[to].includes(folderOf(from)));
    expect(wrong).toEqual([]);
  });

  it('lead to files that are there', () => {
    const known = new Set(files);
    expect(imports.filter(({to}) => !isPackage(to) && !known.has(to))).toEqual([]);
  });

  it('make no circle', () => {
    const next = new Map<string, string[]>();
    // A type is no dependency at run time, but a circle of types is a circle all the same.
    for (const {from, to} of imports) if (!isPackage(to)) next.set(from, [...(next.get(from) ?? []), to]);
    const circles: string[] = [];
    const done = new Set<string>();
    const walk = (name: string, path: readonly string[]) => {
      if (path.includes(name)) {
        circles.push([...path.slice(path.indexOf(name)), name].join(' → '));
        return;
      }
      if (done.has(name)) return;
      for (const to of next.get(name) ?? []) walk(to, [...path, name]);
      done.add(name);
    };
    for (const name of files) walk(name, []);
    expect(circles).toEqual([]);
  });
});

describe('the files', () => {
  it('are named for what they know', () => {
    expect(files.filter(name => /(^|\/)(utils?|helpers?|common|types|managers?|index)\.tsx?$/.test(name))).toEqual([]);
    expect(files.filter(name => !/^[a-z0-9-/]+\.tsx?$/.test(name))).toEqual([]);
  });

  it('open with one sentence of it', () => {
    expect(files.filter(name => !readFileSync(join(SRC, name), 'utf8').startsWith('// Knows '))).toEqual([]);
  });

  it('of the model ask no clock, no chance and no world', () => {
    const asking = /\b(Date\.now|new Date\(\)|performance\.now|hrtime|Math\.random|setTimeout|setInterval)\b/;
    expect(files.filter(name => name.startsWith('model/') && asking.test(readFileSync(join(SRC, name), 'utf8')))).toEqual([]);
  });
});

describe('the child between clone3 and execve', () => {
  it('calls async-signal-safe functions only', async () => {
    const {execFileSync} = await import('node:child_process');
    const {temporaryFolder} = await import('./support/nsview.ts');
    using folder = temporaryFolder();
    const object = folder.file('child.o');
    execFileSync('cc', ['-std=gnu17', '-D_GNU_SOURCE', '-O2', '-c', '-o', object, join(ROOT, 'native', 'child.c')]);
    const undefinedSymbols = execFileSync('nm', ['-u', object])
      .toString()
      .split('\n')
      .map(line => line.trim().replace(/^U /, ''))
      .filter(name => name !== '');
    // signal-safety(7), and what the compiler itself may call.
    const allowed =
      /^(__errno_location|_exit|close|dup2|execve|fcntl(64)?|getrlimit(64)?|ioctl|mount|prctl|read|sethostname|setrlimit(64)?|setsid|sigaction|sigaddset|sigemptyset|sigprocmask|syscall|write|memset|memcpy|_GLOBAL_OFFSET_TABLE_|__stack_chk_fail|__stack_chk_guard)$/;
    expect(undefinedSymbols.filter(name => !allowed.test(name))).toEqual([]);
    expect(undefinedSymbols).toContain('execve');
  });
});
