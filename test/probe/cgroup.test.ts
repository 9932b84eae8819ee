import {execFileSync} from 'node:child_process';
import {chownSync, existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync} from 'node:fs';
import {afterEach, describe, expect, it} from 'vitest';
import {effectiveLimit, withRates} from '../../src/model/cgroup-limit.ts';
import {detailsOf} from '../../src/model/details.ts';
import {type CgroupFact, type CgroupPath, isRefusal} from '../../src/model/fact.ts';
import {lineText} from '../../src/model/line.ts';
import {createWorld, observe} from '../../src/model/world.ts';
import {cgroupDirectory, readCgroups} from '../../src/probe/cgroup.ts';
import {
  decodeBandwidth,
  decodeEvents,
  decodeIoStat,
  decodeLimit,
  decodePressure,
  levelsAbove,
  readLevel,
} from '../../src/probe/cgroup-files.ts';
import {readCgroupView} from '../../src/probe/cgroup-view.ts';
import {readMounts} from '../../src/probe/mountinfo.ts';
import {decodeCgroup, readProcess} from '../../src/probe/process.ts';
import {parseFact} from '../../src/probe/schemas.ts';
import {readSnapshot} from '../../src/probe/snapshot.ts';
import {readStudy} from '../../src/probe/study.ts';
import {leaveNothingBehind} from '../support/leaks.ts';
import {Running, temporaryFolder} from '../support/nsview.ts';
import {fixture} from '../support/paths.ts';
import {patient} from '../support/patience.ts';
import {tabsAs} from '../support/tabs.ts';
import {needsRoot} from '../support/user.ts';

const made: string[] = [];
leaveNothingBehind();
// Before the look at what is left behind: hooks of a file run in the order last in, first out.
afterEach(async () => {
  for (const path of made.splice(0).reverse())
    for (const limit = Date.now() + patient(3000); ; await new Promise(resolve => setTimeout(resolve, 20)))
      try {
        rmdirSync(path);
        break;
      } catch (error) {
        // Its last process is not reaped yet.
        if (Date.now() > limit) throw error;
      }
});

const own = decodeCgroup(readFileSync('/proc/self/cgroup', 'utf8'));

/** Where the root of the hierarchy of v2 is; null where there is none. */
const root = ((): string | null => {
  const mounts = readMounts('self');
  const unified = own.find(({hierarchy}) => hierarchy === 0);
  if (unified === undefined || isRefusal(mounts)) return null;
  const directory = cgroupDirectory({...unified, path: '/'}, mounts);
  return isRefusal(directory) ? null : directory;
})();

/** The directory of nsview's own cgroup that has the controller, v1 or v2; null where none has or it may not be written. */
function home(controller: string): {cgroup: CgroupPath; directory: string; version: 1 | 2} | null {
  const mounts = readMounts('self');
  if (isRefusal(mounts)) return null;
  const v1 = own.find(({controllers}) => controllers.includes(controller));
  const cgroup = v1 ?? own.find(({hierarchy}) => hierarchy === 0);
  if (cgroup === undefined) return null;
  const directory = cgroupDirectory({...cgroup, path: '/'}, mounts);
  if (isRefusal(directory)) return null;
  if (v1 === undefined && !readFileSync(`${directory}/cgroup.subtree_control`, 'utf8').split(/\s/).includes(controller)) return null;
  return {cgroup, directory, version: v1 === undefined ? 2 : 1};
}

const has = (directory: string, file: 'controllers' | 'subtree_control', controller: string): boolean =>
  readFileSync(`${directory}/cgroup.${file}`, 'utf8').trim().split(' ').includes(controller);

/** With that controller of v2 in the cgroups below `directory`, afterwards as before: what was made is removed for that. */
async function enabled(directory: string, controller: string, use: () => Promise<void>): Promise<void> {
  needsRoot('make a cgroup at the root of the hierarchy');
  if (has(directory, 'subtree_control', controller)) return use();
  writeFileSync(`${directory}/cgroup.subtree_control`, `+${controller}`);
  try {
    await use();
  } finally {
    for (const path of made.splice(0).reverse()) rmdirSync(path);
    writeFileSync(`${directory}/cgroup.subtree_control`, `-${controller}`);
  }
}

/** Two cgroups, one in the other. */
function nest(directory: string, version: 1 | 2, controller: string): {outer: string; inner: string} {
  needsRoot('make a cgroup at the root of the hierarchy');
  const outer = `${directory}/nsview-test-${process.pid}`;
  const inner = `${outer}/inner`;
  mkdirSync(outer);
  made.push(outer);
  if (version === 2) writeFileSync(`${outer}/cgroup.subtree_control`, `+${controller}`);
  mkdirSync(inner);
  made.push(inner);
  return {outer, inner};
}

const factOf = (pid: number, hierarchy: number): CgroupFact => {
  const seen = readProcess(pid);
  if (isRefusal(seen) || isRefusal(seen.cgroup)) throw new Error('no cgroup');
  const fact = readCgroups(seen.cgroup).find(one => one.hierarchy === hierarchy);
  if (fact === undefined) throw new Error('not there');
  expect(parseFact(JSON.parse(JSON.stringify(fact)))).toMatchObject({ok: true});
  return fact;
};

