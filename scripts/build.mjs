// Bundles src/main.ts into dist/, split so that what a command does not need is not loaded.

import {existsSync, readFileSync, renameSync, rmSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const {version} = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

let esbuild;
try {
  esbuild = await import('esbuild');
} catch {
  // Installed with --omit=dev: the package came with its bundle.
  process.exit(0);
}

// Into a folder of its own and then renamed, so that nobody runs half of it.
const dist = join(root, 'dist');
const fresh = `${dist}.${process.pid}.tmp`;
await esbuild.build({
  entryPoints: [join(root, 'src', 'main.ts')],
  outdir: fresh,
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  minifySyntax: true,
  jsx: 'automatic',
  external: ['koffi', 'react-devtools-core'],
  define: {'process.env.NODE_ENV': '"production"', NSVIEW_VERSION: JSON.stringify(version)},
  // CommonJS inside the bundle asks for require().
  banner: {js: "import {createRequire as __createRequire} from 'node:module'; const require = __createRequire(import.meta.url);"},
  legalComments: 'linked',
  logLevel: 'warning',
});

const old = `${dist}.old.${process.pid}.tmp`;
if (existsSync(dist)) renameSync(dist, old);
renameSync(fresh, dist);
rmSync(old, {recursive: true, force: true});
