// Knows every command of the screen, once: keys, what it does, when it cannot be done and why. Keys, footer and help draw from here.

import {TABS, type Tab} from './details.ts';
import {nameOf} from './details-parts.ts';
import type {PaneName} from './layout.ts';
import {wrapWords} from './line.ts';
import {otherSpaces, spacesAbove} from './mounts.ts';
import {
  arrange,
  focusOn,
  left,
  move,
  nextPane,
  note,
  only,
  open,
  pageOf,
  reveal,
  right,
  type Step,
  showTab,
  upFromRoot,
  whoPins,
  withView,
} from './moves.ts';
import {SPEEDS, seek, step} from './replay.ts';
import {searchProcesses} from './search.ts';
import {resume, type State, selectedProcess} from './state.ts';
import {rootOf} from './tree.ts';
import {openEvent, turnPage, wholeTopMost} from './whole-event.ts';

export type Group = 'Move' | 'Look' | 'Processes' | 'Tape' | 'nsview';

export type Command = {
  readonly id: string;
  /** Names of keys as input.ts gives them. */
  readonly keys: readonly string[];
  readonly does: string;
  readonly group: Group;
  /** A word for the footer, where it has a place there; lower `rank` stays longer when there is little room. */
  readonly footer?: {readonly word: string; readonly rank: number; readonly in?: readonly PaneName[]; readonly on?: Tab};
  /** False where the command does not exist in this kind of session. */
  readonly exists?: (state: State) => boolean;
  /** Why it cannot be done now; null when it can. */
  readonly disabled?: (state: State) => string | null;
  readonly run: (state: State) => Step;
};

// --- searching ---

export function typeSearch(state: State, text: string): State {
  const searching = {...state, view: {...state.view, search: {text, typing: true}}};
  const {best} = searchProcesses(state.world, text);
  return best === null ? searching : reveal(searching, best);
}

function nextMatch(state: State, by: 1 | -1): Step {
  const text = state.view.search?.text ?? '';
  const {ids} = searchProcesses(state.world, text);
  if (ids.length === 0) return note(state, text === '' ? 'Nothing is searched for; / begins.' : `Nothing resembles “${text}”.`);
  const selected = selectedProcess(state)?.id;
  const at = selected === undefined ? -1 : ids.indexOf(selected);
  // From a process that is no match itself, on to the next one below or above it.
  const next = at >= 0 ? ids[(at + by + ids.length) % ids.length] : ids[by > 0 ? 0 : ids.length - 1];
  return only(next === undefined ? state : reveal(state, next));
}

// --- doing ---

/** `text` until the next key; `pending` is why the same cannot be asked for again until it is done. */
const wait = (state: State, text: string, pending: string): State => ({
  ...state,
  view: {...state.view, note: {text, bad: false}, pending},
});

function attach(state: State): Step {
  const process = selectedProcess(state);
  if (process === null) return only(state);
  const asked = wait(state, `Attaching to ${nameOf(process)} …`, `${nameOf(process)} is being attached to`);
  return {state: asked, intents: [{kind: 'attach', pid: process.pid}]};
}

const attachDisabled = (state: State): string | null => {
  if (state.mode === 'replay') return 'a tape cannot be attached to';
  if (state.mode !== 'machine') return 'this tree is traced already';
  if (state.view.pending !== null) return state.view.pending;
  const process = selectedProcess(state);
  if (process === null) return 'nothing is selected';
  return process.end === null ? null : `${nameOf(process)} has ended`;
};

const detachDisabled = (state: State): string | null => {
  if (state.mode === 'attach') return state.view.pending;
  if (state.mode === 'launch') return 'the program was launched by nsview; q leaves or ends it';
  return state.mode === 'replay' ? 'a tape is not traced' : 'nothing is traced';
};

/** What was launched lives, at least in part, and has its terminal, or is to end with nsview. */
export const stillRuns = (state: State): boolean =>
  state.mode === 'launch' && state.world.living > 0 && (!state.view.programEnded || state.killOnExit);

