// Knows what the kernel can tell nsview: facts, exactly as they stand on a tape, one JSON object a line.

import type {Apart} from './apart.ts';
import type {CgroupLevel} from './cgroup-limit.ts';
import type {Containers, Evidence} from './container.ts';
import type {CapabilitySets, Credentials, Identity, IdRange} from './identity.ts';
import type {MountHolders} from './mount-holders.ts';
import type {NamespaceLink} from './namespace.ts';
import type {Network, SnapshotNetwork} from './network.ts';
import type {Holder, Ownership} from './ownership.ts';
import {isRefusal, type Refusal, type Seen} from './seen.ts';
import type {Sharing, TreeSharing} from './sharing.ts';
import type {TreeDetails} from './tree-details.ts';

export {isRefusal, type Refusal, type Seen};

/**
 * The namespaces of a task: link name → inode number of the namespace as a decimal string. Inodes of namespaces
 * are unique among all kinds while the namespace lives, since all come from one nsfs (proc_pid_ns(5)).
 */
export type NamespaceLinks = {readonly [link in NamespaceLink]: Seen<string>};

/** What moved: from one namespace to another. `from` is null when it was not known before. */
export type NamespaceChanges = {readonly [link in NamespaceLink]?: {readonly from: Seen<string> | null; readonly to: Seen<string>}};

/** One line of /proc/PID/cgroup (cgroups(7)). Hierarchy 0 with no controllers is cgroup v2. */
export type CgroupPath = {readonly hierarchy: number; readonly controllers: readonly string[]; readonly path: string};

/** The state letter of /proc/PID/stat: R S D T t Z X I. */
type StateLetter = string;

/** A thread other than the leader. `namespaces` holds only the links that differ from its process's. */
export type ThreadSeen = {
  readonly tid: number;
  readonly comm: string;
  readonly namespaces?: {readonly [link in NamespaceLink]?: Seen<string>};
  /** What else differs. */
  readonly apart?: Apart;
};

/** Real, effective, saved and file-system ids, as seen from nsview's own user namespace (proc_pid_status(5)). */
export type Ids = readonly [real: number, effective: number, saved: number, fs: number];

/** One reading of a process from /proc. `start` is field 22 of /proc/PID/stat: clock ticks after boot, as a string. */
export type ProcessSeen = {
  readonly pid: number;
  readonly start: string;
  readonly ppid: number;
  readonly state: StateLetter;
  readonly comm: string;
  /** Empty for a kernel thread or a zombie. */
  readonly argv: Seen<readonly string[]>;
  readonly exe: Seen<string>;
  /** From the outermost pid namespace that nsview's /proc shows to the innermost. */
  readonly nspid: Seen<readonly number[]>;
  readonly uids: Seen<Ids>;
  readonly gids: Seen<Ids>;
  /** In a snapshot: groups, capabilities, no_new_privs and seccomp. */
  readonly credentials?: Seen<Credentials>;
  /** Every thread but the leader. */
  readonly threads: readonly ThreadSeen[];
  readonly namespaces: NamespaceLinks;
  readonly cgroup: Seen<readonly CgroupPath[]>;
};

/** A line of mountinfo (proc_pid_mountinfo(5)), octal escapes decoded. */
export type Mount = {
  readonly id: number;
  readonly parent: number;
  /** major:minor of the device. */
  readonly device: string;
  /** The directory of the file system that is the root of this mount. */
  readonly root: string;
  readonly point: string;
  readonly options: readonly string[];
  readonly propagation: {
    /** Peer group that it sends to and receives from. */
    readonly shared?: number;
    /** Peer group that it only receives from. */
    readonly master?: number;
    /** Nearest dominant peer group under the reader's root. */
    readonly propagateFrom?: number;
    readonly unbindable?: true;
  };
  readonly fsType: string;
  readonly source: string;
  readonly superOptions: readonly string[];
  /**
   * The reader's root is a directory of it (chroot(2)), `root`, and its own root lies outside: mountinfo does not list it (show_mountinfo(),
   * fs/proc_namespace.c), though whatever is mounted in that directory is mounted on it.
   */
  readonly chroot?: true;
};

type At = {
  /** CLOCK_MONOTONIC, nanoseconds, decimal. */
  readonly at: string;
};

