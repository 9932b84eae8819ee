import {spawnSync} from 'node:child_process';
import {chmodSync, copyFileSync, existsSync, readFileSync, readlinkSync} from 'node:fs';
import {kill} from 'node:process';
import {describe, expect, it} from 'vitest';
import {lineText} from '../../src/model/line.ts';
import {eventLine} from '../../src/model/timeline.ts';
import {createWorld, observe} from '../../src/model/world.ts';
import {attached, helperOf, until} from '../support/attached.ts';
import {isSince} from '../support/kernel.ts';
import {leaveNothingBehind} from '../support/leaks.ts';
import {LAUNCHED_HOWS, nsview, ofKind, readTapeStrictly, start, temporaryFolder, traceProgramBy} from '../support/nsview.ts';
import {fixture} from '../support/paths.ts';
import {needsRoot} from '../support/user.ts';

leaveNothingBehind();

/** What came of them; test/trace/capabilities.test.ts holds that to the kernel. */
const CAPABILITIES = '(?: {2}(?:permitted|effective)\\b.*)?';

/* What is told of a moment is what was then, whatever came of it since. */

describe.each(LAUNCHED_HOWS)('by %s', how => {
  const traceProgram = traceProgramBy(how);

  it('a call has the result that the program saw, and no other', async () => {
    const {code, facts} = await traceProgram(fixture('answers-oddly'));
    expect(code).toBe(7);
    const results = (name: string) => ofKind(facts, 'call').flatMap(fact => (fact.name === name ? [fact.result] : []));
    // What a program's own filter answers goes unseen under --fast.
    expect(results('open_tree')).toEqual(how === 'fast' ? [] : [null]);
    expect(results('sethostname')).toEqual(how === 'fast' ? [] : [7]);
  });

  it('a pidfd whose process has ended is not that of the next one with its pid', async context => {
    needsRoot('choose a pid');
    const {code, facts} = await traceProgram(fixture('enters-ended'));
    if (code === 77) context.skip('may not choose a pid');
    expect(ofKind(facts, 'call').map(({args, result}) => [args?.fd, result])).toEqual([[expect.any(Number), {errno: 'ESRCH'}]]);
  });

  it('a stop is by the signal that stopped it', async () => {
    const {code, facts} = await traceProgram(fixture('stops-at-second'));
    const stops = ofKind(facts, 'stop').map(({signal}) => signal);
    expect([code, stops]).toEqual([19, ['SIGSTOP']]);
  });

  it('the program of an execve is not the one that came after it', async () => {
    using folder = temporaryFolder();
    const {code, facts} = await traceProgram(fixture('executes-deep'), folder.path);
    expect(code).toBe(0);
    const [, deep, last] = ofKind(facts, 'exec');
    const path = `${folder.path}${'/deeper'.repeat(70)}/copy`;
    expect(deep).toMatchObject({argv: ['copy'], comm: 'copy'});
    expect([path, {errno: expect.stringMatching(/^(ESRCH|ENOENT)$/), during: 'readlink'}]).toContainEqual(deep?.path);
    expect(last).toMatchObject({argv: ['sleep', '0.2']});
  });

  it('who moved has moved once: no reading of /proc moves it, its threads or their children again', async () => {
    needsRoot('make namespaces without a user namespace');
    const {code, facts} = await traceProgram(fixture('threads-part'));
    expect(code).toBe(0);
    expect(ofKind(facts, 'call').map(fact => Object.keys(fact.changed))).toEqual([['uts'], ['ipc']]);
    expect(ofKind(facts, 'namespaces')).toEqual([]);
  });

  it('the signal that is to tell of an end is the one that its maker asked for, whatever the child has done since', async () => {
    const {code, facts} = await traceProgram(fixture('changes-exit-signal'));
    expect(code).toBe(0);
    const signals = ofKind(facts, 'clone').map(({exitSignal}) => exitSignal);
    // Of one by CLONE_PARENT it is its maker's.
    expect(signals).toEqual([...Array(100).fill('SIGUSR1'), 'SIGUSR2', 'SIGUSR2']);
  });

  it('an execve is told with the ids that it changed: of a set-user-ID program, and the saved ones', async context => {
    needsRoot('become another user');
    using folder = temporaryFolder();
    const program = folder.file('becomes');
    copyFileSync(fixture('becomes-by-exec'), program);
    chmodSync(folder.path, 0o755);
    chmodSync(program, 0o6755);
    const {code, facts, header, stdout} = await traceProgram(fixture('becomes-by-exec'), program);
    expect(code).toBe(0);
    const said = [...stdout.matchAll(/^(?:before|after) uids ([0-9 ]+) gids ([0-9 ]+)$/gm)].map(([, uids = '', gids = '']) =>
      [uids, gids].map(ids => ids.split(' ').map(Number)),
    );
    const [before, after, apart, saved] = said;
    // Without privilege under no_new_privs, which --fast sets.
    if (how !== 'fast' && after?.[0]?.[1] !== 0) context.skip('set-user-ID has no effect on the file system of temporary files');
    const moved = (index: 0 | 1, from: typeof before, to: typeof before) =>
      String(from?.[index]) === String(to?.[index]) ? undefined : {from: from?.[index], to: to?.[index]};
    const execs = ofKind(facts, 'exec').slice(1);
    expect(execs.map(({uids, gids}) => [uids, gids])).toEqual([
      [moved(0, before, after), moved(1, before, after)],
      [moved(0, apart, saved), moved(1, apart, saved)],
    ]);
    const world = createWorld(header);
    const texts = facts
      .flatMap(fact => observe(world, fact))
      .filter(({what}) => what.kind === 'exec')
      .map(event => lineText(eventLine(event, header, 0, {who: 0, did: 0})));
    // What changed of it, in the line's words. Linux 6.1 takes effective ids that differ from the real ones for those of a set-user-ID program
    // and puts the real ones in their place, under no_new_privs; 6.18 does not (security/commoncap.c, cap_bprm_creds_from_file).
    const words = (from: typeof before, to: typeof before) =>
      [0, 1].flatMap(index =>
        ['', 'e', 's'].flatMap((kind, id) => {
          const [was, is] = [from?.[index]?.[id], to?.[index]?.[id]];
          return was === is ? [] : [`  ${kind}${'ug'[index]}id ${was} → ${is}`];
        }),
      );
    expect(texts.at(1)).toMatch(new RegExp(`becomes${words(before, after).join('')}${CAPABILITIES}$`));
    expect(texts.at(2)).toMatch(new RegExp(`becomes-by-exec${words(apart, saved).join('')}${CAPABILITIES}$`));
    expect(words(apart, saved)).not.toEqual([]);
  });

  it('a child in its maker’s memory is in the time namespace of that until its execve, and a copy in the new one', async context => {
    needsRoot('make namespaces without a user namespace');
    // Of a child in its maker's memory it was EINVAL before (copy_process(), kernel/fork.c).
    const alone = spawnSync(fixture('borrows-clocks'), {encoding: 'utf8'});
    if (alone.status !== 0 && !isSince(6, 3)) return context.skip('kernel lacks vfork children in another time namespace');
    const {code, facts, header, stdout} = await traceProgram(fixture('borrows-clocks'));
    expect(code).toBe(0);
    const said = [...stdout.matchAll(/^(\w+) (\d+) time:\[(\d+)\]$/gm)];
    expect(said.map(([, what]) => what)).toEqual(['borrows', 'executed', 'copy']);
    const world = createWorld(header);
    const [borrows, executed, copy] = said.map(([, , pid, inode]) => ({pid: Number(pid), inode}));
    const at = (pid: number | undefined) => world.byPid.get(pid ?? -1)?.spaces.time?.inode;
    const seen: (string | undefined)[] = [];
    for (const fact of facts) {
      observe(world, fact);
      if (fact.kind === 'clone' || (fact.kind === 'exec' && fact.pid === executed?.pid))
        seen.push(at(fact.kind === 'clone' ? fact.child : fact.pid));
    }
    expect(seen).toEqual([borrows?.inode, executed?.inode, copy?.inode]);
  });

  it('nobody is said to have made a child that it has inherited', async () => {
    const {code, facts, stdout} = await traceProgram(fixture('kills-makers'));
    expect(code).toBe(0);
    const made = [...stdout.matchAll(/made (\d+)/g)].map(([, pid]) => Number(pid));
    // Of a maker that is killed in its fork the kernel may tell the status, 9, for the child.
    for (const {child, start} of ofKind(facts, 'clone')) expect([child, start]).not.toEqual([9, '0']);
    const [root] = ofKind(facts, 'process');
    expect(ofKind(facts, 'clone').flatMap(({pid, child}) => (pid === root?.pid ? [child] : []))).toEqual(made);
  });
});

