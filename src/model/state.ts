// Knows the whole state of a running nsview, and how each message changes it.

import type {Fact, TapeHeader} from './fact.ts';
import {passTime} from './forget.ts';
import {inside, layoutOf, type Rect} from './layout.ts';
import {asProcess, type Process} from './process.ts';
import {advance, createReplay, type Replay} from './replay.ts';
import type {TimelineEvent} from './timeline.ts';
import {type TreeRow, treeOf} from './tree.ts';
import {anchoredTop, createView, type View, windowAround, windowTop} from './view.ts';
import {createWorld, narrowTo, observe, type World, widen} from './world.ts';

/** How the world is observed. `attach` and `launch` trace; `machine` watches /proc. */
export type Mode = 'machine' | 'attach' | 'launch' | 'replay';

/** The world is changed in place; everything else is replaced. */
export type State = {
  readonly mode: Mode;
  readonly world: World;
  readonly view: View;
  readonly replay: Replay | null;
  /** Facts that wait while the screen stands still. */
  readonly held: readonly (readonly Fact[])[];
  readonly heldCount: number;
  /** Minutes east of UTC, for the clock in the timeline. */
  readonly utcOffset: number;
  /** What was launched ends with nsview (--kill-on-exit). */
  readonly killOnExit: boolean;
};

export type Message =
  | {readonly kind: 'facts'; readonly facts: readonly Fact[]}
  /** Time passed: CLOCK_MONOTONIC in nanoseconds. */
  | {readonly kind: 'tick'; readonly now: number}
  | {readonly kind: 'resize'; readonly columns: number; readonly rows: number}
  | {readonly kind: 'mode'; readonly mode: Mode}
  /** One line for the person, until the next key. */
  | {readonly kind: 'note'; readonly text: string; readonly bad?: boolean}
  /** The launched program closed its terminal. */
  | {readonly kind: 'program-ended'}
  /** The outcome of a command. */
  | {readonly kind: 'state'; readonly state: State}
  /** A frame is about to be drawn: the windows follow what they are anchored to. */
  | {readonly kind: 'settle'};

export type StateOptions = {
  readonly header: TapeHeader;
  readonly mode: Mode;
  readonly utcOffset?: number;
  readonly killOnExit?: boolean;
  /** For a replay: the whole tape. */
  readonly tape?: readonly Fact[];
};

export function createState(options: StateOptions): State {
  const {header, mode, tape} = options;
  return {
    mode,
    world: createWorld(header),
    view: createView({columns: 80, rows: 24}, mode === 'launch'),
    replay: tape === undefined ? null : createReplay(header, tape),
    held: [],
    heldCount: 0,
    utcOffset: options.utcOffset ?? 0,
    killOnExit: options.killOnExit ?? false,
  };
}

/** While paused, facts are kept aside up to this many; then the screen goes on by itself. */
const MOST_HELD = 200_000;

export function reduce(state: State, message: Message): State {
  switch (message.kind) {
    case 'facts':
      return observeAll(state, message.facts);
    case 'tick':
      return tick(state, message.now);
    case 'resize':
      return {...state, view: {...state.view, size: {columns: message.columns, rows: message.rows}}};
    case 'mode':
      return changeMode(state, message.mode);
    case 'note': {
      const bad = message.bad === true;
      return {...state, view: {...state.view, note: {text: message.text, bad}, pending: bad ? null : state.view.pending}};
    }
    case 'program-ended':
      return {...state, view: withoutProgram(state.view)};
    case 'state':
      return message.state;
    case 'settle':
      return settle(state);
    default:
      return message satisfies never;
  }
}

/** Tracing tells of one tree, a watch of the whole machine. */
function changeMode(state: State, mode: Mode): State {
  const {world} = state;
  if (mode === 'machine') widen(world);
  else if (state.mode === 'machine' && world.target !== null) narrowTo(world, world.target);
  return {...state, mode, view: {...state.view, note: null, pending: null}};
}

/** Keys that nobody takes any more go to nsview. */
function withoutProgram(view: View): View {
  const focus = view.focus === 'terminal' ? view.formerFocus : view.focus;
  const asking = view.asking === 'ending' ? view.asking : null;
  return {...view, programEnded: true, asking, focus, zoom: view.zoom === 'terminal' ? null : view.zoom};
}

function observeAll(state: State, facts: readonly Fact[]): State {
  if (state.view.paused) {
    const heldCount = state.heldCount + facts.length;
    const held = {...state, held: [...state.held, facts], heldCount};
    if (heldCount <= MOST_HELD) return held;
    const on = resume(held);
    return {...on, view: {...on.view, note: {text: `Not paused any more: ${heldCount} facts had gathered.`, bad: false}}};
  }
  for (const fact of facts) observe(state.world, fact);
  return state;
}

/** The screen goes on, with all that happened meanwhile. */
export function resume(state: State): State {
  for (const facts of state.held) for (const fact of facts) observe(state.world, fact);
  return {...state, held: [], heldCount: 0, view: {...state.view, paused: false}};
}

function tick(state: State, now: number): State {
  if (state.replay !== null) {
    const {replay, world} = advance(state.replay, state.world, now);
    return replay === state.replay ? state : {...state, replay, world};
  }
  if (!state.view.paused) passTime(state.world, now);
  return state;
}

/** The inner rectangle of the tree, or of a screen's worth where it is not shown. */
export function paneInside(state: State, pane: 'tree' | 'details' | 'timeline' | 'terminal'): Rect | null {
  const {view} = state;
  const layout = layoutOf(view.size, view.hasTerminal, view.zoom, view.focus);
  const rect = layout.kind === 'panes' ? layout.panes[pane] : undefined;
  return rect === undefined ? null : inside(rect);
}

