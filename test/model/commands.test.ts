import {describe, expect, test} from 'vitest';
import {COMMANDS, commandsOf, helpCount, press} from '../../src/model/commands.ts';
import {LEAST_COLUMNS} from '../../src/model/layout.ts';
import {lineCells, lineText} from '../../src/model/line.ts';
import {createState, type Mode, reduce} from '../../src/model/state.ts';
import {helpLines} from '../../src/model/status.ts';
import {readTape} from '../frames/play.ts';

const {header, facts} = readTape('shell-session');
const stateOf = (mode: Mode) =>
  reduce(createState({header, mode, ...(mode === 'replay' ? {tape: facts} : {})}), {kind: 'facts', facts: []});
const MODES: readonly Mode[] = ['machine', 'attach', 'launch', 'replay'];

describe('the commands table', () => {
  test.each(MODES)('in %s no key means two things, and the help page has every command', mode => {
    const state = stateOf(mode);
    const keys = commandsOf(state).flatMap(command => command.keys);
    expect(new Set(keys).size).toBe(keys.length);
    const help = helpLines(state).map(lineText);
    expect(help.length).toBe(helpCount(state));
    const words = help.join(' ').replaceAll(/ +/g, ' ');
    for (const command of commandsOf(state)) expect(words).toContain(command.does);
  });

  test.each(MODES)('in %s the help page cuts nothing that it says, be the screen as small as it may', mode => {
    for (const columns of [LEAST_COLUMNS, 80, 120]) {
      const state = reduce(stateOf(mode), {kind: 'resize', columns, rows: 24});
      const lines = helpLines(state);
      expect(lines.length).toBe(helpCount(state));
      for (const line of lines) expect(lineCells(line), lineText(line)).toBeLessThanOrEqual(columns - 4);
      expect(lines.map(lineText).join('')).not.toContain('…');
    }
  });

  test('every command has an id of its own', () => {
    const ids = COMMANDS.map(command => command.id);
    expect(new Set(ids).size).toBe(ids.length);
  });

  test.each(MODES)('every key in %s may be pressed at any time, before there is any process too', mode => {
    for (const filled of [false, true]) {
      let state = filled ? reduce(reduce(stateOf(mode), {kind: 'facts', facts}), {kind: 'settle'}) : stateOf(mode);
      for (const command of commandsOf(state))
        for (const key of command.keys) state = reduce(press(state, key, key).state, {kind: 'settle'});
      expect(helpLines(state).length).toBeGreaterThan(0);
    }
  });

  test('a key that cannot be used says why', () => {
    const {state, intents} = press(stateOf('replay'), 'a', 'a');
    expect(intents).toEqual([]);
    expect(state.view.note?.text).toBe('a: a tape cannot be attached to.');
  });

  test('what is being attached to cannot be attached to again, until that is refused', () => {
    const machine = reduce(reduce(stateOf('machine'), {kind: 'facts', facts}), {kind: 'settle'});
    const once = press(machine, 'a', 'a');
    expect(once.intents).toEqual([{kind: 'attach', pid: 4121}]);
    const twice = press(once.state, 'a', 'a');
    expect(twice.intents).toEqual([]);
    expect(twice.state.view.note?.text).toBe('a: bash 4121 is being attached to.');
    const refused = reduce(twice.state, {kind: 'note', text: 'cannot attach to 4121', bad: true});
    expect(press(refused, 'a', 'a').intents).toHaveLength(1);
  });

  test('w says that a comparison has no mounts to select', () => {
    let state = reduce(reduce(stateOf('attach'), {kind: 'facts', facts}), {kind: 'settle'});
    for (const key of ['j', 'j', 'j', '2', 'w']) state = press(state, key, key).state;
    expect(state.view.note?.text).toMatch(/^j and k select a mount here/);
    for (const key of ['c', 'w']) state = press(state, key, key).state;
    expect(state.view.note?.text).toMatch(/^A comparison has no mounts to select/);
  });
});
