import {spawnSync} from 'node:child_process';
import {closeSync, openSync, readFileSync, readlinkSync, watch} from 'node:fs';
import {describe, expect, it} from 'vitest';
import {detailsOf} from '../../src/model/details.ts';
import {isRefusal, type Mount, type MountsFact} from '../../src/model/fact.ts';
import {lineText} from '../../src/model/line.ts';
import {
  bindSource,
  hiddenMounts,
  knownTables,
  locksOf,
  mountDifferences,
  optionsBeyond,
  otherSpaces,
  type Places,
  propagationOf,
} from '../../src/model/mounts.ts';
import type {Process} from '../../src/model/process.ts';
import {createWorld, observe, type World} from '../../src/model/world.ts';
import {timelineLine} from '../../src/out/timeline-text.ts';
import {watchDetails} from '../../src/probe/details.ts';
import {readHost} from '../../src/probe/host.ts';
import {readMountHolders} from '../../src/probe/mount-holders.ts';
import {watchMounts} from '../../src/probe/mount-watch.ts';
import {decodeMountinfo} from '../../src/probe/mountinfo.ts';
import {readMountsFact} from '../../src/probe/mounts-fact.ts';
import {loadNative} from '../../src/probe/native.ts';
import {readProcess} from '../../src/probe/process.ts';
import {parseFact} from '../../src/probe/schemas.ts';
import {readSnapshot} from '../../src/probe/snapshot.ts';
import {attached, until} from '../support/attached.ts';
import {leaveNothingBehind} from '../support/leaks.ts';
import {ofKind, Running, readTapeStrictly, start, temporaryFolder} from '../support/nsview.ts';
import {fixture} from '../support/paths.ts';
import {patient} from '../support/patience.ts';
import {isRoot, needsRoot, ownUser} from '../support/user.ts';

// The event loop keeps its inotify fd from the first watch on.
watch('/').close();

leaveNothingBehind();

const at = () => String(process.hrtime.bigint());
const spaceAt = (pid: number): string => readlinkSync(`/proc/${pid}/ns/mnt`).replaceAll(/\D/g, '');

/** Whether this kernel tells of mounts by fanotify: 6.15 and later do. */
function listensTo(pid: number): boolean {
  const fd = loadNative().mountEvents(`/proc/${pid}/ns/mnt`);
  if (fd < 0) return false;
  closeSync(fd);
  return true;
}

/** A shell in namespaces of its own, through whose stdin it can be asked for more. */
class Shell extends Running {
  constructor(options: readonly string[], script: string, folder: string) {
    super('unshare', [
      ...(options.some(option => option.includes('U')) ? [] : ownUser),
      ...options,
      'bash',
      '-c',
      `set -e; cd "$1"; ${script}\necho ready; while read -r line; do eval "$line"; done`,
      'bash',
      folder,
    ]);
  }

  async ready(): Promise<this> {
    await this.says(/ready\n/);
    return this;
  }

  private asked = 0;
  async does(script: string): Promise<string> {
    this.asked++;
    const before = this.stdout.length;
    this.child.stdin?.write(`{ ${script}; } 2>&1; echo done-${this.asked}\n`);
    await this.says(new RegExp(`done-${this.asked}\n`));
    return this.stdout.slice(before).replace(/done-\d+\n$/, '');
  }
}

const entered = isRoot ? ['-m'] : ['-U', '--preserve-credentials', '-m'];

/** A program that begins in the mount namespace of another and unshares. */
const below = (outer: Running, args: readonly string[]) =>
  new Running('nsenter', ['-t', String(outer.pid), ...(isRoot ? [] : ['-U', '--preserve-credentials']), '-m', 'unshare', ...args]);

function worldOf(...pids: readonly number[]): World {
  const host = readHost();
  const world = createWorld({format: 'nsview/tape', version: 1, nsview: 'test', at: at(), realtime: '0', host, target: {machine: true}});
  for (const pid of [process.pid, ...pids]) {
    const seen = readProcess(pid);
    if (isRefusal(seen)) throw new Error(seen.errno);
    observe(world, {kind: 'process', at: at(), because: 'watch', ...seen});
  }
  for (const pid of [process.pid, ...pids]) observe(world, readMountsFact(spaceAt(pid), pid));
  return world;
}

function tableOf(world: World, pid: number): readonly Mount[] {
  const fact = world.mounts.get(spaceAt(pid));
  if (fact === undefined || isRefusal(fact.mounts)) throw new Error('no table');
  return fact.mounts;
}

const processOf = (world: World, pid: number): Process => {
  const found = world.byPid.get(pid);
  if (found === undefined) throw new Error(`no ${pid}`);
  return found;
};

const mountAt = (mounts: readonly Mount[], point: string): Mount => {
  const found = mounts.findLast(mount => mount.point === point);
  if (found === undefined) throw new Error(`nothing is mounted on ${point}`);
  return found;
};

/** open(2); node has no name for it. */
const O_PATH = 0o10000000;

/** The mount that a path leads to, as that process sees it: the kernel's own answer. */
function reached(pid: number, path: string): number | null {
  try {
    const fd = openSync(`/proc/${pid}/root${path === '/' ? '' : path}`, O_PATH);
    const id = /mnt_id:\t(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1];
    closeSync(fd);
    return Number(id);
  } catch {
    return null;
  }
}

const points = (mounts: readonly Mount[], folder: string) => mounts.map(mount => mount.point.replace(folder, '')).sort();

