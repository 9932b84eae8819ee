// Knows the containers of a world: asked of any process, and kept until the world changes.

import {type Contained, type Container, createContainers} from './container.ts';
import type {World} from './world.ts';

const NOTHING = {states: [], places: []};
const cache = new WeakMap<World, {version: number; containerOf: (process: Contained) => Container | null}>();

export function containersIn(world: World): (process: Contained) => Container | null {
  const kept = cache.get(world);
  if (kept?.version === world.version) return kept.containerOf;
  const containerOf = createContainers(world.containers ?? NOTHING, pid => {
    const process = world.byPid.get(pid);
    return process === undefined || process.end !== null ? undefined : process;
  });
  cache.set(world, {version: world.version, containerOf});
  return containerOf;
}
