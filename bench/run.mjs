// Measures nsview beside its peers, in one run, and prints tables with ratios. Start-up is measured with the same tool on a program
// that does nothing, and taken off. Rounds are interleaved, so that a noisy machine is noisy for all. Arguments choose tables (all
// without); ROUNDS says how many rounds.

import {execFileSync, spawn, spawnSync} from 'node:child_process';
import {once} from 'node:events';
import {existsSync, mkdtempSync, readdirSync, readFileSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {keys} from './keys.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const nsview = join(root, 'bin', 'nsview');
const ROUNDS = Number(process.env.ROUNDS ?? 7);
/** Of tools that are many times as slow. */
const SLOW_ROUNDS = 3;

const has = program => spawnSync('sh', ['-c', `command -v ${program}`]).status === 0;
const median = numbers => [...numbers].sort((a, b) => a - b)[numbers.length >> 1];
const sleep = milliseconds => new Promise(resolve => setTimeout(resolve, milliseconds));

/** `slow`: so many times as slow that the work is cut to a part of it, and the time taken times as much. */
const BARE = {name: 'bare', command: program => program};
const BPF = {name: 'nsview trace', command: program => [nsview, 'trace', '--json', '-o', '/dev/null', '--', ...program]};
const PTRACE = {
  name: 'nsview trace by ptrace',
  command: program => [nsview, 'trace', '--follow', 'ptrace', '--json', '-o', '/dev/null', '--', ...program],
};
const STRACE_CALLS =
  'trace=unshare,setns,mount,umount2,move_mount,open_tree,fsopen,fsconfig,fsmount,fspick,mount_setattr,pivot_root,chroot,setuid,setgid,setreuid,setregid,setresuid,setresgid,setfsuid,setfsgid,setgroups,capset,prctl,seccomp,landlock_create_ruleset,landlock_add_rule,landlock_restrict_self,sethostname,setdomainname,clone,clone3';
const STRACE_SECCOMP = {
  name: 'strace -f --seccomp-bpf',
  needs: 'strace',
  command: program => ['strace', '-f', '--seccomp-bpf', '-e', STRACE_CALLS, '-o', '/dev/null', ...program],
};
const STRACE = {name: 'strace -f', needs: 'strace', command: program => ['strace', '-f', '-o', '/dev/null', ...program]};
/** Not traced, while nsview follows somebody else. */
const BESIDE = {
  name: 'untraced, beside nsview',
  command: program => program,
  beside: async () => {
    const follower = spawn(nsview, ['trace', '--json', '-o', '/dev/null', '--', 'sleep', '600'], {stdio: 'ignore'});
    await sleep(700);
    return async () => {
      follower.kill('SIGTERM');
      await once(follower, 'exit');
    };
  },
};

/** What nsview leaves behind for some seconds: a process that closes events, which slow down all system calls of the machine until then. */
const isClosing = pid => {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8') === 'nsview-closing\n';
  } catch {
    return false;
  }
};

async function milliseconds(tool, program) {
  while (readdirSync('/proc').some(name => /^\d+$/.test(name) && isClosing(name))) await sleep(50);
  const end = await tool.beside?.();
  const [command, ...args] = tool.command(program);
  const began = process.hrtime.bigint();
  execFileSync(command, args, {stdio: 'ignore'});
  const took = Number(process.hrtime.bigint() - began) / 1e6;
  await end?.();
  return took;
}

/** `work(part)`: the command, or a part of it for tools that are many times as slow. */
async function table(title, tools, work, nothing, rounds = ROUNDS) {
  const present = tools.filter(({name, needs}) => {
    const there = needs === undefined || has(needs);
    if (!there) console.log(`skipped: ${name}: ${needs} is not installed`);
    return there;
  });
  const taken = new Map(present.map(tool => [tool, []]));
  const idle = new Map(present.map(tool => [tool, []]));
  for (let round = 0; round < rounds; round++)
    for (const tool of present) {
      const part = tool.part ?? 1;
      if (part > 1 && round >= SLOW_ROUNDS) continue;
      const startUp = await milliseconds(tool, nothing);
      idle.get(tool)?.push(startUp);
      taken.get(tool)?.push((await milliseconds(tool, work(part))) - startUp);
    }
  const net = tool => median(taken.get(tool) ?? []) * (tool.part ?? 1);
  const bare = net(present[0]);
  console.log(`\n${title}, median of ${rounds} rounds, start-up aside`);
  for (const tool of present) {
    const part = tool.part ?? 1;
    const all = [...(taken.get(tool) ?? [])].sort((a, b) => a - b).map(ms => (ms * part).toFixed(0));
    console.log(
      `${tool.name.padEnd(26)} ${net(tool).toFixed(0).padStart(7)} ms  × ${(net(tool) / bare).toFixed(2).padEnd(6)} start-up ${median(idle.get(tool) ?? []).toFixed(0)} ms, all ${all.join(' ')}${part === 1 ? '' : `; 1/${part} of the work, times ${part}`}`,
    );
  }
}

