import {existsSync, readdirSync, readFileSync, readlinkSync} from 'node:fs';
import {describe, expect, it} from 'vitest';
import type {CallFact, Fact} from '../../src/model/fact.ts';
import {helperOf, until} from '../support/attached.ts';
import {leaveNothingBehind} from '../support/leaks.ts';
import {followBy, nsview, ofKind, readTapeStrictly, run, start, temporaryFolder, traceProgramBy} from '../support/nsview.ts';
import {fixture, NSVIEW} from '../support/paths.ts';
import {patient} from '../support/patience.ts';
import {needsRoot} from '../support/user.ts';

leaveNothingBehind();

/** `name = result`, as far as it is not the program's own preparation. */
const returned = (facts: readonly Fact[], name: string): unknown[] =>
  ofKind(facts, 'call').flatMap(fact => (fact.name === name ? [fact.result] : []));

const exists = (pid: number): boolean => existsSync(`/proc/${pid}`);

const HOWS = ['ptrace', 'fast'] as const;

describe.each(HOWS)('an isolation call of a launched program, by %s,', how => {
  const traceProgram = traceProgramBy(how);

  it('is told by the tracer fact as seen, and how', async () => {
    const {facts} = await traceProgram('true');
    expect(ofKind(facts, 'tracer')[0]).toMatchObject({
      mode: 'ptrace',
      sees: ['clone', 'exec', 'exit', 'stop', 'isolation calls', 'of every ABI'],
      callsBy: how === 'fast' ? 'filter' : 'stops',
    });
  });

  it('with bad pointers is told as far as it can be read', async () => {
    const {code, facts} = await traceProgram(fixture('calls-with-bad-pointers'));
    expect(code).toBe(0);
    const bad = {errno: 'EFAULT', during: expect.stringMatching(/^read 0x[0-9a-f]+$/)};
    const calls = ofKind(facts, 'call');
    expect(calls[0]).toMatchObject({name: 'mount', args: {source: bad, target: '/', data: null}, result: {errno: 'EFAULT'}});
    const unmounts = calls.filter(fact => fact.name === 'umount2');
    const targets = unmounts.map(fact => fact.args?.target);
    expect(targets.slice(0, 3)).toEqual([bad, '/one', '/over']);
    // 1022 bytes and a NUL, 1023 and a NUL as much as is kept, and one more.
    expect(targets.slice(4).map(target => (typeof target === 'string' ? target.replace(/y+/, ys => `${ys.length} y`) : target))).toEqual([
      '/1021 y',
      '/1022 y',
      '/1022 y',
    ]);
    expect(unmounts[4]?.cut).toBeUndefined();
    expect(unmounts.at(-1)?.cut).toEqual(['target']);
    expect(calls.find(fact => fact.name === 'pivot_root')?.args).toEqual({new_root: bad, put_old: '/'});
    expect(calls.find(fact => fact.name === 'setgroups')?.args).toEqual({size: 3, list: bad});
  });

  it('by the 32-bit ABI is named by its numbers, and not decoded', async context => {
    needsRoot('make namespaces without a user namespace');
    const {code, facts} = await traceProgram(fixture('calls-by-32-bit-abi'));
    if (code === 77) context.skip('kernel lacks 32-bit calls on this machine');
    expect(code).toBe(0);
    expect(ofKind(facts, 'call').map(({name, abi, args, result}) => [name, abi, args, result])).toEqual([
      ['unshare', '32-bit', null, 0],
      ['setns', '32-bit', null, {errno: 'EBADF'}],
      ['setresuid', '32-bit', null, 0],
      ['sethostname', '32-bit', null, {errno: 'EPERM'}],
    ]);
    expect(ofKind(facts, 'call')[2]?.uids).toMatchObject({to: [1, 2, 3, 2]});
  });

  it('of many threads at once is each thread’s own', async () => {
    needsRoot('become another user');
    const {code, facts} = await traceProgram(fixture('calls-in-threads'));
    expect(code).toBe(6);
    const made = new Map<number, CallFact[]>();
    for (const fact of ofKind(facts, 'call')) made.set(fact.tid, [...(made.get(fact.tid) ?? []), fact]);
    expect(made.size).toBe(4);
    for (const calls of made.values()) {
      const ids = calls.map(fact => Number(fact.args?.fsuid));
      const first = ids[0] ?? 0;
      expect(ids).toEqual(Array.from({length: 100}, (_, i) => first + i));
      // It returns what was before, and the ids told are those of this thread.
      expect(calls.slice(1).map(fact => fact.result)).toEqual(ids.slice(0, -1));
      expect(calls.map(fact => fact.uids?.to[3])).toEqual(ids);
    }
  });

  it('that the kernel made again after a signal is told once, with what it returned in the end', async () => {
    needsRoot('make namespaces without a user namespace');
    const {code, facts} = await traceProgram(fixture('clones-under-signals'));
    expect(code).toBe(8);
    expect(returned(facts, 'clone')).toEqual([]);
    expect(ofKind(facts, 'clone')).toHaveLength(300);
  });

  it(
    'is made whatever becomes of nsview: kill -9 in a storm of them, and the program sees no ENOSYS',
    async () => {
      needsRoot('make namespaces without a user namespace');
      const killedAfter = async (milliseconds: number) => {
        using folder = temporaryFolder();
        const result = folder.file('result');
        const script = '"$0" 150 2>"$1.errors"; echo $? >"$1.part"; mv "$1.part" "$1"';
        const program = ['sh', '-c', script, fixture('storm-of-unshares'), result];
        await using tracer = nsview('trace', '--json', ...followBy(how), '-o', folder.file('tape'), '--', ...program);
        await until(() => existsSync(folder.file('tape')) && readFileSync(folder.file('tape'), 'utf8').includes('"unshare"'), 'a storm');
        const helper = helperOf(tracer);
        await new Promise(resolve => setTimeout(resolve, milliseconds));
        tracer.child.kill('SIGKILL');
        await tracer.ended;
        await until(() => existsSync(result), 'the program ended');
        expect(readFileSync(`${result}.errors`, 'utf8')).toBe('');
        expect(readFileSync(result, 'utf8')).toBe('5\n');
        await until(() => !exists(helper), 'the helper ended');
      };
      // Several at once: the init of the machine takes a second to wait for each helper.
      for (let round = 0; round < 12; round += 4) await Promise.all([0, 1, 2, 3].map(i => killedAfter((round + i) * 9)));
    },
    patient(60_000),
  );
});

