import fc from 'fast-check';
import {describe, expect, test} from 'vitest';
import {ARRANGEMENTS} from '../../src/model/arrange.ts';
import type {CallFact, CgroupPath, CloneFact, Fact, NamespaceLinks, ProcessFact} from '../../src/model/fact.ts';
import {passTime} from '../../src/model/forget.ts';
import {lineText} from '../../src/model/line.ts';
import {letters} from '../../src/model/names.ts';
import {NAMESPACE_LINKS, typeOfLink} from '../../src/model/namespace.ts';
import type {Process} from '../../src/model/process.ts';
import {eventLine, eventLines} from '../../src/model/timeline.ts';
import {type Tree, type TreeRow, treeOf} from '../../src/model/tree.ts';
import {createWorld, narrowTo, observe, type World, widen} from '../../src/model/world.ts';
import {readTape} from '../frames/play.ts';

const {header} = readTape('daemon');
const host = header.host.namespaces;
const hostMnt = typeof host.mnt === 'string' ? host.mnt : '';
const START = Number(header.at);

const process = (pid: number, ppid: number, more: Partial<ProcessFact> = {}): ProcessFact => ({
  kind: 'process',
  at: header.at,
  because: 'attach',
  pid,
  start: `${pid}0`,
  ppid,
  state: 'S',
  comm: `p${pid}`,
  argv: [`p${pid}`],
  exe: `/bin/p${pid}`,
  nspid: [pid],
  uids: [0, 0, 0, 0],
  gids: [0, 0, 0, 0],
  threads: [],
  namespaces: host,
  cgroup: [],
  ...more,
});

const clone = (pid: number, child: number, more: Partial<CloneFact> = {}): CloneFact => ({
  kind: 'clone',
  at: String(START + child),
  pid,
  tid: pid,
  child,
  start: `${child}0`,
  ppid: pid,
  flags: [],
  exitSignal: 'SIGCHLD',
  changed: {},
  ...more,
});

const exit = (pid: number, at = START + 1e6): Fact => ({kind: 'exit', at: String(at), pid, code: 0});

function worldOf(...facts: readonly Fact[]): World {
  const world = createWorld(header);
  for (const fact of facts) observe(world, fact);
  return world;
}

const rowsOf = (tree: Tree): readonly TreeRow[] => tree.slice(0, tree.count);

const EVERYTHING = {folded: new Set<string>(), arrangement: 'process', root: null} as const;

/** The tree as text: two spaces a level, the pid, and how it ended. */
function shape(world: World): string[] {
  return rowsOf(treeOf(world, EVERYTHING)).map(row => {
    const name =
      row.kind === 'process'
        ? `${row.process.pid}${row.process.end === null ? '' : ' ended'}`
        : row.kind === 'thread'
          ? `thread ${row.thread.tid}`
          : row.kind === 'group'
            ? row.id
            : `… ${row.process.forgotten}`;
    return `${'  '.repeat(row.depth)}${name}`;
  });
}

const known = (world: World, pid: number): Process => {
  const found = world.byPid.get(pid);
  if (found === undefined) throw new Error(`pid ${pid} is not known`);
  return found;
};