/** How long until all of a large tree is followed, by the clock of the tape; until the reader has been told, start-up included; and until
 * nsview has let go and ended. */
async function tree() {
  const fixture = join(root, 'build', 'fixtures', 'makes-tree');
  if (!existsSync(fixture)) {
    console.log('skipped: a tree of 2000 processes: npm test builds its fixture');
    return;
  }
  const folder = mkdtempSync(join(tmpdir(), 'nsview-bench-'));
  console.log(
    `\na tree of 2000 processes with four threads each, ${ROUNDS} rounds: first to last process followed, cpu time of the helper, told to the reader, let go`,
  );
  for (const how of ['bpf', 'ptrace']) {
    const taken = [];
    for (let round = 0; round < ROUNDS; round++) {
      const target = spawn(fixture, ['2000', '4'], {stdio: ['pipe', 'pipe', 'inherit']});
      await once(target.stdout, 'data');
      // Its making is over for the scheduler, too.
      await sleep(500);
      const tape = join(folder, `${how}-${round}`);
      const began = process.hrtime.bigint();
      const follower = spawn(nsview, ['trace', '--json', '--follow', how, '-o', tape, '-p', String(target.pid)], {stdio: 'ignore'});
      const facts = () => (existsSync(tape) ? readFileSync(tape, 'utf8').split('\n').slice(1, -1) : []);
      while (!facts().some(line => line.startsWith('{"kind":"tracer"'))) await sleep(20);
      const told = Number(process.hrtime.bigint() - began) / 1e6;
      const at = facts().flatMap(line => (/^{"kind":"(?:process|tracer)"/.test(line) ? [Number(JSON.parse(line).at)] : []));
      const helper = readFileSync(`/proc/${follower.pid}/task/${follower.pid}/children`, 'utf8').trim();
      // Fields 14 and 15: user and system time in ticks of 10 ms.
      const [user, system] = readFileSync(`/proc/${helper}/stat`, 'utf8').split(') ')[1].split(' ').slice(11, 13).map(Number);
      const letGo = process.hrtime.bigint();
      follower.kill('SIGINT');
      await once(follower, 'exit');
      taken.push([(Math.max(...at) - Math.min(...at)) / 1e6, told, Number(process.hrtime.bigint() - letGo) / 1e6, (user + system) * 10]);
      target.stdin.end();
      await once(target, 'exit');
    }
    const column = index =>
      median(taken.map(row => row[index]))
        .toFixed(0)
        .padStart(6);
    const all = taken.map(row => row[0].toFixed(0)).join(' ');
    console.log(
      `${`by ${how}`.padEnd(26)} ${column(0)} ms  of cpu ${column(3)} ms  told ${column(1)} ms  let go ${column(2)} ms, all ${all}`,
    );
  }
  rmSync(folder, {recursive: true});
}

/** From mountinfo to the screen, and findmnt's way to /dev/null, turn by turn in one namespace. */
async function mounts() {
  const {build} = await import('esbuild');
  const outfile = join(root, 'build', 'bench-mounts.mjs');
  await build({
    entryPoints: [join(root, 'bench', 'mounts.ts')],
    outfile,
    bundle: true,
    format: 'esm',
    platform: 'node',
    jsx: 'automatic',
    external: ['koffi', 'react-devtools-core'],
    define: {'process.env.NODE_ENV': '"production"'},
    banner: {js: "import {createRequire as __createRequire} from 'node:module'; const require = __createRequire(import.meta.url);"},
  });
  const rounds = ROUNDS * 3;
  console.log(
    `\na mount namespace, its mounts parsed and shown by nsview (200 × 60), printed by findmnt, ${rounds} rounds, median and best`,
  );
  const own = process.getuid() === 0 ? ['-m'] : ['-Urm'];
  for (const count of [2000, 5000]) {
    const folder = mkdtempSync(join(tmpdir(), 'nsview-bench-'));
    const output = execFileSync('unshare', [...own, process.execPath, outfile, folder, String(count), String(rounds)], {encoding: 'utf8'});
    rmSync(folder, {recursive: true});
    const {mounts: number, first, shown, printed, begun, written, keys, cpu} = JSON.parse(output);
    const best = list => Math.min(...list);
    const bare = printed.map((ms, round) => ms - begun[round]);
    const least = best(printed) - best(begun);
    const row = (name, ms, least, rest) =>
      console.log(`${name.padEnd(26)} ${ms.toFixed(1).padStart(7)} ms  best ${least.toFixed(1).padStart(6)} ms  ${rest}`);
    row(`${number} mounts, nsview`, median(shown), best(shown), `first time in a new process ${first.toFixed(1)} ms`);
    row('mountinfo read, no more', median(written), best(written), 'the least that either can take');
    row(
      'findmnt, start-up aside',
      median(bare),
      least,
      `× ${(median(bare) / median(shown)).toFixed(1)}, best × ${(least / best(shown)).toFixed(1)}`,
    );
    // On a machine that others use as well, what the clock says is theirs in part.
    const [ours, theirs] = [cpu.shown / rounds, (cpu.printed - cpu.begun) / rounds];
    console.log(
      `${'processor time'.padEnd(26)} ${ours.toFixed(1).padStart(7)} ms  beside ${theirs.toFixed(1)} ms of findmnt: × ${(theirs / ours).toFixed(1)}`,
    );
    keys.sort((a, b) => a - b);
    row('a key that scrolls', median(keys), best(keys), `99th percentile ${keys[Math.floor(keys.length * 0.99)].toFixed(1)} ms`);
  }
}

/** Milliseconds and peak memory (KiB) of a command. */
async function measured([command, ...args]) {
  const began = process.hrtime.bigint();
  const child = spawn(command, args, {stdio: 'ignore'});
  let peak = 0;
  const look = setInterval(() => {
    try {
      // Of nsview itself: a script executes it.
      peak = Math.max(peak, Number(/^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1] ?? 0));
    } catch {
      // It has ended.
    }
  }, 5);
  await once(child, 'exit');
  clearInterval(look);
  return {took: Number(process.hrtime.bigint() - began) / 1e6, peak};
}

