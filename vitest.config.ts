import {defineConfig} from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.{ts,tsx}'],
    // npm run test:sanitized runs these as well.
    exclude: process.env.NSVIEW_SANITIZED ? [] : ['test/trace/sanitized.test.ts'],
    globalSetup: ['test/support/setup.ts'],
    // Every test file has processes of its own, and some look at all of the machine's: one after the other.
    pool: 'forks',
    fileParallelism: false,
    // A helper with sanitizers takes several times as long.
    testTimeout: process.env.NSVIEW_SANITIZED ? 90_000 : 30_000,
    // These are real processes on a machine that others share. Who needed a second try is named at the end.
    retry: process.env.CI ? 1 : 0,
    hookTimeout: 60_000,
    reporters: ['default', './test/support/counting-reporter.ts'],
  },
  define: {NSVIEW_VERSION: '"test"'},
});