describe('lineage', () => {
  test('a daemon that forked twice stays under its makers', () => {
    const world = worldOf(process(10, 1), clone(10, 11), clone(11, 12), exit(11), {kind: 'change', at: header.at, pid: 12, ppid: 1});
    expect(shape(world)).toEqual(['10', '  11 ended', '    12']);
    expect(known(world, 12).ppid).toBe(1);
  });

  test('a CLONE_PARENT child stands under its maker and knows its parent', () => {
    const world = worldOf(process(10, 1), clone(10, 11), clone(11, 12, {flags: ['CLONE_PARENT'], ppid: 10}));
    expect(shape(world)).toEqual(['10', '  11', '    12']);
    expect(known(world, 12)).toMatchObject({ppid: 10, born: {by: {pid: 11}}});
  });

  test('a child that CLONE_INTO_CGROUP bore elsewhere is there, and that is isolation', () => {
    const cgroup: CgroupPath[] = [
      {hierarchy: 3, controllers: ['pids'], path: '/pids'},
      {hierarchy: 0, controllers: [], path: '/here'},
    ];
    const born = clone(10, 11, {flags: ['CLONE_INTO_CGROUP'], cgroup: '/elsewhere'});
    const world = worldOf({...process(10, 1), cgroup}, born, clone(10, 12));
    expect(world.byPid.get(11)?.cgroup).toEqual([cgroup[0], {hierarchy: 0, controllers: [], path: '/elsewhere'}]);
    expect(world.byPid.get(12)?.cgroup).toEqual(cgroup);
    expect(world.timeline.isolation.map(({what}) => what.kind === 'clone' && what.child)).toEqual([11]);
    observe(world, clone(10, 13, {flags: ['CLONE_THREAD', 'CLONE_INTO_CGROUP'], cgroup: '/here/threaded'}));
    observe(world, clone(10, 14, {flags: ['CLONE_THREAD']}));
    expect(known(world, 10).threads.get(13)?.apart.cgroup).toEqual([{hierarchy: 0, controllers: [], path: '/here/threaded'}]);
    const event = world.timeline.isolation.at(-1);
    if (event === undefined) throw new Error('an event');
    expect(lineText(eventLine(event, world.header, 0, {who: 18, did: 26}))).toContain(
      'clone(CLONE_INTO_CGROUP) → thread 13  cgroup → /here/threaded',
    );
  });

  test('who was moved to another cgroup is there, and so are its children, and its threads unless they stayed', () => {
    const at = (path: string): CgroupPath[] => [
      {hierarchy: 3, controllers: ['pids'], path},
      {hierarchy: 0, controllers: [], path: '/here'},
    ];
    const moved = (to: string, more: {tid?: number; alone?: true; from?: string} = {}): Fact => {
      const by = more.from === undefined ? {by: {pid: 99, tid: 99, comm: 'mover'}} : {};
      return {kind: 'cgroup-move', at: header.at, pid: 10, tid: 10, hierarchy: 3, to, ...by, ...more};
    };
    const world = worldOf({...process(10, 1), cgroup: at('/a')}, clone(10, 13, {flags: ['CLONE_THREAD']}));
    const said = (fact: Fact) =>
      observe(world, fact).map(event => lineText(eventLine(event, world.header, 0, {who: 0, did: 0})).replace(/^\S+ +/, ''));
    expect(said(moved('/b'))).toEqual([expect.stringMatching(/ 10 +moved by mover 99 +cgroup pids \/a → \/b$/)]);
    expect(said(moved('/c', {tid: 13, alone: true}))).toEqual([expect.stringMatching(/ 10 thread 13 +moved by mover 99 .*\/b → \/c$/)]);
    expect(known(world, 10).cgroup).toEqual(at('/b'));
    observe(world, clone(10, 11, {tid: 13}));
    observe(world, clone(10, 12));
    expect([known(world, 11).cgroup, known(world, 12).cgroup]).toEqual([at('/c'), at('/b')]);
    // Where the leader is already, but one of its threads was not.
    expect(said(moved('/b'))).toHaveLength(1);
    expect(known(world, 10).threads.size).toBe(0);
    expect(said(moved('/b'))).toEqual([]);
    expect(said(moved('/d', {from: '/b'}))).toEqual([expect.stringMatching(/ 10 +moved, by whom is not known +cgroup pids \/b → \/d$/)]);
    expect(said(moved('/d', {from: '/b'}))).toEqual([]);
    observe(world, moved('/e', {tid: 13, alone: true}));
    observe(world, {kind: 'exec', at: header.at, pid: 10, path: '/x', argv: ['x'], comm: 'x', formerTid: 13});
    expect(known(world, 10).cgroup).toEqual(at('/e'));
  });

  test('a child that was read before its clone was told is one process', () => {
    const world = worldOf(process(10, 1), process(11, 10), clone(10, 11));
    expect(shape(world)).toEqual(['10', '  11']);
    expect(world.living).toBe(2);
  });

  test('a thread that was read before its birth was told, or not any more before its end was, counts once', () => {
    const threads = [11, 12].map(tid => ({tid, comm: 'p10'}));
    const world = worldOf({...process(10, 1), threads}, clone(10, 12, {flags: ['CLONE_THREAD']}), clone(10, 13, {flags: ['CLONE_THREAD']}));
    observe(world, {kind: 'thread-exit', at: header.at, pid: 10, tid: 9, code: 0});
    expect([...known(world, 10).tids]).toEqual([11, 12, 13]);
  });

  test('what is folded is so below a root that is within what is folded, too', () => {
    const world = worldOf(process(1, 0), clone(1, 2), clone(2, 3), clone(3, 4), clone(2, 5));
    const folded = new Set(['1@10', '3@30']);
    const shown = (root: string | null) => rowsOf(treeOf(world, {folded, arrangement: 'process', root})).map(({id}) => id);
    expect(shown(null)).toEqual(['1@10']);
    expect(shown('2@20')).toEqual(['2@20', '3@30', '5@50']);
  });

  test('children may be read before their parents', () => {
    expect(shape(worldOf(process(12, 11), process(11, 10), process(10, 1)))).toEqual(['10', '  11', '    12']);
  });

  test('a pid that is used again is another process', () => {
    const world = worldOf(process(10, 1), clone(10, 11), exit(11), clone(10, 11, {start: '999'}));
    expect(shape(world)).toEqual(['10', '  11 ended', '  11']);
  });

  test('a process whose end went unseen is over when its pid is used again', () => {
    const world = worldOf(process(10, 1), clone(10, 11), clone(10, 11, {start: '999'}));
    expect(shape(world)).toEqual(['10', '  11 ended', '  11']);
    expect(world.living).toBe(2);
  });

  test('a fork is a copy: name, arguments, ids and namespaces are those of its maker', () => {
    const world = worldOf(process(10, 1, {uids: [5, 5, 5, 5]}), clone(10, 11));
    expect(known(world, 11)).toMatchObject({comm: 'p10', argv: ['p10'], uids: [5, 5, 5, 5], links: host});
  });
});

