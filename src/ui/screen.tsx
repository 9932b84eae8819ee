// Knows the running screen: bytes from the person's terminal become commands, states become frames, and all modes are undone at the end.

import {PassThrough} from 'node:stream';
import {render} from 'ink';
import {press, typeSearch} from '../model/commands.ts';
import {wantedDetails} from '../model/details.ts';
import type {Intent} from '../model/intent.ts';
import {inside, type Rect, terminalSize} from '../model/layout.ts';
import {click, focusOn, type Step, showTab, wheel} from '../model/moves.ts';
import {type Message, type State, selectedProcess, selectedSubject} from '../model/state.ts';
import type {TerminalPort} from '../model/terminal-port.ts';
import {pinnedMount} from '../model/view.ts';
import type {Store} from '../store.ts';
import {App} from './app.tsx';
import {createEmulator} from './emulator.ts';
import {frameOf, paneAt, type ScreenFrame} from './frame.ts';
import {createInput, type InputEvent} from './input.ts';
import {enterModes, enterScreen, restoreTerminal} from './modes.ts';
import {createTheme} from './theme.ts';

/** What the screen needs of a keyboard: process.stdin, or a stand-in. */
export type Keyboard = {
  on(event: 'data', listener: (chunk: Uint8Array) => void): unknown;
  on(event: 'end' | 'error', listener: () => void): unknown;
  off(event: 'data', listener: (chunk: Uint8Array) => void): unknown;
  off(event: 'end' | 'error', listener: () => void): unknown;
  setRawMode?(on: boolean): unknown;
  resume(): unknown;
  pause(): unknown;
};

export type ScreenOptions = {
  /** `createStore(createState({header, mode, …}), reduce)`. Whoever has facts dispatches `{kind: 'facts', facts}` into it, in batches. */
  readonly store: Store<State, Message>;
  /** Does what a person wants done outside of the screen. Called at once and often; must not throw. */
  readonly perform: (intent: Intent) => void;
  /** The terminal of the launched program. The screen sets its size, reads it with flow control and writes keys to it. */
  readonly terminal?: TerminalPort;
  /** process.stdin unless given; must be a terminal. */
  readonly stdin?: Keyboard;
  /** process.stdout unless given. */
  readonly stdout?: NodeJS.WriteStream;
  /** False honours NO_COLOR; by default as that variable says. */
  readonly colours?: boolean;
  /** CLOCK_MONOTONIC in nanoseconds. */
  readonly now?: () => number;
};

/** Why the screen closed. After `signal` and `failed` the terminal is whole again too; what to do then is main's to decide. */
export type Ending =
  | {readonly kind: 'quit'}
  | {readonly kind: 'closed'}
  | {readonly kind: 'signal'; readonly signal: NodeJS.Signals}
  | {readonly kind: 'failed'; readonly error: unknown};

export type Screen = {
  /** Resolves when the screen has closed and the terminal has been restored; never rejects. */
  readonly done: Promise<Ending>;
  /** Closes it from outside. */
  close(): void;
};

const isToldAlready = () => {};

/** Facts may come by the thousand; a person sees this many frames a second. */
const FRAME = 33;
/** Between two frames that only facts ask for passes ten times as long as the last took, up to a tenth of a second; at least four times as long. */
const leisure = (took: number): number => Math.max(FRAME, 4 * took, Math.min(100, 10 * took));
const TICK = 100;
const SIGNALS: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP'];
const WHEEL_ROWS = 3;

/** Ink reads no keys here: an empty stream that looks like a terminal. */
function silentStdin(): NodeJS.ReadStream {
  return Object.assign(new PassThrough(), {
    isTTY: true,
    setRawMode: () => {},
    ref: () => {},
    unref: () => {},
  }) as unknown as NodeJS.ReadStream;
}

