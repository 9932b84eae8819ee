import {execFileSync} from 'node:child_process';
import {existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync} from 'node:fs';
import {afterEach, describe, expect, it} from 'vitest';
import type {Fact} from '../../src/model/fact.ts';
import {readCgroups} from '../../src/probe/cgroup.ts';
import {decodeCgroup} from '../../src/probe/process.ts';
import {attached, until} from '../support/attached.ts';
import {leaveNothingBehind} from '../support/leaks.ts';
import {followBy, ofKind, readTapeStrictly, start, temporaryFolder} from '../support/nsview.ts';
import {fixture, NSVIEW} from '../support/paths.ts';
import {patient} from '../support/patience.ts';
import {linesOf, SHELL, tell} from '../support/shell.ts';
import {needsRoot} from '../support/user.ts';

leaveNothingBehind();

const made: string[] = [];
afterEach(async () => {
  for (const path of made.splice(0).reverse())
    await until(() => {
      try {
        rmdirSync(path);
      } catch {
        return false;
      }
      return true;
    }, `an empty ${path}`);
});

type Context = {skip(reason: string): never};
type Hierarchy = {readonly id: number; readonly name: string; readonly root: string};

/** Where the root of it is mounted: of v2, or of v1 with the controller pids. */
function hierarchy(version: 1 | 2, context: Context): Hierarchy {
  needsRoot('make a cgroup at the root of the hierarchy');
  const all = decodeCgroup(readFileSync('/proc/self/cgroup', 'utf8'));
  const own = all.find(({hierarchy: id, controllers}) => (version === 2 ? id === 0 : controllers.includes('pids')));
  const [fact] = own === undefined ? [] : readCgroups([{...own, path: '/'}]);
  if (own === undefined || typeof fact?.directory !== 'string') return context.skip(`needs a cgroup v${version} with pids, or v2`);
  return {id: own.hierarchy, name: version === 2 ? 'v2' : own.controllers.join(','), root: fact.directory};
}

function make(root: string, ...names: string[]): string[] {
  return names.map(name => {
    const path = `${root}/nsview-test-${process.pid}${name}`;
    mkdirSync(path);
    made.push(path);
    return path;
  });
}

const PATH = `/nsview-test-${process.pid}`;

const movesOf = (facts: readonly Fact[]) => ofKind(facts, 'cgroup-move');
const placeOf = (pid: number, id: number): string | undefined =>
  decodeCgroup(readFileSync(`/proc/${pid}/cgroup`, 'utf8')).find(one => one.hierarchy === id)?.path;

