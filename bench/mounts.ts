// Measures a mount namespace of its own, in which it is started: how long from asking the kernel for its mounts until they are on a screen,
// beside findmnt, which prints them to /dev/null, and how long a key press takes that scrolls them. `FOLDER COUNT ROUNDS`: so many mounts are
// made in the folder first. Prints JSON: lists of milliseconds.
//
// Two processes take turns. Who forks pays for it afterwards, with a fault for each page that it writes: that is for who starts findmnt, not
// for who shows, since nsview does not fork before it shows.

import {fork, spawnSync} from 'node:child_process';
import {once} from 'node:events';
import {mkdirSync, readFileSync} from 'node:fs';
import koffi from 'koffi';
import {press} from '../src/model/commands.ts';
import {isRefusal} from '../src/model/fact.ts';
import {createState, reduce, type State} from '../src/model/state.ts';
import {readHost} from '../src/probe/host.ts';
import {readMountinfo} from '../src/probe/mountinfo.ts';
import {readMountsFact} from '../src/probe/mounts-fact.ts';
import {readProcess} from '../src/probe/process.ts';
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

const timed = (act: () => void): number => {
  const began = process.hrtime.bigint();
  act();
  return Number(process.hrtime.bigint() - began) / 1e6;
};

/** Milliseconds of processor that this process used. */
const ownTime = (): number => {
  const {user, system} = process.cpuUsage();
  return (user + system) / 1000;
};

/** Milliseconds of processor that children which ended have used: fields 16 and 17 of proc_pid_stat(5), in ticks of 10 ms. */
const childTime = (): number => {
  const fields = readFileSync('/proc/self/stat', 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[13]) + Number(fields[14])) * 10;
};

type Answer = {
  readonly took: number;
  /** The text alone, as the kernel writes it: neither can be quicker than that. */
  readonly written: number;
  /** Of the processor, without what a screen without the mounts takes. */
  readonly cpu: number;
};
type Last = {readonly mounts: number; readonly keys: readonly number[]};

/** Shows when it is asked to, as a nsview that is running does; and at the end scrolls. */
function answer(): void {
  process.on('message', asked => {
    if (asked === 'show') {
      const before = ownTime();
      open();
      const between = ownTime();
      const {took} = show();
      const cpu = ownTime() - between - (between - before);
      process.send?.({took, written: timed(() => readMountinfo(process.pid)), cpu} satisfies Answer);
      return;
    }
    let {state, text} = show();
    const keys: number[] = [];
    state = press(state, 'tab', '').state;
    for (let i = 0; i < 1000; i++)
      keys.push(
        timed(() => {
          state = press(state, i % 10 === 9 ? 'pagedown' : 'down', '').state;
          frameOf(reduce(state, {kind: 'settle'}), theme, null);
        }),
      );
    process.send?.({mounts: Number(/ (\d+) mounts/.exec(text)?.[1] ?? 0), keys} satisfies Last, () => process.disconnect());
  });
}

async function ask(folder: string, count: number, rounds: number): Promise<void> {
  const MS_BIND = 4096;
  const mount = koffi.load('libc.so.6').func('int mount(const char *, const char *, const char *, unsigned long, const char *)');
  mkdirSync(`${folder}/source`);
  for (let i = 0; i < count; i++) {
    mkdirSync(`${folder}/${i}`);
    if (mount(`${folder}/source`, `${folder}/${i}`, null, MS_BIND, null) !== 0) throw new Error('cannot mount');
  }
  // As bin/nsview starts it.
  const shower = fork(process.argv[1] ?? '', ['show'], {execArgv: ['--min-semi-space-size=16']});
  const asked = async <Value>(what: string): Promise<Value> => {
    shower.send(what);
    const [value] = await once(shower, 'message');
    return value;
  };
  const findmnt = (...args: string[]) =>
    timed(() => {
      if (spawnSync('findmnt', args, {stdio: 'ignore'}).status !== 0) throw new Error('findmnt failed');
    });
  const first = await asked<Answer>('show');
  const answers: Answer[] = [];
  const printed: number[] = [];
  const begun: number[] = [];
  const cpu = {begun: 0, printed: 0, shown: 0};
  for (let round = 0; round < rounds; round++) {
    const before = childTime();
    begun.push(findmnt('--version'));
    const between = childTime();
    printed.push(findmnt());
    cpu.begun += between - before;
    cpu.printed += childTime() - between;
    const shown = await asked<Answer>('show');
    cpu.shown += shown.cpu;
    answers.push(shown);
  }
  const {mounts, keys} = await asked<Last>('keys');
  const [shown, written] = [answers.map(one => one.took), answers.map(one => one.written)];
  process.stdout.write(JSON.stringify({mounts, first: first.took, shown, printed, begun, written, keys, cpu}));
}

const [folder = '', count = '2000', rounds = '7'] = process.argv.slice(2);
if (folder === 'show') answer();
else await ask(folder, Number(count), Number(rounds));
