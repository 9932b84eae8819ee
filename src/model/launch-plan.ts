// Knows how a program is launched: which calls are made for what was asked, by whom, and in which order.

import {cloneFlagNames} from './clone-flag.ts';
import type {Follow} from './fact.ts';
import {NAMESPACES, type NamespaceType} from './namespace.ts';
import {printable} from './printable.ts';

/** `count` ids from `outer` on are those from `inner` on in the new user namespace; users and groups alike. */
export type IdMap = {readonly outer: number; readonly inner: number; readonly count: number};

/** As the command line has them. */
export type LaunchOptions = {
  readonly namespaces: readonly NamespaceType[];
  /** `root`: nsview's own ids are 0 inside. Null: nobody is mapped. */
  readonly maps: 'root' | readonly IdMap[] | null;
  /** A path below the cgroup v2 file system, with or without the mount point. */
  readonly cgroup: string | null;
  readonly hostname: string | null;
  readonly privateMounts: boolean;
  readonly mountProc: boolean;
  readonly killOnExit: boolean;
};

export const PLAIN_LAUNCH: LaunchOptions = {
  namespaces: [],
  maps: null,
  cgroup: null,
  hostname: null,
  privateMounts: false,
  mountProc: false,
  killOnExit: false,
};

/** Who launches, and where. */
export type LaunchPlace = {
  readonly euid: number;
  readonly egid: number;
  /** CAP_SETGID: without it gid_map can be written only once setgroups is denied (user_namespaces(7)). */
  readonly maySetGroups: boolean;
  /** Where cgroup v2 is mounted. */
  readonly cgroupMounts: readonly string[];
};

/** What is done, each part null or false where it is not. */
export type LaunchPlan = {
  readonly argv: readonly string[];
  readonly cloneFlags: bigint;
  readonly cgroup: string | null;
  readonly denySetgroups: boolean;
  readonly uidMap: string | null;
  readonly gidMap: string | null;
  readonly dropGroups: boolean;
  readonly becomeGid0: boolean;
  readonly becomeUid0: boolean;
  readonly hostname: string | null;
  readonly privateMounts: boolean;
  readonly mountProc: boolean;
  readonly killOnExit: boolean;
};

/** A program, and nothing besides. */
export const plainPlan = (argv: readonly string[]): LaunchPlan => ({
  argv,
  cloneFlags: 0n,
  cgroup: null,
  denySetgroups: false,
  uidMap: null,
  gidMap: null,
  dropGroups: false,
  becomeGid0: false,
  becomeUid0: false,
  hostname: null,
  privateMounts: false,
  mountProc: false,
  killOnExit: false,
});

/** Below a mount of cgroup v2 as it is; else what follows /sys/fs/cgroup, or all of it, below the first mount. Null without one. */
function cgroupDirectory(path: string, mounts: readonly string[]): string | null {
  if (mounts.some(mount => path === mount || path.startsWith(`${mount}/`))) return path;
  const [mount] = mounts;
  if (mount === undefined) return null;
  const below = path.replace(/^\/sys\/fs\/cgroup(?=\/|$)/, '').replace(/^\/+/, '');
  return below === '' ? mount : `${mount}/${below}`;
}

const mapText = (maps: readonly IdMap[]): string => maps.map(({outer, inner, count}) => `${inner} ${outer} ${count}`).join('\n');

const holdsOuter = (maps: readonly IdMap[], id: number): boolean => maps.some(({outer, count}) => id >= outer && id < outer + count);
const holdsInner = (maps: readonly IdMap[], id: number): boolean => maps.some(({inner, count}) => id >= inner && id < inner + count);

/** Null where a cgroup is asked for and no cgroup v2 is mounted. */
export function makeLaunchPlan(argv: readonly string[], options: LaunchOptions, place: LaunchPlace): LaunchPlan | null {
  const cgroup = options.cgroup === null ? null : cgroupDirectory(options.cgroup, place.cgroupMounts);
  if (options.cgroup !== null && cgroup === null) return null;
  const of = (own: number): readonly IdMap[] | null => (options.maps === 'root' ? [{outer: own, inner: 0, count: 1}] : options.maps);
  const [uids, gids] = [of(place.euid), of(place.egid)];
  // An id that is not mapped owns nothing inside and can make no file: where there is a root, the program becomes it.
  const becomes = (maps: readonly IdMap[] | null, own: number) => maps !== null && !holdsOuter(maps, own) && holdsInner(maps, 0);
  const [becomeUid0, becomeGid0] = [becomes(uids, place.euid), becomes(gids, place.egid)];
  return {
    argv,
    cloneFlags: NAMESPACES.filter(({type}) => options.namespaces.includes(type)).reduce((flags, {value}) => flags | BigInt(value), 0n),
    cgroup,
    denySetgroups: gids !== null && !place.maySetGroups,
    uidMap: uids === null ? null : mapText(uids),
    gidMap: gids === null ? null : mapText(gids),
    dropGroups: becomeGid0 && place.maySetGroups,
    becomeGid0,
    becomeUid0,
    hostname: options.hostname,
    // Or the new /proc would be everybody's, where / is shared.
    privateMounts: options.privateMounts || options.mountProc,
    mountProc: options.mountProc,
    killOnExit: options.killOnExit,
  };
}

