import {execFileSync, spawnSync} from 'node:child_process';
import {copyFileSync, existsSync, readFileSync, readlinkSync} from 'node:fs';
import {join} from 'node:path';
import {describe, expect, it} from 'vitest';
import type {Fact} from '../../src/model/fact.ts';
import {createWorld, observe} from '../../src/model/world.ts';
import {helperOf, until} from '../support/attached.ts';
import {leaveNothingBehind} from '../support/leaks.ts';
import {followBy, HOWS, ofKind, Running, readTapeStrictly, start, temporaryFolder, traceProgramBy} from '../support/nsview.ts';
import {fixture, NSVIEW, ROOT} from '../support/paths.ts';
import {patient} from '../support/patience.ts';
import {needsRoot} from '../support/user.ts';

leaveNothingBehind();

const traceByBpf = traceProgramBy('bpf');

describe('the path of a program', () => {
  /** Traces a script that ends in a program that says `ready PID` and waits; the path told, and where /proc/PID/exe leads to meanwhile. */
  async function paths(script: string, ...args: string[]): Promise<{told: unknown; link: string}> {
    using folder = temporaryFolder();
    const tape = folder.file('tape');
    const program = ['sh', '-c', script, fixture('executes-itself'), folder.path, ...args];
    await using running = start(NSVIEW, 'trace', '--json', ...followBy('bpf'), '-o', tape, '--', ...program);
    const pid = Number((await running.says(/ready (\d+)/))[1]);
    const link = readlinkSync(`/proc/${pid}/exe`);
    // Longer than events stay in the ring.
    await new Promise(resolve => setTimeout(resolve, 100));
    running.release();
    expect((await running.ended).code).toBe(0);
    return {told: ofKind(readTapeStrictly(tape).facts, 'exec').findLast(fact => fact.pid === pid)?.path, link};
  }

  it.each([
    ['a plain one', 'exec "$0"'],
    ['below 50 folders', `cd "$1"; p=.; for i in $(seq 50); do p=$p/d; done; mkdir -p $p && cp "$0" $p/program && exec $p/program`],
    [
      'below 200 folders, which is left to /proc',
      `cd "$1"; p=.; for i in $(seq 200); do p=$p/d; done; mkdir -p $p && cp "$0" $p/program && exec $p/program`,
    ],
    ['with a name of 255 bytes', 'n=$(printf %0255d 7); cp "$0" "$1/$n" && exec "$1/$n"'],
    ['behind symbolic links', 'ln -s "$1" "$1/l"; cp "$0" "$1/program" && exec "$1/l/program"'],
    ['unlinked by then', 'exec "$0" "$1/program"'],
    ['in a memfd', 'exec "$0" memfd'],
    [
      'in a tmpfs of another mount namespace',
      `exec unshare -m sh -c 'mount -t tmpfs none "$1" && cp "$0" "$1/p" && exec "$1/p"' "$0" "$1"`,
    ],
    [
      'under another root',
      `mkdir "$1/bin" && cp "$0" "$1/bin/" && for l in $(ldd "$0" | grep -o '/[^ ]*'); do mkdir -p "$1\${l%/*}"; cp "$l" "$1$l"; done; exec chroot "$1" /bin/executes-itself`,
    ],
  ])('is what /proc/PID/exe says: %s', async (_name, script) => {
    const {told, link} = await paths(script);
    expect(told).toBe(link);
  });
});