describe('hidden mounts', () => {
  const LAYOUT = `
    mount -t tmpfs one .; cd "$1"; mkdir -p a/b c d; mount -t tmpfs two a; mkdir a/b; mount -t tmpfs three a/b; mkdir a/b/deep
    mount -t tmpfs four a/b/deep; mount -t tmpfs five c; mount -t tmpfs six c; mount -t tmpfs seven c
    mount -t tmpfs over a; mkdir a/b; mount -t tmpfs seen a/b; mount -t tmpfs eight d; mount --bind d/. c`;

  it.each([
    ['in place and from above', LAYOUT],
    ['below another root', `${LAYOUT}; mount -t tmpfs whole .; cd "$1"; mkdir e; mount -t tmpfs nine e`],
    ['on the root', `${LAYOUT}; mount -t tmpfs top /`],
  ])('%s are those that no path leads to', async (_, script) => {
    using folder = temporaryFolder();
    await using shell = await new Shell(['-m'], script, folder.path).ready();
    const mounts = tableOf(worldOf(shell.pid), shell.pid);
    const unreached = mounts.filter(mount => reached(shell.pid, mount.point) !== mount.id);
    expect(unreached.length).toBeGreaterThanOrEqual(5);
    const hidden = hiddenMounts(mounts);
    expect(mounts.filter(mount => hidden.has(mount.id))).toEqual(unreached);
    const inSnapshot = readSnapshot({root: shell.pid, version: 'test'}).mountNamespaces.find(({inode}) => inode === spaceAt(shell.pid));
    expect(inSnapshot?.hidden).toEqual(unreached.map(({id}) => id).sort((a, b) => a - b));
    // Whatever hides something is a mount of that table.
    for (const {by} of hidden.values()) expect(mounts).toContain(by);
  });

  it('are not those whose names differ in bytes that are no UTF-8', async () => {
    using folder = temporaryFolder();
    const script = `mount -t tmpfs one .; cd "$1"; for name in $'\\xff' $'\\xfe' $'\\xc3\\xa9'; do mkdir "$name"; mount -t tmpfs "s$name" "$name"; done`;
    await using shell = await new Shell(['-m'], script, folder.path).ready();
    const world = worldOf(shell.pid);
    const mounts = tableOf(world, shell.pid).filter(({point}) => point.startsWith(`${folder.path}/`));
    expect(mounts.map(({point, source}) => [point.slice(folder.path.length), source])).toEqual([
      ['/\udcff', 's\udcff'],
      ['/\udcfe', 's\udcfe'],
      ['/é', 'sé'],
    ]);
    for (const {id} of mounts) expect(hiddenMounts(tableOf(world, shell.pid)).has(id)).toBe(false);
  });

  it('are all that findmnt --shadowed finds, and more', async () => {
    using folder = temporaryFolder();
    await using shell = await new Shell(['-m'], LAYOUT, folder.path).ready();
    const mounts = tableOf(worldOf(shell.pid), shell.pid);
    const hidden = hiddenMounts(mounts);
    const output = await shell.does('findmnt --shadowed --noheadings --output ID');
    const found = output.trim().split(/\s+/).map(Number);
    expect(found.length).toBeGreaterThan(0);
    for (const id of found) expect(hidden.has(id), `${id} is hidden`).toBe(true);
    // findmnt compares mounts on the same directory only: what a mount further up covers, it does not mark.
    const above = mounts.filter(mount => hidden.get(mount.id)?.how === 'above' && mount.point.startsWith(folder.path));
    expect(points(above, folder.path)).toEqual(['/a/b', '/a/b/deep']);
    expect(above.filter(mount => found.includes(mount.id)).length).toBeLessThan(above.length);
  });
});

describe('propagation', () => {
  const inodes = (places: Places | null) => (places === null ? null : [...places.keys()].map(space => space.inode).sort());

  it('reaches peers both ways and slaves one way, and mounts do appear there', async () => {
    using folder = temporaryFolder();
    const setup =
      'mount -t tmpfs base .; cd "$1"; mount --make-shared .; mkdir own sub; mount -t tmpfs alone own; mount --make-unbindable own';
    await using first = await new Shell(['-m'], setup, folder.path).ready();
    const enter = (kind: string) => below(first, ['-m', '--propagation', kind, 'cat']);
    await using peer = enter('unchanged');
    await using slave = enter('slave');
    const others = [peer.pid, slave.pid];
    for (const pid of others)
      while (readlinkSync(`/proc/${pid}/exe`).endsWith('cat') === false) await new Promise(later => setTimeout(later, 10));
    const world = worldOf(first.pid, ...others);
    const base = (pid: number) => mountAt(tableOf(world, pid), folder.path);
    const leak = (pid: number) => {
      const own = processOf(world, pid).spaces.mnt;
      if (own === undefined || own === null) throw new Error('no namespace');
      const {peers, slaves, masters} = propagationOf(knownTables(world, own), tableOf(world, pid), base(pid));
      return {peers: inodes(peers), slaves: inodes(slaves), masters: inodes(masters)};
    };
    const [one, two, three] = [first.pid, ...others].map(spaceAt) as [string, string, string];
    const both = [one, two].sort();
    expect(leak(first.pid)).toEqual({peers: both, slaves: [three], masters: null});
    expect(leak(peer.pid)).toEqual({peers: both, slaves: [three], masters: null});
    expect(leak(slave.pid)).toEqual({peers: [], slaves: [], masters: both});
    expect(otherSpaces(world, processOf(world, first.pid)).read.map(({space}) => space.inode)).toEqual(
      expect.arrayContaining([two, three]),
    );

    // The kernel does what was said.
    const seenIn = (point: string) => [first.pid, ...others].map(pid => tableOf(worldOf(pid), pid).some(mount => mount.point === point));
    await first.does('mount -t tmpfs leaks sub');
    expect(seenIn(`${folder.path}/sub`)).toEqual([true, true, true]);
    await first.does('umount sub');
    const mountInSlave = new Running('nsenter', [
      '-t',
      String(slave.pid),
      ...entered,
      'mount',
      '-t',
      'tmpfs',
      'stays',
      `${folder.path}/sub`,
    ]);
    expect((await mountInSlave.ended).code).toBe(0);
    expect(seenIn(`${folder.path}/sub`)).toEqual([false, false, true]);

    expect(mountAt(tableOf(world, first.pid), `${folder.path}/own`).propagation).toEqual({unbindable: true});
    expect(await first.does('mount --bind own sub || echo refused')).toMatch(/refused/);
  });

  it('of a master without a process comes from out of reach', async () => {
    using folder = temporaryFolder();
    const script =
      'mount -t tmpfs base .; mount --make-shared .; exec 9</proc/self/ns/mnt; exec unshare -m --propagation slave bash -c "echo ready; cat" >&1';
    await using shell = await new Shell(['-m'], script, folder.path).ready();
    const world = worldOf(shell.pid);
    const mount = mountAt(tableOf(world, shell.pid), folder.path);
    expect(mount.propagation.master).toBeDefined();
    const own = processOf(world, shell.pid).spaces.mnt;
    if (own === undefined || own === null) throw new Error('no namespace');
    expect(propagationOf(knownTables(world, own), tableOf(world, shell.pid), mount).masters?.size).toBe(0);
    shell.release();
    await shell.ended;
  });
});

