import {existsSync, readFileSync} from 'node:fs';
import {kill} from 'node:process';
import {describe, expect, it} from 'vitest';
import type {Fact} from '../../src/model/fact.ts';
import {attached, helperOf, until} from '../support/attached.ts';
import {leaveNothingBehind} from '../support/leaks.ts';
import {ofKind, readTapeStrictly, start, temporaryFolder, traceProgramBy} from '../support/nsview.ts';
import {fixture} from '../support/paths.ts';
import {needsRoot} from '../support/user.ts';

leaveNothingBehind();

const COUNT = 10_000;

/** Every child’s call is there, with what it led to: a namespace that its process was not born in. */
function expectAll(facts: readonly Fact[]): void {
  expect(ofKind(facts, 'lost')).toEqual([]);
  const born = new Map(ofKind(facts, 'clone').map(fact => [fact.child, fact]));
  expect(born.size).toBeGreaterThanOrEqual(COUNT);
  const calls = ofKind(facts, 'call').filter(fact => fact.name === 'unshare' && born.has(fact.pid));
  expect(calls.length).toBe(COUNT);
  const wrong = calls.filter(
    ({args, result, changed}) =>
      JSON.stringify(args) !== '{"flags":["CLONE_NEWUTS"]}' ||
      result !== 0 ||
      Object.keys(changed).join() !== 'uts' ||
      typeof changed.uts?.to !== 'string' ||
      changed.uts.to === changed.uts.from,
  );
  expect(wrong).toEqual([]);
  expect(ofKind(facts, 'exit').filter(fact => born.has(fact.pid) && fact.code === 0).length).toBe(COUNT);
}

describe('10,000 processes that live for less than a millisecond and each make one unshare', () => {
  it('are all told, launched', async () => {
    const {code, stdout, facts} = await traceProgramBy('bpf')(fixture('storms-of-unshares'), String(COUNT));
    expect(code).toBe(0);
    expect(stdout).toMatch(new RegExp(`^${COUNT} well, median life \\d+ us\n$`));
    expectAll(facts);
  });

  it('are all told, attached', async () => {
    using folder = temporaryFolder();
    const tape = folder.file('tape');
    await using target = start(fixture('storms-of-unshares'), String(COUNT), 'waits');
    await target.says(/ready/);
    await using tracer = await attached('bpf', target.pid, tape);
    target.child.stdin?.write('go\n');
    expect((await target.ended).stdout).toMatch(new RegExp(`${COUNT} well, median life \\d+ us\n$`));
    expect((await tracer.ended).code).toBe(0);
    expectAll(readTapeStrictly(tape).facts);
  });
});

describe.each(['bpf', 'syscalls'] as const)('a nsview that does not read any more, by %s', how => {
  it.for(['SIGKILL', 'SIGINT'] as const)(
    'is waited for while a quarter of a gigabyte is untold, and upon %s both end and let the target run on',
    async (signal, context) => {
      if (how === 'bpf') needsRoot('follow by BPF');
      const free = Number(/^MemAvailable:\s+(\d+)/m.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1] ?? 0);
      context.skip(free < 1_000_000, 'less than a gigabyte of memory is free');
      await using target = start(fixture('floods-with-calls'), '150000');
      await target.says(/ready/);
      await using tracer = await attached(how, target.pid);
      const helper = helperOf(tracer);
      kill(tracer.pid, 'SIGSTOP');
      target.child.stdin?.write('go\n');
      const kept = () => Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${helper}/status`, 'utf8'))?.[1] ?? 0);
      await until(() => kept() > 256 * 1024, 'the helper keeps 256 MB');
      // It waits for its reader, and takes no more.
      await new Promise(resolve => setTimeout(resolve, 300));
      expect(kept()).toBeLessThan(700 * 1024);
      kill(tracer.pid, signal);
      kill(tracer.pid, 'SIGCONT');
      await tracer.ended;
      await until(() => !existsSync(`/proc/${helper}`), 'the helper ends');
      expect(await target.ended).toMatchObject({code: 0, stdout: 'ready\ndone\n'});
    },
  );
});
