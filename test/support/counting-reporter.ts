// Knows how to end a run with one line that counts, and every skip with its reason.

import type {Reporter, TestCase} from 'vitest/node';

/** Reasons that a machine may have for not running a test. CI takes no other. */
const ALLOWED = /^(kernel lacks|no privilege|needs)\b/;

export default class CountingReporter implements Reporter {
  private readonly counts = {passed: 0, failed: 0, skipped: 0};
  private readonly skips = new Map<string, string[]>();
  private readonly flaky: string[] = [];

  onTestCaseResult(test: TestCase): void {
    const {state} = test.result();
    if (test.diagnostic()?.flaky) this.flaky.push(test.fullName);
    if (state === 'passed' || state === 'failed') this.counts[state]++;
    else if (state === 'skipped') {
      this.counts.skipped++;
      const result = test.result();
      const note = 'note' in result && typeof result.note === 'string' ? result.note : 'no reason given';
      this.skips.set(note, [...(this.skips.get(note) ?? []), test.fullName]);
      if (process.env.CI && !ALLOWED.test(note)) {
        this.counts.failed++;
        console.error(`this machine could have run it: ${test.fullName}: ${note}`);
        process.exitCode = 1;
      }
    }
  }

  onTestRunEnd(): void {
    for (const name of this.flaky) console.log(`passed at the second try: ${name}`);
    for (const [reason, names] of this.skips) console.log([`${names.length} skipped: ${reason}`, ...names].join('\n  '));
    const {passed, failed, skipped} = this.counts;
    console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
  }
}