describe('propagation along more than one group', () => {
  const inodes = (places: Places | null) => (places === null ? null : [...places.keys()].map(space => space.inode).sort());
  const heard = (world: World, pid: number, point: string) => {
    const own = processOf(world, pid).spaces.mnt;
    if (own === undefined || own === null) throw new Error('no namespace');
    const mounts = tableOf(world, pid);
    return propagationOf(knownTables(world, own), mounts, mountAt(mounts, point));
  };
  const mountedIn = (pid: number, point: string) => tableOf(worldOf(pid), pid).some(mount => mount.point === point);

  it('comes from the master of the master as well, where that one is read and where it is not', async () => {
    using folder = temporaryFolder();
    const {path} = folder;
    const setup = 'mount -t tmpfs base .; cd "$1"; mount --make-shared .; mkdir sub other; mount --bind . other';
    await using first = await new Shell(['-m'], setup, path).ready();
    const enter = async (outer: Running, script: string) => {
      const running = below(outer, ['-m', '--propagation', 'unchanged', 'sh', '-c', `cd ${path}; ${script}; echo ready; exec cat`]);
      await running.says(/ready/);
      return running;
    };
    await using second = await enter(first, 'mount --make-slave .; mount --make-shared .');
    await using third = await enter(second, 'mount --make-slave .');
    const pids = [first.pid, second.pid, third.pid];
    const [one, two, three] = pids.map(spaceAt) as [string, string, string];
    const world = worldOf(...pids);
    // The bind mount is in the first group in all of the three.
    expect(inodes(heard(world, third.pid, path).masters)).toEqual([one, two, three].sort());
    expect(inodes(heard(world, first.pid, path).slaves)).toEqual([two, three].sort());
    // The one between them unread: the kernel says from whom it hears nevertheless.
    const without = worldOf(first.pid, third.pid);
    expect(mountAt(tableOf(without, third.pid), path).propagation.propagateFrom).toBeDefined();
    expect(inodes(heard(without, third.pid, path).masters)).toEqual([one, three].sort());
    expect(heard(without, third.pid, path).isMasterUnknown).toBe(true);
    expect(inodes(heard(without, first.pid, path).slaves)).toEqual([three]);
    await first.does('mount -t tmpfs leaks sub');
    expect(pids.map(pid => mountedIn(pid, `${path}/sub`))).toEqual([true, true, true]);
    for (const one of [third, second]) {
      one.release();
      await one.ended;
    }
  });

  it('does not reach a peer that shows another directory', async () => {
    using folder = temporaryFolder();
    const {path} = folder;
    const script = `mount -t tmpfs top .; cd "$1"; mkdir base a b all; mount -t tmpfs base base; mount --make-shared base; mkdir base/a base/b
      mkdir base/a/sub base/b/sub; mount --bind base/a a; mount --bind base/b b; mount --bind base all; umount base`;
    await using shell = await new Shell(['-m'], script, path).ready();
    const world = worldOf(shell.pid);
    const group = ['a', 'b', 'all'].map(name => mountAt(tableOf(world, shell.pid), `${path}/${name}`).propagation.shared);
    expect(new Set(group).size).toBe(1);
    await shell.does('mount -t tmpfs leaks a/sub');
    expect(['a/sub', 'all/a/sub', 'b/sub'].map(name => mountedIn(shell.pid, `${path}/${name}`))).toEqual([true, true, false]);
    await shell.does('umount a/sub; umount all');
    const later = worldOf(shell.pid);
    const {peers} = heard(later, shell.pid, `${path}/a`);
    expect([...peers.values()].flat().map(mount => mount.point)).toEqual([`${path}/a`]);
    // In words: what is shown beside that mount leaks nowhere.
    const own = processOf(later, shell.pid);
    const details = detailsOf(later, own, 'mounts', {width: 200, inodes: false, live: true});
    const text = Array.from({length: details.count}, (_, index) => lineText(details.line(index)));
    expect(text.find(line => /[├└] a +tmpfs/.test(line))).toContain('shared, alone');
  });
});