describe('namespaces', () => {
  const enter = (pid: number, links: Partial<{[link in keyof NamespaceLinks]: string}>, tid = pid, at = START): Fact => ({
    kind: 'namespaces',
    at: String(at),
    pid,
    tid,
    changed: Object.fromEntries(Object.entries(links).map(([link, to]) => [link, {from: null, to}])),
  });
  const names = (world: World, pid: number) =>
    Object.fromEntries(Object.entries(known(world, pid).spaces).map(([link, space]) => [link, space?.name]));

  test.each([
    [0, 'a'],
    [25, 'z'],
    [26, 'aa'],
    [701, 'zz'],
    [702, 'aaa'],
  ])('number %d is called %s', (index, name) => expect(letters(index)).toBe(name));

  test('nsview’s own are a; others get letters in the order of first sight, for each type anew', () => {
    const world = worldOf(process(10, 1), clone(10, 11), enter(11, {mnt: '1', net: '2'}), clone(10, 12), enter(12, {mnt: '3'}));
    expect(names(world, 10)).toMatchObject({mnt: 'mnt:a', net: 'net:a', user: 'user:a'});
    expect(names(world, 11)).toMatchObject({mnt: 'mnt:b', net: 'net:b'});
    expect(names(world, 12)).toMatchObject({mnt: 'mnt:c', net: 'net:a'});
  });

  test('a pid namespace is new in its first process, not in the one that made it', () => {
    const changed = {pid: {from: null, to: '5'}};
    const world = worldOf(
      process(10, 1),
      enter(10, {pid_for_children: '5'}),
      clone(10, 11, {changed}),
      clone(11, 12),
      clone(10, 13, {changed}),
    );
    const opened = (pid: number) => [...known(world, pid).opened].map(namespace => namespace.name);
    expect(opened(11)).toEqual(['pid:b']);
    expect([...opened(12), ...opened(13)]).toEqual([]);
  });

  test('a child inherits what its maker had entered', () => {
    const world = worldOf(process(10, 1), enter(10, {mnt: '1'}), clone(10, 11));
    expect(names(world, 11).mnt).toBe('mnt:b');
    expect(world.namespaces.byInode.get('1')?.processes).toBe(2);
  });

  test('an inode number that is used again after the namespace’s end is another namespace', () => {
    const world = worldOf(process(10, 1), clone(10, 11), enter(11, {mnt: '1'}), exit(11), clone(10, 12), enter(12, {mnt: '1'}));
    expect(names(world, 12).mnt).toBe('mnt:c');
    expect(names(world, 11).mnt).toBe('mnt:b');
  });

  test('a network namespace that stood empty keeps its name: ip-netns(8) keeps such', () => {
    const world = worldOf(process(10, 1), clone(10, 11), enter(11, {net: '1'}), exit(11), clone(10, 12), enter(12, {net: '1'}));
    expect(names(world, 12).net).toBe('net:b');
  });

  test('the end of the last process in a namespace is an event', () => {
    const world = worldOf(process(10, 1), clone(10, 11), enter(11, {mnt: '1'}));
    const [event] = observe(world, exit(11));
    expect(event).toMatchObject({isolation: true, emptied: [{name: 'mnt:b'}], what: {kind: 'end'}});
  });

  test('so is a move out of a namespace, an execve and the end of a thread that leaves one empty', () => {
    const left = (world: World, fact: Fact) =>
      observe(world, fact).map(({isolation, emptied, what}) => [what.kind, isolation, emptied?.map(({name}) => name)]);
    const world = worldOf(process(10, 1), enter(10, {uts: '1'}));
    expect(left(world, enter(10, {uts: '2'}))).toEqual([['moves', true, ['uts:b']]]);
    observe(world, clone(10, 15, {flags: ['CLONE_THREAD']}));
    expect(left(world, enter(10, {ipc: '3'}, 15))).toEqual([['moves', true, undefined]]);
    // It takes its process along, which was in another one.
    expect(left(world, {kind: 'exec', at: header.at, pid: 10, path: '/bin/true', argv: ['true'], comm: 'true', formerTid: 15})).toEqual([
      ['exec', true, undefined],
    ]);
    observe(world, clone(10, 16, {flags: ['CLONE_THREAD']}));
    observe(world, enter(10, {net: '4'}, 16));
    expect(left(world, {kind: 'thread-exit', at: header.at, pid: 10, tid: 16, code: 0})).toEqual([['thread-end', true, ['net:b']]]);
    observe(world, clone(10, 17, {flags: ['CLONE_THREAD']}));
    observe(world, enter(10, {uts: '5'}, 17));
    expect(left(world, {kind: 'exec', at: header.at, pid: 10, path: '/bin/true', argv: ['true'], comm: 'true', formerTid: 17})).toEqual([
      ['exec', true, ['uts:c']],
    ]);
  });

  test('a thread whose clone kept its flags is over when the thread is', () => {
    const refused = {errno: 'ESRCH', during: 'ptrace(PTRACE_GETREGSET)'};
    const world = worldOf(process(10, 1), clone(10, 15, {flags: refused, exitSignal: null}));
    expect(world.living).toBe(2);
    observe(world, {kind: 'thread-exit', at: header.at, pid: 10, tid: 15, code: 9});
    expect([world.living, world.byPid.get(15)?.end?.code]).toEqual([1, 9]);
  });

  test('a thread elsewhere is a row of its own, until it ends', () => {
    const facts: Fact[] = [
      process(10, 1),
      clone(10, 15, {flags: ['CLONE_VM', 'CLONE_THREAD']}),
      {kind: 'namespaces', at: header.at, pid: 10, tid: 15, changed: {net: {from: null, to: '9'}}},
    ];
    expect(shape(worldOf(...facts))).toEqual(['10', '  thread 15']);
    expect(shape(worldOf(...facts, {kind: 'thread-exit', at: header.at, pid: 10, tid: 15, code: 0}))).toEqual(['10']);
  });

  test('a thread that executes brings its namespaces along', () => {
    const world = worldOf(
      process(10, 1),
      clone(10, 15, {flags: ['CLONE_VM', 'CLONE_THREAD']}),
      {kind: 'namespaces', at: header.at, pid: 10, tid: 15, changed: {net: {from: null, to: '9'}}},
      {kind: 'exec', at: header.at, pid: 10, path: '/bin/x', argv: ['x'], comm: 'x', formerTid: 15},
    );
    expect(names(world, 10).net).toBe('net:b');
    expect(shape(world)).toEqual(['10']);
  });
});

