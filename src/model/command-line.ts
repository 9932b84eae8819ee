// Knows what nsview can be asked on its command line, and what to say when it was asked something else.

// Not imported: that would run all getters of node:util, one of which opens process.stderr, before main.ts can keep it from doing harm.
const {parseArgs} = process.getBuiltinModule('node:util');

import type {Follow} from './fact.ts';
import {LAUNCH_OPTIONS, type LaunchWords, parseLaunch, quoted} from './launch-options.ts';
import type {LaunchOptions} from './launch-plan.ts';
import {NAMESPACES, type NamespaceType} from './namespace.ts';
import type {Mapping} from './renaming.ts';

/** How what is followed is seen. */
export type Following = {
  readonly follow: Follow;
  /** By BPF: see isolation calls of every ABI at all times. */
  readonly everyAbi?: true;
  /** By ptrace, launched: a seccomp filter instead of a stop at every call. */
  readonly fast?: true;
  /** By ptrace, attached: a stop at every call. */
  readonly syscalls?: true;
};

type PinnedWords =
  | {readonly path: string}
  | {readonly pid: number; readonly type: NamespaceType}
  | {readonly inode: string; readonly type: NamespaceType};

export type CommandLine =
  | ({readonly kind: 'watch'} & Following)
  | ({readonly kind: 'attach'; readonly pid: number} & Following)
  | (Following & {
      readonly kind: 'launch';
      readonly argv: readonly string[];
      readonly options: LaunchOptions;
      /** Print the steps, and take none. */
      readonly plan: boolean;
    })
  | {readonly kind: 'snapshot'; readonly pid: number | null; readonly json: boolean}
  | (Following & {
      readonly kind: 'trace';
      readonly target: {readonly pid: number} | {readonly argv: readonly string[]; readonly options: LaunchOptions};
      readonly plan: boolean;
      readonly json: boolean;
      /** A file, `-` for stdout, null for stderr. */
      readonly output: string | null;
    })
  /** A path, PID:TYPE of a namespace, or as its link says, TYPE:[INODE]. */
  | {readonly kind: 'who-pins'; readonly what: PinnedWords; readonly json: boolean}
  | {readonly kind: 'replay'; readonly file: string; readonly json: boolean}
  /** Each is a file with a snapshot, or a pid. */
  | {
      readonly kind: 'diff';
      readonly a: string;
      readonly b: string;
      readonly names: boolean;
      readonly maps: readonly Mapping[];
      readonly json: boolean;
    }
  | {readonly kind: 'doctor'; readonly json: boolean}
  /** Of one flag, as the person wrote it; null: of all. */
  | {readonly kind: 'claims'; readonly flag: string | null; readonly json: boolean}
  | {readonly kind: 'schema'; readonly which: 'snapshot' | 'tape' | 'diff' | 'all'}
  /** The screen on a held demonstration of that flag. */
  | {readonly kind: 'demonstration'; readonly flag: string}
  | {readonly kind: 'help'}
  | {readonly kind: 'version'}
  /** One line for stderr; exit 2. */
  | {readonly kind: 'usage'; readonly message: string};