function tab(pid: number, width: number, root = pid): string {
  const at = '1';
  const {host, processes} = readSnapshot({version: 'test', root});
  const world = createWorld({format: 'nsview/tape', version: 1, nsview: 'test', at, realtime: at, host, target: {machine: true}});
  for (const seen of processes) observe(world, {kind: 'process', at, because: 'attach', ...seen});
  const process = world.byPid.get(pid);
  if (process === undefined || process.cgroup === null || isRefusal(process.cgroup)) throw new Error('not there');
  for (const fact of readCgroups(process.cgroup)) observe(world, fact);
  const study = readStudy({kind: 'cgroupView', pid, start: process.start});
  if (study === null) throw new Error('not there');
  expect(parseFact(JSON.parse(JSON.stringify(study)))).toMatchObject({ok: true});
  observe(world, study);
  const details = detailsOf(world, process, 'cgroup', {width, inodes: false, live: true});
  return Array.from({length: details.count}, (_, index) => lineText(details.line(index)))
    .join(' ')
    .replaceAll(/ +/g, ' ');
}

describe('what limits a cgroup', () => {
  const pids = home('pids');
  it('pids: the limit of the cgroup above binds, and the kernel counts the same', async context => {
    if (pids === null) return context.skip('needs a cgroup, v1 or v2, with the controller pids');
    const {outer, inner} = nest(pids.directory, pids.version, 'pids');
    writeFileSync(`${outer}/pids.max`, '4');
    writeFileSync(`${inner}/pids.max`, '9');
    await using one = new Running('cat', []);
    await using other = new Running('cat', []);
    writeFileSync(`${inner}/cgroup.procs`, String(one.pid));
    writeFileSync(`${inner}/cgroup.procs`, String(other.pid));
    const path = `/nsview-test-${process.pid}`;
    const fact = factOf(one.pid, pids.cgroup.hierarchy);
    expect(fact.path).toBe(`${path}/inner`);
    expect(fact.members).toEqual([one.pid, other.pid].sort((a, b) => a - b));
    expect(fact.levels?.map(level => level.path)).toEqual([`${path}/inner`, path, '/']);
    expect(fact.levels?.[0]?.writer).toEqual({uid: 0, gid: 0, mode: '0644'});
    expect(effectiveLimit(fact.levels ?? [], 'pids')).toEqual({limit: 4n, use: 2n, path});
    const snapshot = readSnapshot({version: 'test', root: one.pid});
    const inSnapshot = snapshot.cgroups.find(({hierarchy}) => hierarchy === pids.cgroup.hierarchy);
    expect(inSnapshot?.limits).toMatchObject({pids: {limit: '4', use: '2', by: path}});
    // Narrower, its end is cut where the number in its name has four digits.
    for (const width of [40, 60, 100]) expect(tab(one.pid, width)).toContain(`pids 2 of 4 █████░░░░░ 50% set by ${path}`);
  });

  it('is not known of those outside of nsview’s own cgroup namespace, which is not the same as none', async context => {
    if (pids === null) return context.skip('needs a cgroup, v1 or v2, with the controller pids');
    const {outer, inner} = nest(pids.directory, pids.version, 'pids');
    writeFileSync(`${outer}/pids.max`, '500');
    await using one = new Running('cat', []);
    writeFileSync(`${inner}/cgroup.procs`, String(one.pid));
    expect(tab(one.pid, 100)).toContain('pids 1 of 500');
    // As in a container: its own cgroup is the root of what it sees.
    const mount = pids.version === 2 ? 'mount -t cgroup2 cgroup2' : 'mount -t cgroup -o pids cgroup';
    const program = `echo $$ > '${inner}/cgroup.procs'; exec unshare -Cm sh -c 'umount "$0" && ${mount} "$0" && exec "$@"' "$0" "$@"`;
    const text = tabsAs(['sh', '-c', program, pids.directory], [one.pid])[one.pid]?.widths[100]?.cgroup?.replaceAll(/\s+/g, ' ');
    expect(text).toMatch(/limits of (pids|v2) \/ (?:(?!limits of).)*pids \d+ used, no limit seen/);
    expect(text).toContain('above cgroups that nsview does not see: what they limit is not known');
  });

  const memory = home('memory');
  it('memory: use, limit and peak are what the files say', async context => {
    if (memory === null) return context.skip('needs a cgroup, v1 or v2, with the controller memory');
    const {outer, inner} = nest(memory.directory, memory.version, 'memory');
    const limit = memory.version === 1 ? 'memory.limit_in_bytes' : 'memory.max';
    writeFileSync(`${outer}/${limit}`, String(64 * 1024 * 1024));
    await using one = new Running('cat', []);
    writeFileSync(`${inner}/cgroup.procs`, String(one.pid));
    const fact = factOf(one.pid, memory.cgroup.hierarchy);
    expect(fact.levels?.[0]?.resources.find(({resource}) => resource === 'memory')).toMatchObject({limit: null, use: expect.any(String)});
    expect(effectiveLimit(fact.levels ?? [], 'memory')).toMatchObject({
      limit: BigInt(64 * 1024 * 1024),
      path: `/nsview-test-${process.pid}`,
    });
    expect(tab(one.pid, 100)).toMatch(/memory \S+ \S+ of 64 MiB ░+ \d%/);
  });

  it('memory: what is kept of it is no more than those above keep, and who is killed together', async context => {
    if (memory === null || memory.version === 1) return context.skip('needs a cgroup v2 with the controller memory');
    const {outer, inner} = nest(memory.directory, memory.version, 'memory');
    writeFileSync(`${inner}/memory.min`, '8M');
    writeFileSync(`${inner}/memory.low`, '16M');
    writeFileSync(`${outer}/memory.low`, '12M');
    writeFileSync(`${inner}/memory.oom.group`, '1');
    await using one = new Running('cat', []);
    writeFileSync(`${inner}/cgroup.procs`, String(one.pid));
    const path = `/nsview-test-${process.pid}`;
    expect(tab(one.pid, 150)).toContain(`memory.min 8 MiB is void: ${path} has none`);
    expect(tab(one.pid, 150)).toContain(`12 MiB kept while others can give set by ${path}`);
    expect(tab(one.pid, 150)).toContain(`out of memory, all of ${path}/inner are killed together`);
    writeFileSync(`${outer}/memory.min`, '64M');
    expect(tab(one.pid, 150)).toContain('8 MiB kept');
  });

  it('memory: the soft limit of v1 slows nobody down, memory.high of one above everybody', async context => {
    if (memory === null) return context.skip('needs a cgroup, v1 or v2, with the controller memory');
    const {outer, inner} = nest(memory.directory, memory.version, 'memory');
    writeFileSync(`${outer}/${memory.version === 1 ? 'memory.soft_limit_in_bytes' : 'memory.high'}`, String(64 * 1024 * 1024));
    await using one = new Running('cat', []);
    writeFileSync(`${inner}/cgroup.procs`, String(one.pid));
    const means = memory.version === 1 ? 'when the machine is short of it, reclaimed first' : 'slowed down';
    for (const width of [60, 100]) expect(tab(one.pid, width)).toContain(`${means} above 64 MiB set by /nsview-test-${process.pid}`);
  });

  const cpu = home('cpu');
  it('cpu: quota over period', async context => {
    if (cpu === null) return context.skip('needs a cgroup, v1 or v2, with the controller cpu');
    const {outer, inner} = nest(cpu.directory, cpu.version, 'cpu');
    if (cpu.version === 1) writeFileSync(`${outer}/cpu.cfs_quota_us`, '50000');
    else writeFileSync(`${outer}/cpu.max`, '50000 100000');
    await using one = new Running('cat', []);
    writeFileSync(`${inner}/cgroup.procs`, String(one.pid));
    expect(effectiveLimit(factOf(one.pid, cpu.cgroup.hierarchy).levels ?? [], 'cpu')).toMatchObject({limit: 500n, use: null});
    expect(tab(one.pid, 100)).toContain('cpu 0.5 CPUs at most set by /nsview-test');
  });

  it('cpu: its share among its siblings, which is all that it has where there is no quota', async context => {
    if (cpu === null) return context.skip('needs a cgroup, v1 or v2, with the controller cpu');
    const {outer, inner} = nest(cpu.directory, cpu.version, 'cpu');
    writeFileSync(`${inner}/${cpu.version === 1 ? 'cpu.shares' : 'cpu.weight'}`, '77');
    await using one = new Running('cat', []);
    writeFileSync(`${inner}/cgroup.procs`, String(one.pid));
    expect(tab(one.pid, 100)).toMatch(/no limit [^)]*cpu \(weight 77\)|cpu [^(]*weight 77/);
    if (cpu.version === 1) writeFileSync(`${outer}/cpu.cfs_quota_us`, '50000');
    else writeFileSync(`${outer}/cpu.max`, '50000 100000');
    expect(tab(one.pid, 100)).toMatch(/cpu 0\.5 CPUs at most set by \S+ .*weight 77/);
  });

  it('cpu: what was held back is told, though it is counted in the cgroup above', async context => {
    if (cpu === null) return context.skip('needs a cgroup, v1 or v2, with the controller cpu');
    const {outer, inner} = nest(cpu.directory, cpu.version, 'cpu');
    if (cpu.version === 1) writeFileSync(`${outer}/cpu.cfs_quota_us`, '1000');
    else writeFileSync(`${outer}/cpu.max`, '1000 100000');
    await using one = new Running('sh', ['-c', 'echo ready; read go; while :; do :; done']);
    // Its start may take more than such a cgroup gives.
    await one.says(/ready/);
    await expect.poll(() => readFileSync(`/proc/${one.pid}/stat`, 'utf8').split(') ')[1]?.[0], {timeout: patient(10_000)}).toBe('S');
    writeFileSync(`${inner}/cgroup.procs`, String(one.pid));
    expect(tab(one.pid, 100)).not.toContain('nr_throttled');
    one.child.stdin?.write('\n');
    const throttled = (directory: string) => Number(/^nr_throttled (\d+)/m.exec(readFileSync(`${directory}/cpu.stat`, 'utf8'))?.[1]);
    for (const limit = Date.now() + patient(10_000); throttled(outer) === 0 && Date.now() < limit; )
      await new Promise(resolve => setTimeout(resolve, 50));
    expect(throttled(inner)).toBe(0);
    expect(tab(one.pid, 100)).toMatch(/cpu .*at most set by \S+ nr_throttled [1-9]\d* there/);
  });

  it('memory: who is not killed when it has no more of it, but waits', async context => {
    if (memory === null || memory.version !== 1) return context.skip('needs a cgroup v1 with the controller memory');
    const {outer, inner} = nest(memory.directory, 1, 'memory');
    writeFileSync(`${outer}/memory.limit_in_bytes`, String(64 * 1024 * 1024));
    writeFileSync(`${outer}/memory.oom_control`, '1');
    await using one = new Running('cat', []);
    writeFileSync(`${inner}/cgroup.procs`, String(one.pid));
    expect(tab(one.pid, 100)).toContain('oom_kill_disable 1 there');
    writeFileSync(`${outer}/cgroup.procs`, String(one.pid));
    expect(tab(one.pid, 100)).toMatch(/set here oom_kill_disable 1/);
  });

  const freezer = home('freezer');
  it('frozen, and by whom', async context => {
    if (freezer === null) return context.skip('needs a mounted cgroup v1 with the freezer: in v2 every cgroup has its own');
    const {outer, inner} = nest(freezer.directory, freezer.version, 'freezer');
    await using one = new Running('cat', []);
    writeFileSync(`${inner}/cgroup.procs`, String(one.pid));
    const frozen = () => factOf(one.pid, freezer.cgroup.hierarchy).levels?.map(level => level.frozen);
    expect(frozen()?.slice(0, 2)).toEqual([false, false]);
    writeFileSync(`${outer}/freezer.state`, 'FROZEN');
    try {
      expect(frozen()?.slice(0, 2)).toEqual([false, true]);
      // The kernel freezes in its own time.
      const isFrozen = () => readFileSync(`${inner}/freezer.state`, 'utf8') === 'FROZEN\n';
      for (const limit = Date.now() + patient(3000); !isFrozen() && Date.now() < limit; )
        await new Promise(resolve => setTimeout(resolve, 10));
      expect(tab(one.pid, 100)).toContain('frozen yes, by /nsview-test');
    } finally {
      writeFileSync(`${outer}/freezer.state`, 'THAWED');
    }
  });
});

