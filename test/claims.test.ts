import {spawnSync} from 'node:child_process';

import {join} from 'node:path';
import {afterAll, describe, expect, it} from 'vitest';
import {countClaims, type ToldClaim} from '../src/model/claim.ts';
import {leaveNothingBehind} from './support/leaks.ts';
import {ROOT} from './support/paths.ts';

leaveNothingBehind();

const CLAIMS = join(ROOT, 'build', 'nsview-claims');
const NOBODY = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', '--inh-caps=-all', '--bounding-set=-all'];

type Told = {readonly name: string; readonly verdict: 'held' | 'broken' | 'skipped'; readonly reason: string};

/** TAP 14 as nsview-claims writes it, each line of it accounted for. */
function readTap(text: string): Told[] {
  const lines = text.split('\n');
  expect(lines.shift()).toBe('TAP version 14');
  expect(lines.pop()).toBe('');
  const plan = /^1\.\.(\d+)$/.exec(lines.shift() ?? '');
  const told: Told[] = [];
  for (let line = lines.shift(); line !== undefined; line = lines.shift()) {
    const match = /^(ok|not ok) (\d+) - ([^#]*?)(?: # SKIP (.*))?$/.exec(line);
    expect(match, line).not.toBeNull();
    const [, ok, number, name = '', skip] = match ?? [];
    expect(Number(number)).toBe(told.length + 1);
    let reason = skip ?? '';
    if (lines[0] === '  ---') {
      const block = lines.splice(0, lines.indexOf('  ...') + 1);
      reason = JSON.parse((block[1] ?? '').replace('  reason: ', '')) as string;
    }
    told.push({name, verdict: ok === 'not ok' ? 'broken' : skip === undefined ? 'held' : 'skipped', reason});
  }
  expect(told.length).toBe(Number(plan?.[1]));
  return told;
}

function claims(before: readonly string[], ...args: string[]): {readonly told: Told[]; readonly status: number | null} {
  const [program = '', ...rest] = [...before, CLAIMS, ...args];
  const {status, stdout, error} = spawnSync(program, rest, {encoding: 'utf8', timeout: 120_000});
  if (error) throw error;
  return {told: readTap(stdout), status};
}

const list = spawnSync(CLAIMS, ['--list', '--json'], {encoding: 'utf8'})
  .stdout.trim()
  .split('\n')
  .map(line => JSON.parse(line) as ToldClaim);

describe.each([
  ['root', process.getuid?.() === 0 ? [] : null],
  ['an ordinary user', process.getuid?.() === 0 ? NOBODY : []],
] as const)('the kernel keeps to it, for %s:', (who, before) => {
  let answer: ReturnType<typeof claims> | undefined;
  const told = (): Told[] => {
    answer ??= claims(before ?? []);
    return answer.told;
  };

  it.each(list.map((claim, index) => [`${claim.flag}: ${claim.sentence}`, index] as const))('%s', (name, index, ...rest) => {
    void rest;
    expect(told()[index]?.name).toBe(name);
    expect(told()[index]).toMatchObject({verdict: expect.stringMatching(/held|skipped/)});
  });

  afterAll(() => {
    if (before === null) return;
    const {held, broken, skipped} = countClaims(
      told().map((one, index) => ({...(list[index] as ToldClaim), verdict: one.verdict, reason: one.reason})),
    );
    const reasons = [...skipped].map(([reason, count]) => `; ${count} skipped: ${reason}`).join('');
    console.log(`claims for ${who}: ${held} held, ${broken} broken${reasons}`);
  });
});
