// Knows by which name or address others reach the sockets of a tree.

import {isRefusal, type ProcessSeen} from '../model/fact.ts';
import {decodeUnixSockets} from './netlink.ts';
import {inetListeners} from './network.ts';
import {dump, UNIX} from './network-dump.ts';

/** Network namespaces that are asked. */
const MOST_ASKED = 256;
const TYPES: {readonly [type: number]: string} = {1: 'stream', 2: 'dgram', 5: 'seqpacket'};
const DGRAM = 2;

/**
 * By the inode of the socket, as `unix stream @name` or `tcp 127.0.0.1:80`: those that listen, and those of datagrams that are bound. Of what has been
 * accepted the name is that of who listened.
 */
export function readBoundSockets(tree: readonly ProcessSeen[]): ReadonlyMap<string, string> {
  const names = new Map<string, string>();
  const asked = new Set<string>();
  const ask = (who: number | string) => {
    const sockets = dump(`/proc/${who}/ns/net`, UNIX);
    for (const {inode, type, name, listens} of isRefusal(sockets) ? [] : decodeUnixSockets(sockets))
      if (name !== '' && (listens || type === DGRAM)) names.set(inode, `unix ${TYPES[type] ?? type} ${name}`);
    for (const {protocol, address, port, inode} of inetListeners(who, []).listeners)
      names.set(inode, `${protocol} ${address.includes(':') ? `[${address}]` : address}:${port}`);
  };
  ask('self');
  for (const {pid, namespaces} of tree) {
    const {net} = namespaces;
    if (isRefusal(net) || asked.has(net) || asked.size === MOST_ASKED) continue;
    asked.add(net);
    ask(pid);
  }
  return names;
}
