import {existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, realpathSync, rmdirSync, writeFileSync} from 'node:fs';
import {dirname} from 'node:path';
import {describe, expect, it, type RunnerTestCase, TestRunner} from 'vitest';
import {isRefusal} from '../../src/model/fact.ts';
import {SHAREABLE, type Shareable, type Sharing} from '../../src/model/sharing.ts';
import {parseSnapshot} from '../../src/probe/schemas.ts';
import {readSharing, sharingSchema} from '../../src/probe/sharing.ts';
import {readSnapshot} from '../../src/probe/snapshot.ts';
import {leaveNothingBehind} from '../support/leaks.ts';
import {Running, start, temporaryFolder} from '../support/nsview.ts';
import {fixture} from '../support/paths.ts';
import {isRoot, maker, needsRoot} from '../support/user.ts';

leaveNothingBehind();

function read(pid: number): Sharing {
  const seen = readSharing(pid);
  if (isRefusal(seen)) throw new Error(`${seen.during}: ${seen.errno}`);
  expect(sharingSchema.parse(JSON.parse(JSON.stringify(seen)))).toEqual(seen);
  return seen;
}

/** Whom it shares that with. */
function sharers(pid: number, kind: Shareable): string[] {
  const {objects} = read(pid);
  if (isRefusal(objects)) throw new Error(`${objects.during}: ${objects.errno}`);
  const object = objects.find(one => one.kind === kind);
  expect(object?.count).toBe(object?.with.length);
  return (object?.with ?? []).map(({pid: other, relation}) => `${relation} ${other}`);
}

const kinds = SHAREABLE.map(({kind}) => kind);

describe('what clone(2) shares', () => {
  it.each([['files'], ['fs'], ['vm'], ['io'], ['sysvsem'], ['vm', 'sighand'], ['files', 'fs', 'io']] as const)(
    '%s %s %s',
    async (...flags) => {
      await using parent = start(fixture('shares-by-clone'), ...flags);
      const [, sharing = '', apart = ''] = await parent.says(/children (\d+) (\d+)\nready/);
      for (const kind of kinds) {
        const shared = flags.some(flag => flag === kind);
        expect([kind, sharers(parent.pid, kind)]).toEqual([kind, shared ? [`child ${sharing}`] : []]);
        expect([kind, sharers(Number(sharing), kind)]).toEqual([kind, shared ? [`parent ${parent.pid}`] : []]);
        expect([kind, sharers(Number(apart), kind)]).toEqual([kind, []]);
      }
      parent.release();
      await parent.ended;
    },
  );
});

describe('what is shared through one thread of a process', () => {
  it.each(['unshared', 'ended'])('is told of both (%s)', async how => {
    await using parent = start(fixture('shares-through-thread'), how);
    const [, child = '', thread = ''] = await parent.says(/child (\d+) thread (\d+)\nready/);
    const sharing = read(Number(child));
    const [files, fs] = isRefusal(sharing.objects) ? [] : sharing.objects;
    const [parentIs, through] = [{pid: parent.pid, relation: 'parent'}, how === 'unshared' ? {tid: Number(thread)} : {}];
    for (const object of [files, fs])
      expect(object).toEqual({kind: object?.kind, with: [{...parentIs, comm: 'shares-through-', ...through}], count: 1});
    expect(sharers(parent.pid, 'files')).toEqual(how === 'unshared' ? [] : [`child ${child}`]);
    expect(sharers(Number(thread), 'files')).toEqual([`other ${child}`]);
    const wanted = (['files', 'fs'] as const).map(kind => ({
      kind,
      tasks: [{pid: parent.pid, ...through}, {pid: Number(child)}],
      count: 2,
    }));
    const taken = (root: number) => {
      const {sharing: all} = readSnapshot({root, version: 'test'});
      return all === undefined || isRefusal(all.groups) ? null : all.groups;
    };
    expect(taken(parent.pid)?.filter(({kind}) => kind === 'files' || kind === 'fs')).toMatchObject(wanted);
    expect(taken(Number(child))).toMatchObject(
      (['files', 'fs'] as const).map(kind => ({kind, tasks: [{pid: Number(child)}], outside: [parent.pid], count: 2})),
    );
    parent.release();
    await parent.ended;
  });
});