describe('a root that is a directory of a mount, and not the root of one', () => {
  const textOf = (world: World, pid: number): string => {
    const details = detailsOf(world, processOf(world, pid), 'mounts', {width: 300, inodes: false, live: true});
    return Array.from({length: details.count}, (_, index) => lineText(details.line(index))).join('\n');
  };

  it('lies on a mount that mountinfo does not list, and what is mounted there leaks as that mount does', async () => {
    using folder = temporaryFolder();
    const {path} = folder;
    const script = `mount -t tmpfs base .; mount --make-shared .; cd "$1"; mkdir -p jail/sub jail/own; mount -t tmpfs own jail/own
      mount --make-private jail/own`;
    await using shell = await new Shell(['-m'], script, path).ready();
    await using jailed = new Running('nsenter', ['-t', String(shell.pid), ...entered, fixture('chroots'), `${path}/jail`]);
    await jailed.says(/ready/);
    await using other = below(shell, ['-m', '--propagation', 'unchanged', 'sh', '-c', 'echo ready; exec cat']);
    await other.says(/ready/);
    const listed = readFileSync(`/proc/${jailed.pid}/mountinfo`, 'utf8').trim().split('\n');
    expect(listed.map(line => line.split(' ')[4])).toEqual(['/own']);
    const world = worldOf(jailed.pid, other.pid);
    const mounts = tableOf(world, jailed.pid);
    expect(mounts.map(({id, point, root, chroot}) => [id, point, root, chroot])).toEqual([
      [reached(jailed.pid, '/'), '/', '/jail', true],
      [reached(jailed.pid, '/own'), '/own', '/', undefined],
    ]);
    const space = processOf(world, other.pid).spaces.mnt?.name;
    const text = textOf(world, jailed.pid);
    expect(text).toContain(`A mount made below / here appears in ${space} (1 process), and the other way round.`);
    expect(text).not.toContain('no leaks');
    expect(text).toMatch(/chroot to \/jail of base/);
    // The kernel does what was said.
    await shell.does('mount -t tmpfs leaks jail/sub');
    expect(tableOf(worldOf(other.pid), other.pid).some(({point}) => point === `${path}/jail/sub`)).toBe(true);
    expect(tableOf(worldOf(jailed.pid), jailed.pid).map(({point}) => point)).toEqual(['/', '/own', '/sub']);
    // What is mounted on that directory later is at / as well, and no path but /.. leads there.
    await shell.does('umount jail/sub; mount -t tmpfs top jail');
    const covered = tableOf(worldOf(jailed.pid), jailed.pid);
    expect(covered.map(({point, source}) => `${point} ${source}`)).toEqual(['/ base', '/own own', '/ top']);
    const unreached = covered.filter(mount => reached(jailed.pid, mount.point) !== mount.id);
    expect(unreached.map(({source}) => source)).toEqual(['top']);
    const hidden = hiddenMounts(covered);
    expect(covered.filter(({id}) => hidden.has(id))).toEqual(unreached);
    // A snapshot has the lines of mountinfo alone, and knows it by what stands beside it.
    const lines = covered.filter(({chroot}) => chroot === undefined);
    expect([...hiddenMounts(lines)].map(([id, {how}]) => [id, how])).toEqual([[unreached[0]?.id, 'on the root']]);
    for (const one of [jailed, other]) {
      one.release();
      await one.ended;
    }
  });

  it('hears of masters and peers outside of it, in its own namespace', async () => {
    using folder = temporaryFolder();
    const {path} = folder;
    const script = `mount -t tmpfs base .; cd "$1"; mkdir -p jail/slave jail/peer one two; for each in one two; do mount -t tmpfs $each $each
      mount --make-shared $each; mkdir $each/sub; done; mount --bind one jail/slave; mount --make-slave jail/slave; mount --bind two jail/peer`;
    await using shell = await new Shell(['-m'], script, path).ready();
    await using jailed = new Running('nsenter', ['-t', String(shell.pid), ...entered, fixture('chroots'), `${path}/jail`]);
    await jailed.says(/ready/);
    const world = worldOf(jailed.pid);
    const text = textOf(world, jailed.pid);
    expect(text).not.toContain('out of reach');
    expect(text).toContain(
      'A mount made in another mount of this namespace appears here below /slave; one made here does not appear there.',
    );
    expect(text).toContain('A mount made below /peer appears below others of its peer group in this namespace, and the other way round.');
    await shell.does('mount -t tmpfs leaks one/sub; mount -t tmpfs leaks two/sub');
    expect(tableOf(worldOf(jailed.pid), jailed.pid).map(({point}) => point)).toEqual(['/', '/slave', '/peer', '/slave/sub', '/peer/sub']);
    jailed.release();
    await jailed.ended;
  });

  it('does not hide from others what leaks there outside of it, and nothing is said of a root that is not to be read', async () => {
    using folder = temporaryFolder();
    const {path} = folder;
    await using shell = await new Shell(['-m'], 'mount -t tmpfs base .; mount --make-shared .; mkdir -p "$1"/jail "$1"/sub', path).ready();
    await using other = below(shell, ['-m', '--propagation', 'unchanged', fixture('chroots'), `${path}/jail`]);
    await other.says(/ready/);
    const [inode, apart] = [spaceAt(shell.pid), spaceAt(other.pid)];
    const told: MountsFact[] = [];
    using details = watchDetails({emit: facts => told.push(...facts.filter(fact => fact.kind === 'mounts'))});
    details.show({
      mounts: [
        {inode, pid: shell.pid},
        {inode: apart, pid: other.pid},
      ],
      cgroups: [],
      studies: [],
    });
    await until(() => told.length >= 2, 'both tables');
    const world = worldOf(shell.pid, other.pid);
    for (const fact of told) observe(world, fact);
    const space = processOf(world, other.pid).spaces.mnt?.name;
    expect(textOf(world, shell.pid)).toContain(`A mount made below ${path} here appears in ${space} (1 process), and the other way round.`);
    // A mount namespace that nsview may not enter.
    observe(world, {...readMountsFact(apart, other.pid), mounts: []});
    const text = textOf(world, other.pid);
    expect(text).toContain('root unread');
    expect(text).not.toContain('no leaks');
    other.release();
    await other.ended;
  });
});

