// Knows how to read a tape that anybody may have written, or that was cut off.

import {readFile} from 'node:fs/promises';
import type {Fact, TapeHeader} from '../model/fact.ts';
import {refusalOf} from './proc-file.ts';
import {parseFact, parseHeader} from './schemas.ts';

/** What could be read, and the first problem, which names the line. Without a header there is nothing to show. */
export type Tape = {readonly header: TapeHeader | null; readonly facts: readonly Fact[]; readonly problem: string | null};

function json(line: string): {readonly ok: true; readonly value: unknown} | {readonly ok: false} {
  try {
    return {ok: true, value: JSON.parse(line)};
  } catch {
    return {ok: false};
  }
}

/** `name` is for messages only. Reading ends at the first bad line: what follows it may hang on it. */
export function decodeTape(text: string, name: string): Tape {
  const lines = text.split('\n');
  const ended = lines.at(-1) === '';
  if (ended) lines.pop();
  const bad = (number: number, what: string, header: TapeHeader | null, facts: readonly Fact[]): Tape => ({
    header,
    facts,
    problem: `${name} line ${number}: ${what}`,
  });
  const truncated = (number: number) => number === lines.length && !ended;

  const [first = ''] = lines;
  if (first === '') return bad(1, 'it is empty; a tape begins with a header, as nsview trace --json writes it', null, []);
  const head = json(first);
  if (!head.ok) return bad(1, truncated(1) ? 'it is cut off in the header' : 'this is not a tape: not JSON', null, []);
  const value = head.value as {format?: unknown; version?: unknown} | null;
  if (value?.format !== 'nsview/tape') {
    const what =
      value?.format === 'nsview/snapshot' ? 'this is a snapshot, not a tape' : 'this is not a tape: its format is not nsview/tape';
    return bad(1, what, null, []);
  }
  if (value.version !== 1) return bad(1, `it is a tape of version ${String(value.version)}, and this nsview reads version 1`, null, []);
  const header = parseHeader(head.value);
  if (!header.ok) return bad(1, header.problem, null, []);

  const facts: Fact[] = [];
  for (let index = 1; index < lines.length; index++) {
    const number = index + 1;
    const line = json(lines[index] ?? '');
    if (!line.ok) return bad(number, truncated(number) ? 'it is cut off here; what came before is shown' : 'not JSON', header.value, facts);
    const fact = parseFact(line.value);
    if (!fact.ok) return bad(number, fact.problem, header.value, facts);
    if (fact.value !== null) facts.push(fact.value);
  }
  return {header: header.value, facts, problem: null};
}

/** `-` is stdin. */
export async function readTape(file: string): Promise<Tape> {
  try {
    const bytes = await readFile(file === '-' ? '/dev/stdin' : file);
    return decodeTape(bytes.toString(), file === '-' ? 'stdin' : file);
  } catch (error) {
    const {errno} = refusalOf(error, 'open');
    const what: {readonly [errno: string]: string} = {ENOENT: 'no such file', EISDIR: 'it is a directory', EACCES: 'permission denied'};
    return {header: null, facts: [], problem: `cannot read ${file}: ${what[errno] ?? errno}`};
  }
}
