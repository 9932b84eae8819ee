// Knows the shape of what a snapshot of a tree tells besides, so that two trees can be compared: what lies outside of it, and more of each process.

/** What is not the tree's alone. */
export type Outside = {
  /** Inodes of namespaces of the tree that processes outside of it are in as well. */
  readonly namespaces: readonly string[];
  /** Cgroups of the tree that processes outside of it are in as well. */
  readonly cgroups: readonly {readonly controllers: readonly string[]; readonly path: string}[];
  /** Of the mounts that nsview sees itself. */
  readonly devices: readonly string[];
  readonly peerGroups: readonly number[];
};

export type TreeDetails = {readonly outside: Outside};
