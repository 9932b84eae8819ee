// Knows the shape of a reading of a network namespace.

export type Network = {readonly nothing?: never};
