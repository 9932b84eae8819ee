import {spawnSync} from 'node:child_process';
import {existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync} from 'node:fs';
import {describe, expect, it} from 'vitest';
import {byteText} from '../../src/model/byte-text.ts';
import {CALL_NAMES, isString} from '../../src/model/call.ts';
import type {CallArgument, CallFact, Fact} from '../../src/model/fact.ts';
import {isRefusal} from '../../src/model/fact.ts';
import {until} from '../support/attached.ts';
import {leaveNothingBehind} from '../support/leaks.ts';
import {
  type AttachedHow,
  followBy,
  type LaunchedHow,
  ofKind,
  readTapeStrictly,
  run,
  start,
  type Traced,
  temporaryFolder,
} from '../support/nsview.ts';
import {fixture, NSVIEW} from '../support/paths.ts';
import {isRoot, needsRoot} from '../support/user.ts';

leaveNothingBehind();

/** What strace 6.1 does not know. */
const UNKNOWN_TO_STRACE: readonly string[] = ['open_tree_attr', 'lsm_set_self_attr'];
const COMPARED = CALL_NAMES.filter(name => !UNKNOWN_TO_STRACE.includes(name));

/** Every way in which isolation calls are told: all of these tests run over each. */
const WAYS: readonly {readonly by: string; readonly when: 'launched' | 'attached'; readonly how: LaunchedHow | AttachedHow}[] = [
  {by: 'BPF', when: 'launched', how: 'bpf'},
  {by: 'BPF', when: 'attached', how: 'bpf'},
  {by: 'stops', when: 'launched', how: 'ptrace'},
  {by: 'stops', when: 'attached', how: 'syscalls'},
  {by: 'a filter', when: 'launched', how: 'fast'},
];
type Way = (typeof WAYS)[number];
const LAUNCHED = WAYS.filter(({when}) => when === 'launched');
const ATTACHED = WAYS.filter(({when}) => when === 'attached');

type Run = Pick<Traced, 'facts' | 'code' | 'stdout'>;

/** Traces a fixture to its end; attached, it begins when it is released. */
async function trace({when, how}: Way, program: string, ...args: string[]): Promise<Run> {
  if (when === 'attached') return await traceAttached(how, [], program, ...args);
  using folder = temporaryFolder();
  const tape = folder.file('tape');
  const {code, stdout} = await run('trace', '--json', ...followBy(how), '-o', tape, '--', program, ...args);
  return {code, stdout, ...readTapeStrictly(tape)};
}

/** `starter`: what starts nsview. */
async function traceAttached(how: Way['how'], starter: readonly string[], program: string, ...args: string[]): Promise<Run> {
  using folder = temporaryFolder();
  const tape = folder.file('tape');
  await using target = start(program, ...args, 'wait');
  await target.says(/ready/);
  const [command, ...rest] = [...starter, NSVIEW, 'trace', '--json', ...followBy(how), '-o', tape, '-p', String(target.pid)];
  await using tracer = start(command, ...rest);
  await until(() => existsSync(tape) && readFileSync(tape, 'utf8').includes('"kind":"tracer"'), `attached: ${tracer.stderr}`);
  target.release();
  const {code, stdout} = await target.ended;
  await tracer.ended;
  return {code, stdout, ...readTapeStrictly(tape)};
}

const callsOf = (facts: readonly Fact[]): CallFact[] => ofKind(facts, 'call');

/* ---- What strace says of it ---- */

/** Words, lists and structures, in which flags have an order and numbers a base of their own. */
type Told = string | readonly Told[] | {readonly [name: string]: Told};

type Call = {readonly pid: number; readonly name: string; readonly args: readonly Told[]; readonly result: string};

/** Cuts at the commas that are not inside of anything. */
function splitTop(text: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let isQuoted = false;
  let part = '';
  for (const character of text) {
    if (character === '"') isQuoted = !isQuoted;
    if (!isQuoted && '([{'.includes(character)) depth++;
    if (!isQuoted && ')]}'.includes(character)) depth--;
    if (character === ',' && depth === 0 && !isQuoted) {
      parts.push(part.trim());
      part = '';
    } else part += character;
  }
  return part.trim() === '' ? parts : [...parts, part.trim()];
}

