import {existsSync, readdirSync, readFileSync, readlinkSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {afterEach, describe, expect, it} from 'vitest';
import {until} from '../support/attached.ts';
import {leaveNothingBehind} from '../support/leaks.ts';
import {followBy, HOWS, run, start, temporaryFolder} from '../support/nsview.ts';
import {fixture, NSVIEW, ROOT} from '../support/paths.ts';
import {patient} from '../support/patience.ts';
import {MIDDLE, nsviewScreen, Screen, SMALL, shellScreen} from '../support/screen.ts';
import {maker} from '../support/user.ts';

leaveNothingBehind();

/** Of any of its threads: the one that follows has started the helper. */
const children = (pid: number): number[] =>
  readdirSync(`/proc/${pid}/task`).flatMap(tid =>
    readFileSync(`/proc/${pid}/task/${tid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number),
  );

describe('nsview -- CMD', () => {
  it('shows the program’s terminal, and what it isolates as it does it', async () => {
    await using screen = nsviewScreen(MIDDLE, '--', 'bash', '--norc', '--noprofile');
    await screen.until(/Isolation/);
    await screen.until(/bash-[\d.]+[#$] /);
    screen.send('unshare -Urpf --mount-proc sh\r');
    await screen.until(/unshare \d+.*\+user \+mnt/);
    await screen.until(/sh \d+ \(1\).*\+pid/);
    await screen.until(/ids mapped in user:b +uid \d+ › 0 inside/);
    screen.send('exit\r');
    await screen.until(/unshare \d+.*exited \d/);
    screen.send('exit\r');
    await screen.until(/ended with exit status/);
    screen.send('q');
    expect(await screen.ended).toBe(0);
    expect(screen.alternate).toBe(false);
  });

  it('gives the program every key unaltered, its size, and its resizes', async () => {
    await using screen = nsviewScreen(MIDDLE, '--', 'bash', '--norc', '--noprofile');
    await screen.until(/bash-[\d.]+[#$] /);
    screen.send('stty size; stty raw -echo; head -c 12 | od -An -tx1; stty sane\r');
    await screen.until(/^│\d+ \d+ /m);
    await new Promise(resolve => setTimeout(resolve, 300));
    screen.send('\x1b[A\x03\x1a\x1b\x7f\tö\x01z');
    await screen.until(/1b 5b 41 03 1a 1b 7f 09 c3 b6 01 7a/);
    screen.resize({rows: 50, columns: 140});
    await screen.until(text => (text.split('\n')[0] ?? '').length > 125, 'the new size');
    screen.send('stty size\r');
    await screen.until(/ 138 /);
    screen.send('exit\r');
    await screen.until(/ended with exit status/);
    screen.send('q');
    await screen.ended;
  });

  it('runs vim and less in its pane', async () => {
    await using screen = nsviewScreen(MIDDLE, '--', 'bash', '--norc', '--noprofile');
    await screen.until(/bash-[\d.]+[#$] /);
    screen.send('seq 1 500 | less\r');
    await screen.until(/^│12 /m);
    screen.send('G');
    await screen.until(/^│500 /m);
    screen.send('q');
    await screen.until(/bash-[\d.]+[#$] +│/);
    screen.send('vi -u NONE\r');
    await screen.until(/^│~/m);
    screen.send('ihello vim\x1b');
    await screen.until(/hello vim/);
    screen.send(':q!\r');
    await screen.until(text => !text.includes('hello vim'), 'the screen before vim');
    screen.send('exit\r');
    await screen.until(/ended with exit status/);
    screen.send('q');
    await screen.ended;
  });

  it('of a command that is not there says so, exits 127, and leaves the terminal usable', async () => {
    await using screen = shellScreen(SMALL);
    screen.send('$NSVIEW -- nsview-no-such-program; echo "status $?"\r');
    const text = await screen.until(/status \d+\s/);
    expect(text).toContain('nsview: nsview-no-such-program: not found in PATH');
    expect(text).toContain('status 127');
    expect(screen.alternate).toBe(false);
    screen.send('exit\r');
  });
});

const isAlive = (pid: number): boolean => /^State:\t[^ZX]/m.test(statusOf(pid));
function statusOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/status`, 'utf8');
  } catch {
    return '';
  }
}
async function ends(pid: number): Promise<void> {
  for (const limit = Date.now() + patient(8000); isAlive(pid); await new Promise(resolve => setTimeout(resolve, 20)))
    if (Date.now() > limit) throw new Error(`${pid} lives on: ${statusOf(pid)}`);
}
/** The processes of that name that a test started. */
const named = (name: string): number[] =>
  readdirSync('/proc')
    .filter(pid => /^[0-9]+$/.test(pid) && statusOf(Number(pid)).startsWith(`Name:\t${name}\n`) && isAlive(Number(pid)))
    .map(Number);

