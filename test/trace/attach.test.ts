import {chmodSync, readFileSync} from 'node:fs';
import {describe, expect, it} from 'vitest';
import {createWorld, observe} from '../../src/model/world.ts';
import {attached, helperOf, status, tracerOf, until} from '../support/attached.ts';
import {leaveNothingBehind} from '../support/leaks.ts';
import {ATTACHED_HOWS, followBy, nsview, ofKind, readTapeStrictly, run, start, temporaryFolder} from '../support/nsview.ts';
import {fixture, NSVIEW} from '../support/paths.ts';
import {patient} from '../support/patience.ts';
import {maker, needsRoot} from '../support/user.ts';

leaveNothingBehind();

/** A shell that makes children all the time, and tells how many when its stdin has a line; at the end of stdin it ends, too. */
const BUSY = 'n=0; while read -t 0.001 line; [ $? -gt 128 ]; do /bin/true; n=$((n+1)); done; echo made $n; exit 42';

describe.each(ATTACHED_HOWS)('attached by %s', how => {
  it('nsview sees what happens from then on, and Ctrl-C lets everything run on', async () => {
    using folder = temporaryFolder();
    await using target = start('bash', '-c', `echo ready; ${BUSY}`);
    await target.says(/ready/);
    await using tracer = await attached(how, target.pid, folder.file('tape'));
    const births = () => readFileSync(folder.file('tape'), 'utf8').split('"kind":"clone"').length - 1;
    await until(() => births() > 10, 'births');
    tracer.child.kill('SIGINT');
    expect((await tracer.ended).code).toBe(0);
    expect(tracerOf(target.pid)).toBe(0);
    const {facts} = readTapeStrictly(folder.file('tape'));
    expect(ofKind(facts, 'process')[0]).toMatchObject({pid: target.pid, because: 'attach', comm: 'bash'});
    expect(ofKind(facts, 'clone').length).toBeGreaterThan(10);
    expect(ofKind(facts, 'tracer')[0]).toMatchObject({mode: how === 'bpf' ? 'bpf' : 'ptrace', scope: target.pid});
    target.child.stdin?.write('now\n');
    expect(await target.ended).toMatchObject({code: 42, stderr: ''});
  });

  it('to a tree, every process and every thread of it is followed', async () => {
    const script = `exec 3<&0; "$0" 8 <&3 & a=$!; "$@" <&3 & b=$!; sleep ${patient(55)} & c=$!; wait $a $b; kill $c`;
    await using target = start('bash', '-c', script, fixture('many-threads'), ...maker(fixture('thread-unshares-net')));
    await target.says(/ready (?:.|\n)*ready /);
    await using tracer = await attached(how, target.pid);
    const tree = async () => (await run('snapshot', '--json', '-p', String(target.pid))).stdout;
    const {processes} = JSON.parse(await tree());
    expect(processes.length).toBeGreaterThanOrEqual(4);
    for (const process of processes) expect(tracer.stderr).toMatch(new RegExp(`"kind":"process","at":"\\d+","pid":${process.pid},`));
    // Threads of the storm may have ended meanwhile.
    if (how !== 'bpf')
      for (const process of processes)
        for (const {tid} of [{tid: process.pid}, ...process.threads])
          try {
            const text = readFileSync(`/proc/${process.pid}/task/${tid}/status`, 'utf8');
            expect(text).not.toMatch(/^TracerPid:\t0$/m);
          } catch (error) {
            if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ESRCH')) continue;
            throw error;
          }
    tracer.child.kill('SIGINT');
    await tracer.ended;
    target.release();
    await target.ended;
  });

  it.each(['nsview', 'helper', 'both'])(
    'kill -9 of %s in the middle of work: the target runs on, and can be attached to again',
    async whom => {
      await using target = start('bash', '-c', `echo ready; ${BUSY}`);
      await target.says(/ready/);
      for (let round = 0; round < 5; round++) {
        await using tracer = await attached(how, target.pid);
        const helper = helperOf(tracer);
        await new Promise(resolve => setTimeout(resolve, 20 + round * 13));
        if (whom !== 'nsview') process.kill(helper, 'SIGKILL');
        if (whom !== 'helper') tracer.child.kill('SIGKILL');
        await tracer.ended;
        await until(() => tracerOf(target.pid) === 0, 'let go');
        await until(() => !/^[Tt]/.test(status(target.pid, 'State')), 'running on');
      }
      target.child.stdin?.write('now\n');
      const outcome = await target.ended;
      expect(outcome.code).toBe(42);
      expect(Number(/made (\d+)/.exec(outcome.stdout)?.[1])).toBeGreaterThan(50);
    },
  );

  it('to a stopped process, it stays stopped, and goes on when its user says so', async () => {
    await using target = start('bash', '-c', 'kill -STOP $$; exit 12');
    await until(() => /^T/.test(status(target.pid, 'State')), 'stopped');
    await using tracer = await attached(how, target.pid);
    await new Promise(resolve => setTimeout(resolve, 100));
    expect(status(target.pid, 'State')).toMatch(/^[Tt]/);
    target.child.kill('SIGCONT');
    expect((await target.ended).code).toBe(12);
    const {stderr} = await tracer.ended;
    expect(stderr).toContain('"kind":"continue"');
    expect(stderr).toContain('"kind":"exit"');
  });

  it('and detached while it is stopped, it stays stopped', async () => {
    await using target = start('bash', '-c', 'kill -STOP $$; exit 12');
    await until(() => /^T/.test(status(target.pid, 'State')), 'stopped');
    await using tracer = await attached(how, target.pid);
    tracer.child.kill('SIGINT');
    await tracer.ended;
    expect(status(target.pid, 'State')).toMatch(/^T \(stopped\)/);
    target.child.kill('SIGCONT');
    expect((await target.ended).code).toBe(12);
  });

  it('to a process that another one traces: BPF follows it all the same, ptrace says who traces it', async () => {
    await using target = start('bash', '-c', 'echo ready; read line; /bin/true; exit 6');
    await target.says(/ready/);
    await using other = await attached('ptrace', target.pid);
    if (how !== 'bpf') {
      const second = await run('trace', ...followBy(how), '-p', String(target.pid));
      expect(second.code).toBe(1);
      expect(second.stderr).toContain(`it is already traced, by nsview-helper ${helperOf(other)}`);
      expect(second.stderr.trim().split('\n')).toHaveLength(1);
      other.child.kill('SIGINT');
    } else {
      const second = nsview('trace', ...followBy(how), '--json', '-p', String(target.pid));
      await until(() => second.stderr.includes('"kind":"tracer"'), 'followed');
      target.child.stdin?.write('go\n');
      expect((await second.ended).stderr).toMatch(/"kind":"clone".*\n.*"kind":"exec".*"\/bin\/true".*\n.*"kind":"exit".*\n.*"code":6/);
    }
    await other.ended;
  });
});

