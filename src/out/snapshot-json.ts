// Knows a snapshot as one line of JSON, piece by piece: of a large machine the whole would take as much memory again.

import type {Snapshot} from '../model/fact.ts';

/** Processes, namespaces and the like in a piece: a few hundred kB. */
const PIECE = 256;

export function* snapshotJson(snapshot: Snapshot): Generator<string> {
  let separator = '{';
  for (const [key, value] of Object.entries(snapshot)) {
    if (value === undefined) continue;
    if (!Array.isArray(value)) yield `${separator}${JSON.stringify(key)}:${JSON.stringify(value)}`;
    else {
      yield `${separator}${JSON.stringify(key)}:[`;
      for (let from = 0; from < value.length; from += PIECE)
        yield `${from === 0 ? '' : ','}${JSON.stringify(value.slice(from, from + PIECE)).slice(1, -1)}`;
      yield ']';
    }
    separator = ',';
  }
  yield '}\n';
}
