// Knows how to read uid_map and gid_map of a process.

import type {Seen} from '../model/fact.ts';
import {isRefusal} from '../model/fact.ts';
import type {IdRange} from '../model/identity.ts';
import {readText} from './proc-file.ts';

/** Three columns a line: first id inside, first id outside, how many (proc_pid_uid_map(5)). */
export function decodeIdMap(text: string): IdRange[] {
  const ranges: IdRange[] = [];
  for (const line of text.split('\n')) {
    const [, inside, outside, count] = /^ *([0-9]+) +([0-9]+) +([0-9]+)$/.exec(line) ?? [];
    if (count !== undefined) ranges.push({inside: Number(inside), outside: Number(outside), count: Number(count)});
  }
  return ranges;
}

export function readRanges(pid: number | 'self', which: 'uid' | 'gid'): Seen<IdRange[]> {
  const text = readText(`/proc/${pid}/${which}_map`);
  return isRefusal(text) ? text : decodeIdMap(text);
}