describe('in namespaces of its own, nsview', () => {
  it('tells pids as its own pid namespace numbers them', async () => {
    using folder = temporaryFolder();
    const tape = folder.file('tape');
    const args = ['-pf', '--mount-proc', NSVIEW, 'trace', '--json', ...followBy('bpf'), '-o', tape, '--'];
    await using running = start('unshare', ...args, 'unshare', '-pf', 'sh', '-c', '/bin/true; exit 3');
    running.release();
    expect((await running.ended).code).toBe(3);
    const {facts} = readTapeStrictly(tape);
    const all = facts.flatMap(fact => ('pid' in fact ? [fact.pid] : []));
    expect(Math.max(...all)).toBeLessThan(100);
    const birth = ofKind(facts, 'clone').find(fact => fact.changed.pid !== undefined);
    expect(birth?.nspid).toEqual([birth?.child, 1]);
  });

  it('tells times as its own time namespace counts them', async () => {
    needsRoot('make namespaces without a user namespace');
    using folder = temporaryFolder();
    const tape = folder.file('tape');
    const inside = `read up rest </proc/uptime; echo $up; "${NSVIEW}" trace --json --follow bpf -o "${tape}" -- true`;
    await using running = start('unshare', '-Tf', '--boottime', '500000', '--monotonic', '300000', 'sh', '-c', inside);
    running.release();
    const {code, stdout} = await running.ended;
    expect(code).toBe(0);
    const {header, facts} = readTapeStrictly(tape);
    const [process] = ofKind(facts, 'process');
    // Within a minute of each other: started, and seen, just now.
    expect(Math.abs(Number(process?.start) / 100 - Number(stdout))).toBeLessThan(60);
    expect(Math.abs(Number(process?.at) - Number(header.at)) / 1e9).toBeLessThan(60);
  });
});

const byText = (one: string, other: string): number => (one < other ? -1 : 1);

describe('what BPF and ptrace tell', () => {
  /** Without what differs from run to run: pids, tids, starts and inodes by order of appearance; no times. */
  function comparable(facts: readonly Fact[]): unknown[] {
    const names = new Map<string, string>();
    const name = (value: number | string) => {
      const key = String(value);
      if (!names.has(key)) names.set(key, `#${names.size}`);
      return names.get(key);
    };
    return facts
      .filter(fact => ['clone', 'exec', 'exit', 'namespaces', 'call', 'stop', 'continue'].includes(fact.kind))
      .map(fact =>
        JSON.parse(JSON.stringify(fact), (key, value) => {
          if (key === 'at' || key === 'start') return undefined;
          if (
            ['pid', 'tid', 'child', 'ppid', 'formerTid', 'from', 'to', 'inode'].includes(key) &&
            (typeof value === 'number' || typeof value === 'string')
          )
            return name(value);
          if (key === 'nspid') return value.length;
          return value;
        }),
      );
  }

  it.each([
    ['daemon-forks-twice'],
    ['clone-parent'],
    ['exec-from-second-thread'],
    ['stops-itself'],
    ['stops-orphaned'],
    ['unshares-and-exits'],
    ['thread-unshares-net'],
    ['clones-by-32-bit-abi'],
    ['leader-exits-first'],
    ['calls-with-bad-pointers'],
    ['calls-by-32-bit-abi'],
    ['calls-in-threads'],
    ['many-calls'],
  ])('of %s is the same, whether every call stops or a filter stops some', async program => {
    const bpf = await traceProgramBy('bpf')(fixture(program));
    const one = comparable(bpf.facts);
    expect(one.length).toBeGreaterThan(2);
    // Of processes that run side by side each has its own order: without the names, each fact as often.
    const counted = (facts: unknown[]) => facts.map(fact => JSON.stringify(fact).replaceAll(/"#\d+"/g, '"#"')).toSorted(byText);
    for (const how of ['ptrace', 'fast'] as const) {
      const ptrace = await traceProgramBy(how)(fixture(program));
      expect(ptrace.code).toBe(bpf.code);
      const other = comparable(ptrace.facts);
      expect(counted(other)).toEqual(counted(one));
      if (!['clone-parent', 'daemon-forks-twice', 'thread-unshares-net', 'calls-in-threads'].includes(program)) expect(other).toEqual(one);
    }
  });

  it('of a process that is killed, dumps core or gets a status above 255 is what wait says', async () => {
    for (const how of HOWS) {
      // A bash whose stdin is a socket takes itself for one that sshd started, and reads ~/.bashrc (bash(1), INVOCATION).
      const script = 'ulimit -c 0; bash --norc -c "kill -ABRT \\$\\$"; bash --norc -c "exit 259"; exit 9';
      const {facts, code} = await traceProgramBy(how)('bash', '--norc', '-c', script);
      expect(code).toBe(9);
      expect(ofKind(facts, 'exit').map(({signal, code: status}) => signal ?? status)).toEqual(['SIGABRT', 3, 9]);
    }
  });
});

