import {execFileSync} from 'node:child_process';
import {existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, rmdirSync, writeFileSync} from 'node:fs';
import {describe, expect, it} from 'vitest';
import {detailsOf} from '../../src/model/details.ts';
import {isRefusal} from '../../src/model/fact.ts';
import {lineText} from '../../src/model/line.ts';
import type {Ownership} from '../../src/model/ownership.ts';
import {holderText, joinCommand} from '../../src/model/ownership-lines.ts';
import {createWorld, observe} from '../../src/model/world.ts';
import {cgroupDirectory} from '../../src/probe/cgroup.ts';
import {isDeaf, machineLook} from '../../src/probe/holders.ts';
import {readMounts} from '../../src/probe/mountinfo.ts';
import {idInside, lookAtAll, powerOver, readNamespaceHolders, readOwnership} from '../../src/probe/ownership.ts';
import {readStat} from '../../src/probe/process.ts';
import {readSnapshot} from '../../src/probe/snapshot.ts';
import {isSince} from '../support/kernel.ts';
import {leaveNothingBehind} from '../support/leaks.ts';
import {Running, run, temporaryFolder} from '../support/nsview.ts';
import {fixture} from '../support/paths.ts';
import {patient} from '../support/patience.ts';
import {isRoot, needsRoot, ownUser} from '../support/user.ts';

leaveNothingBehind();

const inodeOf = (path: string): string => /\[(\d+)\]/.exec(readlinkSync(path))?.[1] ?? '';

const readChildren = (pid: number): string => readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();

/** The tab of a process as it is drawn. */
function tab(pid: number, width: number): string {
  const at = '1';
  const snapshot = readSnapshot({version: 'test'});
  const {host} = snapshot;
  const world = createWorld({format: 'nsview/tape', version: 1, nsview: 'test', at, realtime: at, host, target: {machine: true}});
  for (const seen of snapshot.processes) observe(world, {kind: 'process', at, because: 'attach', ...seen});
  const process = world.byPid.get(pid);
  if (process === undefined) throw new Error('not there');
  lookAtAll();
  observe(world, {kind: 'ownership', at, pid, start: process.start, seen: readOwnership(pid)});
  const details = detailsOf(world, process, 'namespaces', {width, inodes: false, live: true});
  return Array.from({length: details.count}, (_, index) => lineText(details.line(index))).join('\n');
}

function read(pid: number): Ownership {
  lookAtAll();
  const seen = readOwnership(pid);
  if (isRefusal(seen)) throw new Error(JSON.stringify(seen));
  return seen;
}

/** A shell in namespaces of its own that tells when it is there. */
async function inside(...options: string[]): Promise<Running> {
  const own = options.includes('-Ur') ? [] : ownUser;
  const running = new Running('unshare', [...own, ...options, 'sh', '-c', 'echo ready $$; exec cat']);
  await running.says(/ready/);
  return running;
}

/**
 * A mount namespace can be mounted only in an older one (mnt_ns_loop(), fs/namespace.c), and since 6.18 ages are compared by numbers that each CPU
 * draws from a store of its own: what makes one inside another must stay on one CPU.
 */