/** The whole machine once, beside a loop in C that reads the same files, and lsns. */
async function snapshots() {
  const [makesTree, readsProc] = ['makes-tree', 'reads-proc'].map(name => join(root, 'build', 'fixtures', name));
  if (!existsSync(makesTree) || !existsSync(readsProc)) {
    console.log('skipped: snapshots: npm test builds their fixtures');
    return;
  }
  if (!has('lsns')) console.log('skipped: lsns is not installed');
  console.log(`\nsnapshot --json of the whole machine, median of ${ROUNDS} rounds, start-up included; lsns once`);
  for (const count of [1000, 4000, 16_000]) {
    const target = spawn(makesTree, [String(count), '1'], {stdio: ['pipe', 'pipe', 'inherit']});
    await once(target.stdout, 'data');
    await sleep(1000);
    execFileSync(readsProc);
    const [bare, own] = [[], []];
    for (let round = 0; round < ROUNDS; round++) {
      bare.push(await measured([readsProc]));
      own.push(await measured([nsview, 'snapshot', '--json']));
    }
    const lsns = has('lsns') && target.exitCode === null ? await measured(['lsns']) : null;
    const times = all => all.map(({took}) => took);
    const [c, ours] = [median(times(bare)), median(times(own))];
    const all = times(own)
      .sort((a, b) => a - b)
      .map(ms => ms.toFixed(0))
      .join(' ');
    console.log(
      `${String(count).padStart(6)} processes   C loop ${c.toFixed(0).padStart(5)} ms   nsview ${ours.toFixed(0).padStart(5)} ms  × ${(ours / c).toFixed(2)}  ${(Math.max(...own.map(({peak}) => peak)) / 1024).toFixed(0)} MiB   lsns ${lsns === null ? '–' : lsns.took.toFixed(0)} ms; nsview ${all}`,
    );
    if (target.exitCode !== null || target.signalCode !== null)
      console.log('   the processes ended before the last round: these numbers are of fewer');
    target.stdin.end();
    if (target.exitCode === null && target.signalCode === null) await once(target, 'exit');
    await sleep(1000);
  }
}

const TABLES = {
  mounts,
  loop: () =>
    table(
      '2000 × /bin/true from a shell',
      [BARE, BPF, PTRACE, STRACE_SECCOMP, STRACE],
      () => ['bash', '-c', 'for ((i = 0; i < 2000; i++)); do /bin/true; done'],
      ['bash', '-c', ':'],
    ),
  dd: () =>
    table(
      'dd of 3,000,000 blocks of one byte: six million system calls',
      [BARE, BPF, BESIDE, STRACE_SECCOMP, {...STRACE, part: 30}],
      part => ['dd', 'if=/dev/zero', 'of=/dev/null', 'bs=1', `count=${3_000_000 / part}`],
      ['dd', 'if=/dev/zero', 'of=/dev/null', 'bs=1', 'count=1'],
      // Of one second each, on a machine whose second is another one each time.
      ROUNDS * 3,
    ),
  tree,
  snapshot: snapshots,
  keys: () => keys(root),
};

for (const [name, measure] of Object.entries(TABLES)) if (process.argv.length <= 2 || process.argv.includes(name)) await measure();