describe('a call that a signal came into', () => {
  /** Of each of its calls of sethostname. */
  const results = (facts: readonly Fact[]): unknown[] =>
    ofKind(facts, 'call').flatMap(fact => (fact.name === 'sethostname' ? [fact.result] : []));

  it('is told as EINTR where it ends with that, and once where it is made again', async () => {
    const ended = await traceByBpf(fixture('interrupted-call'));
    expect(ended.stdout).toBe('Interrupted system call\n');
    expect(results(ended.facts)).toEqual([{errno: 'EINTR'}]);
    const again = await traceByBpf(fixture('interrupted-call'), 'again');
    expect(again.stdout).toBe('Numerical argument out of domain\n');
    expect(results(again.facts)).toEqual([{errno: 'EDOM'}]);
    for (const {facts} of [ended, again]) expect(ofKind(facts, 'call').filter(fact => fact.args?.op === 'PR_SET_KEEPCAPS')).toHaveLength(1);
  });

  it('has no result where its task ended in it', async () => {
    const {code, facts} = await traceByBpf(fixture('ends-in-a-call'), 'left');
    expect(code).toBe(7);
    expect(results(facts)).toEqual([null]);
  });
});

describe('what escapes ptrace', () => {
  it('CLONE_UNTRACED: its birth, its children and its end are told', async () => {
    const {code, facts, stdout} = await traceByBpf(fixture('clones-untraced'));
    expect(code).toBe(5);
    const [, child, grandchild] = /untraced (\d+), its child (\d+)/.exec(stdout)?.map(Number) ?? [];
    expect(ofKind(facts, 'clone').map(fact => [fact.child, fact.flags])).toEqual([
      [child, ['CLONE_UNTRACED']],
      [grandchild, ['CLONE_CHILD_CLEARTID', 'CLONE_CHILD_SETTID']],
    ]);
    expect(ofKind(facts, 'exit').map(fact => [fact.pid, fact.code])).toEqual([
      [grandchild, 4],
      [child, 5],
      [expect.any(Number), 5],
    ]);
  });

  it('strace of a program inside works as without nsview, and is seen', async context => {
    using folder = temporaryFolder();
    if (spawnSync('strace', ['-V']).status !== 0) context.skip('strace is not installed');
    const {code, facts} = await traceByBpf(
      'strace',
      '-f',
      '-o',
      folder.file('strace'),
      '-e',
      'trace=exit_group',
      'sh',
      '-c',
      '/bin/true; exit 4',
    );
    expect(code).toBe(4);
    expect(readFileSync(folder.file('strace'), 'utf8')).toMatch(/exit_group\(0\).*exit_group\(4\)/s);
    expect(ofKind(facts, 'exec').map(fact => fact.comm)).toEqual(expect.arrayContaining(['strace', 'sh', 'true']));
  });
});

