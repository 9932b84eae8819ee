// Knows an event of the timeline as one line of text, worded as on the screen.

import {lineText} from '../model/line.ts';
import {eventLine, type TimelineEvent} from '../model/timeline.ts';
import type {World} from '../model/world.ts';

const WIDTHS = {who: 18, did: 26};

/** `offset` is minutes east of UTC. Nothing in the line can steer a terminal. */
export function timelineLine(event: TimelineEvent, world: World, offset: number): string {
  return lineText(eventLine(event, world.header, offset, WIDTHS));
}
