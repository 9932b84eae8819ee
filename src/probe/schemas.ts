// Knows what a tape and a snapshot may look like when a stranger wrote them: zod schemas, held to the model's types.

import * as z from 'zod';
import type {Apart} from '../model/apart.ts';
import type {CgroupLevel, CgroupWriter} from '../model/cgroup-limit.ts';
import {type Comparison, DIFFERENCES} from '../model/comparison.ts';
import type {
  CallArgument,
  CallFact,
  CapabilityChanges,
  CgroupFact,
  CgroupMoveFact,
  CgroupPath,
  CgroupViewFact,
  ChangeFact,
  CloneFact,
  ContainersFact,
  ContinueFact,
  ExecFact,
  ExitFact,
  Fact,
  GoneFact,
  Host,
  IdentityFact,
  IdMapsFact,
  Ids,
  LostFact,
  Mount,
  MountHoldersFact,
  MountsFact,
  NamespaceChanges,
  NamespaceLinks,
  NamespacesFact,
  NetworkFact,
  OwnershipFact,
  ProcessFact,
  ProcessSeen,
  Refusal,
  RefusedFact,
  SharingFact,
  Snapshot,
  StopFact,
  TapeHeader,
  ThreadExitFact,
  ThreadSeen,
  TracerFact,
} from '../model/fact.ts';
import {NAMESPACE_LINKS, type NamespaceLink} from '../model/namespace.ts';
import {SHAREABLE} from '../model/sharing.ts';
import {containersShape, evidenceSchema} from './containers.ts';
import {credentialsSchema, identitySchema, mask} from './identity.ts';
import {mountHoldersSchema} from './mount-holders.ts';
import {boundSchema, interfacesSchema, networkSchema, routesSchema, settingsSchema} from './network.ts';
import {holderSchema, ownershipSchema} from './ownership.ts';
import {sharingSchema} from './sharing.ts';
import {treeDetailsSchema} from './tree-details.ts';
import {treeSharingSchema} from './tree-sharing.ts';

type Holds<T> = z.ZodType<T>;

const refusal = z
  .object({errno: z.string(), during: z.string()})
  .describe('The kernel refused: the name of the errno, and the call that returned it.') satisfies Holds<Refusal>;
const seen = <T extends z.ZodType>(value: T) => z.union([value, refusal]);

const pid = z.int().min(0).max(4194304);
const inode = z
  .string()
  .regex(/^[0-9]+$/)
  .describe('Inode number of the namespace, decimal.');
const nanoseconds = z.string().regex(/^-?[0-9]+$/);
const at = nanoseconds.describe('CLOCK_MONOTONIC, nanoseconds, decimal.');
const start = z
  .string()
  .regex(/^[0-9]+$/)
  .describe('Start time: field 22 of /proc/PID/stat, clock ticks after boot, decimal.');

const eachLink = <T extends z.ZodType>(value: T): {[link in NamespaceLink]: T} =>
  Object.fromEntries(NAMESPACE_LINKS.map(link => [link, value])) as {[link in NamespaceLink]: T};

const namespaceLinks = z.object(eachLink(seen(inode))).describe('Links of /proc/PID/ns.') satisfies Holds<NamespaceLinks>;
const changes = z
  .object(eachLink(z.object({from: z.union([inode, refusal, z.null()]), to: seen(inode)}).exactOptional()))
  .describe('Links that changed.') satisfies Holds<NamespaceChanges>;
const someLinks = z.object(eachLink(seen(inode).exactOptional()));
const ids = z
  .tuple([z.int(), z.int(), z.int(), z.int()])
  .describe('Real, effective, saved and file-system id, as nsview’s user namespace maps them.') satisfies Holds<Ids>;
const capabilityChange = z.object({from: mask, to: mask}).exactOptional();
const capabilityChanges = z
  .object({
    effective: capabilityChange,
    permitted: capabilityChange,
    inheritable: capabilityChange,
    bounding: capabilityChange,
    ambient: capabilityChange,
  })
  .describe('Sets of capabilities that it changed: hexadecimal masks, as in /proc/PID/status.') satisfies Holds<CapabilityChanges>;
const cgroupPath = z
  .object({hierarchy: z.int(), controllers: z.array(z.string()), path: z.string()})
  .describe('A line of /proc/PID/cgroup; hierarchy 0 is cgroup v2.') satisfies Holds<CgroupPath>;
