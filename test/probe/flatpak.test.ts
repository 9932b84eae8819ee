import {execFileSync} from 'node:child_process';
import {copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, rmdirSync, symlinkSync, writeFileSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {afterAll, beforeAll, describe, expect, it, type RunnerTestCase, TestRunner} from 'vitest';
import {holding, readContainersOf} from '../support/containers.ts';
import {leaveNothingBehind} from '../support/leaks.ts';
import {Running, start, temporaryFolder} from '../support/nsview.ts';
import {fixture} from '../support/paths.ts';
import {patient} from '../support/patience.ts';
import {isRoot, needsRoot} from '../support/user.ts';

leaveNothingBehind();

const APPLICATION = 'org.example.Maps';
const PLATFORM = 'org.example.Platform';

type Instance = {readonly id: string; readonly init: number};
type Flatpak = Disposable & {
  /** Below it is its state, as it is below / elsewhere. */
  readonly path: string;
  /** Runs the application, in a cgroup where one is given. */
  run(cgroup?: string): Running;
  /** What flatpak has written of it, when it sleeps. */
  instanceOf(running: Running): Promise<Instance>;
};

const read = (path: string): string => {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
};
const childrenOf = (pid: number): number[] => read(`/proc/${pid}/task/${pid}/children`).split(' ').filter(Boolean).map(Number);

/** An installation of its own, with an application that sleeps: its runtime is busybox alone, so that nothing is fetched. */
function flatpak(): Flatpak {
  const folder = temporaryFolder();
  const at = (name: string) => join(folder.path, name);
  const put = (name: string, content: string, mode = 0o644) => {
    mkdirSync(dirname(at(name)), {recursive: true});
    writeFileSync(at(name), content, {mode});
  };
  const user = at(`run/user/${process.getuid?.()}`);
  for (const name of ['home', 'platform/files', 'platform/usr/bin', 'platform/usr/etc']) mkdirSync(at(name), {recursive: true});
  mkdirSync(user, {recursive: true, mode: 0o700});
  const env = {
    ...process.env,
    HOME: at('home'),
    XDG_RUNTIME_DIR: user,
    FLATPAK_SYSTEM_DIR: at('system'),
    DBUS_SESSION_BUS_ADDRESS: 'disabled:',
    DBUS_SYSTEM_BUS_ADDRESS: 'disabled:',
  };
  const call = (...args: string[]) => execFileSync('flatpak', args, {env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe']});
  copyFileSync(['/usr/bin/busybox', '/bin/busybox'].find(path => existsSync(path)) ?? 'busybox', at('platform/usr/bin/busybox'));
  symlinkSync('busybox', at('platform/usr/bin/sh'));
  const reference = `${PLATFORM}/${call('--default-arch').trim()}/1`;
  put('platform/metadata', `[Runtime]\nname=${PLATFORM}\nruntime=${reference}\nsdk=${reference}\n`);
  call('build-export', '-r', at('repository'), at('platform'), '1');
  put('application/metadata', `[Application]\nname=${APPLICATION}\nruntime=${reference}\nsdk=${reference}\ncommand=maps\n`);
  mkdirSync(at('application/export'), {recursive: true});
  put('application/files/bin/maps', '#!/bin/sh\n/bin/busybox sleep 60\nexit 0\n', 0o755);
  call('build-export', at('repository'), at('application'));
  call('remote-add', '--user', '--no-gpg-verify', 'here', `file://${at('repository')}`);
  call('install', '--user', '--noninteractive', 'here', `${PLATFORM}//1`, APPLICATION);
  return {
    path: folder.path,
    run: cgroup => {
      const enter = cgroup === undefined ? '' : `echo $$ > ${cgroup}/cgroup.procs && `;
      return new Running('sh', ['-c', `${enter}exec flatpak run --user ${APPLICATION}`], {env});
    },
    instanceOf: async running => {
      const states = join(user, '.flatpak');
      for (const limit = Date.now() + patient(15_000); Date.now() < limit; await new Promise(resolve => setTimeout(resolve, 50)))
        for (const id of existsSync(states) ? readdirSync(states) : []) {
          if (read(join(states, id, 'pid')).trim() !== String(running.pid)) continue;
          const init = Number(/"child-pid": (\d+)/.exec(read(join(states, id, 'bwrapinfo.json')))?.[1] ?? 0);
          const asleep = [init, ...childrenOf(init)]
            .flatMap(childrenOf)
            .some(pid => read(`/proc/${pid}/cmdline`).startsWith('/bin/busybox\0sleep'));
          if (asleep) return {id, init};
        }
      throw new Error(`flatpak wrote nothing of ${running.pid}: ${running.stdout} ${running.stderr}`);
    },
    [Symbol.dispose]: () => folder[Symbol.dispose](),
  };
}

/** A cgroup for the test, where systemd would make one. */
function cgroup(name: string): Disposable & {path: string} {
  const mount = read('/proc/self/mounts')
    .split('\n')
    .map(line => line.split(' '))
    .find(([, , type]) => type === 'cgroup2')?.[1];
  const path = join(mount ?? '', name);
  mkdirSync(path);
  return {path, [Symbol.dispose]: () => rmdirSync(path)};
}

const end = async (init: number, running: Running) => {
  process.kill(init, 'SIGKILL');
  await running.ended;
};

const isThere = existsSync('/usr/bin/flatpak');
/** One for all tests: to make it takes seconds. */
let made: Flatpak | null = null;
beforeAll(() => {
  if (isThere && isRoot) made = flatpak();
}, patient(60_000));
afterAll(() => made?.[Symbol.dispose]());

function installation(): Flatpak {
  needsRoot('run flatpak without a system bus, which it asks what a user may run');
  if (made === null) return TestRunner.getCurrentTest<RunnerTestCase | undefined>()?.context.skip('flatpak is not installed') as never;
  return made;
}

describe('an application of flatpak', () => {
  it('is named by what flatpak wrote, another one of the same by its own', async () => {
    const installed = installation();
    await using running = installed.run();
    const {id, init} = await installed.instanceOf(running);
    await using second = installed.run();
    const other = await installed.instanceOf(second);
    const found = readContainersOf(installed.path);
    expect(holding(found, init)).toMatchObject([{runtime: 'flatpak', id, name: APPLICATION, missing: null}]);
    const [one] = holding(found, init);
    expect(one?.processes).toEqual([init, ...childrenOf(init), ...childrenOf(init).flatMap(childrenOf)].sort((a, b) => a - b));
    expect(one?.evidence).toEqual([
      {
        by: 'kernel',
        says: `${running.pid}, which made it, runs ${readlinkSync(`/proc/${running.pid}/exe`)}; it is in another mnt, pid, net namespace`,
      },
      {by: 'kernel', says: `its pid namespace, where ${init} is init`},
      {by: 'kernel', says: 'its mount namespace has the inode that is written'},
      {by: 'runtime', says: `/run/user/0/.flatpak/${id}/bwrapinfo.json: init is ${init}`},
      {by: 'runtime', says: `/run/user/0/.flatpak/${id}/info`},
      {by: 'itself', says: `/.flatpak-info says flatpak ${APPLICATION} ${id}`},
      {by: 'itself', says: '/run/host/container-manager says flatpak'},
    ]);
    expect(holding(found, other.init)).toMatchObject([{runtime: 'flatpak', id: other.id, name: APPLICATION}]);
    // bwrap, which waits outside.
    for (const {pid} of [running, second]) expect(holding(found, pid)).toEqual([]);
    await end(init, running);
    await end(other.init, second);
  });

  it('is told from another one of the same, and from bwrap outside, in the cgroups that systemd makes for them', async () => {
    const installed = installation();
    using one = cgroup(`app-flatpak-${APPLICATION}-1.scope`);
    using two = cgroup(`app-flatpak-${APPLICATION}-2.scope`);
    await using running = installed.run(one.path);
    await using second = installed.run(two.path);
    const first = await installed.instanceOf(running);
    const other = await installed.instanceOf(second);
    // The proxy of the message bus has a sandbox of its own there.
    await using beside = start('sh', '-c', `echo $$ > ${one.path}/cgroup.procs && exec bwrap --bind / / sleep 60`);
    await expect.poll(() => childrenOf(beside.pid).map(pid => read(`/proc/${pid}/comm`)), {timeout: patient(5000)}).toEqual(['sleep\n']);
    const [proxy = 0] = childrenOf(beside.pid);
    const found = readContainersOf(installed.path);
    for (const [{id, init}, number] of [
      [first, 1],
      [other, 2],
    ] as const) {
      expect(holding(found, init)).toMatchObject([{runtime: 'flatpak', id, name: APPLICATION}]);
      expect(holding(found, init)[0]?.evidence[0]).toEqual({by: 'kernel', says: `its cgroup /app-flatpak-${APPLICATION}-${number}.scope`});
    }
    for (const {pid} of [running, second, beside]) expect(holding(found, pid)).toEqual([]);
    expect(holding(found, proxy)).toMatchObject([{runtime: 'bubblewrap', id: String(beside.pid)}]);
    // Without what flatpak wrote the cgroups tell them apart.
    const unwritten = readContainersOf(join(installed.path, 'home'));
    for (const [{init}, number] of [
      [first, 1],
      [other, 2],
    ] as const)
      expect(holding(unwritten, init)).toMatchObject([{runtime: 'flatpak', id: `${APPLICATION}-${number}`, name: APPLICATION}]);
    expect(holding(unwritten, running.pid)).toEqual([]);
    process.kill(proxy, 'SIGKILL');
    await beside.ended;
    await end(first.init, running);
    await end(other.init, second);
  });

  it('does not give its name to who stands in the cgroup that it was started in, when bwrap outside is gone', async () => {
    const installed = installation();
    using session = cgroup(`nsview-test-${process.pid}`);
    await using bystander = start('sh', '-c', `echo $$ > ${session.path}/cgroup.procs && echo ready && exec sleep 60`);
    await bystander.says(/ready/);
    await using running = installed.run(session.path);
    const {id, init} = await installed.instanceOf(running);
    process.kill(running.pid, 'SIGKILL');
    await expect.poll(() => running.child.signalCode).toBe('SIGKILL');
    const found = readContainersOf(installed.path);
    expect(holding(found, init)).toMatchObject([{runtime: 'flatpak', id, name: APPLICATION}]);
    expect(holding(found, bystander.pid)).toEqual([]);
    await end(init, running);
    await bystander[Symbol.asyncDispose]();
  });

  it('does not give its name to who has the inode of its mount namespace after it', async () => {
    const installed = installation();
    await using running = installed.run();
    const {id, init} = await installed.instanceOf(running);
    await end(init, running);
    const file = join(installed.path, `run/user/0/.flatpak/${id}/bwrapinfo.json`);
    // It stays there until flatpak runs again.
    const written = JSON.parse(readFileSync(file, 'utf8')) as object;
    await using stranger = start(fixture('unshares-and-waits'), 'mnt');
    await stranger.says(/ready/);
    const mnt = Number(/\d+/.exec(readlinkSync(`/proc/${stranger.pid}/ns/mnt`))?.[0]);
    writeFileSync(file, JSON.stringify({...written, 'mnt-namespace': mnt}));
    expect(holding(readContainersOf(installed.path), stranger.pid)).toEqual([]);
    // And to who has the pid of its first process; the inode that was written may be the stranger's by now.
    writeFileSync(file, JSON.stringify({...written, 'mnt-namespace': mnt - 1, 'child-pid': stranger.pid}));
    expect(holding(readContainersOf(installed.path), stranger.pid)).toEqual([]);
    stranger.release();
    await stranger.ended;
  });
});