export const eventsOf = (state: State): readonly TimelineEvent[] =>
  state.view.onlyIsolation ? state.world.timeline.isolation : state.world.timeline.all;

/** Number of the event with that sequence number, or of the next one that is still kept. */
export function eventIndex(events: readonly TimelineEvent[], seq: number): number {
  let low = 0;
  let high = events.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((events[middle]?.seq ?? 0) < seq) low = middle + 1;
    else high = middle;
  }
  return low;
}

const treeHeight = (state: State): number => Math.max(1, paneInside(state, 'tree')?.height ?? state.view.size.rows - 4);
const timelineHeight = (state: State): number => Math.max(1, paneInside(state, 'timeline')?.height ?? 1);

/** First visible row of the tree. */
export function treeTop(state: State): number {
  const {view, world} = state;
  const {count, indexOf} = treeOf(world, view);
  const anchor = view.treeAnchor;
  if (anchor === null) return 0;
  const at = indexOf(anchor.id);
  return windowTop(at ?? view.selectedIndex, anchor.offset, count, treeHeight(state));
}

/** First visible event. */
export function eventTop(state: State): number {
  const events = eventsOf(state);
  const height = timelineHeight(state);
  const {event, eventAnchor} = state.view;
  if (event === null || eventAnchor === null) return Math.max(0, events.length - height);
  return anchoredTop(eventIndex(events, eventAnchor.id), eventAnchor, events.length, height);
}

export function selectedRow(state: State): TreeRow | null {
  const {view, world} = state;
  if (view.selected === null) return null;
  const {at, indexOf} = treeOf(world, view);
  return at(indexOf(view.selected) ?? -1) ?? null;
}

/** The process of the selected row: of a thread its process. */
export const selectedProcess = (state: State): Process | null => selectedRow(state)?.process ?? null;

/** What the details tell of: of the row of a thread the thread, as if it were a process. */
export function selectedSubject(state: State): Process | null {
  const row = selectedRow(state);
  return row?.kind === 'thread' ? asProcess(row.process, row.thread) : (row?.process ?? null);
}

/** Selects a row and keeps it on the screen. */
export function select(state: State, id: string, center = false): State {
  const {view, world} = state;
  const tree = treeOf(world, view);
  const at = tree.indexOf(id);
  if (at === undefined) return state;
  const height = treeHeight(state);
  const current = treeTop(state);
  const isOut = at < current || at >= current + height;
  const top = center && isOut ? windowTop(at, Math.floor(height / 2), tree.count, height) : windowAround(at, current, tree.count, height);
  const isOther = id !== view.selected;
  world.pinned = tree.at(at)?.process?.id ?? null;
  return {
    ...state,
    view: {
      ...view,
      selected: id,
      selectedIndex: at,
      treeAnchor: {id, offset: at - top},
      detailsTop: isOther ? 0 : view.detailsTop,
      mount: isOther ? null : view.mount,
      pins: !isOther && view.pins,
    },
  };
}

/** Scrolls the tree without moving the selection. */
export function scrollTree(state: State, by: number): State {
  const tree = treeOf(state.world, state.view);
  const height = treeHeight(state);
  const top = Math.max(0, Math.min(treeTop(state) + by, tree.count - height));
  const first = tree.at(top);
  return first === undefined ? state : {...state, view: {...state.view, treeAnchor: {id: first.id, offset: 0}}};
}

/** The selection and its window after the world changed. */
function settle(state: State): State {
  const {view, world} = state;
  const tree = treeOf(world, view);
  const {count, indexOf} = tree;
  if (count === 0) return state;
  const at = view.selected === null ? undefined : indexOf(view.selected);
  if (at === undefined) {
    const target = world.target === null ? undefined : indexOf(world.target.id);
    const next = view.selected === null ? (target ?? 0) : Math.min(view.selectedIndex, count - 1);
    const row = tree.at(next);
    // Of what was known nothing is left but the place where it stood.
    return row === undefined ? state : select(state, row.id);
  }
  const top = treeTop(state);
  const height = treeHeight(state);
  const selected = tree.at(at);
  world.pinned = selected?.process?.id ?? null;
  // A selected row that is visible is the anchor; else the first visible row is.
  const isVisible = at >= top && at < top + height;
  const wasVisible = view.treeAnchor?.id === view.selected;
  const shown = wasVisible && !isVisible ? windowAround(at, top, count, height) : top;
  const first = isVisible || wasVisible ? undefined : tree.at(shown);
  const anchor =
    isVisible || wasVisible ? {id: selected?.id ?? '', offset: at - shown} : first === undefined ? null : {id: first.id, offset: 0};
  if (at === view.selectedIndex && anchor?.id === view.treeAnchor?.id && anchor?.offset === view.treeAnchor?.offset) return state;
  return {...state, view: {...view, selectedIndex: at, treeAnchor: anchor}};
}

/** Selects an event; null goes back to the newest. */
export function selectEvent(state: State, index: number): State {
  const events = eventsOf(state);
  const height = timelineHeight(state);
  const at = Math.max(0, Math.min(index, events.length - 1));
  const event = events[at];
  if (event === undefined || (at === events.length - 1 && index >= events.length))
    return {...state, view: {...state.view, event: null, eventAnchor: null}};
  const top = windowAround(at, eventTop(state), events.length, height);
  return {...state, view: {...state.view, event: event.seq, eventAnchor: {id: event.seq, offset: at - top}}};
}