export const HELP = `nsview: process isolation, live

  nsview                       watch the whole machine from /proc; \`a\` attaches to the selected process
  nsview -p PID                attach to a process and all that descends from it
  nsview [LAUNCH OPTIONS] -- CMD [ARG…]
                               launch a program and follow it, with its terminal
  nsview snapshot [-p PID] [--json]
                               one reading, without ptrace: a text tree, or JSON; with -p the JSON has what the tree shares
                               (file tables, memory …: not of the whole machine, where each would be compared with each)
  nsview trace [--json] [-o FILE] (-p PID | [LAUNCH OPTIONS] -- CMD [ARG…])
                               no screen: events as lines on stderr, or as a tape (--json);
                               the exit status is the program's own
  nsview who-pins [--json] WHAT
                               what keeps a mount busy (a path), or a namespace alive (PID:net, a file that is
                               one, or net:[4026531840]), and the command that makes each let go
  nsview replay [--json] FILE  the live screen, from a tape
  nsview diff [--json] [--names] [--rename FROM=TO] A B
                               whether the isolation of two trees is equal up to renaming of ids, process for process, or
                               where it is not; A and B are pids, or files of nsview snapshot -p PID --json (./1234 is a file)
  nsview doctor [--json]       what this kernel, these privileges and this terminal allow
  nsview claims [--json] [FLAG]
                               what each flag of clone3 really does, tried on this kernel, sentence by sentence
  nsview claims FLAG --watch   the live screen on a few processes that show what the flag does
  nsview schema [snapshot|tape|diff]
                               JSON Schema of snapshots, tapes and what diff --json prints

  -p, --pid PID      a process, by its pid
      --json         JSON instead of text
  -o, --output FILE  where trace writes; - is stdout
      --follow HOW   how events are seen: bpf (without stopping anyone; needs root, or CAP_BPF and
                     CAP_PERFMON), ptrace (needs no privilege), or auto: bpf where it is allowed
      --abi WHICH    by BPF: all sees 32-bit isolation calls of 64-bit programs at all times, though every system
                     call of the machine is slower meanwhile; native (the default) gives them up where calls are many
      --fast         launched under ptrace: stop at isolation calls only, not at every call, by a seccomp filter; sets
                     no_new_privs, so that set-user-ID programs stay without privilege
      --syscalls     attached under ptrace: stop at every call, so that isolation calls are seen
      --names        diff: names and programs of processes are compared as well
      --rename FROM=TO
                     diff: FROM in paths and names of A is TO in B, such as a temporary folder; may be repeated
  -h, --help         this text
  -V, --version      the version

Launch options:
      --new KINDS    new namespaces: some of user,mnt,pid,net,ipc,uts,cgroup,time
      --map-root     with a new user namespace: nsview's own user and group are 0 inside, and nobody else is there
      --map OUTER:INNER:COUNT
                     with a new user namespace: so many users from OUTER on are those from INNER on inside, and groups
                     alike; may be repeated. A program whose own id is not among them becomes 0, where 0 is
      --cgroup PATH  in this cgroup v2, which must be there: PATH below its mount, or with it
      --hostname NAME
                     with a new uts namespace: its host name
      --private-mounts
                     with a new mnt namespace: no mount or unmount goes out of it or comes in
      --mount-proc   with new mnt and pid namespaces: a /proc of its own; implies --private-mounts
      --kill-on-exit when nsview or its helper ends, by whatever, so does all that descends from the program
      --plan         print the steps of the launch, and take none

Exit status: 2 for a wrong command line, 1 where nsview could not do what was asked or a claim is broken, 127 and 126 where the program
was not found or cannot be executed; diff: 0 equal, 1 different, 2 trouble; else 0, and for trace the program's own (128 + n where signal n killed it).
In the screen, \`?\` lists every key.
`;

const FOLLOW: readonly Follow[] = ['auto', 'bpf', 'ptrace'];
const COMMANDS = ['snapshot', 'trace', 'who-pins', 'replay', 'doctor', 'claims', 'schema', 'diff'] as const;

const usage = (message: string): CommandLine => ({kind: 'usage', message: `nsview: ${message}`});

/** A pid as a person writes it: 1 to 4194304 (PID_MAX_LIMIT, include/linux/threads.h). */
export function parsePid(text: string): number | null {
  if (!/^[0-9]{1,7}$/.test(text)) return null;
  const pid = Number(text);
  return pid >= 1 && pid <= 4194304 ? pid : null;
}

function parsePinned(text: string): PinnedWords {
  const match = /^(?:(\d+):([a-z]+)|([a-z]+):\[(\d+)\])$/.exec(text);
  const type = NAMESPACES.find(kind => kind.type === (match?.[2] ?? match?.[3]))?.type;
  if (match === null || type === undefined) return {path: text};
  return match[4] === undefined ? {pid: Number(match[1]), type} : {inode: match[4], type};
}

