import {execFileSync, spawnSync} from 'node:child_process';
import {readdirSync, readFileSync} from 'node:fs';
import {join} from 'node:path';
import {describe, expect, it} from 'vitest';
import {temporaryFolder} from './support/nsview.ts';
import {ROOT} from './support/paths.ts';
import {patient} from './support/patience.ts';

/** elf(5): e_machine, here of a little-endian file. */
const machineOf = (path: string): number => readFileSync(path).readUInt16LE(18);
/** elf.h: EM_AARCH64. */
const AARCH64 = 183;

describe('for aarch64', () => {
  const compiler = 'aarch64-linux-gnu-gcc';

  it(
    'the native part compiles with every warning an error, and links',
    context => {
      if (spawnSync(compiler, ['--version']).status !== 0) context.skip(`${compiler} is not installed`);
      using folder = temporaryFolder();
      const into = folder.file('build');
      execFileSync('node', [join(ROOT, 'scripts/build-native.mjs'), '--into', into], {env: {...process.env, CC: compiler}, stdio: 'pipe'});
      for (const name of ['libnsview.so', 'nsview-helper']) expect(machineOf(join(into, name)), name).toBe(AARCH64);
    },
    patient(180_000),
  );

  it(
    'so do the fixtures',
    context => {
      if (spawnSync(compiler, ['--version']).status !== 0) context.skip(`${compiler} is not installed`);
      const folder = join(ROOT, 'fixtures');
      const sources = readdirSync(folder).filter(name => name.endsWith('.c'));
      expect(sources.length).toBeGreaterThan(50);
      execFileSync(compiler, ['-std=gnu17', '-fsyntax-only', '-Wall', '-Wextra', '-Werror', '-pthread', ...sources], {
        cwd: folder,
        stdio: 'pipe',
      });
    },
    patient(180_000),
  );
});