describe('who may move processes into it', () => {
  const user = ['--reuid=12345', '--regid=12345', '--clear-groups'];
  const moved = (file: string) => ['sh', '-c', `{ echo $$ > '${file}'; } 2> /dev/null && cat /proc/$$/cgroup`];
  const first = ['pids', 'freezer', 'memory', 'cpu'].map(home).find(one => one?.version === 1);
  it('in v1 also who may write tasks', async context => {
    if (first === undefined || first === null) return context.skip('needs a cgroup v1');
    needsRoot('give a cgroup to another user');
    const directory = `${first.directory}/nsview-test-${process.pid}`;
    mkdirSync(directory);
    made.push(directory);
    await using one = new Running('cat', []);
    writeFileSync(`${directory}/cgroup.procs`, String(one.pid));
    chownSync(`${directory}/tasks`, 12345, 12345);
    expect(execFileSync('setpriv', [...user, ...moved(`${directory}/tasks`)]).toString()).toContain(`:/nsview-test-${process.pid}\n`);
    for (const width of [60, 100]) expect(tab(one.pid, width)).toContain('writable by root (0644) for threads by uid 12345 (0644)');
  });

  it('in v2 only from within what is theirs', async context => {
    if (root === null) return context.skip('needs a cgroup v2');
    needsRoot('give a cgroup to another user');
    const path = `/nsview-test-${process.pid}`;
    const [outer, inner] = [`${root}${path}`, `${root}${path}/inner`];
    for (const directory of [outer, inner]) {
      mkdirSync(directory);
      made.push(directory);
      chownSync(`${directory}/cgroup.procs`, 12345, 12345);
    }
    await using one = new Running('cat', []);
    writeFileSync(`${inner}/cgroup.procs`, String(one.pid));
    const move = ['setpriv', ...user, ...moved(`${inner}/cgroup.procs`)];
    expect(() => execFileSync(move[0] ?? '', move.slice(1))).toThrow();
    const within = execFileSync('sh', ['-c', `echo $$ > '${outer}/cgroup.procs'; exec "$@"`, 'sh', ...move]).toString();
    expect(within).toContain(`0::${path}/inner\n`);
    for (const width of [60, 100]) expect(tab(one.pid, width)).toContain(`writable by uid 12345 (0644) from ${path} and below alone`);
  });
});