describe('open files that lead outside', () => {
  const held = async (...what: string[]) => {
    const folder = temporaryFolder();
    // On the same mount as its root, wherever the checkout is: below a chroot it sees no other.
    const [program, ...args] = maker(fixture('holds-outside'), folder.path, ...what);
    const running = new Running(program, args, {cwd: dirname(folder.path)});
    const [, outside = ''] = await running.says(/outside (-?\d+)\nready/);
    const {fds, memory} = read(running.pid);
    if (isRefusal(fds) || isRefusal(memory)) throw new Error('refused');
    return {
      running,
      outside: Number(outside),
      // What a test inherits may lead outside as well: only what the fixture opened.
      fds: fds.outside.filter(({fd, link}) => (fd === null && link === undefined) || (fd !== null && fd >= 20)),
      links: fds.outside.filter(({link}) => link !== undefined),
      path: folder.path,
      [Symbol.asyncDispose]: async () => {
        running.release();
        await running.ended;
        folder[Symbol.dispose]();
      },
    };
  };

  it('are none where the root and the mounts are those of nsview', async () => {
    await using all = await held('directory', 'cwd');
    expect(all.fds).toEqual([]);
  });

  it('are none that are memory, which lies on no mount', async () => {
    await using all = await held('secret');
    expect(all.fds).toEqual([]);
  });

  it.each([['chroot'], ['chroot', 'mounts']])('a directory that was opened before chroot, and the cwd (%s %s)', async (...how) => {
    await using all = await held(...how, 'directory', 'cwd');
    const apart = how.includes('mounts');
    expect(all.fds).toEqual([
      {fd: null, path: dirname(all.path), leads: {kind: 'root', directory: true}},
      // In a mount namespace of its own it is a mount of the namespace that was left.
      {fd: 20, path: '/', leads: apart ? {kind: 'mount', directory: true, where: 'nsview'} : {kind: 'root', directory: true}},
    ]);
  });

  it('a directory of the mount namespace that was left', async () => {
    await using all = await held('mounts', 'directory');
    expect(all.fds).toEqual([{fd: 20, path: '/', leads: {kind: 'mount', directory: true, where: 'nsview'}}]);
  });

  it('the program that it was started with, after chroot or in a mount namespace of its own', async () => {
    const path = realpathSync(fixture('holds-outside'));
    await using inside = await held('cwd');
    expect(inside.links).toEqual([]);
    await using below = await held('chroot');
    expect(below.links).toEqual([{fd: null, link: 'exe', path, leads: {kind: 'root', directory: false}}]);
    await using apart = await held('mounts');
    expect(apart.links).toEqual([{fd: null, link: 'exe', path, leads: {kind: 'mount', directory: false, where: 'nsview'}}]);
  });

  it('the root directory, of the mount namespace that was left', async () => {
    await using all = await held('mounts', 'directory', 'root', 'cwd');
    const leads = {kind: 'mount', directory: true, where: 'nsview'};
    expect(all.links).toMatchObject([{fd: null, link: 'root', path: '/', leads}, {link: 'exe'}]);
    expect(all.fds).toMatchObject([{fd: null, path: '/', leads}, {fd: 20}, {fd: 23}]);
  });

  it('a directory of a mount that is detached, though it is not opened as one', async () => {
    await using all = await held('mounts', 'detached');
    expect(all.fds).toEqual([{fd: 25, path: '/', leads: {kind: 'mount', directory: true}}]);
  });

  it('a namespace that it has left, and the fd of a process outside', async () => {
    await using all = await held('namespace', 'pidfd');
    expect(all.fds).toEqual([
      {
        fd: 21,
        path: readlinkSync('/proc/self/ns/uts'),
        leads: {kind: 'namespace', type: 'uts', inode: /\d+/.exec(readlinkSync('/proc/self/ns/uts'))?.[0]},
      },
      {fd: 22, path: 'anon_inode:[pidfd]', leads: {kind: 'process', pid: process.pid, apart: isRoot ? ['uts'] : ['user', 'uts']}},
    ]);
  });
});