describe('ended processes', () => {
  test('stay for a while, then only their number does', () => {
    const world = worldOf(process(10, 1), clone(10, 11), exit(11, START));
    expect(shape(world)).toEqual(['10', '  11 ended']);
    passTime(world, START + 6e9);
    expect(shape(world)).toEqual(['10', '  … 1']);
  });

  test('of 2000 under one parent a few are kept', () => {
    const world = worldOf(process(10, 1));
    for (let i = 0; i < 2000; i++) {
      observe(world, clone(10, 100 + i));
      observe(world, exit(100 + i));
    }
    expect(world.byId.size).toBe(9);
    expect(known(world, 10).forgotten).toBe(1992);
    expect(world.living).toBe(1);
  });

  test('the one that a person looks at stays', () => {
    const world = worldOf(process(10, 1), clone(10, 11));
    world.pinned = known(world, 11).id;
    observe(world, exit(11, START));
    passTime(world, START + 60e9);
    expect(shape(world)).toEqual(['10', '  11 ended']);
  });
});

describe('what is observed', () => {
  const met = (pid: number, ppid: number, seconds: number): Fact =>
    process(pid, ppid, {because: 'watch', at: String(START + seconds * 1e9)});

  test('a process that a watch meets later has appeared; those that it met at first were there', () => {
    const world = createWorld(header);
    expect(observe(world, met(1, 0, 0.5))).toEqual([]);
    expect(observe(world, met(2, 1, 10))).toMatchObject([{what: {kind: 'appeared'}}]);
  });

  test('attaching leaves one tree, detaching brings the machine back under the same processes', () => {
    const tracer: Fact = {kind: 'tracer', at: header.at, mode: 'ptrace', scope: 3, sees: [], processes: 1, threads: 1};
    const facts = [met(1, 0, 0), met(2, 1, 0), met(3, 1, 0), met(4, 3, 0)];
    const world = worldOf(...facts, exit(2), tracer);
    const target = known(world, 3);
    narrowTo(world, target);
    expect(shape(world)).toEqual(['3', '  4']);
    expect(world.living).toBe(2);
    expect(world.namespaces.byInode.get(hostMnt)?.processes).toBe(2);
    widen(world);
    for (const fact of [met(1, 0, 9), met(3, 1, 9), met(4, 3, 9)]) expect(observe(world, {...fact, at: header.at})).toEqual([]);
    expect(shape(world)).toEqual(['1', '  3', '    4']);
    expect(known(world, 3)).toBe(target);
  });

  test('a move that was told before is no event', () => {
    const world = worldOf(process(10, 1));
    expect(observe(world, {kind: 'namespaces', at: header.at, pid: 10, tid: 10, changed: {mnt: {from: null, to: hostMnt}}})).toEqual([]);
  });
});