const apart = z
  .object({
    uids: ids.exactOptional(),
    gids: ids.exactOptional(),
    groups: z.array(z.int()).exactOptional(),
    capabilities: z
      .object({
        effective: z.string().exactOptional(),
        permitted: z.string().exactOptional(),
        inheritable: z.string().exactOptional(),
        bounding: z.string().exactOptional(),
        ambient: z.string().exactOptional(),
      })
      .exactOptional(),
    noNewPrivs: z.boolean().nullable().exactOptional(),
    seccomp: z.int().nullable().exactOptional(),
    filters: z.int().nullable().exactOptional(),
    cgroup: z.array(cgroupPath).describe('Lines that the process does not have.').exactOptional(),
    label: z.string().describe('/proc/PID/attr/current').exactOptional(),
    objects: z
      .array(z.enum(SHAREABLE.map(({kind}) => kind)))
      .describe('What it does not share with its process, by kcmp(2).')
      .exactOptional(),
    cwd: seen(z.string()).exactOptional(),
    root: seen(z.string()).exactOptional(),
  })
  .describe('What a thread has otherwise than its process, besides namespaces: only what differs.') satisfies Holds<Apart>;
const thread = z
  .object({
    tid: pid,
    comm: z.string(),
    namespaces: someLinks.describe('Only links that differ from those of the process.').exactOptional(),
    apart: apart.exactOptional(),
  })
  .describe('A thread other than the leader.') satisfies Holds<ThreadSeen>;

const callArgument: z.ZodType<CallArgument> = z
  .lazy(() =>
    z.union([z.string(), z.number(), z.null(), refusal, z.array(z.string()), z.array(z.number()), z.record(z.string(), callArgument)]),
  )
  .describe(
    'Flags are lists of names, structures are objects. A string is what the memory held; a byte of it that is no UTF-8 is the lone surrogate ' +
      'U+DC00 + byte, as in Python (PEP 383). A null pointer is null, one that could not be read a refusal, one that is not followed {address}. ' +
      'The fd of setns is {fd, namespace: {type, inode}} or {fd, pid} where it is known what it is.',
  );

const processShape = {
  pid,
  start,
  ppid: pid,
  state: z.string().describe('State letter of /proc/PID/stat.'),
  comm: z.string(),
  argv: seen(z.array(z.string())),
  exe: seen(z.string()),
  nspid: seen(z.array(z.int())).describe('Pids from the outermost to the innermost pid namespace.'),
  uids: seen(ids),
  gids: seen(ids),
  credentials: seen(credentialsSchema).exactOptional(),
  threads: z.array(thread).describe('Every thread but the leader.'),
  namespaces: namespaceLinks,
  cgroup: seen(z.array(cgroupPath)),
};
const processSeen = z.object(processShape) satisfies Holds<ProcessSeen>;

const mount = z.object({
  id: z.int(),
  parent: z.int(),
  device: z.string().describe('major:minor'),
  root: z.string(),
  point: z.string(),
  options: z.array(z.string()),
  propagation: z.object({
    shared: z.int().exactOptional(),
    master: z.int().exactOptional(),
    propagateFrom: z.int().exactOptional(),
    unbindable: z.literal(true).exactOptional(),
  }),
  fsType: z.string(),
  source: z.string(),
  superOptions: z.array(z.string()),
  chroot: z
    .literal(true)
    .exactOptional()
    .describe('No line of mountinfo: the root of `pid` is the directory `root` of this mount, whose own lies outside.'),
}) satisfies Holds<Mount>;

const end = {code: z.int().min(0).max(255).exactOptional(), signal: z.string().exactOptional()};