/** A process as read from /proc: at attach, at launch, by the watch, or when first met. Replaces what was known. */
export type ProcessFact = At & ProcessSeen & {readonly kind: 'process'; readonly because: 'attach' | 'launch' | 'watch' | 'born'};

/**
 * A clone, fork or vfork that made `child`. `tid` is the thread that called. `flags` are names of clone(2) as the
 * parent's registers (or its struct clone_args) held them; a plain fork has none. With CLONE_THREAD among them,
 * `child` is a new thread of `pid`. `changed` holds the links in which the child differs from the caller.
 */
export type CloneFact = At & {
  readonly kind: 'clone';
  readonly pid: number;
  readonly tid: number;
  readonly child: number;
  /** Start time of the child; of its process where the child is a thread. */
  readonly start: string;
  /** Parent of the child as the kernel has it: differs from `pid` under CLONE_PARENT. */
  readonly ppid: number;
  readonly flags: Seen<readonly string[]>;
  /** Signal sent to the parent at the child's end, by name; null where none is sent. */
  readonly exitSignal: string | null;
  /** The child's pids from the outermost to the innermost pid namespace, where it has more than one. */
  readonly nspid?: readonly number[];
  /** With CLONE_INTO_CGROUP: the cgroup v2 into which it was born, as the line `0::` of /proc/PID/cgroup has it. */
  readonly cgroup?: Seen<string>;
  readonly changed: NamespaceChanges;
};

/** Of the five sets those that changed: hexadecimal masks, as /proc/PID/status has them (capabilities(7)). */
export type CapabilityChanges = {readonly [set in keyof CapabilitySets]?: {readonly from: string; readonly to: string}};

/** What an execve gives a program by its file (execve(2), capabilities(7)). */
export type Raise = 'set-user-ID' | 'set-group-ID' | 'capabilities';

/** execve(2) succeeded. `formerTid` is given where another thread than the leader called it and took over the pid. */
export type ExecFact = At & {
  readonly kind: 'exec';
  readonly pid: number;
  readonly path: Seen<string>;
  readonly argv: Seen<readonly string[]>;
  /** True where argv was longer than nsview keeps (4096 bytes). */
  readonly argvCut?: true;
  readonly comm: string;
  readonly formerTid?: number;
  /** Of the process, where it changed them: a set-user-ID program, the saved ids, which become the effective ones, and a thread’s own. */
  readonly uids?: {readonly from: Ids; readonly to: Ids};
  readonly gids?: {readonly from: Ids; readonly to: Ids};
  /** As far as it changed them. */
  readonly capabilities?: CapabilityChanges;
  /** What the kernel did not give it since ptrace follows it without privilege. */
  readonly dropped?: readonly Raise[];
};

/** A process ended, and this is what wait(2) gives its parent. Exactly one of `code` and `signal` is present. */
export type ExitFact = At & {
  readonly kind: 'exit';
  readonly pid: number;
  readonly code?: number;
  readonly signal?: string;
  readonly core?: true;
};

/** A thread that is not the last of its process ended. */
export type ThreadExitFact = At & {
  readonly kind: 'thread-exit';
  readonly pid: number;
  readonly tid: number;
  readonly code?: number;
  readonly signal?: string;
};

/** A task is in other namespaces than it was known to be. */
export type NamespacesFact = At & {
  readonly kind: 'namespaces';
  readonly pid: number;
  readonly tid: number;
  readonly changed: NamespaceChanges;
};

/**
 * A process, or one thread of it alone, was moved to another cgroup, by a write to cgroup.procs, cgroup.threads or tasks (cgroups(7)).
 * CLONE_INTO_CGROUP is no move: its `clone` tells of it.
 */
export type CgroupMoveFact = At & {
  readonly kind: 'cgroup-move';
  readonly pid: number;
  readonly tid: number;
  /** The other threads of its process stayed. */
  readonly alone?: true;
  readonly hierarchy: number;
  /** Where it was when it was last read; absent where an event tells: there where it last was told to be. */
  readonly from?: string;
  /** As the line of that hierarchy in /proc/PID/cgroup has it. */
  readonly to: Seen<string>;
  /** Who wrote; its pid is 0 where it has none in nsview's pid namespace. Absent where two readings differ. */
  readonly by?: {readonly pid: number; readonly tid: number; readonly comm: string};
};