describe('devices', () => {
  const devices = home('devices');
  it('that alone may be used, as v1 lists them', async context => {
    if (devices === null || devices.version !== 1) return context.skip('needs a cgroup v1 with the controller devices');
    const {inner} = nest(devices.directory, 1, 'devices');
    await using one = new Running('cat', []);
    writeFileSync(`${inner}/cgroup.procs`, String(one.pid));
    writeFileSync(`${inner}/devices.deny`, 'c 1:7 w');
    expect(tab(one.pid, 100)).not.toMatch(/\bdevices (only|a )|no limit [^w]*devices/);
    writeFileSync(`${inner}/devices.deny`, 'a');
    for (const device of ['c 1:3 rwm', 'c 1:5 r']) writeFileSync(`${inner}/devices.allow`, device);
    const listed = readFileSync(`${inner}/devices.list`, 'utf8').trim().split('\n').join('; ');
    expect(listed).toBe('c 1:3 rwm; c 1:5 r');
    for (const width of [60, 100]) expect(tab(one.pid, width)).toContain(`devices only ${listed} `);
  });
});

describe('what is counted', () => {
  // The controller cpuacct of v1 is part of cpu in v2, where each cgroup has cpu.stat whatever is enabled (cgroup-v2.rst).
  const v1 = home('cpuacct');
  const hierarchy = v1?.cgroup.hierarchy ?? 0;
  const top = v1?.directory ?? root;
  it('CPU time, as the kernel has it, and a rate from two readings', async () => {
    if (top === null) throw new Error('no hierarchy counts CPU time');
    needsRoot('make a cgroup at the root of the hierarchy');
    const directory = `${top}/nsview-test-${process.pid}`;
    mkdirSync(directory);
    made.push(directory);
    await using one = new Running('sh', ['-c', 'read go; while :; do :; done']);
    writeFileSync(`${directory}/cgroup.procs`, String(one.pid));
    const counted = (): bigint => {
      if (v1 !== null) return BigInt(readFileSync(`${directory}/cpuacct.usage`, 'utf8').trim()) / 1000n;
      return BigInt(/^usage_usec (\d+)/m.exec(readFileSync(`${directory}/cpu.stat`, 'utf8'))?.[1] ?? '');
    };
    const reading = () => {
      const least = counted();
      const fact = factOf(one.pid, hierarchy);
      const total = BigInt(fact.levels?.[0]?.resources.find(({resource}) => resource === 'cpu')?.total ?? -1);
      expect(total).toBeGreaterThanOrEqual(least);
      expect(total).toBeLessThanOrEqual(counted());
      return {fact, total};
    };
    const first = reading();
    one.child.stdin?.write('\n');
    for (const limit = Date.now() + patient(10_000); counted() < first.total + 300_000n && Date.now() < limit; )
      await new Promise(resolve => setTimeout(resolve, 50));
    const second = reading();
    const use = withRates(second.fact, first.fact).levels?.[0]?.resources.find(({resource}) => resource === 'cpu')?.use;
    const passed = Number(BigInt(second.fact.at) - BigInt(first.fact.at)) / 1000;
    expect(Number(use)).toBe(Math.round((Number(second.total - first.total) / passed) * 1000));
    // One busy loop is at most one CPU.
    expect(Number(use)).toBeGreaterThan(0);
    expect(Number(use)).toBeLessThanOrEqual(1010);
  });
});

