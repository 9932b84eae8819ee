// Knows how to read a network namespace, and what such a reading may look like on a tape.

import {z} from 'zod';
import type {Seen} from '../model/fact.ts';
import type {Network} from '../model/network.ts';

export const networkSchema: z.ZodType<Network> = z.object({});

export function readNetwork(_pid: number): Seen<Network> {
  return {};
}
