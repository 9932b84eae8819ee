import {expect, it} from 'vitest';
import type {Fact} from '../../src/model/fact.ts';
import {isRefusal} from '../../src/model/fact.ts';
import {readStat} from '../../src/probe/process.ts';
import {startWatch} from '../../src/probe/watch.ts';
import {leaveNothingBehind} from '../support/leaks.ts';
import {Running} from '../support/nsview.ts';

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
