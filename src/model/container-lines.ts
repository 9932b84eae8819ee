// Knows what is said of the container that a process is in.

import {type Container, containerName, type Evidence} from './container.ts';
import {containersIn} from './containers-in.ts';
import type {Look} from './details-parts.ts';
import {cutLine, dim, type Line, plain, toned, wrapText, wrapWords} from './line.ts';
import {printable} from './printable.ts';
import type {Process} from './process.ts';
import type {World} from './world.ts';

/** Ids of 64 digits are told by their first ones. */
const shortened = (text: string): string => printable(text).replaceAll(/[0-9a-f]{64}/g, id => `${id.slice(0, 12)}…`);

const WHO: {readonly [by in Evidence['by']]: string} = {kernel: 'kernel', runtime: 'runtime', itself: 'itself'};

/** Nothing where no runtime has a name for it. */
export function containerLines(world: World, process: Process, look: Look): Line[] {
  const container: Container | null = containersIn(world)(process);
  if (container === null) return [];
  const {width} = look;
  const through = container.through === undefined ? [] : [dim(`, run by ${container.through}`)];
  const id = container.name === null ? [] : [dim(`  ${printable(container.id)}`)];
  const lines: Line[] = [cutLine([plain('In '), toned('accent', containerName(container)), ...through, ...id], width)];
  for (const {by, says} of container.evidence)
    for (const [index, row] of wrapText(shortened(says), Math.max(8, width - 10)).entries())
      lines.push([dim(`  ${(index === 0 ? WHO[by] : '').padEnd(8)}`), plain(row.trimEnd())]);
  if (container.missing !== null)
    for (const row of wrapWords(printable(container.missing), Math.max(8, width - 2))) lines.push([dim('  '), toned('warn', row)]);
  return [...lines, []];
}