describe('locked mounts', () => {
  it('are those that umount refuses with EINVAL in a user namespace', async () => {
    using folder = temporaryFolder();
    const setup =
      'mount -t tmpfs base .; cd "$1"; mkdir sub own copy; mount -t tmpfs came sub; mkdir sub/deep; mount -t tmpfs came-too sub/deep';
    await using outer = await new Shell(['-m'], setup, folder.path).ready();
    const inside =
      'mount -t tmpfs mine own; mkdir own/deeper copy/at 2>/dev/null; mount -t tmpfs mine-too own/deeper; mount --rbind sub copy';
    await using inner = below(outer, [
      '-Urm',
      'bash',
      '-c',
      `cd "$1"; ${inside}; echo ready; read -r line; for point in sub/deep copy/deep copy own/deeper own sub .; do ` +
        'umount -i "$1/$point" 2>&1 && echo "$point: gone"; done; cat',
      'bash',
      folder.path,
    ]);
    await inner.says(/ready\n/);
    const world = worldOf(outer.pid, inner.pid);
    // The tape tells of makers; these two were met apart.
    const process_ = processOf(world, inner.pid);
    process_.maker = processOf(world, outer.pid);
    const locks = locksOf(world, process_);
    const mounts = tableOf(world, inner.pid);
    expect(locks?.from.inode).toBe(spaceAt(outer.pid));
    const locked = mounts.filter(mount => locks?.ids.has(mount.id) && mount.point.startsWith(folder.path));
    expect(points(locked, folder.path)).toEqual(['', '/copy/deep', '/sub', '/sub/deep']);
    expect(bindSource(mounts, mountAt(mounts, `${folder.path}/copy`))).toBe(`${folder.path}/sub`);

    inner.child.stdin?.write('\n');
    await inner.says(/ \.|\/\.: not mounted|\.: gone/);
    const gone = [...inner.stdout.matchAll(/^(.*): gone$/gm)].map(([, point]) => point);
    // What came as one is unmounted as one: with what holds it, or not at all. `not mounted` is what umount(8) calls EINVAL.
    expect(gone).toEqual(['own/deeper', 'own']);
    expect(inner.stdout.match(/not mounted/g)?.length).toBeGreaterThanOrEqual(4);
  });

  it('are not those that came later by propagation, but what these brought with them', async context => {
    using folder = temporaryFolder();
    using other = temporaryFolder();
    const {path} = folder;
    const setup = `mount -t tmpfs base .; cd "$1"; mount --make-shared .; mkdir sub late tree; mount -t tmpfs -o nosuid sub sub
      mount -t tmpfs tree ${other.path}; mkdir ${other.path}/on; mount -t tmpfs on ${other.path}/on`;
    await using outer = await new Shell(['-m'], setup, path).ready();
    await using inner = below(outer, [
      '-U',
      '-r',
      '-m',
      '--propagation',
      'slave',
      'bash',
      '-c',
      'echo ready; while read -r l; do eval "$l"; done',
    ]);
    await inner.says(/ready\n/);
    await outer.does(
      `mount -t tmpfs -o noexec late late; mkdir late/deep; mount -t tmpfs deep late/deep; mount --rbind ${other.path} tree`,
    );
    const world = worldOf(outer.pid, inner.pid);
    const fact = world.mounts.get(spaceAt(inner.pid));
    if (fact?.ages === undefined) return context.skip('this kernel does not tell which mount is older');
    const process_ = processOf(world, inner.pid);
    process_.maker = processOf(world, outer.pid);
    const locks = locksOf(world, process_);
    const here = tableOf(world, inner.pid).filter(({point}) => point.startsWith(path));
    expect(here.map(({point}) => point.replace(path, ''))).toEqual(['', '/sub', '/late', '/late/deep', '/tree', '/tree/on']);
    expect(
      points(
        here.filter(({id}) => locks?.ids.has(id)),
        path,
      ),
    ).toEqual(['', '/sub', '/tree/on']);
    // A copy of that namespace, by the same user namespace, has what was locked there, and no more.
    await using copy = new Running('nsenter', [
      '-t',
      String(inner.pid),
      '-U',
      '--preserve-credentials',
      '-m',
      'unshare',
      '-m',
      'bash',
      '-c',
      'echo ready; while read -r l; do eval "$l"; done',
    ]);
    await copy.says(/ready\n/);
    const both = worldOf(outer.pid, inner.pid, copy.pid);
    processOf(both, inner.pid).maker = processOf(both, outer.pid);
    processOf(both, copy.pid).maker = processOf(both, inner.pid);
    const copied = locksOf(both, processOf(both, copy.pid));
    expect(copied?.from.inode).toBe(spaceAt(outer.pid));
    const there = tableOf(both, copy.pid).filter(mount => copied?.ids.has(mount.id) && mount.point.startsWith(path));
    expect(points(there, path)).toEqual(['', '/sub', '/tree/on']);
    const tries = `for one in sub late/deep late tree/on tree; do umount -i ${path}/$one 2>&1 && echo $one: gone; done; echo end\n`;
    copy.child.stdin?.write(tries);
    await copy.says(/end\n/);
    expect([...copy.stdout.matchAll(/^(.*): gone$/gm)].map(([, point]) => point)).toEqual(['late/deep', 'late']);
    inner.child.stdin?.write(tries);
    await inner.says(/end\n/);
    expect([...inner.stdout.matchAll(/^(.*): gone$/gm)].map(([, point]) => point)).toEqual(['late/deep', 'late']);
  });

  it('are none where the same user namespace owns both', async () => {
    needsRoot('make a mount namespace that nsview’s own user namespace owns');
    using folder = temporaryFolder();
    await using shell = await new Shell(['-m'], 'mount -t tmpfs base .', folder.path).ready();
    const world = worldOf(shell.pid);
    expect(locksOf(world, processOf(world, shell.pid))).toBeNull();
  });
});

