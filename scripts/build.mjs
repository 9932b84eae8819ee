// Bundles src/main.ts into dist/, split so that what a command does not need is not loaded.

import {mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync} from 'node:fs';
import {basename, dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {fasterInk} from './faster-ink.mjs';
import {lazyWidth} from './lazy-width.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const {version} = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

let esbuild;
try {
  esbuild = await import('esbuild');
} catch {
  // Installed with --omit=dev: the package came with its bundle.
  process.exit(0);
}

const dist = join(root, 'dist');
const {outputFiles} = await esbuild.build({
  entryPoints: ['src/main.ts', 'src/probe/details-worker.ts', 'src/probe/session-worker.ts'].map(path => join(root, path)),
  entryNames: '[name]',
  outdir: dist,
  write: false,
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  minifySyntax: true,
  jsx: 'automatic',
  plugins: [fasterInk(root), lazyWidth],
  external: ['koffi', 'react-devtools-core'],
  define: {'process.env.NODE_ENV': '"production"', NSVIEW_VERSION: JSON.stringify(version)},
  // CommonJS inside the bundle asks for require().
  banner: {js: "import {createRequire as __createRequire} from 'node:module'; const require = __createRequire(import.meta.url);"},
  legalComments: 'linked',
  logLevel: 'warning',
});

// Chunks are named for what is in them, and main.js comes last: nobody who runs it meanwhile sees half of it. File by file, since
// overlayfs does not rename folders of a lower layer.
mkdirSync(dist, {recursive: true});
const isMain = path => basename(path) === 'main.js';
for (const {path, contents} of outputFiles.toSorted((a, b) => Number(isMain(a.path)) - Number(isMain(b.path)))) {
  const unfinished = `${path}.${process.pid}.tmp`;
  writeFileSync(unfinished, contents);
  renameSync(unfinished, path);
}
const wanted = new Set(outputFiles.map(({path}) => basename(path)));
for (const name of readdirSync(dist))
  if (!wanted.has(name) && !name.endsWith('.tmp')) rmSync(join(dist, name), {recursive: true, force: true});
