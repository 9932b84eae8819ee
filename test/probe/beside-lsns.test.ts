import {execFileSync} from 'node:child_process';
import {existsSync, readFileSync, readlinkSync} from 'node:fs';
import {describe, expect, it} from 'vitest';
import {isRefusal, type Snapshot, type SnapshotNamespace} from '../../src/model/fact.ts';
import {readSnapshot} from '../../src/probe/snapshot.ts';
import {leaveNothingBehind} from '../support/leaks.ts';
import {Running, start, temporaryFolder} from '../support/nsview.ts';
import {fixture} from '../support/paths.ts';
import {isRoot, maker, ownUser} from '../support/user.ts';

leaveNothingBehind();

type Listed = {readonly ns: string; readonly type: string; readonly nprocs: number};

/** It gives up where a process ends under it. */
function lsns(attempts = 20): Listed[] {
  try {
    return listed();
  } catch (error) {
    if (attempts === 0) throw error;
    return lsns(attempts - 1);
  }
}

const listed = (): Listed[] => {
  const {namespaces}: {namespaces: {ns: number; type: string; nprocs: number}[]} = JSON.parse(
    execFileSync('lsns', ['-J', '-o', 'NS,TYPE,NPROCS']).toString(),
  );
  return namespaces.map(one => ({...one, ns: String(one.ns)}));
};

/** Why lsns, which reads the links of processes, their parents and owners, and its own mount table, does not list it. */
function explain(namespace: SnapshotNamespace, own: string): string {
  const {threads, forChildrenOf, heldBy = []} = namespace;
  if (threads !== undefined) return 'a thread alone is in it: lsns reads the links of processes only';
  if (heldBy.some(one => one.by === 'mount' && one.inode !== own))
    return 'it is mounted in another mount namespace: lsns reads its own mounts only';
  if (heldBy.some(one => one.by === 'socket')) return 'a socket alone keeps it: lsns reads no sockets';
  if (heldBy.some(one => one.by === 'fd')) return 'an fd alone keeps it: lsns reads no fds';
  if (forChildrenOf !== undefined) return 'nobody is in it yet: lsns does not read pid_for_children and time_for_children';
  if (heldBy.some(one => one.by === 'namespace')) return 'it owns or is above others, and nobody is in it';
  return heldBy.length === 0 ? 'nothing that can be asked keeps it: NS_MNT_GET_NEXT alone tells of it' : 'not explained';
}

const inodeOf = (path: string): string => /\[(\d+)\]/.exec(readlinkSync(path))?.[1] ?? '';

async function said(program: string, args: readonly string[]): Promise<Running> {
  const running = new Running(program, args);
  await running.says(/ready/);
  return running;
}

/** Snapshots around lsns between which nothing changed: others live on this machine. */
function still(): {snapshot: Snapshot; theirs: Listed[]} {
  const shape = (snapshot: Snapshot) =>
    snapshot.namespaces
      .filter(({type}) => type !== 'mnt')
      .map(({inode, processes}) => `${inode}:${processes.join()}`)
      .join(' ');
  for (let attempt = 0; ; attempt++) {
    const before = readSnapshot({version: 'test'});
    const theirs = lsns();
    const snapshot = readSnapshot({version: 'test'});
    if (shape(before) === shape(snapshot) || attempt === 20) return {snapshot, theirs};
  }
}

