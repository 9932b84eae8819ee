import {execFileSync} from 'node:child_process';
import {existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, truncateSync, writeFileSync} from 'node:fs';
import {afterEach, describe, expect, it} from 'vitest';
import {type Fact, isRefusal} from '../../src/model/fact.ts';
import {leaveNothingBehind} from '../support/leaks.ts';
import {followBy, HOWS, type How, type Outcome, ofKind, Running, readTapeStrictly, start, temporaryFolder} from '../support/nsview.ts';
import {fixture, NSVIEW, ROOT} from '../support/paths.ts';
import {patient} from '../support/patience.ts';
import {isRoot, needsRoot} from '../support/user.ts';

leaveNothingBehind();

const KINDS = ['user', 'mnt', 'pid', 'net', 'ipc', 'uts', 'cgroup', 'time'];

/** nsview trace with these words before `--`, behind these words before nsview. */
function begin(how: How, options: readonly string[], program: readonly string[], before: readonly string[] = []): Running {
  const [first, ...words] = [...before, NSVIEW];
  return start(first, ...words, 'trace', '-o', '/dev/null', ...followBy(how), ...options, '--', ...program);
}

/** The same, to its end. */
async function trace(...asked: Parameters<typeof begin>): Promise<Outcome> {
  await using running = begin(...asked);
  running.release();
  return await running.ended;
}

async function tape(how: How, options: readonly string[], program: readonly string[]): Promise<Outcome & {facts: readonly Fact[]}> {
  using folder = temporaryFolder();
  const file = folder.file('tape');
  await using running = start(NSVIEW, 'trace', '--json', '-o', file, ...followBy(how), ...options, '--', ...program);
  running.release();
  const outcome = await running.ended;
  return {...outcome, facts: readTapeStrictly(file).facts};
}

/** An ordinary user: `nobody` and its group, without any capability; or whoever runs the tests. */
const NOBODY = !isRoot ? [] : ['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups', '--inh-caps=-all', '--'];
/** The same user in another group. */
const OTHER_GROUP = !isRoot ? [] : ['setpriv', '--reuid', '65534', '--regid', '100', '--clear-groups', '--inh-caps=-all', '--'];

const mountPoint = readFileSync('/proc/self/mountinfo', 'utf8')
  .split('\n')
  .find(line => line.includes(' - cgroup2 '))
  ?.split(' ')[4];
/** Cgroups that a test made are gone after it. */
const made: string[] = [];
function makeCgroup(name: string): string {
  const path = `${mountPoint}/${name}`;
  mkdirSync(path);
  made.push(path);
  return path;
}
afterEach(() => {
  for (const path of made.splice(0).reverse()) rmdirSync(path);
});