export function runScreen(options: ScreenOptions): Screen {
  const {store, perform, terminal} = options;
  const stdin: Keyboard = options.stdin ?? process.stdin;
  const stdout = options.stdout ?? process.stdout;
  const now = options.now ?? (() => Number(process.hrtime.bigint()));
  const theme = createTheme(options.colours ?? (process.env.NO_COLOR ?? '') === '');

  let closed = false;
  let drawing = false;
  let timer: NodeJS.Timeout | undefined;
  let drawnAt = 0;
  /** Milliseconds that the last frame took. */
  let took = 0;
  let frame: ScreenFrame | undefined;
  let finish: (ending: Ending) => void = () => {};
  const done = new Promise<Ending>(resolve => {
    finish = resolve;
  });

  store.dispatch({kind: 'resize', columns: stdout.columns || 80, rows: stdout.rows || 24});

  // --- the program's terminal ---

  const terminalRect = ({view}: State): Rect | null => (view.hasTerminal ? terminalSize(view.size, view.zoom) : null);
  const firstRect = terminalRect(store.get());
  const emulator =
    terminal === undefined
      ? null
      : createEmulator(terminal, {columns: firstRect?.width ?? 80, rows: firstRect?.height ?? 24}, () => {
          if (emulator?.ended && !store.get().view.programEnded) store.dispatch({kind: 'program-ended'});
          schedule();
        });
  if (terminal !== undefined && firstRect !== null) terminal.resize(firstRect.width, firstRect.height);

  // --- drawing ---

  const makeFrame = (): ScreenFrame => {
    store.dispatch({kind: 'settle'});
    const state = store.get();
    const rect = terminalRect(state);
    if (emulator !== null && rect !== null) emulator.resize(rect.width, rect.height);
    return frameOf(state, theme, emulator === null || terminal === undefined ? null : {title: terminal.title, frame: emulator.frame()});
  };

  const draw = () => {
    if (closed) return;
    clearTimeout(timer);
    timer = undefined;
    drawing = true;
    const began = performance.now();
    frame = makeFrame();
    ink.rerender(<App frame={frame} />);
    drawnAt = performance.now();
    took = drawnAt - began;
    drawing = false;
    tellWhatIsShown();
  };

  const drawIn = (rest: number) => {
    if (closed || drawing || timer !== undefined) return;
    timer = setTimeout(draw, Math.max(0, rest - (performance.now() - drawnAt)));
  };
  /** Soon, but not sooner than a frame after the last. */
  const schedule = () => drawIn(FRAME);
  /** What nobody waits for: where drawing is dear, it leaves most of the time to keys, which draw at once. */
  const scheduleFacts = () => drawIn(leisure(took));

  let looked: number | null = null;
  let told = '';
  /** What main has to read depends on what is shown. */
  const tellWhatIsShown = () => {
    const state = store.get();
    if (state.mode === 'replay') return;
    const process = selectedProcess(state);
    const pid = process === null || process.end !== null ? null : process.pid;
    if (pid !== looked) {
      looked = pid;
      if (pid !== null) perform({kind: 'look', pid});
    }
    const wanted = {pid, ...wantedDetails(state.world, selectedSubject(state), state.view.tab, pinnedMount(state.view))};
    const words = JSON.stringify(wanted);
    if (words === told) return;
    told = words;
    perform({kind: 'show-details', ...wanted});
  };

  // --- what a person does ---

  const apply = (step: Step) => {
    store.dispatch({kind: 'state', state: step.state});
    for (const intent of step.intents) perform(intent);
    if (step.quit) close({kind: 'quit'});
  };

  const programHasKeys = (state: State): boolean => {
    const {view} = state;
    return emulator !== null && view.focus === 'terminal' && !view.programEnded && view.asking === null && view.help === null;
  };

  const onMouse = (event: InputEvent & {kind: 'mouse'}) => {
    const state = store.get();
    if (frame === undefined || state.view.asking !== null) return;
    const isWheel = event.action === 'wheel-up' || event.action === 'wheel-down';
    const by = event.action === 'wheel-up' ? -WHEEL_ROWS : WHEEL_ROWS;
    if (state.view.help !== null || state.view.whole !== null) {
      if (isWheel) for (let i = 0; i < WHEEL_ROWS; i++) apply(press(store.get(), by < 0 ? 'up' : 'down', ''));
      return;
    }
    const pane = paneAt(frame, event.x, event.y);
    if (pane === undefined || pane.name === 'help' || pane.name === 'event' || pane.name === 'question' || pane.name === 'note') return;
    const inner = inside(pane.rect);
    if (pane.name === 'terminal' && emulator !== null) {
      if (state.view.focus === 'terminal' && emulator.wantsMouse()) emulator.input(event, inner);
      else if (isWheel) emulator.scroll(by, state.view.focus === 'terminal');
      else if (event.action === 'press') store.dispatch({kind: 'state', state: focusOn(state, 'terminal')});
      return;
    }
    if (isWheel) store.dispatch({kind: 'state', state: wheel(state, pane.name, by)});
    else if (event.action === 'press' && event.button === 0) {
      const tab = frame.tabs.find(place => place.y === event.y && event.x >= place.from && event.x < place.to);
      if (tab !== undefined) store.dispatch({kind: 'state', state: showTab(focusOn(state, 'details'), tab.tab)});
      else if (event.y >= inner.y && event.y < inner.y + inner.height) apply(click(state, pane.name, event.y - inner.y));
      else store.dispatch({kind: 'state', state: focusOn(state, pane.name)});
    }
  };

  const onInput = (event: InputEvent) => {
    if (closed) return;
    const state = store.get();
    if (event.kind === 'mouse') onMouse(event);
    else if (programHasKeys(state) && !(event.kind === 'key' && event.key === 'ctrl-]')) {
      emulator?.input(event, {x: 0, y: 0});
      // The program's answer draws; a scroll back to its prompt has to be drawn too.
      schedule();
      return;
    } else if (event.kind === 'key') apply(press(state, event.key, event.text));
    else if (event.kind === 'paste' && state.view.search?.typing) {
      const text =
        Buffer.from(event.bytes)
          .toString()
          .split(/[\r\n]/)[0] ?? '';
      store.dispatch({kind: 'state', state: typeSearch(state, state.view.search.text + text)});
    }
    draw();
  };

  const input = createInput(onInput);
  const onData = (chunk: Uint8Array) => input.feed(typeof chunk === 'string' ? Buffer.from(chunk) : chunk);

  // --- beginning and end ---

  const onResize = () => {
    store.dispatch({kind: 'resize', columns: stdout.columns || 80, rows: stdout.rows || 24});
    draw();
  };
  // Before Ink's own listener, so that it never lays out the old frame in the new size.
  stdout.on('resize', onResize);
  // EIO, or the end of the input: the terminal is gone. Its SIGHUP may come later, or not at all: the kernel sends it to the session's
  // leader (tty_signal_session_leader(), drivers/tty/tty_jobctrl.c), which may be a script that passes it to nobody.
  const onGone = () => leave({kind: 'signal', signal: 'SIGHUP'});
  stdout.on('error', onGone);
  stdin.on('error', onGone);
  stdin.on('end', onGone);

  // All that ends it is heard from before the screen is touched; what comes until it stands is done then.
  let stands = false;
  let asked: Ending | null = null;
  const leave = (ending: Ending) => {
    if (stands) close(ending);
    else asked ??= ending;
  };
  const onSignal = (signal: NodeJS.Signals) => leave({kind: 'signal', signal});
  for (const signal of SIGNALS) process.on(signal, onSignal);

  const openInk = () => {
    frame = makeFrame();
    // The terminal would write a key that comes now into the frame.
    stdin.setRawMode?.(true);
    stdout.write(enterScreen);
    const opened = render(<App frame={frame} />, {
      stdin: silentStdin(),
      stdout,
      exitOnCtrlC: false,
      patchConsole: false,
      interactive: true,
      alternateScreen: true,
      incrementalRendering: true,
      // Frames are paced here. Ink would hold the one that a key asks for back, behind whatever else waits for its time.
      maxFps: 1000,
    });
    stdout.write(enterModes);
    opened.waitUntilExit().then(
      () => opened === ink && close({kind: 'closed'}),
      (error: unknown) => close({kind: 'failed', error}),
    );
    return opened;
  };
  let ink = openInk();
  stdin.on('data', onData);
  stdin.resume();
  const unsubscribe = store.subscribe(scheduleFacts);
  const ticker = setInterval(() => {
    const {replay, world, view} = store.get();
    if (replay?.playing || (replay === null && !view.paused && world.ended.length > 0)) store.dispatch({kind: 'tick', now: now()});
  }, TICK);
  tellWhatIsShown();

  const restore = () => {
    try {
      stdout.write(restoreTerminal);
      stdin.setRawMode?.(false);
    } catch {
      // The terminal may be gone: that is why we leave.
    }
  };

  const close = (ending: Ending) => {
    if (closed) return;
    closed = true;
    clearTimeout(timer);
    clearInterval(ticker);
    unsubscribe();
    input.close();
    stdin.off('data', onData);
    stdin.off('end', onGone);
    stdin.pause();
    stdout.off('resize', onResize);
    ink.unmount();
    restore();
    emulator?.close();
    process.off('SIGCONT', onContinue);
    process.off('exit', restore);
    process.off('uncaughtExceptionMonitor', onException);
    // signal-exit, which Ink brings, ends the process upon a signal that has no listener but its own: not while main lets everything go
    // because the terminal is gone, of which the signal may tell last.
    if (!process.listeners('SIGHUP').includes(isToldAlready)) process.on('SIGHUP', isToldAlready);
    // Nor within the signal itself.
    setImmediate(() => {
      for (const signal of SIGNALS) process.off(signal, onSignal);
    });
    finish(ending);
  };
  // Stopped and continued from outside: a shell had the terminal meanwhile, and changed its modes.
  const onContinue = () => {
    ink.unmount();
    // Node believes that raw mode is still on.
    stdin.setRawMode?.(false);
    ink = openInk();
  };
  // Whole, not only the modes: what Ink writes when it is unmounted belongs on the alternate screen.
  const onException = (error: unknown) => close({kind: 'failed', error});
  process.on('exit', restore);
  // Before Node prints what went wrong.
  process.on('uncaughtExceptionMonitor', onException);
  process.on('SIGCONT', onContinue);

  stands = true;
  if (asked !== null) close(asked);
  return {done, close: () => close({kind: 'closed'})};
}
