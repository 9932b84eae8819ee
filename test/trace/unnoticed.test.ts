import {execFileSync} from 'node:child_process';
import {chmodSync, chownSync, copyFileSync, existsSync, readdirSync, readFileSync} from 'node:fs';
import {writeFile} from 'node:fs/promises';
import {isDeepStrictEqual} from 'node:util';
import {describe, expect, it} from 'vitest';
import {leaveNothingBehind} from '../support/leaks.ts';
import {followBy, HOWS, type How, type Outcome, ofKind, Running, readTapeStrictly, temporaryFolder} from '../support/nsview.ts';
import {fixture, NSVIEW} from '../support/paths.ts';
import {patient} from '../support/patience.ts';
import {MIDDLE, Screen} from '../support/screen.ts';
import {isRoot, needsRoot} from '../support/user.ts';

leaveNothingBehind();

/* ---- The ways of following, beside which a program runs bare ---- */

type Way = {
  readonly name: string;
  readonly attached: boolean;
  readonly how: How;
  /** Lines of what a program reports of itself in which this way shows. */
  readonly shows: RegExp | null;
};

/** An ordinary user may not follow by BPF. */
const WAYS: readonly Way[] = HOWS.filter(how => isRoot || how !== 'bpf').flatMap(how => {
  // ptrace(2): a tracee can read who traces it.
  const way = {how, shows: how === 'bpf' ? null : /^.*TracerPid:\t[1-9]\d*$/};
  return [
    {...way, name: `launched by ${how}`, attached: false},
    {...way, name: `attached by ${how}`, attached: true},
  ];
});
const LAUNCHED = WAYS.filter(way => !way.attached);

const traceOf = (way: Way, tape = '/dev/null'): string[] => ['trace', '--json', ...followBy(way.how), '-o', tape];

async function until(holds: () => boolean, what: string): Promise<void> {
  for (const limit = Date.now() + patient(15_000); !holds(); await new Promise(resolve => setTimeout(resolve, 5)))
    if (Date.now() > limit) throw new Error(`never: ${what}`);
}

const pause = (milliseconds: number) => new Promise(resolve => setTimeout(resolve, milliseconds));

/** nsview, attached. */
async function attach(way: Way, pid: number): Promise<Running> {
  const tracer = new Running(NSVIEW, ['trace', '--json', ...followBy(way.how), '-p', String(pid)]);
  try {
    await tracer.says(/"kind":"tracer"/, 'stderr');
  } catch (error) {
    await tracer[Symbol.asyncDispose]();
    throw error;
  }
  return tracer;
}

/** What `pid` is, by proc_pid_stat(5): fields 3 and on. */
const stat = (pid: number): string[] =>
  readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ');
const childrenOf = (pid: number): number[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number);

/**
 * A program that prints `ready PID`, waits for the end of stdin, and then does what is compared: bare, launched under nsview, or attached
 * to while it waits.
 */
const runBy = (way: Way | null, program: string, args: readonly string[]): Promise<Outcome> =>
  way === null || way.attached ? runGated(way, program, args) : runGated(way, NSVIEW, [...traceOf(way), '--', program, ...args]);

/** The same where nsview is launched by something else. */
async function runGated(way: Way | null, program: string, args: readonly string[]): Promise<Outcome> {
  await using running = new Running(program, args);
  const pid = Number((await running.says(/ready (\d+)\n/))[1]);
  await using tracer = way?.attached ? await attach(way, pid) : null;
  running.release();
  const outcome = await running.ended;
  if (tracer !== null) expect(await tracer.ended).toMatchObject({code: 0});
  return {...outcome, stdout: outcome.stdout.replace(/ready \d+\n/, '')};
}

/** All ways at once, and that each of them came out as it does bare. */
async function compare(
  run: (way: Way | null) => Promise<unknown>,
  ways: readonly Way[] = WAYS,
  hide: (outcome: unknown, way: Way | null) => unknown = outcome => outcome,
): Promise<unknown> {
  const [bare, ...outcomes] = await Promise.all([null, ...ways].map(way => run(way)));
  const seen = Object.fromEntries(ways.map((way, index) => [way.name, hide(outcomes[index], way)]));
  expect(seen).toEqual(Object.fromEntries(ways.map(way => [way.name, hide(bare, null)])));
  return bare;
}

/** A program that does not wait by itself is executed by a shell that does. */
const gated = (program: string, ...args: string[]): readonly string[] => [
  '-c',
  'echo ready $$; read -r line; exec "$0" "$@"',
  program,
  ...args,
];

