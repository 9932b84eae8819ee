// Knows a shell that does what a test tells it, one line after the other, and what became of it as lines of a trace.

import {createWorld, observe} from '../../src/model/world.ts';
import {timelineLine} from '../../src/out/timeline-text.ts';
import {until} from './attached.ts';
import type {Running, TapeRead} from './nsview.ts';

/** Says its pid, and when each line is done. */
export const SHELL = ['sh', '-c', 'echo here $$; while read -r line; do eval "$line"; echo "done $line"; done'] as const;

export async function tell(to: Running, line: string): Promise<void> {
  to.child.stdin?.write(`${line}\n`);
  await until(() => to.stdout.includes(`done ${line}\n`), line);
}

/** Of runs of spaces one is left. */
export function linesOf({header, facts}: TapeRead): string[] {
  const world = createWorld(header);
  return facts.flatMap(fact => observe(world, fact).map(event => timelineLine(event, world, 0).replaceAll(/ +/g, ' ')));
}
