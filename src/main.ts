// Knows how everything is wired: what was asked for on the command line, and which parts do it.

import {closeSync, openSync, writeSync} from 'node:fs';
import {constants} from 'node:os';
import {Writable} from 'node:stream';
import {isatty, ReadStream} from 'node:tty';
import {type CommandLine, type Following, HELP, parseCommandLine, parsePid} from './model/command-line.ts';
import {type ExitFact, type Fact, type Follow, isRefusal, type Refusal, type TapeHeader} from './model/fact.ts';
import {type LaunchOptions, type LaunchPlan, launchSteps, planText} from './model/launch-plan.ts';
import {printable} from './model/printable.ts';
import {explainBpfRefusal, isBpfStep} from './model/refusal.ts';
import type {TracerAnswer} from './probe/tracer.ts';

declare const NSVIEW_VERSION: string;

const STDIN = 0;
const STDOUT = 1;
const STDERR = 2;

const now = (): string => String(process.hrtime.bigint());
/** Minutes that the local clock is ahead of UTC. */
const utcOffset = (): number => -new Date().getTimezoneOffset();

/** How nsview ends. Where threads read aside it is at once: Node would end each of them first, and abort if one is in a native call. */
let leave = (status: number): void => process.exit(status);

/** Writes that failed though somebody may read it later: a full disk. */
const unwritten: {readonly fd: number; readonly errno: string}[] = [];

/** A terminal that cannot address its cursor is as good as none: text instead of the screen. */
const hasScreen = (): boolean => process.stdout.isTTY && process.env.TERM !== 'dumb';