describe.each([2, 1] as const)('a move to another cgroup of v%i', version => {
  it('is told by BPF when it happens: who was moved, from where to where, and by whom', async context => {
    const {id, name, root} = hierarchy(version, context);
    const [one, other] = make(root, '', '-other');
    using folder = temporaryFolder();
    const tape = folder.file('tape');
    await using target = start(...SHELL);
    const was = placeOf(target.pid, id);
    await using tracer = await attached('bpf', target.pid, tape);
    await tell(target, `echo 0 > '${one}/cgroup.procs'`);
    expect(placeOf(target.pid, id)).toBe(PATH);
    writeFileSync(`${other}/cgroup.procs`, String(target.pid));
    // To where it is.
    writeFileSync(`${other}/cgroup.procs`, String(target.pid));
    await tell(target, `sh -c 'echo $PPID > "${one}/cgroup.procs"'`);
    expect(() => writeFileSync(`${root}/cgroup.procs`, '2147483646')).toThrow('ESRCH');
    target.release();
    await target.ended;
    await tracer.ended;
    const read = readTapeStrictly(tape);
    const {pid} = target;
    const born = ofKind(read.facts, 'clone').at(-1)?.child ?? 0;
    const told = movesOf(read.facts).map(({at: _at, kind: _kind, by, ...fact}) => ({...fact, by: by?.pid}));
    const move = {pid, tid: pid, hierarchy: id};
    expect(told).toEqual([
      {...move, to: PATH, by: pid},
      {...move, to: `${PATH}-other`, by: process.pid},
      {...move, to: `${PATH}-other`, by: process.pid},
      {...move, to: PATH, by: born},
    ]);
    const [, mine] = movesOf(read.facts);
    expect(mine?.by?.comm).toBe(readFileSync(`/proc/self/task/${mine?.by?.tid}/comm`, 'utf8').trimEnd());
    expect(linesOf(read).filter(line => line.includes('cgroup '))).toEqual([
      expect.stringMatching(new RegExp(` sh ${pid} moves itself cgroup ${name} ${was} → ${PATH}$`)),
      expect.stringMatching(new RegExp(` sh ${pid} moved by .+ ${process.pid} cgroup ${name} ${PATH} → ${PATH}-other$`)),
      expect.stringMatching(new RegExp(` sh ${pid} moved by sh ${born} cgroup ${name} ${PATH}-other → ${PATH}$`)),
    ]);
  });

  it('is told by BPF of one thread alone, and of all of them where its process is moved', async context => {
    const {id, name, root} = hierarchy(version, context);
    const [domain = '', apart = ''] = make(root, '', version === 2 ? '/threaded' : '-other');
    if (version === 2) writeFileSync(`${apart}/cgroup.type`, 'threaded');
    using folder = temporaryFolder();
    const tape = folder.file('tape');
    await using target = start(fixture('thread-apart'), '/');
    const tid = Number((await target.says(/tid (\d+)/))[1]);
    writeFileSync(`${domain}/cgroup.procs`, String(target.pid));
    await using tracer = await attached('bpf', target.pid, tape);
    const inApart = decodeCgroup(readFileSync(`/proc/${target.pid}/cgroup`, 'utf8')).find(one => one.hierarchy === id)?.path;
    expect(inApart).toBe(PATH);
    writeFileSync(`${apart}/${version === 2 ? 'cgroup.threads' : 'tasks'}`, String(tid));
    const below = apart.slice(root.length);
    expect(placeOf(tid, id)).toBe(below);
    expect(placeOf(target.pid, id)).toBe(PATH);
    writeFileSync(`${root}/cgroup.procs`, String(tid));
    expect([placeOf(tid, id), placeOf(target.pid, id)]).toEqual(['/', '/']);
    target.release();
    await target.ended;
    await tracer.ended;
    const read = readTapeStrictly(tape);
    expect(movesOf(read.facts).map(fact => [fact.pid, fact.tid, fact.alone, fact.to])).toEqual([
      [target.pid, tid, true, below],
      [target.pid, target.pid, undefined, '/'],
    ]);
    expect(linesOf(read).filter(line => line.includes('cgroup '))).toEqual([
      expect.stringMatching(new RegExp(`thread ${tid} moved by .+ ${process.pid} cgroup ${name} ${PATH} → ${below}$`)),
      expect.stringMatching(new RegExp(` ${target.pid} moved by .+ ${process.pid} cgroup ${name} ${PATH} → /$`)),
    ]);
  });

  it('is told by BPF as nsview’s own cgroup namespace has it', async context => {
    const {id, root} = hierarchy(version, context);
    const [outer, , other] = make(root, '', '/own', '-other');
    using folder = temporaryFolder();
    const tape = folder.file('tape');
    await using target = start(...SHELL);
    writeFileSync(`${outer}/cgroup.procs`, String(target.pid));
    const trace = [NSVIEW, 'trace', '--json', ...followBy('bpf'), '-o', tape, '-p', String(target.pid)];
    await using tracer = start('sh', '-c', 'echo $$ > "$0" && exec unshare -C "$@"', `${outer}/own/cgroup.procs`, ...trace);
    await until(() => existsSync(tape) && readFileSync(tape, 'utf8').includes('"kind":"tracer"'), `attached; ${tracer.stderr}`);
    const seen: (string | undefined)[] = [];
    for (const to of [`${outer}/own`, other, outer]) {
      writeFileSync(`${to}/cgroup.procs`, String(target.pid));
      const inside = execFileSync('nsenter', ['-t', String(tracer.pid), '-C', 'cat', `/proc/${target.pid}/cgroup`]).toString();
      seen.push(decodeCgroup(inside).find(one => one.hierarchy === id)?.path);
    }
    expect(seen).toEqual(['/', `/../..${PATH}-other`, '/..']);
    target.release();
    await target.ended;
    await tracer.ended;
    expect(movesOf(readTapeStrictly(tape).facts).map(({to}) => to)).toEqual(seen);
  });

  it('is told by BPF without the pid of who has none in nsview’s pid namespace', async context => {
    const {id, root} = hierarchy(version, context);
    const [one] = make(root, '');
    using folder = temporaryFolder();
    const tape = folder.file('tape');
    const trace = [NSVIEW, 'trace', '--json', ...followBy('bpf'), '-o', tape, '--', 'sh', '-c', 'echo begins; read -r line'];
    await using outer = start('unshare', '-pf', '--mount-proc', ...trace);
    await outer.says(/begins/);
    const below = (pid: number): number[] =>
      readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
        .split(' ')
        .filter(Boolean)
        .map(Number)
        .flatMap(child => [child, ...below(child)]);
    const target =
      below(outer.pid).find(pid => readFileSync(`/proc/${pid}/cmdline`, 'utf8') === 'sh\0-c\0echo begins; read -r line\0') ?? 0;
    writeFileSync(`${one}/cgroup.procs`, String(target));
    outer.release();
    await outer.ended;
    const read = readTapeStrictly(tape);
    expect(movesOf(read.facts)).toMatchObject([{hierarchy: id, to: PATH, by: {pid: 0, tid: 0}}]);
    expect(linesOf(read).filter(line => line.includes('cgroup '))).toEqual([
      expect.stringMatching(/ moved by .+ of another pid namespace cgroup /),
    ]);
  });

  it('is told of a cgroup with a long path, and of one below very many it is told that its path is not', async context => {
    const {id, root} = hierarchy(version, context);
    const folders = [''];
    for (const [index, length] of [250, 250, 250, 250, 250, ...Array.from({length: 70}, () => 2)].entries())
      folders.push(`${folders.at(-1)}/${String.fromCharCode(97 + (index % 26)).repeat(length)}`);
    const all = make(root, ...folders);
    const [long = '', deep = ''] = [all[5], all.at(-1)];
    using folder = temporaryFolder();
    const tape = folder.file('tape');
    await using target = start(...SHELL);
    await using tracer = await attached('bpf', target.pid, tape);
    writeFileSync(`${long}/cgroup.procs`, String(target.pid));
    const path = placeOf(target.pid, id);
    expect(path?.length).toBeGreaterThan(1023);
    writeFileSync(`${deep}/cgroup.procs`, String(target.pid));
    target.release();
    await target.ended;
    await tracer.ended;
    const refused = {errno: 'ENAMETOOLONG', during: 'kernfs_path_from_node'};
    expect(movesOf(readTapeStrictly(tape).facts).map(({to}) => to)).toEqual([path, refused]);
  });

  it('is told by readings of /proc, without by whom, where a tracer sees no events of it', async context => {
    const {id, name, root} = hierarchy(version, context);
    const [one] = make(root, '');
    using folder = temporaryFolder();
    const tape = folder.file('tape');
    await using target = start(...SHELL);
    const was = placeOf(target.pid, id);
    await using tracer = await attached('ptrace', target.pid, tape);
    const told = () => readFileSync(tape, 'utf8');
    writeFileSync(`${one}/cgroup.procs`, String(target.pid));
    await until(() => told().includes('"kind":"cgroup-move"'), 'the move');
    target.release();
    await target.ended;
    await tracer.ended;
    const read = readTapeStrictly(tape);
    const move = {kind: 'cgroup-move', at: expect.any(String), pid: target.pid, tid: target.pid, hierarchy: id};
    expect(movesOf(read.facts)).toEqual([{...move, from: was, to: PATH}]);
    expect(linesOf(read).filter(line => line.includes('cgroup '))).toEqual([
      expect.stringMatching(new RegExp(` sh ${target.pid} moved, by whom is not known cgroup ${name} ${was} → ${PATH}$`)),
    ]);
  });
});

