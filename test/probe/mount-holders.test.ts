import {execFileSync, spawnSync} from 'node:child_process';
import {copyFileSync, mkdirSync, readFileSync, readlinkSync, truncateSync, writeFileSync} from 'node:fs';
import {basename} from 'node:path';
import {beforeEach, describe, expect, it} from 'vitest';
import {press} from '../../src/model/commands.ts';
import {detailsOf, wantedDetails} from '../../src/model/details.ts';
import {type Fact, isRefusal} from '../../src/model/fact.ts';
import {lineText} from '../../src/model/line.ts';
import {mountUsesText} from '../../src/model/mount-holder-lines.ts';
import type {MountHolders} from '../../src/model/mount-holders.ts';
import {createState, reduce, selectedProcess} from '../../src/model/state.ts';
import {pinnedMount} from '../../src/model/view.ts';
import {createWorld, observe} from '../../src/model/world.ts';
import {mountPinsText} from '../../src/out/pins-text.ts';
import {readHost} from '../../src/probe/host.ts';
import {readMountHolders} from '../../src/probe/mount-holders.ts';
import {mountIdOf} from '../../src/probe/mountinfo.ts';
import {readMountsFact} from '../../src/probe/mounts-fact.ts';
import {readProcess, readStat} from '../../src/probe/process.ts';
import {parseFact} from '../../src/probe/schemas.ts';
import {readStudy} from '../../src/probe/study.ts';
import {frameOf} from '../../src/ui/frame.ts';
import {createTheme} from '../../src/ui/theme.ts';
import {leaveNothingBehind} from '../support/leaks.ts';
import {Running, run, temporaryFolder} from '../support/nsview.ts';
import {fixture, NSVIEW} from '../support/paths.ts';
import {needsRoot} from '../support/user.ts';

leaveNothingBehind();

function mount(point: string): void {
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'mode=755', 'pinned', point]);
}

/** A folder with a mount on it: both are gone at the end of its scope. */
function mountedFolder(): Disposable & {readonly path: string} {
  const folder = temporaryFolder();
  execFileSync('chmod', ['755', folder.path]);
  mount(folder.path);
  return {
    path: folder.path,
    [Symbol.dispose]: () => {
      spawnSync('umount', ['--recursive', '--lazy', folder.path]);
      folder[Symbol.dispose]();
    },
  };
}

function holders(path: string): MountHolders {
  const id = mountIdOf(path);
  if (isRefusal(id)) throw new Error(JSON.stringify(id));
  const seen = readMountHolders(process.pid, id);
  if (isRefusal(seen)) throw new Error(JSON.stringify(seen));
  return seen;
}

const unmounts = (point: string): boolean => spawnSync('umount', [point]).status === 0;