/** A shell in nsview, in which a counter writes to the terminal and to a file, far more than a pty holds. */
async function counting(screen: Screen, file: string): Promise<number> {
  await screen.until(/bash-[\d.]+[#$] /);
  const status = /nsview {2}bash (\d+)/;
  const [, pid] = status.exec(await screen.until(status)) ?? [];
  screen.send(`i=0; while :; do i=$((i+1)); echo line $i of a counter; [ $((i % 100)) = 0 ] && echo $i >>${file}; done\r`);
  await screen.until(/line \d\d\d+ of a counter/);
  return Number(pid);
}
const counted = (file: string): number => Number(readFileSync(file, 'utf8').trimEnd().split('\n').at(-1));
/** It goes on: what it writes is read by somebody. */
async function goesOn(file: string): Promise<void> {
  const from = counted(file);
  for (const limit = Date.now() + patient(8000); counted(file) < from + 2000; await new Promise(resolve => setTimeout(resolve, 20)))
    if (Date.now() > limit) throw new Error(`it stands at ${counted(file)}, after ${from}`);
}

describe.each(HOWS)('leaving nsview while what it launched lives, by %s', how => {
  const open = (...options: string[]) => nsviewScreen(MIDDLE, ...followBy(how), ...options, '--', 'bash', '--norc', '--noprofile');

  // Or a failure would fail the tests behind it, too.
  afterEach(({task}) => {
    if (task.result?.state === 'fail') for (const keeper of named('nsview-keeper')) process.kill(keeper, 'SIGKILL');
  });

  it('asks first, and stays on Esc', async () => {
    await using screen = open();
    await screen.until(/bash-[\d.]+[#$] /);
    screen.send('\x1dq');
    await screen.until(/l leave it running {3}e end it {3}Esc stay/);
    screen.send('q\r');
    screen.send('\x1b');
    await screen.until(text => !text.includes('Leave nsview?'), 'no question');
    screen.send('\x03');
    await screen.until(/Leave nsview\?/);
    screen.send('\x1b');
    await screen.until(text => !text.includes('Leave nsview?'), 'no question');
    screen.send('\x1d');
    screen.send('exit\r');
    await screen.until(/ended with exit status/);
    screen.send('q');
    expect(await screen.ended).toBe(0);
  });

  it('lets it run on with its terminal, until that is not needed any more', async () => {
    using folder = temporaryFolder();
    const file = folder.file('count');
    let pid = 0;
    {
      await using screen = open();
      pid = await counting(screen, file);
      screen.send('\x1dq');
      await screen.until(/Leave nsview\?/);
      screen.send('l');
      expect(await screen.ended).toBe(0);
      expect(screen.screen()).toContain(`bash (${pid}) runs on; nsview-keeper holds its terminal`);
    }
    await goesOn(file);
    expect(statusOf(pid)).toMatch(/TracerPid:\t0/);
    expect(named('nsview-helper')).toEqual([]);
    const [keeper = 0, ...others] = named('nsview-keeper');
    expect(others).toEqual([]);
    // Of what nsview had it keeps the terminal's master alone.
    expect(readdirSync(`/proc/${keeper}/fd`).map(fd => readlinkSync(`/proc/${keeper}/fd/${fd}`))).toEqual([expect.stringMatching(/ptmx$/)]);
    expect(readlinkSync(`/proc/${keeper}/cwd`)).toBe('/');
    process.kill(pid, 'SIGKILL');
    await ends(pid);
    await ends(keeper);
  });

  it('hangs it up when the keeper is killed, as when any terminal closes', async () => {
    using folder = temporaryFolder();
    await using screen = open();
    const pid = await counting(screen, folder.file('count'));
    screen.send('\x1dq');
    await screen.until(/Leave nsview\?/);
    screen.send('l');
    await screen.ended;
    for (const keeper of named('nsview-keeper')) process.kill(keeper, 'SIGTERM');
    await ends(pid);
  });

  it('keeps the terminal of a session whose leader has closed it', async () => {
    await using screen = open();
    await screen.until(/bash-[\d.]+[#$] /);
    screen.send('echo "pid="$$; exec sleep 50 <&- >&- 2>&-\r');
    const [, pid] = /pid=(\d+)/.exec(await screen.until(/pid=\d+/)) ?? [];
    // Nobody has the terminal open: it has ended, as far as can be seen, and nothing is asked.
    await screen.until(/sleep \d+/);
    await new Promise(resolve => setTimeout(resolve, 300));
    screen.send('q');
    expect(await screen.ended).toBe(0);
    await new Promise(resolve => setTimeout(resolve, 300));
    expect(isAlive(Number(pid))).toBe(true);
    const [keeper = 0] = named('nsview-keeper');
    process.kill(Number(pid), 'SIGKILL');
    await ends(keeper);
  });

  it('ends it all: who obeys SIGHUP, who needs SIGTERM, and who takes neither', async () => {
    using folder = temporaryFolder();
    await using screen = open();
    await screen.until(/bash-[\d.]+[#$] /);
    const script = [
      `trap 'echo hup >${folder.file('hup')}; exit' HUP`,
      `(trap '' HUP; trap 'echo term >${folder.file('term')}; exit' TERM; while :; do sleep 0.05; done) & echo "asked="$!`,
      `(trap '' HUP TERM; while :; do sleep 0.05; done) & echo "killed="$!`,
      `(setsid sleep 51 & echo "away="$!)`,
      `sleep 52 & kill -STOP $!; echo "stopped="$!`,
      'echo ready; while :; do sleep 0.05; done',
    ];
    screen.send(`${script.join('; ')}\r`);
    const text = await screen.until(/^│ready/m);
    const pids = ['asked', 'killed', 'away', 'stopped'].map(word => Number(new RegExp(`${word}=(\\d+)`).exec(text)?.[1]));
    for (const pid of pids) expect(isAlive(pid)).toBe(true);
    screen.send('\x1dq');
    await screen.until(/e end it/);
    const since = Date.now();
    screen.send('e');
    await screen.until(/being ended: SIGHUP, SIGTERM/);
    expect(await screen.ended).toBe(0);
    expect(Date.now() - since).toBeGreaterThan(1900);
    expect(Date.now() - since).toBeLessThan(patient(5000));
    for (const pid of pids) expect(isAlive(pid)).toBe(false);
    expect(readFileSync(folder.file('hup'), 'utf8')).toBe('hup\n');
    expect(readFileSync(folder.file('term'), 'utf8')).toBe('term\n');
    expect(named('nsview-keeper')).toEqual([]);
  });

  it('ends what obeys at once', async () => {
    await using screen = open();
    await screen.until(/bash-[\d.]+[#$] /);
    screen.send('\x1dq');
    await screen.until(/e end it/);
    const since = Date.now();
    screen.send('e');
    expect(await screen.ended).toBe(0);
    expect(Date.now() - since).toBeLessThan(patient(1500));
  });

  it('leaves it running when nsview is killed', async () => {
    using folder = temporaryFolder();
    const file = folder.file('count');
    await using screen = open();
    const pid = await counting(screen, file);
    const [nsview = 0] = children(screen.child.pid ?? 0);
    process.kill(nsview, 'SIGKILL');
    await screen.ended;
    await goesOn(file);
    expect(statusOf(pid)).toMatch(/TracerPid:\t0/);
    process.kill(pid, 'SIGKILL');
    for (const keeper of named('nsview-keeper')) await ends(keeper);
  });

  it('leaves it running when the helper was killed before', async () => {
    using folder = temporaryFolder();
    const file = folder.file('count');
    await using screen = open();
    const pid = await counting(screen, file);
    const [nsview = 0] = children(screen.child.pid ?? 0);
    for (const helper of children(nsview)) process.kill(helper, 'SIGKILL');
    await screen.until(/nsview-helper was killed; everything that it traced runs on/);
    screen.send('\x1dq');
    await screen.until(/Leave nsview\?/);
    screen.send('l');
    await screen.ended;
    await goesOn(file);
    process.kill(pid, 'SIGKILL');
    for (const keeper of named('nsview-keeper')) await ends(keeper);
  });

  it.each(['SIGHUP', 'SIGTERM'] as const)('hangs it up when %s asks nsview to end, as any terminal does', async signal => {
    using folder = temporaryFolder();
    await using screen = open();
    const pid = await counting(screen, folder.file('count'));
    const [nsview = 0] = children(screen.child.pid ?? 0);
    process.kill(nsview, signal);
    await screen.ended;
    await ends(pid);
    expect(named('nsview-keeper')).toEqual([]);
  });

  it('ends in silence when its terminal is gone', async () => {
    using folder = temporaryFolder();
    // Several, since what Node made of it depended on which of the hang-up and the signal came first.
    await Promise.all(
      [1, 2, 3, 4].map(async number => {
        const errors = folder.file(`errors${number}`);
        await using screen = new Screen(SMALL, 'bash', ['-c', 'exec "$NSVIEW" -- cat 2>"$ERRORS"'], {NSVIEW, ERRORS: errors});
        await screen.until(/Isolation/);
        const [nsview = 0] = children(screen.child.pid ?? 0);
        const [program = 0] = named('cat').filter(pid => statusOf(pid).includes(`\nPPid:\t${nsview}\n`));
        screen.child.kill('SIGKILL');
        await ends(nsview);
        if (program !== 0) await ends(program);
        expect(readFileSync(errors, 'utf8').replaceAll('\x1b[?25h', '')).toBe('');
      }),
    );
  });

  it('offers to end only, with --kill-on-exit, and does so when killed', async () => {
    using folder = temporaryFolder();
    await using screen = open('--kill-on-exit');
    const pid = await counting(screen, folder.file('count'));
    screen.send('\x1dq');
    const text = await screen.until(/nothing can be left/);
    expect(text).not.toContain('leave it');
    screen.send('l');
    const [nsview = 0] = children(screen.child.pid ?? 0);
    process.kill(nsview, 'SIGKILL');
    await screen.ended;
    await ends(pid);
    expect(named('nsview-keeper')).toEqual([]);
  });
});

/** What the first line says of how it follows. */
const IN_FORCE = {bpf: /BPF: clone, exec, exit, stop/, ptrace: /ptrace: clone, exec, exit, stop/};

describe('nsview -p PID', () => {
  it('shows the tree, births and ends as they happen, and lets it run on', async () => {
    await using target = start('bash', '-c', 'while read line; do sleep 40 & done; kill $!; wait; exit 3');
    await using screen = nsviewScreen(SMALL, '-p', String(target.pid));
    await screen.until(new RegExp(`bash ${target.pid}`));
    expect(screen.screen()).not.toContain('sleep');
    target.child.stdin?.write('go\n');
    await screen.until(/sleep \d+/);
    const [sleeping = 0] = children(target.pid);
    process.kill(sleeping, 'SIGTERM');
    await screen.until(/sleep \d+.*(SIGTERM|killed)/);
    screen.send('q');
    expect(await screen.ended).toBe(0);
    expect(/TracerPid:\t0/.test(readFileSync(`/proc/${target.pid}/status`, 'utf8'))).toBe(true);
    target.release();
    expect((await target.ended).code).toBe(3);
  });

  it.each(HOWS)('by %s, whose helper was killed, goes on from /proc, says so, and attaches again', async how => {
    await using target = start('sleep', '45');
    await using screen = nsviewScreen(MIDDLE, ...followBy(how), '-p', String(target.pid));
    await screen.until(IN_FORCE[how]);
    const [nsview = 0] = children(screen.child.pid ?? 0);
    const [helper = 0] = children(nsview);
    expect(readFileSync(`/proc/${helper}/comm`, 'utf8')).toBe('nsview-helper\n');
    process.kill(helper, 'SIGKILL');
    await screen.until(/watching \/proc/);
    await screen.until(/nsview-helper was killed/);
    await screen.until(new RegExp(`▌.*sleep ${target.pid}`));
    screen.send('a');
    await screen.until(IN_FORCE[how]);
    screen.send('q');
    expect(await screen.ended).toBe(0);
    expect(readFileSync(`/proc/${target.pid}/status`, 'utf8')).toMatch(/TracerPid:\t0/);
  });

  it('of a pid that is not there says so in one line and exits 1', async () => {
    await using screen = nsviewScreen(SMALL, '-p', '4194303');
    await screen.until(/no process has pid 4194303/);
    expect(await screen.ended).toBe(1);
  });
});

describe('nsview', () => {
  it.each(HOWS)('watches the whole machine, and attaches to the selected process by %s', async how => {
    await using target = start('bash', '-c', 'exec -a nsview-e2e-target sleep 41');
    // A search does not come back to one that has another name by then.
    await until(() => statusOf(target.pid).startsWith('Name:\tsleep\n'), 'sleep');
    await using screen = nsviewScreen(MIDDLE, ...followBy(how));
    await screen.until(/Isolation/);
    screen.send('/');
    screen.send(`sleep ${target.pid}`);
    screen.send('\r');
    await screen.until(new RegExp(`▌.*sleep ${target.pid}`));
    screen.send('a');
    await screen.until(IN_FORCE[how]);
    expect(/TracerPid:\t0\n/.test(readFileSync(`/proc/${target.pid}/status`, 'utf8'))).toBe(how === 'bpf');
    screen.send('q');
    expect(await screen.ended).toBe(0);
    expect(readFileSync(`/proc/${target.pid}/status`, 'utf8')).toMatch(/TracerPid:\t0/);
  });
});

describe('nsview replay', () => {
  it('stands whole where something was typed before it began', async () => {
    const tape = join(ROOT, 'fixtures', 'tapes', 'shell-session.jsonl');
    await using screen = shellScreen(SMALL);
    await screen.until(/\$ /);
    screen.send(`printf 'typed ahead'; "$NSVIEW" replay ${tape}\r`);
    await screen.until(/end \d+\/\d+/);
    const [status = '', border = ''] = screen.lines();
    expect(status).toMatch(/^ nsview {2}\S.*■ end \d+\/\d+ {2}root · Linux \S+$/);
    expect(border).toMatch(/^╭ Isolation .*╮$/);
    screen.send('q');
    await screen.until(/\$ $/m);
    expect(screen.alternate).toBe(false);
    screen.send('exit\r');
  });

  it('shows a recorded session, and steps through it', async () => {
    using folder = temporaryFolder();
    const tape = folder.file('tape');
    await run('trace', '--json', '-o', tape, '--', 'unshare', '-Urpf', '--mount-proc', 'true');
    await using screen = nsviewScreen(SMALL, 'replay', tape);
    await screen.until(/Isolation/);
    await screen.until(/end \d+\/\d+/);
    screen.send('G');
    screen.send('q');
    expect(await screen.ended).toBe(0);
    expect(screen.alternate).toBe(false);
  });
});

describe('under --fast', () => {
  it('leaving the screen leaves the program a tracer, without which its isolation calls would fail', async () => {
    using folder = temporaryFolder();
    const file = folder.file('result');
    const script =
      'trap "" HUP; echo at work; for i in $(seq 400); do [ -e "$0.left" ] && break; sleep 0.05; done; unshare -Uu true; echo $? >"$0.part"; mv "$0.part" "$0"';
    await using screen = nsviewScreen(MIDDLE, '--follow', 'ptrace', '--fast', '--', 'bash', '-c', script, file);
    await screen.until(/at work/);
    await screen.until(/ptrace, seccomp filter: isolation calls/);
    screen.send('\x1d');
    screen.send('q');
    await screen.until(/Leave nsview\?/);
    screen.send('l');
    expect(await screen.ended).toBe(0);
    expect(screen.alternate).toBe(false);
    writeFileSync(`${file}.left`, '');
    for (const limit = Date.now() + patient(10_000); !existsSync(file) && Date.now() < limit; )
      await new Promise(resolve => setTimeout(resolve, 20));
    expect(readFileSync(file, 'utf8')).toBe('0\n');
  });
});

describe('however nsview ends, the terminal is left usable', () => {
  const USABLE = /isig icanon(?:.|\n)* echo echoe/;
  it('by an exception, which is told afterwards', async () => {
    await using screen = shellScreen(SMALL);
    await screen.until(/\$ /);
    screen.send('echo shell $$\r');
    const shell = Number(/shell (\d+)/.exec(await screen.until(/shell \d+/))?.[1]);
    const thrown = `data:text/javascript,process.on(%22SIGUSR2%22,()=>{throw(new(Error)(4711))})`;
    screen.send(`NODE_OPTIONS='--import=${thrown}' $NSVIEW -p $$; echo "gone $?"\r`);
    await screen.until(/Isolation/);
    process.kill(children(shell)[0] ?? -1, 'SIGUSR2');
    await screen.until(/gone 1/);
    expect(screen.alternate).toBe(false);
    expect(screen.screen()).toContain('what it followed runs on: Error: 4711');
    screen.send('clear; stty -a\r');
    await screen.until(USABLE);
    screen.send('exit\r');
    await screen.ended;
  });

  it.each([
    ['q', async (screen: Screen) => screen.send('q')],
    ['Ctrl-C', async (screen: Screen) => screen.send('\x03')],
    ['SIGTERM', async (_: Screen, pid: number) => process.kill(pid, 'SIGTERM')],
    ['SIGSEGV', async (_: Screen, pid: number) => process.kill(pid, 'SIGSEGV')],
    ['SIGKILL', async (_: Screen, pid: number) => process.kill(pid, 'SIGKILL')],
  ])('by %s', async (_name, end) => {
    await using screen = shellScreen(SMALL);
    await screen.until(/\$ /);
    screen.send('ulimit -c 0; echo shell $$\r');
    const shell = Number(/shell (\d+)/.exec(await screen.until(/shell \d+/))?.[1]);
    screen.send('$NSVIEW -p $$; echo "gone $?"\r');
    await screen.until(/Isolation/);
    expect(screen.alternate).toBe(true);
    const [pid = 0] = children(shell);
    await end(screen, pid);
    // The helper, which gives the terminal back after a crash, may be a moment later than the shell, whose words then went to the
    // alternate screen and with it: they have reached the terminal, but need not be on the screen.
    await screen.until(() => /gone \d+\r\n/.test(screen.raw.toString()), 'the end of nsview');
    await screen.until(() => !screen.alternate && screen.mouse === 'none', 'the main screen without modes');
    screen.send('clear; stty -a\r');
    await screen.until(USABLE);
    screen.send('exit\r');
    await screen.ended;
  });
});

describe('hostile names', () => {
  it('never reach the terminal raw', async () => {
    await using target = start(...maker(fixture('hostile-name')));
    await target.says(/ready/);
    await using screen = nsviewScreen(MIDDLE, '-p', String(target.pid));
    await screen.until(/\\x1b\[41m/);
    screen.send('2');
    await screen.until(/mount point/);
    // The table may be longer than the pane.
    screen.send('\tG');
    await screen.until(/owned/);
    screen.send('q');
    await screen.ended;
    const text = screen.raw.toString('latin1');
    expect(text).not.toContain('\x1b]0;owned');
    expect(text).not.toContain('\x1b[2Jred');
    expect(text).not.toContain('\x1b[2Jbad');
    expect(text).not.toContain('\x9b31m');
    expect(screen.raw.toString()).not.toContain('\u202e');
    target.release();
    await target.ended;
  });
});
