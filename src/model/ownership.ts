// Knows the shape of a reading of who owns and holds the namespaces of a process.

export type Ownership = {readonly nothing?: never};
