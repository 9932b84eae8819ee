// Knows the box that tells all of one event: which event, in which lines, and how far they scroll.

import type {Line} from './line.ts';
import {eventIndex, eventsOf, type State, selectEvent} from './state.ts';
import {eventLines, type TimelineEvent} from './timeline.ts';

/** Rows that are no line of it: the first and the last of the screen, and the border. */
const AROUND = 4;

/** The selected event, or the newest. */
function chosenEvent(state: State): TimelineEvent | undefined {
  const events = eventsOf(state);
  return state.view.event === null ? events.at(-1) : events[eventIndex(events, state.view.event)];
}

export function openEvent(state: State): State | null {
  const event = chosenEvent(state);
  return event === undefined ? null : {...state, view: {...state.view, whole: {seq: event.seq, top: 0}}};
}

/** The event before or after, which is selected then. */
export function turnPage(state: State, by: 1 | -1): State {
  const {whole} = state.view;
  if (whole === null) return state;
  const events = eventsOf(state);
  const at = Math.max(0, Math.min(events.length - 1, eventIndex(events, whole.seq) + by));
  const event = events[at];
  if (event === undefined) return state;
  const selected = selectEvent(state, at);
  return {...selected, view: {...selected.view, whole: {seq: event.seq, top: 0}}};
}

/** No wider than can be read well. */
const widthOf = (state: State): number => Math.max(16, Math.min(state.view.size.columns - 8, 110));

export function wholeLines(state: State): readonly Line[] {
  const {whole} = state.view;
  const events = eventsOf(state);
  const event = whole === null ? undefined : events[eventIndex(events, whole.seq)];
  return event === undefined ? [] : eventLines(event, state.world.header, state.utcOffset, widthOf(state));
}

export const wholeRoom = (state: State): number => Math.max(1, state.view.size.rows - AROUND);
export const wholeTopMost = (state: State): number => Math.max(0, wholeLines(state).length - wholeRoom(state));