// --- any facts in any order ---

const pid = fc.integer({min: 1, max: 6});
const inode = fc.constantFrom('100', '101', '102', hostMnt);
const at = fc.integer({min: 0, max: 60}).map(seconds => String(START + seconds * 1e9));
const changed = fc.dictionary(
  fc.constantFrom(...NAMESPACE_LINKS),
  fc.record({from: fc.constant(null), to: fc.oneof(inode, fc.constant({errno: 'EACCES', during: 'readlink'}))}),
);
const links = fc.record(Object.fromEntries(NAMESPACE_LINKS.map(link => [link, inode]))) as fc.Arbitrary<NamespaceLinks>;
const anyFact: fc.Arbitrary<Fact> = fc.oneof(
  fc.record({pid, ppid: pid, at, start: fc.constantFrom('1', '2'), namespaces: links}).map(given => process(given.pid, given.ppid, given)),
  fc
    .record({
      pid,
      child: pid,
      ppid: pid,
      at,
      start: fc.constantFrom('1', '2'),
      changed,
      flags: fc.subarray(['CLONE_THREAD', 'CLONE_PARENT', 'CLONE_NEWNS']),
    })
    .map(given => clone(given.pid, given.child, given)),
  fc.record({pid, tid: pid, at, changed}).map((given): Fact => ({kind: 'namespaces', ...given})),
  fc.record({pid, at}).map(({pid, at}): Fact => ({kind: 'exit', at, pid, signal: 'SIGKILL'})),
  fc.record({pid, at}).map((given): Fact => ({kind: 'gone', ...given})),
  fc.record({pid, tid: pid, at}).map((given): Fact => ({kind: 'thread-exit', code: 0, ...given})),
  fc.record({pid, at, formerTid: pid}).map((given): Fact => ({kind: 'exec', path: '/x', argv: ['x'], comm: 'x', ...given})),
  fc
    .record({pid, ppid: pid, at})
    .map((given): Fact => ({kind: 'change', threads: [{tid: 9, comm: 't', namespaces: {net: '77'}}], ...given})),
  fc.record({pid, at}).map((given): Fact => ({kind: 'stop', signal: 'SIGSTOP', ...given})),
  fc.record({pid, at}).map((given): Fact => ({kind: 'refused', errno: 'EPERM', during: 'ptrace', rule: 'r', remedy: 'm', ...given})),
  fc.record({scope: pid, at}).map((given): Fact => ({kind: 'tracer', mode: 'ptrace', sees: [], processes: 1, threads: 1, ...given})),
);

/** Rows as a person would write them down: `depth id`, with what is folded away left out. */
function writtenDown(from: readonly Process[], folded: ReadonlySet<string>, depth = 0): string[] {
  return from.flatMap(process => [
    `${depth} ${process.id}`,
    ...(folded.has(process.id)
      ? []
      : [
          ...[...process.threads.keys()].map(tid => `${depth + 1} ${process.id}/${tid}`),
          ...(process.forgotten > 0 ? [`${depth + 1} ${process.id}/ended`] : []),
          ...writtenDown(process.children, folded, depth + 1),
        ]),
  ]);
}

