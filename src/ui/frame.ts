// Knows how the state becomes a frame: for every pane its place, its title and its visible rows, painted.

import {ARRANGEMENTS} from '../model/arrange.ts';
import {helpTopMost} from '../model/commands.ts';
import {TABS, type Tab} from '../model/details.ts';
import {nameOf} from '../model/details-parts.ts';
import {inside, LEAST_COLUMNS, LEAST_ROWS, layoutOf, type PaneName, type Rect} from '../model/layout.ts';
import {cutLine, dim, type Line, lineCells, padLine, plain, strong, toned, wrapWords} from '../model/line.ts';
import {detailsWindow} from '../model/moves.ts';
import {cells, printable} from '../model/printable.ts';
import {searchProcesses} from '../model/search.ts';

import {eventIndex, eventsOf, eventTop, type State, treeTop} from '../model/state.ts';

import {footerLine, helpLines, quitQuestion, statusLine} from '../model/status.ts';
import {eventLine} from '../model/timeline.ts';
import {rootOf, treeLine, treeOf} from '../model/tree.ts';
import {wholeLines, wholeRoom, wholeTopMost} from '../model/whole-event.ts';
import type {EmulatorFrame} from './emulator.ts';
import type {Theme} from './theme.ts';

export type PaneFrame = {
  readonly name: PaneName | 'help' | 'event' | 'question' | 'note';
  readonly rect: Rect;
  /** Border and title, whole lines. */
  readonly top: string;
  readonly bottom: string;
  /** Exactly as many as fit, each exactly as wide as fits. */
  readonly rows: readonly string[];
  /** Left and right of each row. */
  readonly side: string;
};

/** Cells of the screen that are a tab. */
type TabPlace = {readonly tab: Tab; readonly y: number; readonly from: number; readonly to: number};

export type ScreenFrame = {
  readonly columns: number;
  readonly rows: number;
  readonly status: string;
  readonly footer: string;
  readonly panes: readonly PaneFrame[];
  readonly tabs: readonly TabPlace[];
  readonly cursor: {readonly x: number; readonly y: number} | null;
};

type Body = {readonly title: string; readonly titleCells: number; readonly rows: readonly string[]; readonly foot: string};

function frameBox(name: PaneFrame['name'], rect: Rect, focused: boolean, body: Body, theme: Theme): PaneFrame {
  const {width, height} = inside(rect);
  const edge = (text: string) => theme.border(text, focused);
  const rows = body.rows.slice(0, height);
  while (rows.length < height) rows.push(' '.repeat(width));
  const foot = body.foot !== '' && cells(body.foot) + 4 <= width ? ` ${body.foot} ` : '';
  return {
    name,
    rect,
    top: `${edge('╭')}${body.title}${edge(`${'─'.repeat(Math.max(0, width - body.titleCells))}╮`)}`,
    bottom: edge(`╰${'─'.repeat(Math.max(0, width - cells(foot) - (foot === '' ? 0 : 1)))}${foot}${foot === '' ? '' : '─'}╯`),
    rows,
    side: edge('│'),
  };
}

/** A row inside of a pane: one cell on either side, the left of which marks the selected row. */
function paintRow(line: Line, width: number, theme: Theme, chosen: 'focused' | 'elsewhere' | 'no'): string {
  const padded = padLine(line, Math.max(0, width - 2));
  if (chosen === 'focused') return theme.paint([plain('▌'), ...padded, plain(' ')], 'focused');
  if (chosen === 'elsewhere') return theme.paint([plain('▌'), ...padded, plain(' ')], 'elsewhere');
  return theme.paint([plain(' '), ...padded, plain(' ')]);
}

/** An empty pane says what to do next. */
const hintRows = (text: string, width: number, theme: Theme): string[] =>
  wrapWords(text, Math.max(8, width - 2)).map(row => paintRow([dim(row)], width, theme, 'no'));

const place = (top: number, shown: number, count: number): string =>
  count > shown ? `${top + 1}–${Math.min(count, top + shown)} of ${count}` : '';

function treeBody(state: State, rect: Rect, theme: Theme): Body {
  const {view, world} = state;
  const focused = view.focus === 'tree';
  const {width, height} = inside(rect);
  const tree = treeOf(world, view);
  const top = treeTop(state);
  const matches = searchProcesses(world, view.search?.text ?? '').set;
  const painted = tree.slice(top, top + height).map(row => {
    const line = treeLine(world, row, Math.max(0, width - 2), row.kind === 'process' && matches.has(row.id));
    return paintRow(line, width, theme, row.id !== view.selected ? 'no' : focused ? 'focused' : 'elsewhere');
  });
  const empty =
    state.mode === 'replay'
      ? 'Nothing has happened yet on this tape. Space plays it, ] goes one event on.'
      : 'Waiting for the first process …';
  if (tree.count === 0) painted.push(...hintRows(empty, width, theme));
  const name = titled(' Isolation ', focused, theme);
  const root = rootOf(world, view.root);
  const how = ARRANGEMENTS.find(({by}) => by === view.arrangement)?.title ?? '';
  const words = [...(root === null ? [] : [`below ${nameOf(root)}`]), ...(how === '' ? [] : [how])];
  const said = words.length === 0 ? [] : cutLine([dim(`· ${words.join(', ')} `)], Math.max(0, width - name.titleCells));
  return {
    title: name.title + theme.paint(said),
    titleCells: name.titleCells + lineCells(said),
    rows: painted,
    foot: place(top, height, tree.count),
  };
}

