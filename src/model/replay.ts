// Knows a tape being played: how far it is, how fast it goes, and how to be at any other place of it.

import type {Fact, TapeHeader} from './fact.ts';
import {passTime} from './forget.ts';
import {createWorld, observe, type World} from './world.ts';

export type Replay = {
  readonly header: TapeHeader;
  readonly facts: readonly Fact[];
  /** How many facts were folded. */
  readonly position: number;
  /** Moment of the tape, CLOCK_MONOTONIC of when it was recorded. */
  readonly at: number;
  readonly playing: boolean;
  readonly speed: number;
  /** When time was last counted, by nsview's own clock; null while it stands. */
  readonly counted: number | null;
};

export const SPEEDS: readonly number[] = [0.25, 0.5, 1, 2, 4, 8, 16, 64];
/** Nobody waits longer than this for the next fact; a long silence is stepped over. */
const LONGEST_SILENCE = 2e9;

export function createReplay(header: TapeHeader, facts: readonly Fact[]): Replay {
  return {header, facts, position: 0, at: Number(header.at), playing: true, speed: 1, counted: null};
}

export type Played = {readonly replay: Replay; readonly world: World};

/** Lets the tape run until `now` of nsview's clock. */
export function advance(replay: Replay, world: World, now: number): Played {
  if (!replay.playing) return {replay, world};
  if (replay.counted === null) return {replay: {...replay, counted: now}, world};
  let at = replay.at + Math.max(0, now - replay.counted) * replay.speed;
  let {position} = replay;
  for (; ; position++) {
    const fact = replay.facts[position];
    if (fact === undefined) break;
    const due = Number(fact.at);
    if (due > at) {
      if (due - at > LONGEST_SILENCE * Math.max(1, replay.speed)) at = due - LONGEST_SILENCE * replay.speed;
      break;
    }
    observe(world, fact);
  }
  passTime(world, at);
  const ended = position >= replay.facts.length;
  return {replay: {...replay, position, at, counted: ended ? null : now, playing: !ended}, world};
}

/** Goes to the place behind `position` facts: on from here, or from the beginning where that lies behind. */
export function seek(replay: Replay, world: World, position: number): Played {
  const goal = Math.max(0, Math.min(position, replay.facts.length));
  const isBack = goal < replay.position;
  const there = isBack ? createWorld(replay.header) : world;
  for (let i = isBack ? 0 : replay.position; i < goal; i++) {
    const fact = replay.facts[i];
    if (fact !== undefined) observe(there, fact);
  }
  const last = replay.facts[goal - 1];
  return {
    replay: {...replay, position: goal, at: last === undefined ? Number(replay.header.at) : Number(last.at), counted: null},
    world: there,
  };
}

/** One event on or back: facts at the same moment belong together. */
export function step(replay: Replay, world: World, direction: 1 | -1): Played {
  const {facts, position} = replay;
  const same = (one: number, other: number) => facts[one]?.at === facts[other]?.at;
  let goal = position + direction;
  if (direction > 0) while (goal < facts.length && same(goal, goal - 1)) goal++;
  else while (goal > 0 && same(goal, goal - 1)) goal--;
  const played = seek(replay, world, goal);
  return {...played, replay: {...played.replay, playing: false}};
}
