import {readFileSync} from 'node:fs';
import {describe, expect, it} from 'vitest';
import {createWorld, observe} from '../../src/model/world.ts';
import {attached, status, until} from '../support/attached.ts';
import {leaveNothingBehind} from '../support/leaks.ts';
import {ATTACHED_HOWS, type AttachedHow, ofKind, readTapeStrictly, start, type TapeRead, temporaryFolder} from '../support/nsview.ts';
import {fixture} from '../support/paths.ts';
import {patient} from '../support/patience.ts';

leaveNothingBehind();

const ROUNDS = 6;

/** What is told of a fixture that never rests, from an attach in its midst until `enough` of it is on the tape. */
async function inTheMidst(how: AttachedHow, name: string, enough: string): Promise<TapeRead> {
  using folder = temporaryFolder();
  const tape = folder.file('tape');
  await using target = start(fixture(name));
  await target.says(/ready/);
  await using tracer = await attached(how, target.pid, tape);
  await until(() => readFileSync(tape, 'utf8').split(enough).length > 20, enough);
  tracer.child.kill('SIGINT');
  await tracer.ended;
  target.release();
  await target.ended;
  return readTapeStrictly(tape);
}

describe('threads in the midst of what they do when nsview comes, by BPF', () => {
  it('of those whose birth is told, each move is told with the call that made it', async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const {facts} = await inTheMidst('bpf', 'threads-unshare-briefly', '"name":"unshare"');
      const born = new Set(ofKind(facts, 'clone').map(({child}) => child));
      const calls = ofKind(facts, 'call').filter(({name, tid}) => name === 'unshare' && born.has(tid));
      expect(calls.length).toBeGreaterThan(5);
      for (const call of calls) expect(call).toMatchObject({result: 0, changed: {uts: {to: expect.any(String)}}});
    }
  });

  it('an execve is told to be of the thread that called, not of one of the new program', async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const {facts} = await inTheMidst('bpf', 'executes-from-threads', '"kind":"exec"');
      // In a nested pid namespace it has no number any more, unless it was read before.
      for (const {argv, formerTid} of ofKind(facts, 'exec'))
        expect([undefined, Array.isArray(argv) ? Number(argv[1]) : null]).toContain(formerTid);
    }
  });
});

describe.each(ATTACHED_HOWS)('attached by %s', how => {
  it('to a process that makes threads and is stopped then, nsview knows how many there are', async () => {
    for (let round = 0; round < ROUNDS; round++) {
      using folder = temporaryFolder();
      const tape = folder.file('tape');
      await using target = start(fixture('gathers-threads'));
      await target.says(/begins/);
      await using tracer = await attached(how, target.pid, tape);
      process.kill(target.pid, 'SIGSTOP');
      // Longer than between two readings.
      await new Promise(resolve => setTimeout(resolve, patient(1200)));
      const there = Number(status(target.pid, 'Threads'));
      tracer.child.kill('SIGINT');
      await tracer.ended;
      process.kill(target.pid, 'SIGCONT');
      target.release();
      const {header, facts} = readTapeStrictly(tape);
      const world = createWorld(header);
      for (const fact of facts) observe(world, fact);
      expect((world.byPid.get(target.pid)?.tids.size ?? 0) + 1).toBe(there);
    }
  });

  it('no reading of /proc takes away a thread that was told to be born', async () => {
    using folder = temporaryFolder();
    const tape = folder.file('tape');
    await using target = start(fixture('gathers-threads'));
    await using tracer = await attached(how, target.pid, tape);
    const readings = () => readFileSync(tape, 'utf8').split('"threads":[{').length;
    await until(() => readings() > 12, 'readings');
    tracer.child.kill('SIGINT');
    await tracer.ended;
    target.release();
    const {facts} = readTapeStrictly(tape);
    // Of another it may be known that it has ended before that is told.
    const ended = new Set(ofKind(facts, 'thread-exit').map(({tid}) => tid));
    const born: number[] = [];
    for (const fact of facts) {
      if (fact.kind === 'clone' && !ended.has(fact.child)) born.push(fact.child);
      if (fact.kind === 'change' && fact.threads !== undefined)
        expect(fact.threads.map(({tid}) => tid)).toEqual(expect.arrayContaining(born));
    }
    expect(born.length).toBeGreaterThan(5);
  });
});
