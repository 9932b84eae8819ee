// Knows where each pane stands on a screen of any size.

export type PaneName = 'tree' | 'details' | 'timeline' | 'terminal';

/** Cells from the top left corner, borders included. */
export type Rect = {readonly x: number; readonly y: number; readonly width: number; readonly height: number};

export type Layout =
  | {readonly kind: 'too-small'}
  /** Row 0 is the status line, the last row the footer. */
  | {readonly kind: 'panes'; readonly panes: {readonly [pane in PaneName]?: Rect}};

export const LEAST_COLUMNS = 40;
export const LEAST_ROWS = 10;

/** Below this, tree and details share one place: the focused one has it. */
const LEAST_COLUMNS_SIDE_BY_SIDE = 72;

const clamp = (value: number, least: number, most: number): number => Math.max(least, Math.min(most, value));

export function layoutOf(
  size: {readonly columns: number; readonly rows: number},
  hasTerminal: boolean,
  zoom: PaneName | null,
  focus: PaneName,
): Layout {
  const {columns, rows} = size;
  if (columns < LEAST_COLUMNS || rows < LEAST_ROWS) return {kind: 'too-small'};
  const body = rows - 2;
  const whole: Rect = {x: 0, y: 1, width: columns, height: body};
  if (zoom !== null) return {kind: 'panes', panes: {[zoom]: whole}};
  if (body < 12 || (hasTerminal && body < 17)) return {kind: 'panes', panes: {[focus]: whole}};

  // While the keys are elsewhere the terminal's last rows are enough, and what is read has the room.
  const open = clamp(Math.round(body * 0.42), 10, body - 11);
  const terminal = !hasTerminal ? 0 : focus === 'terminal' ? open : Math.min(open, clamp(Math.round(body * 0.2), 5, 10));
  const wanted = hasTerminal ? clamp(Math.round(body * 0.16), 4, 12) : clamp(Math.round(body * 0.3), 5, 16);
  const timeline = body - terminal - wanted >= 7 ? wanted : 0;
  const top = body - terminal - timeline;
  const panes: {[pane in PaneName]?: Rect} = {};
  if (columns < LEAST_COLUMNS_SIDE_BY_SIDE) panes[focus === 'details' ? 'details' : 'tree'] = {x: 0, y: 1, width: columns, height: top};
  else {
    const left = clamp(Math.round(columns * 0.47), 34, 92);
    panes.tree = {x: 0, y: 1, width: left, height: top};
    panes.details = {x: left, y: 1, width: columns - left, height: top};
  }
  if (timeline > 0) panes.timeline = {x: 0, y: 1 + top, width: columns, height: timeline};
  if (terminal > 0) panes.terminal = {x: 0, y: 1 + top + timeline, width: columns, height: terminal};
  return {kind: 'panes', panes};
}

/**
 * What the program's terminal measures, in cells: the same whether its pane is open or drawn smaller, since a program is told of
 * every change of size (SIGWINCH). Null where it is not to be changed now.
 */
export function terminalSize(size: {readonly columns: number; readonly rows: number}, zoom: PaneName | null): Rect | null {
  if (zoom !== null && zoom !== 'terminal') return null;
  const layout = layoutOf(size, true, zoom, 'terminal');
  const rect = layout.kind === 'panes' ? layout.panes.terminal : undefined;
  return rect === undefined ? null : inside(rect);
}

/** What is inside the borders. */
export const inside = (rect: Rect): Rect => ({
  x: rect.x + 1,
  y: rect.y + 1,
  width: Math.max(0, rect.width - 2),
  height: Math.max(0, rect.height - 2),
});