describe('propagation to a part', () => {
  it('is told as such: what is mounted beside that does not appear there', async () => {
    using folder = temporaryFolder();
    const {path} = folder;
    const script =
      'mount -t tmpfs top .; cd "$1"; mkdir base part; mount -t tmpfs base base; mount --make-shared base; mkdir -p base/a/in base/b';
    await using shell = await new Shell(['-m'], `${script}; mount --bind base/a part`, path).ready();
    await using other = below(shell, ['-m', '--propagation', 'unchanged', 'sh', '-c', `umount ${path}/base; echo ready; exec cat`]);
    await other.says(/ready/);
    await shell.does('umount part');
    const world = worldOf(shell.pid, other.pid);
    const textOf = (pid: number): string => {
      const details = detailsOf(world, processOf(world, pid), 'mounts', {width: 1000, inodes: false, live: true});
      return Array.from({length: details.count}, (_, index) => lineText(details.line(index))).join('\n');
    };
    const [wide, narrow] = [processOf(world, shell.pid), processOf(world, other.pid)].map(({spaces}) => spaces.mnt?.name);
    expect(textOf(shell.pid)).toMatch(
      `below ${path}/base here appears in ${narrow} (1 process), and the other way round. In ${narrow} (1 process) only what lies in the part`,
    );
    expect(textOf(other.pid)).toMatch(`below ${path}/part here appears in ${wide} (1 process), and the other way round.\n`);
    await shell.does('mount -t tmpfs one base/a/in; mount -t tmpfs two base/b');
    const there = tableOf(worldOf(other.pid), other.pid).map(({point}) => point);
    expect(there.filter(point => point.startsWith(`${path}/`))).toEqual([`${path}/part`, `${path}/part/in`]);
    other.release();
    await other.ended;
  });
});

describe('the source of a bind mount', () => {
  it('is told where its directory is to be seen, and not where that is covered or gone', async () => {
    using folder = temporaryFolder();
    const {path} = folder;
    const script = `mount -t tmpfs base .; cd "$1"; mkdir -p of/seen of/gone of/covered/in self at at/seen at/gone at/covered
      mount --bind of/seen at/seen; mount --bind of/gone at/gone; mount --bind of/covered/in at/covered; mount --bind self self`;
    await using shell = await new Shell(['-m'], script, path).ready();
    const sources = () => {
      const mounts = tableOf(worldOf(shell.pid), shell.pid);
      return ['at/seen', 'at/gone', 'at/covered', 'self'].map(point => {
        const mount = mountAt(mounts, `${path}/${point}`);
        const source = bindSource(mounts, mount);
        if (source !== null) expect(reached(shell.pid, source)).not.toBeNull();
        return source?.replace(path, '') ?? null;
      });
    };
    expect(sources()).toEqual(['/of/seen', '/of/gone', '/of/covered/in', '/self']);
    await shell.does('rmdir of/gone; mount -t tmpfs over of/covered');
    expect(sources()).toEqual(['/of/seen', null, null, '/self']);
    await shell.does('umount of/covered');
    expect(sources()).toEqual(['/of/seen', null, '/of/covered/in', '/self']);
  });
});

describe('a mount of NFS', () => {
  // Two exports of one file system, and a bind mount below one of them, as Linux 6.1 wrote them.
  const table = (last: string) =>
    decodeMountinfo(`27 1 254:0 / / rw - ext4 /dev/vda rw
80 27 0:45 / /a rw - nfs4 srv:/export/a rw,vers=4.2
81 27 0:45 / /b rw - nfs4 srv:/export/b rw,vers=4.2
82 27 0:45 / /mnt rw - nfs4 ${last} rw,vers=4.2
`);

  it('shows the directory that its source names, since mountinfo has / for all of them', () => {
    const mounts = table('srv:/export/a/sub');
    expect(['/a', '/b', '/mnt'].map(point => bindSource(mounts, mountAt(mounts, point)))).toEqual([null, null, '/a/sub']);
    expect(mountDifferences(mounts, table('srv:/export/b/sub')).rows.map(({kind, mount}) => `${kind} ${mount.source}`)).toEqual([
      'added srv:/export/a/sub',
      'removed srv:/export/b/sub',
    ]);
  });
});

describe('a file system that is read-only below a mount that is not', () => {
  it('is told beside the options of the mount, and with all options where the mount is chosen', async context => {
    using folder = temporaryFolder();
    const {path} = folder;
    const script = 'mount -t tmpfs top .; cd "$1"; mkdir one two; mount -t tmpfs -o size=1m one one; mount --bind one two';
    await using shell = await new Shell(['-m'], `${script}; mount -o remount,ro -t tmpfs one || mount -o remount,ro one`, path).ready();
    const world = worldOf(shell.pid);
    const mounts = tableOf(world, shell.pid);
    const two = mountAt(mounts, `${path}/two`);
    if (!two.superOptions.includes('ro')) return context.skip('no privilege to make a file system read-only');
    expect(await shell.does('touch two/file || true')).toMatch(/Read-only/);
    const shown = processOf(world, shell.pid);
    const textOf = (pins?: number) => {
      const look = {width: 300, inodes: false, live: true, ...(pins === undefined ? {} : {pins})};
      const details = detailsOf(world, shown, 'mounts', look);
      return Array.from({length: details.count}, (_, index) => lineText(details.line(index)));
    };
    const row = (name: string) => textOf().find(line => new RegExp(`[├└] ${name} +tmpfs`).test(line));
    expect(row('two')).toMatch(/rw,relatime {2}its file system is ro/);
    expect(row('one')).not.toMatch(/its file system/);
    observe(world, {
      kind: 'mountHolders',
      at: at(),
      pid: shell.pid,
      start: shown.start,
      mount: two.id,
      seen: readMountHolders(shell.pid, two.id),
    });
    expect(textOf(two.id).join('\n')).toMatch(/Options: of the mount rw, relatime; of its file system ro, size=1024k/);
  });
});