describe('a socket', () => {
  const socketOf = async (what: string) => {
    using folder = temporaryFolder();
    await using running = start(...maker(fixture('holds-outside'), folder.path, what));
    await running.says(/ready/);
    const {fds} = read(running.pid);
    const found = isRefusal(fds) ? fds : fds.outside.filter(({fd}) => fd === 24);
    running.release();
    await running.ended;
    return found;
  };

  it('that was made before its process left the network namespace leads back there', async () => {
    const inode = /\d+/.exec(readlinkSync('/proc/self/ns/net'))?.[0];
    expect(await socketOf('socket')).toEqual([{fd: 24, path: expect.stringMatching(/^socket:/), leads: {kind: 'socket', inode}}]);
  });

  it.for(['socket', 'tun'])('that was handed over leads to where it was made (%s)', async (what, context) => {
    if (what === 'tun' && !existsSync('/dev/net/tun')) return context.skip('needs /dev/net/tun');
    await using running = start(fixture('socket-elsewhere'), ...(what === 'tun' ? ['tun'] : []));
    const [, inode = '', fd = ''] = await running.says(/net (\d+)\nsocket (\d+)\nready/);
    const {fds} = read(running.pid);
    expect(isRefusal(fds) ? fds : fds.outside.filter(one => one.fd === Number(fd))).toMatchObject([{leads: {kind: 'socket', inode}}]);
    running.release();
    await running.ended;
  });

  it('that was made after that does not', async () => {
    expect(await socketOf('socket-inside')).toEqual([]);
  });
});

describe('memory that is shared', () => {
  it('with a process of other namespaces is found on both sides', async () => {
    using folder = temporaryFolder();
    await using running = start(...maker(fixture('holds-outside'), folder.path, 'memory'));
    const [, outside = ''] = await running.says(/outside (\d+)\nready/);
    for (const [one, other] of [
      [running.pid, Number(outside)],
      [Number(outside), running.pid],
    ] as const) {
      // The maps of the others are read over several looks.
      await expect
        .poll(() => {
          const {memory} = read(one);
          return isRefusal(memory) ? [] : memory.mappings.filter(({path}) => path === '/memfd:common (deleted)');
        })
        .toMatchObject([{bytes: 8192, writes: true, with: [{pid: other, writes: true, apart: ['uts']}]}]);
    }
    running.release();
    await running.ended;
  });
});

describe('a file that two have mapped shared', () => {
  it.each([
    ['memfd', 'apart', 'a\rb\u2028c', '/memfd:a\rb\u2028c (deleted)'],
    ['memfd', 'ended', 'common', '/memfd:common (deleted)'],
    ['file', 'apart', '/dev/common', '/dev/common'],
  ])('is found whatever its name, and where a leader has ended (%s, %s)', async (kind, how, name, path) => {
    needsRoot('read /proc/PID/map_files, which tells a file below /dev from a device');
    const mounts = ['unshare', '--mount', 'sh', '-c', 'mount -t tmpfs none /dev && exec "$0" "$@"'] as const;
    const [program, ...args] = [...mounts, fixture('shares-memory'), kind, how, name];
    await using running = start(program, ...args);
    const [, child = ''] = await running.says(/child (\d+)\nready/);
    await expect
      .poll(() => {
        const {memory} = read(running.pid);
        return isRefusal(memory) ? memory : memory.mappings;
      })
      .toMatchObject([{path, bytes: 8192, writes: true, with: [{pid: Number(child), writes: true, apart: ['uts']}]}]);
    const {sharing} = readSnapshot({root: running.pid, version: 'test'});
    const processes = [running.pid, Number(child)].map(pid => ({pid, writes: true}));
    expect(sharing?.memory?.groups).toEqual([{path, processes}]);
    running.release();
    await running.ended;
  });
});

describe('memory of a driver', () => {
  it('is not taken for shared because its file has the inode that all such files have', async () => {
    await using one = start(...maker(fixture('maps-perf-events')));
    await using another = start(...maker(fixture('maps-perf-events')));
    const events = [one, another];
    for (const each of events) {
      const [said] = await each.says(/ready|none: .*/);
      if (said !== 'ready') TestRunner.getCurrentTest<RunnerTestCase | undefined>()?.context.skip(`kernel lacks perf events, ${said}`);
    }
    const [inode, other] = events.map(
      ({pid}) => /\S+ (\d+) +anon_inode:\[perf_event\]/.exec(readFileSync(`/proc/${pid}/maps`, 'utf8'))?.[1],
    );
    expect(inode).toMatch(/^\d+$/);
    expect(inode).toBe(other);
    // The maps of the others are read over several looks; where nothing is mapped that may be shared, none.
    await expect
      .poll(() => {
        const {memory} = read(one.pid);
        return isRefusal(memory) ? memory : {left: memory.left, mappings: memory.mappings};
      })
      .toEqual({left: 0, mappings: []});
  });
});

