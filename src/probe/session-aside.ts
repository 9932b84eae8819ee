// Knows how to follow and to watch in a thread: reading /proc and decoding what a tracer tells, hundreds of processes a second, is work that a
// key may not wait for.

import {Worker} from 'node:worker_threads';
import type {Fact, Refusal, Seen} from '../model/fact.ts';
import type {Session, SessionOptions} from './session.ts';
import type {Launch, TracerAnswer} from './tracer.ts';

/** As a session in this thread; what is asked of it is done in the order in which it was asked. */
type SessionAside = Omit<Session, 'pids'>;

/** What a session may be asked. Those that are answered have a number. */
export type Ask =
  | {readonly ask: 'open'; readonly session: number; readonly options: Omit<SessionOptions, 'emit' | 'onEmpty' | 'onLost'>}
  | {readonly ask: 'attach'; readonly session: number; readonly number: number; readonly pid: number}
  | {readonly ask: 'launch'; readonly session: number; readonly number: number; readonly launch: Launch}
  | {readonly ask: 'end' | 'stop'; readonly session: number; readonly number: number}
  | {readonly ask: 'keepTerminal'; readonly session: number; readonly master: number}
  | {readonly ask: 'guardTerminal'; readonly session: number; readonly fd: number; readonly restore: Uint8Array}
  | {readonly ask: 'look'; readonly session: number; readonly pid: number}
  /** Watch /proc without a tracer: the whole machine (null), or a tree; undefined: no more. */
  | {readonly ask: 'watch'; readonly scope: number | null | undefined}
  | {readonly ask: 'lookWatched'; readonly pid: number};

export type Told =
  | {readonly told: 'facts'; readonly facts: readonly Fact[]}
  | {readonly told: 'opened'; readonly session: number; readonly refusal: Refusal | null}
  | {readonly told: 'answer'; readonly number: number; readonly answer: TracerAnswer | null}
  | {readonly told: 'lost'; readonly session: number};

export type Aside = Disposable & {
  /** As openSession(). The `onLost` of a session comes after the facts that say so. */
  open(options: Omit<SessionOptions, 'emit' | 'onEmpty'>): Promise<Seen<SessionAside>>;
  /** As startWatch(): of the whole machine where `scope` is null; in place of the watch before. */
  watch(scope: number | null): void;
  unwatch(): void;
  /** Read this process before the others that are watched. */
  look(pid: number): void;
};

/** The thread is gone: what it followed runs on. */
const GONE = {ok: false, pid: 0, errno: 'EPIPE', during: 'postMessage', self: false, missing: false} as const;

/** What the thread throws is thrown here. `emit`: all facts, of whatever it follows and watches. */
export function startAside({emit}: {readonly emit: (facts: readonly Fact[]) => void}): Aside {
  // Its stdout and stderr are its own: nothing but the screen writes to the terminal.
  const worker = new Worker(new URL('./session-worker.js', import.meta.url), {stdout: true, stderr: true});
  const opening = new Map<number, (refusal: Refusal | null) => void>();
  const waiting = new Map<number, (answer: TracerAnswer | null) => void>();
  const lost = new Map<number, (() => void) | undefined>();
  let last = 0;
  let ended = false;

  const ask = (asked: Ask) => worker.postMessage(asked);
  const asking = (make: (number: number) => Ask): Promise<TracerAnswer | null> => {
    if (ended) return Promise.resolve(GONE);
    const number = ++last;
    return new Promise(resolve => {
      waiting.set(number, resolve);
      ask(make(number));
    });
  };
  const answered = (number: number, answer: TracerAnswer | null) => {
    const resolve = waiting.get(number);
    waiting.delete(number);
    resolve?.(answer);
  };

  worker.on('message', (told: Told) => {
    if (ended) return;
    switch (told.told) {
      case 'facts':
        emit(told.facts);
        break;
      case 'opened': {
        const resolve = opening.get(told.session);
        opening.delete(told.session);
        resolve?.(told.refusal);
        break;
      }
      case 'answer':
        answered(told.number, told.answer);
        break;
      case 'lost':
        lost.get(told.session)?.();
        break;
      default:
        told satisfies never;
    }
  });
  const letGo = () => {
    ended = true;
    for (const resolve of opening.values()) resolve({errno: GONE.errno, during: GONE.during});
    opening.clear();
    for (const number of waiting.keys()) answered(number, GONE);
  };
  worker.on('error', error => {
    const wasAsked = ended;
    letGo();
    if (!wasAsked) throw error;
  });
  worker.on('exit', letGo);

  return {
    open: async ({onLost, ...options}) => {
      if (ended) return {errno: GONE.errno, during: GONE.during};
      const session = ++last;
      lost.set(session, onLost);
      const refusal = await new Promise<Refusal | null>(resolve => {
        opening.set(session, resolve);
        ask({ask: 'open', session, options});
      });
      if (refusal !== null) return refusal;
      return {
        attach: async pid => (await asking(number => ({ask: 'attach', session, number, pid}))) ?? GONE,
        launch: async launch => (await asking(number => ({ask: 'launch', session, number, launch}))) ?? GONE,
        end: async () => (await asking(number => ({ask: 'end', session, number}))) ?? GONE,
        keepTerminal: master => ask({ask: 'keepTerminal', session, master}),
        guardTerminal: (fd, restore) => ask({ask: 'guardTerminal', session, fd, restore}),
        look: pid => ask({ask: 'look', session, pid}),
        stop: async () => {
          lost.delete(session);
          await asking(number => ({ask: 'stop', session, number}));
        },
      };
    },
    watch: scope => ask({ask: 'watch', scope}),
    unwatch: () => ask({ask: 'watch', scope: undefined}),
    look: pid => ask({ask: 'lookWatched', pid}),
    [Symbol.dispose]: () => {
      // Not ended: Node aborts where a thread is ended in a call of the native part.
      ended = true;
      worker.unref();
    },
  };
}
