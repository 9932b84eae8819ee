// Knows what the tab of the network says of a process.

import {type Details, fixed, heading, type Look, refusalPieces, said} from './details-parts.ts';
import {isRefusal} from './fact.ts';
import {cutLine, plain} from './line.ts';
import type {Process} from './process.ts';
import {studyOf, type World} from './world.ts';

export function networkDetails(world: World, process: Process, look: Look): Details {
  const title = heading(process, [], look.width);
  const fact = studyOf(world, 'network', process);
  if (fact === null) return fixed(title, said(look.live ? 'Reading …' : 'This tape holds no reading of it.', look.width));
  if (isRefusal(fact.seen)) return fixed(title, [cutLine([plain('network: '), ...refusalPieces(fact.seen)], look.width)]);
  return fixed(title, []);
}