function isAlive(pid: number): boolean {
  try {
    return /^State:\t[^ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    // ENOENT, or ESRCH where it ends while it is read.
    return false;
  }
}
async function ends(pid: number): Promise<void> {
  for (const limit = Date.now() + patient(5000); isAlive(pid); await new Promise(resolve => setTimeout(resolve, 10)))
    if (Date.now() > limit) throw new Error(`${pid} lives on`);
}

describe.each(HOWS)('launched with options, by %s', how => {
  it('is in all new namespaces from its first fact on, and nothing of how it came there is told as the program’s', async () => {
    const {code, stdout, facts} = await tape(
      how,
      ['--new', KINDS.join(','), '--map-root', '--hostname', 'box', '--mount-proc'],
      ['sh', '-c', 'readlink /proc/self/ns/*; echo pid $$; hostname; sleep 0.3; exit 5'],
    );
    expect(code).toBe(5);
    const process = ofKind(facts, 'process').find(fact => fact.because === 'launch');
    const told = process?.namespaces ?? ({} as NonNullable<typeof process>['namespaces']);
    for (const kind of KINDS) {
      const inode = told[kind as keyof typeof told];
      if (inode === undefined || isRefusal(inode)) throw new Error(`no ${kind}`);
      expect(stdout).toContain(`${kind}:[${inode}]`);
    }
    expect(stdout).toContain('pid 1\nbox\n');
    expect(process?.nspid).toEqual([process?.pid, 1]);
    expect(ofKind(facts, 'call')).toEqual([]);
    expect(ofKind(facts, 'namespaces')).toEqual([]);
    expect(facts.findIndex(fact => fact.kind === 'process')).toBeLessThan(facts.findIndex(fact => fact.kind === 'exec'));
  });

  it.each(KINDS)('has a new %s namespace, and no other', async kind => {
    needsRoot('make namespaces without a user namespace');
    const {code, stdout} = await trace(
      how,
      ['--new', kind],
      ['sh', '-c', 'for k in /proc/self/ns/*; do echo $(basename $k) $(readlink $k); done'],
    );
    expect(code).toBe(0);
    const links = new Map(
      stdout
        .trim()
        .split('\n')
        .map(line => line.split(' ') as [string, string]),
    );
    const own = (name: string) =>
      execFileSync('readlink', [`/proc/self/ns/${name}`])
        .toString()
        .trim();
    for (const name of KINDS) expect([name, links.get(name) === own(name)]).toEqual([name, name !== kind]);
  });

  it('gets the ids that --map says, and is 0 where its own are not among them', async () => {
    needsRoot('map ids that are not its own');
    const script = [
      'sh',
      '-c',
      'id -u; id -g; cat /proc/self/uid_map /proc/self/gid_map; cat /proc/self/setgroups; grep Groups /proc/self/status',
    ];
    const grouped = ['setpriv', '--groups', '4,20', '--'];
    const mapped = await trace(how, ['--new', 'user', '--map', '100000:0:65536', '--map', '0:70000:1'], script, grouped);
    expect(mapped.stdout.replaceAll(/ +/g, ' ')).toBe(
      '70000\n70000\n 0 100000 65536\n 70000 0 1\n 0 100000 65536\n 70000 0 1\nallow\nGroups:\t65534 65534 \n',
    );
    const root = await trace(how, ['--new', 'user', '--map', '100000:0:65536'], script, grouped);
    expect(root.stdout.replaceAll(/ +/g, ' ')).toBe('0\n0\n 0 100000 65536\n 0 100000 65536\nallow\nGroups:\t \n');
    const none = await trace(how, ['--new', 'user'], script);
    expect(none.stdout).toMatch(/^65534\n65534\nallow\n/);
    expect([mapped.code, root.code, none.code]).toEqual([0, 0, 0]);
  });

  it('mounts for itself alone', async () => {
    needsRoot('make namespaces without a user namespace');
    const share = ['unshare', '-m', '--propagation', 'shared', 'sh', '-c', '"$@"; grep -c nsview-private /proc/self/mountinfo', '-'];
    const mount = ['mount', '-t', 'tmpfs', 'nsview-private', '/mnt'];
    expect((await trace(how, ['--new', 'mnt'], mount, share)).stdout).toBe('1\n');
    expect((await trace(how, ['--new', 'mnt', '--private-mounts'], mount, share)).stdout).toBe('0\n');
    expect((await trace(how, ['--new', 'mnt,pid', '--mount-proc'], mount, share)).stdout).toBe('0\n');
  });

  it('sees its own processes alone in its own /proc, and leaves the one outside as it was', async () => {
    needsRoot('make namespaces without a user namespace');
    const {code, stdout} = await trace(
      how,
      ['--new', 'mnt,pid', '--mount-proc'],
      ['sh', '-c', 'echo /proc/[0-9]*; grep " /proc " /proc/self/mountinfo | tail -n 1'],
    );
    expect(code).toBe(0);
    expect(stdout).toMatch(/^\/proc\/1\n.* rw,nosuid,nodev,noexec,relatime - proc proc rw\n$/);
    expect(isAlive(process.pid)).toBe(true);
  });

  it('begins in the cgroup that --cgroup names, in each way of naming it', async context => {
    needsRoot('make a cgroup at the root of the hierarchy');
    if (mountPoint === undefined) return context.skip('needs a mounted cgroup v2');
    const path = makeCgroup(`nsview-test-${process.pid}`);
    const name = path.slice(mountPoint.length + 1);
    for (const word of [name, `/${name}`, path, `/sys/fs/cgroup/${name}`]) {
      const {code, stdout, facts} = await tape(how, ['--cgroup', word], ['sh', '-c', 'grep ^0:: /proc/self/cgroup; sleep 0.3']);
      expect([word, code, stdout]).toEqual([word, 0, `0::/${name}\n`]);
      const [first] = ofKind(facts, 'process');
      if (first === undefined || isRefusal(first.cgroup)) throw new Error('no cgroup');
      expect(first.cgroup.find(({hierarchy}) => hierarchy === 0)?.path).toBe(`/${name}`);
    }
    const inside = await trace(how, ['--cgroup', name, '--new', 'cgroup'], ['grep', '^0::', '/proc/self/cgroup']);
    expect(inside.stdout).toBe('0::/\n');
  });

  it(
    'dies with nsview or its helper under --kill-on-exit, whole, and only then',
    async () => {
      const script = `trap '' HUP TERM INT; (trap '' HUP TERM; setsid sleep 61) & sleep 62 & (sleep 63 & exec sleep 64) & (sleep 0.2; exec sleep 65 >/dev/null) & echo ready; wait`;
      const sleepers = (): number[] =>
        readdirSync('/proc')
          .filter(pid => {
            try {
              return /^[0-9]+$/.test(pid) && /^sleep\x006[1-5]\x00$/.test(readFileSync(`/proc/${pid}/cmdline`, 'utf8'));
            } catch {
              return false;
            }
          })
          .map(Number);
      const settled = async () => {
        for (const limit = Date.now() + patient(5000); sleepers().length < 5; await new Promise(resolve => setTimeout(resolve, 20)))
          if (Date.now() > limit) throw new Error(`only ${sleepers().join(' ')}`);
        return sleepers();
      };
      for (const victim of ['nsview', 'helper', 'SIGTERM'] as const)
        for (const kill of [true, false]) {
          await using running = begin(how, kill ? ['--kill-on-exit'] : [], ['bash', '-c', script]);
          await running.says(/ready/);
          const pids = await settled();
          const helper = readFileSync(`/proc/${running.pid}/task/${running.pid}/children`, 'utf8').trim().split(' ').map(Number)[0] ?? -1;
          if (victim === 'nsview') process.kill(running.pid, 'SIGKILL');
          else if (victim === 'helper') process.kill(helper, 'SIGKILL');
          else {
            // The first is passed on to the program, which ignores it; two that come at once are one.
            while (running.child.exitCode === null && running.child.signalCode === null) {
              process.kill(running.pid, 'SIGTERM');
              await new Promise(resolve => setTimeout(resolve, 200));
            }
          }
          if (kill) for (const pid of pids) await ends(pid);
          else {
            await new Promise(resolve => setTimeout(resolve, 300));
            expect([victim, pids.filter(isAlive)]).toEqual([victim, pids]);
            for (const pid of pids) process.kill(pid, 'SIGKILL');
          }
          const outcome = await running.ended;
          if (kill && victim === 'helper') expect(outcome.code).toBe(137);
        }
    },
    patient(60_000),
  );

  it('under --kill-on-exit loses nobody of a storm of births', async () => {
    const script = 'for i in $(seq 20); do (while :; do (sleep 66 & sleep 0.01) & sleep 0.02; done) & done; echo ready; wait';
    await using running = begin(how, ['--kill-on-exit'], ['bash', '-c', script]);
    await running.says(/ready/);
    await new Promise(resolve => setTimeout(resolve, 700));
    process.kill(running.pid, 'SIGKILL');
    await running.ended;
    // leaveNothingBehind() looks for every process that a test started.
  });

  it('under --kill-on-exit ends lines of processes in which each forks the next one and is gone', async () => {
    using folder = temporaryFolder();
    const file = folder.file('count');
    writeFileSync(file, Buffer.alloc(8));
    // Whatever is left ends by this.
    using _ends = {[Symbol.dispose]: () => truncateSync(file)};
    const count = (): bigint => readFileSync(file).readBigUInt64LE();
    await using running = begin(how, ['--kill-on-exit'], [fixture('hops-by-fork'), '20', file]);
    await running.says(/ready/);
    await new Promise(resolve => setTimeout(resolve, 500));
    expect(count()).toBeGreaterThan(20n);
    process.kill(running.pid, 'SIGKILL');
    await running.ended;
    const settles = async (): Promise<bigint> => {
      const before = count();
      await new Promise(resolve => setTimeout(resolve, 200));
      return count() - before;
    };
    await expect.poll(settles, {timeout: patient(5000)}).toBe(0n);
  });

  it('ends as it ends, under --kill-on-exit, too', async () => {
    needsRoot('make namespaces without a user namespace');
    expect((await trace(how, ['--kill-on-exit'], ['sh', '-c', 'exit 7'])).code).toBe(7);
    expect((await trace(how, ['--kill-on-exit'], ['sh', '-c', 'kill -KILL $$'])).signal).toBe('SIGKILL');
    expect((await trace(how, ['--kill-on-exit', '--new', 'pid'], ['sh', '-c', 'sleep 60 & exit 8'])).code).toBe(8);
  });

  it('fails by the name of the step, its errno and the rule, with exit status 1', async () => {
    needsRoot('make namespaces without a user namespace');
    const refused = async (options: string[], message: RegExp | string, before: string[] = []) => {
      const {code, stdout, stderr} = await trace(how, options, ['echo', 'ran'], before);
      expect([stderr, code, stdout]).toEqual([
        typeof message === 'string' ? `nsview: cannot launch echo: ${message}\n` : expect.stringMatching(message),
        1,
        '',
      ]);
    };
    using folder = temporaryFolder();
    // To the helper alone: Node needs some of them for itself.
    const forbids = (call: string): string[] => {
      const helper = folder.file(call);
      writeFileSync(helper, `#!/bin/sh\nexec '${fixture('forbids-call')}' ${call} '${ROOT}/build/nsview-helper' "$@"\n`, {mode: 0o755});
      return ['env', `NSVIEW_HELPER=${helper}`];
    };
    const FORBIDDEN =
      'its capabilities suffice, so a seccomp filter or a security module forbids it; run nsview outside of the container or service that set the filter';
    await refused(['--new', 'uts', '--hostname', 'box'], `sethostname: EPERM: ${FORBIDDEN}`, forbids('sethostname'));
    await refused(['--new', 'mnt', '--private-mounts'], `mount / MS_REC|MS_PRIVATE: EPERM: ${FORBIDDEN}`, forbids('mount'));
    await refused(['--new', 'user', '--map', '100000:0:10'], `setgroups: EPERM: ${FORBIDDEN}`, forbids('setgroups'));
    await refused(['--new', 'user', '--map', '100000:0:10'], `setresgid: EPERM: ${FORBIDDEN}`, forbids('setresgid'));
    await refused(['--new', 'user', '--map', '100000:0:10'], `setresuid: EPERM: ${FORBIDDEN}`, forbids('setresuid'));
    await refused(['--new', 'net'], `clone3: EPERM: ${FORBIDDEN}`, forbids('clone3'));
    if (mountPoint === undefined) return;
    await refused(
      ['--cgroup', 'nsview-none'],
      `open --cgroup: ENOENT: there is no cgroup ${mountPoint}/nsview-none; mkdir ${mountPoint}/nsview-none`,
    );
    await refused(
      ['--cgroup', 'cgroup.procs'],
      `open --cgroup: ENOTDIR: ${mountPoint}/cgroup.procs is no directory of a cgroup v2 file system; name one that is, such as --cgroup mine`,
    );
    const parent = makeCgroup(`nsview-test-${process.pid}`);
    const name = parent.slice(mountPoint.length + 1);
    makeCgroup(`${name}/threaded`);
    makeCgroup(`${name}/invalid`);
    writeFileSync(`${parent}/threaded/cgroup.type`, 'threaded');
    await refused(
      ['--cgroup', `${name}/invalid`],
      `clone3: EOPNOTSUPP: cgroup.type of ${parent}/invalid is “domain invalid”: it is in a threaded subtree, and not threaded itself; name a cgroup whose type is domain, or write threaded to its cgroup.type`,
    );
    // What it advises helps.
    writeFileSync(`${parent}/invalid/cgroup.type`, 'threaded');
    expect(await trace(how, ['--cgroup', `${name}/invalid`], ['true'])).toMatchObject({code: 0});
  });

  it('cannot make mounts private in a chroot that is no mount', async () => {
    needsRoot('change the root directory');
    using folder = temporaryFolder();
    const [outer, root] = [folder.file('outer'), folder.file('outer/root')];
    mkdirSync(outer);
    const script = `mount -t tmpfs none ${outer} && mkdir ${root} && for d in /*; do
      if [ -L $d ]; then ln -s $(readlink $d) ${root}$d; elif [ -d $d ]; then mkdir ${root}$d && mount --rbind $d ${root}$d; fi
    done; exec chroot ${root} "$@"`;
    const {code, stderr} = await trace(
      how,
      ['--new', 'mnt', '--private-mounts'],
      ['echo', 'ran'],
      ['unshare', '-m', 'sh', '-c', script, '-'],
    );
    expect([stderr, code]).toEqual([
      'nsview: cannot launch echo: mount / MS_REC|MS_PRIVATE: EINVAL: / is no mount point, as in a chroot, and only a mount has a propagation; run nsview outside of the chroot, or make its directory a mount (mount --bind DIR DIR) before\n',
      1,
    ]);
  });

  it('that is not there fails as without options, and leaves nothing', async () => {
    const options = ['--new', KINDS.join(','), '--map-root', '--hostname', 'box', '--mount-proc', '--kill-on-exit'];
    const missing = await trace(how, options, ['nsview-no-such-program']);
    expect(missing).toMatchObject({code: 127, stderr: 'nsview: nsview-no-such-program: not found in PATH\n'});
    expect(await trace(how, options, ['/etc/passwd'])).toMatchObject({code: 126});
  });
});

describe('as an ordinary user', () => {
  const asNobody = (options: string[], script: string, before = NOBODY) => trace('ptrace', options, ['sh', '-c', script], before);

  it('makes a user namespace, and all others with it', async () => {
    const {code, stdout, stderr} = await asNobody(
      ['--new', KINDS.join(','), '--map-root', '--hostname', 'box', '--mount-proc', '--kill-on-exit'],
      'id -u; id -g; cat /proc/self/setgroups; hostname; echo /proc/[0-9]*; mount -t tmpfs none /mnt && echo mounted',
    );
    expect([stderr, code, stdout]).toEqual(['', 0, '0\n0\ndeny\nbox\n/proc/1\nmounted\n']);
  });

  it('maps its own user and group each from its own id, with --map-root', async () => {
    const {stdout} = await asNobody(['--new', 'user', '--map-root'], 'cat /proc/self/uid_map /proc/self/gid_map', OTHER_GROUP);
    expect(stdout.replaceAll(/ +/g, ' ')).toBe(
      isRoot ? ' 0 65534 1\n 0 100 1\n' : ` 0 ${process.getuid?.()} 1\n 0 ${process.getgid?.()} 1\n`,
    );
  });

  it('is told which rule refuses', async () => {
    const uid = isRoot ? 65534 : process.getuid?.();
    const refused = async (options: string[], message: string, before = NOBODY) =>
      expect(await asNobody(options, 'echo ran', before)).toMatchObject({
        code: 1,
        stdout: '',
        stderr: `nsview: cannot launch sh: ${message}\n`,
      });
    await refused(
      ['--new', 'net,uts'],
      'clone3: EPERM: a new net, uts namespace needs CAP_SYS_ADMIN, which nsview lacks; add user to --new, and --map-root; or run nsview as root',
    );
    await refused(
      ['--new', 'user', '--map', '0:0:2'],
      `write /proc/CHILD/uid_map: EPERM: without CAP_SETUID one uid can be mapped and no other: nsview’s own, ${uid}; use --map-root, or --map ${uid}:INNER:1`,
    );
    needsRoot('become another user');
    await refused(
      ['--new', 'user', '--map', '65534:0:1'],
      'write /proc/CHILD/gid_map: EPERM: without CAP_SETGID one gid can be mapped and no other: nsview’s own, 100; use --map-root, which maps user and group each from its own id',
      OTHER_GROUP,
    );
    // Limits are of a user namespace: they are lowered in a new one.
    const within = [NSVIEW, 'trace', '-o', '/dev/null', ...followBy('bpf'), '--new', 'user', '--map', '0:0:70000', '--'];
    const limited = [...within, 'sh', '-c', 'echo 0 >/proc/sys/user/max_net_namespaces; "$@"', '-'];
    await refused(
      ['--new', 'user,net', '--map-root'],
      'clone3: ENOSPC: user.max_net_namespaces is 0; raise it with sysctl, as root',
      limited,
    );
    const covered = ['unshare', '-m', 'sh', '-c', 'mount -t tmpfs none /proc/sys && "$@"', '-', ...NOBODY];
    await refused(
      ['--new', 'user,mnt,pid', '--map-root', '--mount-proc'],
      'mount /proc: EPERM: in a user namespace proc can be mounted only where all of it is to be seen already, and /proc/sys covers a part of it; run nsview outside of the container, or as root without user in --new',
      covered,
    );
    // What is mounted on directories that are empty for good covers nothing; maps are left out, since they are written to /proc.
    const onlyWhere = async (change: string, because: string) =>
      refused(
        ['--new', 'user,mnt,pid', '--mount-proc'],
        `mount /proc: EPERM: in a user namespace proc can be mounted only where ${because}; run nsview outside of the container, or as root without user in --new`,
        ['unshare', '-m', 'sh', '-c', `${change} && "$@"`, '-', ...NOBODY],
      );
    const empty = existsSync('/proc/sys/fs/binfmt_misc') ? 'mount -t tmpfs none /proc/sys/fs/binfmt_misc && ' : '';
    await onlyWhere(
      `${empty}mount -t tmpfs none /proc/irq && mount -t tmpfs none /proc/sys/net`,
      'all of it is to be seen already, and /proc/irq, /proc/sys/net cover parts of it',
    );
    await onlyWhere('mount -o remount,bind,ro /proc', 'it may be written to already, and /proc is read-only');
    await onlyWhere('mount -o remount,bind,noatime /proc', 'it is mounted relatime already, and /proc is noatime');
    await onlyWhere('mount -o remount,bind,strictatime /proc', 'it is mounted relatime already, and /proc is strictatime');
    await refused(
      ['--new', 'user,mnt', '--map-root'],
      'write /proc/CHILD/uid_map: EPERM: to map user 0 of outside needs CAP_SETFCAP, which nsview lacks; map other ids, or leave the map out',
      ['setpriv', '--bounding-set=-all', '--inh-caps=-all', '--'],
    );
    await refused(
      ['--new', 'user', '--map', '1:0:1'],
      'write /proc/CHILD/gid_map: EPERM: without CAP_SETGID one gid can be mapped and no other: nsview’s own, 0; use --map-root, which maps user and group each from its own id',
      ['setpriv', '--bounding-set=-setfcap,-setgid', '--inh-caps=-all', '--'],
    );
    if (mountPoint === undefined) return;
    const path = makeCgroup(`nsview-test-${process.pid}`);
    await refused(
      ['--cgroup', path],
      `clone3: EACCES: nsview may not write cgroup.procs of ${path} and of what it has in common with nsview’s own cgroup; run it as root, or in a cgroup that was delegated to you (systemd-run --user --scope -p Delegate=yes)`,
    );
  });
});

describe('--plan', () => {
  const plan = async (...words: string[]) => {
    await using running = start(NSVIEW, ...words);
    running.release();
    return await running.ended;
  };

  it('prints the steps and takes none', async () => {
    using folder = temporaryFolder();
    const file = folder.file('ran');
    const {code, stdout, stderr} = await plan('--new', 'uts', '--hostname', 'box', '--plan', '--', 'touch', file);
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toContain(`execve("touch", ["touch", "${file}"])`);
    expect(existsSync(file)).toBe(false);
  });

  it('is what is done: strace sees the same calls in the same order', async () => {
    needsRoot('make a cgroup at the root of the hierarchy');
    using folder = temporaryFolder();
    const file = folder.file('strace');
    const path = makeCgroup(`nsview-test-${process.pid}`);
    const options = ['--new', 'user,mnt,pid,uts,time', '--map', '100000:0:65536', '--cgroup', path, '--hostname', 'box', '--mount-proc'];
    const words = ['trace', '-o', '/dev/null', ...followBy('bpf'), ...options];
    const printed = (await plan(...words, '--plan', '--', '/bin/true')).stdout;
    const calls = 'clone3,openat,write,setrlimit,prlimit64,setgroups,setresgid,setresuid,sethostname,mount,execve';
    await using traced = new Running('strace', [
      '-f',
      '-qq',
      '-s',
      '200',
      '-o',
      file,
      '-e',
      `trace=${calls}`,
      NSVIEW,
      ...words,
      '--',
      '/bin/true',
    ]);
    traced.release();
    expect((await traced.ended).code).toBe(0);
    const lines = readFileSync(file, 'utf8').split('\n');
    const child = Number(
      /^\d+ +clone3\(\{flags=.*CLONE_NEWUSER.*=> .* = (\d+)|clone3\(\{.*CLONE_NEWUSER.*\) = (\d+)/
        .exec(lines.find(line => line.includes('CLONE_NEWUSER')) ?? '')
        ?.slice(1)
        .find(Boolean),
    );
    expect(child).toBeGreaterThan(0);
    const seen: string[] = [];
    for (const line of lines) {
      // What it does itself is no step any more.
      if (seen.at(-1)?.startsWith('execve(')) break;
      const [, pid, call = ''] = /^(\d+) +(.*)$/.exec(line) ?? [];
      if (call.includes(`"${path}", O_`)) seen.push('open');
      else if (call.startsWith('clone3({flags=') && call.includes('CLONE_NEWUSER'))
        seen.push(`clone3 ${/flags=([A-Z_|]+)/.exec(call)?.[1]?.split('|').sort().join('|')}`);
      else if (/write\(\d+, "0 100000 65536"/.test(call)) seen.push('write');
      else if (Number(pid) === child && /^(prlimit64\(0|setrlimit\(RLIMIT_NOFILE), (RLIMIT_NOFILE, )?\{/.test(call)) seen.push('setrlimit');
      else if (Number(pid) === child && /^(setgroups|setresgid|setresuid|sethostname|mount|execve)\(/.test(call))
        seen.push(call.replace(/\) += .*/, ')').replace(/\)? +<unfinished.*/, ')'));
    }
    const expected = printed.split('\n').flatMap(line => {
      const call = line.slice(12);
      if (call.startsWith('open(')) return ['open'];
      if (call.startsWith('clone3(')) return [`clone3 ${/\(([A-Z_|]+)/.exec(call)?.[1]?.split('|').sort().join('|')}`];
      if (call.startsWith('write ')) return ['write'];
      if (call.startsWith('setrlimit')) return ['setrlimit'];
      return /^(setgroups|setresgid|setresuid|sethostname|mount)\(/.test(call) ? [call] : [];
    });
    expect(seen.filter(call => !call.startsWith('execve('))).toEqual(expected);
    expect(seen.filter(call => call.startsWith('execve('))).toEqual([expect.stringMatching(/^execve\("\/bin\/true", \["\/bin\/true"\]/)]);
    expect(seen.at(-1)).toContain('execve');
  });

  it('needs a cgroup v2 only for a cgroup', async () => {
    needsRoot('unmount the cgroups');
    // In a mount namespace without any.
    const before = ['-m', 'sh', '-c', 'umount -a -l -t cgroup2; "$@"', '-', NSVIEW];
    await using running = start('unshare', ...before, '--cgroup', 'x', '--plan', '--', 'true');
    running.release();
    const {code, stderr} = await running.ended;
    expect([code, stderr]).toEqual([1, expect.stringContaining('no cgroup v2 file system is mounted')]);
  });
});
