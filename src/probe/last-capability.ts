// Knows which capabilities this kernel has: apart from the identity, since every tape tells it, and schemas take long to load.

import {isRefusal} from '../model/fact.ts';
import {readText} from './proc-file.ts';

/** The number of the highest capability that this kernel knows; of 5.9 and later where it does not tell. */
export function readLastCapability(): number {
  const last = readText('/proc/sys/kernel/cap_last_cap');
  return isRefusal(last) ? 40 : Number(last);
}