describe('where it is', () => {
  const found = ['pids', 'freezer', 'memory', 'cpu'].map(home).find(one => one !== null) ?? null;
  it.skipIf(found === null)('inside its cgroup namespace, as it has it itself, also once it is moved out of the root of that', async () => {
    if (found === null) return;
    const {directory, cgroup} = found;
    needsRoot('make a cgroup at the root of the hierarchy');
    const outer = `${directory}/nsview-test-${process.pid}`;
    const inner = `${outer}/inner`;
    for (const path of [outer, inner]) {
      mkdirSync(path);
      made.push(path);
    }
    await using one = new Running('sh', ['-c', 'read go; echo moving; exec unshare --cgroup sh -c "echo inside; cat"']);
    writeFileSync(`${inner}/cgroup.procs`, String(one.pid));
    const inside = () => {
      const view = readCgroupView(one.pid);
      if (isRefusal(view) || isRefusal(view.inside)) throw new Error(JSON.stringify(view));
      const {inside: paths, sameNamespace} = view;
      return {sameNamespace, path: paths.find(({hierarchy}) => hierarchy === cgroup.hierarchy)?.path};
    };
    const path = `/nsview-test-${process.pid}`;
    expect(inside()).toEqual({sameNamespace: true, path: `${path}/inner`});
    one.child.stdin?.write('\n');
    await one.says(/inside/);
    expect(inside()).toEqual({sameNamespace: false, path: '/'});
    const itself = () => execFileSync('nsenter', ['-t', String(one.pid), '--cgroup', 'cat', `/proc/${one.pid}/cgroup`]).toString();
    const view = readCgroupView(one.pid);
    expect(isRefusal(view) ? view : view.inside).toEqual(decodeCgroup(itself()));
    // Where there is another hierarchy as well, its name comes first, and the path is cut.
    expect(tab(one.pid, 36)).toContain(' › / inside');
    for (const width of [60, 100]) expect(tab(one.pid, width)).toContain(`${path}/inner › / inside`);
    writeFileSync(`${outer}/cgroup.procs`, String(one.pid));
    expect(inside()).toEqual({sameNamespace: false, path: '/..'});
    expect(itself()).toContain(':/..\n');
    expect(tab(one.pid, 100)).toContain(`${path} › /.. inside: out of its namespace`);
  });
});

describe('who is not in the cgroup of its maker', () => {
  const found = ['pids', 'freezer', 'memory', 'cpu'].map(home).find(one => one !== null) ?? null;
  it('is said to be elsewhere, which it may be since its maker went', async context => {
    if (found === null) return context.skip('needs a cgroup, v1 or v2, with a controller');
    needsRoot('make a cgroup at the root of the hierarchy');
    const outer = `${found.directory}/nsview-test-${process.pid}`;
    mkdirSync(outer);
    made.push(outer);
    await using maker = new Running('sh', ['-c', `echo $$ > '${outer}/cgroup.procs'; sleep 60 & echo $!; wait`]);
    const child = Number((await maker.says(/(\d+)\n/))[1]);
    const path = `/nsview-test-${process.pid}`;
    expect(tab(child, 100, maker.pid)).not.toContain('not where');
    writeFileSync(`${found.directory}/cgroup.procs`, String(maker.pid));
    expect(tab(child, 100, maker.pid)).toContain(`${path} not where sh ${maker.pid} is`);
    for (const width of [36, 60]) expect(tab(child, width, maker.pid).replaceAll(/ +/g, ' ')).toContain('not where sh');
    process.kill(child);
  });
});

describe('the unified hierarchy', () => {
  it.skipIf(root === null)('frozen by the cgroup above, beside what systemd-cgls lists', async () => {
    if (root === null) return;
    needsRoot('make a cgroup at the root of the hierarchy');
    const path = `/nsview-test-${process.pid}`;
    const [outer, inner] = [`${root}${path}`, `${root}${path}/inner`];
    mkdirSync(outer);
    made.push(outer);
    mkdirSync(inner);
    made.push(inner);
    await using one = new Running('cat', []);
    writeFileSync(`${inner}/cgroup.procs`, String(one.pid));
    // Given a directory it needs neither systemd nor its hierarchy.
    const listed = execFileSync('systemd-cgls', ['--no-pager', outer]).toString();
    expect(listed).toMatch(new RegExp(`inner[^]*${one.pid} `));
    expect(factOf(one.pid, 0)).toMatchObject({members: [one.pid], events: {populated: 1, frozen: 0}});
    writeFileSync(`${outer}/cgroup.freeze`, '1');
    try {
      // The kernel freezes in its own time, and tells by cgroup.events.
      for (const limit = Date.now() + patient(3000); factOf(one.pid, 0).events?.frozen !== 1 && Date.now() < limit; )
        await new Promise(resolve => setTimeout(resolve, 10));
      const fact = factOf(one.pid, 0);
      expect(fact.events).toMatchObject({frozen: 1});
      expect(fact.levels?.slice(0, 2).map(level => level.frozen)).toEqual([false, true]);
      expect(tab(one.pid, 60)).toContain(`frozen yes, by ${path}`);
    } finally {
      writeFileSync(`${outer}/cgroup.freeze`, '0');
    }
  });
});

