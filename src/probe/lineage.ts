// Knows how to ask the kernel who owns a namespace and what is above it.

import type {Refusal, Seen} from '../model/fact.ts';
import {NAMESPACES} from '../model/namespace.ts';
import type {Lineage, UserAbove} from '../model/ownership.ts';
import {errnoName} from './errno.ts';
import {loadNative} from './native.ts';

/** User namespaces nest 33 deep below the initial one, pid namespaces 32 (claims CLONE_NEWUSER, CLONE_NEWPID): both chains fit. */
const ROWS = 80;
const rows = new BigInt64Array(ROWS * 3);
const ends = new Int32Array(4);

const refused = (errno: number, during: string): Refusal => ({errno: errnoName(errno), during});

/** Of the namespace that a path leads to: /proc/PID/ns/…, an fd below /proc/PID/fd, a bind mount. */
export function readLineage(path: string): Seen<Lineage> {
  const count = loadNative().namespaceChain(path, rows, ROWS, ends);
  if (count < 0) return refused(-count, 'open');
  const above: UserAbove[] = [];
  for (let row = 0; row < count; row++) {
    const uid = Number(rows[row * 3 + 2]);
    above.push({inode: String(rows[row * 3]), uid: uid < 0 ? refused(-uid, 'ioctl NS_GET_OWNER_UID') : uid});
  }
  const [own = 0, chainEnd = 0, ownerEnd = 0, ownersEnd = 0] = ends;
  const value = Number(rows[1]);
  const kind = NAMESPACES.find(one => one.value === value);
  const chain = above.slice(0, own);
  return {
    type: kind?.type ?? String(value),
    inode: chain[0]?.inode ?? '0',
    chain,
    owners: above.slice(own),
    chainEnd: kind?.nests ? refused(chainEnd, 'ioctl NS_GET_PARENT') : null,
    ownersEnd: ownerEnd !== 0 ? refused(ownerEnd, 'ioctl NS_GET_USERNS') : refused(ownersEnd, 'ioctl NS_GET_PARENT'),
  };
}