/** The answers to the question before nsview leaves. */
export const QUIT_ANSWERS: readonly {
  readonly key: string;
  readonly does: (one: boolean) => string;
  readonly exists: (state: State) => boolean;
  readonly run: (state: State) => Step;
}[] = [
  {
    key: 'l',
    does: one => `leave ${one ? 'it' : 'them'} running`,
    exists: state => !state.killOnExit,
    run: state => ({state, intents: [], quit: true}),
  },
  {
    key: 'e',
    does: one => `end ${one ? 'it' : 'them'}`,
    exists: () => true,
    run: state => ({...withView(state, {asking: 'ending'}), intents: [{kind: 'end'}]}),
  },
  {key: 'escape', does: () => 'stay', exists: () => true, run: state => withView(state, {asking: null})},
];

function quit(state: State): Step {
  if (stillRuns(state)) return withView(state, {asking: 'quit', help: null});
  return {state, intents: [], quit: true};
}

function leaveMode(state: State): Step {
  const {view} = state;
  if (view.search !== null) return withView(state, {search: null});
  if (view.pins && view.tab === 'mounts') return withView(state, {pins: false});
  if (view.zoom !== null) return withView(state, {zoom: null, bigTerminal: false});
  if (view.focus === 'timeline' && view.event !== null) return withView(state, {event: null, eventAnchor: null});
  return only(state);
}

const programEnded = (state: State): string | null => (state.view.programEnded ? 'the program has ended' : null);

function toggleTerminal(state: State): Step {
  return only(focusOn(state, state.view.focus === 'terminal' ? state.view.formerFocus : 'terminal'));
}

function bigTerminal(state: State): Step {
  const big = {...state, view: {...state.view, bigTerminal: true}};
  return only(focusOn(big, 'terminal'));
}

function pause(state: State): Step {
  return state.view.paused ? only(resume(state)) : withView(state, {paused: true});
}

/** From no comparison to one with the parent's mount namespace, then with each other, and to none again. */
function compareMounts(state: State, by: 1 | -1): Step {
  const process = selectedProcess(state);
  if (process === null) return note(state, 'Nothing is selected.');
  const shown = showTab(state, 'mounts');
  const [above] = spacesAbove(state.world, process);
  const others = otherSpaces(state.world, process).read.filter(({space}) => space !== above?.space);
  const choices = [null, 'parent', ...others.map(({space}) => space.inode)];
  const at = state.view.tab === 'mounts' ? choices.indexOf(state.view.against) : 0;
  const against = choices[(Math.max(0, at) + by + choices.length) % choices.length] ?? null;
  return withView(shown, {against, detailsTop: 0, mount: null, pins: false});
}

// --- the tape ---

const isTape = (state: State): boolean => state.replay !== null;
const isLive = (state: State): boolean => state.replay === null;

function onTape(
  state: State,
  act: (state: State & {readonly replay: NonNullable<State['replay']>}) => {replay: State['replay']; world: State['world']},
): Step {
  if (state.replay === null) return only(state);
  return only({...state, ...act({...state, replay: state.replay})});
}

function play(state: State): Step {
  return onTape(state, ({replay, world}) => {
    // At its end a tape begins again.
    if (!replay.playing && replay.position >= replay.facts.length) {
      const again = seek(replay, world, 0);
      return {...again, replay: {...again.replay, playing: true}};
    }
    return {replay: {...replay, playing: !replay.playing, counted: null}, world};
  });
}

function changeSpeed(state: State, by: 1 | -1): Step {
  return onTape(state, ({replay, world}) => {
    const at = SPEEDS.indexOf(replay.speed);
    return {replay: {...replay, speed: SPEEDS[at + by] ?? replay.speed, counted: null}, world};
  });
}

const atEnd = (state: State): string | null =>
  state.replay !== null && state.replay.position >= state.replay.facts.length ? 'this is the end of the tape' : null;
const atStart = (state: State): string | null =>
  state.replay !== null && state.replay.position === 0 ? 'this is the beginning of the tape' : null;

const stand = (played: ReturnType<typeof seek>) => ({...played, replay: {...played.replay, playing: false}});