describe('an ID-mapped mount', () => {
  it('is told with its map, as statmount(2) has it and as stat(2) sees it', async context => {
    needsRoot('map the ids of a mount');
    using folder = temporaryFolder();
    await using running = start(fixture('maps-mount'), folder.path);
    const [, uid, gid] = await running.says(/file (\d+) (\d+)/);
    await running.says(/ready/);
    expect([uid, gid]).toEqual(['1000', '5000']);
    const world = worldOf(running.pid);
    const mount = mountAt(tableOf(world, running.pid), `${folder.path}/mapped`);
    expect(mount.options).toContain('idmapped');
    const inode = readlinkSync(`/proc/${running.pid}/ns/mnt`).replace(/\D+/g, '');
    const fact = readMountsFact(inode, running.pid);
    const shown = processOf(world, running.pid);
    const seen = readMountHolders(running.pid, mount.id);
    observe(world, {kind: 'mountHolders', at: at(), pid: running.pid, start: shown.start, mount: mount.id, seen});
    const details = detailsOf(world, shown, 'mounts', {width: 300, inodes: false, live: true, pins: mount.id});
    const text = Array.from({length: details.count}, (_, index) => lineText(details.line(index))).join('\n');
    if (fact.idMaps === undefined) {
      expect(text).toContain('how is not known');
      return context.skip('kernel lacks the map of a mount in statmount(2), Linux 6.15');
    }
    expect(fact.idMaps).toEqual({
      [mount.id]: {uid: [{inside: 0, outside: 1000, count: 5}], gid: [{inside: 0, outside: 5000, count: 5}]},
    });
    expect(parseFact(JSON.parse(JSON.stringify(fact)))).toEqual({ok: true, value: fact});
    expect(text).toContain('Who owns its files is mapped: uid 0-4 appear as 1000-1004; gid 0-4 appear as 5000-5004; all others as nobody.');
  });
});

describe('differences', () => {
  it('are mounts that one has, and options', async () => {
    using folder = temporaryFolder();
    const setup = 'mount -t tmpfs base .; cd "$1"; mkdir a b c d; for each in a b c; do mount -t tmpfs "$each" "$each"; done';
    await using outer = await new Shell(['-m'], setup, folder.path).ready();
    await using inner = below(outer, [
      '-m',
      '--propagation',
      'unchanged',
      'bash',
      '-c',
      'cd "$1"; umount a; mount -o remount,bind,ro b; mount -t tmpfs d d; mount --make-shared c; echo ready; cat',
      'bash',
      folder.path,
    ]);
    await inner.says(/ready\n/);
    const world = worldOf(outer.pid, inner.pid);
    const {rows, propagation} = mountDifferences(tableOf(world, inner.pid), tableOf(world, outer.pid));
    expect(rows.map(row => `${row.kind} ${row.mount.point.replace(folder.path, '')}`)).toEqual(['changed /b', 'added /d', 'removed /a']);
    const [changed] = rows;
    if (changed?.kind !== 'changed') throw new Error('not changed');
    expect([optionsBeyond(changed.mount, changed.before), optionsBeyond(changed.before, changed.mount)]).toEqual([['ro'], []]);
    expect(propagation).toBe(1);
    const again = mountDifferences(tableOf(world, outer.pid), tableOf(world, outer.pid));
    expect(again).toEqual({rows: [], propagation: 0});
  });
});

describe('a table that is on the screen', () => {
  const setup = 'mount -t tmpfs base .; cd "$1"; mkdir sub other';
  const follow = (pid: number) => {
    const world = worldOf(pid);
    const told: {fact: MountsFact; at: number}[] = [];
    const details = watchDetails({
      emit: facts => {
        for (const fact of facts) {
          observe(world, fact);
          if (fact.kind === 'mounts') told.push({fact, at: performance.now()});
        }
      },
    });
    const inode = spaceAt(pid);
    details.show({mounts: [{inode, pid}], cgroups: [], studies: []});
    const next = async (count: number) => {
      for (const limit = performance.now() + 5000; told.length < count && performance.now() < limit; )
        await new Promise(later => setTimeout(later, 5));
      return told[count - 1];
    };
    return {world, told, inode, next, [Symbol.dispose]: () => details[Symbol.dispose]()};
  };

  it('is read again as soon as it changes, and says what did', async () => {
    using folder = temporaryFolder();
    await using shell = await new Shell(['-m'], setup, folder.path).ready();
    using followed = follow(shell.pid);
    await followed.next(1);
    const news = () => followed.world.mountNews.get(followed.inode);
    const took: number[] = [];
    // Of a file system that a user mounted mount(8) changes the mount's options only.
    const remount = isRoot ? 'mount -o remount,ro sub' : 'mount -o remount,bind,ro sub';
    for (const [index, script] of ['mount -t tmpfs new sub', remount, 'umount sub'].entries()) {
      // Longer than changes are gathered, and not at the beat of the readings.
      await new Promise(later => setTimeout(later, 60));
      const asked = performance.now();
      await shell.does(script);
      const reading = await followed.next(index + 2);
      took.push((reading?.at ?? Number.POSITIVE_INFINITY) - asked);
      const fresh = [...(news()?.fresh.values() ?? [])].map(({how}) => how);
      expect([script, fresh, news()?.gone.map(({mount}) => mount.point.replace(folder.path, ''))]).toEqual(
        [
          ['mount -t tmpfs new sub', ['new'], []],
          [remount, ['changed'], []],
          ['umount sub', [], ['/sub']],
        ][index],
      );
    }
    // It is polled for every 500 ms at most: all three sooner than that is no coincidence, on a machine of usual speed.
    expect(Math.max(...took)).toBeLessThan(patient(400));
    expect(followed.told.length).toBe(4);
  });

  it('is known to have changed by poll where that was before the event loop listened, and right after it was told', async () => {
    using folder = temporaryFolder();
    await using shell = await new Shell(['-m'], setup, folder.path).ready();
    const inode = spaceAt(shell.pid);
    let changes = 0;
    const enter = ['-t', String(shell.pid), ...entered, 'mount', '--bind', folder.path, folder.path];
    const mountsNow = () => expect(spawnSync('nsenter', enter).status).toBe(0);
    using watched = watchMounts({
      most: 4,
      by: ['poll'],
      // Where nothing else can be told meanwhile: this blocks.
      changed: () => {
        if (++changes === 2) mountsNow();
      },
    });
    watched.keep([{inode, pid: shell.pid}]);
    mountsNow();
    await until(() => changes === 1, 'what changed before the event loop listened');
    mountsNow();
    await until(() => changes === 3, 'what changed while a change was told');
  });

  it.each(['poll', 'fanotify'] as const)('is known to have changed by %s alone', async by => {
    using folder = temporaryFolder();
    await using shell = await new Shell(['-m'], setup, folder.path).ready();
    const inode = spaceAt(shell.pid);
    let changes = 0;
    using watched = watchMounts({most: 4, by: [by], changed: () => changes++});
    watched.keep([{inode, pid: shell.pid}]);
    const has = by === 'poll' || listensTo(shell.pid);
    // On a busy machine it takes its time; that nothing is told is seen sooner.
    const does = async (script: string, isTold: boolean) => {
      const before = changes;
      await shell.does(script);
      if (isTold) await until(() => changes > before, `${script}, told by ${by}`);
      else await new Promise(later => setTimeout(later, 100));
      expect(changes > before, script).toBe(isTold);
    };
    await does('mount -t tmpfs new sub', has);
    await does('umount sub', has);
    // What fanotify does not tell, poll does (fanotify_mark(2): FAN_MNT_ATTACH and FAN_MNT_DETACH only).
    await does('mount -o remount,bind,ro .', by === 'poll');
  });

  it('does not keep a dead namespace alive for longer than until the next look', async () => {
    using folder = temporaryFolder();
    const lives = async (hold: (pid: number) => Disposable) => {
      await using shell = await new Shell(['-m'], setup, folder.path).ready();
      using _held = hold(shell.pid);
      // inotify(7), IN_UNMOUNT: told when the last mount of a file system is gone, which a watch does not keep.
      const watcher = watch(`/proc/${shell.pid}/root${folder.path}/sub`);
      const dead = new Promise<number>(resolve => watcher.once('change', () => resolve(performance.now())));
      const killed = performance.now();
      shell.child.kill('SIGKILL');
      const took = await Promise.race([
        dead.then(when => when - killed),
        new Promise<null>(later => setTimeout(later, patient(1500), null)),
      ]);
      watcher.close();
      return took;
    };
    const openFile = (pid: number): Disposable => {
      const fd = openSync(`/proc/${pid}/mountinfo`, 'r');
      return {[Symbol.dispose]: () => closeSync(fd)};
    };
    expect(await lives(() => ({[Symbol.dispose]: () => {}}))).toBeLessThan(patient(500));
    // An open table alone keeps it.
    expect(await lives(openFile)).toBeNull();
    expect(await lives(pid => follow(pid))).toBeLessThan(patient(1200));
  });
});

