import {availableParallelism} from 'node:os';
import {join} from 'node:path';
import {defineConfig} from 'vitest/config';
import {alone, refusedApart} from './test/support/alone.ts';
import {LongestFirst} from './test/support/longest-first.ts';
import {patient} from './test/support/patience.ts';

// A helper with sanitizers takes several times as long, and what it finds is in one folder.
const refused = process.env.NSVIEW_SANITIZED ? 'the helper has sanitizers' : refusedApart();
if (refused !== null) console.log(`test files run one after the other: ${refused}`);

/** Those that need the pid namespace of the machine: kernel threads, sandboxes that refuse to start in another, namespaces seen from the first; or that
 * change what all of it obeys. */
const ON_THE_MACHINE = [
  'test/trace/kernel-thread.test.ts',
  'test/trace/yama.test.ts',
  ...['beside-lsns', 'containers', 'ordinary-user', 'ownership'].map(name => `test/probe/${name}.test.ts`),
];
/** A third of the time is theirs: `npm test` leaves them to `npm run test:long`. CI runs both. */
const LONG = [
  'test/programs/*.test.ts',
  ...['trace/storms', 'trace/unnoticed', 'trace/launch-options', 'cross', 'vagrant'].map(name => `test/${name}.test.ts`),
];
const part = process.env.NSVIEW_TESTS;
const exclude = [
  // npm run test:sanitized runs these as well.
  ...(process.env.NSVIEW_SANITIZED ? [] : ['test/trace/sanitized.test.ts']),
  ...(part === 'everyday' ? LONG : []),
];

export default defineConfig({
  test: {
    globalSetup: ['test/support/setup.ts'],
    env: {
      // nsview is started by the hundred: what V8 made of its code is kept from one to the next.
      NODE_COMPILE_CACHE: join(import.meta.dirname, 'node_modules', '.cache', 'nsview-tests'),
      // An outermost bash whose input is a socket, as Node's pipes are, takes itself for one that sshd started, and runs ~/.bashrc.
      SHLVL: '2',
    },
    testTimeout: patient(process.env.NSVIEW_SANITIZED ? 90_000 : 30_000),
    // These are real processes on a machine that others share. Who needed a second try is named at the end.
    retry: process.env.CI ? 1 : 0,
    hookTimeout: patient(60_000),
    sequence: {sequencer: LongestFirst},
    teardownTimeout: patient(10_000),
    reporters: ['default', './test/support/counting-reporter.ts'],
    // Every test file has processes of its own, and some look at all of the machine's: side by side only where each has a machine of its own.
    projects: [
      {
        extends: true,
        test: {
          name: 'alone',
          include: part === 'long' ? LONG : ['test/**/*.test.{ts,tsx}'],
          exclude: [...exclude, ...ON_THE_MACHINE],
          pool: refused === null ? alone : 'forks',
          // One more than there are processors: tests wait a good part of their time.
          maxWorkers: refused === null ? availableParallelism() + 1 : 1,
          sequence: {groupOrder: 0},
        },
      },
      {
        extends: true,
        test: {
          name: 'machine',
          include: part === 'long' ? [] : ON_THE_MACHINE,
          exclude,
          pool: 'forks',
          maxWorkers: 1,
          sequence: {groupOrder: 1},
        },
      },
    ],
  },
  define: {NSVIEW_VERSION: '"test"'},
});
