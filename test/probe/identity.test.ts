import {execFileSync} from 'node:child_process';
import {chmodSync, chownSync, copyFileSync, readFileSync, writeFileSync} from 'node:fs';
import {describe, expect, it} from 'vitest';
import {bitsOf, capabilityName, maskOf} from '../../src/model/capability.ts';
import {detailsOf} from '../../src/model/details.ts';
import {type CallFact, type Fact, isRefusal, type Seen} from '../../src/model/fact.ts';
import {type CapabilitySets, type Identity, idInside, isDumpable} from '../../src/model/identity.ts';
import {lineCells, lineText} from '../../src/model/line.ts';
import {asProcess} from '../../src/model/process.ts';
import {createWorld, observe} from '../../src/model/world.ts';
import {decodeIdMap} from '../../src/probe/id-map.ts';
import {decodeLimits, identitySchema, readIdentity} from '../../src/probe/identity.ts';
import {readProcess} from '../../src/probe/process.ts';
import {explainRefusal} from '../../src/probe/ptrace-evidence.ts';
import {readSnapshot} from '../../src/probe/snapshot.ts';
import {leaveNothingBehind} from '../support/leaks.ts';
import {Running, temporaryFolder} from '../support/nsview.ts';
import {fixture, NSVIEW} from '../support/paths.ts';
import {patient} from '../support/patience.ts';
import {tabsAs} from '../support/tabs.ts';
import {needsRoot} from '../support/user.ts';

leaveNothingBehind();

function the<T>(seen: Seen<T>): T {
  if (isRefusal(seen)) throw new Error(JSON.stringify(seen));
  return seen as T;
}

const read = (pid: number): Identity => identitySchema.parse(the(readIdentity(pid)));

/** A process that waits in the same pid that was started, when it says so. */
async function started(program: string, ...args: string[]): Promise<Running> {
  const running = new Running(program, [...args, 'sh', '-c', 'echo ready as $(id -u); exec cat']);
  await running.says(/ready as \d+\n/);
  return running;
}

/** The tab of a process as it is drawn, all on one line without its wrapping. */
function tab(pid: number, beside: number, width: number): string {
  const at = '1';
  const {host, processes} = readSnapshot({version: 'test'});
  const world = createWorld({format: 'nsview/tape', version: 1, nsview: 'test', at, realtime: at, host, target: {machine: true}});
  for (const seen of processes) observe(world, {kind: 'process', at, because: 'attach', ...seen});
  for (const one of [pid, beside])
    observe(world, {kind: 'identity', at, pid: one, start: world.byPid.get(one)?.start ?? '', seen: readIdentity(one)});
  const details = detailsOf(world, world.byPid.get(pid) ?? null, 'identity', {width, inodes: false, live: true});
  const lines = Array.from({length: details.count}, (_, index) => details.line(index));
  for (const line of lines) expect(lineCells(line)).toBeLessThanOrEqual(width);
  return lines.map(lineText).join(' ').replaceAll(/ +/g, ' ');
}

/** The names of a mask as libcap knows them. */
const decoded = (mask: string): string =>
  execFileSync('capsh', [`--decode=${mask}`])
    .toString()
    .trim()
    .split('=')[1] ?? '';
const named = (mask: string): string => bitsOf(maskOf(mask)).map(capabilityName).join(',');