describe('a ring that is too small', () => {
  it('loses events, and the tape says how many; who is gone and who is new is found again', async () => {
    using folder = temporaryFolder();
    const tape = folder.file('tape');
    // The sleeps are not among the jobs that it waits for: a job that ended is forgotten, and `wait` for no job at all is for every one.
    const script =
      'echo ready; read line; sleep 400 & s=$!; j=; for i in $(seq 300); do /bin/true & j="$j $!"; done; wait $j; sleep 401 & t=$!; echo waits; read line; kill $s $t; exit 6';
    await using running = new Running(NSVIEW, ['trace', '--json', ...followBy('bpf'), '-o', tape, '--', 'bash', '-c', script], {
      env: {...process.env, NSVIEW_RING: '4096'},
    });
    await running.says(/ready/);
    // On any machine: nobody empties the ring meanwhile.
    const helper = helperOf(running);
    process.kill(helper, 'SIGSTOP');
    try {
      running.child.stdin?.write('\n');
      await running.says(/waits/);
    } finally {
      process.kill(helper, 'SIGCONT');
    }
    // However long the machine takes for 300 processes, and for the two that are left to be told or to be found.
    const told = () => readFileSync(tape, 'utf8');
    await until(() => ['400', '401'].every(seconds => told().includes(`"argv":["sleep","${seconds}"]`)), 'both sleeps');
    running.release();
    expect((await running.ended).code).toBe(6);
    const {facts} = readTapeStrictly(tape);
    expect(ofKind(facts, 'lost').reduce((sum, fact) => sum + fact.count, 0)).toBeGreaterThan(0);
    // By the end nobody is believed to live: what was born has an end, known or lost.
    const living = new Set<number>();
    for (const fact of facts) {
      if (fact.kind === 'clone') living.add(fact.child);
      if (fact.kind === 'process' && fact.state !== 'Z') living.add(fact.pid);
      if (fact.kind === 'exit' || fact.kind === 'gone' || (fact.kind === 'process' && fact.state === 'Z')) living.delete(fact.pid);
    }
    expect([...living]).toEqual([]);
    const sleeps = facts.filter(fact => 'argv' in fact && JSON.stringify(fact.argv).includes('"sleep"'));
    expect(sleeps.length).toBeGreaterThanOrEqual(2);
  });

  it('what was lost is read again: threads that have ended, and what is again as it was read first', async () => {
    needsRoot('change the group');
    using folder = temporaryFolder();
    const tape = folder.file('tape');
    await using target = start(fixture('changes-in-a-rush'));
    await target.says(/begins/);
    await using running = new Running(NSVIEW, ['trace', '--json', ...followBy('bpf'), '-o', tape, '-p', String(target.pid)], {
      env: {...process.env, NSVIEW_RING: '4096'},
    });
    const told = () => (existsSync(tape) ? readFileSync(tape, 'utf8') : '');
    await until(() => told().includes('"kind":"tracer"'), 'attached');
    target.child.stdin?.write('1');
    await until(() => told().includes('"name":"setresgid"'), 'the call');
    const helper = helperOf(running);
    process.kill(helper, 'SIGSTOP');
    try {
      target.child.stdin?.write('2');
      await target.says(/back/);
    } finally {
      process.kill(helper, 'SIGCONT');
    }
    // Longer than four readings, of which each fourth compares all.
    await until(() => told().includes('"kind":"lost"'), 'lost');
    await new Promise(resolve => setTimeout(resolve, patient(2500)));
    const before = folder.file('before');
    copyFileSync(tape, before);
    target.release();
    await target.ended;
    await running.ended;
    const {header, facts} = readTapeStrictly(before);
    const world = createWorld(header);
    for (const fact of facts) observe(world, fact);
    expect(world.byPid.get(target.pid)).toMatchObject({gids: [0, 0, 0, 0], tids: new Set()});
    const {facts: all} = readTapeStrictly(tape);
    expect(ofKind(all, 'exit').map(({pid}) => pid)).toEqual([target.pid]);
    // With its process nobody ended: they had before.
    expect(ofKind(all.slice(facts.length), 'thread-exit')).toEqual([]);
  });
});

describe('the generated bytecode', () => {
  it('is what clang makes of its source', context => {
    const header = readFileSync(join(ROOT, 'native', 'follow_program.h'), 'utf8');
    const made = /with clang (\d+)/.exec(header)?.[1];
    const there = /version (\d+)/.exec(spawnSync('clang', ['--version'], {encoding: 'utf8'}).stdout ?? '')?.[1];
    if (there === undefined) context.skip('clang is not installed');
    if (there !== made) context.skip(`clang is ${there}, and the header was made with ${made}`);
    expect(execFileSync('node', ['scripts/build-bpf.mjs', '--print'], {cwd: ROOT, encoding: 'utf8'})).toBe(header);
  });
});