/** What the program's own reports show of a way is taken for what they show without it; and it must show. */
function hideTracer(outcome: unknown, way: Way | null): unknown {
  const {stdout, ...rest} = outcome as Outcome;
  const shows = way?.shows ?? null;
  const lines = stdout.split('\n');
  if (shows !== null) expect(lines.filter(line => shows.test(line))).toHaveLength(1);
  return {...rest, stdout: lines.map(line => (shows?.test(line) ? '/proc/self/status: TracerPid:\t0' : line))};
}

describe('as without nsview', () => {
  it('is what a program is and inherits', async () => {
    using folder = temporaryFolder();
    // Node gives its children no blocked signals, no closed limits and no odd environment: a shell, env and prlimit do.
    const limits = ['prlimit', '--nofile=333:4000', '--core=4096', 'nice', '-n', '3', 'choom', '-n', '77', '--'];
    const words = [
      'env',
      '--block-signal=USR1,PIPE,RTMIN',
      '--ignore-signal=HUP,USR2',
      '-u',
      'LANG',
      'a.b=not a name',
      'EMPTY=',
      'TWO=1\n2',
    ];
    // On pipes; and what they are when it has ended.
    const script = `umask 027; exec 7</dev/null 9>>"$0/appended" && cd "$0" && cat | { "$@"; ${fixture('reports-itself')} | grep fd; } 2>&1 | cat`;
    const files = ['bash', '-c', script, folder.path];
    const odd = [...limits, ...words, ...files];
    const run = async (way: Way | null) => {
      const program = ['bash', ...gated(fixture('reports-itself'), 'one', '', 'two words', 'ö')];
      const launched = way === null || way.attached ? program : [NSVIEW, ...traceOf(way), '--', ...program];
      return await runGated(way, odd[0] ?? '', [...odd.slice(1), ...launched]);
    };
    const bare = (await compare(run, WAYS, hideTracer)) as Outcome;
    for (const line of ['blocked 10', 'ignored 1', 'limit 7 333 4000', 'environment a.b=not a name', 'umask 27'])
      expect(bare.stdout).toContain(`${line}`);
  });

  it.each([
    ['0<&- 2>&-', ['1']],
    ['1>&-', ['0', '2']],
    ['0<&- 1>&- 2>&-', []],
  ])('is stdio of which a part is closed: %s', async (closing, open) => {
    const run = async (way: Way | null) => {
      using folder = temporaryFolder();
      const told = folder.file('told');
      const program = ['bash', '-c', 'exec 9>"$0"; for fd in 0 1 2; do [ -e /proc/self/fd/$fd ] && echo $fd >&9; done; exit 3', told];
      const launched = way === null ? program : [NSVIEW, ...traceOf(way), '--', ...program];
      await using running = new Running('sh', ['-c', `exec "$0" "$@" ${closing}`, ...launched]);
      const {code} = await running.ended;
      return {code, open: readFileSync(told, 'utf8').split('\n').filter(Boolean)};
    };
    expect(await compare(run, LAUNCHED)).toEqual({code: 3, open});
  });

  it('are signals, waits, ends and stops of children, and what they share', async () => {
    // One after the other in one tree: each nsview takes longer to start than all of them take.
    const names = [
      'tells-of-children', // SIGCHLD, waitid, waitpid, cores
      'receives-signals', // of every origin
      'is-interrupted', // by signals and stops; timers
      'shares-by-vfork', // and what posix_spawn tells
      'orphans-its-group', // and sessions without a leader
    ];
    const script = 'echo ready $$; read -r line; for program; do echo "=== $program"; "$program" || echo "ended with $?"; done';
    const sections = (outcome: unknown) => {
      const {stdout, ...rest} = outcome as Outcome;
      const told = stdout.split(/^=== .*\/(.*)\n/m).slice(1);
      return {...rest, told: Object.fromEntries(names.map((_, index) => [told[index * 2], told[index * 2 + 1]?.split('\n')]))};
    };
    const run = async (way: Way | null) => sections(await runBy(way, 'bash', ['-c', script, 'bash', ...names.map(fixture)]));
    const {told, ...rest} = (await compare(run)) as ReturnType<typeof sections>;
    expect(rest).toEqual({code: 0, signal: null, stderr: ''});
    for (const name of names) expect(told[name]?.length).toBeGreaterThan(5);
    expect(Object.values(told).flat().join('\n')).not.toContain('ended with');
  });

  it.each([
    ['exit 255', {code: 255, signal: null}],
    ['kill -TERM $$', {code: null, signal: 'SIGTERM'}],
    ['kill -KILL $$', {code: null, signal: 'SIGKILL'}],
  ])('is the end that its parent waits for, and so is that of nsview: %s', async (script, expected) => {
    const run = (way: Way | null) => runBy(way, 'sh', ['-c', `echo ready $$; read -r line; echo out; echo err >&2; ${script}`]);
    expect(await compare(run, LAUNCHED)).toEqual({...expected, stdout: 'out\n', stderr: 'err\n'});
  });

  it('is a core that it leaves: one, and its own', async () => {
    const pattern = readFileSync('/proc/sys/kernel/core_pattern', 'utf8');
    const run = async (way: Way | null) => {
      using folder = temporaryFolder();
      const script = 'ulimit -c unlimited; echo ready $$; read -r line; kill -SEGV $$';
      const limit = ['-c', 'cd "$0" && ulimit -c unlimited && exec "$@"', folder.path];
      const program = ['sh', '-c', script];
      const launched = way === null || way.attached ? program : [NSVIEW, ...traceOf(way), '--', ...program];
      const {signal} = await runGated(way, 'sh', [...limit, ...launched]);
      const core = folder.file('core');
      // NT_PRPSINFO (core(5)) has the program's arguments.
      return {signal, its: pattern === 'core\n' ? existsSync(core) && readFileSync(core).includes(`sh -c ${script}`) : true};
    };
    expect(await compare(run)).toEqual({signal: 'SIGSEGV', its: true});
  });

  it('is its output to the byte: on pipes, in files that are shared or appended to, and to readers that go', async () => {
    const run = async (way: Way | null) => {
      using folder = temporaryFolder();
      const writes = 'for i in 1 2 3 4 5 6 7 8 9; do printf "out %s\\0\\377" $i; printf "err %s\\n" $i >&2; done';
      const command = (script: string) =>
        way === null || way.attached ? ['sh', '-c', script] : [NSVIEW, ...traceOf(way), '--', 'sh', '-c', script];
      const script = [
        'cd "$0"; echo ready $$; read -r line',
        '"$@" >both 2>&1',
        'echo before >appended; "$@" >>appended 2>&1',
        '{ echo before; "$@"; echo after; } >shared 2>errors',
        'echo input | "$@" | cat >piped',
      ];
      await runGated(way, 'sh', ['-c', script.join('\n'), folder.path, ...command(writes)]);
      // By SIGPIPE, which its parent sees.
      const closed = command('exec cat /dev/zero');
      const {stdout} = await runGated(null, 'bash', [
        '-c',
        'echo ready $$; read -r line; "$0" "$@" | head -c 1 >/dev/null; echo $PIPESTATUS',
        ...closed,
      ]);
      const files = ['both', 'appended', 'shared', 'errors', 'piped'].map(name => readFileSync(folder.file(name)).toString('latin1'));
      return {stdout, files};
    };
    const bare = (await compare(run)) as {stdout: string; files: string[]};
    expect(bare.stdout).toBe('141\n');
    expect(bare.files[2]).toMatch(/^before\nout 1\0ÿ.*after\n$/s);
  });
});