const titled = (text: string, focused: boolean, theme: Theme) => ({
  title: theme.title(text, focused ? 'focused' : 'other'),
  titleCells: cells(text),
});

function detailsBody(state: State, rect: Rect, theme: Theme): {body: Body; tabs: TabPlace[]} {
  const {view} = state;
  const focused = view.focus === 'details';
  const {width, height} = inside(rect);
  const whole = TABS.reduce((sum, tab) => sum + tab.title.length + 4, 0);
  const own = TABS.find(({tab}) => tab === view.tab)?.title.length ?? 0;
  const short = TABS.reduce((sum, {tab, short: name}) => sum + (tab === view.tab ? own : name.length) + 4, 0);
  const tabs: TabPlace[] = [];
  let title = '';
  let titleCells = 0;
  for (const {tab, key, title: long, short: brief} of TABS) {
    const active = tab === view.tab;
    const text =
      whole <= width || (active && short <= width) ? ` ${key} ${long} ` : short <= width ? ` ${key} ${brief} ` : ` ${key} ${brief}`;
    tabs.push({tab, y: rect.y, from: rect.x + 1 + titleCells, to: rect.x + 1 + titleCells + text.length});
    title += theme.title(text, active ? (focused ? 'focused' : 'active') : 'other');
    titleCells += text.length;
  }
  const {details, heading, room, top, at} = detailsWindow(state, width, height);
  const rows = heading.map(line => paintRow(line, width, theme, 'no'));
  const chosen = focused ? 'focused' : 'elsewhere';
  for (let i = top; i < Math.min(details.count, top + room); i++)
    rows.push(paintRow(details.line(i), width, theme, i === at ? chosen : 'no'));
  return {body: {title, titleCells, rows, foot: place(top, room, details.count)}, tabs};
}

const emptyTimeline = (state: State): string => {
  if (!state.view.onlyIsolation) return 'No events yet.';
  switch (state.mode) {
    case 'launch':
      return 'Nothing has touched isolation yet. Try `unshare -Urpf --mount-proc sh` in the terminal below; f shows every event.';
    case 'machine':
      return 'Nothing has touched isolation since nsview looks. a traces the selected process, so that no event is missed.';
    case 'attach':
      return 'Nothing has touched isolation since nsview attached. f shows every event.';
    case 'replay':
      return 'Nothing has touched isolation so far on this tape. f shows every event.';
    default:
      return state.mode satisfies never;
  }
};

function timelineBody(state: State, rect: Rect, theme: Theme): Body {
  const {view, world} = state;
  const focused = view.focus === 'timeline';
  const {width, height} = inside(rect);
  const events = eventsOf(state);
  const top = eventTop(state);
  const chosen = view.event === null ? (focused ? events.length - 1 : -1) : eventIndex(events, view.event);
  const widths = {who: width < 100 ? 16 : 18, did: width < 100 ? 16 : 26};
  const rows = events.slice(top, top + height).map((event, i) => {
    const line = eventLine(event, world.header, state.utcOffset, widths, width - 2);
    return paintRow(cutLine(line, width - 2), width, theme, top + i !== chosen ? 'no' : focused ? 'focused' : 'elsewhere');
  });
  if (events.length === 0) rows.push(...hintRows(emptyTimeline(state), width, theme));
  const name = titled(' Timeline ', focused, theme);
  const what = view.onlyIsolation ? '· isolation ' : '· every event ';
  return {
    title: name.title + theme.border(what, focused),
    titleCells: name.titleCells + cells(what),
    rows,
    foot: place(top, height, events.length),
  };
}

/** First row of the program's terminal that its pane shows: where the pane is the lower of both, the cursor's row is seen. */
const terminalTop = ({rows, cursorRow}: EmulatorFrame, height: number): number =>
  Math.max(0, Math.min(rows.length, cursorRow + 1) - height);

function terminalBody(state: State, rect: Rect, theme: Theme, title: string, emulator: EmulatorFrame): Body {
  const focused = state.view.focus === 'terminal';
  const {width, height} = inside(rect);
  const {target} = state.world;
  const how = target?.end ?? null;
  const ended =
    how?.code !== undefined ? `ended with exit status ${how.code}` : how?.signal !== undefined ? `killed by ${how.signal}` : 'has ended';
  const hint = state.view.programEnded ? ended : focused ? 'Ctrl-] gives the keys back to nsview' : 'Ctrl-] or a click gives it the keys';
  const name = titled(' Terminal ', focused, theme);
  const said = cutLine([plain(`· ${printable(title)} `), dim(`· ${printable(hint)} `)], Math.max(0, width - name.titleCells));
  const top = terminalTop(emulator, height);
  const rows = emulator.rows.slice(top, top + height);
  return {
    title: name.title + theme.paint(said),
    titleCells: name.titleCells + lineCells(said),
    rows,
    foot: emulator.below > 0 ? `${emulator.below} rows further down` : place(top, height, emulator.rows.length),
  };
}

