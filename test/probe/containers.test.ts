import {execFileSync} from 'node:child_process';
import {
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import {dirname, join} from 'node:path';
import {describe, expect, it} from 'vitest';
import {isRefusal, type SnapshotContainer} from '../../src/model/fact.ts';
import {containersShape, readContainers} from '../../src/probe/containers.ts';
import {readNumbers} from '../../src/probe/proc-file.ts';
import {readStat} from '../../src/probe/process.ts';
import {holding, readContainersOf as read} from '../support/containers.ts';
import {leaveNothingBehind} from '../support/leaks.ts';
import {Running, start, temporaryFolder} from '../support/nsview.ts';
import {fixture} from '../support/paths.ts';
import {patient} from '../support/patience.ts';
import {isRoot, maker, needsRoot, ownUser} from '../support/user.ts';

leaveNothingBehind();

/** What is said of it, without what only this run knows. */
const said = ({evidence}: SnapshotContainer) => evidence.map(({by, says}) => `${by}: ${says.replaceAll(/\d+/g, 'N')}`);

/** Those that any of its threads made: a program in Go forks from whichever. */
const childrenOf = (pid: number): number[] =>
  readdirSync(`/proc/${pid}/task`).flatMap(tid =>
    readFileSync(`/proc/${pid}/task/${tid}/children`, 'utf8')
      .split(' ')
      .filter(word => word !== '')
      .map(Number),
  );

/** The first process below it that runs busybox; or it itself, where it is to become that. */
async function busyboxBelow(running: Running, itself = false): Promise<number> {
  const {pid} = running;
  const limit = Date.now() + patient(10_000);
  for (;;) {
    const below = [pid];
    for (const one of below)
      try {
        below.push(...childrenOf(one));
        if ((itself || one !== pid) && readFileSync(`/proc/${one}/cmdline`, 'utf8').startsWith('/bin/busybox\0sleep')) return one;
      } catch {
        // Ended meanwhile.
      }
    if (Date.now() > limit) throw new Error(`no busybox below ${pid}: ${running.stdout} ${running.stderr}`);
    await new Promise(resolve => setTimeout(resolve, 20));
  }
}

/** The busybox that a program runs that is not below it: conmon's, which has left podman's tree. */
async function busyboxWithin(): Promise<number> {
  for (const limit = Date.now() + patient(15_000); Date.now() < limit; await new Promise(resolve => setTimeout(resolve, 50)))
    for (const pid of readNumbers('/proc') as number[])
      try {
        if (!readFileSync(`/proc/${pid}/cmdline`, 'utf8').startsWith('/bin/busybox\0sleep')) continue;
        const above = readStat(pid);
        if (!isRefusal(above) && readFileSync(`/proc/${above.ppid}/comm`, 'utf8') === 'conmon\n') return pid;
      } catch {
        // Ended meanwhile.
      }
  throw new Error('conmon never had a busybox');
}

/** A root file system of one program; gone at the end. */
function root(): Disposable & {path: string; at: (name: string) => string} {
  const folder = temporaryFolder();
  for (const name of ['bin', 'usr/bin', 'etc', 'proc', 'sys', 'dev', 'run', 'tmp', 'var/lib'])
    mkdirSync(join(folder.path, 'rootfs', name), {recursive: true});
  const busybox = ['/usr/bin/busybox', '/bin/busybox'].find(path => existsSync(path));
  copyFileSync(busybox ?? 'busybox', join(folder.path, 'rootfs/bin/busybox'));
  writeFileSync(join(folder.path, 'rootfs/etc/os-release'), '');
  return {path: folder.path, at: name => join(folder.path, name), [Symbol.dispose]: () => folder[Symbol.dispose]()};
}

const SLEEP = ['/bin/busybox', 'sleep', '60'];

/** An OCI bundle (runtime-spec, config.md). */
function bundle(path: string): void {
  const config = {
    ociVersion: '1.0.2',
    process: {terminal: false, user: {uid: 0, gid: 0}, args: SLEEP, cwd: '/'},
    root: {path: 'rootfs'},
    mounts: [{destination: '/proc', type: 'proc', source: 'proc'}],
    linux: {namespaces: ['pid', 'mount', 'ipc', 'uts', 'network'].map(type => ({type}))},
  };
  writeFileSync(join(path, 'config.json'), JSON.stringify(config));
}

const put = (base: string, path: string, content: unknown): string => {
  const file = join(base, path);
  mkdirSync(dirname(file), {recursive: true});
  writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content));
  return file;
};

