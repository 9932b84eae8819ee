// Knows what a thread may have otherwise than its process, besides namespaces.

import type {CapabilitySets} from './identity.ts';
import type {Seen} from './seen.ts';
import type {Shareable} from './sharing.ts';

type FourIds = readonly [real: number, effective: number, saved: number, fs: number];

/**
 * Only what differs is there, as the thread has it. credentials(7): the kernel keeps ids, groups, capabilities, no_new_privs and seccomp for
 * each thread; the C library makes the system calls in all threads, whoever makes them by itself changes one. cgroups(7): so are v1 cgroups,
 * and threaded ones of v2.
 */
export type Apart = {
  readonly uids?: FourIds;
  readonly gids?: FourIds;
  readonly groups?: readonly number[];
  readonly capabilities?: Partial<CapabilitySets>;
  readonly noNewPrivs?: boolean | null;
  /** As of Credentials. */
  readonly seccomp?: number | null;
  readonly filters?: number | null;
  /** The lines that the process does not have. */
  readonly cgroup?: readonly {readonly hierarchy: number; readonly controllers: readonly string[]; readonly path: string}[];
  /** Of the security module (proc_pid_attr(5)). */
  readonly label?: string;
  /** Objects of clone(2) that it does not share with its process (unshare(2)). */
  readonly objects?: readonly Shareable[];
  /** Where it has a filesystem state of its own, and they lead elsewhere. */
  readonly cwd?: Seen<string>;
  readonly root?: Seen<string>;
};