describe('wrong targets', () => {
  it('no such pid: exit 1 and a line that names it', async () => {
    const pid = Number(readFileSync('/proc/sys/kernel/pid_max', 'utf8')) - 1;
    const outcome = await run('trace', '-p', String(pid));
    expect(outcome).toMatchObject({code: 1, stdout: ''});
    expect(outcome.stderr).toBe(`nsview: no process has pid ${pid}; nsview alone lists those that there are\n`);
  });

  it('not a number: exit 2 and one line', async () => {
    const outcome = await run('-p', 'bash');
    expect(outcome.code).toBe(2);
    expect(outcome.stderr).toMatch(/^nsview: -p "bash": a pid is a whole number.*\n$/);
  });

  it('a process of somebody else without privilege: the rule that refused, and what to do', async () => {
    needsRoot('become another user');
    await using target = start('sleep', '50');
    await using unprivileged = start(
      'setpriv',
      '--reuid=65534',
      '--regid=65534',
      '--clear-groups',
      NSVIEW,
      'trace',
      '-p',
      String(target.pid),
    );
    const outcome = await unprivileged.ended;
    expect(outcome.code).toBe(1);
    expect(outcome.stderr).toContain("nsview's is 65534, and nsview lacks CAP_SYS_PTRACE; run it as root: sudo nsview -p");
  });

  it.each([
    ['it has capabilities that nsview lacks'],
    ['it is in another user namespace, over which nsview has no CAP_SYS_PTRACE', 'elsewhere'],
  ])('a process with its own ids without privilege: %s', async (rule, ...args) => {
    needsRoot('become another user');
    await using target = start(fixture('keeps-capabilities'), ...args);
    await target.says(/ready/);
    const nobody = ['--reuid=65534', '--regid=65534', '--clear-groups', '--bounding-set=-all'];
    await using unprivileged = start('setpriv', ...nobody, NSVIEW, 'trace', '-p', String(target.pid));
    const {code, stderr} = await unprivileged.ended;
    expect(code).toBe(1);
    expect(stderr).toContain(`EPERM: ${rule}`);
    target.release();
    await target.ended;
  });

  it('BPF without privilege: what it needs, in one line; without --follow, ptrace does it and the tape says why', async () => {
    needsRoot('become another user');
    using folder = temporaryFolder();
    chmodSync(folder.path, 0o777);
    const nobody = (...args: string[]) =>
      start('setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', NSVIEW, 'trace', '--json', ...args, '--', 'true');
    await using refused = nobody('--follow', 'bpf');
    const outcome = await refused.ended;
    expect(outcome.code).toBe(1);
    expect(outcome.stderr.trim().split('\n').at(-1)).toMatch(
      /^nsview: cannot follow true by BPF: bpf\(BPF_MAP_CREATE\): EPERM: .*CAP_BPF and CAP_PERFMON/,
    );
    await using fallen = nobody('-o', folder.file('tape'));
    expect((await fallen.ended).code).toBe(0);
    expect(ofKind(readTapeStrictly(folder.file('tape')).facts, 'tracer')[0]).toMatchObject({
      mode: 'ptrace',
      bpf: {errno: 'EPERM', during: 'bpf(BPF_MAP_CREATE)'},
    });
  });
});

it.each(['bpf', 'syscalls'] as const)(
  'attached by %s, a name that comes back while calls overtake the readings of /proc is known in the end',
  async how => {
    using folder = temporaryFolder();
    const tape = folder.file('tape');
    await using target = start(fixture('renames-itself'));
    await target.says(/begins/);
    await using tracer = await attached(how, target.pid, tape);
    target.child.stdin?.write('\n');
    await target.says(/ready/);
    // Longer than four readings, of which each fourth compares all.
    await new Promise(resolve => setTimeout(resolve, patient(2500)));
    tracer.child.kill('SIGINT');
    await tracer.ended;
    target.release();
    const {header, facts} = readTapeStrictly(tape);
    const world = createWorld(header);
    const names = new Set<string>();
    for (const fact of facts) {
      observe(world, fact);
      names.add(world.byPid.get(target.pid)?.comm ?? '');
    }
    expect(names).toContain('between');
    expect(world.byPid.get(target.pid)?.comm).toBe('renames-itself');
  },
);
