import {existsSync, readFileSync} from 'node:fs';
import {describe, expect, it} from 'vitest';
import {type Fact, isRefusal} from '../../src/model/fact.ts';
import type {Process} from '../../src/model/process.ts';
import {createWorld, observe, type World} from '../../src/model/world.ts';
import {leaveNothingBehind} from '../support/leaks.ts';
import {
  HOWS,
  type How,
  moves,
  nsview,
  ofKind,
  type Running,
  readTapeStrictly,
  start,
  type TapeRead,
  temporaryFolder,
} from '../support/nsview.ts';
import {fixture} from '../support/paths.ts';

leaveNothingBehind();

const WAYS = ['launched', 'attached'] as const;
type Way = (typeof WAYS)[number];

async function until(holds: () => boolean, what: string): Promise<void> {
  for (const limit = Date.now() + 15_000; !holds(); await new Promise(resolve => setTimeout(resolve, 10)))
    if (Date.now() > limit) throw new Error(`never: ${what}`);
}

/** nsview on `pid`, once it follows. */
async function attach(how: How, pid: number, tape: string): Promise<Running> {
  const tracer = nsview('trace', '--json', '--follow', how, '-o', tape, '-p', String(pid));
  await until(() => existsSync(tape) && readFileSync(tape, 'utf8').includes('"kind":"tracer"'), `attached to ${pid}: ${tracer.stderr}`);
  return tracer;
}

type Seen = {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly facts: readonly Fact[];
  readonly world: World;
  readonly root: number;
};

const fold = ({header, facts}: TapeRead): World => {
  const world = createWorld(header);
  for (const fact of facts) observe(world, fact);
  return world;
};

/** A program to its end, with stdin at its end: nsview launches it, or is attached to the shell that then becomes it. */
async function trace(way: Way, how: How, program: string, ...args: string[]): Promise<Seen> {
  using folder = temporaryFolder();
  const tape = folder.file('tape');
  if (way === 'launched') {
    await using tracer = nsview('trace', '--json', '--follow', how, '-o', tape, '--', program, ...args);
    tracer.release();
    const outcome = await tracer.ended;
    const read = readTapeStrictly(tape);
    const root = ofKind(read.facts, 'process').find(fact => fact.because === 'launch')?.pid ?? -1;
    return {...outcome, facts: read.facts, world: fold(read), root};
  }
  await using target = start('sh', '-c', 'read line; exec "$@"', 'sh', program, ...args);
  await using tracer = await attach(how, target.pid, tape);
  target.child.stdin?.end('now\n');
  const outcome = await target.ended;
  expect((await tracer.ended).code).toBe(0);
  const read = readTapeStrictly(tape);
  return {...outcome, facts: read.facts, world: fold(read), root: target.pid};
}

/** The same program without nsview. */
async function bare(program: string, ...args: string[]): Promise<{code: number | null; stdout: string; stderr: string}> {
  await using running = start(program, ...args);
  running.release();
  return await running.ended;
}

/** Without the numbers that fixtures print after a word that says what they are. */
const withoutPids = (text: string): string =>
  text.replaceAll(
    /(ready|tid|child|leader|maker|sibling|untraced|zombie|orphan|pid|began|executed|aside|traceme|seize|attach) \d+/g,
    '$1 #',
  );

const births = (facts: readonly Fact[]) =>
  ofKind(facts, 'clone').filter(fact => isRefusal(fact.flags) || !fact.flags.includes('CLONE_THREAD'));
const exits = (facts: readonly Fact[]) => ofKind(facts, 'exit').map(fact => [fact.pid, fact.signal ?? fact.code]);
const number = (pattern: RegExp, text: string): number => Number(pattern.exec(text)?.[1]);
const processes = (world: World): Process[] => [...world.byId.values()];

type Case = {
  readonly name: string;
  readonly argv: readonly [string, ...string[]];
  readonly code: number;
  readonly check: (seen: Seen, how: How) => void;
};

