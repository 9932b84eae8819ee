import fc from 'fast-check';
import {describe, expect, it} from 'vitest';
import {type CompareOptions, type Comparison, compareSnapshots} from '../../src/model/comparison.ts';
import {isRefusal, type Mount, type NamespaceLinks, type ProcessSeen, type Snapshot} from '../../src/model/fact.ts';
import {NAMESPACE_LINKS, NAMESPACES, type NamespaceLink, typeOfLink} from '../../src/model/namespace.ts';
import {diffText} from '../../src/out/diff-text.ts';
import {parseSnapshot} from '../../src/probe/schemas.ts';

// A tree as a few numbers: who is the child of whom, and at which link each has a namespace of its own.

type Sketch = readonly {
  readonly parent: number;
  readonly own: readonly NamespaceLink[];
  readonly pipes: readonly number[];
  readonly caps: number;
}[];

const OUTER = Object.fromEntries(
  NAMESPACE_LINKS.map(link => [link, `${4026531000 + NAMESPACES.findIndex(({type}) => type === typeOfLink(link))}`]),
) as {
  [link in NamespaceLink]: string;
};

/** Ids of one snapshot: each is asked for by what it is for. */
type Ids = {
  readonly pid: (index: number) => number;
  readonly start: (index: number) => string;
  readonly inode: (index: number, link: string) => string;
  readonly pipe: (pipe: number) => string;
};

const plainIds: Ids = {
  pid: index => 1000 + index,
  start: index => String(5000 + index),
  inode: (index, link) => `${4026540000 + index * 10 + NAMESPACE_LINKS.indexOf(link as NamespaceLink)}`,
  pipe: pipe => `pipe:[${700 + pipe}]`,
};
/** All other numbers, in another order. */
const renamed = (seed: number): Ids => ({
  pid: index => 200_000 + seed * 50 + index,
  // Siblings may be born in another order.
  start: index => String(9000 + ((index * 7 + seed) % 5)),
  inode: (index, link) => `${4026980000 - index * 10 - NAMESPACE_LINKS.indexOf(link as NamespaceLink) - seed * 1000}`,
  pipe: pipe => `pipe:[${99_000 - pipe * 7 - seed}]`,
});

const mount = (id: number, point: string, more: Partial<Mount> = {}): Mount => ({
  id,
  parent: 1,
  device: `0:${id}`,
  root: '/',
  point,
  options: ['rw'],
  propagation: {},
  fsType: 'tmpfs',
  source: 'tmpfs',
  superOptions: ['rw'],
  ...more,
});