describe('any facts in any order', () => {
  test('make a tree of which each row is where it is counted to be', () => {
    const everyNth = fc.integer({min: 1, max: 5});
    fc.assert(
      fc.property(fc.array(anyFact, {maxLength: 60}), everyNth, everyNth, fc.nat(), (facts, nth, rooted, window) => {
        const world = worldOf(...facts);
        const everyone = [...world.byId.values()];
        const folded = new Set(everyone.filter((_, index) => nth < 5 && index % nth === 0).map(({id}) => id));
        const root = rooted === 1 ? (everyone[window % everyone.length] ?? null) : null;
        for (const {by} of ARRANGEMENTS) {
          const tree = treeOf(world, {folded, arrangement: by, root: root?.id ?? null});
          const rows = rowsOf(tree);
          const words = rows.map(({depth, id}) => `${depth} ${id}`);
          if (by === 'process') expect(words).toEqual(writtenDown(root === null ? world.roots : [root], folded));
          const from = rows.length === 0 ? 0 : window % rows.length;
          expect(tree.slice(from, from + 3)).toEqual(rows.slice(from, from + 3));
          for (const [index, row] of rows.entries()) {
            expect(tree.at(index)).toEqual(row);
            expect(tree.indexOf(row.id)).toBe(index);
            const above = rows.slice(0, index).findLast(({depth}) => depth < row.depth);
            expect(tree.above(index)[0]).toBe(above?.id);
            expect(tree.above(index).length).toBe(row.depth);
          }
          expect([tree.at(-1), tree.at(rows.length), tree.indexOf('nobody'), tree.indexOf('no/body')]).toEqual(Array(4).fill(undefined));
          for (const {id} of everyone) if (!rows.some(row => row.id === id)) expect(tree.indexOf(id)).toBe(undefined);
        }
      }),
    );
  });

  test('never throw, and what is counted is what is there', () => {
    fc.assert(
      fc.property(fc.array(anyFact, {maxLength: 60}), facts => {
        const world = worldOf(...facts);
        passTime(world, world.now + 30e9);
        const everyone = [...world.byId.values()];
        expect(rowsOf(treeOf(world, EVERYTHING)).filter(row => row.kind === 'process').length).toBe(everyone.length);
        for (const {by} of ARRANGEMENTS) {
          const rows = rowsOf(treeOf(world, {...EVERYTHING, arrangement: by}));
          expect(new Set(rows.map(row => row.id)).size).toBe(rows.length);
          expect(rows.filter(row => row.kind === 'process').length).toBe(everyone.length);
        }
        expect(world.living).toBe(everyone.filter(one => one.end === null).length);
        for (const namespace of world.namespaces.byInode.values()) {
          let members = 0;
          let holders = 0;
          for (const one of everyone) {
            if (one.end !== null) continue;
            for (const link of NAMESPACE_LINKS) {
              if (one.spaces[link] !== namespace) continue;
              if (link === typeOfLink(link)) members++;
              else holders++;
            }
            for (const thread of one.threads.values()) for (const link of NAMESPACE_LINKS) if (thread.spaces[link] === namespace) holders++;
          }
          expect([namespace.processes, namespace.others], namespace.name).toEqual([members, holders]);
        }
      }),
      {numRuns: 400},
    );
  });
});

