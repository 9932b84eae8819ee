// Compiles the native part with the system's C compiler: what native/SOURCES lists, into build/. Rebuilds only what is older than its
// sources. `--sanitize` makes build/asan/nsview-helper for the tests instead, `--into DIRECTORY` puts it all there.

import {execFile} from 'node:child_process';
import {existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {parseArgs, promisify} from 'node:util';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const native = join(root, 'native');
const {sanitize, into} = parseArgs({options: {sanitize: {type: 'boolean', default: false}, into: {type: 'string'}}}).values;
const build = into ?? join(root, 'build', ...(sanitize ? ['asan'] : []));

const FLAGS = [
  '-std=gnu17',
  '-D_GNU_SOURCE',
  ...(sanitize ? ['-O1', '-fsanitize=address,undefined', '-fno-omit-frame-pointer'] : ['-O2']),
  '-g',
  '-Wall',
  '-Wextra',
  '-Werror',
  '-Wshadow',
  '-Wstrict-prototypes',
  '-Wmissing-prototypes',
  '-Wvla',
  '-Wundef',
  '-fvisibility=hidden',
];

/** The first compiler that answers. */
async function findCompiler() {
  for (const name of [process.env.CC, 'cc', 'gcc', 'clang']) {
    if (!name) continue;
    try {
      await promisify(execFile)(name, ['--version']);
      return name;
    } catch {
      // The next one.
    }
  }
  return null;
}

const targets = readFileSync(join(native, 'SOURCES'), 'utf8')
  .split('\n')
  .filter(line => line.includes(':'))
  .map(line => {
    const [name = '', sources = ''] = line.split(':');
    return {name: name.trim(), sources: sources.trim().split(/\s+/)};
  })
  .filter(target => !sanitize || target.name === 'nsview-helper');

/** Headers count for every target: there are few. */
const newest = Math.max(
  ...[...readdirSync(native, {recursive: true}).map(name => join(native, name)), fileURLToPath(import.meta.url)].map(
    path => statSync(path).mtimeMs,
  ),
);
const stale = targets.filter(({name}) => !existsSync(join(build, name)) || statSync(join(build, name)).mtimeMs < newest);

if (stale.length > 0) {
  const compiler = await findCompiler();
  if (compiler === null) {
    console.error(
      'nsview: no C compiler was found, and its native part needs one: install gcc and the C headers (Debian, Ubuntu: apt install gcc libc6-dev; Fedora: dnf install gcc glibc-devel; Alpine: apk add gcc musl-dev linux-headers; Arch: pacman -S gcc), then run npm install again',
    );
    process.exit(1);
  }
  mkdirSync(build, {recursive: true});
  await Promise.all(
    stale.map(async ({name, sources}) => {
      // Under a name of its own and then renamed: two builds at once must not see each other's half.
      const unfinished = join(build, `${name}.${process.pid}.tmp`);
      const shared = name.endsWith('.so') ? ['-shared', '-fPIC'] : [];
      try {
        await promisify(execFile)(compiler, [...FLAGS, ...shared, '-o', unfinished, ...sources.map(source => join(native, source))]);
        renameSync(unfinished, join(build, name));
      } catch (error) {
        rmSync(unfinished, {force: true});
        console.error(`nsview: ${name} could not be compiled:\n${error.stderr ?? error.message}`);
        process.exitCode = 1;
      }
    }),
  );
}