const count = z.string().regex(/^[0-9]+$/);
const cgroupWriter = z.object({uid: z.int(), gid: z.int(), mode: z.string()}) satisfies Holds<CgroupWriter>;
const cgroupLevel = z.object({
  path: z.string(),
  resources: z.array(
    z.object({
      resource: z
        .string()
        .describe('memory, swap, memory+swap and hugetlb in bytes, pids in tasks, cpu in thousandths of a CPU, cgroups in those below.'),
      limit: count.nullable(),
      soft: count.exactOptional(),
      first: count.exactOptional().describe('Where it is among the first to be reclaimed from: memory.soft_limit_in_bytes.'),
      min: count.exactOptional().describe('memory.min, where it is not 0.'),
      low: count.exactOptional().describe('memory.low, where it is not 0.'),
      oomGroup: z.literal(true).exactOptional().describe('memory.oom.group: where one is killed for memory, all are.'),
      use: count.exactOptional(),
      peak: count.exactOptional(),
      weight: count.exactOptional(),
      text: z.string().exactOptional(),
      uncontrolled: z.literal(true).exactOptional().describe('Only counted: its controller is not enabled here.'),
      events: z.record(z.string(), z.number()).exactOptional(),
      eventsBelow: z
        .record(z.string(), z.number())
        .exactOptional()
        .describe('The same of cgroups below, where events are those of this one alone.'),
      depth: count.exactOptional().describe('Of cgroups: how many levels there may be below.'),
      total: count.exactOptional().describe('Since the cgroup exists: cpu in µs of CPU time, io in bytes read and written.'),
      pressure: z.object({some: z.number(), full: z.number().exactOptional()}).exactOptional(),
    }),
  ),
  frozen: z.boolean().exactOptional(),
  freezing: z.literal(true).exactOptional().describe('Told to freeze, and not all of its tasks have stopped.'),
  type: z.string().exactOptional().describe('cgroup.type, where it is not domain.'),
  cut: z.literal(true).exactOptional().describe('There are cgroups above it that nsview cannot see.'),
  writer: seen(cgroupWriter),
  threadWriter: seen(cgroupWriter).exactOptional().describe('Of tasks (v1) or cgroup.threads, where it differs.'),
}) satisfies Holds<CgroupLevel>;

const idRanges = z.array(z.object({inside: z.int(), outside: z.int(), count: z.int()}));