describe('a run of calls', () => {
  const call = (at: number, name: string, args: CallFact['args'], more: Partial<CallFact> = {}): CallFact => ({
    kind: 'call',
    at: String(START + at),
    pid: 10,
    tid: 10,
    name,
    args,
    result: 0,
    changed: {},
    ...more,
  });
  const drop = (at: number, cap: string): CallFact => call(at, 'prctl', {op: 'PR_CAPBSET_DROP', cap});
  const rows = (world: World): string[] =>
    world.timeline.isolation
      .filter(({what}) => what.kind === 'call')
      .map(event => lineText(eventLine(event, header, 0, {who: 0, did: 0})).slice(22));

  test('is one row, with how many they are and how they differ', () => {
    const world = worldOf(
      process(10, 1),
      drop(1, 'CAP_CHOWN'),
      drop(2, 'CAP_KILL'),
      drop(3, 'CAP_BPF'),
      call(4, 'capset', {}),
      call(5, 'capset', {}),
    );
    expect(rows(world)).toEqual(
      ['p10 10  prctl(PR_CAPBSET_DROP, CAP_CHOWN) = 0  3 times, the last with CAP_BPF', 'p10 10  capset() = 0  2 times'].map(row =>
        expect.stringContaining(row.slice(8)),
      ),
    );
  });

  test('ends where anything else comes, fails, or changes something', () => {
    const capset = (at: number, more: Partial<CallFact> = {}) => call(at, 'capset', {}, more);
    const moved = {from: [0, 0, 0, 0], to: [1, 1, 1, 1]} as const;
    const facts = [
      capset(1),
      capset(2, {result: {errno: 'EPERM'}}),
      capset(3),
      capset(4, {tid: 11}),
      capset(5),
      capset(6, {uids: moved}),
      capset(7),
    ];
    expect(rows(worldOf(process(10, 1), ...facts))).toHaveLength(facts.length);
    expect(
      rows(worldOf(process(10, 1), drop(1, 'CAP_KILL'), call(2, 'prctl', {op: 'PR_SET_NO_NEW_PRIVS', value: 1}), drop(3, 'CAP_KILL'))),
    ).toHaveLength(3);
    expect(
      rows(worldOf(process(10, 1), capset(1), {kind: 'stop', at: String(START + 2), pid: 10, signal: 'SIGSTOP'}, capset(3))),
    ).toHaveLength(2);
  });

  test('of which each takes a capability away says what they took together', () => {
    const bounding = (from: string, to: string) => ({capabilities: {bounding: {from, to}}});
    const world = worldOf(
      process(10, 1),
      drop(1, 'CAP_CHOWN'),
      {...drop(2, 'CAP_KILL'), ...bounding('000001ffffffffff', '000001ffffffffdf')},
      {...drop(3, 'CAP_BPF'), ...bounding('000001ffffffffdf', '0000018fffffffdf')},
      {...drop(4, 'CAP_BPF'), ...bounding('0000018fffffffdf', '0000000000000000')},
    );
    expect(rows(world)).toEqual([expect.stringMatching(/CAP_CHOWN\) = 0 {2}4 times, the last with CAP_BPF {2}bounding: all → none$/)]);
  });

  test('is told whole to who tells one after the other, and in the box of the event', () => {
    const world = worldOf(process(10, 1));
    const told = Array.from({length: 300}, (_, i) => observe(world, drop(i, `${i}`)));
    expect(told.flat().map(({what}) => what.kind === 'call' && what.call.args?.cap)).toEqual(Array.from({length: 300}, (_, i) => `${i}`));
    const [event] = world.timeline.all.filter(({what}) => what.kind === 'call');
    const box = event === undefined ? [] : eventLines(event, header, 0, 80).map(lineText);
    expect(box.filter(line => line.includes('PR_CAPBSET_DROP, '))).toHaveLength(200);
    expect(box.at(-1)).toBe('and 99 more, which the tape has');
  });
});

describe('securebits', () => {
  const sets = (tid: number, flags: readonly string[]): CallFact => ({
    kind: 'call',
    at: header.at,
    pid: 10,
    tid,
    name: 'prctl',
    args: {op: 'PR_SET_SECUREBITS', flags: [...flags]},
    result: 0,
    changed: {},
  });

  test('of a child are not known where a thread of its maker set some, though a reading from before said that there is none', () => {
    const late: Fact = {kind: 'change', at: header.at, pid: 10, threads: []};
    const facts = [sets(10, ['SECBIT_NOROOT']), clone(10, 11, {flags: ['CLONE_THREAD']}), late, sets(11, []), clone(10, 12, {tid: 11})];
    const world = worldOf(process(10, 1), ...facts, clone(10, 13));
    expect([12, 13].map(pid => known(world, pid).told.securebits)).toEqual([null, ['SECBIT_NOROOT']]);
  });
});

describe('why a call failed', () => {
  const fact: CallFact = {
    kind: 'call',
    at: String(START + 1),
    pid: 10,
    tid: 10,
    name: 'unshare',
    args: {flags: ['CLONE_NEWNS']},
    result: {errno: 'EPERM'},
    changed: {},
    effective: '0000000000000001',
  };
  const why = 'a new mnt namespace needs CAP_SYS_ADMIN, which it lacks; with a new user namespace (CLONE_NEWUSER) it would have it';

  test('is told in the trace, in the box of its event, and in the row of the screen, where it takes nothing from the arguments', () => {
    const {newest} = worldOf(process(10, 1), fact).timeline;
    if (newest === null) throw new Error('no event');
    const row = (room?: number) => lineText(eventLine(newest, header, 0, {who: 0, did: 0}, room));
    expect(row()).toContain(`unshare(CLONE_NEWNS) = -1 EPERM  ${why}`);
    expect(row(60)).toContain('unshare(CLONE_NEWNS) = -1 EPERM  a new mnt');
    const box = eventLines(newest, header, 0, 60).map(lineText);
    expect(box.every(line => line.length <= 60)).toBe(true);
    expect(box.join('')).toContain(why);
  });

  test('is not guessed where the capabilities are not known', () => {
    const {effective: _effective, ...unknown} = fact;
    for (const other of [fact.name, 'mount', 'sethostname', 'setns', 'setuid', 'setgroups', 'chroot', 'fsmount']) {
      const {newest} = worldOf(process(10, 1), {...unknown, name: other}).timeline;
      expect([other, newest?.what.kind === 'call' && newest.what.why]).toEqual([other, null]);
    }
  });
});

