// Knows how to keep details up to date in a thread of its own: facts go out as messages, what is shown comes in as one.

import {getPriority, setPriority} from 'node:os';
import {parentPort} from 'node:worker_threads';
import {type Shown, watchDetails} from './details.ts';

const port = parentPort;
if (port !== null) {
  // Of this thread alone (setpriority(2), C library/kernel differences): keys go first. Nobody may be refused to be nicer than they are.
  setPriority(Math.min(19, getPriority() + 5));
  const details = watchDetails({emit: facts => port.postMessage(facts)});
  port.on('message', (shown: Shown) => details.show(shown));
}