const FACTS = {
  process: z.object({
    kind: z.literal('process'),
    at,
    ...processShape,
    because: z.enum(['attach', 'launch', 'watch', 'born']),
  }) satisfies Holds<ProcessFact>,
  clone: z.object({
    kind: z.literal('clone'),
    at,
    pid: pid.describe('The process that called.'),
    tid: pid.describe('The thread that called.'),
    child: pid.describe('The new process, or with CLONE_THREAD the new thread of pid.'),
    start,
    ppid: pid,
    flags: seen(z.array(z.string())).describe('Names of the flags of clone(2).'),
    exitSignal: z.string().nullable(),
    nspid: z.array(z.int()).exactOptional(),
    cgroup: seen(z.string()).exactOptional().describe('With CLONE_INTO_CGROUP: the cgroup v2 into which the child was born.'),
    changed: changes.describe('Links in which the child differs from the caller.'),
  }) satisfies Holds<CloneFact>,
  exec: z.object({
    kind: z.literal('exec'),
    at,
    pid,
    path: seen(z.string()),
    argv: seen(z.array(z.string())),
    argvCut: z.literal(true).exactOptional(),
    comm: z.string(),
    formerTid: pid.exactOptional(),
    uids: z.object({from: ids, to: ids}).exactOptional(),
    gids: z.object({from: ids, to: ids}).exactOptional(),
    capabilities: capabilityChanges.exactOptional(),
    dropped: z
      .array(z.enum(['set-user-ID', 'set-group-ID', 'capabilities']))
      .exactOptional()
      .describe('What the kernel did not give the program since ptrace follows it without privilege.'),
  }) satisfies Holds<ExecFact>,
  exit: z
    .object({kind: z.literal('exit'), at, pid, ...end, core: z.literal(true).exactOptional()})
    .refine(fact => (fact.code === undefined) !== (fact.signal === undefined), 'an exit has a code or a signal') satisfies Holds<ExitFact>,
  'thread-exit': z.object({kind: z.literal('thread-exit'), at, pid, tid: pid, ...end}) satisfies Holds<ThreadExitFact>,
  namespaces: z.object({kind: z.literal('namespaces'), at, pid, tid: pid, changed: changes}) satisfies Holds<NamespacesFact>,
  'cgroup-move': z.object({
    kind: z.literal('cgroup-move'),
    at,
    pid,
    tid: pid,
    alone: z.literal(true).exactOptional().describe('The other threads of its process stayed.'),
    hierarchy: z.int(),
    from: z.string().exactOptional().describe('Absent where an event told of it: where it last was told to be.'),
    to: seen(z.string()),
    by: z
      .object({pid: z.int(), tid: z.int(), comm: z.string()})
      .exactOptional()
      .describe('Who moved it, 0 where nsview’s pid namespace has no pid of it; absent where two readings differ.'),
  }) satisfies Holds<CgroupMoveFact>,
  'id-maps': z.object({
    kind: z.literal('id-maps'),
    at,
    pid,
    user: z.string().describe('Inode of the user namespace; pid is a process in it.'),
    uid: idRanges.exactOptional(),
    gid: idRanges.exactOptional(),
    setgroups: z.literal('deny').exactOptional(),
  }) satisfies Holds<IdMapsFact>,
  call: z.object({
    kind: z.literal('call'),
    at,
    pid,
    tid: pid,
    name: z.string().describe('As in syscalls(2).'),
    abi: z.enum(['32-bit', 'x32']).describe("Where it was not numbered as the machine's own calls are.").exactOptional(),
    args: z
      .record(z.string(), callArgument)
      .nullable()
      .describe('By the names of the man page, in order; null for calls of another ABI, which are named and not decoded.'),
    cut: z
      .array(z.string())
      .describe('Arguments that go on behind what is kept: 1023 bytes of a string, 1024 of a list or a buffer.')
      .exactOptional(),
    result: z
      .union([z.number(), z.object({errno: z.string()}), z.null()])
      .describe('What it returned, the errno where it failed, null where its task ended in it.'),
    changed: changes,
    uids: z.object({from: ids, to: ids}).exactOptional(),
    gids: z.object({from: ids, to: ids}).exactOptional(),
    capabilities: capabilityChanges.exactOptional(),
    effective: z
      .string()
      .describe('Of a call that failed: the effective capabilities that its task had, a hexadecimal mask as in /proc/PID/status.')
      .exactOptional(),
  }) satisfies Holds<CallFact>,
  stop: z.object({kind: z.literal('stop'), at, pid, signal: z.string()}) satisfies Holds<StopFact>,
  continue: z.object({kind: z.literal('continue'), at, pid}) satisfies Holds<ContinueFact>,
  change: z.object({
    kind: z.literal('change'),
    at,
    pid,
    ppid: pid.exactOptional(),
    state: z.string().exactOptional(),
    comm: z.string().exactOptional(),
    argv: seen(z.array(z.string())).exactOptional(),
    exe: seen(z.string()).exactOptional(),
    nspid: seen(z.array(z.int())).exactOptional(),
    uids: seen(ids).exactOptional(),
    gids: seen(ids).exactOptional(),
    threads: z.array(thread).exactOptional(),
    cgroup: seen(z.array(cgroupPath)).exactOptional(),
  }) satisfies Holds<ChangeFact>,
  lost: z.object({kind: z.literal('lost'), at, count: z.int()}) satisfies Holds<LostFact>,
  gone: z.object({kind: z.literal('gone'), at, pid}) satisfies Holds<GoneFact>,
  mounts: z.object({
    kind: z.literal('mounts'),
    at,
    inode,
    pid,
    owner: seen(inode).exactOptional().describe('Inode of the user namespace that owns it.'),
    mounts: seen(z.array(mount)),
    outside: z.array(mount).exactOptional().describe('What the namespace has beyond that, outside of the root of `pid`.'),
    ages: z
      .array(z.number())
      .exactOptional()
      .describe('A number for each of the mounts, in their order: which was made later has a higher one; 0: not known.'),
    idMaps: z
      .record(z.string(), z.object({uid: idRanges, gid: idRanges}))
      .exactOptional()
      .describe('Of ID-mapped mounts, by id: who owns a file in the file system (inside), and through the mount (outside).'),
  }) satisfies Holds<MountsFact>,
  cgroup: z.object({
    kind: z.literal('cgroup'),
    at,
    hierarchy: z.int(),
    controllers: z.array(z.string()),
    path: z.string(),
    directory: seen(z.string()),
    levels: z.array(cgroupLevel).exactOptional(),
    members: seen(z.array(z.int())).describe('Pids; of a threaded cgroup tids.'),
    events: z.record(z.string(), z.int()).exactOptional(),
  }) satisfies Holds<CgroupFact>,
  containers: z.object({kind: z.literal('containers'), at, ...containersShape}) satisfies Holds<ContainersFact>,
  ownership: z.object({kind: z.literal('ownership'), at, pid, start, seen: seen(ownershipSchema)}) satisfies Holds<OwnershipFact>,
  identity: z.object({kind: z.literal('identity'), at, pid, start, seen: seen(identitySchema)}) satisfies Holds<IdentityFact>,
  network: z.object({kind: z.literal('network'), at, pid, start, seen: seen(networkSchema)}) satisfies Holds<NetworkFact>,
  sharing: z.object({kind: z.literal('sharing'), at, pid, start, seen: seen(sharingSchema)}) satisfies Holds<SharingFact>,
  cgroupView: z.object({
    kind: z.literal('cgroupView'),
    at,
    pid,
    start,
    seen: seen(z.object({sameNamespace: z.boolean().nullable(), inside: seen(z.array(cgroupPath))})),
  }) satisfies Holds<CgroupViewFact>,
  mountHolders: z.object({
    kind: z.literal('mountHolders'),
    at,
    pid,
    start,
    mount: z.int(),
    seen: seen(mountHoldersSchema),
  }) satisfies Holds<MountHoldersFact>,
  tracer: z.object({
    kind: z.literal('tracer'),
    at,
    mode: z.enum(['bpf', 'ptrace', 'proc']),
    scope: pid.nullable(),
    sees: z.array(z.string()),
    callsBy: z.enum(['stops', 'filter']).exactOptional(),
    processes: z.int(),
    threads: z.int(),
    because: z.string().exactOptional(),
    bpf: refusal.exactOptional(),
  }) satisfies Holds<TracerFact>,
  refused: z.object({
    kind: z.literal('refused'),
    at,
    pid,
    tid: pid.exactOptional(),
    errno: z.string(),
    during: z.string(),
    rule: z.string(),
    remedy: z.string(),
  }) satisfies Holds<RefusedFact>,
} satisfies {[kind in Fact['kind']]: z.ZodType};