/**
 * Ids of a user namespace were mapped, or setgroups(2) was denied in it, by a write to uid_map, gid_map or setgroups (user_namespaces(7)). Found by
 * reading those: by whom is not known, and when only that it was since the last reading. A map that was there when nsview came is in no such fact.
 */
export type IdMapsFact = At & {
  readonly kind: 'id-maps';
  /** A process that is in it. */
  readonly pid: number;
  /** The namespace's inode. */
  readonly user: string;
  readonly uid?: readonly IdRange[];
  readonly gid?: readonly IdRange[];
  readonly setgroups?: 'deny';
};

/**
 * An argument of a call: flags are lists of names, structures are objects, strings are what the memory held, where a byte that is no UTF-8
 * is U+DC00 + byte (PEP 383). A pointer that could not be read is a refusal, one that says nothing `{address}`, a null pointer null. The fd
 * of setns is an object that has what it leads to as well, where that is known.
 */
export type CallArgument =
  | string
  | number
  | null
  | Refusal
  | readonly string[]
  | readonly number[]
  | {readonly [name: string]: CallArgument};
export type CallArguments = {readonly [name: string]: CallArgument};
/** What it returned; the errno where it failed; null where its task ended in it. */
export type CallResult = number | {readonly errno: string} | null;

/** A system call that changes isolation, when it returned. `args` is null for calls of another ABI, which are not decoded. */
export type CallFact = At & {
  readonly kind: 'call';
  readonly pid: number;
  readonly tid: number;
  readonly name: string;
  /** Where it was not numbered as the machine's own: a 32-bit call, or one of x32. */
  readonly abi?: '32-bit' | 'x32';
  readonly args: CallArguments | null;
  /** Arguments that go on behind what is kept: 1023 bytes of a string, 1024 of a list. */
  readonly cut?: readonly string[];
  readonly result: CallResult;
  /** Links of its task that lead elsewhere since. */
  readonly changed: NamespaceChanges;
  readonly uids?: {readonly from: Ids; readonly to: Ids};
  readonly gids?: {readonly from: Ids; readonly to: Ids};
  readonly capabilities?: CapabilityChanges;
  /** Of a call that failed: the effective capabilities that its task had, a mask as /proc/PID/status has it. */
  readonly effective?: string;
};

/** A process stopped by a signal (job control), or continued. */
export type StopFact = At & {readonly kind: 'stop'; readonly pid: number; readonly signal: string};
export type ContinueFact = At & {readonly kind: 'continue'; readonly pid: number};

/** A later reading of /proc differs from what was known; only what differs is present. */
export type ChangeFact = At & {
  readonly kind: 'change';
  readonly pid: number;
  readonly ppid?: number;
  readonly state?: StateLetter;
  readonly comm?: string;
  readonly argv?: Seen<readonly string[]>;
  readonly exe?: Seen<string>;
  readonly nspid?: Seen<readonly number[]>;
  readonly uids?: Seen<Ids>;
  readonly gids?: Seen<Ids>;
  readonly threads?: readonly ThreadSeen[];
  readonly cgroup?: Seen<readonly CgroupPath[]>;
};

/**
 * The kernel had no room for so many events, or a program of nsview's was passed over: births, execs, ends or isolation calls may be among
 * them. What is there now has been read again, and the differences follow as `gone` and `process`.
 */
export type LostFact = At & {readonly kind: 'lost'; readonly count: number};

/** A process that was watched from /proc, or whose end was lost, is no longer there; how it ended cannot be known. */
export type GoneFact = At & {readonly kind: 'gone'; readonly pid: number};

/** The whole of a mount namespace's mounts, as `pid`, a member whose root is the namespace's root where there is one, sees it. */
export type MountsFact = At & {
  readonly kind: 'mounts';
  readonly inode: string;
  readonly pid: number;
  /** Inode of the user namespace that owns it (ioctl_nsfs(2), NS_GET_USERNS); EPERM where that is not nsview's own or below it. */
  readonly owner?: Seen<string>;
  readonly mounts: Seen<readonly Mount[]>;
  /** Of the same namespace, where `pid` has another root than it: the mounts that it does not see, by their paths from the root of the namespace. */
  readonly outside?: readonly Mount[];
  /** Of each of them, in their order, a number: which was made later has a higher one, in whatever namespace (statmount(2)); 0: not known. */
  readonly ages?: readonly number[];
  /** Of its ID-mapped mounts, by their id, as far as the kernel tells (statmount(2), Linux 6.15). */
  readonly idMaps?: {readonly [id: string]: MountIdMap};
};

