// Knows the shape of a reading of what a process shares with others.

export type Sharing = {readonly nothing?: never};