/** An address says nothing that is the same twice, unless it was made up. Programs have 47 bits of them on x86_64, 48 on aarch64. */
const numberText = (value: bigint): string => (value > 1n << 32n && value < 1n << 48n ? 'address' : String(value));

/** Flags in the order of the alphabet; numbers in decimal. */
function words(text: string): string {
  const parts = text.split('|').map(part => part.replace(/^1<<(?=CAP_)/, ''));
  return parts
    .map(part => (/^(0x[0-9a-f]+|\d+)$/.test(part) ? numberText(BigInt(part)) : part))
    .sort()
    .join('|');
}

function parseTold(text: string): Told {
  if (text.startsWith('"')) {
    const hex = [...text.slice(0, text.lastIndexOf('"')).matchAll(/\\x([0-9a-f]{2})/g)].map(match => Number.parseInt(match[1] ?? '', 16));
    return `"${byteText(Uint8Array.from(hex))}`;
  }
  if (text.startsWith('[')) return splitTop(text.slice(1, -1)).map(parseTold);
  if (!text.startsWith('{')) return words(text);
  const entries = splitTop(text.slice(1, -1)).map(entry => /^(\w+)=(.*)$/s.exec(entry) ?? []);
  return Object.fromEntries(entries.map(([, name = '?', value = '']) => [name, parseTold(value)]));
}

