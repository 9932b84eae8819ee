// Knows the view: what is selected, scrolled, focused, asked, and how wide the screen is. Ids, never row numbers.

import type {Arrangement} from './arrange.ts';
import type {Tab} from './details.ts';
import type {PaneName} from './layout.ts';

export type Size = {readonly columns: number; readonly rows: number};

/** A row that stays where it is on the screen while others come and go around it; `away`: it was scrolled out of the pane. */
type Anchor<Id> = {readonly id: Id; readonly offset: number; readonly away?: boolean};

export type View = {
  readonly size: Size;
  readonly hasTerminal: boolean;
  readonly focus: PaneName;
  /** Where the keys go when the terminal gives them back. */
  readonly formerFocus: PaneName;
  readonly zoom: PaneName | null;
  /** The terminal was full size when it last had the keys. */
  readonly bigTerminal: boolean;
  readonly tab: Tab;
  /** Id of a row of the tree. */
  readonly selected: string | null;
  /** Its row number when it was last seen, to find a neighbour when it goes. */
  readonly selectedIndex: number;
  readonly treeAnchor: Anchor<string> | null;
  readonly folded: ReadonlySet<string>;
  readonly arrangement: Arrangement;
  /** Id of the process that the tree begins with; null: with all. */
  readonly root: string | null;
  readonly detailsTop: number;
  /** The mount that is selected in its table, by its id, and in which row of the pane it stands. */
  readonly mount: Anchor<number> | null;
  /** What keeps that mount is shown in the place of the table. */
  readonly pins: boolean;
  /** Sequence number of the selected event; null follows the newest. */
  readonly event: number | null;
  readonly eventAnchor: Anchor<number> | null;
  readonly onlyIsolation: boolean;
  readonly inodes: boolean;
  /** The mount namespace with which the mounts are compared, by its inode; `parent`: with the one above the process. */
  readonly against: string | null;
  readonly search: {readonly text: string; readonly typing: boolean} | null;
  readonly help: {readonly top: number} | null;
  /** The event, by its sequence number, that is told whole in a box. */
  readonly whole: {readonly seq: number; readonly top: number} | null;
  /** A question that waits for its answer; `ending`: it was answered, and what was launched is being ended. */
  readonly asking: 'quit' | 'ending' | null;
  readonly paused: boolean;
  /** What was last to be said about something that was asked for. */
  readonly note: {readonly text: string; readonly bad: boolean} | null;
  readonly programEnded: boolean;
  /** Attaching or detaching, which was asked for and is not done yet: what is to be said to who asks again. */
  readonly pending: string | null;
};

export function createView(size: Size, hasTerminal: boolean): View {
  return {
    size,
    hasTerminal,
    focus: hasTerminal ? 'terminal' : 'tree',
    formerFocus: 'tree',
    zoom: null,
    bigTerminal: false,
    tab: 'namespaces',
    selected: null,
    selectedIndex: 0,
    treeAnchor: null,
    folded: new Set(),
    arrangement: 'process',
    root: null,
    detailsTop: 0,
    mount: null,
    pins: false,
    event: null,
    eventAnchor: null,
    onlyIsolation: true,
    inodes: false,
    against: null,
    search: null,
    help: null,
    whole: null,
    asking: null,
    paused: false,
    note: null,
    programEnded: false,
    pending: null,
  };
}

/** First row of a window of `height` rows on `count`, so that row `index` stands at `offset`; never beyond either end. */
export function windowTop(index: number, offset: number, count: number, height: number): number {
  return Math.max(0, Math.min(index - offset, count - height));
}

/** The same for a row that a person selected: where the pane has become smaller it stays within it, unless it was scrolled out of it. */
export function anchoredTop(index: number, {offset, away}: Anchor<unknown>, count: number, height: number): number {
  return windowTop(index, away === true ? offset : Math.min(offset, Math.max(0, height - 1)), count, height);
}

/** The same, but `index` is always within the window. */
export function windowAround(index: number, top: number, count: number, height: number): number {
  const shown = index < top ? index : index >= top + height ? index - height + 1 : top;
  return Math.max(0, Math.min(shown, count - height));
}

/** The id of the mount of which it is shown what keeps it. */
export const pinnedMount = ({tab, pins, mount}: View): number | null => (tab === 'mounts' && pins ? (mount?.id ?? null) : null);