const onOneCpu = (): string[] => ['-c', /^Cpus_allowed_list:\t(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0'];

/** A program that is ready. */
async function said(program: string, args: readonly string[]): Promise<Running> {
  const running = new Running(program, args);
  await running.says(/ready/);
  return running;
}

/** Whether it can be known of a pid namespace that its first process has ended. */
const seesEnded = isRoot || isSince(6, 11);

describe('ownership', () => {
  it('names the owner that the kernel names, and the ghost above that has no process', async () => {
    // The outer user namespace is left by its only process: nothing but its child keeps it.
    await using running = await inside('-Ur', '--', 'unshare', '-Ur', '--net', '--');
    const own = inodeOf(`/proc/${running.pid}/ns/user`);
    const {namespaces, holders} = read(running.pid);
    const net = namespaces.find(({link}) => link === 'net');
    if (net === undefined || isRefusal(net.lineage)) throw new Error('no lineage');
    expect(net.lineage.owners[0]).toEqual({inode: own, uid: process.getuid?.()});
    expect(net.power.rule).toBe('member');
    const ghost = net.lineage.owners[1]?.inode ?? '';
    expect(net.lineage.owners).toHaveLength(3);
    expect(net.lineage.owners[2]?.inode).toBe(inodeOf('/proc/self/ns/user'));
    expect(holders.find(({inode}) => inode === ghost)?.holders).toEqual([{by: 'namespace', type: 'user', inode: own, as: 'child'}]);
    const found = readSnapshot({version: 'test'}).namespaces.find(({inode}) => inode === ghost);
    expect(found).toMatchObject({type: 'user', processes: [], heldBy: [{by: 'namespace', inode: own}]});
    for (const width of [36, 60, 100]) {
      const text = tab(running.pid, width);
      expect(text).toMatch(/To enter it\n {2}nsenter -t /);
      expect(text.replaceAll(/\s+/g, ' ')).toContain(`nsenter -t ${running.pid} --user --net`);
      expect(text).toContain(`#${ghost}`);
      expect(text).toMatch(/is above user:[b-z]/);
      for (const line of text.split('\n')) expect(line.length).toBeLessThanOrEqual(width);
    }
    running.release();
    await running.ended;
  });

  it.skipIf(!existsSync('/usr/bin/bwrap'))('knows every owner that bwrap leaves, with processes or without', async () => {
    const options = ['--unshare-all', '--cap-add', 'ALL', '--dev-bind', '/', '/'];
    await using running = new Running('bwrap', [...options, 'sh', '-c', 'echo ready; exec cat']);
    await running.says(/ready/);
    const [child = 0] = readChildren(running.pid).split(' ').map(Number);
    const all = readSnapshot({version: 'test'}).namespaces;
    const {namespaces} = read(child);
    const user = namespaces.find(({link}) => link === 'user');
    if (user === undefined || isRefusal(user.lineage)) throw new Error('no lineage');
    for (const {inode} of user.lineage.chain) expect(all.map(one => one.inode)).toContain(inode);
    const owners = new Set(namespaces.flatMap(({lineage}) => (isRefusal(lineage) ? [] : lineage.owners.map(({inode}) => inode))));
    for (const inode of owners) expect(all.find(one => one.inode === inode)).toBeDefined();
    running.release();
    await running.ended;
  });

  it.each([
    ['user, mnt, net and uts', ['-Ur', '--mount', '--net', '--uts']],
    ['pid with a /proc of its own', ['--pid', '--fork', '--mount-proc']],
    ['pid alone', ['--pid', '--fork']],
    ['time', ['--time', '--fork']],
    ['cgroup and ipc', ['--cgroup', '--ipc']],
    ['all of them', ['-Ur', '-m', '-p', '-f', '-n', '-u', '-i', '-C', '-T']],
    ['another root', []],
  ])('enters %s by the command that it shows', async (what, options) => {
    using folder = temporaryFolder();
    // The same files below, so that there are programs.
    const chroot = `mount --make-rprivate / && mount --rbind / ${folder.path} && exec chroot ${folder.path} sh -c 'echo ready; exec cat'`;
    await using running =
      what === 'another root'
        ? await said('unshare', [...ownUser, '--mount', 'sh', '-c', chroot])
        : await inside(...options, '--kill-child');
    const forked = options.some(option => option === '--fork' || option === '-f');
    const pid = forked ? Number(readChildren(running.pid)) : running.pid;
    const {enter} = read(pid);
    const [program = '', ...args] = enter;
    const links = ['user', 'mnt', 'pid', 'net', 'uts', 'ipc', 'cgroup', 'time'];
    const out = execFileSync(program, [...args, '--', 'readlink', ...links.map(link => `/proc/self/ns/${link}`)]).toString();
    expect(out.trim().split('\n')).toEqual(links.map(link => readlinkSync(`/proc/${pid}/ns/${link}`)));
    if (what === 'another root') {
      expect(enter).toContain('--root');
      expect(execFileSync(program, [...args, '--', 'stat', '-Lc', '%d:%i', '/']).toString()).toBe(
        execFileSync('stat', ['-Lc', '%d:%i', `/proc/${pid}/root`]).toString(),
      );
    }
    running.release();
    await running.ended;
  });

  it('tells how to be in its cgroups as well, where nsenter stays', async context => {
    needsRoot('make a cgroup at the root of the hierarchy');
    const mounts = readMounts('self');
    const directory = isRefusal(mounts) ? mounts : cgroupDirectory({hierarchy: 0, controllers: [], path: '/'}, mounts);
    if (isRefusal(directory)) return context.skip('needs a mount of cgroup v2');
    const path = `${directory}/nsview-test-${process.pid}`;
    mkdirSync(path);
    using _ = {[Symbol.dispose]: () => rmdirSync(path)};
    await using running = await inside(...ownUser, '--uts');
    writeFileSync(`${path}/cgroup.procs`, String(running.pid));
    const {enter, join} = read(running.pid);
    expect(join).toEqual([`${path}/cgroup.procs`]);
    const entered = (before: string) => execFileSync('sh', ['-c', `${before}exec ${enter.join(' ')} cat /proc/self/cgroup`]).toString();
    const own = readFileSync(`/proc/${running.pid}/cgroup`, 'utf8');
    expect(own).toContain(`0::/nsview-test-${process.pid}\n`);
    expect(entered('')).not.toBe(own);
    expect(entered(`${joinCommand(join ?? [])}; `)).toBe(own);
    expect(tab(running.pid, 60).replaceAll(/\s+/g, ' ')).toContain(
      `its caller; to be limited as the process is, before that echo $$ >${path}`,
    );
    // Several hierarchies, as of version 1, at once.
    expect(joinCommand(['/a', '/b c'])).toBe("echo $$ | tee /a '/b c'");
    running.release();
    await running.ended;
    // Who was there last may take a moment to be gone.
    await expect.poll(() => readFileSync(`${path}/cgroup.procs`, 'utf8'), {timeout: patient(5000)}).toBe('');
  });

  it('finds all that lsns finds, and what is pinned inside another mount namespace', async () => {
    using folder = temporaryFolder();
    const script = `mount -t tmpfs none ${folder.path} && mount --make-private ${folder.path} && touch ${folder.path}/uts ${folder.path}/mnt && unshare --uts=${folder.path}/uts true && unshare --mount=${folder.path}/mnt true && echo ready && exec cat`;
    await using running = await said('taskset', [...onOneCpu(), 'unshare', ...ownUser, '--mount', 'sh', '-c', script]);
    const {namespaces} = readSnapshot({version: 'test'});
    const pinned = (['uts', 'mnt'] as const).map(type =>
      namespaces.find(({heldBy}) => heldBy?.some(holder => holder.by === 'mount' && holder.point === `${folder.path}/${type}`)),
    );
    expect(pinned).toMatchObject([
      {type: 'uts', processes: []},
      {type: 'mnt', processes: []},
    ]);
    const listed: {namespaces: {ns: number}[]} = JSON.parse(execFileSync('lsns', ['-J', '-o', 'NS']).toString());
    const theirs = listed.namespaces.map(({ns}) => String(ns));
    for (const one of pinned) expect(theirs).not.toContain(one?.inode);
    const ours = new Set(namespaces.map(({inode}) => inode));
    expect(theirs.filter(inode => !ours.has(inode))).toEqual([]);
    running.release();
    await running.ended;
  });

  it('finds a mount namespace that nobody is in and nothing leads to, with its mounts', async context => {
    using folder = temporaryFolder();
    const {path} = folder;
    // The one that is pinned pins another in turn, which no path of this machine leads to once the pin is in a namespace without processes.
    const inner = `mount -t tmpfs -o nr_inodes=9 below ${path}; touch ${path}/pin; mount --make-private ${path}; unshare --mount=${path}/pin true`;
    const script = `mount -t tmpfs none ${path} && mount --make-private ${path} && touch ${path}/mnt && unshare --mount=${path}/mnt sh -c '${inner}' && echo ready && exec cat`;
    await using running = await said('taskset', [...onOneCpu(), 'unshare', ...ownUser, '--mount', 'sh', '-c', script]);
    const {namespaces, mountNamespaces, unlisted} = readSnapshot({version: 'test'});
    const outer = namespaces.find(({heldBy}) => heldBy?.some(holder => holder.by === 'mount' && holder.point === `${path}/mnt`));
    // Its mounts are read through the pin, on any kernel.
    const table = mountNamespaces.find(({inode}) => inode === outer?.inode);
    if (table === undefined || isRefusal(table.mounts)) throw new Error(JSON.stringify(table));
    expect(table.mounts).toContainEqual(expect.objectContaining({point: path, source: 'below'}));
    const nested = namespaces.find(({heldBy}) => heldBy?.some(one => one.by === 'mount' && one.inode === outer?.inode && one.pid === 0));
    expect(nested).toMatchObject({type: 'mnt', processes: []});
    const release = nested?.heldBy?.map(holder => holderText(holder).release)[0] ?? '';
    if (unlisted === undefined) {
      expect(nested?.owner).toBe(inodeOf('/proc/self/ns/user'));
      expect(mountNamespaces.find(({inode}) => inode === nested?.inode)?.mounts).toContainEqual(expect.objectContaining({point: path}));
    }
    execFileSync('sh', ['-c', release]);
    expect(readSnapshot({version: 'test'}).namespaces.map(({inode}) => inode)).not.toContain(nested?.inode);
    running.release();
    await running.ended;
    // Whole only as root outside of every container, on Linux 6.12 or later: EPERM and ENOTTY elsewhere.
    if (unlisted !== undefined) context.skip(`kernel lacks NS_MNT_GET_NEXT: ${unlisted.errno}`);
  });

  it('finds where the children of one thread alone will be born', async context => {
    if (!isRoot) return context.skip('a user namespace of its own is for a process of one thread');
    await using running = await said(fixture('thread-parts-children'), []);
    const {pid} = running;
    const [tid = 0, child = 0] = /tid (\d+) child (\d+)/.exec(running.stdout)?.slice(1).map(Number) ?? [];
    for (const type of ['pid', 'time']) {
      const inode = inodeOf(`/proc/${child}/ns/${type}`);
      expect(inodeOf(`/proc/${pid}/task/${tid}/ns/${type}_for_children`)).toBe(inode);
      const held = {by: 'children', pid, tid} as const;
      const processes = {by: 'processes', count: 1, pids: [child]};
      expect(readNamespaceHolders(inode)).toMatchObject({type, holders: [processes, held]});
      expect(holderText(held)).toEqual({who: `for the children of thread ${tid} of ${pid}`, release: `kill ${pid}`});
      for (const snapshot of [readSnapshot({version: 'test'}), readSnapshot({version: 'test', root: pid})])
        expect(snapshot.namespaces.find(one => one.inode === inode)).toMatchObject({processes: [child], heldBy: [held]});
    }
    // It ends its child as well.
    running.release();
    await running.ended;
  });

  it('tells what a fork meets in a pid namespace without its first process: the first is init, and after its end none can be', async context => {
    if (!seesEnded) return context.skip('kernel lacks NS_GET_TGID_FROM_PIDNS (6.11), and only root knows that nobody is there');
    const script = 'echo ready; read x; /bin/true; echo one; read x; /bin/true; echo two';
    await using running = await said('unshare', [...ownUser, '--pid', 'sh', '-c', script]);
    const {pid} = running;
    const told = () => tab(pid, 100).replaceAll(/\s+/g, ' ');
    expect(() => readlinkSync(`/proc/${pid}/ns/pid_for_children`)).toThrow('ENOENT');
    expect(told()).toContain('└ children a new one, still empty: the first to come is its init');
    running.child.stdin?.write('\n');
    await running.says(/one/);
    const why = 'fork fails with ENOMEM: there its first process has ended';
    expect(told()).toMatch(
      /└ children pid:[b-z]+ those to come, not itself └ its fork fails with ENOMEM: there its first process has ended/,
    );
    const inode = inodeOf(`/proc/${pid}/ns/pid_for_children`);
    const [held] = readNamespaceHolders(inode)?.holders ?? [];
    expect(held).toEqual({by: 'children', pid, ended: true});
    running.child.stdin?.write('\n');
    const {stdout, stderr} = await running.ended;
    expect(stdout).not.toContain('two');
    expect(stderr).toContain('Cannot fork');
    // Where the first process lives, they can.
    await using lives = await inside(...ownUser, '--pid', '--fork');
    expect(tab(lives.pid, 100).replaceAll(/\s+/g, ' ')).not.toContain(why);
    expect(readNamespaceHolders(inodeOf(`/proc/${lives.pid}/ns/pid_for_children`))?.holders.at(-1)).toEqual({
      by: 'children',
      pid: lives.pid,
    });
    lives.release();
    await lives.ended;
  });

  it('names the signal that ends the first process of a pid namespace, which SIGTERM does not', async () => {
    await using running = await inside('--pid', '--fork');
    const init = Number(readChildren(running.pid));
    const inode = inodeOf(`/proc/${init}/ns/pid`);
    const [held] = readNamespaceHolders(inode)?.holders ?? [];
    if (held === undefined) throw new Error('nobody');
    process.kill(init, 'SIGTERM');
    expect(readFileSync(`/proc/${init}/status`, 'utf8')).toMatch(/^ShdPnd:\t0+$/m);
    const {release} = holderText(held);
    expect(release).toBe(`kill -KILL ${init}`);
    execFileSync('sh', ['-c', release]);
    await running.ended;
    // Who is there to hear of it is asked to go; an interactive shell ignores that.
    await using hears = await said('sh', ['-c', 'echo ready; exec cat']);
    await using ignores = await said('sh', ['-c', "trap '' TERM; echo ready; exec cat"]);
    expect(isDeaf(hears.pid)).toBe(false);
    expect(isDeaf(ignores.pid)).toBe(true);
    await using handles = await said('unshare', [...ownUser, '--pid', '--fork', 'sh', '-c', "trap 'exit 0' TERM; echo ready; read x"]);
    expect(isDeaf(Number(readChildren(handles.pid)))).toBe(false);
    for (const one of [hears, ignores, handles]) {
      one.release();
      await one.ended;
    }
  });

  it('finds the zombie that keeps a pid namespace, and whose end lets go', async () => {
    // The child is the first one in it.
    const script = 'sleep 0.1 & echo child $!; echo ready; exec sleep 60';
    await using parent = await said('unshare', [...ownUser, '--pid', 'sh', '-c', script]);
    const child = Number(/child (\d+)/.exec(parent.stdout)?.[1]);
    await expect.poll(() => readFileSync(`/proc/${child}/status`, 'utf8')).toMatch(/^State:\tZ/m);
    const inode = inodeOf(`/proc/${child}/ns/pid`);
    const [zombie, ...others] = readNamespaceHolders(inode)?.holders ?? [];
    expect(zombie).toEqual({by: 'zombie', pid: child, parent: parent.pid});
    // It was the first process there.
    expect(others).toEqual([{by: 'children', pid: parent.pid, ...(seesEnded ? {ended: true} : {})}]);
    if (zombie === undefined) return;
    const {who, release} = holderText(zombie);
    expect([who, release]).toEqual([`zombie ${child}, for which ${parent.pid} has not waited`, `kill ${parent.pid}`]);
    execFileSync('sh', ['-c', release]);
    await parent.ended;
    // Whether and when init waits for it is for that to know.
    const left = readStat(child);
    expect(isRefusal(left) ? null : left.ppid).not.toBe(parent.pid);
  });

  it('finds a namespace that only an fd holds', async () => {
    // The namespace's only process has ended by the time that it says so.
    const script = `unshare ${ownUser.join(' ')} --net sleep 0.5 & sleep 0.2; exec 8</proc/$!/ns/net; wait $!; echo ready; exec cat`;
    await using running = new Running('sh', ['-c', script]);
    await running.says(/ready/);
    const fds = readSnapshot({version: 'test'}).namespaces.filter(({heldBy}) =>
      heldBy?.some(one => one.by === 'fd' && one.pid === running.pid),
    );
    expect(fds).toMatchObject([{type: 'net', processes: [], heldBy: [{by: 'fd', fd: 8}]}]);
    running.release();
    await running.ended;
  });

  it('finds a mount namespace that only an open mountinfo holds, and its mounts', async context => {
    needsRoot('list mount namespaces');
    using folder = temporaryFolder();
    const inside = `mount -t tmpfs lone ${folder.path}; sleep 0.6`;
    const script = `unshare --mount sh -c '${inside}' & sleep 0.3; exec 8</proc/$!/mountinfo; head -n1 /proc/$!/mountinfo; wait $!; read line <&8; echo ready; exec cat`;
    await using running = await said('sh', ['-c', script]);
    const held = {by: 'fd', pid: running.pid, fd: 8, table: true} as const;
    expect(holderText(held)).toEqual({
      who: `open mountinfo, fd 8 of ${running.pid}`,
      release: `gdb -p ${running.pid} -batch -ex 'call (int)close(8)'`,
    });
    const position = () => /^pos:\t(\d+)$/m.exec(readFileSync(`/proc/${running.pid}/fdinfo/8`, 'utf8'))?.[1];
    const before = position();
    const {namespaces, mountNamespaces, unlisted} = readSnapshot({version: 'test'});
    if (unlisted !== undefined) context.skip('kernel lacks NS_MNT_GET_NEXT, or lists mount namespaces to the first user namespace only');
    const lone = namespaces.filter(({heldBy}) => heldBy?.some(one => one.by === 'fd' && one.pid === running.pid));
    expect(lone).toMatchObject([{type: 'mnt', processes: [], heldBy: [held]}]);
    const inode = lone[0]?.inode ?? '';
    expect(mountNamespaces.find(one => one.inode === inode)?.mounts).toContainEqual(
      expect.objectContaining({point: folder.path, source: 'lone'}),
    );
    expect(readNamespaceHolders(inode)).toMatchObject({type: 'mnt', holders: [held]});
    // It reads on from where it was.
    expect(position()).toBe(before);
    running.release();
    await running.ended;
    await expect.poll(() => readNamespaceHolders(inode), {timeout: patient(5000)}).toBe(null);
  });

  it('finds the mount of a file system that is left in a mount namespace without processes, and what keeps that', async context => {
    needsRoot('list mount namespaces');
    using folder = temporaryFolder();
    execFileSync('mount', ['-t', 'tmpfs', 'left', folder.path]);
    using _ = {[Symbol.dispose]: () => execFileSync('umount', [folder.path])};
    const script = `unshare --mount --propagation private sleep 0.6 & sleep 0.3; exec 8</proc/$!/mountinfo; wait $!; echo ready; exec cat`;
    await using running = await said('sh', ['-c', script]);
    const {namespaces, unlisted} = readSnapshot({version: 'test'});
    if (unlisted !== undefined) context.skip('kernel lacks NS_MNT_GET_NEXT, or lists mount namespaces to the first user namespace only');
    const inode = namespaces.find(({heldBy}) => heldBy?.some(one => one.by === 'fd' && one.pid === running.pid))?.inode ?? '';
    const told = async () => (await run('who-pins', folder.path)).stdout;
    const text = await told();
    expect(text).toContain(`\n  ${folder.path} in mnt:[${inode}], where no process is\n     nsview who-pins 'mnt:[${inode}]'\n`);
    expect((await run('who-pins', `mnt:[${inode}]`)).stdout).toContain(`open mountinfo, fd 8 of ${running.pid}`);
    running.release();
    await running.ended;
    // Its number may be another's by now.
    await expect.poll(told, {timeout: patient(5000)}).not.toContain(`mnt:[${inode}], where no process is`);
  });

  it('tells of a mount namespace that only an fd on its way keeps in which queue that may be', async context => {
    needsRoot('list mount namespaces');
    const {unlisted} = readSnapshot({version: 'test'});
    if (unlisted !== undefined) context.skip('kernel lacks NS_MNT_GET_NEXT, or lists mount namespaces to the first user namespace only');
    await using running = await said(fixture('keeps-in-queue'), []);
    const {pid} = running;
    const [inode = '', queue = ''] = /mnt (\d+)\nqueue (\d+)/.exec(running.stdout)?.slice(1) ?? [];
    const held = {by: 'queue', pid, fd: Number(queue), fds: 1} as const;
    expect(readNamespaceHolders(inode)?.holders).toContainEqual(held);
    expect(holderText(held)).toEqual({who: `perhaps an fd on its way: 1 in the queue of socket fd ${queue} of ${pid}`, release: ''});
    expect(tab(process.pid, 100)).toContain(holderText(held).who);
    running.release();
    await running.ended;
    await expect.poll(() => readNamespaceHolders(inode)?.holders ?? [], {timeout: patient(5000)}).not.toContainEqual(held);
  });

  it('keeps no mount namespace alive by a look that stands still, or that begins anew', async context => {
    const open = (): string[] =>
      readdirSync('/proc/self/fd').flatMap(fd => {
        try {
          const link = readlinkSync(`/proc/self/fd/${fd}`);
          return link.startsWith('mnt:') ? [link] : [];
        } catch {
          // The folder's own.
          return [];
        }
      });
    await using one = await inside(...ownUser, '--mount');
    await using other = await inside(...ownUser, '--mount');
    const standing = () => {
      machineLook.restart();
      // So short that it comes to stand among the namespaces, once all processes were asked.
      for (let steps = 0; open().length === 0 && steps < 10_000; steps++) machineLook.advance(0.2);
      return open().length > 0;
    };
    // As above.
    const {unlisted} = readSnapshot({version: 'test'});
    if (unlisted !== undefined) context.skip(`kernel lacks NS_MNT_GET_NEXT: ${unlisted.errno}`);
    expect([1, 2, 3].some(standing)).toBe(true);
    machineLook.restart();
    expect(open()).toEqual([]);
    expect([1, 2, 3].some(standing)).toBe(true);
    await expect.poll(open, {timeout: patient(5000)}).toEqual([]);
    // It goes on from there.
    lookAtAll();
    expect(open()).toEqual([]);
    for (const running of [one, other]) {
      running.release();
      await running.ended;
    }
  });

  it('finds what one thread alone has open, in a file table of its own', async context => {
    needsRoot('come back from a network namespace');
    await using running = await said(fixture('thread-keeps'), []);
    const {pid} = running;
    const [tid = 0, fd = 0, opened = 0, socket = 0, made = 0] =
      /tid (\d+)\nfd (\d+) net (\d+)\nsocket (\d+) net (\d+)/.exec(running.stdout)?.slice(1).map(Number) ?? [];
    const held = {by: 'fd', pid, tid, fd} as const;
    expect(readNamespaceHolders(String(opened))).toMatchObject({type: 'net', holders: [held]});
    expect(holderText(held)).toEqual({who: `fd ${fd} of thread ${tid} of ${pid}`, release: `kill ${pid}`});
    const snapshot = readSnapshot({version: 'test'});
    const found = (inode: number) => snapshot.namespaces.find(one => one.inode === String(inode));
    expect(found(opened)).toMatchObject({processes: [], heldBy: [held]});
    expect(snapshot.networks?.find(({inode}) => inode === String(opened))).toMatchObject({interfaces: [{name: 'lo'}]});
    if (!isSince(6, 9)) context.skip('kernel lacks pidfds of threads (PIDFD_THREAD, 6.9), by which a socket of one is asked');
    const one = {by: 'socket', pid, tid, fd: socket} as const;
    expect(readNamespaceHolders(String(made))).toMatchObject({type: 'net', holders: [one]});
    expect(found(made)).toMatchObject({processes: [], heldBy: [one]});
    execFileSync('sh', ['-c', holderText(one).release]);
    await running.ended;
    for (const inode of [opened, made]) expect(readNamespaceHolders(String(inode))).toBe(null);
  });

  it.for<[string, string[]]>([
    ['a socket', []],
    ['a file of /dev/net/tun', ['tun']],
  ])('finds a network namespace that only %s holds, its owner and its interfaces, and what lets go', async ([, args], context) => {
    if (args.length > 0 && !existsSync('/dev/net/tun')) return context.skip('needs /dev/net/tun');
    // A look that began before the process did does not count.
    machineLook.advance(0);
    await using running = await said(fixture('socket-elsewhere'), args);
    const {namespaces, networks} = readSnapshot({version: 'test'});
    const lone = namespaces.find(({heldBy}) => heldBy?.some(one => one.by === 'socket' && one.pid === running.pid));
    const fd = Number(/socket (\d+)/.exec(running.stdout)?.[1]);
    expect(lone).toEqual({
      type: 'net',
      inode: /net (\d+)/.exec(running.stdout)?.[1],
      processes: [],
      // A user made one of their own for it, in which nobody is any more.
      owner: isRoot ? inodeOf('/proc/self/ns/user') : expect.stringMatching(/^\d+$/),
      heldBy: [{by: 'socket', pid: running.pid, fd, ...(args.length > 0 ? {tun: true} : {})}],
    });
    expect(networks?.find(({inode}) => inode === lone?.inode)).toMatchObject({pid: 0, interfaces: [{name: 'lo', up: false}]});
    // The tab says so of the whole machine, whoever is selected.
    expect(tab(process.pid, 60).replaceAll(/\s+/g, ' ')).toContain(
      `net #${lone?.inode} ${args.length > 0 ? '/dev/net/tun as' : 'socket'} fd ${fd} of ${running.pid} gdb -p ${running.pid}`,
    );
    running.release();
    await running.ended;
  });
});

describe('capabilities over a namespace', () => {
  const chain = [
    {inode: '3', uid: 1000},
    {inode: '2', uid: 0},
    {inode: '1', uid: 0},
  ];
  it.each([
    ['3', 5, 'member', 'ff'],
    ['2', 1000, 'owner', 'all'],
    ['2', 5, 'ancestor', 'ff'],
    ['9', 1000, 'none', '0'],
  ])('of a process in user namespace %s with euid %i: %s', (own, euid, rule, capabilities) =>
    expect(powerOver(own, chain, euid, 'ff')).toEqual({rule, capabilities}),
  );
  it('maps ids by the map', () => {
    expect(idInside('         0       1000          1\n         1     100000      65536\n', 100005)).toBe(6);
    expect(idInside('         0       1000          1\n', 7)).toBe(null);
  });
});