export const COMMANDS: readonly Command[] = [
  {id: 'up', keys: ['up', 'k'], does: 'up', group: 'Move', run: state => move(state, -1)},
  {id: 'down', keys: ['down', 'j'], does: 'down', group: 'Move', run: state => move(state, 1)},
  {id: 'left', keys: ['left', 'h'], does: 'fold, or go to what is above; in the details the tab before', group: 'Move', run: left},
  {id: 'right', keys: ['right', 'l'], does: 'unfold, or go to the first child; in the details the next tab', group: 'Move', run: right},
  {id: 'page-up', keys: ['pageup', 'ctrl-b'], does: 'a page up', group: 'Move', run: state => move(state, -pageOf(state))},
  {id: 'page-down', keys: ['pagedown', 'ctrl-f'], does: 'a page down', group: 'Move', run: state => move(state, pageOf(state))},
  {id: 'first', keys: ['home', 'g'], does: 'to the first row', group: 'Move', run: state => move(state, -1e9)},
  {id: 'last', keys: ['end', 'G'], does: 'to the last row; the timeline follows again', group: 'Move', run: state => move(state, 1e9)},
  {
    id: 'open',
    keys: ['enter'],
    does: 'begin the tree with this process; see a leaf’s details, an event’s process, who pins a mount',
    group: 'Move',
    footer: {word: 'open', rank: 6},
    run: open,
  },
  {
    id: 'up-from-root',
    keys: ['backspace'],
    does: 'begin the tree one process further up again',
    group: 'Move',
    footer: {word: 'back up', rank: 1, in: ['tree']},
    exists: state => rootOf(state.world, state.view.root) !== null,
    run: upFromRoot,
  },
  {
    id: 'next-pane',
    keys: ['tab'],
    does: 'to the next pane',
    group: 'Move',
    footer: {word: 'pane', rank: 4},
    run: state => nextPane(state, 1),
  },
  {id: 'previous-pane', keys: ['shift-tab'], does: 'to the pane before', group: 'Move', run: state => nextPane(state, -1)},
  ...TABS.map(
    ({tab, key, title}): Command => ({
      id: `tab-${tab}`,
      keys: [key],
      does: `show ${title.toLowerCase()}`,
      group: 'Look',
      run: state => only(showTab(state, tab)),
    }),
  ),
  {
    id: 'search',
    keys: ['/'],
    does: 'search for a process by name, pid or arguments',
    group: 'Look',
    footer: {word: 'search', rank: 2},
    run: state => withView(focusOn(state, 'tree'), {search: {text: '', typing: true}}),
  },
  {id: 'next-match', keys: ['n'], does: 'to the next match', group: 'Look', run: state => nextMatch(state, 1)},
  {id: 'previous-match', keys: ['N'], does: 'to the match before', group: 'Look', run: state => nextMatch(state, -1)},
  {id: 'escape', keys: ['escape'], does: 'end the search; then the full size', group: 'Look', run: leaveMode},
  {
    id: 'filter',
    keys: ['f'],
    does: 'timeline: what touches isolation, or every event',
    group: 'Look',
    footer: {word: 'all events', rank: 7},
    run: state => withView(state, {onlyIsolation: !state.view.onlyIsolation, event: null, eventAnchor: null}),
  },
  {
    id: 'whole-event',
    keys: ['e'],
    does: 'timeline: all of the selected event, each argument of a call in full',
    group: 'Look',
    footer: {word: 'whole event', rank: 5, in: ['timeline']},
    run: state => {
      const opened = openEvent(state);
      return opened === null ? note(state, 'There is no event yet.') : only(opened);
    },
  },
  {
    id: 'arrange',
    keys: ['t'],
    does: 'arrange the tree: by process, user, pid, mount or network namespace, cgroup, container',
    group: 'Look',
    footer: {word: 'arrange', rank: 6, in: ['tree']},
    run: arrange,
  },
  {
    id: 'inodes',
    keys: ['i'],
    does: 'show the inode numbers of namespaces',
    group: 'Look',
    footer: {word: 'inodes', rank: 9},
    run: state => withView(state, {inodes: !state.view.inodes}),
  },
  {
    id: 'compare',
    keys: ['c'],
    does: 'mounts: what differs from the parent’s mount namespace, then from each other, then none',
    group: 'Look',
    run: state => compareMounts(state, 1),
  },
  {
    id: 'compare-back',
    keys: ['C'],
    does: 'mounts: compare with the mount namespace before',
    group: 'Look',
    run: state => compareMounts(state, -1),
  },
  {
    id: 'who-pins',
    keys: ['w'],
    does: 'mounts: what keeps the selected mount, and what makes each let go; again or escape: back',
    group: 'Look',
    footer: {word: 'who pins it', rank: 3, in: ['details'], on: 'mounts'},
    run: whoPins,
  },
  {
    id: 'zoom',
    keys: ['z'],
    does: 'this pane in full size, and back',
    group: 'Look',
    footer: {word: 'full size', rank: 8},
    run: state => withView(state, {zoom: state.view.zoom === null ? state.view.focus : null}),
  },
  {
    id: 'pause',
    keys: ['space'],
    does: 'let the screen stand still, and go on',
    group: 'Look',
    footer: {word: 'pause', rank: 10},
    exists: isLive,
    run: pause,
  },
  {
    id: 'attach',
    keys: ['a'],
    does: 'trace the selected process and all that descends from it',
    group: 'Processes',
    footer: {word: 'attach', rank: 3},
    disabled: attachDisabled,
    run: attach,
  },
  {
    id: 'detach',
    keys: ['d'],
    does: 'stop tracing, and go on watching from /proc',
    group: 'Processes',
    footer: {word: 'detach', rank: 5},
    disabled: detachDisabled,
    run: state => ({state: wait(state, 'Detaching …', 'that is being done'), intents: [{kind: 'detach'}]}),
  },
  {
    id: 'terminal',
    keys: ['ctrl-]'],
    does: 'give the keys to the program’s terminal, and take them back',
    group: 'Processes',
    footer: {word: 'terminal', rank: 1},
    exists: state => state.view.hasTerminal,
    disabled: programEnded,
    run: toggleTerminal,
  },
  {
    id: 'big-terminal',
    keys: ['T'],
    does: 'the program’s terminal in full size',
    group: 'Processes',
    exists: state => state.view.hasTerminal,
    run: bigTerminal,
  },
  {
    id: 'play',
    keys: ['space'],
    does: 'play the tape, or stop it',
    group: 'Tape',
    footer: {word: 'play/stop', rank: 1},
    exists: isTape,
    run: play,
  },
  {
    id: 'step-back',
    keys: ['[', 'shift-left'],
    does: 'one event back',
    group: 'Tape',
    footer: {word: 'back', rank: 3},
    exists: isTape,
    disabled: atStart,
    run: state => onTape(state, ({replay, world}) => step(replay, world, -1)),
  },
  {
    id: 'step-on',
    keys: [']', 'shift-right'],
    does: 'one event on',
    group: 'Tape',
    footer: {word: 'on', rank: 3},
    exists: isTape,
    disabled: atEnd,
    run: state => onTape(state, ({replay, world}) => step(replay, world, 1)),
  },
  {
    id: 'tape-start',
    keys: ['{', 'shift-home'],
    does: 'to the beginning of the tape',
    group: 'Tape',
    exists: isTape,
    disabled: atStart,
    run: state => onTape(state, ({replay, world}) => stand(seek(replay, world, 0))),
  },
  {
    id: 'tape-end',
    keys: ['}', 'shift-end'],
    does: 'to the end of the tape',
    group: 'Tape',
    exists: isTape,
    disabled: atEnd,
    run: state => onTape(state, ({replay, world}) => stand(seek(replay, world, replay.facts.length))),
  },
  {id: 'slower', keys: ['<'], does: 'play slower', group: 'Tape', exists: isTape, run: state => changeSpeed(state, -1)},
  {
    id: 'faster',
    keys: ['>'],
    does: 'play faster',
    group: 'Tape',
    footer: {word: 'faster', rank: 6},
    exists: isTape,
    run: state => changeSpeed(state, 1),
  },
  {
    id: 'help',
    keys: ['?', 'f1'],
    does: 'show this page',
    group: 'nsview',
    footer: {word: 'help', rank: 0},
    run: state => withView(state, {help: {top: 0}}),
  },
  {id: 'quit', keys: ['q', 'ctrl-c'], does: 'leave nsview', group: 'nsview', footer: {word: 'quit', rank: 0}, run: quit},
];