/** `inside`: who owns a file in the file system; `outside`: who owns it as seen through the mount, in nsview's user namespace. */
export type MountIdMap = {readonly uid: readonly IdRange[]; readonly gid: readonly IdRange[]};

/** The cgroups of a process as its own /proc/self/cgroup has them: relative to its cgroup namespace (cgroup_namespaces(7)). */
export type CgroupView = {
  /** Whether that is the namespace of nsview; null: not known. */
  readonly sameNamespace: boolean | null;
  readonly inside: Seen<readonly CgroupPath[]>;
};

/** The members of one cgroup. `mountPoint` is where nsview reads the hierarchy. */
export type CgroupFact = At & {
  readonly kind: 'cgroup';
  readonly hierarchy: number;
  readonly controllers: readonly string[];
  readonly path: string;
  readonly directory: Seen<string>;
  /** Itself, and each cgroup above it that nsview can see. */
  readonly levels?: readonly CgroupLevel[];
  /** Pids; of a threaded cgroup tids, since it has no processes (cgroups(7), "Thread mode"). */
  readonly members: Seen<readonly number[]>;
  /** Lines of cgroup.events (v2): `populated`, `frozen`. */
  readonly events?: {readonly [name: string]: number};
};

/**
 * One reading of a process in depth, made while somebody looks at it: `identity` of who it is, `network` of the network namespace that it is
 * in, `sharing` of what it shares with others, `ownership` of who owns and holds its namespaces, `mountHolders` of what keeps one of its mounts.
 */
type StudyOf<Kind extends string, What> = At & {
  readonly kind: Kind;
  readonly pid: number;
  readonly start: string;
  readonly seen: Seen<What>;
};
export type OwnershipFact = StudyOf<'ownership', Ownership>;
export type IdentityFact = StudyOf<'identity', Identity>;
export type NetworkFact = StudyOf<'network', Network>;
export type SharingFact = StudyOf<'sharing', Sharing>;
export type CgroupViewFact = StudyOf<'cgroupView', CgroupView>;
/** `mount`: the id of a mount that the process sees. */
export type MountHoldersFact = StudyOf<'mountHolders', MountHolders> & {readonly mount: number};
export type StudyFact = OwnershipFact | IdentityFact | NetworkFact | SharingFact | CgroupViewFact | MountHoldersFact;
export type StudyKind = StudyFact['kind'];

/** What container runtimes have written of what they run on this machine. */
export type ContainersFact = At & Containers & {readonly kind: 'containers'};

/** How the tree is observed from now on. `scope` is the pid under which it is, or null for the whole machine. */
export type TracerFact = At & {
  readonly kind: 'tracer';
  /** bpf: the kernel tells, and nobody is stopped. ptrace: tasks are stopped at their events. proc: /proc is read every so often. */
  readonly mode: 'bpf' | 'ptrace' | 'proc';
  readonly scope: number | null;
  /** What is seen by events, such as `clone`, `exec`, `exit`; the rest is read from /proc every so often. */
  readonly sees: readonly string[];
  /** ptrace: isolation calls are seen since every call stops, or since a seccomp filter stops those. */
  readonly callsBy?: 'stops' | 'filter';
  readonly processes: number;
  readonly threads: number;
  /** Why it is so, where that needs a reason (a refusal, a detach, the helper's end). */
  readonly because?: string;
  /** What refused BPF, where ptrace does it instead and was not asked for. */
  readonly bpf?: Refusal;
};

/** How to follow: `auto` is BPF where it is allowed, else ptrace. */
export type Follow = 'auto' | 'bpf' | 'ptrace';

/** A process that could not be traced, or with `tid` one thread of a process that is; which rule refused, and what to do about it. */
export type RefusedFact = At & {
  readonly kind: 'refused';
  readonly pid: number;
  readonly tid?: number;
  readonly errno: string;
  readonly during: string;
  readonly rule: string;
  readonly remedy: string;
};

