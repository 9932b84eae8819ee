import {existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync} from 'node:fs';
import {describe, expect, it} from 'vitest';
import type {Apart} from '../../src/model/apart.ts';
import {detailsOf} from '../../src/model/details.ts';
import {isRefusal, type ProcessSeen} from '../../src/model/fact.ts';
import {lineText} from '../../src/model/line.ts';
import {asProcess} from '../../src/model/process.ts';
import {apartWords} from '../../src/model/thread-apart.ts';
import {treeLine, treeOf} from '../../src/model/tree.ts';
import {createWorld, observe, type World} from '../../src/model/world.ts';
import {readCgroupView} from '../../src/probe/cgroup-view.ts';
import {isDeaf} from '../../src/probe/holders.ts';
import {readIdentity} from '../../src/probe/identity.ts';
import {readProcess, readStat} from '../../src/probe/process.ts';
import {readStudy} from '../../src/probe/study.ts';
import {readThreadsApart} from '../../src/probe/threads-apart.ts';
import {attached, until} from '../support/attached.ts';
import {leaveNothingBehind} from '../support/leaks.ts';
import {
  ATTACHED_HOWS,
  followBy,
  LAUNCHED_HOWS,
  nsview,
  type Running,
  readTapeStrictly,
  run,
  start,
  temporaryFolder,
} from '../support/nsview.ts';
import {fixture} from '../support/paths.ts';
import {needsRoot} from '../support/user.ts';

leaveNothingBehind();

const UNIFIED = ['/sys/fs/cgroup/unified', '/sys/fs/cgroup'].find(path => existsSync(`${path}/cgroup.procs`));

/** A cgroup with a threaded one in it; the process has to be in the first. */
function threadedCgroup(): {readonly procs: string; readonly threads: string; readonly path: string} & Disposable {
  const name = `nsview-test-threads-${process.pid}`;
  const outer = `${UNIFIED}/${name}`;
  mkdirSync(`${outer}/in`, {recursive: true});
  writeFileSync(`${outer}/in/cgroup.type`, 'threaded');
  return {
    procs: `${outer}/cgroup.procs`,
    threads: `${outer}/in/cgroup.threads`,
    path: `/${name}/in`,
    [Symbol.dispose]: () => {
      rmdirSync(`${outer}/in`);
      rmdirSync(outer);
    },
  };
}

function apartOf(seen: ReturnType<typeof readProcess>): {readonly [tid: string]: Apart} {
  if (isRefusal(seen)) throw new Error(seen.errno);
  return Object.fromEntries(seen.threads.flatMap(({tid, apart}) => (apart === undefined ? [] : [[tid, apart]])));
}

const startOf = (pid: number): string => {
  const stat = readStat(pid);
  return isRefusal(stat) ? '' : stat.start;
};
const tidOf = async (running: Running): Promise<number> => Number((await running.says(/tid (\d+)\nready/))[1]);

/** The row of the thread as the tree has it, without what is around it. */
function rowOf(world: World, pid: number, tid: number): string | undefined {
  const tree = treeOf(world, {folded: new Set(), arrangement: 'process', root: null});
  const row = tree.slice(0, tree.count).find(one => one.kind === 'thread' && one.thread.tid === tid && one.process.pid === pid);
  return row === undefined
    ? undefined
    : lineText(treeLine(world, row, 160, false))
        .trim()
        .replace(/ {2,}/g, '  ');
}

