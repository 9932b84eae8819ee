import {execFileSync} from 'node:child_process';
import {readFileSync} from 'node:fs';
import {describe, expect, it} from 'vitest';
import {isRefusal, type Snapshot} from '../../src/model/fact.ts';
import {parseSnapshot} from '../../src/probe/schemas.ts';
import {readSnapshot} from '../../src/probe/snapshot.ts';
import {leaveNothingBehind} from '../support/leaks.ts';
import {Running, run, start} from '../support/nsview.ts';
import {fixture, NSVIEW} from '../support/paths.ts';
import {maker, needsRoot} from '../support/user.ts';

leaveNothingBehind();

const take = (): Snapshot => readSnapshot({version: 'test'});

/** A few trees in namespaces of their own. */
async function trees(): Promise<AsyncDisposable & {running: Running[]}> {
  const running = [
    start(fixture('unshares-and-waits'), 'user', 'mnt', 'pid', 'net'),
    start(...maker(fixture('unshares-and-waits'), 'uts', 'ipc', 'cgroup')),
    start(...maker(fixture('unshares-and-waits'), 'time', 'mnt')),
    start(...maker(fixture('thread-unshares-net'))),
  ];
  for (const one of running) await one.says(/ready/);
  return {
    running,
    [Symbol.asyncDispose]: async () => {
      for (const one of running) one.release();
      await Promise.all(running.map(one => one.ended));
    },
  };
}