/**
 * crun takes no hierarchy of v1 and v2 together, unless it sees v2 alone. A mount without the options that it has takes them from the whole
 * machine (apply_cgroup_root_flags(), kernel/cgroup/cgroup.c).
 */
const V2_ALONE =
  'options=$(findmnt -rnt cgroup2 -o FS-OPTIONS | head -n1); umount -R /sys/fs/cgroup; mount -t cgroup2 -o "$options" none /sys/fs/cgroup; exec "$@"';

describe('containers that were started by', () => {
  it.each([
    ['runc', 'runc', [], 'state.json'],
    ['crun', 'crun', ['--cgroup-manager=disabled'], 'status'],
  ] as const)('%s', async (runtime, program, options, file) => {
    needsRoot('run a container without user namespaces');
    using folder = root();
    bundle(folder.path);
    const state = folder.at(`run/${runtime}`);
    mkdirSync(state, {recursive: true});
    const id = `nsview-test-${process.pid}`;
    const common = [...options, '--root', state];
    const command = [program, ...common, 'run', '-b', folder.path, id];
    await using running =
      runtime === 'crun' ? new Running('unshare', ['-m', 'sh', '-c', V2_ALONE, 'sh', ...command]) : start(program, ...command.slice(1));
    try {
      const init = await busyboxBelow(running);
      const [found, ...others] = holding(read(folder.path), init);
      expect(others).toEqual([]);
      expect(found).toMatchObject({runtime, id, name: null, missing: null, processes: [init]});
      if (found === undefined) return;
      expect(said(found)).toContain(`runtime: /run/${runtime}/nsview-test-N/${file}: init is N, and it started when that says`);
      expect(said(found)).toContain('kernel: its pid namespace, where N is init');
      if (runtime === 'runc') {
        expect(said(found)[0]).toMatch(/^kernel: its cgroup \S*\/nsview-test-N, which is that of init N$/);
        // What is executed in it later has another maker.
        await using second = start(program, ...common, 'exec', id, ...SLEEP);
        const executed = await busyboxBelow(second);
        expect(holding(read(folder.path), executed)).toMatchObject([{runtime, id, processes: [init, executed].sort((a, b) => a - b)}]);
        process.kill(executed, 'SIGKILL');
        await second.ended;
      }
      // Without the files nothing names it: its cgroup says no runtime's name.
      expect(holding(read(folder.at('rootfs')), init)).toEqual([]);
      process.kill(init, 'SIGKILL');
      await running.ended;
    } finally {
      execFileSync(program, [...common, 'delete', '-f', id], {stdio: 'ignore'});
    }
  });

  it('bubblewrap, and a sandbox within a sandbox', async () => {
    using folder = root();
    const inner = ['bwrap', '--bind', folder.at('rootfs'), '/', '--unshare-pid', '--proc', '/proc', ...SLEEP];
    await using running = start('bwrap', '--bind', '/', '/', '--unshare-ipc', '--proc', '/proc', ...inner);
    const pid = await busyboxBelow(running);
    const all = read(folder.path).filter(({runtime}) => runtime === 'bubblewrap');
    const [outer] = all.filter(({id}) => id === String(running.pid));
    expect(outer?.evidence).toMatchObject([{by: 'kernel', says: expect.stringMatching(/bwrap; it is in another (user, )?mnt namespace$/)}]);
    const [within] = holding(all, pid);
    expect(within?.id).toBe(String(childrenOf(running.pid)[0]));
    expect(within?.evidence).toMatchObject([
      {by: 'kernel', says: expect.stringMatching(/bwrap; it is in another (user, )?mnt, pid namespace$/)},
    ]);
    process.kill(running.pid, 'SIGTERM');
    process.kill(pid, 'SIGKILL');
    await running.ended;
  });

  it('podman, by what minds the container, and by the file that it puts inside', async context => {
    context.skip(!existsSync('/usr/bin/podman'), 'podman is not installed');
    needsRoot('mount a cgroup v2 alone, as podman wants it here');
    using folder = root();
    const name = `nsview-test-${process.pid}`;
    const podman = [
      'podman',
      '--root',
      folder.at('root'),
      '--runroot',
      folder.at('runroot'),
      '--tmpdir',
      folder.at('libpod'),
      '--storage-driver',
      'vfs',
    ];
    const limits = ['--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=1024:1024', '--network', 'none', '--cgroups=disabled'];
    const command = [...podman, 'run', ...limits, '--privileged', '--name', name, '--rootfs', folder.at('rootfs'), ...SLEEP];
    await using running = new Running('unshare', ['-m', 'sh', '-c', V2_ALONE, 'sh', ...command]);
    const init = await busyboxWithin();
    const [found, ...others] = holding(read(folder.path), init);
    expect(others).toEqual([]);
    expect(found).toMatchObject({runtime: 'podman', id: expect.stringMatching(/^[0-9a-f]{64}$/), name, processes: [init]});
    if (found === undefined) return;
    expect(found.evidence).toEqual([
      {by: 'kernel', says: expect.stringMatching(new RegExp(`^\\d+, which minds it, is /\\S+/conmon -c ${found.id} -n ${name}$`))},
      {by: 'itself', says: `/run/.containerenv says podman ${name} ${found.id}`},
    ]);
    process.kill(init, 'SIGKILL');
    await running.ended;
  });

  it('docker, flatpak, podman and systemd-nspawn where only what is inside says so, and is said to be its own word', async () => {
    using folder = root();
    const inside = (files: {readonly [path: string]: string}, ...environment: string[]) => {
      const script = [
        `mount --bind ${folder.at('rootfs')} ${folder.at('rootfs')} && mount -t tmpfs none ${folder.at('rootfs/run')} && mkdir -p ${folder.at('rootfs/run/host')}`,
        ...Object.entries(files).map(([path, text]) => `printf '${text}' > ${folder.at(`rootfs${path}`)}`),
        `exec env ${environment.join(' ')} chroot ${folder.at('rootfs')} ${SLEEP.join(' ')}`,
      ].join(' && ');
      return start('unshare', ...ownUser, '--kill-child', '-mpf', 'sh', '-c', script);
    };
    const files = {
      '/run/.containerenv': `engine="podman-5"\nname="web"\nid="${'a1'.repeat(32)}"\n`,
      '/run/host/container-manager': 'systemd-nspawn\n',
    };
    await using running = inside(files, 'container=podman');
    const pid = await busyboxBelow(running);
    const [found, ...others] = holding(read(folder.path), pid);
    expect(others).toEqual([]);
    expect(found).toMatchObject({runtime: 'podman', name: 'web', missing: 'Only what is inside says so: it may have made that up.'});
    expect(found?.evidence).toEqual([
      {by: 'itself', says: `/run/.containerenv says podman web ${'a1'.repeat(32)}`},
      {by: 'itself', says: '/run/host/container-manager says systemd-nspawn'},
      {by: 'itself', says: `the environment of ${pid} says podman`},
    ]);
    process.kill(pid, 'SIGKILL');
    await running.ended;

    await using second = inside({'/.dockerenv': ''});
    const docker = await busyboxBelow(second);
    expect(holding(read(folder.path), docker)).toMatchObject([
      {runtime: 'docker', name: null, evidence: [{by: 'itself', says: '/.dockerenv says docker'}]},
    ]);
    // A mount namespace within, of the same root: the same container.
    await using within = start(
      'nsenter',
      '-t',
      String(docker),
      ...(isRoot ? [] : ['-U', '--preserve-credentials']),
      '-m',
      '-r',
      '/bin/busybox',
      'unshare',
      '-m',
      ...SLEEP,
    );
    const deeper = await busyboxBelow(within, true);
    expect(holding(read(folder.path), deeper).map(({runtime}) => runtime)).toEqual(['docker']);
    process.kill(docker, 'SIGKILL');
    await second.ended;
  });

  it('flatpak’s own way: bwrap with a file inside', async () => {
    using folder = root();
    const info = put(folder.path, 'info', '[Application]\nname=org.example.Maps\nruntime=x\n\n[Instance]\ninstance-id=4711\n');
    const command = `exec bwrap --die-with-parent --bind ${folder.at('rootfs')} / --unshare-pid --proc /proc --file 9 /.flatpak-info ${SLEEP.join(' ')} 9<${info}`;
    await using running = start('sh', '-c', command);
    const pid = await busyboxBelow(running);
    const [found] = holding(read(folder.path), pid);
    // The kernel says that bwrap made it; that it is flatpak’s is its own word.
    expect(found).toMatchObject({runtime: 'bubblewrap', name: null});
    expect(found?.evidence).toMatchObject([
      {by: 'kernel', says: expect.stringContaining('bwrap; it is in another')},
      {by: 'itself', says: '/.flatpak-info says flatpak org.example.Maps 4711'},
    ]);
    process.kill(pid, 'SIGKILL');
    await running.ended;
  });

  it('chromium, as its sandbox begins: the same program in namespaces of its own, a zygote and what that makes', async () => {
    using folder = root();
    await using running = start(fixture('zygote'));
    const zygote = Number((await running.says(/zygote (\d+)\nready/))[1]);
    const named = (pid: number, type: string, namespaces: string) => [
      {
        runtime: 'chromium',
        id: String(pid),
        name: `${type} ${pid}`,
        evidence: [
          {by: 'kernel', says: expect.stringMatching(new RegExp(`it is in another ${namespaces} namespace, with --type=${type}$`))},
        ],
      },
    ];
    await expect.poll(() => holding(read(folder.path), zygote)).toMatchObject(named(zygote, 'zygote', 'user, pid, net'));
    await expect.poll(() => childrenOf(zygote)).toHaveLength(1);
    const [renderer = 0] = childrenOf(zygote);
    await expect.poll(() => holding(read(folder.path), renderer)).toMatchObject(named(renderer, 'renderer', 'pid'));
    expect(holding(read(folder.path), running.pid)).toEqual([]);
    running.release();
    await running.ended;
  });

  it('nobody where a link, a fifo, a device or a long file stands for what is looked for', async () => {
    using folder = root();
    const at = (path: string) => folder.at(`rootfs${path}`);
    writeFileSync(folder.at('outside'), 'systemd-nspawn\n');
    mkdirSync(at('/run/host'), {recursive: true});
    symlinkSync('../../../outside', at('/run/host/container-manager'));
    execFileSync('mkfifo', [at('/run/.containerenv')]);
    // mknod(2): a user may make no device.
    if (isRoot) execFileSync('mknod', [at('/.dockerenv'), 'c', '1', '3']);
    writeFileSync(at('/.flatpak-info'), `[Application]\nname=a\n${'x'.repeat(1 << 20)}`);
    await using running = start(
      'unshare',
      ...ownUser,
      '--kill-child',
      '-mpf',
      'sh',
      '-c',
      `mount --bind ${at('')} ${at('')} && exec chroot ${at('')} ${SLEEP.join(' ')}`,
    );
    const pid = await busyboxBelow(running);
    expect(holding(read(folder.path), pid)).toEqual([]);
    process.kill(pid, 'SIGKILL');
    await running.ended;
  });

  // firejail(1) makes no sandbox where it sees no kernel threads: it takes itself to be in one already.
  const seesKernel = existsSync('/proc/2/comm') && readFileSync('/proc/2/comm', 'utf8') === 'kthreadd\n';
  it('firejail, with the name that it was given', async context => {
    if (!seesKernel) return context.skip('firejail makes no sandbox where it sees no kernel threads');
    needsRoot('keep firejail’s own mounts to a namespace of the test');
    using folder = temporaryFolder();
    // What it mounts when it is first used on a machine stays: here in a namespace that ends with it.
    const firejail = ['unshare', '-m', 'firejail', '--quiet'] as const;
    await using running = start(...firejail, '--noprofile', `--name=nsview-test-${process.pid}`, 'sleep', '60');
    await expect
      .poll(() => holding(read(''), childrenOf(running.pid)[0] ?? 0), {timeout: patient(10_000)})
      .toMatchObject([{runtime: 'firejail', name: `nsview-test-${process.pid}`, id: String(running.pid), missing: null}]);
    // Its program and the namespaces say it too, without a name.
    const [found] = holding(read(folder.path), childrenOf(running.pid)[0] ?? 0);
    expect(found).toMatchObject({runtime: 'firejail', name: null, evidence: [{by: 'kernel'}]});
    expect(found?.missing).toContain('/run/firejail/sandbox');
    const [unshare, ...rest] = firejail;
    execFileSync(unshare, [...rest, `--shutdown=${running.pid}`], {stdio: 'ignore'});
    await running.ended;
  });

  it('lxc, by its cgroup', async () => {
    needsRoot('make a cgroup at the root of the hierarchy');
    using folder = root();
    const name = `nsview-test-${process.pid}`;
    const config = put(
      folder.path,
      'config',
      `lxc.uts.name = ${name}\nlxc.rootfs.path = dir:${folder.at('rootfs')}\nlxc.net.0.type = empty\nlxc.init.cmd = ${SLEEP.join(' ')}\nlxc.apparmor.profile = unconfined\n`,
    );
    await using running = start('lxc-start', '-F', '-n', name, '-f', config);
    const init = await busyboxBelow(running);
    const [found] = holding(read(folder.path), init);
    expect(found).toMatchObject({runtime: 'lxc', id: name, processes: [init]});
    expect(found === undefined ? [] : said(found)).toEqual([
      'kernel: its cgroup /lxc.payload.nsview-test-N',
      'itself: the environment of N says lxc',
    ]);
    expect(found?.missing).toContain('nothing of it that nsview can read: /var/lib/lxc');
    put(folder.path, `var/lib/lxc/${name}/config`, '');
    expect(holding(read(folder.path), init)).toMatchObject([{runtime: 'lxc', id: name, missing: null}]);
    process.kill(init, 'SIGKILL');
    await running.ended;
    // Where its monitor goes at the end, and which it leaves.
    execFileSync('sh', ['-c', 'find /sys/fs/cgroup -depth -type d -name "lxc.pivot*" -exec rmdir {} + 2>/dev/null; true']);
  });

  it('systemd-nspawn', async () => {
    needsRoot('run systemd-nspawn');
    using folder = root();
    const name = `nsview-test-${process.pid}`;
    const options = ['--quiet', '--register=no', '--keep-unit', '-D', folder.at('rootfs'), '-M', name];
    await using running = start('unshare', '-m', 'systemd-nspawn', ...options, ...SLEEP);
    const pid = await busyboxBelow(running);
    const [found] = holding(read(folder.path), pid);
    expect(found).toMatchObject({
      runtime: 'systemd-nspawn',
      id: name,
      evidence: [
        {by: 'kernel'},
        {by: 'itself', says: '/run/host/container-manager says systemd-nspawn'},
        {by: 'itself', says: `the environment of ${pid} says systemd-nspawn`},
      ],
    });
    // As systemd-machined writes it.
    put(folder.path, `run/systemd/machines/${name}`, `NAME=${name}\nSERVICE=systemd-nspawn\nLEADER=${pid}\nCLASS=container\n`);
    expect(holding(read(folder.path), pid)).toMatchObject([{runtime: 'systemd-nspawn', id: name, missing: null}]);
    process.kill(pid, 'SIGKILL');
    await running.ended;
  });
});

