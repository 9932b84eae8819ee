// Knows how a person moves about: selection, scrolling, folding, panes, the wheel and the click.

import {ARRANGEMENTS} from './arrange.ts';
import {detailsOf, TABS, type Tab} from './details.ts';
import type {Intent} from './intent.ts';
import {layoutOf, type PaneName} from './layout.ts';
import type {Process} from './process.ts';
import {
  eventIndex,
  eventsOf,
  eventTop,
  paneInside,
  type State,
  scrollTree,
  select,
  selectEvent,
  selectedRow,
  selectedSubject,
  treeTop,
} from './state.ts';
import {rootOf, treeOf} from './tree.ts';
import {anchoredTop, pinnedMount, type View, windowAround} from './view.ts';

/** The state afterwards, and what main has to do. `quit` ends the screen. */
export type Step = {readonly state: State; readonly intents: readonly Intent[]; readonly quit?: true};

export const only = (state: State): Step => ({state, intents: []});
export const withView = (state: State, view: Partial<View>): Step => only({...state, view: {...state.view, ...view}});
export const note = (state: State, text: string): Step => withView(state, {note: {text, bad: false}});

export const pageOf = (state: State): number => Math.max(1, (paneInside(state, state.view.focus)?.height ?? 10) - 1);

const liveLook = (state: State, width: number) => ({
  width,
  inodes: state.view.inodes,
  live: state.mode !== 'replay',
  against: state.view.against,
  pins: pinnedMount(state.view),
});

/** What the details show in so much room: a selected line stays in its row while others come and go around it. */
export function detailsWindow(state: State, width: number, height: number) {
  const {view} = state;
  const details = detailsOf(state.world, selectedSubject(state), view.tab, liveLook(state, Math.max(0, width - 2)));
  // Where not everything fits, the empty row below the heading is the first to go.
  const isTight = details.count + details.heading.length > height;
  const heading = isTight ? details.heading.filter(line => line.length > 0) : details.heading;
  const room = Math.max(0, height - heading.length);
  const at = view.mount === null ? undefined : details.choice?.indexOf(view.mount.id);
  const top =
    view.mount === null || at === undefined
      ? Math.max(0, Math.min(view.detailsTop, details.count - room))
      : anchoredTop(at, view.mount, details.count, room);
  return {details, heading, room, top, at};
}

function scrollDetails(state: State, by: number): State {
  const rect = paneInside(state, 'details');
  if (rect === null) return state;
  const {details, room, top, at} = detailsWindow(state, rect.width, rect.height);
  const detailsTop = Math.max(0, Math.min(details.count - room, top + by));
  const {mount} = state.view;
  const offset = (at ?? 0) - detailsTop;
  const scrolled = mount === null || at === undefined ? mount : {...mount, offset, away: offset < 0 || offset >= room};
  return {...state, view: {...state.view, detailsTop, mount: scrolled}};
}

/** Selects another line where lines can be selected; what stands above the first of them is scrolled to. */
function moveInDetails(state: State, by: number): State {
  const rect = paneInside(state, 'details');
  if (rect === null) return state;
  const {details, room, top, at} = detailsWindow(state, rect.width, rect.height);
  const {choice, count} = details;
  if (choice === undefined || count <= choice.first) return scrollDetails(state, by);
  const isAtFirst = at === undefined || at === choice.first;
  if ((by < 0 && isAtFirst) || (by > 0 && at === undefined && choice.first >= top + room)) return scrollDetails(state, by);
  // The first key selects what is seen, the next ones go on from there.
  const wanted = at === undefined ? Math.max(choice.first, top) + by - 1 : at + by;
  const next = Math.max(choice.first, Math.min(count - 1, wanted));
  const id = choice.idOf(next);
  if (id === undefined) return state;
  const shown = next === choice.first && by < 0 ? windowAround(next, 0, count, room) : windowAround(next, top, count, room);
  return {...state, view: {...state.view, detailsTop: shown, mount: {id, offset: next - shown}}};
}

function noMountSelected({view}: State, areThere: boolean): string {
  if (areThere) return 'j and k select a mount here; Enter or w then says what keeps it.';
  return view.against === null
    ? 'There is no mount here to select.'
    : 'A comparison has no mounts to select: c goes on, and in the end back to the mounts of the process.';
}

/** Shows what keeps the selected mount, and the table again. */
export function whoPins(state: State): Step {
  const shown = focusOn(showTab(state, 'mounts'), 'details');
  if (state.view.tab === 'mounts' && state.view.pins) return withView(shown, {pins: false});
  const rect = paneInside(shown, 'details');
  const {at, details} = rect === null ? {} : detailsWindow(shown, rect.width, rect.height);
  if (at === undefined)
    return note(shown, noMountSelected(shown, (details?.count ?? 0) > (details?.choice?.first ?? Number.POSITIVE_INFINITY)));
  return withView(shown, {pins: true, detailsTop: 0});
}