describe('a snapshot', () => {
  it('agrees with lsns on every namespace and its number of processes', async () => {
    await using all = await trees();
    void all;
    // Others live on this machine: compare only what stood still around lsns.
    const shape = (snapshot: Snapshot) => snapshot.namespaces.map(({inode, processes}) => `${inode}:${processes.join()}`).join(' ');
    for (let attempt = 0; ; attempt++) {
      const before = take();
      const listed: {namespaces: {ns: number; type: string; nprocs: number}[]} = JSON.parse(
        execFileSync('lsns', ['-J', '-o', 'NS,TYPE,NPROCS']).toString(),
      );
      const after = take();
      if (shape(before) !== shape(after) && attempt < 20) continue;
      const ours = new Map(after.namespaces.map(namespace => [namespace.inode, namespace]));
      const own = new Set(Object.values(after.host.namespaces).map(String));
      // Kept by a mount alone, without a process: not part of a snapshot of processes.
      const peopled = listed.namespaces.filter(namespace => namespace.nprocs > 0);
      expect(peopled.length).toBeGreaterThan(12);
      for (const {ns, type, nprocs} of peopled) {
        // lsns counts itself, and it is in our namespaces.
        const expected = own.has(String(ns)) ? nprocs - 1 : nprocs;
        expect([type, ns, ours.get(String(ns))?.processes.length]).toEqual([type, ns, expected]);
        expect(ours.get(String(ns))?.type).toBe(type);
      }
      const theirs = new Set(peopled.map(namespace => String(namespace.ns)));
      for (const namespace of after.namespaces) if (namespace.processes.length > 0) expect(theirs).toContain(namespace.inode);
      return;
    }
  });

  it('finds what lsns misses: a thread alone in its network namespace, and where children will be born', async () => {
    await using all = await trees();
    const threaded = all.running[3];
    const tid = Number(/tid (\d+)/.exec(threaded?.stdout ?? '')?.[1]);
    const snapshot = take();
    const lonely = snapshot.namespaces.find(namespace => namespace.threads?.some(thread => thread.tid === tid));
    expect(lonely).toMatchObject({type: 'net', processes: [], threads: [{pid: threaded?.pid, tid}]});
    const maker = all.running[0]?.pid ?? 0;
    const born = snapshot.namespaces.find(namespace => namespace.forChildrenOf?.includes(maker));
    expect(born).toMatchObject({type: 'pid', processes: [Number(/child (\d+)/.exec(all.running[0]?.stdout ?? '')?.[1])]});
  });

  it('agrees with /proc/PID/mountinfo on every mount of every mount namespace', async () => {
    await using all = await trees();
    void all;
    const snapshot = take();
    expect(snapshot.mountNamespaces.length).toBeGreaterThanOrEqual(3);
    for (const {pid, mounts} of snapshot.mountNamespaces) {
      if (isRefusal(mounts)) {
        expect(mounts.errno).toMatch(/^E/);
        continue;
      }
      const lines = readFileSync(`/proc/${pid}/mountinfo`, 'utf8').trimEnd().split('\n');
      // Encoded again, it must be the kernel's line to the letter.
      const mangle = (text: string) => text.replaceAll(/[ \t\n\\#]/g, char => `\\${char.charCodeAt(0).toString(8).padStart(3, '0')}`);
      expect(
        mounts.map(mount => {
          const {shared, master, propagateFrom, unbindable} = mount.propagation;
          const tags = [
            shared === undefined ? '' : ` shared:${shared}`,
            master === undefined ? '' : ` master:${master}`,
            propagateFrom === undefined ? '' : ` propagate_from:${propagateFrom}`,
            unbindable ? ' unbindable' : '',
          ].join('');
          const options = mount.superOptions.map(mangle).join(',');
          return `${mount.id} ${mount.parent} ${mount.device} ${mangle(mount.root)} ${mangle(mount.point)} ${mount.options.join(',')}${tags} - ${mangle(mount.fsType)} ${mangle(mount.source)} ${options}`;
        }),
      ).toEqual(lines);
    }
  });

  it('is valid by its own schema, whole and of a tree', async () => {
    await using all = await trees();
    const whole = await run('snapshot', '--json');
    expect(whole.code).toBe(0);
    expect(parseSnapshot(JSON.parse(whole.stdout))).toMatchObject({ok: true});
    const root = all.running[0]?.pid ?? 0;
    const tree = await run('snapshot', '--json', '-p', String(root));
    const parsed = parseSnapshot(JSON.parse(tree.stdout));
    expect(parsed.ok && parsed.value.processes.map(process => process.comm)).toEqual(['unshares-and-wa', 'inside']);
    const inside = parsed.ok ? parsed.value.processes[1] : undefined;
    expect(inside?.nspid).toEqual([inside?.pid, 1]);
  });

  it('shows the tree as text, with names for namespaces, and nothing that a terminal would obey', async () => {
    await using hostile = start(...maker(fixture('hostile-name')));
    await hostile.says(/ready/);
    const {stdout, code} = await run('snapshot', '-p', String(hostile.pid));
    expect(code).toBe(0);
    expect(stdout).toContain('\\x1b[41m\\x1b[2Jbad');
    expect(stdout).toContain('+mnt:b');
    expect(stdout).toMatch(/^[^\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]*$/);
    hostile.release();
    expect((await hostile.ended).code).toBe(0);
  });

  it('shows refusals in their place to an ordinary user, and does not fail', async () => {
    needsRoot('become another user');
    await using user = new Running('setpriv', ['--reuid=65534', '--regid=65534', '--clear-groups', NSVIEW, 'snapshot', '--json']);
    const {code, stdout} = await user.ended;
    expect(code).toBe(0);
    const parsed = parseSnapshot(JSON.parse(stdout));
    expect(parsed.ok).toBe(true);
    const root = parsed.ok ? parsed.value.processes.find(process => process.pid === globalThis.process.pid) : undefined;
    expect(root?.namespaces.mnt).toEqual({errno: 'EACCES', during: 'readlink'});
    expect(root?.uids).toEqual([0, 0, 0, 0]);
  });

  it('under a storm of short-lived processes is always whole and valid', async () => {
    const storms = [1, 2, 3].map(() => start('sh', '-c', 'while :; do /bin/true; done'));
    try {
      for (let count = 0; count < 100; count++) {
        const parsed = parseSnapshot(JSON.parse(JSON.stringify(take())));
        expect(parsed).toMatchObject({ok: true});
      }
      for (let count = 0; count < 5; count++) {
        const outcome = await run('snapshot', '--json');
        expect(outcome.code).toBe(0);
        expect(parseSnapshot(JSON.parse(outcome.stdout)).ok).toBe(true);
      }
    } finally {
      for (const storm of storms) await storm[Symbol.asyncDispose]();
    }
  });
});