describe.each(['bpf', 'syscalls'] as const)('attached by %s', how => {
  it('a process is as it was before the first of its calls', async () => {
    needsRoot('make namespaces without a user namespace');
    using folder = temporaryFolder();
    await using target = start(fixture('never-the-same'));
    await target.says(/ready/);
    const tape = folder.file('tape');
    await using tracer = await attached(how, target.pid, tape);
    while (!existsSync(tape) || readFileSync(tape, 'utf8').split('"kind":"call"').length < 20)
      await new Promise(resolve => setTimeout(resolve, 20));
    target.release();
    await target.ended;
    await tracer.ended;
    const {facts} = readTapeStrictly(tape);
    const [process] = ofKind(facts, 'process');
    const moves = ofKind(facts, 'call').flatMap(({changed}) => (changed.uts === undefined ? [] : [changed.uts]));
    expect(moves.map(({from}) => from)).toEqual([process?.namespaces.uts, ...moves.map(({to}) => to)].slice(0, moves.length));
    const ids = ofKind(facts, 'call').flatMap(({uids}) => (uids === undefined ? [] : [uids]));
    expect(ids.slice(1).map(({from}) => from)).toEqual(ids.map(({to}) => to).slice(0, -1));
    if (how === 'bpf') expect(process?.uids).toEqual(ids[0]?.from);
  });
});

it('a reading of /proc is not told before the call that it is ahead of, however late that comes', async () => {
  needsRoot('follow by BPF');
  using folder = temporaryFolder();
  const tape = folder.file('tape');
  await using tracer = nsview('trace', '--json', '--follow', 'bpf', '-o', tape, '--', fixture('threads-part'));
  const process = () => /"kind":"process","at":"\d+","pid":(\d+)/.exec(existsSync(tape) ? readFileSync(tape, 'utf8') : '');
  await until(() => process() !== null, 'the program is told');
  const [, pid] = process() ?? [];
  const uts = () => readlinkSync(`/proc/${pid}/ns/uts`);
  const before = uts();
  const helper = helperOf(tracer);
  kill(helper, 'SIGSTOP');
  try {
    await until(() => uts() !== before, 'it moves');
    // Longer than two passes of readings.
    await new Promise(resolve => setTimeout(resolve, 1300));
    expect(readFileSync(tape, 'utf8')).not.toMatch(/"changed":\{"uts"/);
  } finally {
    kill(helper, 'SIGCONT');
  }
  expect((await tracer.ended).code).toBe(0);
  const {facts} = readTapeStrictly(tape);
  expect(ofKind(facts, 'call').map(fact => Object.keys(fact.changed))).toEqual([['uts'], ['ipc']]);
  expect(ofKind(facts, 'namespaces')).toEqual([]);
});
