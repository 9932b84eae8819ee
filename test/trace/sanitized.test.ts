import {existsSync, mkdirSync} from 'node:fs';
import {afterAll, beforeAll, describe, expect, it} from 'vitest';
import {leaveNothingBehind} from '../support/leaks.ts';
import {
  ATTACHED_HOWS,
  type AttachedHow,
  followBy,
  LAUNCHED_HOWS,
  type LaunchedHow,
  ofKind,
  Running,
  readTapeStrictly,
  start,
  temporaryFolder,
} from '../support/nsview.ts';
import {fixture, NSVIEW} from '../support/paths.ts';
import {foundBySanitizers, SANITIZED_HELPER} from '../support/sanitizer.ts';
import {MIDDLE, Screen} from '../support/screen.ts';

leaveNothingBehind();

let folder: ReturnType<typeof temporaryFolder>;

beforeAll(() => {
  folder = temporaryFolder();
});
afterAll(() => folder[Symbol.dispose]());

async function traced(how: LaunchedHow | AttachedHow, ...args: string[]) {
  const tape = folder.file('tape');
  await using running = new Running(NSVIEW, ['trace', '--json', ...followBy(how), '-o', tape, ...args], {
    env: {...process.env, NSVIEW_HELPER: SANITIZED_HELPER},
  });
  running.release();
  const outcome = await running.ended;
  return {...outcome, facts: existsSync(tape) ? readTapeStrictly(tape).facts : []};
}

describe.each(LAUNCHED_HOWS)('the helper under ASan and UBSan, by %s', how => {
  it.each([
    ['daemon-forks-twice', 0],
    ['clone-parent', 0],
    ['exec-from-second-thread', 23],
    ['stops-itself', 0],
    ['unshares-and-exits', 3],
    ['thread-unshares-net', 0],
    ['many-threads', 9],
    ['calls-with-bad-pointers', 0],
    ['calls-in-threads', 6],
    ['interrupted-call', 0],
    ['clones-under-signals', 8],
    ['storm-of-unshares', 5],
    ['ends-in-a-call', 'SIGSYS'],
  ])('follows %s', async (name, status) => {
    const {code, signal} = await traced(how, '--', fixture(name));
    expect(foundBySanitizers()).toBe('');
    expect(code ?? signal).toBe(status);
  });

  it('tells every isolation call, whatever its pointers lead to', async () => {
    const mountPoint = folder.file(`mnt-${how}`);
    mkdirSync(mountPoint);
    const {code, facts} = await traced(how, '--', fixture('makes-calls'), mountPoint);
    expect(foundBySanitizers()).toBe('');
    expect(code).toBe(0);
    expect(ofKind(facts, 'call').length).toBeGreaterThan(150);
    expect((await traced(how, '--', fixture('is-refused-unread'))).code).toBe(0);
    expect(foundBySanitizers()).toBe('');
  });

  it('follows many children at once, long arguments, failing launches, kills at birth', async () => {
    const script =
      'for i in 1 2 3 4 5 6 7 8; do (for j in 1 2 3 4 5 6 7 8 9; do /bin/true & kill -9 $! 2>/dev/null; done; wait) & done; wait; /bin/true $(seq 3000); exit 4';
    const {code, facts} = await traced(how, '--', 'bash', '-c', script);
    expect(foundBySanitizers()).toBe('');
    expect(code).toBe(4);
    expect(ofKind(facts, 'exec').some(fact => fact.argvCut)).toBe(true);
    const born = ofKind(facts, 'clone').map(fact => fact.child);
    const ended = ofKind(facts, 'exit').map(fact => fact.pid);
    // Who was born has ended, and told so, even those that were killed before they ever ran.
    expect(ended.filter(pid => born.includes(pid)).length).toBe(born.length);
    expect((await traced(how, '--', 'nsview-no-such-program')).code).toBe(127);
    expect(foundBySanitizers()).toBe('');
  });

  it('launches with every option, fails at every step of its own, and kills on exit', async () => {
    const all = ['--new', 'user,mnt,pid,net,ipc,uts,cgroup,time', '--hostname', 'box', '--mount-proc', '--kill-on-exit'];
    expect((await traced(how, ...all, '--map', '100000:0:65536', '--', 'sh', '-c', 'sleep 60 & exit 6')).code).toBe(6);
    expect((await traced(how, ...all, '--map-root', '--', 'nsview-no-such-program')).code).toBe(127);
    expect((await traced(how, '--new', 'user', '--map', '4294967294:0:1', '--cgroup', 'nsview-none', '--', 'true')).code).toBe(1);
    const maps = Array.from({length: 341}, (_, i) => [`--map=${i}:${i}:1`]).flat();
    expect((await traced(how, '--new', 'user', ...maps.slice(1), '--', 'true')).code).toBe(0);
    await using running = new Running(
      NSVIEW,
      ['trace', '-o', '/dev/null', ...followBy(how), '--kill-on-exit', '--', 'sh', '-c', 'sleep 60 & echo ready; wait'],
      {
        env: {...process.env, NSVIEW_HELPER: SANITIZED_HELPER},
      },
    );
    await running.says(/ready/);
    running.child.kill('SIGKILL');
    await running.ended;
    await new Promise(resolve => setTimeout(resolve, 500));
    expect(foundBySanitizers()).toBe('');
  });

  it.each([
    ['l', 'leaves'],
    ['e', 'ends'],
  ])('asked by %s, %s what was launched', async key => {
    await using screen = new Screen(
      MIDDLE,
      NSVIEW,
      // It ends by itself, should this test not come to its end.
      [...followBy(how), '--', 'bash', '--norc', '--noprofile', '-c', 'trap "" HUP; echo began; read -t 60 x; sleep 1'],
      {
        NSVIEW_HELPER: SANITIZED_HELPER,
      },
    );
    await screen.until(/^│began/m);
    screen.send('\x1dq');
    await screen.until(/Leave nsview\?/);
    screen.send(key);
    expect(await screen.ended).toBe(0);
    const pid = Number(/bash \((\d+)\) runs on/.exec(screen.screen())?.[1]);
    if (key === 'l') process.kill(pid, 'SIGKILL');
    await new Promise(resolve => setTimeout(resolve, 500));
    expect(foundBySanitizers()).toBe('');
  });
});

describe.each(ATTACHED_HOWS)('the helper under ASan and UBSan, attached by %s', how => {
  it('finds no process where there is none', async () => {
    expect((await traced(how, '-p', '4194303')).code).toBe(1);
    expect(foundBySanitizers()).toBe('');
  });

  it('attaches to a storm of threads and lets it go', async () => {
    await using target = start(fixture('many-threads'), '12');
    await target.says(/ready/);
    await using tracer = new Running(NSVIEW, ['trace', ...followBy(how), '-o', '/dev/null', '-p', String(target.pid)], {
      env: {...process.env, NSVIEW_HELPER: SANITIZED_HELPER},
    });
    await new Promise(resolve => setTimeout(resolve, 700));
    tracer.child.kill('SIGINT');
    expect((await tracer.ended).code).toBe(0);
    expect(foundBySanitizers()).toBe('');
    target.release();
    expect((await target.ended).code).toBe(9);
  });
});
