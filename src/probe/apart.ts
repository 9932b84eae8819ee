// Knows in which namespaces two processes are not together.

import {isRefusal} from '../model/fact.ts';
import {NAMESPACES, type NamespaceType} from '../model/namespace.ts';
import {readLink} from './proc-file.ts';

/** Kinds of namespace in which `other` is known to be elsewhere; both are folders of /proc. */
export function namespacesApart(one: string, other: string): NamespaceType[] {
  return NAMESPACES.filter(({link}) => {
    const mine = readLink(`${one}/ns/${link}`);
    const theirs = readLink(`${other}/ns/${link}`);
    return !isRefusal(mine) && !isRefusal(theirs) && mine !== theirs;
  }).map(({type}) => type);
}