describe('by a stop at every call', () => {
  const traceProgram = traceProgramBy('ptrace');

  it('a call that ends with EINTR after a signal is told so, and one that is made again, once', async () => {
    const ended = await traceProgram(fixture('interrupted-call'));
    expect(ended.stdout).toBe('Interrupted system call\n');
    expect(returned(ended.facts, 'sethostname')).toEqual([{errno: 'EINTR'}]);
    const again = await traceProgram(fixture('interrupted-call'), 'again');
    expect(again.stdout).toBe('Numerical argument out of domain\n');
    expect(returned(again.facts, 'sethostname')).toEqual([{errno: 'EDOM'}]);
    // The handler's own call is told beside it.
    for (const {facts} of [ended, again]) expect(ofKind(facts, 'call').filter(fact => fact.args?.op === 'PR_SET_KEEPCAPS')).toHaveLength(1);
  });

  it('a call that its task ended in has no result', async () => {
    const killed = await traceProgram(fixture('ends-in-a-call'), 'killed');
    expect(killed).toMatchObject({code: null, signal: 'SIGSYS'});
    expect(returned(killed.facts, 'sethostname')).toEqual([null]);
    const left = await traceProgram(fixture('ends-in-a-call'), 'left');
    expect(left.code).toBe(7);
    expect(returned(left.facts, 'sethostname')).toEqual([null]);
    // It is told before the end of its task.
    const kinds = left.facts.filter(fact => fact.kind === 'thread-exit' || (fact.kind === 'call' && fact.result === null));
    expect(kinds.map(fact => fact.kind)).toEqual(['call', 'thread-exit']);
  });
});

