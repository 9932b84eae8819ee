// Knows what a person can want done outside the screen; main does it.

import type {Wanted} from './details.ts';

export type Intent =
  /** Trace this process and all that descends from it (watching the machine only). */
  | {readonly kind: 'attach'; readonly pid: number}
  /** Stop tracing; go on watching from /proc. */
  | {readonly kind: 'detach'}
  /** End what was launched, all of it, and then nsview. */
  | {readonly kind: 'end'}
  /** A person looks at this process now: read it again soon. */
  | {readonly kind: 'look'; readonly pid: number}
  /** The details that the screen shows from now on, so that only those are read. Empty lists: none of that kind. */
  | ({readonly kind: 'show-details'; readonly pid: number | null} & Wanted);