function snapshotOf(sketch: Sketch, ids: Ids): Snapshot {
  const links: NamespaceLinks[] = [];
  for (const [index, {parent, own}] of sketch.entries()) {
    const above = links[parent] ?? OUTER;
    const mine = {...above} as {[link in NamespaceLink]: string};
    for (const link of own) mine[link] = ids.inode(index, link);
    for (const kind of NAMESPACES) if ('childrenLink' in kind && own.includes(kind.link)) mine[kind.childrenLink] = mine[kind.link];
    links.push(mine);
  }
  const processes: ProcessSeen[] = sketch.map(({parent, caps}, index) => ({
    pid: ids.pid(index),
    start: ids.start(index),
    ppid: index === 0 ? 7 : ids.pid(parent),
    state: 'S',
    comm: 'one',
    argv: ['one'],
    exe: '/one',
    nspid: [ids.pid(index)],
    uids: [0, 0, 0, 0],
    gids: [0, 0, 0, 0],
    credentials: {
      groups: [],
      capabilities: {effective: caps.toString(16), permitted: 'ff', inheritable: '0', bounding: 'ff', ambient: '0'},
      noNewPrivs: false,
      seccomp: 0,
      filters: 0,
    },
    threads: [],
    namespaces: links[index] ?? OUTER,
    cgroup: [{hierarchy: 0, controllers: [], path: '/'}],
  }));
  const spaces = [...new Set(links.flatMap(({mnt}) => (isRefusal(mnt) ? [] : [mnt])))];
  return {
    format: 'nsview/snapshot',
    version: 1,
    nsview: 'test',
    at: '1',
    realtime: '1',
    host: {
      hostname: 'h',
      kernel: '6.18',
      machine: 'x86_64',
      clockTicks: 100,
      euid: 0,
      capabilities: 'ff',
      cgroups: 'v2',
      namespaces: OUTER,
    },
    processes,
    namespaces: [],
    mountNamespaces: spaces.map((inode, space) => ({
      inode,
      pid: 1,
      mounts: [
        mount(1 + space * 10, '/', {propagation: {shared: Number(inode) % 1000}}),
        mount(2 + space * 10, `/run/${ids.pid(0)}`),
        mount(3 + space * 10, '/proc', {fsType: 'proc', source: 'proc'}),
      ],
    })),
    cgroups: [],
    sharing: {groups: [], fds: [], unix: [], memory: {groups: [], refused: 0, refusedOutside: 0, left: 0}, refused: 0, left: 0, cut: []},
    details: {
      outside: {namespaces: Object.values(OUTER), cgroups: [{controllers: [], path: '/'}], devices: [], peerGroups: []},
      processes: sketch.map(({pipes}, index) => ({
        pid: ids.pid(index),
        root: '/',
        cwd: '/',
        fds: pipes.map((pipe, fd) => ({fd, link: ids.pipe(pipe), mode: fd % 2 === 0 ? 'r' : 'w'})),
        open: pipes.length,
        limits: {},
        labels: [],
        dumpable: true,
      })),
      left: 0,
      namespaces: [],
    },
  };
}

const sketches: fc.Arbitrary<Sketch> = fc
  .array(
    fc.record({
      parent: fc.nat(),
      own: fc.uniqueArray(fc.constantFrom<NamespaceLink>('user', 'mnt', 'pid', 'net', 'uts'), {maxLength: 3}),
      pipes: fc.uniqueArray(fc.nat(4), {maxLength: 3}),
      caps: fc.constantFrom(0, 1, 255),
    }),
    {minLength: 1, maxLength: 14},
  )
  .map(list => list.map((one, index) => ({...one, parent: index === 0 ? -1 : one.parent % index})));

const edited =
  (edit: (one: Sketch[number]) => Sketch[number]) =>
  (sketch: Sketch, at: number): Sketch =>
    sketch.map((one, index) => (index === at ? edit(one) : one));

function toggled(own: readonly NamespaceLink[], link: NamespaceLink): NamespaceLink[] {
  return own.includes(link) ? own.filter(one => one !== link) : [...own, link];
}

const told = ({differences}: Comparison): string[] => differences.map(({what, inA, inB}) => `${what}: ${inA} | ${inB}`);