const CASES: readonly Case[] = [
  {
    name: 'CLONE_UNTRACED',
    argv: ['clones-untraced', 'slowly'],
    code: 5,
    check: ({facts, stdout, world, root}, how) => {
      const [, child, grandchild] = /untraced (\d+), its child (\d+)/.exec(stdout)?.map(Number) ?? [];
      const birth = births(facts).find(fact => fact.child === child);
      // ptrace has no event for it: it is found, and told as what it is when it is found.
      if (how === 'bpf') expect(birth).toMatchObject({pid: root, flags: ['CLONE_UNTRACED']});
      else expect(ofKind(facts, 'process').filter(fact => fact.pid === child)).toMatchObject([{ppid: root, because: 'born'}]);
      expect(births(facts).find(fact => fact.child === grandchild)).toMatchObject({pid: child});
      expect(exits(facts)).toEqual([
        [grandchild, 4],
        [child, 5],
        [root, 5],
      ]);
      expect(world.byPid.get(child ?? 0)?.maker?.pid).toBe(root);
      const told = world.timeline.all.map(({what, pid}) => `${what.kind} ${what.kind === 'clone' ? what.child : pid}`);
      expect(told).toContain(how === 'bpf' ? `clone ${child}` : `appeared ${child}`);
    },
  },
  {
    name: 'CLONE_UNTRACED, and its maker ends at once',
    argv: ['leaves-untraced'],
    code: 6,
    check: ({facts, root}) => {
      expect(exits(facts).map(([, status]) => status)).toEqual(expect.arrayContaining([4, 5, 6]));
      expect(births(facts).filter(fact => fact.pid !== root)).toHaveLength(1);
    },
  },
  {
    name: 'CLONE_PTRACE',
    argv: ['clones-ptrace'],
    code: 5,
    check: ({facts, stdout, root}) => {
      const [, child, grandchild] = /child (\d+), its child (\d+)/.exec(stdout)?.map(Number) ?? [];
      expect(births(facts).map(fact => [fact.pid, fact.child])).toEqual([
        [root, child],
        [child, grandchild],
      ]);
      expect(births(facts)[0]?.flags).toEqual(['CLONE_PTRACE']);
      expect(exits(facts)).toEqual([
        [grandchild, 4],
        [child, 5],
        [root, 5],
      ]);
    },
  },
  {
    name: 'CLONE_PTRACE with CLONE_UNTRACED',
    argv: ['clones-ptrace', 'untraced'],
    code: 5,
    check: ({facts, stdout, root}, how) => {
      const [, child, grandchild] = /child (\d+), its child (\d+)/.exec(stdout)?.map(Number) ?? [];
      expect(births(facts).map(fact => [fact.pid, fact.child, Object.keys(fact.changed)])).toEqual([
        [root, child, []],
        [child, grandchild, []],
      ]);
      // It is stopped at birth, and no event of its maker's tells the flags.
      expect(births(facts)[0]?.flags).toEqual(
        how === 'bpf' ? ['CLONE_PTRACE', 'CLONE_UNTRACED'] : {errno: 'ESRCH', during: 'ptrace(PTRACE_GETREGSET)'},
      );
    },
  },
  {
    name: 'CLONE_PARENT',
    argv: ['clone-parent'],
    code: 0,
    check: ({facts, stdout, root, world}) => {
      const [, maker, sibling] = /maker (\d+) sibling (\d+)/.exec(stdout)?.map(Number) ?? [];
      const birth = births(facts).find(fact => fact.child === sibling);
      expect(birth).toMatchObject({pid: maker, ppid: root, flags: ['CLONE_PARENT'], exitSignal: 'SIGCHLD'});
      expect(world.byPid.get(sibling ?? 0)).toMatchObject({ppid: root, maker: {pid: maker}});
    },
  },
  {
    name: 'CLONE_VFORK',
    argv: ['vforks'],
    code: 7,
    check: ({facts}) => {
      const [first, second] = births(facts);
      expect(first?.flags).toEqual(['CLONE_VM', 'CLONE_VFORK']);
      expect(second?.flags).toEqual(['CLONE_VFORK']);
      const order = facts.flatMap(fact => ('pid' in fact && fact.pid === first?.child && fact.kind !== 'change' ? [fact.kind] : []));
      expect(order).toEqual(['exec', 'exit']);
    },
  },
  {
    name: 'CLONE_THREAD with namespaces of its own',
    argv: ['thread-born-elsewhere'],
    code: 0,
    check: ({facts, stdout, root, world}) => {
      const tid = number(/tid (\d+)/, stdout);
      const birth = ofKind(facts, 'clone').find(fact => fact.child === tid);
      expect(birth?.flags).toEqual(expect.arrayContaining(['CLONE_THREAD', 'CLONE_NEWUTS', 'CLONE_NEWNET']));
      expect(birth).toMatchObject({pid: root, tid: root});
      expect(Object.keys(birth?.changed ?? {})).toEqual(['net', 'uts']);
      expect(moves(facts).filter(fact => fact.tid === fact.pid)).toEqual([]);
      // As it was when the thread was there.
      const then = createWorld(world.header);
      for (const fact of facts.slice(0, facts.findIndex(fact => Object.is(fact, birth)) + 1)) observe(then, fact);
      const thread = then.byPid.get(root)?.threads.get(tid);
      expect(Object.keys(thread?.links ?? {}).sort()).toEqual(['net', 'uts']);
      expect(then.byPid.get(root)?.spaces.uts).not.toBe(thread?.spaces.uts);
    },
  },
  {
    name: 'pid_for_children that differs from pid',
    argv: ['born-into-pid-namespace'],
    code: 8,
    check: ({facts, stdout, root, world}) => {
      const child = number(/child (\d+)/, stdout);
      const birth = births(facts).find(fact => fact.child === child);
      expect(birth?.nspid?.slice(-2)).toEqual([child, 1]);
      expect(Object.keys(birth?.changed ?? {})).toEqual(['pid']);
      expect(moves(facts).flatMap(fact => Object.keys(fact.changed))).not.toContain('pid');
      const [maker, made] = [world.byPid.get(root), world.byPid.get(child)];
      expect(made?.spaces.pid).not.toBe(maker?.spaces.pid);
      expect(made?.spaces.pid).toBe(maker?.spaces.pid_for_children);
    },
  },
  {
    name: "a child's stop before its maker's event",
    argv: ['forks-from-many-threads'],
    code: 0,
    check: ({facts, root}) => {
      const children = births(facts);
      expect(children).toHaveLength(800);
      for (const {pid, flags} of children) expect([pid, isRefusal(flags)]).toEqual([root, false]);
      const codes = ofKind(facts, 'exit').filter(fact => fact.pid !== root);
      expect(codes).toHaveLength(800);
      for (let code = 0; code < 100; code++) expect(codes.filter(fact => fact.code === code)).toHaveLength(8);
    },
  },
  {
    name: 'a storm of threads',
    argv: ['many-threads', '8'],
    code: 9,
    check: ({facts, root}) => {
      const begun = ofKind(facts, 'clone').filter(
        fact => fact.pid === root && !isRefusal(fact.flags) && fact.flags.includes('CLONE_THREAD'),
      );
      expect(begun.length).toBeGreaterThanOrEqual(8);
      expect(new Set(ofKind(facts, 'thread-exit').map(fact => fact.tid))).toEqual(new Set(begun.map(fact => fact.child)));
    },
  },
  {
    name: 'exec from a thread that is not the leader',
    argv: ['exec-from-second-thread'],
    code: 23,
    check: ({facts, root}) => {
      const exec = ofKind(facts, 'exec').at(-1);
      expect(exec).toMatchObject({pid: root, argv: [fixture('exec-from-second-thread'), 'again']});
      const threads = ofKind(facts, 'clone').map(fact => fact.child);
      expect(threads).toHaveLength(2);
      expect(threads).toContain(exec?.formerTid);
    },
  },
  {
    name: 'the leader exits first',
    argv: ['leader-exits-first'],
    code: 21,
    check: ({facts, root}) => {
      const child = births(facts)[0];
      expect(child?.pid).toBe(root);
      expect(child?.tid).not.toBe(root);
      expect(exits(facts)).toEqual([
        [child?.child, 2],
        [root, 21],
      ]);
    },
  },
  {
    name: 'group-stop and SIGCONT',
    argv: ['stops-with-threads'],
    code: 0,
    check: ({facts}) => {
      const stopped = births(facts)[0]?.child;
      const told = facts.flatMap(fact =>
        fact.kind === 'stop' ? [[fact.pid, fact.signal]] : fact.kind === 'continue' ? [[fact.pid, 'SIGCONT']] : [],
      );
      expect(told).toEqual(['SIGSTOP', 'SIGCONT', 'SIGTSTP', 'SIGCONT', 'SIGSTOP', 'SIGCONT'].map(signal => [stopped, signal]));
      expect(exits(facts)[0]).toEqual([stopped, 'SIGTERM']);
    },
  },
  {
    name: 'a zombie that its parent never reaps',
    argv: ['leaves-zombie'],
    code: 0,
    check: ({facts, stdout, root}) => {
      const zombie = number(/zombie (\d+)/, stdout);
      expect(exits(facts)).toEqual([
        [zombie, 9],
        [root, 0],
      ]);
    },
  },
  {
    name: 'a subreaper',
    argv: ['subreaper'],
    code: 12,
    check: ({facts, stdout, root, world}) => {
      const orphan = number(/orphan (\d+)/, stdout);
      const birth = births(facts).find(fact => fact.child === orphan);
      expect(birth?.pid).not.toBe(root);
      expect(ofKind(facts, 'change').find(fact => fact.pid === orphan && fact.ppid !== undefined)).toMatchObject({ppid: root});
      expect(world.byPid.get(orphan)).toMatchObject({ppid: root, maker: {pid: birth?.pid}});
      expect(exits(facts).map(([, code]) => code)).toEqual([1, 2, 12]);
    },
  },
  {
    name: 'a pid that is used again',
    argv: ['reuses-pid'],
    code: 0,
    check: ({facts, stdout, world}) => {
      const pid = number(/pid (\d+)/, stdout);
      const told = facts.flatMap(fact =>
        fact.kind === 'clone' && fact.child === pid ? ['born'] : fact.kind === 'exit' && fact.pid === pid ? [`exit ${fact.code}`] : [],
      );
      expect(told).toEqual([10, 11, 12, 13, 14].flatMap(code => ['born', `exit ${code}`]));
      const incarnations = processes(world).filter(process => process.pid === pid);
      expect(incarnations.map(process => process.end?.code)).toEqual([10, 11, 12, 13, 14]);
    },
  },
];

describe.each(HOWS)('by %s', how => {
  describe.each(WAYS)('%s', way => {
    it.each(CASES)('$name', async ({argv: [name, ...args], code, check}) => {
      const seen = await trace(way, how, fixture(name), ...args);
      // The program behaves as it does without nsview.
      const alone = await bare(fixture(name), ...args);
      expect({code: seen.code, stdout: withoutPids(seen.stdout), stderr: seen.stderr}).toEqual({
        code: alone.code,
        stdout: withoutPids(alone.stdout),
        stderr: alone.stderr,
      });
      expect(seen.code).toBe(code);
      check(seen, how);
      const found = ofKind(seen.facts, 'process');
      // By the end everybody who was born has ended, once, under who made him.
      expect(processes(seen.world).filter(process => process.end === null)).toEqual([]);
      expect(seen.world.living).toBe(0);
      for (const process of processes(seen.world)) expect(process.maker === null).toBe(process.pid === seen.root);
      expect(seen.world.timeline.all.filter(({what}) => what.kind === 'end')).toHaveLength(births(seen.facts).length + found.length);
    });
  });
});