/* ---- At a terminal ---- */

/** A shell at a terminal, spoken to in turns, and all that it answered. */
class Dialogue implements AsyncDisposable {
  private readonly screen: Screen;
  private readonly folder = temporaryFolder();
  private heard = 0;
  private readonly omitted: [from: number, to: number][] = [];

  /** `prefix` is in the shell's environment. */
  constructor(prefix: string, program: string, ...args: string[]) {
    execFileSync('mkfifo', [this.folder.file('gate')]);
    // Nothing that depends on the terminal or on the user: readline is plain with a dumb one.
    const environment = {TERM: 'dumb', PS1: '> ', HISTFILE: '', INPUTRC: '/dev/null', prefix, GATE: this.folder.file('gate')};
    this.screen = new Screen(MIDDLE, program, args, environment);
  }

  get ended(): Promise<number | null> {
    return this.screen.ended;
  }

  /** Without what differs from one run to the next: pids and the terminal's number. */
  transcript(): string {
    const raw = this.screen.raw.toString();
    return [0, ...this.omitted.map(([, to]) => to)]
      .map((from, index) => raw.slice(from, this.omitted[index]?.[0]))
      .join('')
      .replaceAll(/\[(\d)\] \d+/g, '[$1] PID')
      .replaceAll(/\/dev\/pts\/\d+/g, '/dev/pts/N')
      .replaceAll(/device 88\w\w/g, 'device pts')
      .replaceAll(this.folder.path, 'FOLDER')
      .replaceAll(/pid \d+/g, 'pid PID');
  }