describe('two snapshots', () => {
  it('are ones that a file may hold', () => {
    const snapshot = snapshotOf([{parent: -1, own: ['net'], pipes: [1], caps: 1}], plainIds);
    expect(parseSnapshot(JSON.parse(JSON.stringify(snapshot)))).toMatchObject({ok: true});
  });

  it('are equal where all ids are others', () => {
    fc.assert(
      fc.property(sketches, fc.nat(20), (sketch, seed) => {
        const compared = compareSnapshots(snapshotOf(sketch, plainIds), snapshotOf(sketch, renamed(seed)));
        expect(told(compared)).toEqual([]);
        expect(compared.equal).toBe(true);
        expect(compared.compared.processes).toBe(sketch.length);
      }),
      {numRuns: 100},
    );
  });

  const changes: readonly {readonly what: string; readonly change: (sketch: Sketch, at: number) => Sketch}[] = [
    {what: 'a capability', change: edited(one => ({...one, caps: 6}))},
    {what: 'a flag', change: edited(one => ({...one, own: toggled(one.own, 'net')}))},
    {what: 'an fd', change: edited(one => ({...one, pipes: [...one.pipes, 9]}))},
    {what: 'a process', change: (sketch, at) => [...sketch, {parent: at, own: [], pipes: [], caps: 1}]},
  ];

  it.each(changes)('differ by $what, wherever that is', ({change}) => {
    fc.assert(
      fc.property(sketches, fc.nat(), (sketch, where) => {
        const other = change(sketch, where % sketch.length);
        for (const [a, b] of [
          [sketch, other],
          [other, sketch],
        ] as const) {
          const {equal, differences} = compareSnapshots(snapshotOf(a, plainIds), snapshotOf(b, renamed(1)));
          expect(equal).toBe(false);
          expect(differences.length).toBeGreaterThan(0);
        }
      }),
      {numRuns: 60},
    );
  });

  const one = {parent: 0, own: [], pipes: [], caps: 1} as const;
  const root = {...one, parent: -1};
  const lines = (a: Sketch, b: Sketch): string[] =>
    diffText(compareSnapshots(snapshotOf(a, plainIds), snapshotOf(b, renamed(1)))).split('\n');

  it('tell of one process that is missing between others, and not of all that is below it', () => {
    const below: Sketch = [
      {...one, parent: 1, own: ['net']},
      {...one, parent: 2, caps: 255, pipes: [1, 2]},
      {...one, parent: 2, pipes: [1]},
    ];
    const whole: Sketch = [root, {...one, caps: 0}, ...below];
    const without: Sketch = [root, ...below.map(each => ({...each, parent: each.parent - 1}))];
    expect(lines(whole, without).slice(0, 2)).toEqual([
      'one 1001 | –: process: there below one 1000 in A, missing in B',
      expect.stringMatching(/^1 difference; 4 processes, /),
    ]);
    expect(lines(without, whole)[0]).toMatch(/^– \| one 200051: process: missing in A, there below one 200050 in B$/);
  });

  it('tell of the one that stands otherwise, and not of those that inherit it or stand beside it', () => {
    const inherits: Sketch = [root, {...one, own: ['net']}, {...one, parent: 1}, {...one, parent: 2}];
    expect(lines(inherits, [root, one, {...one, parent: 1}, {...one, parent: 2}])).toEqual([
      'one 1001 | one 200051: net namespace: its own in A, shared with its parent in B',
      expect.stringMatching(/^1 difference; /),
      expect.stringMatching(/^not compared: mounts of the mount namespace that nsview is in; securebits, /),
      '',
    ]);
    const beside: Sketch = [root, {...one, pipes: [1]}, {...one, pipes: [1], caps: 0}, {...one, pipes: [], caps: 255}];
    expect(lines(beside, beside.with(3, {...one, pipes: [1], caps: 255}))[0]).toBe(
      'one 1003 | one 200053: pipe shared with one 1001, one 1002: not open in A, open for reading in B',
    );
  });

  it('have other pids in names of folders, and other numbers nowhere else', () => {
    const snapshot = snapshotOf([root], plainIds);
    const at = (source: Snapshot, cwd: string): Snapshot => {
      const {details} = source;
      return details === undefined
        ? source
        : {...source, details: {...details, processes: details.processes.map(each => ({...each, cwd}))}};
    };
    const other = snapshotOf([root], renamed(1));
    const same = (cwd: string, there: string, options: CompareOptions = {}) =>
      compareSnapshots(at(snapshot, cwd), at(other, there), options).equal;
    expect(same('/tmp/x-1000/1000', '/tmp/x-200050/200050')).toBe(true);
    expect(same('/tmp/x-1000', '/tmp/x-1001')).toBe(false);
    expect(same('/tmp/a', '/tmp/b')).toBe(false);
    expect(same('/tmp/a', '/tmp/b', {maps: [{from: '/tmp/a', to: '/tmp/b'}]})).toBe(true);
    const groups = (source: Snapshot, gid: number): Snapshot => ({
      ...source,
      processes: source.processes.map(each => ({...each, gids: [gid, gid, gid, gid]})),
    });
    expect(compareSnapshots(groups(snapshot, 1000), groups(other, 200_050)).equal).toBe(false);
  });

  it('are not equal where only one of them tells', () => {
    const tree = snapshotOf([root, one], plainIds);
    const {details: _details, sharing: _sharing, ...machine} = tree;
    expect(compareSnapshots(machine, machine)).toMatchObject({
      equal: true,
      notCompared: expect.arrayContaining([expect.stringContaining('fds, root')]),
    });
    const half = compareSnapshots(tree, machine);
    expect(half.equal).toBe(false);
    expect(half.differences.map(({refused, inA, inB}) => [refused, inA, inB])).toContainEqual([true, 'told', 'not told']);
    const blind = {
      ...tree,
      processes: tree.processes.map(each => ({...each, namespaces: {...each.namespaces, net: {errno: 'EACCES', during: 'readlink'}}})),
    };
    expect(compareSnapshots(blind, blind)).toMatchObject({
      equal: true,
      notCompared: expect.arrayContaining(['net namespace: readlink: EACCES (2 times)']),
    });
    expect(told(compareSnapshots(tree, blind))[0]).toBe('net namespace: that of nsview | readlink: EACCES');
  });

  it('tell who shares what within the trees where tasks outside were refused, and that those are not known', () => {
    const chain: Sketch = [
      {parent: -1, own: [], pipes: [], caps: 1},
      {parent: 0, own: [], pipes: [], caps: 1},
    ];
    const alone = snapshotOf(chain, plainIds);
    const tasks = alone.processes.map(({pid}) => ({pid}));
    const groups = [{kind: 'files', flag: 'CLONE_FILES', tasks, count: 2}] as const;
    const sharing = (more: object) => ({groups: [], fds: [], unix: [], refused: 3, left: 0, cut: [], ...more});
    const compared = (more: object) =>
      compareSnapshots({...alone, sharing: sharing({...more, groups})}, {...alone, sharing: sharing(more)});
    const outside = compared({refusedOutside: 3});
    expect(outside.differences).toMatchObject([{kind: 'sharing', what: 'file table', inA: 'shared with its parent', inB: 'its own'}]);
    expect(outside.notCompared.join()).toContain('who outside of the tree shares file tables, memory and the like');
    // One of the tree, or any of a file that does not say.
    for (const more of [{refusedOutside: 2}, {}]) {
      expect(compared(more).differences).toEqual([]);
      expect(compared(more).notCompared.join()).toContain('who shares file tables, memory and the like: not told');
    }
  });

  it('differ by name only where names are asked for', () => {
    const snapshot = snapshotOf([root, one], plainIds);
    const named = {...snapshot, processes: snapshot.processes.map(each => ({...each, comm: 'other'}))};
    expect(compareSnapshots(snapshot, named).equal).toBe(true);
    expect(told(compareSnapshots(snapshot, named, {names: true}))).toEqual(['name: one | other', 'name: one | other']);
  });

  it('of 8,000 processes are compared in a few seconds', {timeout: 60_000}, () => {
    const many: Sketch = Array.from({length: 8_000}, (_, index) => ({
      parent: index === 0 ? -1 : index % 3 === 0 ? 0 : index - 1,
      own: index % 5 === 0 ? ['net', 'mnt'] : [],
      pipes: [index % 700],
      caps: 1,
    }));
    const [a, b] = [snapshotOf(many, plainIds), snapshotOf(many, renamed(1))];
    const began = process.cpuUsage().user;
    expect(compareSnapshots(a, b)).toMatchObject({equal: true, compared: {processes: 8_000}});
    // Some seconds of CPU time, on two CPUs that others want; comparing each with each would take minutes.
    expect((process.cpuUsage().user - began) / 1e6).toBeLessThan(20);
  });
});