describe('by the filter of --fast', () => {
  it('a program that nsview left behind runs on, and its own end ends the helper', async () => {
    needsRoot('make namespaces without a user namespace');
    using folder = temporaryFolder();
    // Node closes its end of stdin when nsview ends.
    const script = 'trap "" TERM; echo ready; read line; sleep 1; unshare -u true; echo unshared $?; exit 9';
    await using tracer = nsview('trace', ...followBy('fast'), '-o', folder.file('out'), '--', 'bash', '-c', script);
    await tracer.says(/ready/);
    const helper = helperOf(tracer);
    // The first is for the program, which does not mind; the second is for nsview.
    tracer.child.kill('SIGTERM');
    await new Promise(resolve => setTimeout(resolve, 100));
    tracer.child.kill('SIGTERM');
    await until(() => tracer.child.exitCode !== null, 'nsview ended while its program lives');
    expect(tracer.child.exitCode).toBe(143);
    expect(exists(helper)).toBe(true);
    // Nor does it end for those who ask everybody to.
    process.kill(helper, 'SIGTERM');
    tracer.release();
    await tracer.ended;
    expect(tracer.stdout).toContain('unshared 0');
    await until(() => !exists(helper), 'the helper ended');
  });

  it('the helper that stays keeps nobody’s pipe open, and nobody’s directory', async () => {
    using folder = temporaryFolder();
    const script = 'exec </dev/null >/dev/null 2>&1; cd /; sleep 3 & unshare -u true; echo $! >"$0.part"; mv "$0.part" "$0"; wait';
    const file = folder.file('sleeper');
    await using tracer = nsview('trace', ...followBy('fast'), '-o', folder.file('out'), '--', 'bash', '-c', script, file);
    await until(() => existsSync(file), 'the program is about its work');
    const helper = helperOf(tracer);
    tracer.child.kill('SIGKILL');
    // Which is when the last one to hold its stdout and stderr has let go of them.
    await tracer.ended;
    const sleeper = Number(readFileSync(file, 'utf8'));
    expect(readlinkSync(`/proc/${helper}/cwd`)).toBe('/');
    expect(readdirSync(`/proc/${helper}/fd`).map(fd => readlinkSync(`/proc/${helper}/fd/${fd}`))).toEqual(Array(3).fill('/dev/null'));
    expect(exists(sleeper)).toBe(true);
    process.kill(sleeper, 'SIGTERM');
    await until(() => !exists(helper), 'the helper ended');
  });

  it('a failing clone is told where its flags ask for a namespace; else it is let through unseen', async () => {
    needsRoot('make namespaces without a user namespace');
    const {facts} = await traceProgramBy('fast')(fixture('many-calls'));
    expect(ofKind(facts, 'call').filter(fact => fact.name.startsWith('clone'))).toMatchObject([
      {name: 'clone', args: {flags: ['CLONE_FS', 'CLONE_NEWUSER']}, result: {errno: 'EINVAL'}},
      {name: 'clone3', result: {errno: 'EINVAL'}},
    ]);
  });

  it('dd runs nearly as fast as bare', async () => {
    using folder = temporaryFolder();
    const dd = ['dd', 'if=/dev/zero', 'of=/dev/null', 'bs=1', 'count=1000000'];
    const seconds = (text: string) => Number(/copied, ([\d.]+) s/.exec(text)?.[1]);
    await using bare = start('env', 'LC_ALL=C', ...dd);
    const one = seconds((await bare.ended).stderr);
    await using fast = start(NSVIEW, 'trace', ...followBy('fast'), '-o', folder.file('out'), '--', 'env', 'LC_ALL=C', ...dd);
    const other = seconds((await fast.ended).stderr);
    console.log(`dd bs=1: bare ${one} s, under --fast ${other} s: ${(other / one).toFixed(2)} ×`);
    expect(other).toBeGreaterThan(0);
  });
});

describe('attached by --syscalls', () => {
  it('isolation calls are seen of tasks that wait in a call, that run, and that are born later', async () => {
    needsRoot('make namespaces without a user namespace');
    using folder = temporaryFolder();
    const script =
      'exec 3<&0; bash -c "echo waits; read line; exec unshare -u true" <&3 & bash -c "while :; do unshare -i true; done" & b=$!; echo ready; wait %1; kill $b; wait; exit 4';
    await using target = start('bash', '-c', script);
    await target.says(/waits/);
    await target.says(/ready/);
    const tape = folder.file('tape');
    await using tracer = nsview('trace', '--json', ...followBy('syscalls'), '-o', tape, '-p', String(target.pid));
    const told = () => (existsSync(tape) ? readFileSync(tape, 'utf8') : '');
    await until(() => /"name":"unshare","args":{"flags":\["CLONE_NEWIPC"\]}/.test(told()), 'the running one is seen');
    target.release();
    expect((await target.ended).code).toBe(4);
    expect((await tracer.ended).code).toBe(0);
    const {facts} = readTapeStrictly(tape);
    expect(ofKind(facts, 'tracer')[0]).toMatchObject({mode: 'ptrace', callsBy: 'stops'});
    expect(ofKind(facts, 'tracer')[0]?.sees).toContain('isolation calls');
    const waited = ofKind(facts, 'call').filter(fact => JSON.stringify(fact.args) === '{"flags":["CLONE_NEWUTS"]}');
    expect(waited).toMatchObject([{name: 'unshare', result: 0, changed: {uts: {}}}]);
  });

  it('without it, what is seen is told truthfully', async () => {
    await using target = start('bash', '-c', 'echo ready; read line; unshare -u true');
    await target.says(/ready/);
    await using tracer = nsview('trace', '--json', '--follow', 'ptrace', '-p', String(target.pid));
    await until(() => tracer.stderr.includes('"kind":"tracer"'), 'attached');
    target.release();
    await target.ended;
    const {stderr} = await tracer.ended;
    expect(stderr).toContain('"sees":["clone","exec","exit","stop"],"processes"');
    expect(stderr).not.toContain('"kind":"call"');
  });
});

describe('on the command line', () => {
  it.each([
    [['--fast', '-p', '1'], '--fast goes with a program that is launched under ptrace'],
    [['--fast', '--follow', 'bpf', '--', 'true'], '--fast goes with a program that is launched under ptrace'],
    [['--syscalls', '--', 'true'], '--syscalls goes with what is attached to under ptrace'],
    [['snapshot', '--syscalls'], '--syscalls goes with what is attached to under ptrace'],
  ])('%j is refused with what to type instead', async (args, message) => {
    const outcome = await run(...args);
    expect(outcome.code).toBe(2);
    expect(outcome.stderr).toContain(`nsview: ${message}, such as nsview --follow ptrace`);
  });
});