const host = z.object({
  hostname: z.string(),
  kernel: z.string(),
  machine: z.string(),
  clockTicks: z.int().min(1),
  euid: z.int(),
  capabilities: z.string(),
  lastCapability: z.int().min(0).max(63).exactOptional().describe('The number of the highest capability that the kernel knows.'),
  cgroups: z.enum(['v1', 'v2', 'hybrid', 'none']),
  namespaces: namespaceLinks,
}) satisfies Holds<Host>;

const headerSchema = z.object({
  format: z.literal('nsview/tape'),
  version: z.literal(1),
  nsview: z.string(),
  at,
  realtime: nanoseconds.describe('CLOCK_REALTIME in nanoseconds when CLOCK_MONOTONIC was `at`.'),
  host,
  target: z.union([z.object({pid}), z.object({command: z.array(z.string())}), z.object({machine: z.literal(true)})]),
}) satisfies Holds<TapeHeader>;

const snapshotSchema = z.object({
  format: z.literal('nsview/snapshot'),
  version: z.literal(1),
  nsview: z.string(),
  at,
  realtime: nanoseconds,
  host,
  processes: z.array(processSeen),
  namespaces: z.array(
    z.object({
      type: z.string(),
      inode,
      processes: z.array(pid).describe('Processes that are in it, ascending.'),
      threads: z
        .array(z.object({pid, tid: pid}))
        .exactOptional()
        .describe('Threads that are in it while their process is not.'),
      forChildrenOf: z.array(pid).exactOptional().describe('Processes that are not in it, but whose children will be.'),
      owner: inode.exactOptional(),
      heldBy: z
        .array(holderSchema)
        .exactOptional()
        .describe(
          'Bind mounts, fds, sockets of processes elsewhere, single threads whose children will be born in it and, where no task is in it, namespaces that keep it alive.',
        ),
    }),
  ),
  mountNamespaces: z.array(
    z.object({
      inode,
      pid: z.int().min(0).describe('The process through which it was read; 0: none is in it.'),
      mounts: seen(z.array(mount)),
      hidden: z.array(z.int()).exactOptional().describe('Ids of mounts that others cover, so that no path leads to them; none: left out.'),
    }),
  ),
  unlisted: refusal.exactOptional().describe('Why mount namespaces without processes may be missing.'),
  cgroups: z.array(
    z.object({
      hierarchy: z.int(),
      controllers: z.array(z.string()),
      path: z.string(),
      processes: z.array(pid),
      limits: z
        .record(z.string(), z.object({limit: count, use: count.exactOptional(), by: z.string()}))
        .exactOptional()
        .describe('The limit that binds, and which cgroup sets it.'),
    }),
  ),
  networks: z
    .array(
      z.object({
        inode,
        pid: z.int().min(0).describe('The process or thread through which it was read; 0: none is in it.'),
        interfaces: seen(interfacesSchema),
        routes: seen(routesSchema).describe('Of a tree (-p), never of the whole machine.').exactOptional(),
        listeners: seen(boundSchema).exactOptional(),
        settings: seen(settingsSchema).exactOptional(),
        cut: z.array(z.string()).describe('What was more than nsview reads: interfaces, addresses, routes.').exactOptional(),
      }),
    )
    .exactOptional(),
  containers: z
    .array(
      z.object({
        runtime: z.string(),
        through: z.string().exactOptional(),
        id: z.string(),
        name: z.string().nullable(),
        processes: z.array(pid),
        evidence: z.array(evidenceSchema),
        missing: z.string().nullable(),
      }),
    )
    .exactOptional()
    .describe('What container runtimes call trees of processes, with what says so.'),
  sharing: treeSharingSchema
    .exactOptional()
    .describe('Only of a tree (-p PID): what its processes share by clone(2), and which of their fds reach outside.'),
  details: treeDetailsSchema.exactOptional().describe('Only of a tree: what nsview diff compares besides.'),
}) satisfies Holds<Snapshot>;