/** Moves in the focused pane by so many rows; infinities go to the ends. */
export function move(state: State, by: number): Step {
  const {view, world} = state;
  if (view.focus === 'details') return only(moveInDetails(state, by));
  if (view.focus === 'timeline') {
    const events = eventsOf(state);
    const at = view.event === null ? events.length - 1 : eventIndex(events, view.event);
    return only(selectEvent(state, Math.max(0, at + by)));
  }
  const tree = treeOf(world, view);
  const at = view.selected === null ? -1 : (tree.indexOf(view.selected) ?? view.selectedIndex);
  const row = tree.at(Math.max(0, Math.min(tree.count - 1, at + by)));
  return only(row === undefined ? state : select(state, row.id));
}

/** The wheel: scrolls the pane under the pointer, and leaves the selection where it is. */
export function wheel(state: State, pane: PaneName, by: number): State {
  if (pane === 'tree') return scrollTree(state, by);
  if (pane === 'details') return scrollDetails(state, by);
  if (pane === 'timeline') {
    const events = eventsOf(state);
    const rect = paneInside(state, 'timeline');
    if (rect === null) return state;
    const top = Math.max(0, Math.min(eventTop(state) + by, events.length - rect.height));
    const first = events[top];
    const isEnd = top >= events.length - rect.height;
    if (first === undefined || (isEnd && by > 0)) return {...state, view: {...state.view, event: null, eventAnchor: null}};
    return {...state, view: {...state.view, event: state.view.event ?? first.seq, eventAnchor: {id: first.seq, offset: 0}}};
  }
  return state;
}

/** A click inside a pane, in cells from the inner top left corner. */
export function click(state: State, pane: PaneName, row: number): Step {
  const focused: State = focusOn(state, pane);
  if (pane === 'tree') {
    const chosen = treeOf(state.world, state.view).at(treeTop(state) + row);
    if (chosen === undefined) return only(focused);
    // A click on what is selected already opens it, as Enter does.
    return chosen.id === state.view.selected && state.view.focus === 'tree' ? toggleFold(focused) : only(select(focused, chosen.id));
  }
  if (pane === 'timeline') {
    const at = eventTop(state) + row;
    return only(at < eventsOf(state).length ? selectEvent(focused, at) : focused);
  }
  const rect = pane === 'details' ? paneInside(focused, 'details') : null;
  if (rect !== null) {
    const {details, heading, top} = detailsWindow(focused, rect.width, rect.height);
    const id = row < heading.length ? undefined : details.choice?.idOf(top + row - heading.length);
    if (id !== undefined) return withView(focused, {mount: {id, offset: row - heading.length}, detailsTop: top});
  }
  return only(focused);
}

/** Puts the keys into a pane; a full-size pane gives its place to the one that gets them. */
export function focusOn(state: State, pane: PaneName): State {
  const {view} = state;
  if (pane === view.focus) return state;
  const formerFocus = pane === 'terminal' ? view.focus : view.formerFocus;
  let zoom: PaneName | null = view.zoom === null ? null : pane;
  if (pane === 'terminal') zoom = view.bigTerminal ? 'terminal' : null;
  if (view.focus === 'terminal') zoom = null;
  return {...state, view: {...view, focus: pane, formerFocus, zoom}};
}

export function showTab(state: State, tab: Tab): State {
  const view = {...state.view, tab, detailsTop: state.view.tab === tab ? state.view.detailsTop : 0};
  const shown = {...state, view};
  // Where there is no room for both, the details take the place of the tree.
  return paneInside(shown, 'details') === null ? focusOn(shown, 'details') : shown;
}

/** That process in that tab, with something to be said about it; null: it is not known yet. */
export function openProcess(state: State, pid: number, tab: Tab, text: string): State | null {
  const id = state.world.byPid.get(pid)?.id;
  if (id === undefined || treeOf(state.world, state.view).indexOf(id) === undefined) return null;
  return note(showTab(select(state, id), tab), text).state;
}

const PANES: readonly PaneName[] = ['tree', 'details', 'timeline'];

export function nextPane(state: State, by: 1 | -1): Step {
  const {size, hasTerminal} = state.view;
  // Panes that no size of this screen shows together are still reached in turn.
  const reachable = PANES.filter(pane => {
    const layout = layoutOf(size, hasTerminal, null, pane);
    return layout.kind === 'panes' && layout.panes[pane] !== undefined;
  });
  const at = reachable.indexOf(state.view.focus);
  const pane = reachable[(at + by + reachable.length) % reachable.length];
  return only(pane === undefined ? state : focusOn(state, pane));
}

