// Knows what is followed: a tracer and the readings of /proc beside it, as one stream of facts, and which processes still live.

import type {Fact, Seen, TracerFact} from '../model/fact.ts';
import {isRefusal} from '../model/fact.ts';
import {loadNative} from './native.ts';
import {readProcess} from './process.ts';
import {explainRefusal} from './ptrace-evidence.ts';
import {type LaunchPlan, startTracer, type Tracer, type TracerAnswer} from './tracer.ts';
import {startWatch, type Watch} from './watch.ts';

export type Session = {
  /** Follow `pid` and its descendants. May be asked again for others. */
  attach(pid: number): Promise<TracerAnswer>;
  launch(plan: LaunchPlan): Promise<TracerAnswer>;
  /** Give the terminal back as it is now if nsview vanishes. */
  guardTerminal(fd: number, restore: Uint8Array): void;
  /** Traced processes that live. */
  pids(): ReadonlySet<number>;
  /** Read this process soon: somebody looks at it. */
  look(pid: number): void;
  /** Let everything go. Facts still on their way come first. */
  stop(): Promise<void>;
};

export type SessionOptions = {
  readonly emit: (facts: readonly Fact[]) => void;
  /** The last process that was followed has ended. */
  readonly onEmpty?: () => void;
  /** The helper is gone; what it followed runs on. The tracer fact that says so has been emitted. */
  readonly onLost?: () => void;
};

const now = (): string => String(process.hrtime.bigint());

/** Start the helper. A refusal where it cannot run; NativeError where it is not built. */
export function openSession(options: SessionOptions): Seen<Session> {
  const live = new Set<number>();
  let followed = false;
  let watch: Watch | undefined;
  let scope: number | null = null;

  const keepCount = (fact: Fact) => {
    switch (fact.kind) {
      case 'process':
        // A zombie was there before; its exit will not be told.
        if (fact.state !== 'Z') {
          live.add(fact.pid);
          followed = true;
        }
        break;
      case 'clone':
        if (isRefusal(fact.flags) || !fact.flags.includes('CLONE_THREAD')) live.add(fact.child);
        break;
      case 'refused':
        live.delete(fact.pid);
        break;
      case 'exit':
        live.delete(fact.pid);
        break;
      default:
        break;
    }
  };

  const emit = (facts: readonly Fact[]) => {
    for (const fact of facts) keepCount(fact);
    options.emit(facts);
    if (followed && live.size === 0) options.onEmpty?.();
  };

  const lost = (why: string) => {
    live.clear();
    watch?.[Symbol.dispose]();
    watch = undefined;
    const fact: TracerFact = {kind: 'tracer', at: now(), mode: 'proc', scope, sees: [], processes: 0, threads: 0, because: why};
    options.emit([fact]);
    options.onLost?.();
  };

  const tracer: Seen<Tracer> = startTracer({native: loadNative(), emit, onLost: lost, readProcess, explainRefusal});
  if (isRefusal(tracer)) return tracer;

  const begun = (answer: TracerAnswer): TracerAnswer => {
    if (!answer.ok) return answer;
    scope ??= answer.pid;
    watch ??= startWatch({refresh: () => live, emit: options.emit});
    return answer;
  };

  return {
    attach: async pid => begun(await tracer.attach(pid)),
    launch: async plan => begun(await tracer.launch(plan)),
    guardTerminal: (fd, restore) => tracer.guardTerminal(fd, restore),
    pids: () => live,
    look: pid => watch?.look(pid),
    stop: async () => {
      watch?.[Symbol.dispose]();
      watch = undefined;
      await tracer.stop();
    },
  };
}