describe('a tree that ptrace follows without its calls', () => {
  const setup = 'mount -t tmpfs base .; cd "$1"; mkdir sub other';

  it('tells of each mount that comes and goes, on a tape and in words', async () => {
    using folder = temporaryFolder();
    using tapes = temporaryFolder();
    await using shell = await new Shell(['-m'], setup, folder.path).ready();
    const inode = spaceAt(shell.pid);
    await using tracer = await attached('ptrace', shell.pid, tapes.file('tape'));
    const tables = () => ofKind(readTapeStrictly(tapes.file('tape')).facts, 'mounts').filter(fact => fact.inode === inode);
    const has = () => {
      const last = tables().at(-1);
      return last !== undefined && !isRefusal(last.mounts) && last.mounts.some(mount => mount.point === `${folder.path}/sub`);
    };
    await shell.does('mount -t tmpfs new sub');
    await until(has, 'the mount');
    await shell.does('umount sub');
    await until(() => !has(), 'the end of the mount');
    tracer.child.kill('SIGINT');
    await tracer.ended;
    const {header, facts} = readTapeStrictly(tapes.file('tape'));
    const times = facts.map(fact => BigInt(fact.at));
    expect(times).toEqual(times.toSorted((a, b) => (a < b ? -1 : a > b ? 1 : 0)));
    const world = createWorld(header);
    const said = facts.flatMap(fact => observe(world, fact)).filter(event => event.what.kind === 'mounts');
    const lines = said.map(event => timelineLine(event, world, 0).replaceAll(folder.path, ''));
    expect(lines.map(line => /mounts changed in mnt:\w+ +(.*)$/.exec(line)?.[1])).toEqual(['+ /sub', '− /sub']);
  });

  it('does not where its calls are seen, which tell of it themselves', async () => {
    using folder = temporaryFolder();
    using tapes = temporaryFolder();
    await using shell = await new Shell(['-m'], setup, folder.path).ready();
    await using tracer = await attached('syscalls', shell.pid, tapes.file('tape'));
    await shell.does('mount -t tmpfs new sub; sleep 0.2');
    tracer.child.kill('SIGINT');
    await tracer.ended;
    const {header, facts} = readTapeStrictly(tapes.file('tape'));
    const world = createWorld(header);
    const kinds = facts.flatMap(fact => observe(world, fact)).map(event => event.what.kind);
    expect(kinds).toContain('call');
    expect(kinds).not.toContain('mounts');
  });

  it('says how many namespaces are too many', async () => {
    using folder = temporaryFolder();
    await using one = await new Shell(['-m'], setup, folder.path).ready();
    await using two = await new Shell(['-m'], setup, folder.path).ready();
    using watched = watchMounts({most: 2, changed: () => {}});
    const readers = [process.pid, one.pid, two.pid].map(pid => ({inode: spaceAt(pid), pid}));
    expect(watched.keep(readers)).toBe(1);
    expect(readers.map(({inode}) => watched.watches(inode))).toEqual([true, true, false]);
    expect(watched.keep(readers.slice(1))).toBe(0);
    expect(readers.map(({inode}) => watched.watches(inode))).toEqual([false, true, true]);
    two.child.kill('SIGKILL');
    await two.ended;
    expect(watched.release()).toEqual(readers.slice(2));
  });
});
