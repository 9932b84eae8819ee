// Knows the shape of a reading of who a process is.

export type Identity = {readonly nothing?: never};
