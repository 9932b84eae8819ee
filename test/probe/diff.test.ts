import {execFileSync} from 'node:child_process';
import {writeFileSync} from 'node:fs';
import {getPriority} from 'node:os';
import {describe, expect, it} from 'vitest';
import {type CompareOptions, type Comparison, compareSnapshots} from '../../src/model/comparison.ts';
import {diffText} from '../../src/out/diff-text.ts';
import {readSnapshot} from '../../src/probe/snapshot.ts';
import {leaveNothingBehind} from '../support/leaks.ts';
import {type Outcome, Running, run, start, temporaryFolder} from '../support/nsview.ts';
import {fixture, NSVIEW} from '../support/paths.ts';
import {isRoot, maker, needsRoot, ownUser} from '../support/user.ts';

leaveNothingBehind();

const FLAGS = ['--mount', '--pid', '--net', '--uts', '--ipc', '--cgroup', '--mount-proc'];

/** A program below unshare(1), when it is there: `script` runs before it, and `more` are flags beside those that all have. */
async function isolated(script = '', flags: readonly string[] = FLAGS): Promise<Running> {
  const running = new Running('unshare', [
    ...ownUser,
    '--fork',
    '--kill-child',
    ...flags,
    'sh',
    '-c',
    `${script}\necho ready; exec sleep 60`,
  ]);
  await running.says(/ready/);
  return running;
}

/** Without CAP_SYS_NICE it only goes up. */
const OTHER_NICE = getPriority() === 19 ? 7 : 19;

const pidOf = ({pid}: Running): string => String(pid);

/** As the command does it, without a program for it. */
function compared(a: Running, b: Running, options: CompareOptions = {}): string {
  const [one, other] = [a, b].map(({pid}) => readSnapshot({version: 'test', root: pid}));
  if (one === undefined || other === undefined) throw new Error('two snapshots');
  return diffText(compareSnapshots(one, other, options));
}