/** A cgroup that is made for the test, and whatever lay above it that was not there. */
function cgroup(path: string): Disposable & {path: string} {
  const mount = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map(line => line.split(' '))
    .find(([, , type, options = '']) => type === 'cgroup2' || (type === 'cgroup' && options.split(',').includes('pids')))?.[1];
  const made: string[] = [];
  let full = mount ?? '';
  for (const part of path.split('/')) {
    full = join(full, part);
    if (existsSync(full)) continue;
    mkdirSync(full);
    made.unshift(full);
  }
  return {
    path: full,
    [Symbol.dispose]: () => {
      for (const one of made) rmdirSync(one);
    },
  };
}

const HEX = 'c0ffee'.padEnd(64, '0');

describe('a cgroup that is named as a runtime names it', () => {
  it.each([
    [
      'docker',
      `docker/${HEX}`,
      'var/lib/docker/containers/ID/config.v2.json',
      (pid: number) => ({ID: HEX, Name: '/web', State: {Pid: pid, Running: true}}),
    ],
    [
      'podman',
      `machine.slice/libpod-${HEX}.scope`,
      'run/containers/storage/overlay-containers/ID/userdata/pidfile',
      (pid: number) => String(pid),
    ],
    [
      'containerd',
      `kubepods.slice/cri-containerd-${HEX}.scope`,
      'run/containerd/io.containerd.runtime.v2.task/k8s.io/ID/init.pid',
      (pid: number) => String(pid),
    ],
  ] as const)('%s', async (runtime, path, file, content) => {
    needsRoot('make a cgroup at the root of the hierarchy');
    using folder = temporaryFolder();
    using group = cgroup(path);
    await using running = start(fixture('unshares-and-waits'), 'pid', 'mnt');
    const [, child = ''] = await running.says(/child (\d+)[\s\S]*ready/);
    for (const pid of [running.pid, Number(child)]) writeFileSync(join(group.path, 'cgroup.procs'), String(pid));
    const alone = holding(read(folder.path), Number(child));
    expect(alone).toMatchObject([{runtime, id: HEX, name: null, evidence: [{by: 'kernel', says: `its cgroup /${path}`}]}]);
    expect(alone[0]?.missing).toContain('has written nothing of it');
    put(folder.path, file.replace('ID', HEX), content(running.pid));
    const both = holding(read(folder.path), Number(child));
    expect(both).toMatchObject([{runtime, id: HEX, name: runtime === 'docker' ? 'web' : null, missing: null}]);
    expect(both[0]?.evidence.at(-1)).toEqual({by: 'runtime', says: `/${file.replace('ID', HEX)}: init is ${running.pid}`});
    running.release();
    await running.ended;
  });
});