describe('who pins a mount', () => {
  beforeEach(() => needsRoot('mount a file system where nsview is'));

  it('is told on the screen of the mount that is selected, which stays where it is when the table changes', async () => {
    using folder = mountedFolder();
    const {path} = folder;
    mkdirSync(`${path}/work`);
    mkdirSync(`${path}/below`);
    await using works = new Running('sleep', ['60'], {cwd: `${path}/work`});
    const own = readProcess(process.pid);
    if (isRefusal(own) || isRefusal(own.namespaces.mnt)) throw new Error('cannot read itself');
    const inode = own.namespaces.mnt;
    const at = () => String(process.hrtime.bigint());
    const header = {
      format: 'nsview/tape',
      version: 1,
      nsview: '',
      at: at(),
      realtime: '0',
      host: readHost(),
      target: {machine: true},
    } as const;
    let state = reduce(createState({header, mode: 'machine'}), {kind: 'resize', columns: 200, rows: 30});
    const facts = (...read: readonly Fact[]) => {
      state = reduce(reduce(state, {kind: 'facts', facts: read}), {kind: 'settle'});
    };
    const keys = (...names: readonly string[]) => {
      for (const name of names) state = press(state, name, '').state;
    };
    const rows = () => frameOf(state, createTheme(false), null).panes.flatMap(pane => (pane.name === 'details' ? pane.rows : []));
    facts({kind: 'process', at: at(), because: 'watch', ...own}, readMountsFact(inode, process.pid));
    keys('2', 'tab', 'end');
    const id = mountIdOf(path);
    for (let left = 500; state.view.mount?.id !== id && left > 0; left--) keys('up');
    expect(state.view.mount?.id).toBe(id);
    const chosen = () => rows().findIndex(row => row.includes('▌'));
    const row = chosen();
    expect(rows()[row]).toContain(basename(path));

    // One more, and one less, before it in the table or after it: it is still in its row.
    mount(`${path}/below`);
    facts(readMountsFact(inode, process.pid));
    expect(state.view.mount?.id).toBe(id);
    expect(chosen()).toBe(row);

    keys('enter');
    const {studies} = wantedDetails(state.world, selectedProcess(state), state.view.tab, pinnedMount(state.view));
    expect(studies).toEqual([{kind: 'mountHolders', pid: process.pid, start: own.start, mount: id}]);
    const [study] = studies;
    const told = () => rows().join('\n');
    await expect
      .poll(() => {
        const fact = study === undefined ? null : readStudy(study);
        if (fact !== null) facts(fact);
        return told();
      })
      .toContain(`sleep ${works.pid}: cwd`);
    expect(told()).toContain(`gdb -p ${works.pid}`);
    expect(told()).toContain(`${path}/below is mounted on it`);
    keys('escape');
    expect(chosen()).toBe(row);

    // Of a mount that is gone nothing is selected any more.
    spawnSync('umount', ['--recursive', '--lazy', path]);
    facts(readMountsFact(inode, process.pid));
    expect(chosen()).toBe(-1);
    keys('enter');
    expect(state.view.pins).toBe(false);
  });

  it('finds each that makes umount fail, and when all have let go by its commands, umount works', async () => {
    using folder = mountedFolder();
    const {path} = folder;
    expect(holders(path)).toMatchObject({point: path, fsType: 'tmpfs', source: 'pinned', uses: [], below: []});
    mkdirSync(`${path}/below`);
    mkdirSync(`${path}/work`);
    copyFileSync('/bin/sleep', `${path}/program`);
    execFileSync('chmod', ['+x', `${path}/program`]);
    await using works = new Running('sleep', ['60'], {cwd: `${path}/work`});
    await using runs = new Running(`${path}/program`, ['60']);
    await using opens = new Running('sh', ['-c', `exec 7>${path}/file; echo ready; exec sleep 60`]);
    await using binds = new Running(fixture('binds-socket'), [`${path}/socket`]);
    await opens.says(/ready/);
    await binds.says(/ready/);
    mount(`${path}/below`);
    const seen = holders(path);
    const of = (pid: number) => seen.uses.filter(use => use.pid === pid).map(({by}) => by);
    expect(of(works.pid)).toEqual(['cwd']);
    expect(of(runs.pid)).toEqual(['exe']);
    expect(seen.uses.find(use => use.pid === opens.pid)).toMatchObject({by: 'fd', fd: 7, path: `${path}/file`});
    expect(seen.uses.find(use => use.pid === binds.pid)).toMatchObject({by: 'socket', path: `${path}/socket`});
    expect(seen.below).toEqual([`${path}/below`]);
    expect(new Set(seen.uses.map(use => use.pid)).size).toBe(4);
    // Each by itself is enough to keep it.
    expect(unmounts(`${path}/below`)).toBe(true);
    for (const one of [works, runs, opens, binds]) {
      expect(unmounts(path)).toBe(false);
      const {release} = mountUsesText(holders(path).uses.filter(use => use.pid === one.pid));
      if (release.startsWith('kill')) execFileSync('sh', ['-c', release]);
      else one.child.kill('SIGKILL');
      await one.ended;
    }
    expect(holders(path).uses).toEqual([]);
    expect(unmounts(path)).toBe(true);
  });

  it('finds the thread that has a cwd and a file table of its own, and the one that goes on without its leader', async () => {
    using folder = mountedFolder();
    const {path} = folder;
    mkdirSync(`${path}/work`);
    await using apart = new Running(fixture('thread-apart'), ['/', `${path}/work`]);
    const tid = Number((await apart.says(/tid (\d+)\nready/))[1]);
    expect(unmounts(path)).toBe(false);
    expect(holders(path).uses).toEqual([
      {by: 'fd', pid: apart.pid, comm: 'thread-apart', tid, fd: expect.any(Number), path: `${path}/work`},
    ]);
    expect(mountUsesText(holders(path).uses).who).toMatch(` of its thread ${tid} ${path}/work`);
    apart.release();
    await apart.ended;
    await using moved = new Running(fixture('thread-apart'), [`${path}/work`]);
    const other = Number((await moved.says(/tid (\d+)\nready/))[1]);
    expect(unmounts(path)).toBe(false);
    expect(holders(path).uses.map(({by, pid, tid}) => [by, pid, tid])).toEqual([
      ['cwd', moved.pid, other],
      ['root', moved.pid, other],
    ]);
    moved.release();
    await moved.ended;
    await using alone = new Running(fixture('leader-exits-first'), ['waits'], {cwd: `${path}/work`});
    await alone.says(/leader/);
    await expect.poll(() => readFileSync(`/proc/${alone.pid}/stat`, 'utf8')).toMatch(/ Z /);
    expect(unmounts(path)).toBe(false);
    const {uses} = holders(path);
    expect(uses.map(({by, pid}) => [by, pid])).toEqual([['cwd', alone.pid]]);
    execFileSync('sh', ['-c', mountUsesText(uses).release]);
    await alone.ended;
    expect(unmounts(path)).toBe(true);
  });

  it('names the signal that ends the first process of a pid namespace', async () => {
    using folder = mountedFolder();
    copyFileSync('/bin/sleep', `${folder.path}/program`);
    execFileSync('chmod', ['+x', `${folder.path}/program`]);
    await using running = new Running('unshare', ['--pid', '--fork', `${folder.path}/program`, '60']);
    await expect.poll(() => holders(folder.path).uses.length).toBe(1);
    const {uses} = holders(folder.path);
    process.kill(uses[0]?.pid ?? 0, 'SIGTERM');
    expect(unmounts(folder.path)).toBe(false);
    const {release} = mountUsesText(uses);
    expect(release).toBe(`kill -KILL ${uses[0]?.pid}`);
    execFileSync('sh', ['-c', release]);
    await running.ended;
    expect(unmounts(folder.path)).toBe(true);
  });

  it('tells the copies in other mount namespaces with who uses them', async () => {
    using folder = mountedFolder();
    const {path} = folder;
    await using other = new Running('unshare', ['--mount', 'sh', '-c', `cd ${path}; echo ready; exec cat`]);
    await other.says(/ready/);
    const [copy] = holders(path).copies;
    expect(copy).toMatchObject({point: path, pid: other.pid, uses: [{by: 'cwd', pid: other.pid}]});
    other.release();
    await other.ended;
  });

  it('tells the copies that go with it in slaves of slaves and below other directories, which keep it by their uses', async () => {
    using folder = mountedFolder();
    const {path} = folder;
    execFileSync('sh', [
      '-c',
      'cd "$1"; mkdir s part; mount -t tmpfs s s; mount --make-shared s; mkdir -p s/in/at; mount --bind s/in part',
      'sh',
      path,
    ]);
    const enter = async (outer: number | null, kind: string, script: string) => {
      const unshare = ['unshare', '-m', '--propagation', kind, 'sh', '-c', `${script}; echo ready; exec cat`];
      const [program = '', ...args] = outer === null ? unshare : ['nsenter', '-t', String(outer), '-m', ...unshare];
      const running = new Running(program, args);
      await running.says(/ready/);
      return running;
    };
    await using second = await enter(null, 'unchanged', `cd ${path}; umount part; mount --make-slave s; mount --make-shared s; cd /`);
    await using third = await enter(second.pid, 'slave', 'cd /');
    execFileSync('mount', ['-t', 'tmpfs', 'at', `${path}/s/in/at`]);
    await using user = new Running('nsenter', ['-t', String(third.pid), '-m', 'sh', '-c', `cd ${path}/s/in/at; echo ready; exec sleep 60`]);
    await user.says(/ready/);
    const {copies, inode} = holders(`${path}/s/in/at`);
    const there = (pid: number) => readlinkSync(`/proc/${pid}/ns/mnt`).replaceAll(/\D/g, '');
    const told = copies.map(copy => `${copy.inode} ${copy.point} ${copy.together} ${copy.uses.length}`);
    expect(new Set(told)).toEqual(
      new Set([
        `${inode} ${path}/part/at true 0`,
        `${there(second.pid)} ${path}/s/in/at true 0`,
        `${there(third.pid)} ${path}/s/in/at true 1`,
      ]),
    );
    expect(unmounts(`${path}/s/in/at`)).toBe(false);
    user.child.kill('SIGKILL');
    await user.ended;
    expect(unmounts(`${path}/s/in/at`)).toBe(true);
    for (const pid of [process.pid, second.pid, third.pid]) expect(readFileSync(`/proc/${pid}/mountinfo`, 'utf8')).not.toMatch(/\/at /);
    for (const one of [second, third]) {
      one.release();
      await one.ended;
    }
  });

  it('finds the loop device whose file is on it, and what lets go of that', async context => {
    using folder = mountedFolder();
    const {path} = folder;
    writeFileSync(`${path}/image`, '');
    truncateSync(`${path}/image`, 2 ** 23);
    const {status, stdout} = spawnSync('losetup', ['--find', '--show', `${path}/image`]);
    if (status !== 0) return context.skip('no loop devices');
    const device = stdout.toString().trim();
    try {
      expect(unmounts(path)).toBe(false);
      expect(holders(path)).toMatchObject({uses: [], below: [], loops: [{device, file: `${path}/image`}]});
      execFileSync('mkfs.ext4', ['-q', device]);
      using on = temporaryFolder();
      execFileSync('mount', [device, on.path]);
      const told = () => mountPinsText(holders(path), 0);
      const line = () =>
        told()
          .split('\n')
          .find(one => one.includes(device));
      const command = () => line()?.split('  ').at(-1);
      expect(told()).toContain(`${device} has ${path}/image as its file, mounted on ${on.path}`);
      expect(command()).toBe(`umount ${on.path}`);
      execFileSync('sh', ['-c', command() ?? '']);
      expect(command()).toBe(`losetup --detach ${device}`);
      execFileSync('sh', ['-c', command() ?? '']);
      expect(holders(path).loops).toBeUndefined();
      await expect.poll(() => unmounts(path)).toBe(true);
    } finally {
      spawnSync('losetup', ['--detach', device]);
    }
  });

  it('finds the file that an io_uring has open, and no fd', async context => {
    using folder = mountedFolder();
    const {path} = folder;
    await using registers = new Running(fixture('registers-file'), [`${path}/file`]);
    const [, ring] = await registers.says(/(?:no ring|ring (\d+))\nready/);
    if (ring === undefined) return context.skip('kernel lacks io_uring');
    expect(unmounts(path)).toBe(false);
    const {uses} = holders(path);
    expect(uses).toEqual([{by: 'ring', pid: registers.pid, comm: 'registers-file', fd: Number(ring), path: `${path}/file`}]);
    const {who, release} = mountUsesText(uses);
    expect(who).toBe(`registers-file ${registers.pid}: io_uring fd ${ring} with ${path}/file registered`);
    execFileSync('sh', ['-c', release]);
    await registers.ended;
    // A ring ends later than its process (io_ring_exit_work(), io_uring/io_uring.c).
    await expect.poll(() => unmounts(path), {timeout: 5000}).toBe(true);
  });

  it('tells who keeps the file system on a mount that is in no mount namespace', async () => {
    using folder = mountedFolder();
    const {path} = folder;
    mkdirSync(`${path}/one`);
    mkdirSync(`${path}/two`);
    mount(`${path}/one`);
    execFileSync('mount', ['--bind', `${path}/one`, `${path}/two`]);
    await using works = new Running('sleep', ['60'], {cwd: `${path}/two`});
    execFileSync('umount', ['--lazy', `${path}/two`]);
    const seen = holders(`${path}/one`);
    expect(seen).toMatchObject({uses: [], below: [], copies: []});
    expect(seen.detached?.map(({uses}) => uses)).toEqual([[{by: 'cwd', pid: works.pid, comm: 'sleep'}]]);
    const told = mountPinsText(seen, 0);
    expect(told).toContain('  in no mount namespace: by open_tree, fsmount, umount --lazy, or the kernel’s own  used by 1 process\n');
    expect(told).toContain(`sleep ${works.pid}: cwd  gdb -p ${works.pid}`);
    // It keeps the file system, and not the mount.
    expect(unmounts(`${path}/one`)).toBe(true);
    works.child.kill('SIGKILL');
    await works.ended;
  });

  it('tells the overlay that keeps the file system of its layers', async context => {
    using folder = mountedFolder();
    const {path} = folder;
    for (const name of ['fs', 'on']) mkdirSync(`${path}/${name}`);
    mount(`${path}/fs`);
    for (const name of ['lower:one', 'other', 'upper', 'work']) mkdirSync(`${path}/fs/${name}`);
    const layers = (kind: string) => `${kind},lowerdir=${path}/fs/lower\\:one:${path}/fs/other`;
    const upper = layers(`upperdir=${path}/fs/upper,workdir=${path}/fs/work`);
    if (spawnSync('mount', ['-t', 'overlay', 'over', '-o', upper, `${path}/on`]).status !== 0)
      return context.skip('kernel lacks overlay on tmpfs');
    const {overlays, inode} = holders(`${path}/fs`);
    expect(overlays).toEqual([{inode, pid: 0, point: `${path}/on`, layer: `${path}/fs/upper`}]);
    execFileSync('umount', [`${path}/on`]);
    execFileSync('mount', ['-t', 'overlay', 'over', '-o', layers('ro'), `${path}/on`], {stdio: 'ignore'});
    const told = mountPinsText(holders(`${path}/fs`), 0);
    expect(told).toContain(`  by the overlay on ${path}/on in mnt:[${inode}], of which ${path}/fs/lower:one is a layer\n`);
    // It keeps the file system, and not the mount.
    expect(unmounts(`${path}/fs`)).toBe(true);
    execFileSync('sh', ['-c', / +(umount .*on)$/m.exec(told)?.[1] ?? 'false']);
    expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(`${path}/`);
  });

  it('does not promise that umount works in a user namespace, where what came with it is locked', async () => {
    using folder = mountedFolder();
    const {path} = folder;
    const script = `echo ready; while read -r line; do eval "$line"; done`;
    await using inside = new Running('unshare', ['-U', '-r', '-m', '-p', '-f', '--mount-proc', 'bash', '-c', script]);
    await inside.says(/ready/);
    inside.child.stdin?.write(`${NSVIEW} who-pins ${path}; umount -i ${path} 2>&1; echo status $?\n`);
    await inside.says(/status \d+\n/);
    expect(inside.stdout).toMatch(/Nothing .*keeps it/);
    expect(inside.stdout).toContain('it is locked: then umount fails with EINVAL, lazy or not.');
    expect(inside.stdout).toMatch(/not mounted.*\nstatus 32\n/);
    expect(mountPinsText(holders(path), 0)).not.toContain('locked');
    inside.release();
    await inside.ended;
  });

  it('says that an fd on its way may keep it, where nothing else does', async () => {
    using folder = mountedFolder();
    const {path} = folder;
    await using keeps = new Running(fixture('keeps-in-queue'), [`${path}/file`]);
    const [, queue] = await keeps.says(/queue (\d+)\nready/);
    expect(unmounts(path)).toBe(false);
    const told = mountPinsText({...holders(path), unread: 0}, 0);
    expect(told).toMatch(/\nNothing that nsview may see keeps it, but perhaps an fd on its way/);
    expect(told).toContain(`\n  1 in the queue of socket fd ${queue} of keeps-in-queue ${keeps.pid}\n`);
    expect(told).not.toContain('would do it');
    keeps.release();
    await keeps.ended;
    // Sockets that hold each other's fds are collected a little later (unix_gc(), net/unix/garbage.c).
    await expect.poll(() => unmounts(path)).toBe(true);
  });

  it('asks nothing of a server that does not answer', async context => {
    using folder = temporaryFolder();
    const {path} = folder;
    await using hung = new Running(fixture('hangs-fuse'), [path]);
    const [, none] = await hung.says(/(no fuse)?\n?ready/);
    if (none !== undefined) return context.skip('kernel lacks FUSE');
    try {
      await using asks = new Running(NSVIEW, ['who-pins', path]);
      await asks.says(/umount .* would do it|Nothing that nsview may see keeps it/);
      expect(asks.stdout).toMatch(`${path}  fuse of hung in mnt:[`);
      expect((await asks.ended).code).toBe(0);
    } finally {
      spawnSync('umount', ['--lazy', path]);
      hung.release();
      await hung.ended;
    }
  });

  it('finds the swap file that is on it', async context => {
    using folder = mountedFolder();
    const {path} = folder;
    // Not of tmpfs: swapon(2) wants a file system that tells where its blocks are.
    writeFileSync(`${path}/image`, '');
    truncateSync(`${path}/image`, 2 ** 23);
    execFileSync('mkfs.ext4', ['-q', `${path}/image`]);
    using on = temporaryFolder();
    if (spawnSync('mount', ['-o', 'loop', `${path}/image`, on.path]).status !== 0) return context.skip('needs loop devices');
    const swap = `${on.path}/swap file`;
    try {
      writeFileSync(swap, Buffer.alloc(2 ** 20), {mode: 0o600});
      execFileSync('mkswap', [swap], {stdio: 'ignore'});
      if (spawnSync('swapon', ['--priority', '0', swap]).status !== 0) return context.skip('kernel lacks swap files');
      expect(unmounts(on.path)).toBe(false);
      expect(holders(on.path)).toMatchObject({uses: [], below: [], swaps: [swap]});
      const told = mountPinsText(holders(on.path), 0);
      expect(told).toContain(`the kernel swaps to ${swap}`);
      expect(told).not.toContain('Nothing');
      execFileSync('sh', ['-c', /swapoff .*$/m.exec(told)?.[0] ?? 'false']);
      expect(holders(on.path).swaps).toBeUndefined();
    } finally {
      spawnSync('swapoff', [swap]);
      await expect.poll(() => unmounts(on.path)).toBe(true);
    }
  });

  it('does not count what keeps copies that stay, since others are mounted on them', async () => {
    using folder = mountedFolder();
    const {path} = folder;
    mkdirSync(`${path}/base`);
    execFileSync('sh', [
      '-c',
      'cd "$1"; mount -t tmpfs base base; mount --make-shared base; mkdir base/sub; mount -t tmpfs sub base/sub; mkdir base/sub/on base/sub/its',
      'sh',
      path,
    ]);
    const sub = `${path}/base/sub`;
    execFileSync('mount', ['-t', 'tmpfs', 'its', `${sub}/its`]);
    await using other = new Running('unshare', [
      '-m',
      '--propagation',
      'slave',
      'sh',
      '-c',
      `cd ${sub}; echo ready; read line; mount -t tmpfs on on; echo again; exec cat`,
    ]);
    await other.says(/ready/);
    const copy = () => holders(sub).copies.map(({together, uses}) => [together, uses.length]);
    // What is mounted on both goes before.
    expect(copy()).toEqual([[true, 1]]);
    expect(unmounts(`${sub}/its`)).toBe(true);
    expect(copy()).toEqual([[true, 1]]);
    expect(unmounts(sub)).toBe(false);
    other.child.stdin?.write('\n');
    await other.says(/again/);
    expect(copy()).toEqual([[false, 1]]);
    expect(mountPinsText(holders(sub), 0)).not.toContain('Busy');
    expect(unmounts(sub)).toBe(true);
    expect(readFileSync(`/proc/${other.pid}/mountinfo`, 'utf8')).toContain(` ${sub} `);
    other.release();
    await other.ended;
  });

  it('says of a root that umount leaves it mounted', () => {
    const text = mountPinsText(holders('/'), 0);
    expect(text).toMatch(/^\/ .*\nThe root: umount makes its file system read-only, and leaves it mounted\.\n/);
    expect(text).not.toContain('until all of these let go');
  });

  it('names commands that work where all in the mount namespace have another root', async () => {
    using folder = mountedFolder();
    const {path} = folder;
    execFileSync('mkdir', ['-p', `${path}/jail/sub`]);
    const script = `mount -t tmpfs sub ${path}/jail/sub; exec ${fixture('chroots')} ${path}/jail`;
    await using jailed = new Running('unshare', ['-m', 'sh', '-c', script]);
    await jailed.says(/ready/);
    const table = readFileSync(`/proc/${jailed.pid}/mountinfo`, 'utf8');
    const id = Number(/^(\d+) .* \/sub /m.exec(table)?.[1]);
    const seen = readMountHolders(jailed.pid, id);
    if (isRefusal(seen)) throw new Error(JSON.stringify(seen));
    const command = / (nsenter .*) would do it/.exec(mountPinsText({...seen, unread: 0}, 0))?.[1];
    expect(command).toBe(`nsenter --mount=/proc/${jailed.pid}/ns/mnt umount ${path}/jail/sub`);
    execFileSync('sh', ['-c', command ?? 'false']);
    expect(readFileSync(`/proc/${jailed.pid}/mountinfo`, 'utf8')).toBe('');
    jailed.release();
    await jailed.ended;
  });

  it('names commands that work in the mount namespace that it is in, and none for what umount does not let go', async () => {
    using folder = mountedFolder();
    const {path} = folder;
    const script =
      'cd "$1"; mkdir one two three; mount -t tmpfs in one; mkdir one/sub; mount -t tmpfs sub one/sub; mount -t tmpfs two two; mkdir two/on';
    const more = '; mount -t tmpfs lost two/on; mount -t tmpfs over two; cd /; echo ready; exec cat';
    await using inside = new Running('unshare', ['-m', 'sh', '-c', script + more, 'sh', path]);
    await inside.says(/ready/);
    await using other = new Running('nsenter', [
      '-t',
      String(inside.pid),
      '-m',
      'unshare',
      '-U',
      '-r',
      '-m',
      'sh',
      '-c',
      'echo ready; exec cat',
    ]);
    await other.says(/ready/);
    const host = readHost();
    const at = () => String(process.hrtime.bigint());
    const world = createWorld({format: 'nsview/tape', version: 1, nsview: '', at: at(), realtime: '0', host, target: {machine: true}});
    for (const pid of [process.pid, inside.pid, other.pid]) {
      const seen = readProcess(pid);
      if (isRefusal(seen) || isRefusal(seen.namespaces.mnt)) throw new Error('not there');
      observe(world, {kind: 'process', at: at(), because: 'watch', ...seen});
      observe(world, readMountsFact(seen.namespaces.mnt, pid));
    }
    /** What is shown of the mount on that point, without the text around a command. */
    const pinsOf = (pid: number, point: string): string => {
      const shown = world.byPid.get(pid);
      const fact = world.mounts.get(shown?.spaces.mnt?.inode ?? '');
      if (shown === undefined || fact === undefined || isRefusal(fact.mounts)) throw new Error('not read');
      // Nobody told who made it.
      if (pid === other.pid) shown.maker = world.byPid.get(inside.pid) ?? null;
      const id = fact.mounts.find(one => one.point === point)?.id ?? 0;
      observe(world, {kind: 'mountHolders', at: at(), pid, start: shown.start, mount: id, seen: readMountHolders(pid, id)});
      const details = detailsOf(world, shown, 'mounts', {width: 400, inodes: false, live: true, pins: id});
      return Array.from({length: details.count}, (_, index) => lineText(details.line(index))).join('\n');
    };
    const enter = `nsenter --mount=/proc/${inside.pid}/ns/mnt`;
    expect(pinsOf(inside.pid, `${path}/one`)).toMatch(`${enter} umount ${path}/one/sub\n`);
    expect(pinsOf(inside.pid, `${path}/one`)).toMatch(`${enter} umount --lazy ${path}/one\n`);
    const told = pinsOf(inside.pid, `${path}/one/sub`);
    expect(told).toContain(`Nothing keeps it: ${enter} umount ${path}/one/sub would do it.`);
    execFileSync('sh', ['-c', `${enter} umount ${path}/one/sub`]);
    // The path leads to what covers it.
    expect(pinsOf(inside.pid, `${path}/two/on`)).toContain(`umount does not reach it: hidden by the tmpfs on ${path}/two`);
    expect(spawnSync('sh', ['-c', `${enter} umount -i ${path}/two/on`]).status).not.toBe(0);
    // Locked in the user namespace below.
    expect(pinsOf(other.pid, `${path}/one`)).toContain('it is locked: umount fails with EINVAL');
    expect(spawnSync('nsenter', ['-t', String(other.pid), '-U', '-m', 'umount', '-i', `${path}/one`]).stderr.toString()).toMatch(
      /not mounted/,
    );
    for (const one of [inside, other]) {
      one.release();
      await one.ended;
    }
  });

  it('sums many copies up by mount namespace, each with one command that lets all of them go', async () => {
    using folder = mountedFolder();
    const {path} = folder;
    mkdirSync(`${path}/sub`);
    // Half of them of a part of it; another of the same kind and source is none of them.
    const script = [
      'mount --make-rprivate / && mount -t tmpfs other "$2" && mkdir "$2/other" && mount -t tmpfs pinned "$2/other"',
      'for i in $(seq 30); do mkdir "$2/$i"; mount --bind "$1" "$2/$i"; mkdir "$2/sub$i"; mount --bind "$1/sub" "$2/sub$i"; done',
      'cd "$2/sub7"; echo ready; read line; cd /; echo free; exec cat',
    ].join('; ');
    using elsewhere = temporaryFolder();
    await using other = new Running('unshare', ['--mount', 'sh', '-c', script, 'sh', path, elsewhere.path]);
    await other.says(/ready/);
    const {stdout} = await run('who-pins', path);
    const summary =
      /\n {2}mnt:\[\d+\] {2}(\d+) mounts, 1 used by 1 process\n(.*)\n {4}stops at those in use.*\n\nOne by one, those in use first\n {2}(\S+)/.exec(
        stdout,
      );
    expect(summary?.slice(1)).toEqual(['61', expect.stringContaining('umount --all-targets '), `${elsewhere.path}/sub7`]);
    expect(stdout).toMatch(/\n {2}and 41 more\n/);
    const mounted = () => holders(path).copies.map(({point}) => point);
    expect(mounted()).toHaveLength(61);
    // It stops at what is in use, and that stays; when that has let go, nothing is left.
    const release = () => spawnSync('sh', ['-c', summary?.[2] ?? 'false']).status === 0;
    expect(release()).toBe(false);
    expect(mounted()).toContain(`${elsewhere.path}/sub7`);
    other.child.stdin?.write('\n');
    await other.says(/free/);
    expect(release()).toBe(true);
    expect(mounted()).toEqual([]);
    execFileSync('nsenter', [`--mount=/proc/${other.pid}/ns/mnt`, 'mountpoint', '-q', `${elsewhere.path}/other`]);
    other.release();
    await other.ended;
  });

  it('is a study of a process, in slices, by the schema of tapes', async () => {
    using folder = mountedFolder();
    await using works = new Running('sleep', ['60'], {cwd: folder.path});
    const mount = mountIdOf(folder.path);
    if (isRefusal(mount)) throw new Error(JSON.stringify(mount));
    const stat = readStat(process.pid);
    const start = isRefusal(stat) ? '' : stat.start;
    for (;;) {
      const fact = readStudy({kind: 'mountHolders', pid: process.pid, start, mount});
      expect(parseFact(fact)).toMatchObject({ok: true, value: {kind: 'mountHolders', mount}});
      if (fact?.kind !== 'mountHolders' || isRefusal(fact.seen)) throw new Error(JSON.stringify(fact));
      if (fact.seen.processes < fact.seen.of) await new Promise(resolve => setTimeout(resolve, 20));
      else {
        expect(fact.seen.uses).toEqual([{by: 'cwd', pid: works.pid, comm: 'sleep'}]);
        break;
      }
    }
    works.child.kill('SIGKILL');
    await works.ended;
  });

  it('says it in a command, for a mount, a namespace and what is neither', async () => {
    using folder = mountedFolder();
    await using works = new Running('sleep', ['60'], {cwd: folder.path});
    const mountSaid = await run('who-pins', folder.path);
    expect(mountSaid.code).toBe(0);
    expect(mountSaid.stdout).toContain(`sleep ${works.pid}: cwd`);
    const json = await run('who-pins', '--json', folder.path);
    expect(JSON.parse(json.stdout)).toMatchObject({point: folder.path, uses: [{pid: works.pid}]});
    const space = await run('who-pins', `${works.pid}:net`);
    expect(space.stdout).toMatch(/^net:\[\d+\]\n {2}\d+ processes\n {4}kill /);
    expect(await run('who-pins', `${folder.path}/none`)).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^nsview: .*\/none: open: ENOENT; who-pins takes a path, PID:TYPE with .*\n$/),
    });
    expect((await run('who-pins')).code).toBe(2);
    works.child.kill('SIGKILL');
    await works.ended;
  });

  it('says to an ordinary user what it may not see', async () => {
    using folder = mountedFolder();
    await using works = new Running('sleep', ['60'], {cwd: folder.path});
    const args = ['--reuid=65534', '--regid=65534', '--clear-groups', NSVIEW, 'who-pins', folder.path];
    await using user = new Running('setpriv', args);
    const {stdout, code} = await user.ended;
    expect(code).toBe(0);
    expect(stdout).toContain('Nothing that nsview may see keeps it.');
    expect(stdout).toMatch(/\d+ of \d+ processes are not for this user to ask/);
    works.child.kill('SIGKILL');
    await works.ended;
  });
});
