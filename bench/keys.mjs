// Measures how long after a key press its frame is on the terminal, while processes are born by the hundred.

import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {setPriority} from 'node:os';
import {join} from 'node:path';
import headless from '@xterm/headless';

const ROWS = 40;
const COLUMNS = 120;
const PAGE_DOWN = '\x1b[6~';
const PAGE_UP = '\x1b[5~';
const sleep = milliseconds => new Promise(resolve => setTimeout(resolve, milliseconds));

/** nsview at a terminal, which tells what of the screen answers keys: the selected row, and which tab is chosen. */
function open(root, args) {
  const terminal = new headless.Terminal({rows: ROWS, cols: COLUMNS, allowProposedApi: true, scrollback: 0});
  const child = spawn(join(root, 'build', 'fixtures', 'pty-run'), [`${ROWS}`, `${COLUMNS}`, ...args], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: {...process.env, TERM: 'xterm-256color', LANG: 'C.UTF-8', CI: ''},
  });
  let onFrame = () => {};
  // The moment when bytes came, not when the emulator had understood them: that is this program's time, not nsview's.
  child.stdout.on('data', chunk => {
    const came = performance.now();
    terminal.write(chunk, () => onFrame(came));
  });
  terminal.onData(answer => child.stdin.write(answer));
  const row = () => {
    const {active} = terminal.buffer;
    for (let y = 0; y < ROWS; y++) {
      const line = active.getLine(y);
      if (line?.getCell(1)?.getChars() === '▌') return `${y} ${/[▾▸·] (\S+ \d+)/.exec(line.translateToString(true))?.[1]}`;
    }
    return '';
  };
  const tab = () => {
    const line = terminal.buffer.active.getLine(1);
    let looks = '';
    for (let x = 0; x < COLUMNS; x++) looks += `${line?.getCell(x)?.isBold() ? 1 : 0}${line?.getCell(x)?.isInverse() ? 1 : 0}`;
    return looks + line?.translateToString();
  };
  return {child, row, tab, listen: listener => (onFrame = listener), send: keys => child.stdin.write(keys)};
}

async function press(screen, key, what) {
  const before = screen[what]();
  const sent = performance.now();
  return await new Promise(resolve => {
    const limit = setTimeout(() => resolve(null), 3000);
    screen.listen(came => {
      // Nowhere: half a frame.
      if (['', before].includes(screen[what]())) return;
      clearTimeout(limit);
      resolve(came - sent);
    });
    screen.send(key);
  });
}

const at = (sorted, part) => sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * part) - 1)] ?? 0;

/** What the machine itself takes, under the same load, from a key to its echo by a terminal without any program that draws. */
async function echo(root, presses) {
  const terminal = spawn(join(root, 'build', 'fixtures', 'pty-run'), [`${ROWS}`, `${COLUMNS}`, 'cat'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  if (process.getuid() === 0) for (const pid of [process.pid, terminal.pid]) setPriority(pid, -10);
  // It echoes one key, too.
  terminal.stdin.write('a');
  await once(terminal.stdout, 'data');
  const taken = [];
  for (let i = 0; i < presses; i++) {
    await sleep(50 + Math.random() * 50);
    const sent = performance.now();
    terminal.stdin.write('a');
    await once(terminal.stdout, 'data');
    taken.push(performance.now() - sent);
  }
  if (process.getuid() === 0) setPriority(process.pid, 0);
  terminal.stdin.end();
  await once(terminal, 'exit');
  taken.sort((a, b) => a - b);
  const ms = part => at(taken, part).toFixed(1).padStart(6);
  console.log(
    `${'echo'.padEnd(10)} p50 ${ms(0.5)} ms  p90 ${ms(0.9)} ms  p99 ${ms(0.99)} ms  most ${ms(1)} ms  of a terminal without nsview`,
  );
}

export async function keys(root, {processes = 10_000, rate = 500, presses = 300} = {}) {
  const fixture = join(root, 'build', 'fixtures', 'bears-children');
  console.log(
    `\nkeys on the screen of ${processes} processes, ${rate} born a second, ${presses} keys: from the press to the first bytes of its frame`,
  );
  for (const how of ['machine', 'followed']) {
    const target = spawn(fixture, [`${processes}`, `${rate}`], {stdio: ['pipe', 'pipe', 'inherit']});
    await once(target.stdout, 'data');
    const screen = open(root, [join(root, 'bin', 'nsview'), ...(how === 'machine' ? [] : ['-p', `${target.pid}`])]);
    // Until it has read them all.
    await sleep(Number(process.env.SETTLE ?? 10_000));
    // The terminal is not what is measured: it need not wait for whom it measures.
    if (process.getuid() === 0) for (const pid of [process.pid, screen.child.pid]) setPriority(pid, -10);
    for (let i = 0; i < 20; i++) await press(screen, PAGE_DOWN, 'row');
    const taken = [];
    let lost = 0;
    let moved = 0;
    let tab = 1;
    for (let i = 0; i < presses; i++) {
      screen.listen(() => {});
      // The rest of its frame.
      await sleep(50);
      const rest = screen.row();
      await sleep(20 + Math.random() * 180);
      if (!['', rest].includes(screen.row())) moved++;
      let took;
      if (i % 5 === 4) {
        tab = (tab % 6) + 1;
        if (tab === 1) tab = 2;
        took = await press(screen, `${tab}`, 'tab');
      } else took = await press(screen, ['j', PAGE_DOWN, 'k', PAGE_UP][i % 4], 'row');
      if (took === null) lost++;
      else taken.push(took);
    }
    taken.sort((a, b) => a - b);
    const ms = part => at(taken, part).toFixed(1).padStart(6);
    console.log(
      `${how.padEnd(10)} p50 ${ms(0.5)} ms  p90 ${ms(0.9)} ms  p99 ${ms(0.99)} ms  most ${ms(1)} ms  ${lost} unanswered, ${moved} times something moved under the cursor by itself`,
    );
    screen.child.kill('SIGTERM');
    screen.child.stdin.end();
    await once(screen.child, 'exit');
    if (how === 'machine') await echo(root, presses);
    if (process.getuid() === 0) setPriority(process.pid, 0);
    target.stdin.end();
    await once(target, 'exit');
  }
}
