// Measures one mount namespace, in which it is started: how long from asking the kernel for its mounts until they are on a screen, and how
// long a key press takes to scroll them. Prints JSON, in milliseconds.

import {press} from '../src/model/commands.ts';
import {isRefusal} from '../src/model/fact.ts';
import {createState, reduce, type State} from '../src/model/state.ts';
import {readHost} from '../src/probe/host.ts';
import {readProcess} from '../src/probe/process.ts';
import {readMountsFact} from '../src/probe/snapshot.ts';
import {frameOf} from '../src/ui/frame.ts';
import {createTheme} from '../src/ui/theme.ts';

const at = () => String(process.hrtime.bigint());
const seen = readProcess(process.pid);
if (isRefusal(seen) || isRefusal(seen.namespaces.mnt)) throw new Error('cannot read itself');
const inode = seen.namespaces.mnt;
const theme = createTheme(true);

function open(): State {
  const header = {
    format: 'nsview/tape',
    version: 1,
    nsview: 'bench',
    at: at(),
    realtime: '0',
    host: readHost(),
    target: {machine: true},
  } as const;
  let state = reduce(createState({header, mode: 'machine'}), {kind: 'resize', columns: 200, rows: 60});
  if (!isRefusal(seen)) state = reduce(state, {kind: 'facts', facts: [{kind: 'process', at: at(), because: 'watch', ...seen}]});
  state = press(reduce(state, {kind: 'settle'}), '2', '2').state;
  frameOf(state, theme, null);
  return state;
}

function show(): {took: number; state: State; text: string} {
  let state = open();
  const began = process.hrtime.bigint();
  state = reduce(state, {kind: 'facts', facts: [readMountsFact(inode, process.pid)]});
  const frame = frameOf(reduce(state, {kind: 'settle'}), theme, null);
  const took = Number(process.hrtime.bigint() - began) / 1e6;
  return {took, state, text: frame.panes.flatMap(pane => pane.rows).join('\n')};
}

const first = show();
const mounts = Number(/ (\d+) mounts/.exec(first.text)?.[1] ?? 0);
const again = Array.from({length: 9}, () => show().took).sort((a, b) => a - b);

let {state} = first;
const keys: number[] = [];
state = press(state, 'tab', '').state;
for (let i = 0; i < 1000; i++) {
  const began = process.hrtime.bigint();
  state = press(state, i % 10 === 9 ? 'pagedown' : 'down', '').state;
  frameOf(reduce(state, {kind: 'settle'}), theme, null);
  keys.push(Number(process.hrtime.bigint() - began) / 1e6);
}
keys.sort((a, b) => a - b);
process.stdout.write(JSON.stringify({mounts, first: first.took, again: again[4], key: keys[500], key99: keys[990]}));
