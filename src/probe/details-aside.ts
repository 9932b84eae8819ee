// Knows how to have details read aside: to read a cgroup of ten thousand members or the tables of a network takes the kernel longer than a
// key may wait.

import {Worker} from 'node:worker_threads';
import type {Fact} from '../model/fact.ts';
import type {Details} from './details.ts';

/** As watchDetails, by a thread. What the thread throws is thrown here. */
export function watchDetailsAside({emit}: {readonly emit: (facts: readonly Fact[]) => void}): Details {
  // Its stdout and stderr are its own: nothing but the screen writes to the terminal.
  const worker = new Worker(new URL('./details-worker.js', import.meta.url), {stdout: true, stderr: true});
  let ended = false;
  worker.on('message', (facts: readonly Fact[]) => {
    if (!ended) emit(facts);
  });
  worker.on('error', error => {
    if (!ended) throw error;
  });
  // It must not keep nsview from ending.
  worker.unref();
  return {
    show: shown => worker.postMessage({mounts: shown.mounts, cgroups: shown.cgroups, studies: shown.studies}),
    [Symbol.dispose]: () => {
      ended = true;
      // Not ended: Node aborts where a thread is ended in a call of the native part. With nothing to show it does nothing more.
      worker.postMessage({mounts: [], cgroups: [], studies: []});
    },
  };
}
