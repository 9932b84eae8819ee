// Knows how a line of uid_map or gid_map is put into words.

import type {IdRange} from './identity.ts';
import {dim, type Piece, plain, strong, toned} from './line.ts';

/** No id of the reader's user namespace (uid_t of -1). */
const NO_ID = 4294967295;
export const span = (first: number, count: number): string => (count === 1 ? String(first) : `${first}-${first + count - 1}`);

export function rangePieces({inside, outside, count}: IdRange): Piece[] {
  const from = outside === NO_ID ? toned('warn', 'an id that nsview does not have') : plain(span(outside, count));
  return [from, dim(' › '), strong(span(inside, count)), dim(' inside')];
}
