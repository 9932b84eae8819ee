// Knows the helper once more, built with ASan and UBSan, and what they found in it: bad memory, undefined behaviour, leaks.

import {execFileSync} from 'node:child_process';
import {chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {ROOT} from './paths.ts';

const FOLDER = join(ROOT, 'build', 'asan', 'run');

/** Where NSVIEW_HELPER should point. */
export const SANITIZED_HELPER = join(FOLDER, 'helper');

export function buildSanitizedHelper(): void {
  execFileSync('node', ['scripts/build-native.mjs', '--sanitize'], {cwd: ROOT, stdio: 'inherit'});
  rmSync(FOLDER, {recursive: true, force: true});
  // Whoever runs it writes there what was found.
  mkdirSync(FOLDER, {recursive: true});
  chmodSync(FOLDER, 0o1777);
  const options = `log_path=${join(FOLDER, 'found')}:print_stacktrace=1:disable_coredump=0`;
  writeFileSync(
    SANITIZED_HELPER,
    // LeakSanitizer traces its own process, which is not granted to everybody.
    `#!/bin/sh\n[ "$(id -u)" = 0 ] || leaks=:detect_leaks=0\nexport ASAN_OPTIONS=${options}$leaks UBSAN_OPTIONS=${options}\nexec '${join(ROOT, 'build', 'asan', 'nsview-helper')}' "$@"\n`,
  );
  chmodSync(SANITIZED_HELPER, 0o755);
}

/** What LeakSanitizer says where it cannot look, since somebody traces the helper. */
const CANNOT_LOOK = /^==\d+==(LeakSanitizer has encountered a fatal error|HINT: ).*\n/gm;

/** Empty, where nothing is wrong. */
export const foundBySanitizers = (): string =>
  readdirSync(FOLDER)
    .filter(name => name.startsWith('found'))
    .map(name => readFileSync(join(FOLDER, name), 'utf8').replaceAll(CANNOT_LOOK, ''))
    .join('');
