// Knows the one cell of state: who holds it reads it, dispatches facts and intents into it, and is told when it changed.

/** A cell. `reduce` may change the state in place; subscribers compare versions, not references. */
export type Store<State, Message> = {
  readonly get: () => State;
  readonly dispatch: (message: Message) => void;
  /** Many messages, one notification. */
  readonly dispatchAll: (messages: readonly Message[]) => void;
  readonly subscribe: (listener: () => void) => () => void;
};

export function createStore<State, Message>(initial: State, reduce: (state: State, message: Message) => State): Store<State, Message> {
  let state = initial;
  const listeners = new Set<() => void>();
  const notify = () => {
    for (const listener of listeners) listener();
  };
  return {
    get: () => state,
    dispatch: message => {
      state = reduce(state, message);
      notify();
    },
    dispatchAll: messages => {
      if (messages.length === 0) return;
      for (const message of messages) state = reduce(state, message);
      notify();
    },
    subscribe: listener => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}