/** A value, or in one line why it is none. */
export type Parsed<T> = {readonly ok: true; readonly value: T} | {readonly ok: false; readonly problem: string};

function parsed<T>(result: z.ZodSafeParseResult<unknown>): Parsed<T> {
  if (result.success) return {ok: true, value: result.data as T};
  const issue = result.error.issues[0];
  const where = issue === undefined || issue.path.length === 0 ? '' : `${issue.path.join('.')}: `;
  return {ok: false, problem: `${where}${issue?.message ?? 'not valid'}`};
}

export const parseHeader = (value: unknown): Parsed<TapeHeader> => parsed(headerSchema.safeParse(value));
export const parseSnapshot = (value: unknown): Parsed<Snapshot> => parsed(snapshotSchema.safeParse(value));

/** null: a kind of fact that this version does not know, written by a later one. It is passed over. */
export function parseFact(value: unknown): Parsed<Fact | null> {
  const kind = typeof value === 'object' && value !== null && 'kind' in value ? value.kind : undefined;
  if (typeof kind !== 'string') return {ok: false, problem: 'no fact: it has no kind'};
  if (!Object.hasOwn(FACTS, kind)) return {ok: true, value: null};
  return parsed(FACTS[kind as Fact['kind']].safeParse(value));
}

const compared = z.object({pid, tid: pid.exactOptional(), comm: z.string()}).nullable();
const comparisonSchema = z.object({
  format: z.literal('nsview/diff'),
  version: z.literal(1),
  equal: z.boolean().describe('In all that could be compared; of that nothing was told of one side only.'),
  differences: z.array(
    z.object({
      kind: z.enum(DIFFERENCES),
      a: compared.describe('The process of A, or with tid its thread; null: nobody is in the place of that of B.'),
      b: compared,
      what: z.string(),
      inA: z.string(),
      inB: z.string(),
      refused: z.literal(true).exactOptional().describe('Told of one side only.'),
    }),
  ),
  compared: z.object({processes: z.int(), threads: z.int(), namespaces: z.int(), mounts: z.int(), facts: z.int()}),
  notCompared: z.array(z.string()),
}) satisfies Holds<Comparison>;

/** JSON Schema of all formats (draft 2020-12). A tape is described by its first line and by its other lines. */
export function jsonSchemas(): {snapshot: unknown; tape: {header: unknown; fact: unknown}; diff: unknown} {
  return {
    snapshot: z.toJSONSchema(snapshotSchema),
    tape: {header: z.toJSONSchema(headerSchema), fact: z.toJSONSchema(z.union(Object.values(FACTS)))},
    diff: z.toJSONSchema(comparisonSchema),
  };
}