describe('a cgroup that is told to freeze', () => {
  const freezer = home('freezer');
  const stuck = async (directory: string, file: string, [freeze, thaw]: readonly [string, string], stopped: () => boolean) => {
    needsRoot('make a cgroup at the root of the hierarchy');
    const path = `${directory}/nsview-test-${process.pid}`;
    mkdirSync(path);
    made.push(path);
    await using one = new Running('cat', []);
    await using other = new Running(fixture('faults-in-kernel'), []);
    await other.says(/waits/);
    for (const {pid} of [one, other]) writeFileSync(`${path}/cgroup.procs`, String(pid));
    const until = async (done: () => boolean) => {
      for (const limit = Date.now() + patient(3000); !done() && Date.now() < limit; ) await new Promise(resolve => setTimeout(resolve, 10));
    };
    writeFileSync(`${path}/${file}`, freeze);
    try {
      expect(stopped()).toBe(false);
      expect(tab(one.pid, 100)).toContain('frozen not yet, told to here: some of its tasks still run');
      writeFileSync(`${directory}/cgroup.procs`, String(other.pid));
      await until(stopped);
      expect(tab(one.pid, 100)).toContain('frozen yes, here');
    } finally {
      writeFileSync(`${path}/${file}`, thaw);
    }
  };
  it('is not frozen while one of it is inside of a system call, in v2', async context => {
    if (root === null) return context.skip('needs a cgroup v2');
    const events = `${root}/nsview-test-${process.pid}/cgroup.events`;
    await stuck(root, 'cgroup.freeze', ['1', '0'], () => readFileSync(events, 'utf8').includes('frozen 1'));
  });

  it('nor in v1', async context => {
    if (freezer === null || freezer.version !== 1) return context.skip('needs a mounted cgroup v1 with the freezer');
    const state = `${freezer.directory}/nsview-test-${process.pid}/freezer.state`;
    await stuck(freezer.directory, 'freezer.state', ['FROZEN', 'THAWED'], () => readFileSync(state, 'utf8') === 'FROZEN\n');
  });
});

describe('a removed cgroup', () => {
  it.skipIf(root === null)('is told as such of the zombie that was in it, without limits', async () => {
    if (root === null) return;
    needsRoot('make a cgroup at the root of the hierarchy');
    const path = `/nsview-test-${process.pid}`;
    mkdirSync(`${root}${path}`);
    made.push(`${root}${path}`);
    const script = `echo $$ > '${root}${path}/cgroup.procs'; exec "$0"`;
    await using running = new Running('sh', ['-c', script, fixture('leaves-zombie')]);
    const zombie = Number((await running.says(/zombie (\d+)/))[1]);
    writeFileSync(`${root}/cgroup.procs`, String(running.pid));
    rmdirSync(made.pop() ?? '');
    const fact = factOf(zombie, 0);
    expect(fact).toMatchObject({path: `${path} (deleted)`, directory: {errno: 'ENOENT', during: 'find cgroup: it was removed'}});
    expect(fact).not.toHaveProperty('levels');
    expect(tab(zombie, 100)).toContain('it was removed');
  });
});

describe('a threaded cgroup', () => {
  it.skipIf(root === null)('has threads, and says whose', async () => {
    if (root === null) return;
    needsRoot('make a cgroup at the root of the hierarchy');
    const path = `/nsview-test-${process.pid}`;
    const [domain, threaded] = [`${root}${path}`, `${root}${path}/threaded`];
    for (const directory of [domain, threaded]) {
      mkdirSync(directory);
      made.push(directory);
    }
    writeFileSync(`${threaded}/cgroup.type`, 'threaded');
    await using running = new Running(fixture('thread-apart'), ['/']);
    const tid = Number((await running.says(/tid (\d+)/))[1]);
    writeFileSync(`${domain}/cgroup.procs`, String(running.pid));
    writeFileSync(`${threaded}/cgroup.threads`, String(tid));
    expect(readCgroups([{hierarchy: 0, controllers: [], path: `${path}/threaded`}])).toMatchObject([
      {members: [tid], levels: [{type: 'threaded'}, {type: 'domain threaded'}, {}]},
    ]);
    expect(tab(running.pid, 100)).toMatch(new RegExp(`in v2 ${path} .*domain threaded: .* ${running.pid} thread-apart`));
    writeFileSync(`${threaded}/cgroup.threads`, String(running.pid));
    const text = tab(running.pid, 100);
    expect(text).toContain(`threaded: its members are threads; what only a domain limits, as memory and io, is limited from ${path} up`);
    expect(text).toContain(`${running.pid} thread-apart`);
    expect(text).toContain(`${tid} apart thread of ${running.pid}`);
  });
});