function toggleFold(state: State, want?: 'open' | 'folded'): Step {
  const row = selectedRow(state);
  if (row === null || !('folds' in row) || row.folds === null) return only(state);
  if (want !== undefined && row.folds === want) return only(state);
  const folded = new Set(state.view.folded);
  if (row.folds === 'open') folded.add(row.id);
  else folded.delete(row.id);
  return withView(state, {folded});
}

export function left(state: State): Step {
  if (state.view.focus !== 'tree') return nextTab(state, -1);
  const row = selectedRow(state);
  if (row === null) return only(state);
  if ('folds' in row && row.folds === 'open') return toggleFold(state, 'folded');
  const tree = treeOf(state.world, state.view);
  const [above] = tree.above(tree.indexOf(row.id) ?? 0);
  return only(above === undefined ? state : select(state, above));
}

export function right(state: State): Step {
  if (state.view.focus !== 'tree') return nextTab(state, 1);
  const row = selectedRow(state);
  if (row === null || !('folds' in row) || row.folds === null) return only(state);
  return row.folds === 'folded' ? toggleFold(state, 'open') : move(state, 1);
}

function nextTab(state: State, by: 1 | -1): Step {
  if (state.view.focus !== 'details') return only(state);
  const at = TABS.findIndex(tab => tab.tab === state.view.tab);
  const next = TABS[(at + by + TABS.length) % TABS.length];
  return only(next === undefined ? state : showTab(state, next.tab));
}

export function open(state: State): Step {
  const {view, world} = state;
  if (view.focus === 'timeline') {
    const events = eventsOf(state);
    const event = view.event === null ? events.at(-1) : events[eventIndex(events, view.event)];
    if (event === undefined) return only(state);
    const child = event.what.kind === 'clone' ? event.what.childId : null;
    const id = [child, event.process].find(one => one !== null && world.byId.has(one));
    if (id === undefined || id === null)
      return note(state, `${event.comm === '' ? 'It' : `${event.comm} ${event.pid}`} has ended and is not kept any more.`);
    return only(focusOn(reveal(state, id), 'tree'));
  }
  if (view.focus === 'details') return view.tab === 'mounts' ? whoPins(state) : only(state);
  const row = selectedRow(state);
  if (row?.kind === 'group') return toggleFold(state);
  if (row?.kind === 'process' && row.folds !== null && row.id !== view.root) return only(makeRoot(state, row.process));
  return only(focusOn(state, 'details'));
}

/** The tree begins with this process, or with all. What is selected stays so. */
function makeRoot(state: State, process: Process | null): State {
  const {view} = state;
  const rooted = {...state, view: {...view, root: process?.id ?? null, treeAnchor: null, selected: null}};
  const selected = view.selected === null ? rooted : select(rooted, view.selected, true);
  if (selected.view.selected !== null) return selected;
  return process === null ? rooted : select(rooted, process.id, true);
}

/** From the process that was made the root to the one above it, which at the top is all. */
export function upFromRoot(state: State): Step {
  const root = rootOf(state.world, state.view.root);
  return only(root === null ? state : makeRoot(state, root.maker));
}

/** The next way to arrange the tree. */
export function arrange(state: State): Step {
  const at = ARRANGEMENTS.findIndex(({by}) => by === state.view.arrangement);
  const next = ARRANGEMENTS[(at + 1) % ARRANGEMENTS.length];
  if (next === undefined) return only(state);
  const process = selectedRow(state)?.process ?? null;
  const arranged = {...state, view: {...state.view, arrangement: next.by, treeAnchor: null, selected: null}};
  return only(process === null ? arranged : reveal(arranged, process.id));
}

/** Selects a process wherever it is: what is folded above it opens, and the tree begins with all where it is not below the root. */
export function reveal(state: State, id: string): State {
  const {world, view} = state;
  if (!world.byId.has(id)) return state;
  const unfolded = (root: string | null) => {
    const tree = treeOf(world, {folded: NOTHING_FOLDED, arrangement: view.arrangement, root});
    return {tree, at: tree.indexOf(id)};
  };
  let root = view.root;
  let {tree, at} = unfolded(root);
  if (at === undefined && root !== null) {
    root = null;
    ({tree, at} = unfolded(null));
  }
  const folded = new Set(view.folded);
  if (at !== undefined) for (const above of tree.above(at)) folded.delete(above);
  const isSame = folded.size === view.folded.size && root === view.root;
  return select(isSame ? state : {...state, view: {...view, folded, root}}, id, true);
}

const NOTHING_FOLDED: ReadonlySet<string> = new Set();
