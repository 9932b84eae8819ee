// Knows which kernel this is.

import {release} from 'node:os';

export const isSince = (major: number, minor: number): boolean => {
  const [own = 0, ofOwn = 0] = release().split('.').map(Number);
  return own > major || (own === major && ofOwn >= minor);
};