describe('a System V segment', () => {
  const segmentsOf = (pid: number) => {
    const {memory} = read(pid);
    return isRefusal(memory) ? null : {...memory, mappings: memory.mappings.filter(({path}) => path.startsWith('/SYSV'))};
  };

  it('that stays attached in another ipc namespace is shared with those of the one before', async () => {
    needsRoot('read /proc/PID/map_files');
    using folder = temporaryFolder();
    // The first of an ipc namespace has the id 0, which is its inode.
    await using running = start('unshare', '--ipc', ...maker(fixture('holds-outside'), folder.path, 'memory', 'segment'));
    const [, outside = ''] = await running.says(/outside (\d+)\nready/);
    await expect
      .poll(() => segmentsOf(running.pid)?.mappings)
      .toMatchObject([{bytes: 8192, writes: true, with: [{pid: Number(outside), writes: true, apart: ['uts', 'ipc']}]}]);
    running.release();
    await running.ended;
  });

  it('of one ipc namespace is not that of another with the same id and key', async () => {
    using folder = temporaryFolder();
    await using one = start(...maker(fixture('holds-outside'), folder.path, 'segment-inside'));
    await using other = start(...maker(fixture('holds-outside'), folder.path, 'segment-inside'));
    for (const each of [one, other]) await each.says(/ready/);
    const files = [one, other].map(({pid}) => /\S+ +\S+ +\/SYSV\S+/.exec(readFileSync(`/proc/${pid}/maps`, 'utf8'))?.[0]);
    expect(files[0]).toBe(files[1]);
    await expect.poll(() => segmentsOf(one.pid)).toMatchObject({left: 0, mappings: []});
    for (const each of [one, other]) {
      each.release();
      await each.ended;
    }
  });
});

describe('a thread that is not as its process', () => {
  it('is told with what it has of its own', async () => {
    needsRoot('become another group');
    using folder = temporaryFolder();
    await using running = start(fixture('thread-apart'), folder.path, '/usr');
    const [, tid = ''] = await running.says(/tid (\d+)\nready/);
    const {threads} = read(running.pid);
    // Opened before its chroot, in a table of its own.
    expect(threads[0]?.outside?.filter(({path}) => path === '/usr')).toMatchObject([{leads: {kind: 'root', directory: true}}]);
    expect(threads).toMatchObject([
      {
        tid: Number(tid),
        comm: 'apart',
        objects: ['files', 'fs'],
        cwd: folder.path,
        root: folder.path,
        status: {
          Umask: {thread: '0007', process: expect.stringMatching(/^0/)},
          NoNewPrivs: {thread: '1', process: '0'},
          Seccomp_filters: {thread: '1', process: '0'},
        },
      },
    ]);
    expect(Object.keys(threads[0]?.status ?? {})).toEqual(['Umask', 'Gid', 'NoNewPrivs', 'Seccomp', 'Seccomp_filters']);
    expect(threads[0]?.status?.Gid?.thread).toBe('12345\t12345\t12345\t12345');
    running.release();
    await running.ended;
  });

  it('is not one that the kernel made in the process, which has no semaphore undo at all', async context => {
    await using running = start(fixture('has-ring-worker'));
    const [said] = await running.says(/^(?:none: .*|ready)/m);
    if (said !== 'ready') return context.skip(`kernel lacks io_uring, ${said}`);
    const names = () => readdirSync(`/proc/${running.pid}/task`).map(tid => readFileSync(`/proc/${running.pid}/task/${tid}/comm`, 'utf8'));
    await expect.poll(() => names().filter(name => name.startsWith('iou-wrk-'))).toHaveLength(1);
    expect(read(running.pid).threads).toEqual([]);
    running.release();
    await running.ended;
  });

  it('is told with the cgroup that it is in alone', async context => {
    const hierarchy = '/sys/fs/cgroup/pids';
    if (!existsSync(`${hierarchy}/tasks`)) return context.skip('needs a mounted cgroup v1, where any thread may be alone in a cgroup');
    needsRoot('make a cgroup there');
    using folder = temporaryFolder();
    const name = `nsview-test-${process.pid}`;
    mkdirSync(`${hierarchy}/${name}`);
    try {
      await using running = start(fixture('thread-apart'), folder.path);
      const [, tid = ''] = await running.says(/tid (\d+)\nready/);
      writeFileSync(`${hierarchy}/${name}/tasks`, tid);
      const [thread] = read(running.pid).threads;
      expect(thread?.status?.Cgroup).toEqual({
        thread: expect.stringMatching(new RegExp(`^\\d+:pids:/${name}$`)),
        process: expect.stringMatching(/^\d+:pids:\/\S*$/),
      });
      running.release();
      await running.ended;
    } finally {
      rmdirSync(`${hierarchy}/${name}`);
    }
  });
});