export type LaunchStep = {readonly by: 'nsview' | 'helper' | 'child'; readonly call: string};

const quoted = (text: string): string => printable(JSON.stringify(text));
const CLONE_INTO_CGROUP = 0x200000000n;

function cloneCall(plan: LaunchPlan): string {
  const flags = cloneFlagNames(plan.cloneFlags | (plan.cgroup === null ? 0n : CLONE_INTO_CGROUP));
  return `clone3(${flags.length === 0 ? '0' : flags.join('|')}${plan.cgroup === null ? '' : `, cgroup ${quoted(plan.cgroup)}`}) = CHILD`;
}

function* followSteps(plan: LaunchPlan, follow: Follow): Generator<LaunchStep> {
  const ptrace = `ptrace(PTRACE_SEIZE, CHILD, 0, PTRACE_O_TRACE…${plan.killOnExit ? '|PTRACE_O_EXITKILL' : ''})`;
  const bpf = 'follow CHILD by BPF';
  const call = follow === 'ptrace' ? ptrace : follow === 'bpf' ? bpf : `${bpf}; where BPF is refused, ${ptrace}`;
  yield {by: 'helper', call};
  if (plan.killOnExit && follow !== 'ptrace')
    yield {by: 'helper', call: 'by BPF: fork() nsview-guard, which kills all that is followed when the helper ends'};
}

/** The steps in their order (native/launch.c, native/child.c). */
export function* launchSteps(
  plan: LaunchPlan,
  how: {readonly terminal: boolean; readonly follow: Follow; readonly fast?: boolean; readonly softNofile: bigint},
): Generator<LaunchStep> {
  if (how.terminal) yield {by: 'nsview', call: 'posix_openpt(O_RDWR|O_NOCTTY|O_CLOEXEC|O_NONBLOCK) = TERMINAL'};
  if (plan.cgroup !== null) yield {by: 'helper', call: `open(${quoted(plan.cgroup)}, O_PATH|O_DIRECTORY|O_CLOEXEC)`};
  yield {by: 'helper', call: cloneCall(plan)};
  if (plan.denySetgroups) yield {by: 'helper', call: 'write /proc/CHILD/setgroups "deny"'};
  if (plan.uidMap !== null) yield {by: 'helper', call: `write /proc/CHILD/uid_map ${quoted(plan.uidMap)}`};
  if (plan.gidMap !== null) yield {by: 'helper', call: `write /proc/CHILD/gid_map ${quoted(plan.gidMap)}`};
  yield* followSteps(plan, how.follow);
  const child = (call: string): LaunchStep => ({by: 'child', call});
  if (how.terminal) {
    yield child('setsid()');
    yield child('ioctl(TERMINAL, TIOCSCTTY, 0)');
    yield child('dup2(TERMINAL, 0), dup2(TERMINAL, 1), dup2(TERMINAL, 2)');
  }
  if (how.softNofile > 0n) yield child(`setrlimit(RLIMIT_NOFILE, {rlim_cur: ${how.softNofile}})`);
  if (plan.dropGroups) yield child('setgroups(0, NULL)');
  if (plan.becomeGid0) yield child('setresgid(0, 0, 0)');
  if (plan.becomeUid0) yield child('setresuid(0, 0, 0)');
  if (plan.hostname !== null) yield child(`sethostname(${quoted(plan.hostname)}, ${new TextEncoder().encode(plan.hostname).length})`);
  if (plan.privateMounts) yield child('mount(NULL, "/", NULL, MS_REC|MS_PRIVATE, NULL)');
  if (plan.mountProc) yield child('mount("proc", "/proc", "proc", MS_NOSUID|MS_NODEV|MS_NOEXEC, NULL)');
  if (how.fast) {
    const only = how.follow === 'ptrace' ? '' : 'by ptrace: ';
    yield child(`${only}prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)`);
    yield child(`${only}seccomp(SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, the isolation calls: SECCOMP_RET_TRACE)`);
  }
  const [program = ''] = plan.argv;
  const searched = program.includes('/') ? '' : ', in each folder of PATH';
  yield child(`execve(${quoted(program)}, [${plan.argv.map(quoted).join(', ')}])${searched}`);
}

/** A numbered line each. */
export function planText(steps: Iterable<LaunchStep>): string {
  return [...steps].map(({by, call}, index) => `${String(index + 1).padStart(2)}  ${by.padEnd(6)}  ${call}\n`).join('');
}