/** Where strace and nsview mean the same and spell it otherwise: what strace writes, and what it is. */
const SPELLINGS: readonly (readonly [RegExp, string, string])[] = [
  [/ \/\* .*? \*\//g, '', 'what strace has no name for'],
  [/MS_MGC_VAL\|/, '', 'a number that meant something before Linux 2.4'],
  [/\bMS_NOSEC\b/, '0x10000000', 'a flag that nobody but the kernel itself may set'],
  [/MOUNT_ATTR_NOATIME\|MOUNT_ATTR_STRICTATIME\|0x40/g, 'MOUNT_ATTR__ATIME', 'three bits that are one number'],
  [/MOUNT_ATTR_NOATIME\|MOUNT_ATTR_STRICTATIME/, '0x30', 'the same'],
  [/attr_set=0(?=, attr_clr=[A-Z_|]*__ATIME)/, 'attr_set=MOUNT_ATTR_RELATIME', 'the same: this number is 0'],
  [/^setdomainname\((.*), 4294967295\)/, 'setdomainname($1, -1)', 'an int'],
  [/^clone\(.*flags=([^,)]*).*\) /, 'clone($1) ', 'what else clone takes says nothing of isolation'],
  [/^prctl\(0x41, 0x1, /, 'prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, ', 'an option that is newer than strace 6.1'],
];

/** Queries change nothing, and are not told. */
const QUERY =
  /^prctl\(PR_(SET_NAME|GET_|CAPBSET_READ|CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET)|^seccomp\(SECCOMP_GET|^landlock_create_ruleset\(.*_VERSION\)/;
/** Where they succeed, their births are told. */
const BIRTH = /^clone3?\(.*= \d+$/;

/** A call that another process came into is told in two lines: here in one, where it began. */
function wholeLines(text: string): string[] {
  const lines = text.split('\n');
  for (const [index, line] of lines.entries()) {
    const [, pid, start] = /^(\d+) +(.*) <unfinished \.\.\.>$/.exec(line) ?? [];
    if (pid === undefined || start === undefined) continue;
    const end = lines.findIndex((other, at) => at > index && new RegExp(`^${pid} +<\\.\\.\\. \\w+ resumed>`).test(other));
    lines[index] = `${pid} ${start}${lines[end]?.replace(/^.*? resumed>/, '') ?? ''}`;
    lines[end] = '';
  }
  return lines;
}

function straceCalls(under: readonly string[], program: string, ...args: string[]): Call[] {
  using folder = temporaryFolder();
  const file = folder.file('strace');
  const options = ['-f', '-v', '-xx', '-s', '4000', '-o', file, '-e', `trace=${COMPARED.join(',')}`];
  const [command = '', ...rest] = [...under, 'strace', ...options, program, ...args];
  const {status, stderr} = spawnSync(command, rest, {encoding: 'utf8'});
  if (status !== 0) throw new Error(stderr);
  return wholeLines(readFileSync(file, 'utf8')).flatMap(line => {
    const [, pid, said = ''] = /^(\d+) +(.*)$/.exec(line) ?? [];
    if (!/^\w+\(/.test(said) || QUERY.test(said) || BIRTH.test(said)) return [];
    const text = SPELLINGS.reduce((all, [pattern, by]) => all.replace(pattern, by), said);
    const [, name = '', list = '', number = '', errno] = /^(\w+)\((.*)\) += (-?\d+)(?: (E[A-Z0-9]+))?/.exec(text) ?? [];
    if (name === '') throw new Error(`strace said what is no call: ${line}`);
    return [{pid: Number(pid), name, args: splitTop(list).map(parseTold), result: errno ?? number}];
  });
}

/* ---- What nsview says of it ---- */

function toldOf(argument: CallArgument, isText: boolean): Told {
  if (argument === null) return 'NULL';
  if (typeof argument === 'number') return words(String(argument));
  if (typeof argument === 'string') return isText ? `"${argument}` : words(argument);
  if (isRefusal(argument)) return words(argument.during.replace('read ', ''));
  if (Array.isArray(argument)) {
    const list = argument as readonly (string | number)[];
    if (list.some(item => typeof item === 'number')) return list.map(item => words(String(item)));
    return list.length === 0 ? '0' : words(list.join('|'));
  }
  const structure = argument as {readonly [name: string]: CallArgument};
  if (typeof structure.address === 'string') return words(structure.address);
  if (typeof structure.fd === 'number') return String(structure.fd);
  return Object.fromEntries(Object.entries(structure).map(([name, value]) => [name, toldOf(value, false)]));
}

const resultOf = ({result}: CallFact): string => (result === null ? '?' : typeof result === 'number' ? String(result) : result.errno);

/** Members that strace 6.1 does not have yet: where it has them, they are compared. */
const NEWER = new Set(['handled_access_net', 'scoped']);

const isObject = (told: Told | undefined): told is {readonly [name: string]: Told} => typeof told === 'object' && !Array.isArray(told);

/**
 * What nsview tells of an argument, made comparable with what strace tells. Neither has all: of filters and of what clone3 takes strace
 * tells more; it does not read what the kernel would refuse by its size, where nsview does; and nsview keeps 1024 bytes.
 */
function sameOrBoth(strace: Told | undefined, nsview: Told, call: CallFact, name: string): Told {
  const isCut = call.cut?.includes(name) ?? false;
  if (isCut && typeof strace === 'string' && typeof nsview === 'string' && strace.startsWith(nsview) && nsview.length === 1024)
    return strace;
  if (isCut && Array.isArray(strace) && Array.isArray(nsview) && nsview.length === 256) return [...nsview, ...strace.slice(256)];
  // Of an unknown version it cannot be known how long it is.
  if (call.name === 'capset' && name === 'datap' && resultOf(call) === 'EINVAL') return strace ?? nsview;
  // Refused before the kernel looked: its page was not there, BPF does not wait for pages, and the process was gone too soon to look again.
  if (nsview === 'address' && call.result !== null && typeof call.result === 'object' && call.result.errno === 'EPERM')
    return strace ?? nsview;
  if (strace === 'address' && nsview !== 'NULL' && call.result !== null && typeof call.result === 'object') return 'address';
  // A blob, which nsview does not read.
  if (call.args?.cmd === 'FSCONFIG_SET_BINARY' && name === 'value' && nsview === 'address') return strace ?? nsview;
  if (isObject(strace) && isObject(nsview)) {
    const added = Object.entries(strace).filter(([key]) => !(key in nsview));
    const kept = Object.entries(nsview).filter(([key]) => key in strace || !NEWER.has(key));
    return Object.fromEntries([...kept, ...added]);
  }
  return nsview;
}

function compareCalls(strace: readonly Call[], calls: readonly CallFact[]): void {
  expect(calls.map(({name}) => name)).toEqual(strace.map(({name}) => name));
  const pids = new Map<number, number>();
  for (const [index, expected] of strace.entries()) {
    const call = calls[index] as CallFact;
    const told = Object.entries(call.args ?? {}).map(([name, value], at) =>
      sameOrBoth(expected.args[at], toldOf(value, isString(call.name, name)), call, name),
    );
    // prctl(2) and its five: those that an option does not have are zero.
    const args = call.name === 'prctl' ? expected.args.slice(0, told.length) : expected.args;
    expect({index, name: call.name, args: told, result: resultOf(call)}).toEqual({
      index,
      name: expected.name,
      args,
      result: expected.result,
    });
    expect(pids.get(expected.pid) ?? call.pid).toBe(call.pid);
    pids.set(expected.pid, call.pid);
  }
  expect(new Set(pids.values()).size).toBe(pids.size);
}

describe.each(WAYS)('$when by $by', way => {
  it('every call is what strace says of it: name, arguments, result, order', async context => {
    if (spawnSync('strace', ['-V']).status !== 0) context.skip('strace is not installed');
    using folder = temporaryFolder();
    const mountPoint = folder.file('mnt');
    mkdirSync(mountPoint);
    // The filter comes with no_new_privs, which lets a user have filters of their own (seccomp(2)).
    const besides = way.by === 'a filter' && !isRoot ? ['setpriv', '--no-new-privs'] : [];
    const strace = straceCalls(besides, fixture('makes-calls'), mountPoint);
    const {code, facts} = await trace(way, fixture('makes-calls'), mountPoint);
    expect(code).toBe(0);
    // By its filter a clone stops where its flags are those of an isolation call; others fail unseen.
    const isSeen = ({name, args}: Call) => way.by !== 'a filter' || name !== 'clone' || /CLONE_NEW/.test(JSON.stringify(args[0]));
    const calls = callsOf(facts);
    // Every call of the table is among them.
    expect([...new Set(strace.map(({name}) => name))].sort()).toEqual([...COMPARED].sort());
    expect(strace.length).toBeGreaterThan(150);
    // Under a filter no other mode can be entered (kernel/seccomp.c, seccomp_may_assign_mode).
    const isRefused = ({name, args}: Call) => way.by === 'a filter' && name === 'seccomp' && args[0] === 'SECCOMP_SET_MODE_STRICT';
    const expected = strace.filter(isSeen).map(call => (isRefused(call) ? {...call, result: 'EINVAL'} : call));
    compareCalls(expected, calls);
  });
});

describe.each(WAYS)('calls that are newer than strace, $when by $by', way => {
  it('are decoded, whether the kernel has them or not', async () => {
    const {code, facts} = await trace(way, fixture('newer-calls'));
    expect(code).toBe(0);
    const failure = {errno: expect.any(String)};
    expect(callsOf(facts).map(({name, args, result}) => ({name, args, result}))).toEqual([
      {
        name: 'open_tree_attr',
        args: {
          dfd: 'AT_FDCWD',
          path: '/',
          flags: ['OPEN_TREE_CLONE', 'OPEN_TREE_CLOEXEC'],
          attr: {attr_set: ['MOUNT_ATTR_RDONLY'], attr_clr: ['MOUNT_ATTR_NOEXEC'], propagation: ['MS_PRIVATE'], userns_fd: 0},
          size: 32,
        },
        // open_tree(2): a clone needs CAP_SYS_ADMIN.
        result: expect.toBeOneOf([expect.any(Number), {errno: 'ENOSYS'}, ...(isRoot ? [] : [{errno: 'EPERM'}])]),
      },
      {
        name: 'open_tree_attr',
        args: {dfd: -1, path: {errno: 'EFAULT', during: 'read 0x1'}, flags: ['AT_RECURSIVE'], attr: null, size: 0},
        result: failure,
      },
      {
        name: 'lsm_set_self_attr',
        args: {attr: 'LSM_ATTR_EXEC', ctx: {id: 'LSM_ID_APPARMOR', flags: 0, ctx: 'nobody\u0001'}, size: 40, flags: 0},
        result: failure,
      },
      {
        name: 'keyctl',
        args: {operation: 'KEYCTL_JOIN_SESSION_KEYRING', name: 'nsview'},
        result: expect.toBeOneOf([expect.any(Number), {errno: 'ENOSYS'}]),
      },
      {
        name: 'keyctl',
        args: {operation: 'KEYCTL_JOIN_SESSION_KEYRING', name: null},
        result: expect.toBeOneOf([expect.any(Number), {errno: 'ENOSYS'}]),
      },
      {
        name: 'open_tree',
        args: {dfd: -1, path: '/', flags: ['OPEN_TREE_NAMESPACE', 'OPEN_TREE_CLOEXEC', '0x40000000']},
        result: failure,
      },
      {name: 'fsmount', args: {fd: -1, flags: ['FSMOUNT_CLOEXEC', 'FSMOUNT_NAMESPACE'], attr_flags: []}, result: failure},
      {name: 'unshare', args: {flags: ['UNSHARE_EMPTY_MNTNS', 'CLONE_NEWNS', '0x2']}, result: failure},
      {name: 'unshare', args: {flags: ['0x10000000000']}, result: {errno: 'EINVAL'}},
      {
        name: 'clone3',
        args: {
          cl_args: {
            flags: ['CLONE_SIGHAND', 'CLONE_AUTOREAP', 'CLONE_NNP', 'CLONE_PIDFD_AUTOKILL', 'CLONE_EMPTY_MNTNS'],
            exit_signal: 0,
          },
          size: 64,
        },
        result: failure,
      },
      {
        name: 'landlock_create_ruleset',
        args: {
          attr: {
            handled_access_fs: ['LANDLOCK_ACCESS_FS_RESOLVE_UNIX', '0x20000'],
            handled_access_net: ['LANDLOCK_ACCESS_NET_BIND_UDP', 'LANDLOCK_ACCESS_NET_CONNECT_SEND_UDP'],
            scoped: ['LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET'],
            quiet_access_fs: ['LANDLOCK_ACCESS_FS_RESOLVE_UNIX'],
            quiet_access_net: ['LANDLOCK_ACCESS_NET_BIND_UDP'],
            quiet_scoped: ['LANDLOCK_SCOPE_SIGNAL'],
          },
          size: 48,
          flags: [],
        },
        result: failure,
      },
      {
        name: 'landlock_restrict_self',
        args: {ruleset_fd: -1, flags: ['LANDLOCK_RESTRICT_SELF_TSYNC', '0x40000000']},
        result: failure,
      },
      {name: 'prctl', args: {op: 'PR_SET_NO_NEW_PRIVS', value: 1, arg3: 7}, result: {errno: 'EINVAL'}},
      {
        name: 'prctl',
        args: {op: 'PR_SCHED_CORE', operation: 'PR_SCHED_CORE_SHARE_TO', pid: -1, type: 'PR_SCHED_CORE_SCOPE_PROCESS_GROUP'},
        result: failure,
      },
    ]);
  });
});

describe.each(WAYS)('a session keyring that a child gives its parent, $when by $by', way => {
  it('is the parent’s from then on, and told as what the child did', async context => {
    const {facts, stdout} = await trace(way, fixture('gives-keyring'));
    if (stdout.includes('no keyrings')) context.skip('kernel lacks keyctl');
    const [, child, before, joined, after] = /child (\d+) before (-?\d+) joined (\d+) after (\d+)/.exec(stdout)?.map(Number) ?? [];
    expect(after).toBe(joined);
    expect(after).not.toBe(before);
    expect(ofKind(facts, 'call').filter(({name}) => name === 'keyctl')).toMatchObject([
      {pid: child, args: {operation: 'KEYCTL_JOIN_SESSION_KEYRING', name: null}, result: joined},
      {pid: child, args: {operation: 'KEYCTL_SESSION_TO_PARENT'}, result: 0},
    ]);
  });
});

/* ---- What calls change ---- */

const failed = ({result}: CallFact): boolean => typeof result === 'object' && result !== null;

describe.each(WAYS)('what calls change, $when by $by', way => {
  async function traced(): Promise<readonly Fact[]> {
    needsRoot('become another user');
    using folder = temporaryFolder();
    const mountPoint = folder.file('mnt');
    mkdirSync(mountPoint);
    return (await trace(way, fixture('makes-calls'), mountPoint)).facts;
  }

  it('is told with them: namespaces, and ids as credentials(7) has them', async () => {
    const calls = callsOf(await traced());
    const moved = calls.filter(({uids, gids}) => uids !== undefined || gids !== undefined);
    expect(moved.map(({name, uids, gids}) => [name, uids?.from, uids?.to, gids?.from, gids?.to])).toEqual([
      ['setfsgid', undefined, undefined, [0, 0, 0, 0], [0, 0, 0, 7]],
      ['setfsuid', [0, 0, 0, 0], [0, 0, 0, 8], undefined, undefined],
      ['setfsuid', [0, 0, 0, 8], [0, 0, 0, 0], undefined, undefined],
      ['setregid', undefined, undefined, [0, 0, 0, 7], [0, 1001, 1001, 1001]],
      ['setresgid', undefined, undefined, [0, 1001, 1001, 1001], [1002, 1001, 1003, 1001]],
      ['setgid', undefined, undefined, [1002, 1001, 1003, 1001], [1004, 1004, 1004, 1004]],
      ['setreuid', [0, 0, 0, 0], [0, 1001, 1001, 1001], undefined, undefined],
      // setreuid(2): the saved id stays where the effective one becomes the real one.
      ['setreuid', [0, 1001, 1001, 1001], [0, 0, 1001, 0], undefined, undefined],
      ['setresuid', [0, 0, 1001, 0], [1002, 0, 1001, 0], undefined, undefined],
      ['setresuid', [1002, 0, 1001, 0], [1002, 0, 65533, 0], undefined, undefined],
      ['setuid', [1002, 0, 65533, 0], [4294967294, 4294967294, 4294967294, 4294967294], undefined, undefined],
    ]);
    const links = calls
      .filter(({changed}) => Object.keys(changed).length > 0)
      .map(({name, changed}) => [name, Object.keys(changed).sort()]);
    expect(links).toEqual([
      ['unshare', ['uts']],
      ['unshare', ['mnt']],
      ['unshare', ['cgroup', 'ipc', 'net', 'uts']],
      ['setns', ['uts']],
      ['setns', ['net']],
      ['setns', ['cgroup', 'ipc']],
      ['unshare', ['pid_for_children', 'time_for_children']],
      ['unshare', ['mnt', 'user']],
    ]);
    expect(
      calls
        .filter(failed)
        .filter(
          fact =>
            Object.keys(fact.changed).length > 0 || fact.uids !== undefined || fact.gids !== undefined || fact.capabilities !== undefined,
        ),
    ).toEqual([]);
  });

  it('leads where setns was told to, and back to where unshare came from', async () => {
    const calls = callsOf(await traced());
    const unshared = calls.find(({changed}) => changed.net !== undefined && changed.uts !== undefined);
    const [uts, net, , file, none, pidfd] = calls.filter(({name}) => name === 'setns');
    expect(uts?.args?.fd).toEqual({fd: 3, namespace: {type: 'uts', inode: unshared?.changed.uts?.from}});
    expect(uts?.changed.uts).toEqual({from: unshared?.changed.uts?.to, to: unshared?.changed.uts?.from});
    expect(net?.args?.fd).toEqual({fd: 4, namespace: {type: 'net', inode: unshared?.changed.net?.from}});
    expect(file?.args?.fd).toBe(5);
    expect(none?.args?.fd).toBe(-1);
    const parent = ofKind(await traced(), 'process')[0]?.pid;
    expect(pidfd?.args?.fd).toEqual({fd: 6, pid: expect.any(Number)});
    expect(parent).toEqual(expect.any(Number));
  });
});

/** Of an empty cgroup, while there is one, and the births that somebody tells who traces what makes children there. */
async function birthsInto(
  context: {skip(reason: string): never},
  make: (path: string) => void,
  traced: (path: string) => Promise<Pick<Traced, 'facts' | 'code'>>,
) {
  const mountPoint = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .find(line => line.includes(' - cgroup2 '))
    ?.split(' ')[4];
  if (mountPoint === undefined) return context.skip('needs a mounted cgroup v2');
  needsRoot('make a cgroup at the root of the hierarchy');
  const path = `${mountPoint}/${BIRTHPLACE}`;
  mkdirSync(path);
  try {
    make(path);
    const {facts, code} = await traced(path);
    expect(code).toBe(0);
    return ofKind(facts, 'clone')
      .filter(({flags}) => Array.isArray(flags) && flags.includes('CLONE_INTO_CGROUP'))
      .map(({cgroup, flags}) => [cgroup, Array.isArray(flags) && flags.includes('CLONE_THREAD')]);
  } finally {
    for (const below of ['/threaded', '/own', ''].map(one => path + one).filter(one => existsSync(one))) {
      await until(() => readFileSync(`${below}/cgroup.events`, 'utf8').includes('populated 0'), 'an empty cgroup');
      rmdirSync(below);
    }
  }
}
const BIRTHPLACE = `nsview-born-${process.pid}`;

describe.each(WAYS)('a cgroup into which a child is born, $when by $by', way => {
  it('is told with its birth, of one that ends at once and of a thread', async context => {
    const makeThreaded = (path: string) => {
      mkdirSync(`${path}/threaded`);
      writeFileSync(`${path}/threaded/cgroup.type`, 'threaded');
    };
    expect(await birthsInto(context, makeThreaded, path => trace(way, fixture('born-into-cgroup'), path))).toEqual([
      [`/${BIRTHPLACE}`, false],
      [`/${BIRTHPLACE}/threaded`, true],
    ]);
  });

  it('is told where it is removed at once', async context => {
    expect(
      await birthsInto(
        context,
        () => {},
        path => trace(way, fixture('born-into-cgroup'), path),
      ),
    ).toEqual([
      [`/${BIRTHPLACE}`, false],
      [`/${BIRTHPLACE}/brief`, false],
    ]);
  });
});

describe.each(ATTACHED)('births into cgroups outside of nsview’s cgroup namespace, by $by', ({how}) => {
  it('are told as /proc/PID/cgroup tells of them', async context => {
    const starter = (path: string) => ['sh', '-c', 'echo $$ >"$0/own/cgroup.procs" && exec unshare -C "$@"', path];
    const born = await birthsInto(
      context,
      path => mkdirSync(`${path}/own`),
      path => traceAttached(how, starter(path), fixture('born-into-cgroup'), path),
    );
    expect(born).toEqual([
      ['/..', false],
      ['/../brief', false],
    ]);
  });
});

describe.each(LAUNCHED.filter(way => way.by !== 'a filter'))('calls that the program’s own filter makes into SIGSYS, $when by $by', way => {
  it('have no result, and one that returns what it was given has', async () => {
    const {facts, stdout} = await trace(way, fixture('traps-calls'));
    expect(stdout).toBe('trapped 4\n');
    expect(callsOf(facts).map(({name, result}) => [name, result])).toEqual([
      ['prctl', 0],
      ['seccomp', 0],
      ['setuid', null],
      ['mount', null],
      ['setfsuid', null],
      ['setns', null],
      ['unshare', 0],
    ]);
  });
});

describe.each(LAUNCHED)('calls of another ABI, $when by $by', way => {
  it('are named, never decoded, and what they changed is told', async context => {
    needsRoot('become another user');
    const {code, facts} = await trace(way, fixture('calls-of-three-abis'));
    if (code === 77) context.skip('the kernel of this machine has no 32-bit calls');
    const calls = callsOf(facts);
    expect(calls.map(({abi, name, args, result}) => [abi, name, args === null ? null : 'decoded', result])).toEqual([
      [undefined, 'unshare', 'decoded', 0],
      ['32-bit', 'unshare', null, 0],
      ['32-bit', 'sethostname', null, {errno: 'EFAULT'}],
      ['32-bit', 'umount2', null, {errno: 'EFAULT'}],
      // Of arm, only the old ABI had the one without flags.
      ['32-bit', 'umount2', null, {errno: process.arch === 'arm64' ? 'ENOSYS' : 'EFAULT'}],
      ['32-bit', 'clone', null, {errno: 'EINVAL'}],
      ['32-bit', 'setgid', null, 0],
      ['32-bit', 'setresuid', null, 0],
      ...(process.arch === 'arm64' ? [] : [['x32', 'unshare', null, {errno: expect.stringMatching(/^(ENOSYS|EINVAL)$/)}]]),
    ]);
    expect(Object.keys(calls[0]?.changed ?? {})).toEqual(['ipc']);
    expect(Object.keys(calls[1]?.changed ?? {})).toEqual(['uts']);
    expect(calls[6]?.gids).toEqual({from: [0, 0, 0, 0], to: [1001, 1001, 1001, 1001]});
    expect(calls[7]?.uids).toEqual({from: [0, 0, 0, 0], to: [1000, 1001, 0, 1001]});
  });
});

describe.each(LAUNCHED)('as lines of text, by $by', way => {
  it('nothing of what programs put into calls can steer a terminal, and every result is there', async () => {
    needsRoot('become another user');
    using folder = temporaryFolder();
    const mountPoint = folder.file('mnt');
    mkdirSync(mountPoint);
    const lines = folder.file('lines');
    await run('trace', ...followBy(way.how), '-o', lines, '--', fixture('makes-calls'), mountPoint);
    const text = readFileSync(lines, 'utf8');
    expect(text.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}]/u);
    expect(text).toMatch(/sethostname\("\\x1b\]0;owned\\x07\\n\\"\\\\", 13\) = 0$/m);
    expect(text).toMatch(/ sethostname\("\\xff\\xfe\\xc3", 3\) = 0$/m);
    expect(text).toMatch(/ unshare\(CLONE_NEWNS\|CLONE_NEWUSER\) = 0 {2,}user:a → user:b {2}mnt:a → mnt:\w+(?: {2}.*→ all)?$/m);
    expect(text).toMatch(/ setns\(4 \(net:a\), CLONE_NEWNET\) = 0 {2,}net:b → net:a {2}none seen left in net:b$/m);
    expect(text).toMatch(/ setresuid\(0, 0, 0\) = -1 EPERM {2}without CAP_SETUID it can take only ids that it has already$/m);
    expect(text).toMatch(/ setfsuid\(8\) = 0 {2,}fsuid 0 → 8 {2}effective: .* → (?:none|\d+ of \d+)$/m);
    expect(text).toMatch(
      / setuid\(4294967294\) = 0 {2,}ruid 1002 → 4294967294 {2}euid 0 → 4294967294 {2}suid 65533 → 4294967294 {2}permitted, effective: .* → none$/m,
    );
    expect(text).toMatch(/ mount\("x+\/.*x"…, ".*", "tmpfs", 0, "x.*x"…\) = -1 \w+$/m);
  });
});

describe.each(LAUNCHED)('memory that the kernel did not look at, by $by', way => {
  const callsOfWaiting = async (...program: string[]): Promise<CallFact[]> => {
    using folder = temporaryFolder();
    const tape = folder.file('tape');
    await using tracer = start(NSVIEW, 'trace', '--json', ...followBy(way.how), '-o', tape, '--', ...program);
    await tracer.says(/ready/);
    // Longer than events stay in the ring.
    await new Promise(resolve => setTimeout(resolve, 100));
    tracer.release();
    expect((await tracer.ended).code).toBe(0);
    return callsOf(readTapeStrictly(tape).facts).filter(({name}) => name !== 'setuid');
  };
  const refused = (...args: string[]) => callsOfWaiting(fixture('is-refused-unread'), ...args);

  it('is read where its process runs on', async () => {
    expect((await refused()).map(({name, args, result}) => [name, args, result])).toEqual([
      ['sethostname', {name: '\nunread', len: 7}, {errno: 'EPERM'}],
      ['pivot_root', {new_root: '/unread/root', put_old: {errno: 'EFAULT', during: 'read 0x1'}}, {errno: 'EPERM'}],
    ]);
  });

  it('is read before the next program takes its place, or not at all', async () => {
    const [call] = await refused('sh', '-c', 'echo ready; read x');
    const unread = {errno: 'EFAULT', during: expect.stringMatching(/^read 0x[0-9a-f]+$/)};
    expect([unread, '\nunread']).toContainEqual(call?.args?.name);
  });

  it('is not what lies there later', async () => {
    const nothing = {target: {errno: 'EFAULT', during: 'read 0x20000000'}};
    expect((await callsOfWaiting(fixture('maps-after-call'))).map(({args, result}) => [args, result])).toEqual([
      [{...nothing, flags: []}, {errno: 'EFAULT'}],
      [{...nothing, flags: ['0x40000000']}, {errno: 'EINVAL'}],
    ]);
  });
});