describe('what a tree shares, in a snapshot', () => {
  const take = (root: number) => {
    const snapshot = readSnapshot({root, version: 'test'});
    const parsed = parseSnapshot(JSON.parse(JSON.stringify(snapshot)));
    if (!parsed.ok) throw new Error(parsed.problem);
    const {sharing} = snapshot;
    if (sharing === undefined || isRefusal(sharing.groups) || isRefusal(sharing.unix)) throw new Error(JSON.stringify(sharing));
    return {...sharing, groups: sharing.groups, unix: sharing.unix};
  };

  it.each([['files'], ['fs'], ['vm'], ['io'], ['sysvsem'], ['vm', 'sighand'], ['files', 'fs', 'io']] as const)(
    '%s %s %s, from above and from within',
    async (...flags) => {
      await using parent = start(fixture('shares-by-clone'), ...flags);
      const [, sharing = ''] = await parent.says(/children (\d+) (\d+)\nready/);
      const wanted = SHAREABLE.filter(({kind}) => flags.some(flag => flag === kind));
      expect(take(parent.pid).groups).toEqual(
        wanted.map(({kind, flag}) => ({kind, flag, tasks: [{pid: parent.pid}, {pid: Number(sharing)}], count: 2})),
      );
      expect(take(Number(sharing)).groups).toEqual(
        wanted.map(({kind, flag}) => ({kind, flag, tasks: [{pid: Number(sharing)}], outside: [parent.pid], count: 2})),
      );
      parent.release();
      await parent.ended;
    },
  );

  it('has a thread that shares less than the others, alone', async () => {
    needsRoot('become another group');
    using folder = temporaryFolder();
    await using running = start(fixture('thread-apart'), folder.path);
    const [, tid = ''] = await running.says(/tid (\d+)\nready/);
    const alone = {tasks: [{pid: running.pid, tid: Number(tid)}], count: 1};
    expect(take(running.pid).groups).toEqual([
      {kind: 'files', flag: 'CLONE_FILES', ...alone},
      {kind: 'fs', flag: 'CLONE_FS', ...alone},
    ]);
    running.release();
    await running.ended;
  });

  it('has the fds of its processes that lead outside, and the sockets', async () => {
    using folder = temporaryFolder();
    await using running = start(...maker(fixture('holds-outside'), folder.path, 'namespace'));
    await running.says(/ready/);
    const {fds} = take(running.pid);
    const own = fds.find(({pid}) => pid === running.pid)?.outside ?? [];
    expect(isRefusal(own) ? own : own.filter(({fd}) => fd === 21)).toMatchObject([{leads: {kind: 'namespace', type: 'uts'}}]);
    await using pair = start(...maker(fixture('socket-pair')));
    const [, child = '', fd = ''] = await pair.says(/child (\d+) fds (\d+) \d+\nready/);
    expect(take(Number(child)).unix).toContainEqual(
      expect.objectContaining({pid: Number(child), fd: Number(fd), peers: [expect.objectContaining({pid: pair.pid})]}),
    );
    for (const one of [running, pair]) {
      one.release();
      await one.ended;
    }
  });

  it('is left out of a snapshot of the machine', () => {
    expect(readSnapshot({version: 'test'})).not.toHaveProperty('sharing');
  });
});