/** A box over the middle of the screen. */
function overlay(
  name: 'help' | 'event' | 'question' | 'note',
  state: State,
  lines: readonly Line[],
  title: string,
  foot: string,
  theme: Theme,
  whole: boolean,
): PaneFrame {
  const {columns, rows} = state.view.size;
  const widest = Math.max(...lines.map(lineCells), cells(title));
  const width = Math.min(columns - (whole ? 0 : 4), widest + 4 + (whole ? columns : 2));
  const height = whole ? rows - 2 : Math.min(rows - 2, lines.length + 2);
  const rect: Rect = {x: Math.floor((columns - width) / 2), y: whole ? 1 : Math.max(1, Math.floor((rows - height) / 2)), width, height};
  const inner = inside(rect).width;
  return frameBox(
    name,
    rect,
    true,
    {...titled(title, true, theme), rows: lines.map(line => paintRow(line, inner, theme, 'no')), foot},
    theme,
  );
}

/** The whole screen. `terminal` is the program's, where there is one. */
export function frameOf(state: State, theme: Theme, terminal: {readonly title: string; readonly frame: EmulatorFrame} | null): ScreenFrame {
  const {view} = state;
  const {columns, rows} = view.size;
  const base = {columns, rows, tabs: [], cursor: null};
  const layout = layoutOf(view.size, view.hasTerminal, view.zoom, view.focus);
  if (layout.kind === 'too-small') {
    const text = `too small: ${columns}×${rows} of ${LEAST_COLUMNS}×${LEAST_ROWS}`;
    return {...base, status: theme.paint(padLine([strong(text)], columns)), footer: '', panes: []};
  }
  const status = theme.paint(padLine(statusLine(state, columns), columns));
  const footer = theme.paint(padLine(footerLine(state, columns), columns));
  if (view.help !== null) {
    const lines = helpLines(state);
    const room = rows - 4;
    const top = Math.min(view.help.top, helpTopMost(state));
    const shown = lines.slice(top, top + room);
    return {...base, status, footer, panes: [overlay('help', state, shown, ' Keys ', place(top, room, lines.length), theme, true)]};
  }
  const panes: PaneFrame[] = [];
  const tabs: TabPlace[] = [];
  let cursor: ScreenFrame['cursor'] = null;
  const add = (name: PaneName, body: Body) => {
    const rect = layout.panes[name];
    if (rect !== undefined) panes.push(frameBox(name, rect, view.focus === name, body, theme));
  };
  const {tree, details, timeline, terminal: below} = layout.panes;
  if (tree !== undefined) add('tree', treeBody(state, tree, theme));
  if (details !== undefined) {
    const made = detailsBody(state, details, theme);
    add('details', made.body);
    tabs.push(...made.tabs);
  }
  if (timeline !== undefined) add('timeline', timelineBody(state, timeline, theme));
  if (below !== undefined && terminal !== null) {
    add('terminal', terminalBody(state, below, theme, terminal.title, terminal.frame));
    const at = terminal.frame.cursor;
    if (at !== null && view.focus === 'terminal')
      cursor = {x: below.x + 1 + at.x, y: below.y + 1 + at.y - terminalTop(terminal.frame, inside(below).height)};
  }
  if (view.whole !== null) {
    const lines = wholeLines(state);
    const room = wholeRoom(state);
    const top = Math.min(view.whole.top, wholeTopMost(state));
    panes.push(overlay('event', state, lines.slice(top, top + room), ' Event ', place(top, room, lines.length), theme, false));
    cursor = null;
  }
  if (view.asking !== null) {
    panes.push(overlay('question', state, quitQuestion(state), view.asking === 'quit' ? ' Leave nsview? ' : ' Leaving ', '', theme, false));
    cursor = null;
  }
  // What the footer cannot say whole is said in a box.
  if (view.note !== null && cells(printable(view.note.text)) + 2 > columns) {
    const {text, bad} = view.note;
    const lines = wrapWords(printable(text), Math.min(columns - 10, 76)).map((row): Line => [bad ? toned('bad', row) : plain(row)]);
    panes.push(overlay('note', state, lines, bad ? ' That did not work ' : ' nsview ', 'any key', theme, false));
  }
  return {...base, status, footer, panes, tabs, cursor};
}

export const paneAt = (frame: ScreenFrame, x: number, y: number): PaneFrame | undefined =>
  frame.panes.findLast(({rect}) => x >= rect.x && x < rect.x + rect.width && y >= rect.y && y < rect.y + rect.height);