describe('beside lsns', () => {
  it('lists all that lsns lists, with as many processes, and can explain each that lsns misses', async () => {
    using folder = temporaryFolder();
    const {path} = folder;
    // An older mount namespace can hold a newer one only, and since 6.18 ages are numbers that each CPU draws from a store of its own.
    const cpu = /^Cpus_allowed_list:\t(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
    const pins = `mount -t tmpfs none ${path} && mount --make-private ${path} && cd ${path} && touch uts mnt net && unshare --uts=uts true && unshare --mount=mnt true && unshare --net=net true && echo ready && exec cat`;
    await using pinning = await said('taskset', ['-c', cpu, 'unshare', ...ownUser, '--mount', 'sh', '-c', pins]);
    await using isolated = await said('unshare', ['-Urmnuip', '--fork', '--kill-child', 'sh', '-c', 'echo ready; exec cat']);
    await using thread = start(...maker(fixture('thread-unshares-net')));
    await thread.says(/ready/);
    await using opens = await said('sh', [
      '-c',
      `unshare ${ownUser.join(' ')} --ipc sleep 0.4 & sleep 0.2; exec 8</proc/$!/ns/ipc; wait $!; echo ready; exec cat`,
    ]);
    await using socket = await said(fixture('socket-elsewhere'), []);
    await using ghost = await said('unshare', ['-Ur', '--', 'unshare', '-Ur', 'sh', '-c', 'echo ready; exec cat']);
    await using waits = start(...maker(fixture('unshares-and-waits'), 'time'));
    await waits.says(/ready/);

    const {snapshot, theirs: rows} = still();
    const own = new Set(Object.values(snapshot.host.namespaces).map(String));
    const ours = new Map(snapshot.namespaces.map(one => [one.inode, one]));
    // All that lsns has, with its type and number of processes; it counts itself among those in our namespaces.
    for (const {ns, type, nprocs} of rows)
      expect([ns, ours.get(ns)?.type, ours.get(ns)?.processes.length]).toEqual([ns, type, nprocs - (own.has(ns) ? 1 : 0)]);

    const theirs = new Set(rows.map(({ns}) => ns));
    const mnt = inodeOf('/proc/self/ns/mnt');
    const missed = snapshot.namespaces.filter(({inode}) => !theirs.has(inode));
    const why = new Map(missed.map(one => [one.inode, `${one.type}: ${explain(one, mnt)}`]));
    expect([...why.values()].filter(text => text.endsWith('not explained'))).toEqual([]);
    // Those of this test, each for its reason.
    const tid = /tid (\d+)/.exec(thread.stdout)?.[1];
    expect(why.get(inodeOf(`/proc/${tid}/ns/net`))).toBe('net: a thread alone is in it: lsns reads the links of processes only');
    // Later lsns look at fds and sockets as well.
    const alone = /net (\d+)/.exec(socket.stdout)?.[1] ?? '';
    expect(theirs.has(alone) ? 'listed' : why.get(alone)).toMatch(/^listed$|^net: a socket alone keeps it: lsns reads no sockets$/);
    expect(ours.get(alone)?.heldBy).toMatchObject([{by: 'socket', pid: socket.pid}]);
    const held = (pid: number) =>
      missed.filter(one => one.heldBy?.some(by => 'pid' in by && by.pid === pid)).map(one => why.get(one.inode));
    expect(held(pinning.pid)).toEqual(
      ['mnt', 'net', 'uts'].map(type => `${type}: it is mounted in another mount namespace: lsns reads its own mounts only`),
    );
    const opened = snapshot.namespaces.filter(one => one.heldBy?.some(by => by.by === 'fd' && by.pid === opens.pid && by.fd === 8));
    expect(opened).toMatchObject([{type: 'ipc', processes: []}]);
    for (const one of opened) if (!theirs.has(one.inode)) expect(why.get(one.inode)).toBe('ipc: an fd alone keeps it: lsns reads no fds');
    if (process.env.SHOW) console.log([...new Set(why.values())].join('\n'));
    const all = [pinning, isolated, thread, opens, socket, ghost, waits];
    for (const one of all) one.release();
    await Promise.all(all.map(one => one.ended));
  });

  it('finds what ip netns lists, with the interfaces that ip shows', async context => {
    context.skip(!existsSync('/usr/sbin/ip') && !existsSync('/sbin/ip') && !existsSync('/usr/bin/ip'), 'there is no ip here');
    const script =
      'mount --make-rprivate / && mount -t tmpfs none /run && ip netns add one && ip netns add two && ip -n two link set lo up && ip -n two addr add 10.1.2.3/24 dev lo && echo ready && exec cat';
    // ip(8) comes back to where it was: a user may not, from a network namespace of their own.
    const own = isRoot ? [] : [...ownUser, '--net'];
    await using running = await said('unshare', [...own, '--mount', 'sh', '-c', script]);
    const there = (...args: string[]): string =>
      execFileSync('nsenter', [
        '-t',
        String(running.pid),
        ...(isRoot ? [] : ['--user', '--preserve-credentials']),
        '--mount',
        ...args,
      ]).toString();
    const names = (JSON.parse(there('ip', '-j', 'netns', 'list')) as {name: string}[]).map(({name}) => name);
    const {namespaces, networks} = readSnapshot({version: 'test'});
    expect(names.sort()).toEqual(['one', 'two']);
    for (const name of names) {
      const inode = there('stat', '-Lc', '%i', `/run/netns/${name}`).trim();
      expect(namespaces.find(one => one.inode === inode)).toMatchObject({type: 'net', processes: []});
      const point = namespaces.find(one => one.inode === inode)?.heldBy?.map(one => (one.by === 'mount' ? one.point : one.by));
      expect(point).toContain(`/run/netns/${name}`);
      const links: {ifname: string; addr_info: {local: string; prefixlen: number}[]}[] = JSON.parse(there('ip', '-n', name, '-j', 'addr'));
      const seen = networks?.find(one => one.inode === inode);
      if (seen === undefined || isRefusal(seen.interfaces)) throw new Error(JSON.stringify(seen));
      expect(seen.interfaces.map(one => [one.name, [...one.addresses].sort()])).toEqual(
        links.map(one => [one.ifname, one.addr_info.map(({local, prefixlen}) => `${local}/${prefixlen}`).sort()]),
      );
    }
    running.release();
    await running.ended;
  });
});