describe('identity', () => {
  it('has ids outside and inside, the maps and setgroups of a user namespace', async () => {
    needsRoot('become another user');
    await using running = await started('setpriv', '--reuid=12345', '--regid=54321', '--clear-groups', 'unshare', '-Ur');
    const seen = read(running.pid);
    expect(seen.uids).toEqual([12345, 12345, 12345, 12345]);
    expect(seen.gids).toEqual([54321, 54321, 54321, 54321]);
    expect(seen.sameUser).toBe(false);
    expect(seen.uidMap.ranges).toEqual([{inside: 0, outside: 12345, count: 1}]);
    expect(seen.setgroups).toBe('deny');
    expect(idInside(12345, seen.uidMap, false)).toBe(Number(/ready as (\d+)/.exec(running.stdout)?.[1]));
    expect(idInside(12346, seen.uidMap, false)).toBe(null);
    for (const width of [36, 60, 100]) {
      const text = tab(running.pid, process.pid, width);
      expect(text).toContain('user 12345 › 0 inside');
      expect(text).toContain('uid map 12345 › 0 inside');
      expect(text).toContain('setgroups deny');
    }
  });

  it('says what ids are inside only as far as it may know that', async () => {
    needsRoot('become another user');
    const user = ['setpriv', '--reuid=12345', '--regid=12345', '--clear-groups'];
    await using root = await started('env');
    await using inside = await started('unshare', '-Ur');
    await using waits = new Running('unshare', ['-U', 'sh', '-c', 'echo made; read go; exec cat']);
    await waits.says(/made/);
    for (const which of ['uid', 'gid']) writeFileSync(`/proc/${waits.pid}/${which}_map`, '0 0 65536');
    const enter = ['nsenter', '-t', String(waits.pid), '--user', '-S', '0', '-G', '0'];
    await using nobody = await started('nsenter', ...enter.slice(1), 'setpriv', '--reuid=65534', '--clear-groups');
    const drawn = (as: readonly string[], ...running: readonly Running[]) => {
      const tabs = tabsAs(
        as,
        running.map(({pid}) => pid),
      );
      return running.map(({pid}) => tabs[pid]?.widths[100]?.identity?.replaceAll(/\s+/g, ' '));
    };
    const [ofRoot, ofInside, ofNobody] = drawn(user, root, inside, nobody);
    // Which user namespace another user's process is in the kernel does not tell: the maps do, where they differ.
    expect(ofRoot).toMatch(/user 0( root)? group 0( root)? groups/);
    expect(ofInside).toMatch(/user 0( root)? › 0 inside group 0( root)? › 0 inside/);
    expect(ofInside).toContain('uid map 0 › 0 inside');
    expect(ofNobody).toMatch(/user 65534( \w+)? › 65534 inside/);
    // Where the overflow id is mapped too, as in most containers, user nobody may be no stranger.
    expect(drawn(enter, nobody)[0]).toMatch(/user 65534( \w+)? \(or one that is not mapped where nsview is\) group/);
  });

  it('has all four ids apart, and the groups, as id(1) names them', async () => {
    needsRoot('become another user');
    const ids = ['--ruid=11', '--euid=22', '--rgid=33', '--egid=44', '--groups=4,27'];
    await using running = new Running('setpriv', [...ids, 'perl', '-e', '$| = 1; print "ready\\n"; <STDIN>']);
    await running.says(/ready/);
    const seen = read(running.pid);
    expect(the(seen.uids).slice(0, 2)).toEqual([11, 22]);
    expect(the(seen.gids).slice(0, 2)).toEqual([33, 44]);
    expect(the(seen.credentials).groups).toEqual([4, 27]);
    expect(seen.groups['4']).toBe(/^([^:]+):[^:]*:4:/m.exec(readFileSync('/etc/group', 'utf8'))?.[1]);
    expect(tab(running.pid, process.pid, 100)).toContain('user real 11 effective 22 saved 22 fs 22 group real 33 ');
  });

  it('has the sets that getpcaps and capsh tell, and what changed', async () => {
    needsRoot('have capabilities without a user namespace');
    const change = ['--inh-caps=+net_raw', '--ambient-caps=+net_raw', '--bounding-set=-sys_admin'];
    await using running = await started('setpriv', ...change);
    const {capabilities} = the(read(running.pid).credentials);
    for (const set of Object.keys(capabilities) as (keyof CapabilitySets)[])
      expect(named(capabilities[set])).toBe(decoded(capabilities[set]));
    const inSnapshot = readSnapshot({version: 'test', root: running.pid}).processes[0]?.credentials;
    expect(inSnapshot).toMatchObject({capabilities, noNewPrivs: false, seccomp: 0});
    const sets = execFileSync('getpcaps', [String(running.pid)], {stdio: ['ignore', 'pipe', 'pipe']}).toString();
    expect(sets).toContain('cap_net_raw+i');
    expect(named(capabilities.inheritable)).toBe('cap_net_raw');
    expect(named(capabilities.ambient)).toBe('cap_net_raw');
    for (const width of [36, 60, 100]) {
      const text = tab(running.pid, process.pid, width);
      expect(text).toMatch(/ambient cap_net_raw \(\+cap_net_raw\)/);
      expect(text).toMatch(/bounding .*\(-cap_sys_admin\)/);
    }
  });

  it('says of no set more than an execve does', async context => {
    needsRoot('have capabilities without a user namespace');
    using folder = temporaryFolder();
    if (execFileSync('findmnt', ['-nT', folder.path, '-o', 'OPTIONS']).includes('nosuid'))
      return context.skip('files in TMPDIR give nothing');
    chmodSync(folder.path, 0o755);
    const [inheriting, setUser] = [folder.file('inheriting'), folder.file('set-user')];
    for (const file of [inheriting, setUser]) copyFileSync('/bin/cat', file);
    execFileSync('setcap', ['cap_net_raw=i', inheriting]);
    chownSync(setUser, 12346, 12346);
    chmodSync(setUser, 0o4755);
    const credentials = async (running: Running) => {
      for (const limit = Date.now() + patient(3000); Date.now() < limit; await new Promise(resolve => setTimeout(resolve, 20)))
        if (readFileSync(`/proc/${running.pid}/cmdline`, 'utf8').startsWith(folder.path)) break;
      return the(read(running.pid).credentials).capabilities;
    };
    const [unbound, user] = [
      ['setpriv', '--bounding-set=-net_raw'],
      ['setpriv', '--reuid=12345', '--clear-groups'],
    ];
    const waits = ['sh', '-c', 'echo ready; read go; exec "$0"'];
    await using gains = new Running('setpriv', ['--inh-caps=+net_raw', ...unbound, ...user, ...waits, inheriting]);
    await gains.says(/ready/);
    const before = the(read(gains.pid).credentials).capabilities;
    expect([before.permitted, before.bounding].map(mask => named(mask).includes('cap_net_raw'))).toEqual([false, false]);
    expect(tab(gains.pid, process.pid, 150)).toMatch(/bounding [^·]*· all that an execve may add, but for what is inheritable/);
    gains.child.stdin?.write('\n');
    expect(named((await credentials(gains)).permitted)).toBe('cap_net_raw');
    await using loses = new Running('setpriv', ['--inh-caps=+net_raw', '--ambient-caps=+net_raw', ...waits, setUser]);
    await loses.says(/ready/);
    expect(named(the(read(loses.pid).credentials).capabilities.ambient)).toBe('cap_net_raw');
    expect(tab(loses.pid, process.pid, 150)).toContain('· kept over an execve of a file that has no capabilities and changes no id');
    loses.child.stdin?.write('\n');
    expect(named((await credentials(loses)).ambient)).toBe('');
  });

  it('has no_new_privs, filters, the oom score and the limits that differ', async () => {
    await using running = await started('choom', '-n', '500', '--', 'prlimit', '--nofile=100:200', 'setpriv', '--no-new-privs');
    await using filtered = await started(fixture('forbids-call'), 'sethostname', '/usr/bin/env');
    expect(the(read(filtered.pid).credentials)).toMatchObject({noNewPrivs: true, seccomp: 2, filters: 1});
    expect(tab(filtered.pid, process.pid, 60)).toContain('seccomp filtered by 1 program 1 new here');
    const seen = read(running.pid);
    expect(the(seen.credentials)).toMatchObject({noNewPrivs: true, seccomp: 0, filters: 0});
    expect(seen.oomScoreAdj).toBe(500);
    expect(the(seen.limits).find(({name}) => name === 'open files')).toEqual({
      name: 'open files',
      soft: '100',
      hard: '200',
      units: 'files',
    });
    const text = tab(running.pid, process.pid, 100);
    expect(text).toContain('no_new_privs set');
    expect(text).toContain('adjusted by 500');
    const own = readFileSync('/proc/self/comm', 'utf8').trimEnd();
    expect(text).toContain(`limits open files 100, at most 200 files (${own} ${process.pid} `);
  });

  /** The tab of `pid`, whose process the facts make known. */
  function tabAfter(facts: readonly Fact[], pid: number, tid = pid): string {
    const {host} = readSnapshot({version: 'test', root: process.pid});
    const world = createWorld({format: 'nsview/tape', version: 1, nsview: 'test', at, realtime: at, host, target: {pid}});
    for (const fact of facts) observe(world, fact);
    const known = world.byPid.get(pid) ?? null;
    const thread = known?.threads.get(tid);
    const shown = known !== null && thread !== undefined ? asProcess(known, thread) : known;
    const details = detailsOf(world, shown, 'identity', {width: 200, inodes: false, live: true});
    return Array.from({length: details.count}, (_, index) => lineText(details.line(index)))
      .join(' ')
      .replaceAll(/ +/g, ' ');
  }
  const at = '1';
  const met = (pid: number): Fact => {
    const seen = the(readProcess(pid));
    return {kind: 'process', at, because: 'attach', ...seen};
  };
  const studied = (pid: number, seen: Identity, leader = pid): Fact => ({
    kind: 'identity',
    at,
    pid,
    start: the(readProcess(leader)).start,
    seen,
  });
  const prctl = (pid: number, tid: number, args: CallFact['args']): Fact => ({
    kind: 'call',
    at,
    pid,
    tid,
    name: 'prctl',
    args,
    result: 0,
    changed: {},
  });

  it('names the one that made it, with whom it is compared, whoever its parent is', async () => {
    await using running = await started('prlimit', '--nofile=100:200');
    const seen = the(readProcess(running.pid));
    const {pid} = running;
    const born: Fact = {
      kind: 'clone',
      at,
      pid: process.pid,
      tid: process.pid,
      child: pid,
      start: seen.start,
      ppid: 1,
      flags: ['CLONE_PARENT'],
      exitSignal: 'SIGCHLD',
      changed: {},
    };
    const {comm} = the(readProcess(process.pid));
    const soft = the(read(process.pid).limits).find(({name}) => name === 'open files')?.soft;
    const facts = [met(process.pid), born, studied(process.pid, read(process.pid)), studied(pid, read(pid))];
    expect(tabAfter(facts, pid)).toContain(`limits open files 100, at most 200 files (${comm} ${process.pid} ${soft}`);
    const same = [...facts.slice(0, 3), studied(pid, {...read(pid), limits: read(process.pid).limits})];
    expect(tabAfter(same, pid)).toContain(`limits as those of ${comm} ${process.pid}`);
  });

  it('says of SECBIT_KEEP_CAPS what it keeps: the permitted ones, and no others', async () => {
    needsRoot('become another user');
    await using running = new Running(fixture('keeps-capabilities'), []);
    await running.says(/ready/);
    const {pid} = running;
    const seen = read(pid);
    const {permitted, effective} = the(seen.credentials).capabilities;
    expect([maskOf(permitted) === 0n, maskOf(effective) === 0n]).toEqual([false, true]);
    const facts = [met(pid), prctl(pid, pid, {op: 'PR_SET_SECUREBITS', flags: ['SECBIT_KEEP_CAPS']}), studied(pid, seen)];
    expect(tabAfter(facts, pid)).toContain('securebits SECBIT_KEEP_CAPS: what is permitted stays when all uids leave 0, until an execve');
    running.release();
    await running.ended;
  });

  it('says nothing of the securebits of a thread that has its own, and no more of what calls tell than they do', async () => {
    needsRoot('become another user');
    await using running = new Running(fixture('thread-differs'), ['', 'user']);
    const tid = Number((await running.says(/tid (\d+)\nready/))[1]);
    const {pid} = running;
    const facts = [
      met(pid),
      prctl(pid, pid, {op: 'PR_SET_SECUREBITS', flags: ['SECBIT_NOROOT']}),
      prctl(pid, tid, {op: 'PR_SET_SECUREBITS', flags: ['SECBIT_KEEP_CAPS']}),
      studied(pid, read(pid)),
      studied(tid, read(tid), pid),
    ];
    expect(tabAfter(facts, pid)).toContain('securebits SECBIT_NOROOT');
    expect(tabAfter(facts, pid, tid)).not.toContain('securebits SECBIT');
    expect(tabAfter(facts, pid, tid)).toMatch(
      /The kernel tells nobody else its securebits.* and its keyrings, nor does a call that was seen\./,
    );
    running.release();
    await running.ended;
  });

  it('says of the init of a pid namespace that orphans there are its own, subreaper or not', async () => {
    needsRoot('make namespaces without a user namespace');
    await using running = new Running('unshare', ['-pf', '--kill-child', 'sh', '-c', '(sleep 60 &); echo born; read x']);
    await running.says(/born/);
    const childrenOf = (pid: number) => readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').map(Number);
    const [init = 0] = childrenOf(running.pid);
    expect(childrenOf(init)).toHaveLength(1);
    const seen = the(readProcess(init));
    const born: Fact = {
      kind: 'clone',
      at,
      pid: running.pid,
      tid: running.pid,
      child: init,
      start: seen.start,
      ppid: running.pid,
      flags: ['CLONE_NEWPID'],
      exitSignal: 'SIGCHLD',
      nspid: the(seen.nspid),
      changed: {},
    };
    const text = tabAfter([met(running.pid), born, studied(init, read(init))], init);
    expect(text).toContain('subreaper no, but init of its pid namespace: orphans there become its children');
  });

  it('tells who is not dumpable by the owner of its files', async () => {
    needsRoot('become another user');
    const user = ['--reuid=12345', '--regid=12345', '--clear-groups'];
    const prctl = process.arch === 'arm64' ? 167 : 157;
    const run = (dumpable: number) =>
      new Running('setpriv', [...user, 'perl', '-e', `$| = 1; syscall(${prctl}, 4, ${dumpable}, 0, 0, 0); print "ready\\n"; <STDIN>`]);
    await using hidden = run(0);
    await using plain = run(1);
    await Promise.all([hidden.says(/ready/), plain.says(/ready/)]);
    const dumpable = (pid: number) => {
      const seen = read(pid);
      return isDumpable(seen, seen.uidMap, seen.gidMap);
    };
    expect([hidden.pid, plain.pid, process.pid].map(dumpable)).toEqual([false, true, null]);
    // The files of one that is not would have root's group as well.
    await using inGroup = await started('setpriv', '--regid=12345', '--clear-groups');
    expect(read(inGroup.pid).owner).toEqual({uid: 0, gid: 12345});
    expect(tab(inGroup.pid, process.pid, 100)).toContain('dumpable yes');
    // Where neither its user nor root is mapped, both look alike.
    const tree = [NSVIEW, 'snapshot', '-p', String(hidden.pid), '--json'];
    const elsewhere = ['--reuid=12346', '--regid=12346', '--clear-groups', 'unshare', '-Ur', ...tree];
    const snapshot = JSON.parse(execFileSync('setpriv', elsewhere).toString());
    expect(snapshot.details.processes[0]).toMatchObject({pid: hidden.pid, dumpable: null});
  });

  it('says nothing of the memory of who has none any more', async () => {
    needsRoot('become another user');
    await using running = new Running('setpriv', ['--reuid=12345', '--regid=12345', '--clear-groups', fixture('leaves-zombie')]);
    const zombie = Number((await running.says(/zombie (\d+)/))[1]);
    expect(read(zombie)).toMatchObject({state: 'Z', owner: {uid: 0, gid: 0}});
    expect(tab(zombie, process.pid, 100)).toContain('dumpable not known: the files of one that has ended are root’s');
  });

  it('names the process that traces it, by whichever thread, and so does a refusal', async () => {
    // Its own children that trace are nsview's helper.
    await using running = new Running('sh', ['-c', '"$0"; true', fixture('traces-by-thread')]);
    const child = Number((await running.says(/child (\d+)\nready/))[1]);
    const tracer = the(readProcess(child)).ppid;
    expect(/^TracerPid:\t(\d+)/m.exec(readFileSync(`/proc/${child}/status`, 'utf8'))?.[1]).not.toBe(String(tracer));
    expect(read(child).tracer).toEqual({pid: tracer, comm: 'traces-by-threa'});
    expect(explainRefusal(child, 'EPERM').rule).toContain(`already traced, by traces-by-threa ${tracer},`);
    running.release();
    await running.ended;
  });

  it('is a refusal where the process is not there', () => {
    expect(readIdentity(4194304)).toEqual({errno: 'ENOENT', during: 'open'});
  });
});

describe('what the files hold', () => {
  it('decodes maps and limits', () => {
    expect(decodeIdMap('         0       1000          1\n         1     100000      65536\n')).toEqual([
      {inside: 0, outside: 1000, count: 1},
      {inside: 1, outside: 100000, count: 65536},
    ]);
    expect(decodeLimits(readFileSync('/proc/self/limits', 'utf8'))).toHaveLength(16);
  });
});