  /** The first match in what was said since the last one. */
  async hear(pattern: RegExp): Promise<RegExpExecArray> {
    for (const limit = Date.now() + patient(15_000); ; await pause(5)) {
      const text = this.screen.raw.toString();
      const match = pattern.exec(text.slice(this.heard));
      if (match !== null) {
        this.heard += match.index + match[0].length;
        return match;
      }
      if (Date.now() > limit) throw new Error(`${pattern} was never heard: ${JSON.stringify(text)}`);
    }
  }

  async say(keys: string, pattern: RegExp): Promise<RegExpExecArray> {
    this.screen.send(keys);
    return await this.hear(pattern);
  }

  /** Lets a job go on that waits for a line from $GATE. */
  async openGate(): Promise<void> {
    await writeFile(this.folder.file('gate'), 'go\n');
  }

  /** Asks for the jobs until the shell knows that its only one is that; how often it had to is nobody's business. */
  async jobIs(state: 'Running' | 'Stopped'): Promise<void> {
    for (const limit = Date.now() + patient(15_000); ; ) {
      const from = this.heard;
      await this.say('jobs\r', PROMPT);
      const states =
        this.screen.raw
          .toString()
          .slice(from)
          .match(/Running|Stopped/g) ?? [];
      if (isDeepStrictEqual(states, [state])) return;
      this.omitted.push([from, this.heard]);
      if (Date.now() > limit) throw new Error(`the job was never ${state}`);
    }
  }

  /** The person closes the window. */
  hangUp(): void {
    this.screen.child.stdin?.end();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.screen[Symbol.asyncDispose]();
    this.folder[Symbol.dispose]();
  }
}

const PROMPT = /> $/;
const STOPPED = /Stopped.*> $/s;

/** Which group has the terminal of `pid` (proc_pid_stat(5): tpgid), and which one it is in itself. */
const foreground = (pid: number): number => Number(stat(pid)[5]);
const groupOf = (pid: number): number => Number(stat(pid)[2]);
/** Until a job of the shell has its terminal, and waits in it. */
async function jobRuns(shell: number): Promise<number> {
  await until(() => foreground(shell) !== groupOf(shell), 'a job in the foreground');
  return foreground(shell);
}
/** Empty for one that is gone. */
function stateOf(pid: number): string {
  try {
    return stat(pid)[0] ?? '';
  } catch {
    return '';
  }
}
const commOf = (pid: number): string => {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8');
  } catch {
    return '';
  }
};
const groupIs = (pid: number, group: number): boolean => {
  try {
    return groupOf(pid) === group;
  } catch {
    return false;
  }
};
/**
 * Until the job has stopped whole. One that a signal has only just woken from its read may still take what is typed next: the kernel looks
 * for input before it looks for signals (drivers/tty/n_tty.c, n_tty_read).
 */
async function jobStopped(group: number): Promise<void> {
  for (const pid of readdirSync('/proc').map(Number)) {
    // nsview's own do not stop with what they follow.
    const stays = () => !/^[TtZ]?$/.test(stateOf(pid)) && !/^(nsview|node|MainThread)/.test(commOf(pid));
    if (pid > 0 && groupIs(pid, group)) await until(() => !stays(), `${pid} stopped`);
  }
}

