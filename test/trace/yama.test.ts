// Yama has a say in ptrace before all else, of what nsview launches as well (security/yama/yama_lsm.c).

import {readFileSync, writeFileSync} from 'node:fs';
import {afterEach, beforeEach, describe, expect, it} from 'vitest';
import {leaveNothingBehind} from '../support/leaks.ts';
import {type Outcome, Running} from '../support/nsview.ts';
import {NSVIEW} from '../support/paths.ts';
import {needsRoot} from '../support/user.ts';

leaveNothingBehind();

const SCOPE = '/proc/sys/kernel/yama/ptrace_scope';
const NOBODY = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', '--inh-caps=-all', '--bounding-set=-all'];

function readScope(): string | null {
  try {
    return readFileSync(SCOPE, 'utf8').trim();
  } catch {
    return null;
  }
}

async function asNobody(...args: readonly string[]): Promise<Outcome> {
  const [program = '', ...rest] = [...NOBODY, NSVIEW, ...args];
  await using running = new Running(program, rest);
  running.release();
  return await running.ended;
}

const finding = async (what: string): Promise<unknown> => {
  const findings = JSON.parse((await asNobody('doctor', '--json')).stdout) as {readonly what: string}[];
  return findings.find(one => one.what === what);
};

describe('kernel.yama.ptrace_scope', () => {
  let before: string | null = null;
  beforeEach(context => {
    needsRoot('set kernel.yama.ptrace_scope');
    before = readScope();
    if (before === null) context.skip('kernel lacks Yama, or another security module is in its place');
  });
  afterEach(() => {
    if (before !== null) writeFileSync(SCOPE, before);
  });

  it('1 lets an ordinary user launch, and not attach', async () => {
    writeFileSync(SCOPE, '1');
    await using other = new Running(NOBODY[0] ?? '', [...NOBODY.slice(1), 'cat']);
    expect((await asNobody('trace', '--', 'true')).code).toBe(0);
    const {code, stderr} = await asNobody('trace', '-p', String(other.pid));
    expect(stderr).toContain(': kernel.yama.ptrace_scope is 1: only descendants may be attached to without CAP_SYS_PTRACE; ');
    expect(code).toBe(1);
    other.release();
  });

  it('2 lets an ordinary user trace only what has a user namespace of its own, and is named', async () => {
    writeFileSync(SCOPE, '2');
    await using other = new Running(NOBODY[0] ?? '', [...NOBODY.slice(1), 'cat']);
    const rule = 'kernel.yama.ptrace_scope is 2: tracing takes CAP_SYS_PTRACE, even of one’s own children';
    for (const fast of [[], ['--fast']]) {
      const {code, stderr} = await asNobody('trace', ...fast, '--', 'true');
      expect(stderr).toMatch(
        `nsview: cannot launch true: ptrace(PTRACE_SEIZE): EPERM: ${rule}; run nsview as root, or launch with --new user`,
      );
      expect(code).toBe(1);
    }
    expect((await asNobody('trace', '--new', 'user', '--map-root', '--', 'true')).code).toBe(0);
    const attached = await asNobody('trace', '-p', String(other.pid));
    expect(attached.stderr).toContain(': kernel.yama.ptrace_scope is 2: only CAP_SYS_PTRACE may attach; run it as root: ');
    expect(await finding('following by ptrace')).toMatchObject({verdict: 'missing', means: expect.stringContaining(rule)});
    expect(await finding('isolation calls')).toMatchObject({verdict: 'missing'});
    expect(await finding('attaching to others')).toMatchObject({verdict: 'missing'});
    other.release();
  });
});