/** The commands of this kind of session. */
export const commandsOf = (state: State): readonly Command[] => COMMANDS.filter(command => command.exists?.(state) ?? true);

const commandOf = (state: State, key: string): Command | undefined =>
  COMMANDS.find(command => command.keys.includes(key) && (command.exists?.(state) ?? true));

/** One key, by its name, and the text that it types. What an open question, search or page does with it comes first. */
export function press(before: State, key: string, text: string): Step {
  const state: State = before.view.note === null ? before : {...before, view: {...before.view, note: null}};
  const {view} = state;
  if (view.asking !== null) {
    const answer = view.asking === 'quit' ? QUIT_ANSWERS.find(({key: answers, exists}) => answers === key && exists(state)) : undefined;
    return answer?.run(state) ?? only(state);
  }
  if (view.help !== null) return pressInHelp(state, key, view.help.top);
  if (view.whole !== null) return pressInWhole(state, key, view.whole);
  if (view.search?.typing) return pressInSearch(state, key, text, view.search.text);
  const command = commandOf(state, key);
  if (command === undefined) return only(state);
  const reason = command.disabled?.(state) ?? null;
  return reason === null ? command.run(state) : note(state, `${command.keys[0]}: ${reason}.`);
}

/** How far a key scrolls a page that is open. */
function scrollBy(state: State, key: string): number | undefined {
  const page = state.view.size.rows - 5;
  const by: {readonly [key: string]: number} = {
    up: -1,
    k: -1,
    down: 1,
    j: 1,
    pageup: -page,
    pagedown: page,
    space: page,
    home: -1e9,
    g: -1e9,
    end: 1e9,
    G: 1e9,
  };
  return by[key];
}