describe('what became of capabilities', () => {
  const [all, none, docker] = ['000001ffffffffff', '0000000000000000', '00000000a80425fb'];
  const event = (more: Partial<CallFact>, last?: number) => {
    const fact: CallFact = {
      kind: 'call',
      at: String(START + 1),
      pid: 10,
      tid: 10,
      name: 'setresuid',
      args: {},
      result: 0,
      changed: {},
      ...more,
    };
    const {timeline} = worldOf(process(10, 1), fact);
    const told = {...header, host: {...header.host, ...(last === undefined ? {} : {lastCapability: last})}};
    const newest = timeline.newest;
    if (newest === null) throw new Error('no event');
    return {
      row: lineText(eventLine(newest, told, 0, {who: 0, did: 0})).replace(/^.*\) = 0 */, ''),
      box: eventLines(newest, told, 0, 80).map(lineText).slice(5),
    };
  };
  const of = (capabilities: CallFact['capabilities'] = {}, last?: number) => event({capabilities}, last);

  test('is told once of the sets that it befell alike, and of no others', () => {
    const same = {from: all, to: none};
    expect(of({permitted: same, effective: same, ambient: {from: '0000000000000400', to: none}}).row).toBe(
      'permitted, effective: all → none  ambient: cap_net_bind_service → none',
    );
    expect(event({}).row).toBe('');
  });

  test('is told by the names of few, and by the number of many', () => {
    expect(of({effective: {from: all, to: docker}}).row).toBe('effective: all → 14 of 41');
    expect(of({effective: {from: docker, to: '00000000a80425fa'}}).row).toBe('effective: -cap_chown');
    expect(of({effective: {from: none, to: '0000000000002001'}}).row).toBe('effective: none → cap_chown cap_net_raw');
    expect(of({bounding: {from: all, to: '000001fffeffffff'}}).row).toBe('bounding: -cap_sys_resource');
    // Linux 5.3 knows 38, and what nsview does not know is told by its number.
    expect(of({effective: {from: '0000003fffffffff', to: none}}, 37).row).toBe('effective: all → none');
    expect(of({effective: {from: none, to: '0000020000000000'}}, 41).row).toBe('effective: none → cap_41');
  });

  test('is told by every name in the box of its event, in the rows that it needs', () => {
    const {box} = of({effective: {from: all, to: docker}});
    expect(box.every(row => row.length <= 80)).toBe(true);
    expect(box.join(' ')).toBe(
      'effective: all → cap_chown cap_dac_override cap_fowner cap_fsetid cap_kill cap_setgid cap_setuid cap_setpcap cap_net_bind_service ' +
        'cap_net_raw cap_sys_chroot cap_mknod cap_audit_write cap_setfcap',
    );
    expect(of({effective: {from: docker, to: '00000000a80425fa'}}).box.join(' ')).toBe('effective: -cap_chown');
  });

  test('is told from what to what where they hold in another user namespace', () => {
    const changed = {user: {from: '100', to: '200'}};
    expect(event({changed, capabilities: {effective: {from: '000001fffeffffff', to: all}}}).row).toMatch(
      /effective: all but cap_sys_resource → all$/,
    );
  });

  test('makes an execve one that touches isolation', () => {
    const world = worldOf(process(10, 1), {
      kind: 'exec',
      at: String(START + 1),
      pid: 10,
      path: '/bin/ping',
      argv: ['ping'],
      comm: 'ping',
      capabilities: {permitted: {from: none, to: '0000000000002000'}, effective: {from: none, to: '0000000000002000'}},
    });
    expect(world.timeline.isolation.map(one => lineText(eventLine(one, header, 0, {who: 0, did: 0})).slice(22))).toEqual([
      expect.stringMatching(/exec ping {2}\/bin\/ping {2}permitted, effective: none → cap_net_raw$/),
    ]);
  });
});
