// Measures nsview beside its peers, in one run, and prints a table with ratios. Start-up is measured with the same tool on a program
// that does nothing, and taken off. Rounds are interleaved, so that a noisy machine is noisy for all.

import {execFileSync, spawnSync} from 'node:child_process';
import {dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const nsview = join(root, 'bin', 'nsview');
const ROUNDS = Number(process.env.ROUNDS ?? 7);
const LOOP = 'for ((i = 0; i < 2000; i++)); do /bin/true; done';

const has = program => spawnSync('sh', ['-c', `command -v ${program}`]).status === 0;
const median = numbers => [...numbers].sort((a, b) => a - b)[numbers.length >> 1];

const tools = [
  {name: 'bare', needs: 'bash', command: script => ['bash', '-c', script]},
  {name: 'nsview trace', needs: 'bash', command: script => [nsview, 'trace', '--json', '-o', '/dev/null', '--', 'bash', '-c', script]},
  {
    name: 'nsview trace by ptrace',
    needs: 'bash',
    command: script => [nsview, 'trace', '--follow', 'ptrace', '--json', '-o', '/dev/null', '--', 'bash', '-c', script],
  },
  {
    name: 'strace -f --seccomp-bpf',
    needs: 'strace',
    command: script => ['strace', '-f', '--seccomp-bpf', '-e', 'trace=unshare', '-o', '/dev/null', 'bash', '-c', script],
  },
  {name: 'strace -f', needs: 'strace', command: script => ['strace', '-f', '-o', '/dev/null', 'bash', '-c', script]},
];

function milliseconds([program, ...args]) {
  const began = process.hrtime.bigint();
  execFileSync(program, args, {stdio: 'ignore'});
  return Number(process.hrtime.bigint() - began) / 1e6;
}

const present = tools.filter(tool => {
  const there = has(tool.needs);
  if (!there) console.log(`skipped: ${tool.name}: ${tool.needs} is not installed`);
  return there;
});
const loop = new Map(present.map(tool => [tool, []]));
const idle = new Map(present.map(tool => [tool, []]));
for (let round = 0; round < ROUNDS; round++)
  for (const tool of present) {
    idle.get(tool)?.push(milliseconds(tool.command(':')));
    loop.get(tool)?.push(milliseconds(tool.command(LOOP)));
  }

const net = tool => median(loop.get(tool) ?? []) - median(idle.get(tool) ?? []);
const bare = net(present[0]);
console.log(`2000 × /bin/true, median of ${ROUNDS} rounds, start-up aside`);
for (const tool of present) {
  const all = [...(loop.get(tool) ?? [])].sort((a, b) => a - b);
  console.log(
    `${tool.name.padEnd(26)} ${net(tool).toFixed(0).padStart(6)} ms  × ${(net(tool) / bare).toFixed(2)}   start-up ${median(idle.get(tool) ?? []).toFixed(0)} ms, all ${all.map(ms => ms.toFixed(0)).join(' ')}`,
  );
}
