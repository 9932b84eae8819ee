// An esbuild plugin that puts src/ui/ink-*.ts in place of four parts of Ink. They answer as Ink's own do (test/ui/faster-ink.test.ts), but
// do not begin anew with every frame: of a screen of 120 × 40, one took Ink 26 ms.

import {join} from 'node:path';

const PARTS = [
  {wanted: /^string-width$/, by: /\/node_modules\/(ink|widest-line)\//, instead: 'ink-width.ts'},
  {wanted: /^\.\/output\.js$/, by: /\/ink\/build\/renderer\.js$/, instead: 'ink-output.ts'},
  {wanted: /^\.\/sanitize-ansi\.js$/, by: /\/ink\/build\/squash-text-nodes\.js$/, instead: 'ink-sanitize.ts'},
  {wanted: /^\.\/line-update\.js$/, by: /\/ink\/build\/log-update\.js$/, instead: 'ink-line-update.ts'},
];

export const fasterInk = root => ({
  name: 'faster-ink',
  setup: build => {
    const missing = new Set(PARTS);
    for (const part of PARTS)
      build.onResolve({filter: part.wanted}, ({importer}) => {
        if (!part.by.test(importer)) return undefined;
        missing.delete(part);
        return {path: join(root, 'src', 'ui', part.instead)};
      });
    build.onEnd(() => ({
      errors: [...missing].map(({instead, by}) => ({text: `Ink is another than ${instead} knows: nothing that matches ${by} asks for it`})),
    }));
  },
});