describe('a cgroup that looks like one of another runtime', () => {
  // As podman(1) has it under --cgroups=split, which each quadlet uses, and the kubelet of a static pod.
  it.each([
    ['podman', `nsview-test.service/libpod-payload-${HEX}`, 'podman'],
    ['a static pod', `kubepods/burstable/pod${HEX.slice(0, 32)}/${HEX}`, 'kubernetes'],
    // libvirt gives machined the names of its machines, which have the driver first: a virtual one is no container.
    ['a virtual machine of libvirt’s', 'machine.slice/machine-qemu\\x2d1\\x2dfedora.scope', null],
    ['a container of libvirt’s', 'machine.slice/machine-lxc\\x2d7\\x2dweb.scope', null],
    ['systemd-nspawn', 'machine.slice/machine-qemu\\x2dimages.scope', 'systemd-nspawn'],
  ] as const)('%s', async (_, path, runtime) => {
    needsRoot('make a cgroup at the root of the hierarchy');
    using folder = temporaryFolder();
    using group = cgroup(path);
    await using running = start(fixture('unshares-and-waits'), 'mnt');
    await running.says(/ready/);
    writeFileSync(join(group.path, 'cgroup.procs'), String(running.pid));
    expect(holding(read(folder.path), running.pid).map(one => one.runtime)).toEqual(runtime === null ? [] : [runtime]);
    running.release();
    await running.ended;
  });
});