describe('a thread that is not like its process', () => {
  it('cannot forge in its name that it has ended, nor its process that it ignores signals', async () => {
    needsRoot('become another group');
    await using running = start(fixture('thread-forges-status'));
    const tid = await tidOf(running);
    expect(apartOf(readProcess(running.pid))).toEqual({[tid]: {gids: [12345, 12345, 12345, 12345], objects: ['files']}});
    expect(readThreadsApart(running.pid, running.pid, process.pid)).toMatchObject([
      {tid, comm: '\rState:\tZ', objects: ['files'], status: {Gid: {thread: '12345\t12345\t12345\t12345'}}},
    ]);
    const identity = readIdentity(running.pid);
    expect(isRefusal(identity) ? identity : {state: identity.state, ignored: identity.ignored}).toEqual({state: 'S', ignored: []});
    expect(isDeaf(running.pid)).toBe(false);
    running.release();
    await running.ended;
  });

  it('is another user, and has no capabilities', async () => {
    needsRoot('become another user');
    await using running = start(fixture('thread-differs'), '', 'user');
    const tid = await tidOf(running);
    const none = '0000000000000000';
    expect(apartOf(readProcess(running.pid))).toEqual({
      [tid]: {uids: [65534, 65534, 65534, 65534], capabilities: {effective: none, permitted: none}},
    });
    running.release();
    await running.ended;
  });

  it('uses none of the capabilities that it has', async () => {
    needsRoot('become another user');
    await using running = start(fixture('thread-differs'), '', 'effective');
    const tid = await tidOf(running);
    const {[tid]: apart} = apartOf(readProcess(running.pid));
    expect(apart).toEqual({uids: [0, 65534, 0, 65534], capabilities: {effective: '0000000000000000'}});
    expect(apartWords(apart ?? {})).toEqual(['uid 0 effective 65534 saved 0', 'no effective capabilities']);
    running.release();
    await running.ended;
  });

  it('has gone into a threaded cgroup, and has one capability', async context => {
    needsRoot('keep one capability of all');
    if (UNIFIED === undefined) return context.skip('no cgroup v2');
    using cgroup = threadedCgroup();
    await using running = start(
      '/bin/sh',
      '-c',
      `echo $$ > ${cgroup.procs}; exec "$0" "$@"`,
      fixture('thread-differs'),
      cgroup.threads,
      'kill',
    );
    const tid = await tidOf(running);
    const kill = '0000000000000020';
    expect(apartOf(readProcess(running.pid))).toEqual({
      [tid]: {capabilities: {effective: kill, permitted: kill}, cgroup: [{hierarchy: 0, controllers: [], path: cgroup.path}]},
    });
    const view = readCgroupView(tid);
    expect(isRefusal(view) || isRefusal(view.inside) ? view : view.inside.find(({hierarchy}) => hierarchy === 0)?.path).toBe(cgroup.path);
    running.release();
    await running.ended;
  });

  it('has a file table, a root, a group, no_new_privs and a filter of its own; the other thread has none', async () => {
    needsRoot('become another group');
    using folder = temporaryFolder();
    await using running = start(fixture('thread-apart'), folder.path);
    const tid = await tidOf(running);
    expect(apartOf(readProcess(running.pid))).toEqual({
      [tid]: {
        gids: [12345, 12345, 12345, 12345],
        noNewPrivs: true,
        seccomp: 2,
        filters: expect.any(Number),
        objects: ['files', 'fs'],
        cwd: folder.path,
        root: folder.path,
      },
    });
    running.release();
    await running.ended;
  });

  const apartInTape = (file: string, tid: number) =>
    existsSync(file) &&
    readFileSync(file, 'utf8')
      .split('\n')
      .some(line => line.includes(`"tid":${tid},`) && line.includes('"apart":'));
  const said = (tid: number) => `⌇ apart thread ${tid}  uid 65534, no capabilities`;
  const replayed = (file: string): World => {
    const {header, facts} = readTapeStrictly(file);
    const world = createWorld(header);
    for (const fact of facts) observe(world, fact);
    return world;
  };

  it.each(ATTACHED_HOWS)('stands under it where nsview is attached by %s', async how => {
    needsRoot('become another user');
    using folder = temporaryFolder();
    const file = folder.file('tape');
    await using running = start(fixture('thread-differs'), '', 'user');
    const tid = await tidOf(running);
    await using tracer = await attached(how, running.pid, file);
    await until(() => apartInTape(file, tid), 'told of');
    tracer.child.kill('SIGINT');
    await tracer.ended;
    const world = replayed(file);
    expect(rowOf(world, running.pid, tid)).toBe(said(tid));
    // Its tabs are of the thread.
    const leader = world.byPid.get(running.pid);
    const thread = leader?.threads.get(tid);
    if (leader === undefined || thread === undefined) throw new Error('not there');
    const details = detailsOf(world, asProcess(leader, thread), 'identity', {width: 60, inodes: false, live: false});
    const text = [...details.heading, ...Array.from({length: details.count}, (_, index) => details.line(index))].map(lineText).join('\n');
    expect(text).toMatch(new RegExp(`^apart ${tid}, a thread of thread-differs ${running.pid} `));
    expect(text).toContain('Unlike its process: uid 65534, no capabilities');
    expect(text).toMatch(/user +65534/);
    running.release();
    await running.ended;
  });

  it.each(LAUNCHED_HOWS)('stands under it where nsview launched it by %s', async how => {
    needsRoot('become another user');
    using folder = temporaryFolder();
    const file = folder.file('tape');
    await using tracer = nsview('trace', '--json', ...followBy(how), '-o', file, '--', fixture('thread-differs'), '', 'user');
    const [, text = '', pid = ''] = await tracer.says(/tid (\d+)\nready (\d+)/);
    const tid = Number(text);
    await until(() => apartInTape(file, tid), 'told of');
    // While it lives: with its process its threads are gone.
    expect(rowOf(replayed(file), Number(pid), tid)).toBe(said(tid));
    tracer.release();
    await tracer.ended;
  });

  it('has a file table of its own, and shares the rest with its process, as its row’s own tab says', async () => {
    needsRoot('become another group');
    using folder = temporaryFolder();
    await using running = start(fixture('thread-apart'), folder.path);
    const tid = await tidOf(running);
    const fact = readStudy({kind: 'sharing', pid: tid, start: startOf(running.pid)});
    if (fact?.kind !== 'sharing' || isRefusal(fact.seen) || isRefusal(fact.seen.objects)) throw new Error('not read');
    const shared = fact.seen.objects.filter(({count}) => count > 0);
    expect(shared.map(({kind, with: others}) => [kind, others.map(({pid, relation}) => `${relation} ${pid}`)])).toEqual([
      ['vm', [`process ${running.pid}`]],
      ['sighand', [`process ${running.pid}`]],
      ['sysvsem', [`process ${running.pid}`]],
    ]);
    expect(fact.seen.threads).toEqual([]);
    // Of another process that has the tid by now nothing would be told.
    expect(readStudy({kind: 'sharing', pid: tid, start: '1'})).toBeNull();
    running.release();
    await running.ended;
  });

  it('stands in a snapshot, as JSON and as text', async () => {
    needsRoot('become another user');
    await using running = start(fixture('thread-differs'), '', 'user');
    const tid = await tidOf(running);
    const json = await run('snapshot', '--json', '-p', String(running.pid));
    const [seen] = (JSON.parse(json.stdout) as {processes: ProcessSeen[]}).processes;
    expect(seen?.threads).toMatchObject([{tid, comm: 'apart', apart: {uids: [65534, 65534, 65534, 65534]}}]);
    const text = await run('snapshot', '-p', String(running.pid));
    expect(text.stdout).toMatch(new RegExp(`thread ${tid} apart +uid 65534, no capabilities`));
    running.release();
    await running.ended;
  });
});
