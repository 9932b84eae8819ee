import {readFileSync, readlinkSync} from 'node:fs';
import {describe, expect, it} from 'vitest';
import type {IdMapsFact} from '../../src/model/fact.ts';
import {attached, until} from '../support/attached.ts';
import {leaveNothingBehind} from '../support/leaks.ts';
import {
  ATTACHED_HOWS,
  followBy,
  LAUNCHED_HOWS,
  nsview,
  ofKind,
  type Running,
  readTapeStrictly,
  start,
  type TapeRead,
  temporaryFolder,
} from '../support/nsview.ts';
import {linesOf, SHELL, tell} from '../support/shell.ts';

leaveNothingBehind();

const [uid, gid] = [process.getuid?.() ?? 0, process.getgid?.() ?? 0];
const mapsOf = ({facts}: TapeRead) => ofKind(facts, 'id-maps');
const written = (tape: string) => () => readFileSync(tape, 'utf8');

/** A child in a user namespace of its own, which waits; then what user_namespaces(7) has to be written for it, one after the other. */
async function mapIds(shell: Running, told: () => string): Promise<{pid: number; user: string}> {
  await tell(shell, 'unshare --user sleep 60 & pid=$!');
  await tell(shell, 'until [ "$(readlink /proc/$pid/ns/user)" != "$(readlink /proc/$$/ns/user)" ]; do sleep 0.02; done; echo "child $pid"');
  const pid = Number((await shell.says(/^child (\d+)/m))[1]);
  const user = /\d+/.exec(readlinkSync(`/proc/${pid}/ns/user`))?.[0] ?? '';
  // Only what comes after what was known is news.
  await until(() => told().includes(user), 'its user namespace');
  await tell(shell, 'echo deny >/proc/$pid/setgroups');
  await until(() => told().includes('"setgroups":"deny"'), 'that setgroups is denied');
  await tell(shell, `echo 0 ${uid} 1 >/proc/$pid/uid_map`);
  await until(() => told().includes('"uid":[{"inside"'), 'the uid map');
  await tell(shell, `echo 5 ${gid} 1 >/proc/$pid/gid_map`);
  await until(() => told().includes('"gid":[{"inside"'), 'the gid map');
  await tell(shell, 'kill $pid; wait $pid');
  return {pid, user};
}

function expectTold(read: TapeRead, {pid, user}: {pid: number; user: string}): void {
  const expected: Omit<IdMapsFact, 'at'>[] = [
    {kind: 'id-maps', pid, user, setgroups: 'deny'},
    {kind: 'id-maps', pid, user, uid: [{inside: 0, outside: uid, count: 1}]},
    {kind: 'id-maps', pid, user, gid: [{inside: 5, outside: gid, count: 1}]},
  ];
  expect(mapsOf(read).map(({at: _at, ...fact}) => fact)).toEqual(expected);
  const told = linesOf(read).filter(line => line.includes('ids mapped') || line.includes('setgroups denied'));
  expect(told).toEqual([
    expect.stringMatching(new RegExp(` ${pid} setgroups denied in user:b$`)),
    expect.stringMatching(new RegExp(` ${pid} ids mapped in user:b uid ${uid} › 0 inside$`)),
    expect.stringMatching(new RegExp(` ${pid} ids mapped in user:b gid ${gid} › 5 inside$`)),
  ]);
}

describe.each(LAUNCHED_HOWS)('launched, by %s', how => {
  it('the maps of a new user namespace are told when they are written', async () => {
    using folder = temporaryFolder();
    const tape = folder.file('tape');
    await using tracer = nsview('trace', '--json', '-o', tape, ...followBy(how), '--', ...SHELL);
    await tracer.says(/here (\d+)/);
    const child = await mapIds(tracer, written(tape));
    tracer.release();
    await tracer.ended;
    expectTold(readTapeStrictly(tape), child);
  });
});

describe.each(ATTACHED_HOWS)('attached, by %s', how => {
  it('the maps of a new user namespace are told when they are written', async () => {
    using folder = temporaryFolder();
    const tape = folder.file('tape');
    await using shell = start(...SHELL);
    await using tracer = await attached(how, shell.pid, tape);
    const child = await mapIds(shell, written(tape));
    shell.release();
    await shell.ended;
    await tracer.ended;
    expectTold(readTapeStrictly(tape), child);
  });

  it('what was mapped or denied before is not, nor what is denied since its maker was', async () => {
    using folder = temporaryFolder();
    const tape = folder.file('tape');
    await using shell = start('unshare', '--user', '--map-root-user', ...SHELL);
    await shell.says(/here (\d+)/);
    await using tracer = await attached(how, shell.pid, tape);
    await tell(shell, 'unshare --user sleep 60 & pid=$!');
    await tell(shell, 'until [ "$(readlink /proc/$pid/ns/user)" != "$(readlink /proc/$$/ns/user)" ]; do sleep 0.02; done');
    await tell(shell, 'grep deny /proc/$pid/setgroups');
    await tell(shell, 'echo 0 0 1 >/proc/$pid/uid_map');
    await until(() => written(tape)().includes('"id-maps"'), 'the uid map');
    await tell(shell, 'kill $pid; wait $pid');
    shell.release();
    await shell.ended;
    await tracer.ended;
    const told = mapsOf(readTapeStrictly(tape)).map(({uid: ranges, gid: groups, setgroups}) => ({ranges, groups, setgroups}));
    expect(shell.stdout).toContain('deny\n');
    expect(told).toEqual([{ranges: [{inside: 0, outside: uid, count: 1}], groups: undefined, setgroups: undefined}]);
  });
});
