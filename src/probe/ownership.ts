// Knows how to read who owns and holds the namespaces of a process, and what such a reading may look like on a tape.

import {z} from 'zod';
import type {Seen} from '../model/fact.ts';
import type {Ownership} from '../model/ownership.ts';

export const ownershipSchema: z.ZodType<Ownership> = z.object({});

export function readOwnership(_pid: number): Seen<Ownership> {
  return {};
}
