// Knows how to build one of the programs, in either language, as it is or with a defect sown into it.

import {execFileSync, spawnSync} from 'node:child_process';
import {copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {ROOT} from '../support/paths.ts';

const SOURCES = join(ROOT, 'fixtures', 'programs');

export type Language = 'c' | 'ocaml';
export const LANGUAGES: readonly Language[] = ['c', 'ocaml'];

/** Null, or why programs in OCaml cannot be built here, as a reason to skip. */
export const lacksOcaml = (): string | null =>
  spawnSync('ocamlopt', ['-version']).status === 0 ? null : 'needs ocamlopt (Debian: ocaml-nox)';

/** A part of the source, which has to be there exactly once, and what stands in its place. */
export type Defect = {readonly find: string; readonly put: string};

export function sow(source: string, {find, put}: Defect): string {
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