export type Fact =
  | ProcessFact
  | CloneFact
  | ExecFact
  | ExitFact
  | ThreadExitFact
  | NamespacesFact
  | CgroupMoveFact
  | IdMapsFact
  | CallFact
  | StopFact
  | ContinueFact
  | ChangeFact
  | LostFact
  | GoneFact
  | MountsFact
  | CgroupFact
  | ContainersFact
  | StudyFact
  | TracerFact
  | RefusedFact;

/** What every reading says of where it was taken. */
export type Host = {
  readonly hostname: string;
  /** uname(2): release and machine. */
  readonly kernel: string;
  readonly machine: string;
  /** Clock ticks a second of `start`. */
  readonly clockTicks: number;
  /** nsview's own effective uid, and its effective capabilities as the hexadecimal mask of /proc/self/status. */
  readonly euid: number;
  readonly capabilities: string;
  /** The number of the highest capability that the kernel knows; tapes and snapshots of before have it not. */
  readonly lastCapability?: number;
  readonly cgroups: 'v1' | 'v2' | 'hybrid' | 'none';
  /** nsview's own namespaces. */
  readonly namespaces: NamespaceLinks;
};

/** First line of a tape. `realtime` is CLOCK_REALTIME in nanoseconds at the moment when CLOCK_MONOTONIC was `at`. */
export type TapeHeader = {
  readonly format: 'nsview/tape';
  readonly version: 1;
  readonly nsview: string;
  readonly at: string;
  readonly realtime: string;
  readonly host: Host;
  /** What was asked for. */
  readonly target: {readonly pid: number} | {readonly command: readonly string[]} | {readonly machine: true};
};

/** A namespace in a snapshot. `processes` are those that the link of their process leads to, ascending. */
export type SnapshotNamespace = {
  readonly type: string;
  readonly inode: string;
  readonly processes: readonly number[];
  /** Threads other than leaders that are in it while their process is not. */
  readonly threads?: readonly {readonly pid: number; readonly tid: number}[];
  /** Processes whose children will be born in it (pid_for_children, time_for_children) while they are not in it themselves. */
  readonly forChildrenOf?: readonly number[];
  /** The user namespace that owns it; of a user namespace its parent. Absent where nsview may not look. */
  readonly owner?: string;
  /** Bind mounts, fds and sockets of it, and threads whose children will be born in it while others' are not; of one without tasks also the namespaces that it owns or that are below it. */
  readonly heldBy?: readonly Holder[];
};

export type SnapshotCgroup = {
  readonly hierarchy: number;
  readonly controllers: readonly string[];
  readonly path: string;
  readonly processes: readonly number[];
  /** By resource: the limit that binds, the use at the cgroup that sets it, and which that is. Units as of CgroupResource. */
  readonly limits?: {readonly [resource: string]: {readonly limit: string; readonly use?: string; readonly by: string}};
};

/** A container that a runtime has a name for, and what says so. */
export type SnapshotContainer = {
  readonly runtime: string;
  readonly through?: string;
  readonly id: string;
  readonly name: string | null;
  readonly processes: readonly number[];
  /** As of the first of its processes. */
  readonly evidence: readonly Evidence[];
  readonly missing: string | null;
};

/** `nsview snapshot --json`. */
export type Snapshot = {
  readonly format: 'nsview/snapshot';
  readonly version: 1;
  readonly nsview: string;
  readonly at: string;
  readonly realtime: string;
  readonly host: Host;
  readonly processes: readonly ProcessSeen[];
  readonly namespaces: readonly SnapshotNamespace[];
  /** `pid` is the process through which it was read; 0 where no process is in it. */
  readonly mountNamespaces: readonly {
    readonly inode: string;
    readonly pid: number;
    readonly mounts: Seen<readonly Mount[]>;
    /** Ids of those that no path leads to, ascending; left out where all can be reached. */
    readonly hidden?: readonly number[];
  }[];
  /** Of the whole machine: why mount namespaces without processes may be missing. Absent where all are there. */
  readonly unlisted?: Refusal;
  readonly cgroups: readonly SnapshotCgroup[];
  /** Of each network namespace; left out by versions that did not read them. */
  readonly networks?: readonly SnapshotNetwork[];
  readonly containers?: readonly SnapshotContainer[];
  /** Of a tree (-p), never of the whole machine. */
  readonly sharing?: TreeSharing;
  readonly details?: TreeDetails;
};
