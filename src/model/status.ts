// Knows the first and the last line of the screen, the help page, and the question before leaving.

import {COMMANDS, type Command, commandsOf, type Group, HELP_KEYS, helpText, QUIT_ANSWERS, stillRuns} from './commands.ts';
import {nameOf} from './details-parts.ts';
import type {TracerFact} from './fact.ts';
import {followedBy} from './following.ts';
import {counted, cutLine, dim, type Line, lineCells, type Piece, plain, spread, strong, toned} from './line.ts';
import {printable} from './printable.ts';
import {searchProcesses} from './search.ts';
import type {State} from './state.ts';

/** Namespaces with living processes that are not nsview's own. */
function ownNamespaces(state: State): number {
  let number = 0;
  for (const namespace of state.world.namespaces.byInode.values())
    if (namespace.index > 0 && namespace.processes + namespace.others > 0) number++;
  return number;
}

function observed(state: State): string {
  const {target, header} = state.world;
  if (state.mode === 'machine') return printable(header.host.hostname) || 'this machine';
  if (target !== null) return nameOf(target);
  const asked = header.target;
  if ('pid' in asked) return `pid ${asked.pid}`;
  return 'command' in asked ? printable(asked.command.join(' ')) : printable(header.host.hostname);
}

function tracing(state: State): Line {
  const {tracer} = state.world;
  if (tracer === null && state.mode !== 'machine') return [dim('starting …')];
  if (tracer === null || tracer.mode === 'proc') return [plain('watching /proc')];
  return [plain(`${followedBy(tracer)}: ${tracer.sees.map(printable).join(', ')}`)];
}

/** The same in short: `calls`, with what matters most of what is seen. */
function inForce(tracer: TracerFact | null, calls: boolean): Line {
  if (tracer === null || tracer.mode === 'proc') return [];
  const seen = tracer.sees.includes('isolation calls') && calls ? ': isolation calls' : '';
  return [plain(`${followedBy(tracer)}${seen}`)];
}

function userText(state: State): string {
  const {euid} = state.world.header.host;
  return euid === 0 ? 'root' : `uid ${euid}`;
}

export function statusLine(state: State, width: number): Line {
  const {world, view, replay} = state;
  const {host} = world.header;
  const name = strong(' nsview ');
  const parts: string[] = [
    counted(world.living, 'process', 'processes'),
    `${counted(ownNamespaces(state), 'namespace', 'namespaces')}${width < 100 ? '' : state.mode === 'machine' ? ' besides nsview’s' : ' of its own'}`,
  ];
  const left: Piece[] = [name, plain(' '), strong(observed(state)), ...parts.flatMap(part => [dim(' · '), plain(part)])];
  const flags: Piece[] = [];
  if (view.paused)
    flags.push(toned('warn', `PAUSED${state.heldCount > 0 ? `, ${counted(state.heldCount, 'fact waits', 'facts wait')}` : ''}`));
  if (replay !== null)
    flags.push(
      toned(
        'accent',
        `${replay.playing ? '▶ playing' : replay.position >= replay.facts.length ? '■ end' : '‖ stopped'} ${replay.position}/${replay.facts.length}`,
      ),
      plain(replay.speed === 1 ? '' : ` ×${replay.speed}`),
    );
  // From the right, what matters least gives way first.
  const kernel = `Linux ${printable(host.kernel).replace(/^(\d+\.\d+).*$/, width >= 140 ? '$&' : '$1')}`;
  const mode = replay === null ? tracing(state) : [];
  const choices: Line[] = [
    [...mode, dim(' · '), plain(userText(state)), dim(' · '), plain(kernel)],
    [...mode, dim(' · '), plain(userText(state))],
    mode,
    replay === null ? inForce(world.tracer, true) : [],
    replay === null ? inForce(world.tracer, false) : [],
    [],
  ].map(choice => (mode.length > 0 ? choice : choice.slice(1)));
  for (const choice of choices) {
    const right = [...flags, plain(flags.length > 0 && choice.length > 0 ? '  ' : ''), ...choice, plain(' ')];
    if (lineCells(left) + lineCells(right) + 2 <= width) return spread(left, right, width);
  }
  return spread(left, [...flags, plain(' ')], width, 20);
}

const KEY_NAMES: {readonly [key: string]: string} = {
  up: '↑',
  down: '↓',
  left: '←',
  right: '→',
  pageup: 'PgUp',
  pagedown: 'PgDn',
  home: 'Home',
  end: 'End',
  enter: 'Enter',
  backspace: 'Backspace',
  tab: 'Tab',
  'shift-tab': 'Shift-Tab',
  'shift-left': 'Shift-←',
  'shift-right': 'Shift-→',
  'shift-home': 'Shift-Home',
  'shift-end': 'Shift-End',
  escape: 'Esc',
  space: 'Space',
  f1: 'F1',
};

const keyText = (key: string): string => KEY_NAMES[key] ?? key.replace(/^ctrl-(.)$/, (_, letter: string) => `Ctrl-${letter.toUpperCase()}`);

const wordOf = (command: Command, state: State): string => {
  if (command.id === 'filter') return state.view.onlyIsolation ? 'all events' : 'isolation only';
  if (command.id === 'pause') return state.view.paused ? 'go on' : 'pause';
  if (command.id === 'zoom') return state.view.zoom === null ? 'full size' : 'all panes';
  if (command.id === 'who-pins') return state.view.pins ? 'back to the mounts' : 'who pins it';
  if (command.id === 'inodes') return state.view.inodes ? 'names only' : 'inodes';
  return command.footer?.word ?? '';
};

const hint = (keys: string, word: string): Piece[] => [toned('key', keys), dim(` ${word}`)];

