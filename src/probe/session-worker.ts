// Knows how to follow and to watch in a thread of its own: facts go out as messages, what is wanted comes in as such.

import {parentPort} from 'node:worker_threads';
import {type Fact, isRefusal} from '../model/fact.ts';
import {openSession, type Session} from './session.ts';
import type {Ask, Told} from './session-aside.ts';
import {startWatch, type Watch} from './watch.ts';

/** Facts in one message: a key is heard between two of them. */
const MESSAGE = 250;

const port = parentPort;
if (port !== null) {
  const tell = (told: Told) => port.postMessage(told);
  const emit = (facts: readonly Fact[]) => {
    for (let at = 0; at < facts.length; at += MESSAGE) tell({told: 'facts', facts: facts.slice(at, at + MESSAGE)});
  };
  const sessions = new Map<number, Session>();
  let watch: Watch | undefined;

  const take = async (asked: Ask): Promise<void> => {
    switch (asked.ask) {
      case 'open': {
        const {session} = asked;
        const opened = openSession({...asked.options, emit, onLost: () => tell({told: 'lost', session})});
        if (!isRefusal(opened)) sessions.set(session, opened);
        tell({told: 'opened', session, refusal: isRefusal(opened) ? opened : null});
        return;
      }
      case 'attach':
      case 'launch':
      case 'end': {
        const session = sessions.get(asked.session);
        const answer =
          session === undefined
            ? null
            : await (asked.ask === 'attach'
                ? session.attach(asked.pid)
                : asked.ask === 'launch'
                  ? session.launch(asked.launch)
                  : session.end());
        tell({told: 'answer', number: asked.number, answer});
        return;
      }
      case 'stop':
        await sessions.get(asked.session)?.stop();
        sessions.delete(asked.session);
        tell({told: 'answer', number: asked.number, answer: null});
        return;
      case 'keepTerminal':
        sessions.get(asked.session)?.keepTerminal(asked.master);
        return;
      case 'guardTerminal':
        sessions.get(asked.session)?.guardTerminal(asked.fd, asked.restore);
        return;
      case 'look':
        sessions.get(asked.session)?.look(asked.pid);
        return;
      case 'watch':
        watch?.[Symbol.dispose]();
        watch = undefined;
        if (asked.scope !== undefined)
          watch = startWatch(asked.scope === null ? {machine: true, emit} : {trees: new Set([asked.scope]), emit});
        return;
      case 'lookWatched':
        watch?.look(asked.pid);
        return;
      default:
        asked satisfies never;
    }
  };
  port.on('message', (asked: Ask) => void take(asked));
}
