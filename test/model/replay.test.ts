import {expect, test} from 'vitest';
import {advance, createReplay, seek, step} from '../../src/model/replay.ts';
import {treeOf} from '../../src/model/tree.ts';
import {createWorld, type World} from '../../src/model/world.ts';
import {readTape} from '../frames/play.ts';

const tape = readTape('shell-session');
const rows = (world: World) => {
  const tree = treeOf(world, {folded: new Set(), arrangement: 'process', root: null});
  return tree.slice(0, tree.count).map(row => `${row.depth} ${row.id}`);
};

test('every place of a tape is the same, whether reached on or back', () => {
  const from = createReplay(tape.header, tape.facts);
  const end = seek(from, createWorld(tape.header), tape.facts.length);
  for (let position = 0; position <= tape.facts.length; position++) {
    const on = seek(from, createWorld(tape.header), position);
    const back = seek(end.replay, end.world, position);
    expect(rows(back.world)).toEqual(rows(on.world));
    expect(back.world.timeline.all.length).toBe(on.world.timeline.all.length);
  }
});

test('a step on and a step back lead to where they began', () => {
  const begin = seek(createReplay(tape.header, tape.facts), createWorld(tape.header), 5);
  const on = step(begin.replay, begin.world, 1);
  const back = step(on.replay, on.world, -1);
  expect(back.replay.position).toBe(5);
  expect(back.replay.playing).toBe(false);
});

test('a tape plays by its own time, faster by its speed, and steps over silence', () => {
  let {replay, world} = {replay: createReplay(tape.header, tape.facts), world: createWorld(tape.header)};
  ({replay, world} = advance(replay, world, 0));
  expect(replay.position).toBe(0);
  ({replay, world} = advance(replay, world, 500e6));
  expect(replay.position).toBe(2);
  ({replay, world} = advance({...replay, speed: 16}, world, 1e9));
  expect(replay.position).toBe(tape.facts.length);
  expect(replay.playing).toBe(false);
});
