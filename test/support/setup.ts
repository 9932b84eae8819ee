// Knows what has to be there before the first test: the bundle, the native part, the fixtures.

import {execFileSync} from 'node:child_process';
import {existsSync, mkdirSync, readdirSync, renameSync, statSync} from 'node:fs';
import {join} from 'node:path';
import {FIXTURES, ROOT} from './paths.ts';
import {buildSanitizedHelper, SANITIZED_HELPER} from './sanitizer.ts';

export function setup(): void {
  // Where it is slow, somebody did this before (test/vm/run).
  if (process.env.NSVIEW_TEST_BUILT) return;
  execFileSync('node', ['scripts/build-native.mjs'], {cwd: ROOT, stdio: 'inherit'});
  execFileSync('node', ['scripts/build.mjs'], {cwd: ROOT, stdio: 'inherit'});
  if (process.env.NSVIEW_SANITIZED) {
    buildSanitizedHelper();
    process.env.NSVIEW_HELPER = SANITIZED_HELPER;
  }
  const sources = join(ROOT, 'fixtures');
  mkdirSync(FIXTURES, {recursive: true});
  const files = readdirSync(sources);
  const header = Math.max(...files.filter(file => file.endsWith('.h')).map(file => statSync(join(sources, file)).mtimeMs));
  for (const file of files) {
    if (!file.endsWith('.c')) continue;
    const program = join(FIXTURES, file.slice(0, -2));
    const source = join(sources, file);
    if (existsSync(program) && statSync(program).mtimeMs > Math.max(header, statSync(source).mtimeMs)) continue;
    const flags = ['-std=gnu17', '-O1', '-g', '-Wall', '-Wextra', '-Werror', '-pthread'];
    execFileSync(process.env.CC ?? 'cc', [...flags, '-o', `${program}.tmp`, source, '-lutil'], {stdio: 'inherit'});
    renameSync(`${program}.tmp`, program);
  }
}