function pressInWhole(state: State, key: string, whole: {readonly seq: number; readonly top: number}): Step {
  const step = scrollBy(state, key);
  if (step !== undefined) return withView(state, {whole: {...whole, top: Math.max(0, Math.min(wholeTopMost(state), whole.top + step))}});
  const closed: State = {...state, view: {...state.view, whole: null}};
  switch (key) {
    case 'left':
    case 'h':
      return only(turnPage(state, -1));
    case 'right':
    case 'l':
      return only(turnPage(state, 1));
    case 'ctrl-c':
      return quit(closed);
    case 'escape':
    case 'enter':
    case 'e':
    case 'q':
      return only(closed);
    default:
      return only(state);
  }
}

function pressInHelp(state: State, key: string, top: number): Step {
  const step = scrollBy(state, key);
  if (step !== undefined) return withView(state, {help: {top: Math.max(0, Math.min(helpTopMost(state), top + step))}});
  if (key === 'ctrl-c') return quit({...state, view: {...state.view, help: null}});
  return ['escape', 'q', '?', 'f1', 'enter'].includes(key) ? withView(state, {help: null}) : only(state);
}

/** Cells of the help page before what a command does. */
export const HELP_KEYS = 20;

/** What the help page says of a command; why it cannot be run now is a part of it. */
export function helpText(command: Command, state: State): {readonly rows: readonly string[]; readonly possible: boolean} {
  const reason = command.disabled?.(state) ?? null;
  const text = reason === null ? command.does : `${command.does} (not now: ${reason})`;
  return {rows: wrapWords(text, Math.max(8, state.view.size.columns - 4 - HELP_KEYS)), possible: reason === null};
}

/** Rows of the help page: groups with a heading, and an empty row before each but the first. */
export function helpCount(state: State): number {
  const commands = commandsOf(state);
  const rows = commands.reduce((sum, command) => sum + helpText(command, state).rows.length, 0);
  return rows + new Set(commands.map(command => command.group)).size * 2 - 1;
}
export const helpTopMost = (state: State): number => Math.max(0, helpCount(state) - (state.view.size.rows - 4));

function pressInSearch(state: State, key: string, text: string, pattern: string): Step {
  switch (key) {
    case 'enter':
      return withView(state, {search: pattern === '' ? null : {text: pattern, typing: false}});
    case 'escape':
    case 'ctrl-c':
      return withView(state, {search: null});
    case 'backspace':
      return pattern === '' ? withView(state, {search: null}) : only(typeSearch(state, Array.from(pattern).slice(0, -1).join('')));
    case 'ctrl-u':
      return only(typeSearch(state, ''));
    case 'down':
    case 'ctrl-n':
      return nextMatch(state, 1);
    case 'up':
    case 'ctrl-p':
      return nextMatch(state, -1);
    default:
      return text === '' ? only(state) : only(typeSearch(state, pattern + text));
  }
}