describe('huge pages', () => {
  it('are limited where they are promised as well, which fails in mmap', async context => {
    if (root === null || !has(root, 'controllers', 'hugetlb')) return context.skip('needs a cgroup v2 with the controller hugetlb');
    await enabled(root, 'hugetlb', async () => {
      const {outer, inner} = nest(root, 2, 'hugetlb');
      const file = `${outer}/hugetlb.2MB.rsvd.max`;
      if (!existsSync(file)) return context.skip('needs huge pages of 2 MiB, and Linux 5.7');
      writeFileSync(file, String(4 * 1024 * 1024));
      await using one = new Running('cat', []);
      writeFileSync(`${inner}/cgroup.procs`, String(one.pid));
      const path = `/nsview-test-${process.pid}`;
      expect(effectiveLimit(factOf(one.pid, 0).levels ?? [], 'hugetlb 2MB rsvd')).toEqual({limit: 4n << 20n, use: 0n, path});
      for (const width of [60, 100])
        expect(tab(one.pid, width)).toContain(`hugetlb 2MB promised 0 B of 4 MiB ░░░░░░░░░░ 0% set by ${path}`);
      writeFileSync(`${root}/cgroup.procs`, String(one.pid));
    });
  });
});

describe('a cpuset of v2', () => {
  const cpuset = home('cpuset');
  it('that is asked to be a partition and is none says why', async context => {
    if (cpuset === null || cpuset.version === 1) return context.skip('needs a cgroup v2 with the controller cpuset');
    const {inner} = nest(cpuset.directory, 2, 'cpuset');
    const partition = `${inner}/cpuset.cpus.partition`;
    await using one = new Running('cat', []);
    writeFileSync(`${inner}/cgroup.procs`, String(one.pid));
    expect(tab(one.pid, 150)).toMatch(/cpuset cpus \S+, mems \S+/);
    expect(tab(one.pid, 150)).not.toContain('partition');
    writeFileSync(`${inner}/cpuset.cpus`, readFileSync(`${inner}/cpuset.cpus.effective`, 'utf8'));
    writeFileSync(partition, 'root');
    const said = readFileSync(partition, 'utf8').trim();
    expect(said).toMatch(/^root/);
    expect(tab(one.pid, 150)).toContain(`partition ${said}`);
    writeFileSync(partition, 'member');
  });
});

describe('what is counted of a limit that was met', () => {
  it('is told of the cgroup alone, and apart from that of those below it', async context => {
    if (root === null || !has(root, 'controllers', 'hugetlb')) return context.skip('needs a cgroup v2 with the controller hugetlb');
    await enabled(root, 'hugetlb', async () => {
      const {outer, inner} = nest(root, 2, 'hugetlb');
      if (!existsSync(`${outer}/hugetlb.2MB.rsvd.max`)) return context.skip('needs huge pages of 2 MiB, and Linux 5.7');
      writeFileSync(`${outer}/hugetlb.2MB.rsvd.max`, '0');
      await using one = new Running(fixture('maps-huge-page'), []);
      await one.says(/ready/);
      writeFileSync(`${inner}/cgroup.procs`, String(one.pid));
      one.child.stdin?.write('go\n');
      await one.says(/refused/);
      const counted = (directory: string, file: string) => readFileSync(`${directory}/hugetlb.2MB.${file}`, 'utf8').trim();
      // hugetlb_cgroup.c, hugetlb_event(): it is that of who was refused, whoever's limit it was.
      expect([inner, outer].map(directory => ['events', 'events.local'].map(file => counted(directory, file)))).toEqual([
        ['max 1', 'max 1'],
        ['max 1', 'max 0'],
      ]);
      const levels = factOf(one.pid, 0).levels?.map(({resources}) => {
        const {events, eventsBelow} = resources.find(({resource}) => resource === 'hugetlb 2MB') ?? {};
        return {events, eventsBelow};
      });
      expect(levels?.slice(0, 2)).toEqual([{events: {max: 1}}, {eventsBelow: {max: 1}}]);
      writeFileSync(`${outer}/hugetlb.2MB.max`, String(4 << 20));
      expect(tab(one.pid, 100)).toContain(
        `hugetlb 2MB 0 B of 4 MiB ░░░░░░░░░░ 0% set by ${`/nsview-test-${process.pid}`} max 1 below there max 1`,
      );
      writeFileSync(`${root}/cgroup.procs`, String(one.pid));
    });
  });
});

describe('how many cgroups there may be below', () => {
  it('and how deep, is limited by each above, upon which mkdir(2) fails', async context => {
    if (root === null) return context.skip('needs a cgroup v2');
    needsRoot('make a cgroup at the root of the hierarchy');
    const path = `/nsview-test-${process.pid}`;
    const [outer, inner, third] = [`${root}${path}`, `${root}${path}/inner`, `${root}${path}/inner/third`];
    for (const directory of [outer, inner]) {
      mkdirSync(directory);
      made.push(directory);
    }
    await using one = new Running('cat', []);
    writeFileSync(`${inner}/cgroup.procs`, String(one.pid));
    expect(tab(one.pid, 100)).not.toContain('cgroups');
    writeFileSync(`${outer}/cgroup.max.depth`, '2');
    expect(tab(one.pid, 100)).toContain(`cgroups 1 level deep at most set by ${path}`);
    mkdirSync(third);
    made.push(third);
    expect(() => mkdirSync(`${third}/fourth`)).toThrow('EAGAIN');
    writeFileSync(`${outer}/cgroup.max.descendants`, '2');
    for (const width of [60, 100])
      expect(tab(one.pid, width)).toContain(`cgroups 2 of 2 ██████████ 100% set by ${path} 1 level deep at most set by ${path}`);
    expect(() => mkdirSync(`${inner}/other`)).toThrow('EAGAIN');
    expect(readSnapshot({version: 'test', root: one.pid}).cgroups.find(({hierarchy}) => hierarchy === 0)?.limits).toMatchObject({
      cgroups: {limit: '2', use: '2', by: path},
    });
    writeFileSync(`${inner}/cgroup.max.depth`, '0');
    expect(tab(one.pid, 100)).toContain('none can be made below set here');
  });
});