function parseDiff([a, b]: readonly string[], names: boolean, renames: readonly string[], json: boolean): CommandLine {
  if (a === undefined || b === undefined)
    return usage('diff needs two trees: nsview diff A B, each a pid or a file of nsview snapshot -p PID --json');
  const maps: Mapping[] = [];
  for (const text of renames) {
    const at = text.indexOf('=');
    if (at < 1) return usage(`--rename ${quoted(text)}: it is FROM=TO, such as --rename /tmp/a=/tmp/b`);
    maps.push({from: text.slice(0, at), to: text.slice(at + 1)});
  }
  return {kind: 'diff', a, b, names, maps, json};
}

/** `argv` without the interpreter and the script. Everything after the first `--` belongs to the program. */
export function parseCommandLine(argv: readonly string[]): CommandLine {
  const dashes = argv.indexOf('--');
  const own = dashes < 0 ? argv : argv.slice(0, dashes);
  const program = dashes < 0 ? null : argv.slice(dashes + 1);

  let parsed: ReturnType<typeof parseOptions>;
  try {
    parsed = parseOptions(own);
  } catch (error) {
    const reason = error instanceof Error ? (error.message.split('. ')[0]?.split('\n')[0]?.replace(/\.$/, '') ?? '') : '';
    return usage(`${reason.replaceAll(/[^\x20-\x7e]/g, '?')}; nsview --help lists what there is`);
  }
  const {values, positionals} = parsed;
  if (values.help) return {kind: 'help'};
  if (values.version) return {kind: 'version'};

  const [word, ...rest] = positionals;
  const command = COMMANDS.find(name => name === word);
  if (word !== undefined && command === undefined) {
    const hint = parsePid(word) === null ? `to launch a program: nsview -- ${quoted(word).slice(1, -1)}` : `to attach: nsview -p ${word}`;
    return usage(`${quoted(word)} is no command of nsview; ${hint}`);
  }

  const json = values.json === true;
  let pid: number | null = null;
  if (values.pid !== undefined) {
    pid = parsePid(values.pid);
    if (pid === null) return usage(`-p ${quoted(values.pid)}: a pid is a whole number from 1 to 4194304, such as nsview -p 1234`);
  }
  if (program !== null && program.length === 0) return usage('nothing follows --; say which program, such as nsview -- /bin/bash');
  if (program !== null && pid !== null) return usage('-p PID and -- CMD exclude each other; choose one');
  if (values.output !== undefined && command !== 'trace') return usage('-o goes with trace only: nsview trace -o FILE -- CMD');
  if (program !== null && command !== undefined && command !== 'trace')
    return usage(`${command} takes no program; nsview ${command} stands alone`);
  if (pid !== null && command !== undefined && command !== 'snapshot' && command !== 'trace') return usage(`${command} takes no -p`);
  const asked = Object.keys(LAUNCH_OPTIONS).find(name => values[name as keyof LaunchWords] !== undefined);
  if (asked !== undefined && program === null)
    return usage(`--${asked} goes with a program to launch: nsview --${asked}${LAUNCH_OPTIONS[asked as keyof LaunchWords].example} -- CMD`);
  const options = parseLaunch(values);
  if (typeof options === 'string') return usage(options);
  const plan = values.plan === true;
  if (plan && json) return usage('--plan prints text; leave --json out');
  const follow = FOLLOW.find(how => how === (values.follow ?? 'auto'));
  if (follow === undefined) return usage(`--follow ${quoted(values.follow ?? '')}: there are bpf, ptrace and auto`);
  if (values.abi !== undefined && values.abi !== 'native' && values.abi !== 'all')
    return usage(`--abi ${quoted(values.abi)}: there are native and all`);
  const how = values.follow === undefined ? '--abi' : '--follow';
  if ((values.follow ?? values.abi) !== undefined && command !== undefined && command !== 'trace')
    return usage(`${how} goes with what follows a program: nsview, nsview -p PID, nsview -- CMD and nsview trace, not ${command}`);
  if (values.fast && (program === null || follow === 'bpf'))
    return usage('--fast goes with a program that is launched under ptrace, such as nsview --follow ptrace --fast -- CMD');
  if (values.syscalls && (program !== null || follow === 'bpf' || (command !== undefined && command !== 'trace')))
    return usage('--syscalls goes with what is attached to under ptrace, such as nsview --follow ptrace --syscalls -p PID');
  if (values.watch && command !== 'claims') return usage('--watch goes with claims only, such as nsview claims CLONE_NEWNET --watch');
  const following: Following = {
    follow,
    ...(values.abi === 'all' ? {everyAbi: true} : {}),
    ...(values.fast ? {fast: true} : {}),
    ...(values.syscalls ? {syscalls: true} : {}),
  };
  if ((values.names || values.rename !== undefined) && command !== 'diff')
    return usage('--names and --rename go with diff: nsview diff A B');
  const taken =
    command === 'diff' ? 2 : command === 'replay' || command === 'schema' || command === 'who-pins' || command === 'claims' ? 1 : 0;
  const spare = rest.slice(taken);
  if (spare.length > 0) {
    const hint = command === 'trace' ? `; the program goes behind --: nsview trace -- ${quoted(spare[0] ?? '').slice(1, -1)}` : '';
    return usage(`${quoted(spare[0] ?? '')} is one word too many${hint}`);
  }

  switch (command) {
    case undefined:
      if (json) return usage('--json goes with snapshot, trace, who-pins, replay, diff, doctor and claims');
      if (program !== null) return {kind: 'launch', argv: program, options, plan, ...following};
      return pid === null ? {kind: 'watch', ...following} : {kind: 'attach', pid, ...following};
    case 'snapshot':
      return {kind: 'snapshot', pid, json};
    case 'trace':
      if (program !== null || pid !== null) {
        const target = program === null ? {pid: pid ?? 0} : {argv: program, options};
        return {kind: 'trace', target, plan, json, output: values.output ?? null, ...following};
      }
      return usage('trace needs a target: nsview trace -p PID, or nsview trace -- CMD');
    case 'who-pins':
      if (rest[0] === undefined)
        return usage('who-pins needs a path or a namespace, such as nsview who-pins /mnt, or nsview who-pins 1234:net');
      return {kind: 'who-pins', what: parsePinned(rest[0]), json};
    case 'replay':
      if (rest[0] === undefined) return usage('replay needs a tape: nsview replay FILE, made by nsview trace --json -o FILE -- CMD');
      return {kind: 'replay', file: rest[0], json};
    case 'diff':
      return parseDiff(rest, values.names === true, values.rename ?? [], json);
    case 'doctor':
      return {kind: 'doctor', json};
    case 'claims':
      if (!values.watch) return {kind: 'claims', flag: rest[0] ?? null, json};
      if (json) return usage('--watch opens the screen; leave --json out');
      if (rest[0] === undefined) return usage('--watch shows one flag, such as nsview claims CLONE_NEWNET --watch');
      return {kind: 'demonstration', flag: rest[0]};
    case 'schema': {
      const which = rest[0];
      if (which === undefined) return {kind: 'schema', which: 'all'};
      if (which === 'snapshot' || which === 'tape' || which === 'diff') return {kind: 'schema', which};
      return usage(`there is no schema of ${quoted(which)}; there are snapshot, tape and diff`);
    }
    default: {
      const never: never = command;
      return never;
    }
  }
}

function parseOptions(args: readonly string[]) {
  return parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      pid: {type: 'string', short: 'p'},
      json: {type: 'boolean'},
      output: {type: 'string', short: 'o'},
      follow: {type: 'string'},
      abi: {type: 'string'},
      fast: {type: 'boolean'},
      names: {type: 'boolean'},
      rename: {type: 'string', multiple: true},
      syscalls: {type: 'boolean'},
      watch: {type: 'boolean'},
      ...LAUNCH_OPTIONS,
      help: {type: 'boolean', short: 'h'},
      version: {type: 'boolean', short: 'V'},
    },
  });
}