describe('what runtimes have written', () => {
  it('names a process only where it started when that says, and where its writer may', async () => {
    using folder = temporaryFolder();
    await using running = start(...maker(fixture('unshares-and-waits'), 'mnt'));
    await running.says(/ready/);
    const {pid} = running;
    const stat = readStat(pid);
    const status = (more: object) => ({pid, 'process-start-time': isRefusal(stat) ? 0 : Number(stat.start), ...more});
    const file = put(folder.path, 'run/user/1000/crun/one/status', status({}));
    expect(holding(read(folder.path), pid)).toMatchObject([{runtime: 'crun', id: 'one'}]);
    put(folder.path, 'run/user/1000/crun/one/status', status({'process-start-time': 1}));
    expect(holding(read(folder.path), pid)).toEqual([]);
    put(folder.path, 'run/user/1000/crun/one/status', status({}));
    needsRoot('give a file to another user');
    // A user says of root's process that it is a container of theirs.
    chownSync(file, 1000, 1000);
    expect(holding(read(folder.path), pid)).toEqual([]);
    running.release();
    await running.ended;
  });

  it('names nobody who is younger than it, and has the pid of one that ended', async () => {
    using folder = temporaryFolder();
    await using running = start(...maker(fixture('unshares-and-waits'), 'mnt'));
    await running.says(/ready/);
    const {pid} = running;
    const files = [
      put(folder.path, `var/lib/docker/containers/${HEX}/config.v2.json`, {ID: HEX, Name: '/web', State: {Pid: pid, Running: true}}),
      put(folder.path, `run/containers/storage/overlay-containers/${HEX.replace('0', '1')}/userdata/pidfile`, pid),
    ];
    const [docker, podman] = ['docker', 'podman'].map(runtime => ({runtime}));
    expect(holding(read(folder.path), pid)).toMatchObject([podman]);
    for (const file of files.slice(1)) utimesSync(file, 1, 1);
    expect(holding(read(folder.path), pid)).toMatchObject([docker]);
    for (const file of files) utimesSync(file, 1, 1);
    expect(holding(read(folder.path), pid)).toEqual([]);
    running.release();
    await running.ended;
  });

  it('is not taken for what another runtime has written of a container that it calls the same', async () => {
    using folder = temporaryFolder();
    await using running = start(...maker(fixture('unshares-and-waits'), 'mnt'));
    await running.says(/ready/);
    const stat = readStat(running.pid);
    const init_process_start = isRefusal(stat) ? 0 : Number(stat.start);
    put(folder.path, 'run/runc/web/state.json', {id: 'web', init_process_pid: running.pid, init_process_start});
    put(folder.path, 'var/lib/lxc/web/config', {});
    expect(holding(read(folder.path), running.pid)).toMatchObject([{runtime: 'runc', id: 'web'}]);
    running.release();
    await running.ended;
  });

  it('is read only from regular files of their size and shape, and through no link', () => {
    using folder = temporaryFolder();
    const good = put(folder.path, 'elsewhere/status', {pid: 1});
    const at = (name: string) => join(folder.path, 'run/crun', name);
    put(folder.path, 'run/crun/good/status', {pid: 1});
    for (const name of ['link', 'fifo', 'large', 'text', 'list', 'negative']) mkdirSync(at(name), {recursive: true});
    symlinkSync(good, at('link/status'));
    symlinkSync(dirname(good), at('linked'));
    execFileSync('mkfifo', [at('fifo/status')]);
    writeFileSync(at('large/status'), `{"pid":1,"x":"${'x'.repeat(1 << 20)}"}`);
    writeFileSync(at('text/status'), '\0not json');
    writeFileSync(at('list/status'), '[1]');
    writeFileSync(at('negative/status'), '{"pid":-1}');
    const {states, places} = readContainers(folder.path);
    expect(containersShape.states.parse(JSON.parse(JSON.stringify(states)))).toEqual(states);
    expect(states.filter(({runtime}) => runtime === 'crun').map(({id}) => id)).toEqual(['good']);
    expect(places.find(({runtime}) => runtime === 'runc')?.seen).toMatchObject({errno: 'ENOENT'});
  });
});