describe('what no controller limits', () => {
  it.skipIf(root === null)('is not said to have no limit: it may have one in another hierarchy', async () => {
    if (root === null) return;
    needsRoot('make a cgroup at the root of the hierarchy');
    const path = `/nsview-test-${process.pid}`;
    const directory = `${root}${path}`;
    mkdirSync(directory);
    made.push(directory);
    await using one = new Running('cat', []);
    writeFileSync(`${directory}/cgroup.procs`, String(one.pid));
    const limits = new RegExp(`limits of v2 ${path}(.*?) writable`).exec(tab(one.pid, 100))?.[1] ?? '';
    for (const [resource, file] of [
      ['memory', 'memory.max'],
      ['cpu', 'cpu.max'],
      ['io', 'io.max'],
    ] as const)
      expect([resource, new RegExp(`\\b${resource}\\b`).test(limits)]).toEqual([resource, existsSync(`${directory}/${file}`)]);
  });
});

describe('the files', () => {
  it('decode', () => {
    expect(['max\n', '9223372036854771712\n', '4096\n', '-1\n'].map(decodeLimit)).toEqual([null, null, '4096', null]);
    expect(['max 100000', '50000 100000', '-1 100000', '250000 100000'].map(decodeBandwidth)).toEqual([null, '500', null, '2500']);
    const psi = 'some avg10=1.50 avg60=0.00 avg300=0.00 total=9\nfull avg10=0.25 avg60=0.00 avg300=0.00 total=3\n';
    expect(decodePressure(psi)).toEqual({some: 1.5, full: 0.25});
    expect(decodePressure('')).toBe(null);
    expect(decodeIoStat('8:0 rbytes=10 wbytes=3 rios=1 wios=1 dbytes=90 dios=9\n8:16 rbytes=4 wbytes=0 rios=1 wios=0\n')).toBe('17');
    expect(decodeIoStat('')).toBe('0');
    expect(decodeEvents('low 0\nmax 3\noom_kill 1\n', 'memory.events')).toEqual({max: 3, oom_kill: 1});
    expect(decodeEvents('7\n', 'memory.failcnt')).toEqual({'memory.failcnt': 7});
  });

  it('are those of a cgroup whose name begins as the way up does', async () => {
    const mounts = readMounts('self');
    const found = ['pids', 'freezer', 'memory', 'cpu'].map(home).find(one => one !== null);
    if (found === undefined || found === null || isRefusal(mounts)) return;
    needsRoot('make a cgroup at the root of the hierarchy');
    const path = `/..nsview-test-${process.pid}`;
    mkdirSync(`${found.directory}${path}`);
    made.push(`${found.directory}${path}`);
    await using one = new Running('cat', []);
    writeFileSync(`${found.directory}${path}/cgroup.procs`, String(one.pid));
    expect(factOf(one.pid, found.cgroup.hierarchy)).toMatchObject({path, directory: `${found.directory}${path}`, members: [one.pid]});
    for (const outside of ['/..', '/../other'])
      expect(cgroupDirectory({...found.cgroup, path: outside}, mounts)).toMatchObject({errno: 'ENOENT'});
  });

  it('of io have a weight for all that have none of their own', () => {
    using folder = temporaryFolder();
    writeFileSync(folder.file('io.weight'), 'default 100\n8:16 200\n');
    expect(readLevel(folder.path, '/', 2, true).resources).toMatchObject([{resource: 'io', weight: '100'}]);
  });

  it('of cpuset say what is given of what was asked for, and of misc and rdma what there may be at most', () => {
    using folder = temporaryFolder();
    for (const [file, text] of [
      ['cpuset.cpus', '0-7\n'],
      ['cpuset.cpus.effective', '0-3\n'],
      ['cpuset.mems', '\n'],
      ['cpuset.mems.effective', '0\n'],
      ['cpuset.cpus.partition', 'isolated invalid (Parent is not a partition root)\n'],
      ['rdma.max', ''],
      ['misc.max', 'sev 5\nsev_es max\n'],
      ['misc.events', 'sev.max 2\nsev_es.max 0\n'],
    ] as const)
      writeFileSync(folder.file(file), text);
    const {resources} = readLevel(folder.path, '/a', 2, true);
    expect(resources).toMatchObject([
      {resource: 'misc', text: 'sev 5; sev_es max', events: {'sev.max': 2}},
      {
        resource: 'cpuset',
        text: 'cpus 0-3 of 0-7 asked for, mems 0, partition isolated invalid (Parent is not a partition root)',
      },
    ]);
    writeFileSync(folder.file('cpuset.cpus'), '0-3\n');
    writeFileSync(folder.file('cpuset.cpus.partition'), 'member\n');
    expect(readLevel(folder.path, '/a', 2, true).resources.find(({resource}) => resource === 'cpuset')?.text).toBe('cpus 0-3, mems 0');
  });

  it('goes up to the root of the mount and no further', () => {
    expect(levelsAbove('/m/b', '/a/b', '/m').map(({path}) => path)).toEqual(['/a/b', '/a']);
    expect(levelsAbove('/m', '/', '/m')).toEqual([{directory: '/m', path: '/'}]);
    expect(levelsAbove('/m/a', '/a', '/m')).toEqual([
      {directory: '/m/a', path: '/a'},
      {directory: '/m', path: '/'},
    ]);
  });
});
