import {closeSync, openSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {describe, expect, it} from 'vitest';
import {isRefusal} from '../../src/model/fact.ts';
import {lineText} from '../../src/model/line.ts';
import {eventLine} from '../../src/model/timeline.ts';
import {createWorld, observe} from '../../src/model/world.ts';
import {leaveNothingBehind} from '../support/leaks.ts';
import {followBy, LAUNCHED_HOWS, moves, ofKind, Running, run, start, temporaryFolder, traceProgramBy} from '../support/nsview.ts';
import {fixture, NSVIEW, ROOT} from '../support/paths.ts';
import {patient} from '../support/patience.ts';
import {maker, needsRoot} from '../support/user.ts';

leaveNothingBehind();

describe.each(LAUNCHED_HOWS)('a launched program, by %s', how => {
  const traceProgram = traceProgramBy(how);

  it(
    'of 2000 short-lived children gives exactly 2000 clones, execs and exits of theirs',
    async () => {
      const {code, facts} = await traceProgram('bash', '-c', 'for ((i = 0; i < 2000; i++)); do /bin/true; done; exit 5');
      expect(code).toBe(5);
      const root = ofKind(facts, 'process').find(fact => fact.because === 'launch')?.pid;
      const children = ofKind(facts, 'clone').filter(fact => fact.pid === root);
      expect(children).toHaveLength(2000);
      // A pid may come round again, but not while it is taken: each birth has its own exec and exit, in this order.
      const stages = new Map<number, string[]>();
      for (const fact of facts) {
        if (fact.kind === 'clone') stages.set(fact.child, [...(stages.get(fact.child) ?? []), 'clone']);
        if ((fact.kind === 'exec' || fact.kind === 'exit') && fact.pid !== root) stages.get(fact.pid)?.push(fact.kind);
      }
      const all = [...stages.values()].flat();
      expect(all).toHaveLength(6000);
      expect(all.join(' ')).toBe(Array(2000).fill('clone exec exit').join(' '));
      for (const fact of ofKind(facts, 'exit')) if (fact.pid !== root) expect(fact.code).toBe(0);
      for (const fact of ofKind(facts, 'exec')) if (fact.pid !== root) expect(fact).toMatchObject({argv: ['/bin/true'], comm: 'true'});
    },
    patient(120_000),
  );

  it.each([
    ['exit 0', 0, null],
    ['exit 77', 77, null],
    ['kill -KILL $$', null, 'SIGKILL'],
    ['kill -SEGV $$', null, 'SIGSEGV'],
  ])('ends nsview with its own status, or by its own signal: %s', async (script, status, fatal) => {
    const {code, signal, facts} = await traceProgram('sh', '-c', script);
    expect({code, signal}).toEqual({code: status, signal: fatal});
    expect(facts.at(-1)).toMatchObject({kind: 'exit'});
  });

  it('is told whole, however soon it ended', async () => {
    // Several at once: more end before their record is read.
    const all = await Promise.all(Array.from({length: 10}, () => traceProgram('true', 'argument')));
    for (const {facts} of all)
      expect(ofKind(facts, 'process')[0]).toMatchObject({
        because: 'launch',
        argv: ['true', 'argument'],
        exe: expect.stringContaining('/'),
        uids: Array(4).fill(process.getuid?.()),
        gids: Array(4).fill(process.getgid?.()),
        nspid: [expect.any(Number)],
        cgroup: expect.any(Array),
      });
  });

  it('has an environment of any size whole, with what shells and Node drop of it', async () => {
    using folder = temporaryFolder();
    // Node gives its children no such names and bytes; bash and env do.
    const script = `odd=$(printf '\\377\\376'); f() { :; }; export -f f; for i in $(seq 10); do export V$i=$(head -c 9990 /dev/zero | tr '\\0' x); done; env "ODD=$odd" "a.b=not a name" "$@"`;
    const environment = async (...program: string[]) => {
      await using running = start('bash', '-c', script, 'bash', ...program, 'cat', '/proc/self/environ');
      running.child.stdout?.setEncoding('latin1');
      return (await running.ended).stdout;
    };
    const alone = await environment();
    expect(alone.length).toBeGreaterThan(100_000);
    expect(alone).toMatch(/BASH_FUNC_f%%=(?:.|\n)*ODD=\xff\xfe\0a\.b=not a name\0/);
    expect(await environment(NSVIEW, 'trace', ...followBy(how), '-o', folder.file('tape'), '--')).toBe(alone);
  });

  it('that gets more than the kernel takes is exit 126, and told which limits there are', async () => {
    using folder = temporaryFolder();
    const file = folder.file('environment');
    // Whoever starts nsview has the same limits: only what it was told to hand on can be longer. The kernel counts the NUL.
    for (const [length, code] of [
      [131_071, 0],
      [131_072, 126],
    ] as const) {
      writeFileSync(file, `A=${'x'.repeat(length - 2)}\0`);
      const fd = openSync(file, 'r');
      const args = [join(ROOT, 'dist', 'main.js'), 'trace', ...followBy(how), '-o', '/dev/null', '--', '/bin/true'];
      const environment = {...process.env, NSVIEW_ENVIRON: '@3'};
      await using running = new Running(process.execPath, args, {env: environment, stdio: ['pipe', 'pipe', 'pipe', fd]});
      const outcome = await running.ended;
      closeSync(fd);
      expect(outcome.code).toBe(code);
      if (code === 0) expect(outcome.stderr).toBe('');
      else expect(outcome.stderr).toMatch(/^nsview: \/bin\/true: cannot be executed: execve: E2BIG: one of .* longer than 128 KiB, .*\n$/);
    }
  });

  it('that is not there is exit 127, and one that is no program 126, as in a shell', async () => {
    const missing = await run('trace', ...followBy(how), '--', 'nsview-no-such-program');
    expect(missing).toMatchObject({code: 127, stdout: '', stderr: 'nsview: nsview-no-such-program: not found in PATH\n'});
    const path = await run('trace', ...followBy(how), '--', '/nonexistent/program');
    expect(path).toMatchObject({code: 127, stderr: 'nsview: /nonexistent/program: no such file\n'});
    const folder = await run('trace', ...followBy(how), '--', '/etc/passwd');
    expect(folder).toMatchObject({code: 126, stderr: 'nsview: /etc/passwd: cannot be executed: execve: EACCES\n'});
  });

  it('gets signals, limits, fds and arguments as without nsview', async () => {
    await using bare = start(fixture('reports-itself'));
    bare.release();
    // What a tracee cannot help: its tracer; and by --fast, no_new_privs and the filter.
    const own = {bpf: /^$/, ptrace: /TracerPid/, fast: /TracerPid|NoNewPrivs|Seccomp|no-new-privs|^prctl (21|39) /}[how];
    const others = (text: string) => text.split('\n').filter(line => !own.test(line));
    const {stdout, stderr} = await traceProgram(fixture('reports-itself'));
    expect(others(stdout)).toEqual(others((await bare.ended).stdout));
    expect(stderr).toBe('');
  });

  it('is not interrupted in its calls', async () => {
    const {stdout} = await traceProgram(fixture('counts-interruptions'), '20');
    expect(stdout).toBe('interrupted 0\n');
  });

  it('keeps its stdin and stdout to the byte', async () => {
    using folder = temporaryFolder();
    await using real = start(
      'sh',
      '-c',
      `head -c 3000000 /dev/urandom | tee ${folder.file('a')} | "${NSVIEW}" trace ${followBy(how).join(' ')} -o /dev/null -- cat >${folder.file('b')}; cmp ${folder.file('a')} ${folder.file('b')} && echo same`,
    );
    real.release();
    expect((await real.ended).stdout).toBe('same\n');
  });
});

describe.each(LAUNCHED_HOWS)('hard cases, launched, by %s', how => {
  const traceProgram = traceProgramBy(how);

  it('a daemon that forks twice stays in the tree, and its own end is told', async () => {
    const {code, facts, stdout} = await traceProgram(fixture('daemon-forks-twice'));
    expect(code).toBe(0);
    const daemon = Number(/ready (\d+)/.exec(stdout)?.[1]);
    const birth = ofKind(facts, 'clone').find(fact => fact.child === daemon);
    const maker = ofKind(facts, 'clone').find(fact => fact.child === birth?.pid);
    expect(maker).toBeDefined();
    expect(ofKind(facts, 'exit').find(fact => fact.pid === daemon)).toMatchObject({code: 7});
  });

  it('a CLONE_PARENT child is told with its maker and its parent', async () => {
    const {code, facts, stdout} = await traceProgram(fixture('clone-parent'));
    expect(code).toBe(0);
    const [, maker, sibling] = /maker (\d+) sibling (\d+)/.exec(stdout) ?? [];
    const root = ofKind(facts, 'process').find(fact => fact.because === 'launch')?.pid;
    expect(ofKind(facts, 'clone').find(fact => fact.child === Number(sibling))).toMatchObject({
      pid: Number(maker),
      ppid: root,
      flags: ['CLONE_PARENT'],
      exitSignal: 'SIGCHLD',
    });
  });

  it('a child that shares with its maker what no child of fork does is told with that', async () => {
    const births = async (program: string, ...args: string[]) => {
      const {facts, header} = await traceProgram(fixture(program), ...args);
      const world = createWorld(header);
      const events = facts.flatMap(fact => observe(world, fact)).filter(({what}) => what.kind === 'clone');
      return events.map(event => lineText(eventLine(event, header, 0, {who: 0, did: 0})).replace(/^.* {2}(.*) → \d+$/, '$1'));
    };
    expect(await births('shares-by-clone', 'files', 'fs', 'vm')).toEqual(['clone(CLONE_VM|CLONE_FS|CLONE_FILES)', 'fork()']);
    // Its second child has its own memory, and its maker waits all the same.
    expect((await births('vforks')).slice(0, 2)).toEqual(['vfork()', 'clone(CLONE_VFORK)']);
  });

  it('an exec from a second thread keeps the pid and names the thread', async () => {
    const {code, facts, stdout} = await traceProgram(fixture('exec-from-second-thread'));
    expect(code).toBe(23);
    expect(/began (\d+)/.exec(stdout)?.[1]).toBe(/executed (\d+)/.exec(stdout)?.[1]);
    const exec = ofKind(facts, 'exec').at(-1);
    expect(exec?.argv).toEqual([fixture('exec-from-second-thread'), 'again']);
    const threads = ofKind(facts, 'clone').filter(fact => !isRefusal(fact.flags) && fact.flags.includes('CLONE_THREAD'));
    expect(threads.map(fact => fact.child)).toContain(exec?.formerTid);
  });

  it('an exec from a thread that is elsewhere, and somebody else, takes its process along', async () => {
    needsRoot('make namespaces without a user namespace');
    const {code, facts, header, stdout} = await traceProgram(fixture('executes-apart'));
    expect(code).toBe(0);
    const [, uid, gid, inode] = /^uid (\d+) gid (\d+) uts:\[(\d+)\]$/m.exec(stdout) ?? [];
    const world = createWorld(header);
    const event = facts.flatMap(fact => observe(world, fact)).findLast(({what}) => what.kind === 'exec');
    const {what} = event ?? {};
    expect(what).toMatchObject({
      moves: [{link: 'uts', from: {name: 'uts:a'}, to: {name: 'uts:b', inode}}],
      uids: {from: [0, 0, 0, 0], to: Array.from({length: 4}, () => Number(uid))},
      gids: {from: [0, 0, 0, 0], to: Array.from({length: 4}, () => Number(gid))},
    });
    const line = event === undefined ? '' : lineText(eventLine(event, header, 0, {who: 0, did: 0}));
    expect(line).toMatch(/ {2}\S*\/executes-apart {2}uts:a → uts:b {2}uid 0 → 1000 {2}gid 0 → 1000 {2}permitted, effective: .* → none$/);
  });

  it('a process that stops itself is seen to stop and go on, and its parent sees the same as without nsview', async () => {
    const {stdout, facts} = await traceProgram(fixture('stops-itself'));
    expect(stdout).toBe('stopped by 19, continued 1, exited 11\n');
    expect(ofKind(facts, 'stop')).toMatchObject([{signal: 'SIGSTOP'}]);
    expect(ofKind(facts, 'continue')).toMatchObject([{pid: ofKind(facts, 'stop')[0]?.pid}]);
  });

  it('a namespace that lives shorter than any poll is told', async () => {
    const {code, facts} = await traceProgram(...maker(fixture('unshares-and-exits')));
    expect(code).toBe(3);
    const moved = moves(facts).at(-1);
    expect(Object.keys(moved?.changed ?? {})).toEqual(['uts']);
    expect(moved?.changed.uts?.to).not.toEqual(moved?.changed.uts?.from);
  });

  it('a thread that moves to its own network namespace is told apart from its process', async () => {
    const {facts, stdout} = await traceProgram(...maker(fixture('thread-unshares-net')));
    const tid = Number(/tid (\d+)/.exec(stdout)?.[1]);
    const moved = moves(facts).filter(fact => fact.tid === tid);
    expect(moved.length).toBeGreaterThan(0);
    expect(Object.keys(moved[0]?.changed ?? {})).toEqual(['net']);
    expect(moves(facts).filter(fact => fact.tid === fact.pid && fact.changed.net !== undefined)).toEqual([]);
  });

  it('a 32-bit call is read by its own registers', async context => {
    const {code, facts} = await traceProgram(...maker(fixture('clones-by-32-bit-abi')));
    if (code === 77) context.skip('kernel lacks 32-bit calls on this machine');
    expect(code).toBe(0);
    const [birth] = ofKind(facts, 'clone');
    expect(birth?.flags).toEqual(['CLONE_NEWUTS']);
    expect(Object.keys(birth?.changed ?? {})).toEqual(['uts']);
  });

  it('a child in a new pid namespace is told with its inner pid, and namespaces with their inodes', async () => {
    const {facts, stdout} = await traceProgram(fixture('unshares-and-waits'), 'user', 'mnt', 'pid', 'net');
    const child = Number(/child (\d+)/.exec(stdout)?.[1]);
    const birth = ofKind(facts, 'clone').find(fact => fact.child === child);
    expect(birth?.nspid).toEqual([child, 1]);
    expect(Object.keys(birth?.changed ?? {})).toEqual(['pid']);
    const [moved] = moves(facts);
    expect(Object.keys(moved?.changed ?? {}).sort()).toEqual(['mnt', 'net', 'pid_for_children', 'user']);
  });
});
