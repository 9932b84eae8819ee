import {expect, it} from 'vitest';
import {detailsOf} from '../../src/model/details.ts';
import type {Fact} from '../../src/model/fact.ts';
import {isRefusal} from '../../src/model/fact.ts';
import {lineText} from '../../src/model/line.ts';
import {createWorld, observe} from '../../src/model/world.ts';
import {readHost} from '../../src/probe/host.ts';
import {readStat} from '../../src/probe/process.ts';
import {readStudy} from '../../src/probe/study.ts';
import {startWatch} from '../../src/probe/watch.ts';
import {leaveNothingBehind} from '../support/leaks.ts';
import {Running} from '../support/nsview.ts';
import {fixture} from '../support/paths.ts';

leaveNothingBehind();

/** What a watch beside a tracer tells of that pid, whose start time the tracer told so. */
async function toldBeside(pid: number, start: string): Promise<readonly Fact[]> {
  return await new Promise(resolve => {
    const watch = startWatch({
      refresh: () => [pid],
      told: () => ({start}),
      emit: facts => {
        watch[Symbol.dispose]();
        resolve(facts);
      },
    });
  });
}

it('reads nothing of whoever has the pid of one whose end was missed, and tells of the end', async () => {
  await using sleeps = new Running('sleep', ['60']);
  const stat = readStat(sleeps.pid);
  if (isRefusal(stat)) throw new Error(stat.errno);
  const other = String(Number(stat.start) - 1);
  expect((await toldBeside(sleeps.pid, other)).map(({kind}) => kind)).toEqual(['gone']);
  const own = await toldBeside(sleeps.pid, stat.start);
  expect(own.find(({kind}) => kind === 'change')).toMatchObject({pid: sleeps.pid, comm: 'sleep'});
  expect(own.some(({kind}) => kind === 'gone')).toBe(false);
  sleeps.child.kill();
});

it('tells a process whose leader alone has ended from a zombie', async () => {
  await using running = new Running(fixture('ends-thread-by-thread'), []);
  const [, child = ''] = await running.says(/child (\d+)\nready/);
  const at = '1';
  const world = createWorld({
    format: 'nsview/tape',
    version: 1,
    nsview: 'test',
    at,
    realtime: at,
    host: readHost(),
    target: {machine: true},
  });
  using _watch = startWatch({
    machine: true,
    emit: facts => {
      for (const fact of facts) observe(world, fact);
    },
  });
  const of = (tab: 'identity' | 'network') => {
    const process = world.byPid.get(Number(child));
    if (process === undefined) return '';
    const fact = readStudy({kind: tab, pid: process.pid, start: process.start});
    if (fact !== null) observe(world, fact);
    const {count, line} = detailsOf(world, process, tab, {width: 200, inodes: false, live: true});
    return Array.from({length: count}, (_, index) => lineText(line(index))).join('\n');
  };
  await expect.poll(() => of('identity'), {timeout: 10_000}).toMatch(/state +its leader has ended, another thread goes on\n/);
  expect(of('identity')).toMatch(/arguments +not told: its leader has ended/);
  expect(of('network')).toContain('Its leader has ended');
  running.child.stdin?.write('\n');
  await running.says(/ended/);
  await expect.poll(() => of('identity'), {timeout: 10_000}).toMatch(/state +zombie: ended/);
  expect(of('network')).toContain('It has ended');
  running.release();
  await running.ended;
});