/** A session of job control in a shell whose pid is known. */
async function controlJobs(dialogue: Dialogue): Promise<void> {
  const shell = Number((await dialogue.say('echo pid $$\r', /pid (\d+)\r\n> $/))[1]);
  // The terminal would echo keys before or after what they cause, as it comes.
  await dialogue.say('stty -echo\r', PROMPT);
  await dialogue.say("sh -c 'echo up; exec sleep 60'\r", /up\r\n$/);
  await dialogue.say('\x1a', STOPPED);
  expect(foreground(shell)).toBe(groupOf(shell));
  await dialogue.say('echo $?\r', /148\r\n> $/);
  await dialogue.say('jobs\r', STOPPED);
  await dialogue.say('bg\r', PROMPT);
  await dialogue.say('jobs\r', /Running.*> $/s);
  await dialogue.say('fg\r', /sleep 60'\r\n$/);
  await jobRuns(shell);
  await dialogue.say('\x03', PROMPT);
  await dialogue.say('echo $?\r', /130\r\n> $/);

  // Who reads from the background is stopped, and so is who writes where the terminal says so.
  await dialogue.say('sh -c \'read go <"$GATE"; exec cat\' &\r', /\[1\] (\d+)\r\n> $/);
  await dialogue.openGate();
  await dialogue.jobIs('Stopped');
  await dialogue.say('fg\r', /cat'\r\n$/);
  await jobRuns(shell);
  await dialogue.say('a line\r', /a line\r\n$/);
  await dialogue.say('\x04', PROMPT);
  await dialogue.say('stty tostop\r', PROMPT);
  await dialogue.say('sh -c \'read go <"$GATE"; echo loud\' &\r', /\[1\] (\d+)\r\n> $/);
  await dialogue.openGate();
  await dialogue.jobIs('Stopped');
  await dialogue.say('stty -tostop; fg\r', /loud\r\n> $/);

  // A whole pipeline, and its end by a signal that the shell tells.
  await dialogue.say("sh -c 'echo up >&2; exec sleep 60' | cat\r", /up\r\n$/);
  await dialogue.say('\x1a', STOPPED);
  await dialogue.say('fg\r', /cat\r\n$/);
  await jobRuns(shell);
  await dialogue.say('\x1c', /Quit.*> $/s);
  // From outside, by signals that no key sends.
  const outside = Number((await dialogue.say('sleep 60 &\r', /\[1\] (\d+)\r\n> $/))[1]);
  process.kill(outside, 'SIGSTOP');
  await dialogue.jobIs('Stopped');
  process.kill(outside, 'SIGCONT');
  await dialogue.jobIs('Running');
  process.kill(outside, 'SIGKILL');
  await until(() => /^Z?$/.test(stateOf(outside)), 'killed from outside');
  await dialogue.say('wait %1\r', /Killed.*> $/s);

  // A shell in the shell, with a stopped job of its own; and it stops itself.
  const nested = Number(
    (await dialogue.say('bash --norc --noprofile -i\r', PROMPT)) && (await dialogue.say('echo pid $$\r', /pid (\d+)\r\n> $/))[1],
  );
  expect(foreground(nested)).toBe(nested);
  await dialogue.say("sh -c 'echo up; exec sleep 60'\r", /up\r\n$/);
  await dialogue.say('\x1a', STOPPED);
  await dialogue.say('suspend\r', STOPPED);
  expect(foreground(shell)).toBe(groupOf(shell));
  await dialogue.say('fg\r', /-i\r\n> $/);
  expect(foreground(nested)).toBe(nested);
  await dialogue.say('exit\r', /stopped jobs.*> $/s);
  await dialogue.say('exit 3\r', PROMPT);
  await dialogue.say('echo $?\r', /3\r\n> $/);
  await dialogue.say("trap 'echo child' CHLD; sh -c 'exit 5'; trap - CHLD\r", PROMPT);
  await dialogue.say('tty; stty -a\r', /echoke.*> $/s);
  await dialogue.say('exit 9\r', /exit\r\n/);
}

describe('at a terminal, as without nsview', () => {
  it('is what a program is and inherits, and what the terminal is afterwards', async () => {
    const run = async (way: Way | null) => {
      const program = [fixture('reports-itself'), 'one'];
      const launched = way === null ? program : [NSVIEW, ...traceOf(way), '--', ...program];
      await using dialogue = new Dialogue(
        '',
        'bash',
        '-c',
        `env -u _ "$@"; echo "$?"; "$0" | grep fd; stty -a`,
        fixture('reports-itself'),
        ...launched,
      );
      const code = await dialogue.ended;
      return {code, stdout: dialogue.transcript().replaceAll('\r\n', '\n'), stderr: '', signal: null};
    };
    const bare = (await compare(run, LAUNCHED, hideTracer)) as Outcome;
    // Of mode 0600, or 0620 as Debian mounts devpts.
    expect(bare.stdout).toMatch(/^fd 0 21[89]0 .*terminal foreground.*\n0\nfd 0 21[89]0 .*echoke/s);
  });

  it('is job control in a shell that is followed', async () => {
    const run = async (way: Way | null) => {
      const shell = ['bash', '--norc', '--noprofile', '-i'];
      const launched = way === null || way.attached ? shell : [NSVIEW, ...traceOf(way), '--', ...shell];
      // Under a shell that leads the session, since under nsview it would be nsview who does.
      await using dialogue = new Dialogue('', 'sh', '-c', '"$@"; exit $?', 'sh', ...launched);
      await dialogue.hear(PROMPT);
      const pid = Number((await dialogue.say('echo pid $$\r', /pid (\d+)\r\n> $/))[1]);
      await using tracer = way?.attached ? await attach(way, pid) : null;
      await controlJobs(dialogue);
      const code = await dialogue.ended;
      if (tracer !== null) expect(await tracer.ended).toMatchObject({code: 0});
      return {code, transcript: dialogue.transcript()};
    };
    expect(await compare(run)).toMatchObject({code: 9});
  });

  it('is job control of a shell over nsview and what it launched', async () => {
    const run = async (way: Way | null) => {
      await using dialogue = new Dialogue(
        way === null ? '' : [NSVIEW, ...traceOf(way), '--'].join(' '),
        'bash',
        '--norc',
        '--noprofile',
        '-i',
      );
      await dialogue.hear(PROMPT);
      const shell = Number((await dialogue.say('echo pid $$\r', /pid (\d+)\r\n> $/))[1]);
      await dialogue.say('stty -echo\r', PROMPT);
      await dialogue.say('run() { $prefix sh -c "$1"; }\r', PROMPT);
      await dialogue.say("run 'echo up; exec cat'\r", /up\r\n$/);
      await dialogue.say('one\r', /one\r\n$/);
      const job = foreground(shell);
      await dialogue.say('\x1a', STOPPED);
      await jobStopped(job);
      expect(foreground(shell)).toBe(groupOf(shell));
      await dialogue.say('jobs\r', STOPPED);
      await dialogue.say('fg\r', /\r\n$/);
      await jobRuns(shell);
      await dialogue.say('two\r', /two\r\n$/);
      await dialogue.say('\x04', PROMPT);
      await dialogue.say('echo $?\r', /0\r\n> $/);
      // Reading in the background stops it.
      await dialogue.say("run 'read go <$GATE; exec cat' &\r", /\[1\] (\d+)\r\n> $/);
      await dialogue.openGate();
      await dialogue.jobIs('Stopped');
      await dialogue.say('fg\r', /\r\n$/);
      await jobRuns(shell);
      await dialogue.say('three\r', /three\r\n$/);
      await dialogue.say('\x04', PROMPT);
      await dialogue.say("run 'echo up; exec sleep 60'\r", /up\r\n$/);
      await dialogue.say('\x1a', STOPPED);
      await dialogue.say('bg\r', PROMPT);
      await dialogue.say('jobs\r', /Running.*> $/s);
      await dialogue.say('fg\r', /\r\n$/);
      await jobRuns(shell);
      await dialogue.say('\x03', PROMPT);
      await dialogue.say('echo $?\r', /130\r\n> $/);
      await dialogue.say("run 'echo up; exec sleep 60'\r", /up\r\n$/);
      await dialogue.say('\x1c', /Quit.*> $/s);
      // A script ends with the program that SIGINT ended, and does not go on to its next one.
      await dialogue.say(`bash -c 'for i in 1 2; do '"$prefix"' sh -c "echo up; exec sleep 60"; done'\r`, /up\r\n$/);
      await dialogue.say('\x03', PROMPT);
      await dialogue.say('tty; stty -a\r', /echoke.*> $/s);
      await dialogue.say('exit 9\r', /exit\r\n/);
      return {code: await dialogue.ended, transcript: dialogue.transcript()};
    };
    expect(await compare(run, LAUNCHED)).toMatchObject({code: 9});
  });

  // Its child hears of it once the session's leader has ended: the program, or nsview over it.
  const child = `bash --norc -c 'trap "echo told >>$0; exit" HUP; echo up; while :; do sleep 0.01; done' "$0.child" &`;
  it.each([
    ['end by it', `${child} while :; do sleep 0.01; done`, [null, 'told\n']],
    ['hear it, and end', `trap 'echo told >>$0; exit 6' HUP; ${child} while :; do sleep 0.01; done`, ['told\n', 'told\n']],
    ['ignore it, and go on', `trap '' HUP; echo up; while read -r line; do :; done; echo over >>$0; exit 7`, ['over\n', null]],
  ])('is the end of the terminal, upon which programs %s', async (what, script, expected) => {
    const run = async (way: Way | null) => {
      using folder = temporaryFolder();
      const note = folder.file('note');
      const program = ['bash', '--norc', '-c', `echo pid $$; ${script}`, note];
      const launched = way === null || way.attached ? program : [NSVIEW, ...traceOf(way), '--', ...program];
      await using dialogue = new Dialogue('', launched[0] ?? '', ...launched.slice(1));
      const pid = Number((await dialogue.hear(/pid (\d+)\r\n/))[1]);
      await dialogue.hear(/up\r\n/);
      await using tracer = way?.attached ? await attach(way, pid) : null;
      dialogue.hangUp();
      const code = await dialogue.ended;
      const notes = () => ['', '.child'].map(name => (existsSync(note + name) ? readFileSync(note + name, 'utf8') : null));
      await until(() => isDeepStrictEqual(notes(), expected), `${JSON.stringify(expected)} noted, but ${JSON.stringify(notes())}`);
      if (tracer !== null) expect(await tracer.ended).toMatchObject({code: 0});
      return code;
    };
    await compare(run, what === 'hear it, and end' ? WAYS : LAUNCHED);
  });
});

/* ---- Identity ---- */

/** As a user without privilege: the words before further options, `--` and a command. */
const NOBODY = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'] as const;

describe('a set-user-ID program', () => {
  /** The fixture, owned by `uid` and set to it. */
  function raised(folder: {file(name: string): string; readonly path: string}, uid: number, gid: number, mode: number): string {
    needsRoot('give a file to another user');
    const program = folder.file(`set-${uid}-${gid}-${mode.toString(8)}`);
    chmodSync(folder.path, 0o755);
    copyFileSync(fixture('tells-identity'), program);
    chownSync(program, uid, gid);
    chmodSync(program, mode);
    return program;
  }

  it('is what its file says where root executes it', async () => {
    using folder = temporaryFolder();
    const user = raised(folder, 65534, 0, 0o4755);
    const group = raised(folder, 0, 65534, 0o2755);
    const bare = (await compare(way => runBy(way, 'sh', ['-c', 'echo ready $$; read -r line; "$0"; "$1"', user, group]))) as Outcome;
    expect(bare.stdout).toMatch(/^uids 0 65534 65534 .* secure 1.*^uids 0 0 0 gids 0 65534 65534 secure 1/ms);
  });

  it('is root where nsview is privileged and an ordinary user executes it', async () => {
    using folder = temporaryFolder();
    const program = raised(folder, 0, 0, 0o4755);
    const bare = (await compare(way => runBy(way, NOBODY[0], [...NOBODY.slice(1), '--', 'sh', ...gated(program)]))) as Outcome;
    expect(bare).toMatchObject({code: 40, stderr: ''});
    expect(bare.stdout).toMatch(/^uids 65534 0 0 .* secure 1/);
  });

  it('is root where an ordinary user may use BPF and nothing else', async () => {
    using folder = temporaryFolder();
    const program = raised(folder, 0, 0, 0o4755);
    const capable = [...NOBODY, '--inh-caps=+bpf,+perfmon', '--ambient-caps=+bpf,+perfmon', '--'];
    const run = (...command: string[]) => runGated(null, capable[0] ?? '', [...capable.slice(1), ...command, 'sh', ...gated(program)]);
    const bare = await run();
    expect(bare).toMatchObject({code: 40, stderr: ''});
    expect(await run(NSVIEW, 'trace', '--json', ...followBy('bpf'), '-o', '/dev/null', '--')).toEqual(bare);
  });

  // security/commoncap.c, cap_bprm_creds_from_file: no option of ptrace changes that.
  it('is nobody where ptrace follows without privilege, and nsview tells what the kernel dropped', async () => {
    using folder = temporaryFolder();
    const raises = ['set-user-ID', 'set-group-ID', 'capabilities'];
    const programs = [0o4755, 0o2755, 0o755].map(mode => raised(folder, 0, 0, mode));
    execFileSync(fixture('tells-identity'), [programs[2] ?? '']);
    chmodSync(folder.path, 0o777);
    const script = ['sh', '-c', 'echo ready $$; read -r line; for program; do "$program"; done', 'sh', ...programs];
    const nobody = (...command: string[]) => [NOBODY[0], [...NOBODY.slice(1), ...command]] as const;
    const trace = (tape: string) => [NSVIEW, 'trace', '--json', '--follow', 'ptrace', '-o', folder.file(tape)];
    const dropped = (tape: string) =>
      ofKind(readTapeStrictly(folder.file(tape)).facts, 'exec').flatMap(fact => fact.dropped?.map(what => [fact.path, what]) ?? []);
    const all = programs.map((program, index) => [program, raises[index]]);

    const bare = await runGated(null, ...nobody('--', ...script));
    expect(bare.stdout).toMatch(/^uids 65534 0 0 .*^uids .* gids 65534 0 0 .*^CapEff:\t0000000000002000$/ms);
    const launched = await runGated(null, ...nobody('--', ...trace('launched'), '--', ...script));
    expect(launched).toMatchObject({code: 41, stderr: ''});
    expect(launched.stdout).not.toMatch(/^uids .* 0 |^CapEff:.*[1-9a-f]/m);
    expect(dropped('launched')).toEqual(all);

    await using target = new Running(...nobody('--', ...script));
    const pid = (await target.says(/ready (\d+)/))[1] ?? '';
    await using tracer = new Running(...nobody('--', ...trace('attached'), '-p', pid));
    const tape = () => (existsSync(folder.file('attached')) ? readFileSync(folder.file('attached'), 'utf8') : '');
    await until(() => tape().includes('"kind":"tracer"'), `attached: ${tracer.stderr}`);
    target.release();
    expect((await target.ended).stdout.replace(/ready \d+\n/, '')).toBe(launched.stdout);
    expect(await tracer.ended).toMatchObject({code: 0, stderr: ''});
    expect(dropped('attached')).toEqual(all);

    // In words; and not where it would not have been given anyway.
    const told = await runGated(null, ...nobody('--', NSVIEW, 'trace', '--follow', 'ptrace', '--', ...script));
    for (const what of raises)
      expect(told.stderr).toContain(
        `without its ${what}: the kernel raises nobody who is traced without CAP_SYS_PTRACE; run nsview as root`,
      );
    const none = await runGated(null, ...nobody('--no-new-privs', '--', ...trace('none'), '--', ...script));
    expect(none.code).toBe(41);
    expect(dropped('none')).toEqual([]);
  });
});

/* ---- Whoever dies of those who watch ---- */

/** So many kills in each series, at moments of their own. */
const KILLS = Number(process.env.NSVIEW_KILLS ?? 8);
const AT_ONCE = 4;
/** How many children the storm makes: it lasts longer than the last moment at which somebody is killed. */
const CHILDREN = 500;
const LAST_MOMENT = 600;

/** A storm of isolation calls, and what is left of it when those who follow it are killed in its midst. */
async function kill(way: Way, whom: string, after: number): Promise<{amidst: boolean; said: string; code?: number | null}> {
  const words = [fixture('checks-isolation-calls'), String(CHILDREN)];
  // It goes back to the uts namespace that it comes from.
  const [program = '', ...args] = isRoot ? words : ['unshare', '-Uru', ...words];
  const said = (running: Running) => running.stdout.replace(/ready \d+\n/, '');
  await using running = way.attached ? new Running(program, args) : new Running(NSVIEW, [...traceOf(way), '--', program, ...args]);
  const pid = Number((await running.says(/ready (\d+)\n/))[1]);
  await using tracer = way.attached ? await attach(way, pid) : running;
  const [helper = 0] = childrenOf(tracer.pid);
  expect(readFileSync(`/proc/${helper}/comm`, 'utf8')).toBe('nsview-helper\n');
  running.release();
  await pause(after);
  const amidst = !running.stdout.includes('wrong');
  const victims = whom === 'both' ? [tracer.pid, helper] : [whom === 'nsview' ? tracer.pid : helper];
  for (const victim of victims)
    try {
      process.kill(victim, 'SIGKILL');
    } catch {
      // The storm was over before, and nsview with it.
    }
  // Until the last that has its stdout has ended: the program, wherever it belongs by now.
  const {code} = await running.ended;
  await tracer.ended;
  return {amidst, said: said(running), ...(way.attached ? {code} : {})};
}

describe('kill -9 in the middle of a storm of isolation calls', () => {
  it.each(['nsview', 'nsview-helper', 'both'])(
    `of %s, ${KILLS} times: the program ends with its right result`,
    async whom => {
      const moments = Array.from({length: KILLS}, (_, index) => ({way: WAYS[index % WAYS.length], after: Math.random() * LAST_MOMENT}));
      let inTheMidst = 0;
      const workers = Array.from({length: AT_ONCE}, async () => {
        for (let moment = moments.pop(); moment !== undefined; moment = moments.pop()) {
          const {way, after} = moment;
          if (way === undefined) continue;
          const expected = {said: `0 of ${CHILDREN} wrong\n`, ...(way.attached ? {code: 33} : {})};
          const {amidst, ...outcome} = await kill(way, whom, after);
          expect({...outcome, way: way.name, after}).toEqual({...expected, way: way.name, after});
          if (amidst) inTheMidst++;
        }
      });
      await Promise.all(workers);
      expect(inTheMidst).toBeGreaterThanOrEqual(KILLS / 2);
    },
    patient(30_000 + KILLS * 5000),
  );
});
