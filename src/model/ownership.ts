// Knows the shape of a reading of who owns and holds the namespaces of a process.

import type {NamespaceLink} from './namespace.ts';
import type {Refusal, Seen} from './seen.ts';

/** A user namespace on the way up. `uid` is its owner's, as nsview's own user namespace maps it (ioctl_nsfs(2), NS_GET_OWNER_UID). */
export type UserAbove = {readonly inode: string; readonly uid: Seen<number>};

/** What a namespace is made under. */
export type Lineage = {
  readonly type: string;
  readonly inode: string;
  /** Itself first, then its parents: user and pid namespaces; of others itself alone. */
  readonly chain: readonly UserAbove[];
  /** The owning user namespace, then its parents. */
  readonly owners: readonly UserAbove[];
  /** What ended each: EPERM where nsview may not look further up, or where it is the initial namespace, which has none above. */
  readonly chainEnd: Refusal | null;
  readonly ownersEnd: Refusal | null;
};

/**
 * What keeps a namespace alive. `deaf`: SIGTERM does nothing to such a process, or to one of those that are named. `kernel`: one of those that are
 * named is a kernel thread.
 */
export type Holder =
  | {readonly by: 'processes'; readonly count: number; readonly pids: readonly number[]; readonly deaf?: true; readonly kernel?: true}
  /** One that has ended, where nobody lives: it keeps its pid and user namespaces until its parent (0: not to be seen) waits for it. */
  | {readonly by: 'zombie'; readonly pid: number; readonly parent: number; readonly deaf?: true}
  | {readonly by: 'thread'; readonly pid: number; readonly tid: number; readonly deaf?: true}
  /**
   * Where those will be born that it makes; `tid`: that one of its threads makes, while the others' are born elsewhere. `ended`: nobody can be born
   * there any more.
   */
  | {readonly by: 'children'; readonly pid: number; readonly tid?: number; readonly ended?: true; readonly deaf?: true}
  /**
   * `tid`: in the file table that this thread has for itself, as unshare(2) gives it one with CLONE_FILES. `table`: an open mountinfo, which keeps
   * the mount namespace that it lists.
   */
  | {readonly by: 'fd'; readonly pid: number; readonly tid?: number; readonly fd: number; readonly table?: true; readonly deaf?: true}
  /** Perhaps: so many fds are on their way to that socket (unix(7), SCM_RIGHTS), and nothing else is known that keeps it. */
  | {readonly by: 'queue'; readonly pid: number; readonly tid?: number; readonly fd: number; readonly fds: number}
  /** A socket that was made in it, or a file of /dev/net/tun that was opened in it, of a process that is in another: network namespaces only. */
  | {readonly by: 'socket'; readonly pid: number; readonly tid?: number; readonly fd: number; readonly tun?: true; readonly deaf?: true}
  /**
   * A bind mount of the namespace; `pid` is in the mount namespace `inode` that has it. Where nobody is (0), `through` is a file that leads to
   * that mount namespace, if there is one. `user` leads to the user namespace that has to be entered first by who has no privilege elsewhere.
   */
  | {
      readonly by: 'mount';
      readonly inode: string;
      readonly pid: number;
      readonly point: string;
      readonly through?: string;
      readonly user?: string;
    }
  | {readonly by: 'namespace'; readonly type: string; readonly inode: string; readonly as: 'owned' | 'child'};

/** What a process may do with the resources of a namespace, and by which rule of user_namespaces(7). */
type Rule = 'member' | 'owner' | 'ancestor' | 'none' | 'unknown';
export type Power = {readonly capabilities: string; readonly rule: Rule};

export type Owned = {readonly link: NamespaceLink; readonly lineage: Seen<Lineage>; readonly power: Power};

export type Ownership = {
  readonly namespaces: readonly Owned[];
  /** The number of the highest capability that the kernel knows. */
  readonly lastCapability: number;
  /** Pids from the innermost pid namespace outwards, each with its namespace where nsview may look. */
  readonly pids: readonly {readonly pid: number; readonly inode: string | null}[];
  /** The first process of the pid namespace that its children are to be born in has ended: none can be (pid_namespaces(7)). */
  readonly childrenEnded?: true;
  /** The command line that enters it from where nsview is; empty where nothing differs. */
  readonly enter: readonly string[];
  /** Files that move who writes its pid into them to the cgroups of the process, where these are others than nsview's: no nsenter does. */
  readonly join?: readonly string[];
  /** By inode: who holds it, at most 16 of each kind; `more` counts those that are left out. */
  readonly holders: readonly {readonly inode: string; readonly holders: readonly Holder[]; readonly more: number}[];
  /** Namespaces of the whole machine that no process and no thread is in, so far as they are known; mnt also by NS_MNT_GET_NEXT. */
  readonly empty: readonly {readonly type: string; readonly inode: string; readonly holders: readonly Holder[]; readonly more: number}[];
  /** Why there may be mount namespaces besides; null: there are no others. */
  readonly unlisted: Refusal | null;
  /** How many processes have been asked so far, of how many. */
  readonly asked: {readonly processes: number; readonly of: number};
};

/** Of `nsview who-pins`: who holds one namespace. */
export type NamespaceHolders = {
  readonly type: string;
  readonly inode: string;
  readonly holders: readonly Holder[];
  readonly more: number;
  /** How many processes were asked. */
  readonly processes: number;
};
