import {chmodSync, copyFileSync, readFileSync} from 'node:fs';
import {kill} from 'node:process';
import {describe, expect, it} from 'vitest';
import type {CapabilityChanges, Fact} from '../../src/model/fact.ts';
import {attached, helperOf, until} from '../support/attached.ts';
import {leaveNothingBehind} from '../support/leaks.ts';
import {LAUNCHED_HOWS, ofKind, Running, readTapeStrictly, start, temporaryFolder, traceProgramBy} from '../support/nsview.ts';
import {fixture, NSVIEW} from '../support/paths.ts';
import {needsRoot} from '../support/user.ts';

leaveNothingBehind();

const program = fixture('changes-capabilities');

function copies() {
  const folder = temporaryFolder();
  chmodSync(folder.path, 0o755);
  for (const name of ['set-user-id', 'with-capabilities']) copyFileSync(program, folder.file(name));
  chmodSync(folder.file('set-user-id'), 0o4755);
  chmodSync(folder.file('with-capabilities'), 0o755);
  return folder;
}

const SETS = ['inheritable', 'permitted', 'effective', 'bounding', 'ambient'] as const;
type Change = {readonly name: string; readonly capabilities: CapabilityChanges | undefined};

/** What the program has read of itself around each call and execve. */
function saidChanges(stdout: string): Change[] {
  const said = [...stdout.matchAll(/^(\w+) (before|after) ([0-9a-f ]+)$/gm)].map(([, name = '', when, masks = '']) => ({
    name,
    when,
    masks: masks.split(' '),
  }));
  return said.flatMap(({name, when, masks}, index) => {
    if (when === 'before') return [];
    const before = said[index - 1];
    if (before?.name !== name || before.when !== 'before') throw new Error(`no reading before that of ${name}`);
    const changed = SETS.flatMap((set, at) => {
      const [from = '', to = ''] = [before.masks[at], masks[at]];
      return from === to ? [] : [[set, {from, to}] as const];
    });
    return [{name, capabilities: changed.length === 0 ? undefined : Object.fromEntries(changed)}];
  });
}

/** The launched program's own execve is the first, if it is seen. */
const toldChanges = (facts: readonly Fact[], launched: boolean): Change[] => {
  const told = facts.flatMap(fact =>
    fact.kind === 'call' || fact.kind === 'exec'
      ? [{name: fact.kind === 'call' ? fact.name : 'exec', capabilities: fact.capabilities}]
      : [],
  );
  return launched ? told.slice(1) : told;
};

const changing = (changes: readonly Change[]): number => changes.filter(({capabilities}) => capabilities !== undefined).length;

describe('capabilities', () => {
  it.each(LAUNCHED_HOWS)('are told with each call and execve as it changed them, launched by %s', async how => {
    needsRoot('change its capabilities');
    using folder = copies();
    const {code, facts, stdout} = await traceProgramBy(how)(program, folder.path);
    expect(code).toBe(0);
    const said = saidChanges(stdout);
    expect(changing(said)).toBeGreaterThan(15);
    expect(toldChanges(facts, true)).toEqual(said);
  });

  it.each(['bpf', 'syscalls'] as const)('are told of what was attached to by %s', async how => {
    needsRoot('change its capabilities');
    using folder = copies();
    const tape = folder.file('tape');
    await using target = start(program, folder.path, 'wait');
    await target.says(/ready/);
    await using tracer = await attached(how, target.pid, tape);
    target.release();
    const {code, stdout} = await target.ended;
    await tracer.ended;
    expect(code).toBe(0);
    const {facts} = readTapeStrictly(tape);
    expect(ofKind(facts, 'lost')).toEqual([]);
    expect(toldChanges(facts, false)).toEqual(saidChanges(stdout));
  });

  it('and ids that a call changed which was lost are not told of the next one', async () => {
    needsRoot('follow by BPF');
    using folder = temporaryFolder();
    const tape = folder.file('tape');
    await using tracer = new Running(NSVIEW, ['trace', '--json', '--follow', 'bpf', '-o', tape, '--', fixture('changes-unseen')], {
      env: {...process.env, NSVIEW_RING: '4096'},
    });
    await tracer.says(/ready/);
    const helper = helperOf(tracer);
    kill(helper, 'SIGSTOP');
    try {
      tracer.child.stdin?.write('1');
      await tracer.says(/done/);
    } finally {
      kill(helper, 'SIGCONT');
    }
    await until(() => readFileSync(tape, 'utf8').includes('"kind":"lost"'), 'lost');
    tracer.child.stdin?.write('2');
    expect((await tracer.ended).code).toBe(0);
    const calls = ofKind(readTapeStrictly(tape).facts, 'call');
    expect(calls.filter(({name}) => name === 'setresuid')).toEqual([]);
    const last = calls.at(-1);
    expect([last?.args?.op, last?.uids, last?.capabilities]).toEqual(['PR_SET_PDEATHSIG', undefined, undefined]);
  });
});