describe('a process that ends', () => {
  it('is not told to have moved, though the kernel names the root of v1 for it', async context => {
    const {id, root} = hierarchy(1, context);
    const [one] = make(root, '');
    using folder = temporaryFolder();
    const tape = folder.file('tape');
    // The first of a pid namespace ends when all of that are gone (pid_namespaces(7)), and a zombie stays until its parent waits.
    await using outer = start('unshare', '-pf', 'sh', '-c', 'echo begins; read -r line');
    await outer.says(/begins/);
    const pid = Number(readFileSync(`/proc/${outer.pid}/task/${outer.pid}/children`, 'utf8'));
    writeFileSync(`${one}/cgroup.procs`, String(pid));
    await using holder = start('nsenter', '--no-fork', '-t', String(pid), '-p', 'sh', '-c', 'sleep 60 & exec sleep 60');
    await until(() => readFileSync(`/proc/${holder.pid}/comm`, 'utf8') === 'sleep\n', 'a parent that does not wait');
    await using tracer = await attached('ptrace', pid, tape);
    expect(placeOf(pid, id)).toBe(PATH);
    outer.release();
    await until(() => placeOf(pid, id) === '/', 'the root of v1');
    expect(readFileSync(`/proc/${pid}/stat`, 'utf8')).not.toContain(') Z ');
    // Longer than between two whole readings.
    await new Promise(resolve => setTimeout(resolve, patient(3500)));
    holder.child.kill('SIGKILL');
    await outer.ended;
    await tracer.ended;
    const {facts} = readTapeStrictly(tape);
    expect(movesOf(facts)).toEqual([]);
    expect(ofKind(facts, 'change').filter(({cgroup}) => cgroup !== undefined)).toEqual([]);
  });
});