describe('nsview diff', () => {
  it('finds two launches of the same equal, as trees and as files', async () => {
    await using one = await isolated();
    await using other = await isolated();
    using folder = temporaryFolder();
    expect(compared(one, other)).toMatch(/^equal up to renaming of ids: 2 processes, /);
    const file = folder.file('a.json');
    writeFileSync(file, (await run('snapshot', '-p', String(one.pid), '--json')).stdout);
    expect(await run('diff', file, pidOf(other))).toMatchObject({
      code: 0,
      stderr: '',
      stdout: expect.stringMatching(/^equal up to renaming of ids: 2 processes, /),
    });
  });

  it.each([
    [
      'a flag dropped',
      '',
      FLAGS.filter(flag => flag !== '--net'),
      /^unshare \d+ \| unshare \d+: net namespace: its own in A, that of nsview in B$/m,
    ],
    ['a mount left', 'mount -t tmpfs left /mnt', FLAGS, /: tmpfs left on \/mnt: not mounted in A, mounted in B$/m],
    ['a mount with another option', 'mount -o remount,bind,ro /proc', FLAGS, /: options of \/proc: rw in A, ro in B$/m],
    ['a umask', 'umask 07', FLAGS, /: umask: 0\d+ in A, 0007 in B$/m],
    ['what the OOM killer makes of it', 'echo 500 > /proc/$$/oom_score_adj', FLAGS, /: oom_score_adj: -?\d+ in A, 500 in B$/m],
    ['a process more', 'sleep 60 & :', FLAGS, /^– \| \w+ \d+: process: missing in A, there below \w+ \d+ in B$/m],
    [
      'who may listen at low ports',
      'echo 80 > /proc/sys/net/ipv4/ip_unprivileged_port_start',
      FLAGS,
      /: net\.ipv4\.ip_unprivileged_port_start: 1024 in A, 80 in B$/m,
    ],
    ['how long a message may be', 'echo 77 > /proc/sys/kernel/msgmax', FLAGS, /: kernel\.msgmax: \d+ in A, 77 in B$/m],
  ])('tells of %s, and of nothing else', async (_, script, flags, said) => {
    await using one = await isolated();
    await using other = await isolated(script, flags);
    const told = compared(one, other);
    expect(told).toMatch(said);
    expect(told).toMatch(/^1 difference; /m);
  });

  it('tells of a user namespace in which no other one can be made', async () => {
    const flags = isRoot ? ['--user', '--map-root-user', ...FLAGS] : FLAGS;
    await using one = await isolated('', flags);
    await using watched = await isolated('echo 8 > /proc/sys/user/max_inotify_watches', flags);
    expect(compared(one, watched)).toMatch(/: user\.max_inotify_watches: \d+ in A, 8 in B\n1 difference; /);
    await using other = await isolated('echo 0 > /proc/sys/user/max_user_namespaces', flags);
    const told = compared(one, other);
    expect(told).toMatch(/: user\.max_user_namespaces: [1-9]\d* in A, 0 in B$/m);
    expect(told).toMatch(/^1 difference; /m);
  });

  it('tells of a capability that is missing', async () => {
    await using one = await isolated();
    await using other = new Running('unshare', [
      ...ownUser,
      '--fork',
      '--kill-child',
      ...FLAGS,
      'setpriv',
      '--bounding-set=-sys_admin',
      'sh',
      '-c',
      'echo ready; exec sleep 60',
    ]);
    await other.says(/ready/);
    const {code, stdout} = await run('diff', pidOf(one), pidOf(other));
    expect(stdout).toContain(': bounding capabilities: also cap_sys_admin in A, without in B\n');
    expect(code).toBe(1);
  });

  it('tells of an fd that more processes have, and of where one leads', async () => {
    const besides = async (script: string): Promise<Running> => {
      const running = new Running(
        'unshare',
        [...ownUser, '--fork', '--kill-child', ...FLAGS, 'sh', '-c', `${script}\necho ready; exec sleep 60`],
        {
          stdio: ['pipe', 'pipe', 'pipe', 'pipe'],
        },
      );
      await running.says(/ready/);
      return running;
    };
    await using one = await besides('');
    await using other = await besides('exec 3<&-');
    await using another = await besides('exec 3</proc/self/status');
    expect(compared(one, other)).toMatch(
      /^\w+ \d+ \| \w+ \d+: socket to outside of the tree shared with unshare \d+: open for both in A, not open in B\n1 difference; /,
    );
    expect(compared(other, another)).toMatch(
      /^\w+ \d+ \| \w+ \d+: \/proc\/\d+\/status.*: not open in A, open for reading in B\n1 difference; /,
    );
    expect(compared(one, one)).toMatch(/^equal /);
  });

  it.each([
    ['hostname x', /: host name: \S+ in A, x in B$/m],
    ['mount --make-shared /proc', /: propagation of \/proc: private in A, shared with group \d+ in B$/m],
    ['mount --bind /usr/bin /mnt', /: \w+ .*\(\/usr\/bin of it\) on \/mnt: not mounted in A, mounted in B$/m],
    ['cd /usr', /: cwd: \/.* in A, \/usr in B$/m],
    ['ip link add one type veth peer name other', /: interfaces: no more in A, \w+ veth down mtu 1500 leads back here; \w+ veth .* in B$/m],
    ['echo 1 >/proc/sys/net/ipv4/ip_forward', /: forwarding between interfaces: off in A, all: ipv4 forwarding 1 in B$/m],
    ['echo 1 >/proc/sys/net/ipv4/conf/lo/forwarding', /: interfaces: lo loopback .* in A, lo loopback .* ipv4 forwarding 1 in B$/m],
    ['echo 1 >/proc/sys/net/ipv6/conf/lo/proxy_ndp', /: interfaces: lo loopback .* in A, lo loopback .* ipv6 proxy_ndp 1 in B$/m],
    ['echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6', /: net\.ipv6\.conf\.all\.disable_ipv6: 0 in A, 1 in B$/m],
    ['echo 1 >/proc/sys/net/ipv6/conf/lo/disable_ipv6', /: net\.ipv6\.conf\.lo\.disable_ipv6: 0 in A, 1 in B$/m],
    ['echo 1 >/proc/sys/net/ipv4/conf/lo/route_localnet', /: net\.ipv4\.conf\.lo\.route_localnet: 0 in A, 1 in B$/m],
    ['echo 2 >/proc/sys/net/ipv4/conf/default/arp_ignore', /: net\.ipv4\.conf\.default\.arp_ignore: 0 in A, 2 in B$/m],
    ['echo 0 >/proc/sys/net/ipv4/tcp_syncookies', /: net\.ipv4\.tcp_syncookies: 1 in A, 0 in B$/m],
    ['echo 10 10 >/proc/sys/net/ipv4/ping_group_range', /: net\.ipv4\.ping_group_range: 1 0 in A, 10 10 in B$/m],
    [
      `renice ${OTHER_NICE} $$ >/dev/null`,
      new RegExp(`: scheduling: SCHED_OTHER nice \\d+ in A, SCHED_OTHER nice ${OTHER_NICE} in B$`, 'm'),
    ],
    ['echo 70000 >/proc/$$/timerslack_ns', /: timer slack: \d+ in A, 70000 in B$/m],
    ['echo 0x3f >/proc/$$/coredump_filter', /: coredump_filter: 000000\w\w in A, 0000003f in B$/m],
    ['exec setarch -R sh -c "echo ready; exec sleep 60"', /: personality: 00000000 in A, 00040000 in B$/m],
    ['ulimit -n 100', /: limits: open files \d+ \d+ in A, open files 100 100 in B$/m],
    ['echo 1000 >/proc/sys/kernel/ns_last_pid', null],
  ])('tells of %s', async (script, said) => {
    await using one = await isolated();
    await using other = await isolated(script);
    const told = compared(one, other);
    if (said === null) expect(told).toMatch(/^equal /);
    else {
      expect(told).toMatch(said);
      expect(told).toMatch(/^1 difference; /m);
    }
  });

  it('tells of a socket that listens elsewhere, and not of which port the kernel gave', async () => {
    const listens = async (port: number, host: string): Promise<Running> => {
      const script = `require('node:net').createServer().listen(${port}, '${host}', () => console.log('ready'))`;
      const running = new Running('unshare', [
        ...ownUser,
        '--fork',
        '--kill-child',
        ...FLAGS,
        'sh',
        '-c',
        `ip link set lo up; exec "$0" -e "$1"`,
        process.execPath,
        script,
      ]);
      await running.says(/ready/);
      return running;
    };
    await using one = await listens(8080, '127.0.0.1');
    await using again = await listens(8080, '127.0.0.1');
    await using everywhere = await listens(8080, '0.0.0.0');
    await using given = await listens(0, '127.0.0.1');
    await using other = await listens(0, '127.0.0.1');
    expect(compared(one, again)).toMatch(/^equal /);
    expect(compared(one, everywhere)).toMatch(/: listening sockets: tcp 127\.0\.0\.1:8080 in A, tcp 0\.0\.0\.0:8080 in B\n1 difference; /);
    expect(compared(one, given)).toMatch(/: listening sockets: .*:8080 in A, tcp 127\.0\.0\.1:\(ephemeral\) in B\n1 difference; /);
    expect(compared(given, other)).toMatch(/^equal /);
  });

  it('does not tell of another name of a file that has been unlinked, and tells of another folder', async () => {
    const unlinks = (folder: string) => isolated(`file=$(mktemp ${folder}/XXXXXXXXXX); exec 7<>$file; rm $file; sleep 60 7<&- &`);
    await using one = await unlinks('/tmp');
    await using again = await unlinks('/tmp');
    await using other = await unlinks('/dev/shm');
    expect(compared(one, again)).toMatch(/^equal /);
    expect(compared(one, other)).toContain(': an unlinked file of /tmp: open for both in A, not open in B\n');
  });

  it('tells of the name of a unix socket, and of an address in the network namespace of nsview', async () => {
    const listens = async (where: string): Promise<Running> => {
      const script = `require('node:net').createServer().listen(${where}, () => console.log('ready'))`;
      const running = new Running('unshare', [...ownUser, '--fork', '--kill-child', process.execPath, '-e', script]);
      await running.says(/ready/);
      return running;
    };
    using folder = temporaryFolder();
    const file = folder.file('socket');
    // Two cannot listen at one name in one network namespace: each has the pid of its process in it.
    await using one = await listens("'\\0nsview-test-' + process.pid");
    await using again = await listens("'\\0nsview-test-' + process.pid");
    await using other = await listens("'\\0nsview-other-' + process.pid");
    await using named = await listens(`'${file}'`);
    await using port = await listens('18471');
    await using local = await listens("18472, '127.0.0.1'");
    expect(compared(one, again)).toMatch(/^equal /);
    const bound = (a: string, b: string) => new RegExp(`: socket is bound to: ${a} in A, ${b} in B\n1 difference; `);
    expect(compared(one, other)).toMatch(bound('unix stream @nsview-test-\\d+', 'unix stream @nsview-other-\\d+'));
    expect(compared(one, named)).toMatch(bound('unix stream @nsview-test-\\d+', `unix stream ${file}`));
    expect(compared(port, local)).toMatch(bound('tcp6 \\[::\\]:18471', 'tcp 127\\.0\\.0\\.1:18472'));
  });

  it('tells of a socket of all addresses of IPv6 that has not those of IPv4', async context => {
    await using one = start(fixture('listens-both-ways'));
    await using other = start(fixture('listens-both-ways'), 'swapped');
    for (const each of [one, other]) await each.says(/ready/);
    const told = compared(one, other);
    context.skip(told.startsWith('equal'), 'kernel lacks inet_diag');
    expect(told).toMatch(
      /: listening sockets: tcp6 \[::\]:4710; tcp6 \[::\]:4711 IPv6 only; .* in A, tcp6 \[::\]:4710 IPv6 only; tcp6 \[::\]:4711; .* in B\n1 difference; /,
    );
    for (const each of [one, other]) each.release();
    await Promise.all([one.ended, other.ended]);
  });

  it('tells of a socket that is of another network namespace than its process', async () => {
    using folder = temporaryFolder();
    await using inside = start(...maker(fixture('holds-outside'), folder.path, 'socket-inside'));
    await using again = start(...maker(fixture('holds-outside'), folder.path, 'socket-inside'));
    await using left = start(...maker(fixture('holds-outside'), folder.path, 'socket'));
    for (const each of [inside, again, left]) await each.says(/ready/);
    expect(compared(inside, again)).toMatch(/^equal up to renaming of ids/);
    expect(compared(inside, left)).toMatch(/: socket of net namespace outside of the tree: not open in A, open for both 2 times in B$/m);
  });

  it('tells of a root directory that is that of another mount namespace, by the same path', async () => {
    using folder = temporaryFolder();
    await using one = start(...maker(fixture('holds-outside'), folder.path, 'mounts', 'directory', 'cwd'));
    await using other = start(...maker(fixture('holds-outside'), folder.path, 'mounts', 'directory', 'cwd', 'root'));
    for (const each of [one, other]) await each.says(/ready/);
    expect(compared(one, other)).toMatch(/: where its root lies: within its root and mounts in A, outside of its mounts in B$/m);
  });

  it.each([
    ['a directory', 'cd /mnt', /: where its cwd lies, \/mnt: on \S.* on \/ in A, on tmpfs over on \/mnt in B$/m],
    ['an fd', 'exec 5</mnt', /: what is open for reading: \/mnt on \S.* on \/ in A, \/mnt on tmpfs over on \/mnt in B$/m],
  ])('tells of %s on another mount by the same path', async (_, goes, said) => {
    const over = 'mount -t tmpfs over /mnt';
    await using under = await isolated(`${goes}\n${over}`);
    await using again = await isolated(`${goes}\n${over}`);
    await using upon = await isolated(`${over}\n${goes}`);
    expect(compared(under, again)).toMatch(/^equal /);
    const told = compared(under, upon);
    expect(told).toMatch(said);
    expect(told).toMatch(/^1 difference; /m);
  });

  it('says that securebits are not compared, and programs of seccomp filters where there are any', async () => {
    await using one = await isolated();
    const told = compared(one, one);
    expect(told).toMatch(/^not compared: .*securebits, which the kernel tells to the thread itself alone/m);
    expect(told).toMatch(/^not compared: .*Landlock rules and keyrings, which the kernel does not tell of others/m);
    expect(told).not.toContain('seccomp');
    const forbidding = (call: string): Running =>
      new Running(fixture('forbids-call'), [call, '/bin/sh', '-c', 'echo ready; exec sleep 60']);
    await using mount = forbidding('mount');
    await using setsid = forbidding('setsid');
    for (const each of [mount, setsid]) await each.says(/ready/);
    expect(compared(mount, setsid)).toMatch(/^equal .*\nnot compared: .*programs of seccomp filters, only their number/);
  });

  it.each(['files', 'fs', 'vm', 'io'])('tells of %s that a child shares with its parent, and another does not', async kind => {
    const shares = async (...flags: readonly string[]): Promise<Running> => {
      const running = start(fixture('shares-by-clone'), ...flags);
      await running.says(/\n/);
      return running;
    };
    const [one, again, other] = [await shares(kind), await shares(kind), await shares()];
    const told = [compared(one, again), compared(one, other)];
    // It ends its children where its input ends.
    for (const each of [one, again, other]) each.release();
    await Promise.all([one, again, other].map(each => each.ended));
    expect(told[0]).toMatch(/^equal /);
    expect(told[1]).toMatch(/^shares-by-clone \d+ \| shares-by-clone \d+: .*: shared with its parent in A, its own in B\n1 difference; /);
  });

  it.each([
    ['memfd', 'memfd:common'],
    ['anonymous', 'anonymous memory'],
    ['segment', 'System V segment without a key'],
  ])('tells of shared memory that is another, or that not all may write: %s', async (kind, name) => {
    const shares = async (how: string): Promise<{running: Running; child: Running['pid']}> => {
      const running = start(fixture('shares-memory'), kind, how);
      const [, child = ''] = await running.says(/child (\d+)\nready/);
      return {running, child: Number(child)};
    };
    const [one, again, own, reads] = [await shares('shared'), await shares('shared'), await shares('own'), await shares('read')];
    const diff = (a: number, b: number): string => {
      const [x, y] = [a, b].map(root => readSnapshot({version: 'test', root}));
      return x === undefined || y === undefined ? '' : diffText(compareSnapshots(x, y));
    };
    const trees = [again, own, reads].map(({running}) => diff(one.running.pid, running.pid));
    const children = [again, own].map(({child}) => diff(one.child, child));
    const all = [one, again, own, reads];
    for (const {running} of all) running.release();
    await Promise.all(all.map(({running}) => running.ended));
    const both = 'shares-memory \\d+ writes, shares-memory \\d+ writes';
    expect(trees[0]).toMatch(/^equal /);
    expect(trees[1]).toMatch(new RegExp(`: shared memory, ${name}: ${both} in A, not shared in B\n1 difference; `));
    expect(trees[2]).toMatch(new RegExp(`: shared memory, ${name}: ${both} in A, .* writes, .* reads in B\n1 difference; `));
    expect(children[0]).toMatch(/^equal /);
    expect(children[1]).toMatch(
      new RegExp(`: shared memory, ${name}: others outside of the tree writes, .* writes in A, not shared in B\n1 difference; `),
    );
  });

  it('tells what has changed since a file was written', async () => {
    await using running = await isolated();
    const before = readSnapshot({version: 'test', root: running.pid});
    const child = before.processes.find(({ppid}) => ppid === running.pid)?.pid ?? 0;
    execFileSync('nsenter', [
      '-t',
      String(child),
      ...(isRoot ? [] : ['--user', '--preserve-credentials']),
      '--mount',
      'mount',
      '-t',
      'tmpfs',
      'later',
      '/mnt',
    ]);
    const after = readSnapshot({version: 'test', root: running.pid});
    const {equal, differences} = compareSnapshots(before, after);
    expect(equal).toBe(false);
    expect(differences).toEqual([
      expect.objectContaining({kind: 'mount', what: 'tmpfs later on /mnt', inA: 'not mounted', inB: 'mounted'}),
    ]);
  });

  it('compares a thread that is not like its process', async () => {
    const [one, other] = [start(...maker(fixture('thread-unshares-net'))), start(...maker(fixture('thread-unshares-net')))];
    for (const each of [one, other]) await each.says(/ready/);
    const [a, b] = [one, other].map(({pid}) => readSnapshot({version: 'test', root: pid}));
    for (const each of [one, other]) each.release();
    await Promise.all([one, other].map(each => each.ended));
    if (a === undefined || b === undefined) throw new Error('two snapshots');
    expect(diffText(compareSnapshots(a, b))).toMatch(/^equal up to renaming of ids: 1 process, 1 thread, /);
    const alike = {...b, processes: b.processes.map(process => ({...process, threads: []}))};
    expect(diffText(compareSnapshots(a, alike))).toMatch(
      /^alone \d+ of \d+ \| –: thread: there below \S+ \d+ in A, missing in B\n1 difference; /,
    );
  });

  it('compares what a thread has open in a file table of its own', async () => {
    needsRoot('chroot');
    using folder = temporaryFolder();
    await using one = start(fixture('thread-apart'), folder.path);
    await using other = start(fixture('thread-apart'), folder.path, '/dev/zero');
    const tid = Number((await other.says(/tid (\d+)/))[1]);
    for (const each of [one, other]) await each.says(/ready/);
    const told = await run('diff', String(one.pid), String(other.pid));
    expect(told.stdout.split('\n').filter(line => !line.startsWith('not compared'))).toEqual([
      expect.stringMatching(
        new RegExp(`^apart \\d+ of ${one.pid} \\| apart ${tid} of ${other.pid}: /dev/zero: not open in A, open for reading in B$`),
      ),
      expect.stringMatching(/^1 difference; 1 process, 1 thread, /),
      '',
    ]);
    expect([told.code, told.stderr]).toEqual([1, '']);
  });

  it('says of what an ordinary user may not see that it was not compared, and tells refusals of one side only', async () => {
    needsRoot('become another user');
    await using one = await isolated();
    await using other = await isolated();
    const nobody = ['--reuid=65534', '--regid=65534', '--clear-groups', '--inh-caps=-all', '--bounding-set=-all', NSVIEW];
    const asNobody = async (...args: readonly string[]): Promise<Outcome> => {
      await using running = new Running('setpriv', [...nobody, ...args], {cwd: '/'});
      return await running.ended;
    };
    const blind = await asNobody('diff', pidOf(one), pidOf(other));
    expect(blind).toMatchObject({code: 0, stderr: ''});
    expect(blind.stdout).toMatch(/^equal up to renaming of ids: .*\nnot compared: .*mnt namespace: readlink: EACCES/);
    using folder = temporaryFolder();
    const [file, seen] = [folder.file('blind.json'), folder.file('seen.json')];
    writeFileSync(file, (await asNobody('snapshot', '-p', pidOf(one), '--json')).stdout);
    writeFileSync(seen, (await run('snapshot', '-p', pidOf(other), '--json')).stdout);
    const half = await run('diff', '--json', file, seen);
    expect(half).toMatchObject({code: 1, stderr: ''});
    const {equal, differences} = JSON.parse(half.stdout) as Comparison;
    expect(equal).toBe(false);
    expect(differences.find(({what}) => what === 'mnt namespace')).toMatchObject({inA: 'readlink: EACCES', inB: 'its own', refused: true});
  });

  it('exits with 2 where there is nothing to compare', async () => {
    using folder = temporaryFolder();
    const file = folder.file('no.json');
    writeFileSync(file, '{"format": "nsview/snapshot"}');
    expect(await run('diff', file, file)).toMatchObject({code: 2, stderr: expect.stringContaining('is no snapshot')});
    expect(await run('diff', folder.file('none'), file)).toMatchObject({code: 2, stderr: expect.stringContaining('ENOENT')});
    expect(await run('diff', '4194304', file)).toMatchObject({code: 2, stderr: expect.stringContaining('no process has pid 4194304')});
    expect(await run('diff', file)).toMatchObject({code: 2, stderr: expect.stringContaining('two trees')});
  });
});