/** All of it, whatever the fd: a pipe that Node or its caller made non-blocking is waited for. False when nobody reads any more. */
function write(fd: number, text: string): boolean {
  const bytes = Buffer.from(text);
  for (let sent = 0; sent < bytes.length; ) {
    try {
      sent += writeSync(fd, bytes, sent);
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : '';
      if (code !== 'EAGAIN') {
        if (fd !== STDERR && code !== 'EPIPE') unwritten.push({fd, errno: String(code)});
        return false;
      }
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
  }
  return true;
}

/**
 * Node makes a pipe non-blocking as soon as anything looks at process.stdout or process.stderr, as importing node:util and closing a
 * socket do, and that holds for every program that shares the pipe: the launched one would see its writes fail with EAGAIN. A terminal it
 * opens anew, and what is launched would get that. So plain blocking writes stand in for them, but for a screen.
 */
function keepStdioBlocking(): void {
  for (const [name, fd] of [
    ['stdout', STDOUT],
    ['stderr', STDERR],
  ] as const) {
    const isTTY = isatty(fd);
    if (isTTY && fd === STDOUT) continue;
    const plain = new Writable({
      write: (chunk: Buffer | string, _encoding, done) => {
        write(fd, chunk.toString());
        done();
      },
    });
    Object.defineProperty(process, name, {configurable: true, value: Object.assign(plain, {fd, isTTY})});
  }
}

/** On stderr, harmless to the terminal. */
function complain(message: string): void {
  write(STDERR, `${message.startsWith('nsview: ') ? '' : 'nsview: '}${message.split('\n').map(printable).join('\n')}\n`);
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : JSON.stringify(error));
const stackOf = (error: unknown): string => (error instanceof Error ? (error.stack ?? error.message) : JSON.stringify(error));

async function tapeHeader(target: TapeHeader['target']): Promise<TapeHeader> {
  const {readHost} = await import('./probe/host.ts');
  return {
    format: 'nsview/tape',
    version: 1,
    nsview: NSVIEW_VERSION,
    at: now(),
    realtime: String(BigInt(Date.now()) * 1_000_000n),
    host: readHost(),
    target,
  };
}

const bpfRefusal = ({during, errno}: TracerAnswer & {ok: false}): string => {
  const {rule, remedy} = explainBpfRefusal(during, errno);
  return `${during}: ${errno}: ${rule}; ${remedy}`;
};

/** What is to be done; undefined where it cannot, and told. */
async function planOrComplain(argv: readonly string[], options: LaunchOptions): Promise<LaunchPlan | undefined> {
  const {planLaunch} = await import('./probe/launch-place.ts');
  const plan = planLaunch(argv, options);
  if (plan !== null) return plan;
  complain(
    `cannot launch ${argv[0] ?? ''}: no cgroup v2 file system is mounted; mount -t cgroup2 cgroup2 /sys/fs/cgroup, or leave --cgroup out`,
  );
  return undefined;
}

/** The steps, on stdout. */
async function printPlan(
  argv: readonly string[],
  options: LaunchOptions,
  how: {terminal: boolean; follow: Follow; fast: boolean},
): Promise<number> {
  const plan = await planOrComplain(argv, options);
  if (plan === undefined) return 1;
  const {readInheritance} = await import('./probe/inheritance.ts');
  write(STDOUT, planText(launchSteps(plan, {...how, softNofile: readInheritance().softNofile})));
  return 0;
}

/** 127 and 126 as a shell has them (execve(2) in POSIX.1, 2.8.2), 1 for what nsview itself could not do. */
async function launchFailure(plan: LaunchPlan, answer: TracerAnswer & {ok: false}): Promise<number> {
  const program = plan.argv[0] ?? '';
  if (isBpfStep(answer.during)) {
    complain(`cannot follow ${program} by BPF: ${bpfRefusal(answer)}`);
    return 1;
  }
  const {explainLaunch} = await import('./probe/launch-place.ts');
  const why = explainLaunch(answer.during, answer.errno, plan);
  const because = why === null ? '' : `: ${why.rule}; ${why.remedy}`;
  if (answer.during !== 'execve') {
    complain(`cannot launch ${program}: ${answer.during}: ${answer.errno}${because}`);
    return 1;
  }
  const missing = answer.errno === 'ENOENT' || answer.errno === 'ENOTDIR';
  const what = program.includes('/') ? 'no such file' : 'not found in PATH';
  complain(`${program}: ${missing ? what : `cannot be executed: execve: ${answer.errno}${because}`}`);
  return missing ? 127 : 126;
}

/** What was tried, which rule refused, and what to do. */
async function attachFailure(pid: number, answer: TracerAnswer & {ok: false}): Promise<string> {
  if (answer.missing) return `no process has pid ${pid}; nsview alone lists those that there are`;
  if (answer.self) return `pid ${pid} is nsview itself, which cannot stop to be looked at`;
  if (isBpfStep(answer.during)) return `cannot follow ${pid} by BPF: ${bpfRefusal(answer)}`;
  const {explainRefusal} = await import('./probe/ptrace-evidence.ts');
  const {rule, remedy} = explainRefusal(pid, answer.errno);
  return `cannot attach to ${pid}: ${answer.during}: ${answer.errno}: ${rule}; ${remedy}`;
}

const following = ({follow, everyAbi, fast, syscalls}: Following) => ({
  follow,
  everyAbi: everyAbi === true,
  fast: fast === true,
  syscalls: syscalls === true,
});

async function openOrComplain(options: Parameters<typeof import('./probe/session.ts')['openSession']>[0]) {
  const {openSession} = await import('./probe/session.ts');
  const session = openSession(options);
  if (!isRefusal(session)) return session;
  complain(`cannot start its helper: ${session.during}: ${session.errno}`);
  return undefined;
}

/* ---- trace ---- */

/** End as the program did, so that whoever waits for nsview sees the same: a shell breaks a loop upon SIGINT, not upon status 130. */
async function endAs({code, signal}: Pick<ExitFact, 'code' | 'signal'>): Promise<number> {
  if (code !== undefined) return code;
  const [{loadNative}, {signalNumber}] = await Promise.all([import('./probe/native.ts'), import('./probe/errno.ts')]);
  const number = signalNumber(signal ?? '');
  if (number > 0) loadNative().endBy(number);
  return 128 + number;
}

type TraceCommand = CommandLine & {kind: 'trace'};

/** Events as lines, or facts as a tape. Returns the exit status: the program's own for a launch. */
async function trace(command: TraceCommand): Promise<number> {
  const {target} = command;
  const plan = 'argv' in target ? await planOrComplain(target.argv, target.options) : null;
  if (plan === undefined) return 1;
  const header = await tapeHeader('pid' in target ? {pid: target.pid} : {command: target.argv});

  let fd = command.output === '-' ? STDOUT : STDERR;
  if (command.output !== null && command.output !== '-') {
    try {
      fd = openSync(command.output, 'w', 0o644);
    } catch (error) {
      complain(`cannot write ${command.output}: ${messageOf(error)}`);
      return 1;
    }
  }

  let line: (fact: Fact) => string;
  let record: (facts: readonly Fact[]) => readonly Fact[] = () => [];
  if (command.json) {
    line = fact => `${JSON.stringify(fact)}\n`;
    record = (await import('./probe/mount-recorder.ts')).createMountRecorder();
  } else {
    const {createWorld, observe} = await import('./model/world.ts');
    const {timelineLine} = await import('./out/timeline-text.ts');
    const world = createWorld(header);
    const offset = utcOffset();
    line = fact =>
      observe(world, fact)
        .map(event => `${timelineLine(event, world, offset)}\n`)
        .join('');
  }

  let root = 0;
  let end: ExitFact | undefined;
  let asked: NodeJS.Signals | undefined;
  let lost = false;
  let readers = true;
  let finish: () => void = () => {};
  const finished = new Promise<void>(resolve => {
    finish = resolve;
  });
  const put = (text: string) => {
    if (text === '' || !readers) return;
    readers = write(fd, text);
    // Nobody reads: as with SIGPIPE, there is nothing left to do. What is traced runs on.
    if (!readers) finish();
  };
  const early: Fact[] = [];
  const emit = (facts: readonly Fact[]) => {
    let text = '';
    for (const fact of facts) {
      if (root === 0) early.push(fact);
      if (fact.kind === 'exit' && fact.pid === root) end ??= fact;
      text += line(fact);
    }
    for (const fact of record(facts)) text += line(fact);
    put(text);
    // What it left behind is not waited for when nsview was asked to end: at the end of a terminal the rest hears of it only once its
    // session's leader has ended (drivers/tty/tty_jobctrl.c, disassociate_ctty), and that may be nsview.
    if (end !== undefined && asked !== undefined) finish();
  };

  const onLost = () => {
    lost = true;
    finish();
  };

  if (command.json) put(`${JSON.stringify(header)}\n`);
  const session = await openOrComplain({...following(command), emit, onEmpty: () => finish(), onLost});
  if (session === undefined) return 1;

  const launched = plan !== null;
  const {rawArguments, readInheritance} = await import('./probe/inheritance.ts');
  for (const signal of ['SIGINT', 'SIGQUIT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(signal, () => {
      // Ctrl-C and Ctrl-\ reach the whole foreground group: they are the program's. The others are passed on to it once.
      if (launched && end === undefined && (signal === 'SIGINT' || signal === 'SIGQUIT')) return;
      if (launched && end === undefined && asked === undefined && root > 0) {
        asked = signal;
        try {
          process.kill(root, signal);
        } catch {
          // It has ended meanwhile, and the tracer is about to tell.
        }
        return;
      }
      asked = signal;
      finish();
    });

  const answer =
    'pid' in target
      ? await session.attach(target.pid)
      : plan === null
        ? null
        : await session.launch({plan, argv: rawArguments(plan.argv), terminal: -1, ...readInheritance()});
  if (answer === null) return 1;
  if (!answer.ok) {
    await session.stop();
    if (plan !== null) return launchFailure(plan, answer);
    if ('pid' in target) complain(await attachFailure(target.pid, answer));
    return 1;
  }
  root = answer.pid;
  for (const fact of early) if (fact.kind === 'exit' && fact.pid === root) end ??= fact;
  if (session.pids().size === 0) finish();

  await finished;
  await session.stop();
  if (fd > STDERR) closeSync(fd);
  if (launched && end !== undefined) return endAs(end);
  // The kernel, or the guard, has seen to what was to die with the helper.
  if (lost && plan?.killOnExit) return 128 + constants.signals.SIGKILL;
  if (lost) {
    complain(`nsview-helper was killed; ${'pid' in target ? target.pid : target.argv[0]} runs on, and is not followed any more`);
    return 1;
  }
  return asked === undefined || asked === 'SIGINT' ? 0 : 128 + constants.signals[asked];
}

/* ---- The screen ---- */

/** The exit status after a screen closed. */
async function statusOf(ending: import('./ui/screen.tsx').Ending): Promise<number> {
  switch (ending.kind) {
    case 'quit':
    case 'closed':
      return 0;
    case 'signal':
      // The terminal is gone, and Node aborts where it cannot reset it on the way out (ResetStdio, src/node.cc).
      return ending.signal === 'SIGHUP' ? await endAs({signal: 'SIGHUP'}) : 128 + constants.signals[ending.signal];
    case 'failed':
      complain(`the screen failed: ${stackOf(ending.error)}`);
      return 1;
    default: {
      const never: never = ending;
      return never;
    }
  }
}

type Held = import('./probe/claims.ts').Held;
type ScreenTarget = CommandLine & {kind: 'watch' | 'attach' | 'launch'};

/** Whether there is a terminal to read keys from; told where there is none, as in a session without one. */
function hasKeys(): boolean {
  if (isatty(STDIN)) return true;
  try {
    closeSync(openSync('/dev/tty', 'r'));
    return true;
  } catch (error) {
    complain(
      `cannot read keys: stdin is no terminal, and /dev/tty: ${messageOf(error).split(':')[0]}; start it in a terminal, or put | cat behind it for text instead of the screen`,
    );
    return false;
  }
}

/** Keys come from the terminal even where stdin is something else (nsview replay - < tape). */
function keyboard(): ReadStream {
  return process.stdin.isTTY ? process.stdin : new ReadStream(openSync('/dev/tty', 'r'));
}

/** The pid of the process to look at; null where there is nothing to be seen, and told. */
async function beginOrComplain(held: Held): Promise<number | null> {
  const answer = await held.begin();
  if (!('refused' in answer)) return answer.select;
  complain(`cannot show ${held.shows.flag}: ${answer.refused}`);
  return null;
}

/** `held`: what is attached to is a demonstration. */
async function screen(target: ScreenTarget, held?: Held): Promise<number> {
  if (!hasKeys()) return 1;
  const plan = target.kind === 'launch' ? await planOrComplain(target.argv, target.options) : null;
  if (plan === undefined) return 1;
  const [{loadNative}, {startAside}] = await Promise.all([import('./probe/native.ts'), import('./probe/session-aside.ts')]);
  // Where that is not built, the thread could only fail.
  const native = loadNative();
  leave = status => native.leave(status);
  // It begins while the rest is loaded.
  const aside = startAside({emit: facts => emit(facts)});
  const [{createState, reduce}, {stillRuns}, {createStore}, {runScreen}, {restoreTerminal}, {watchDetailsAside}] = await Promise.all([
    import('./model/state.ts'),
    import('./model/commands.ts'),
    import('./store.ts'),
    import('./ui/screen.tsx'),
    import('./ui/modes.ts'),
    import('./probe/details-aside.ts'),
  ]);
  const header = await tapeHeader(
    target.kind === 'attach' ? {pid: target.pid} : target.kind === 'launch' ? {command: target.argv} : {machine: true},
  );
  const mode = target.kind === 'watch' ? 'machine' : target.kind;
  const store = createStore(createState({header, mode, utcOffset: utcOffset(), killOnExit: plan?.killOnExit === true}), reduce);
  const emit = (facts: readonly Fact[]) => store.dispatch({kind: 'facts', facts});

  // One helper for the whole run: even where nothing is traced it gives the terminal back if nsview is killed.
  let pty: import('./probe/pty.ts').Pty | undefined;
  let root: number | null = target.kind === 'attach' ? target.pid : null;
  const open = () => aside.open({...following(target), onLost: () => void onLost()});
  const onLost = async () => {
    // Somebody killed the helper: what it followed runs on, is watched from /proc, and can be attached to again.
    aside.watch(target.kind === 'launch' ? root : null);
    if (target.kind !== 'launch') store.dispatch({kind: 'mode', mode: 'machine'});
    const rest = plan?.killOnExit ? 'what it launched dies with it' : 'everything that it traced runs on, untraced';
    store.dispatch({kind: 'note', text: `nsview-helper was killed; ${rest}`, bad: true});
    session = await open();
    if (isRefusal(session)) return;
    session.guardTerminal(STDOUT, Buffer.from(restoreTerminal));
    if (pty !== undefined) session.keepTerminal(pty.master);
  };
  let session = await open();
  if (isRefusal(session)) {
    complain(`cannot start its helper: ${session.during}: ${session.errno}`);
    return 1;
  }

  if (target.kind === 'launch') {
    const {openPty} = await import('./probe/pty.ts');
    const opened = openPty(native, target.argv[0] ?? '', 24, 80);
    if (isRefusal(opened)) {
      complain(`cannot open a terminal for the program: ${opened.during}: ${opened.errno}`);
      await session.stop();
      return 1;
    }
    pty = opened;
    session.keepTerminal(pty.master);
  }
  // Of what begins after nsview has attached it sees each birth.
  let select = held?.shows.late ? await beginOrComplain(held) : undefined;
  if (target.kind === 'attach' && select !== null) {
    const answer = await session.attach(target.pid);
    if (!answer.ok) {
      const why = await attachFailure(target.pid, answer);
      if (answer.missing || answer.self) {
        complain(why);
        await session.stop();
        return 1;
      }
      aside.watch(target.pid);
      emit([{kind: 'tracer', at: now(), mode: 'proc', scope: target.pid, sees: [], processes: 0, threads: 0, because: why}]);
      store.dispatch({kind: 'note', text: why, bad: true});
    }
  }
  if (target.kind === 'watch') aside.watch(null);
  if (held !== undefined) {
    select ??= select === null ? null : await beginOrComplain(held);
    if (select === null) {
      await session.stop();
      return 1;
    }
    const [{demonstrationText}, {openProcess}] = await Promise.all([import('./model/claim.ts'), import('./model/moves.ts')]);
    const {pid, text} = {pid: select, text: demonstrationText(held.shows)};
    const unsubscribe = store.subscribe(() => {
      const state = openProcess(store.get(), pid, held.shows.tab, text);
      if (state === null) return;
      unsubscribe();
      store.dispatch({kind: 'state', state});
    });
  }

  const details = watchDetailsAside({emit});
  const attach = async (pid: number) => {
    if (isRefusal(session)) {
      const text = `cannot attach to ${pid}: nsview-helper does not run: ${session.during}: ${session.errno}`;
      return store.dispatch({kind: 'note', text, bad: true});
    }
    const answer = await session.attach(pid);
    if (answer.ok) {
      aside.unwatch();
      store.dispatch({kind: 'mode', mode: 'attach'});
    } else store.dispatch({kind: 'note', text: await attachFailure(pid, answer), bad: true});
  };
  const detach = async () => {
    if (isRefusal(session)) return;
    await session.stop();
    session = await open();
    if (!isRefusal(session)) session.guardTerminal(STDOUT, Buffer.from(restoreTerminal));
    aside.watch(null);
    emit([{kind: 'tracer', at: now(), mode: 'proc', scope: null, sees: [], processes: 0, threads: 0, because: 'detached'}]);
    store.dispatch({kind: 'mode', mode: 'machine'});
  };

  let survivors = 0;
  const end = async () => {
    pty?.close();
    const answer = isRefusal(session) ? null : await session.end();
    if (answer?.ok) survivors = answer.processes;
    shown.close();
  };

  session.guardTerminal(STDOUT, Buffer.from(restoreTerminal));
  const shown = runScreen({
    store,
    stdin: keyboard(),
    ...(pty === undefined ? {} : {terminal: pty.port}),
    perform: intent => {
      switch (intent.kind) {
        case 'attach':
          void attach(intent.pid);
          break;
        case 'detach':
          void detach();
          break;
        case 'look':
          aside.look(intent.pid);
          if (!isRefusal(session)) session.look(intent.pid);
          break;
        case 'show-details':
          details.show(intent);
          break;
        case 'end':
          void end();
          break;
        default: {
          const never: never = intent;
          return never;
        }
      }
    },
  });
  let crash: unknown;
  process.on('uncaughtException', error => {
    crash ??= error;
    shown.close();
  });

  let failed: number | undefined;
  if (plan !== null && pty !== undefined) {
    const {rawArguments, readInheritance} = await import('./probe/inheritance.ts');
    const {environment, ...rest} = readInheritance();
    // The pane is this terminal, whatever the one around it is.
    const inner = environment.filter(entry => !/^(TERM|COLORTERM|LINES|COLUMNS|TERM_PROGRAM)=/.test(entry.toString()));
    const answer = await session.launch({
      plan,
      argv: rawArguments(plan.argv),
      terminal: pty.slave,
      environment: [...inner, 'TERM=xterm-256color', 'COLORTERM=truecolor'],
      ...rest,
    });
    pty.closeSlave();
    if (answer.ok) root = answer.pid;
    else {
      shown.close();
      await shown.done;
      failed = await launchFailure(plan, answer);
    }
  }

  const ending = await shown.done;
  details[Symbol.dispose]();
  aside.unwatch();
  const left = ending.kind === 'quit' && stillRuns(store.get());
  // As any terminal does that is closed; what was left, or outlives a crash, keeps its own.
  if (ending.kind === 'signal' && !isRefusal(session)) session.keepTerminal(-1);
  pty?.close();
  if (!isRefusal(session)) await session.stop();
  aside[Symbol.dispose]();
  if (crash !== undefined) {
    complain(`nsview failed, and what it followed runs on: ${stackOf(crash)}`);
    return 1;
  }
  if (left)
    complain(
      `${target.kind === 'launch' ? target.argv[0] : ''} (${root}) runs on; nsview-keeper holds its terminal, and what it writes is lost`,
    );
  if (survivors > 0)
    complain(`${survivors === 1 ? 'one process has' : `${survivors} processes have`} not ended yet, though killed: it hangs in the kernel`);
  return failed ?? (await statusOf(ending));
}

async function replay(command: CommandLine & {kind: 'replay'}): Promise<number> {
  const {readTape} = await import('./probe/tape-reader.ts');
  const tape = await readTape(command.file);
  if (tape.header === null) {
    complain(tape.problem ?? `${command.file} is no tape`);
    return 1;
  }
  if (tape.problem !== null) complain(tape.problem);
  const {header, facts} = tape;
  if (command.json || !hasScreen()) {
    if (command.json) {
      write(STDOUT, `${[header, ...facts].map(entry => JSON.stringify(entry)).join('\n')}\n`);
      return tape.problem === null ? 0 : 1;
    }
    const {createWorld, observe} = await import('./model/world.ts');
    const {timelineLine} = await import('./out/timeline-text.ts');
    const world = createWorld(header);
    for (const fact of facts)
      for (const event of observe(world, fact)) if (!write(STDOUT, `${timelineLine(event, world, utcOffset())}\n`)) return 0;
    return tape.problem === null ? 0 : 1;
  }
  if (!hasKeys()) return 1;
  const [{createState, reduce}, {createStore}, {runScreen}, {restoreTerminal}] = await Promise.all([
    import('./model/state.ts'),
    import('./store.ts'),
    import('./ui/screen.tsx'),
    import('./ui/modes.ts'),
  ]);
  const store = createStore(createState({header, mode: 'replay', utcOffset: utcOffset(), tape: facts}), reduce);
  if (tape.problem !== null) store.dispatch({kind: 'note', text: tape.problem, bad: true});
  const {openSession} = await import('./probe/session.ts');
  const session = openSession({follow: 'ptrace', emit: () => {}});
  if (!isRefusal(session)) session.guardTerminal(STDOUT, Buffer.from(restoreTerminal));
  const shown = runScreen({store, stdin: keyboard(), perform: () => {}});
  const ending = await shown.done;
  if (!isRefusal(session)) await session.stop();
  return await statusOf(ending);
}

async function snapshot(command: CommandLine & {kind: 'snapshot'}): Promise<number> {
  const {readSnapshot} = await import('./probe/snapshot.ts');
  const taken = readSnapshot({version: NSVIEW_VERSION, ...(command.pid === null ? {} : {root: command.pid})});
  if (command.pid !== null && !taken.processes.some(process => process.pid === command.pid)) {
    complain(`no process has pid ${command.pid}; nsview snapshot lists those that there are`);
    return 1;
  }
  if (command.json) {
    const {snapshotJson} = await import('./out/snapshot-json.ts');
    for (const piece of snapshotJson(taken)) if (!write(STDOUT, piece)) break;
    return 0;
  }
  const {snapshotText} = await import('./out/snapshot-text.ts');
  const color = process.stdout.isTTY && !process.env.NO_COLOR;
  write(STDOUT, snapshotText(taken, {columns: process.stdout.columns ?? 0, color}));
  return 0;
}

/** What keeps a mount or a namespace. */
async function whoPins({what, json}: CommandLine & {kind: 'who-pins'}): Promise<number> {
  const [
    {readNamespaceHolders},
    {readMountHolders},
    {placeOf, readMounts},
    {readLineage},
    {readLink, readText},
    {explainRefusal},
    {NAMESPACES},
    {mountPinsText, namespacePinsText},
  ] = await Promise.all([
    import('./probe/ownership.ts'),
    import('./probe/mount-holders.ts'),
    import('./probe/mountinfo.ts'),
    import('./probe/lineage.ts'),
    import('./probe/proc-file.ts'),
    import('./probe/ptrace-evidence.ts'),
    import('./model/namespace.ts'),
    import('./out/pins-text.ts'),
  ]);
  const refuse = (name: string, {during, errno}: Refusal, remedy = ''): number => {
    complain(`${name}: ${during}: ${errno}${remedy}`);
    return 1;
  };
  const taken = `; who-pins takes a path, PID:TYPE with TYPE one of ${NAMESPACES.map(({type}) => type).join(', ')}, or TYPE:[INODE]`;
  const path = 'path' in what ? what.path : '';
  const place = path === '' ? null : placeOf(path);
  let inode: string | null = null;
  if ('inode' in what) inode = what.inode;
  else if ('pid' in what) {
    const file = `/proc/${what.pid}/ns/${what.type}`;
    const link = readLink(file);
    if (isRefusal(link) && isRefusal(readText(`/proc/${what.pid}/stat`))) {
      complain(`no process has pid ${what.pid}; nsview snapshot lists those that there are`);
      return 1;
    }
    // A zombie is in none any more.
    if (isRefusal(link) && link.errno === 'ENOENT') return refuse(file, link);
    if (isRefusal(link)) {
      const remedy = process.geteuid?.() === 0 ? '' : `; run it as root: sudo nsview who-pins ${what.pid}:${what.type}`;
      return refuse(file, link, `: ${explainRefusal(what.pid, link.errno).rule}${remedy}`);
    }
    inode = /\[(\d+)\]/.exec(link)?.[1] ?? '';
  } else {
    if (place === null || isRefusal(place)) {
      const {errno, during} = place ?? {errno: 'ENOENT', during: 'open'};
      return refuse(path === '' ? '""' : path, {errno, during}, errno === 'ENOENT' ? taken : '');
    }
    // A namespace is on nsfs, bound somewhere, or on the kernel's own mount of it, which no table has. Nothing else is opened: a directory of a
    // server that does not answer would never come back, and a device may do anything.
    const mounts = readMounts('self');
    const on = isRefusal(mounts) ? undefined : mounts.find(({id}) => id === place.id);
    const lineage = on === undefined || on.fsType === 'nsfs' ? readLineage(path) : null;
    if (lineage !== null && !isRefusal(lineage)) inode = lineage.inode;
  }
  if (inode !== null) {
    const held = readNamespaceHolders(inode);
    if (held === null) {
      complain(`no namespace ${inode} is held by anything that nsview may see; nsview snapshot lists those that are`);
      return 1;
    }
    write(STDOUT, json ? `${JSON.stringify(held)}\n` : namespacePinsText(held));
    return 0;
  }
  if (place === null || isRefusal(place)) return refuse(path, place ?? {errno: 'ENOENT', during: 'open'});
  const seen = readMountHolders(process.pid, place.id, place.path);
  if (isRefusal(seen)) return refuse(path, seen);
  write(STDOUT, json ? `${JSON.stringify(seen)}\n` : mountPinsText(seen, process.stdout.isTTY ? (process.stdout.columns ?? 0) : 0));
  return 0;
}

/** What holds on this kernel, told as soon as it is known. */
async function claims({flag, json}: CommandLine & {kind: 'claims'}): Promise<number> {
  const [{startClaims}, {flagOfClaims, countClaims}, {claimText, claimsSummary}] = await Promise.all([
    import('./probe/claims.ts'),
    import('./model/claim.ts'),
    import('./out/claims-text.ts'),
  ]);
  const refuse = ({during, errno}: Refusal): number => {
    complain(`cannot start ${during}: ${errno}`);
    return 1;
  };
  let asked = '';
  if (flag !== null) {
    const all = startClaims({flag: '', list: true});
    if (isRefusal(all)) return refuse(all);
    const flags = [...new Set([...all].map(claim => claim.flag))];
    const known = flagOfClaims(flag, flags);
    if (known === null) {
      complain(`claims ${JSON.stringify(flag)}: there are claims of ${flags.join(', ')}`);
      return 2;
    }
    asked = known;
  }
  const told = startClaims({flag: asked, list: false});
  if (isRefusal(told)) return refuse(told);
  const width = process.stdout.isTTY ? (process.stdout.columns ?? 80) : 100;
  const done: import('./model/claim.ts').ToldClaim[] = [];
  for (const claim of told) {
    const text = json ? `${JSON.stringify(claim)}\n` : claimText(claim, done.at(-1), width);
    done.push(claim);
    if (!write(STDOUT, text)) return 1;
  }
  const counts = countClaims(done);
  if (!json) write(STDOUT, claimsSummary(counts));
  return counts.broken > 0 || done.length === 0 ? 1 : 0;
}

/** As diff(1): 0 equal, 1 different, 2 trouble. */
async function diff({a, b, names, maps, json}: CommandLine & {kind: 'diff'}): Promise<number> {
  const [{readCompared}, {compareSnapshots}] = await Promise.all([import('./probe/compared.ts'), import('./model/comparison.ts')]);
  const sides: import('./model/fact.ts').Snapshot[] = [];
  for (const word of [a, b]) {
    const read = readCompared(word, NSVIEW_VERSION);
    if (!read.ok) {
      complain(`diff: ${read.problem}`);
      return 2;
    }
    sides.push(read.value);
  }
  const [one, other] = sides;
  if (one === undefined || other === undefined) return 2;
  const compared = compareSnapshots(one, other, {names, maps});
  if (json) write(STDOUT, `${JSON.stringify(compared)}\n`);
  else {
    const {diffText} = await import('./out/diff-text.ts');
    write(STDOUT, diffText(compared));
  }
  return compared.equal ? 0 : 1;
}

/** The screen on a few processes that show what a flag of clone3 does; without a terminal, what it would show, as text. */
async function demonstrate({flag}: CommandLine & {kind: 'demonstration'}): Promise<number> {
  const [{holdDemonstration}, {demonstrationText}] = await Promise.all([import('./probe/claims.ts'), import('./model/claim.ts')]);
  const held = await holdDemonstration(flag);
  if (isRefusal(held)) {
    complain(`cannot start ${held.during}: ${held.errno}`);
    return 1;
  }
  if ('refused' in held) {
    complain(`claims ${JSON.stringify(flag)} --watch: ${held.refused}`);
    return 2;
  }
  try {
    if (hasScreen()) return await screen({kind: 'attach', pid: held.shows.pid, follow: 'auto'}, held);
    if ((await beginOrComplain(held)) === null) return 1;
    write(STDOUT, `${demonstrationText(held.shows)}\n\n`);
    return await snapshot({kind: 'snapshot', pid: held.shows.pid, json: false});
  } finally {
    held.end();
  }
}

/* ---- All of it ---- */

/** Not to print, to read what was written, or to ask what is wrong. */
function needsProc(command: CommandLine): boolean {
  if (command.kind === 'diff') return [command.a, command.b].some(side => parsePid(side) !== null);
  return !['usage', 'help', 'version', 'replay', 'doctor', 'schema'].includes(command.kind);
}

async function run(command: CommandLine): Promise<number> {
  if (needsProc(command)) {
    const {procProblem} = await import('./probe/proc-mount.ts');
    const problem = procProblem();
    if (problem !== null) {
      complain(`${problem.means}: ${problem.remedy}`);
      return command.kind === 'diff' ? 2 : 1;
    }
  }
  switch (command.kind) {
    case 'usage':
      complain(command.message);
      return 2;
    case 'help':
      write(STDOUT, HELP);
      return 0;
    case 'version':
      write(STDOUT, `nsview ${NSVIEW_VERSION}\n`);
      return 0;
    case 'watch':
      return hasScreen() ? screen(command) : snapshot({kind: 'snapshot', pid: null, json: false});
    case 'attach':
      return hasScreen()
        ? screen(command)
        : trace({...command, kind: 'trace', target: {pid: command.pid}, plan: false, json: false, output: null});
    case 'launch': {
      const {argv, options, follow} = command;
      if (command.plan) return printPlan(argv, options, {terminal: hasScreen(), follow, fast: command.fast === true});
      return hasScreen()
        ? screen(command)
        : trace({...command, kind: 'trace', target: {argv, options}, plan: false, json: false, output: null});
    }
    case 'snapshot':
      return snapshot(command);
    case 'trace':
      if (command.plan && 'argv' in command.target)
        return printPlan(command.target.argv, command.target.options, {
          terminal: false,
          follow: command.follow,
          fast: command.fast === true,
        });
      return trace(command);
    case 'who-pins':
      return whoPins(command);
    case 'replay':
      return replay(command);
    case 'doctor': {
      const [{diagnose}, {doctorText}] = await Promise.all([import('./probe/doctor.ts'), import('./out/doctor-text.ts')]);
      const findings = await diagnose();
      write(STDOUT, command.json ? `${JSON.stringify(findings)}\n` : doctorText(findings));
      return 0;
    }
    case 'claims':
      return claims(command);
    case 'diff':
      return diff(command);
    case 'demonstration':
      return demonstrate(command);
    case 'schema': {
      const {jsonSchemas} = await import('./probe/schemas.ts');
      const schemas = jsonSchemas();
      write(STDOUT, `${JSON.stringify(command.which === 'all' ? schemas : schemas[command.which], null, 2)}\n`);
      return 0;
    }
    default: {
      const never: never = command;
      return never;
    }
  }
}

keepStdioBlocking();
try {
  const command = parseCommandLine(process.argv.slice(2));
  const status = await run(command);
  const [failure] = unwritten;
  if (failure !== undefined)
    complain(`${failure.fd === STDOUT ? 'stdout' : 'its output'}: write: ${failure.errno}; what is there is not whole`);
  leave(failure === undefined ? status : command.kind === 'diff' ? 2 : status || 1);
} catch (error) {
  complain(error instanceof Error && error.name === 'NativeError' ? error.message : stackOf(error));
  leave(1);
}