/** As many hints as fit, by rank, in the order of the table. */
function hints(all: readonly {readonly rank: number; readonly pieces: readonly Piece[]}[], width: number): Line {
  const kept = [...all];
  const size = () => kept.reduce((sum, one) => sum + lineCells(one.pieces) + 3, 0);
  while (kept.length > 0 && size() > width) {
    const worst = Math.max(...kept.map(one => one.rank));
    kept.splice(
      kept.findLastIndex(one => one.rank === worst),
      1,
    );
  }
  return [plain(' '), ...kept.flatMap((one, index) => [plain(index > 0 ? '   ' : ''), ...one.pieces])];
}

export function footerLine(state: State, width: number): Line {
  const {view} = state;
  if (view.asking === 'ending') return [plain(' '), dim('ending what was launched …')];
  if (view.asking === 'quit')
    return hints(
      answers(state).map(pieces => ({rank: 0, pieces})),
      width,
    );
  if (view.help !== null)
    return hints(
      [
        {rank: 0, pieces: hint('Esc', 'close')},
        {rank: 1, pieces: hint('↑ ↓ PgUp PgDn', 'scroll')},
      ],
      width,
    );
  if (view.whole !== null)
    return hints(
      [
        {rank: 0, pieces: hint('Esc', 'close')},
        {rank: 1, pieces: hint('← →', 'the event before, the next')},
        {rank: 2, pieces: hint('↑ ↓ PgUp PgDn', 'scroll')},
      ],
      width,
    );
  if (view.search?.typing) {
    const {ids} = searchProcesses(state.world, view.search.text);
    const found =
      view.search.text === ''
        ? 'name, pid or arguments'
        : ids.length === 0
          ? 'nothing resembles it'
          : counted(ids.length, 'match', 'matches');
    return spread(
      [plain(' '), toned('key', '/'), plain(`${printable(view.search.text)}▏`)],
      [dim(found), plain('   '), ...hint('Enter', 'keep'), plain('   '), ...hint('Esc', 'clear'), plain(' ')],
      width,
      12,
    );
  }
  if (view.note !== null)
    return cutLine([plain(' '), view.note.bad ? toned('bad', printable(view.note.text)) : plain(printable(view.note.text))], width);
  if (view.focus === 'terminal') {
    const name = state.world.target === null ? 'the program' : printable(state.world.target.comm);
    const text = view.programEnded ? 'the program has ended' : `keys go to ${name}`;
    return spread(hints([{rank: 0, pieces: hint('Ctrl-]', 'gives them back to nsview')}], width), [dim(text), plain(' ')], width, 30);
  }
  const isSearching = view.search !== null;
  const possible = commandsOf(state).filter(
    command =>
      command.footer !== undefined &&
      (command.footer.in?.includes(view.focus) ?? true) &&
      (command.footer.on ?? view.tab) === view.tab &&
      (command.disabled?.(state) ?? null) === null,
  );
  const list = possible.map(command => ({
    rank: command.footer?.rank ?? 9,
    pieces: hint(keyText(command.keys[0] ?? ''), wordOf(command, state)),
  }));
  if (isSearching)
    list.unshift({rank: 0, pieces: hint('n N', `“${printable(view.search.text)}”`)}, {rank: 0, pieces: hint('Esc', 'clear')});
  return hints(list, width);
}

/** Every command with its keys, by group; one that cannot be run now says why. */
export function helpLines(state: State): readonly Line[] {
  const lines: Line[] = [];
  let group: Group | null = null;
  for (const command of sortedByGroup(commandsOf(state))) {
    if (command.group !== group) {
      if (group !== null) lines.push([]);
      group = command.group;
      lines.push([strong(group)]);
    }
    const keys = command.keys.map(keyText).join('  ');
    const {rows, possible} = helpText(command, state);
    for (const [index, row] of rows.entries()) {
      const shown = index === 0 ? keys : '';
      lines.push([plain('  '), toned('key', shown), plain(' '.repeat(HELP_KEYS - 2 - shown.length)), possible ? plain(row) : dim(row)]);
    }
  }
  return lines;
}

const GROUPS: readonly Group[] = [...new Set(COMMANDS.map(command => command.group))];
const sortedByGroup = (commands: readonly Command[]): readonly Command[] =>
  [...commands].sort((one, other) => GROUPS.indexOf(one.group) - GROUPS.indexOf(other.group));

/** One process is left, or it is what was launched that lives. */
const isOne = ({world}: State): boolean => world.living === 1 || (world.target !== null && world.target.end === null);

const answers = (state: State): Piece[][] =>
  QUIT_ANSWERS.filter(({exists}) => exists(state)).map(({key, does}) => hint(keyText(key), does(isOne(state))));

/** What is asked before nsview leaves while the program that it launched lives. */
export function quitQuestion(state: State): readonly Line[] {
  if (!stillRuns(state)) return [[plain('Nothing runs any more.')]];
  const {view, killOnExit, world} = state;
  const {target, living} = world;
  const is =
    target !== null && target.end === null
      ? [strong(nameOf(target)), plain(' is')]
      : [plain(counted(living, 'process is', 'processes are'))];
  if (view.asking === 'ending') return [[...is, plain(' being ended: SIGHUP, SIGTERM, and')], [plain('after two seconds SIGKILL.')]];
  const one = isOne(state);
  return [
    [...is, plain(' still running.')],
    ...(killOnExit
      ? [[plain('With --kill-on-exit nothing can be left.')]]
      : [
          [plain(`Left, ${one ? 'it keeps its' : 'they keep their'} terminal,`)],
          [plain(`but nobody sees what ${one ? 'it writes' : 'they write'}.`)],
        ]),
    [],
    answers(state).flatMap((pieces, index) => [plain(index > 0 ? '   ' : ''), ...pieces]),
  ];
}
