// Knows what the screen looks like: tapes and keys on the left, files that a person can read on the right.
// UPDATE_FRAMES=1 writes them anew; look at the difference before it is committed.

import {existsSync, readFileSync, writeFileSync} from 'node:fs';
import {describe, expect, test} from 'vitest';
import type {Fact} from '../../src/model/fact.ts';
import type {Mode} from '../../src/model/state.ts';
import {patient} from '../support/patience.ts';
import {fakeTerminal, play, readTape, type Tape} from './play.ts';

const SIZES = [
  [80, 24],
  [120, 40],
  [200, 60],
] as const;

function compare(name: string, text: string): void {
  const file = new URL(`./${name}.txt`, import.meta.url);
  if (process.env.UPDATE_FRAMES === '1') {
    writeFileSync(file, text);
    return;
  }
  expect(existsSync(file), `${name}.txt is not there: UPDATE_FRAMES=1 writes it`).toBe(true);
  expect(text).toBe(readFileSync(file, 'utf8'));
}

async function frame(name: string, tape: Tape, mode: Mode, [columns, rows]: readonly [number, number], keys: string): Promise<void> {
  const terminal = mode === 'launch' ? fakeTerminal('bash') : null;
  const screen = await play({tape, mode, columns, rows, ...(terminal === null ? {} : {terminal: terminal.port})});
  terminal?.print('\x1b[32m#\x1b[0m unshare -Urpf --mount-proc sh\r\n# echo 日本語\r\n日本語\r\n# ');
  if (terminal !== null) await expect.poll(() => screen.text(), {timeout: patient(5000)}).toContain('日本語');
  await screen.settled();
  if (keys !== '') await screen.press(keys);
  compare(`${name}-${columns}x${rows}`, screen.text());
  await screen.close();
}

/** A machine with so many processes, three levels deep, some of them isolated. */
function machine(count: number): Tape {
  const {header, facts} = readTape('refusals');
  const first = facts.find(fact => fact.kind === 'process' && fact.pid === 300);
  if (first?.kind !== 'process') throw new Error('the tape has no pid 300');
  const made: Fact[] = [];
  for (let i = 0; i < count; i++) {
    const pid = 1000 + i;
    const ppid = i < 10 ? 1 : 1000 + Math.floor(i / 10);
    const isolated = i % 7 === 3;
    made.push({
      ...first,
      pid,
      ppid,
      start: String(pid),
      comm: `worker-${i}`,
      argv: [`worker-${i}`, '--number', String(i)],
      nspid: [pid],
      namespaces: isolated ? {...first.namespaces, mnt: String(4026540000 + i), net: String(4026550000 + i)} : first.namespaces,
    });
  }
  return {header, facts: [...facts.slice(0, 3), ...made, ...facts.slice(3, 4)]};
}

/** A process that shares what it can, and that holds ways out. */
function sharing(): Tape {
  const {header, facts} = readTape('refusals');
  const first = facts.find(fact => fact.kind === 'process' && fact.pid === 300);
  if (first?.kind !== 'process') throw new Error('the tape has no pid 300');
  const child = {pid: 410, comm: 'bash', relation: 'child'} as const;
  const fact: Fact = {
    kind: 'sharing',
    at: first.at,
    pid: 300,
    start: first.start,
    seen: {
      objects: [
        {kind: 'files', with: [child], count: 1},
        {kind: 'fs', with: [child], count: 1},
        {kind: 'vm', with: [], count: 0},
        {kind: 'sighand', with: [], count: 0},
        {kind: 'io', none: true, with: [], count: 0},
        {kind: 'sysvsem', none: true, with: [], count: 0},
      ],
      compared: 9,
      refused: 2,
      left: 0,
      fds: {
        outside: [
          {fd: 3, path: '/', leads: {kind: 'mount', directory: true, where: 'nsview'}},
          {fd: 11, path: '/var/log/\x1b]0;owned\x07', leads: {kind: 'root', directory: false}},
          {fd: 12, path: 'mnt:[4026531840]', leads: {kind: 'namespace', type: 'mnt', inode: '4026531840'}},
          {fd: 13, path: 'anon_inode:[pidfd]', leads: {kind: 'process', pid: 1, apart: ['mnt', 'pid']}},
        ],
        open: 14,
        left: 0,
      },
      threads: [
        {
          tid: 301,
          comm: 'apart',
          objects: ['fs'],
          cwd: '/srv',
          status: {
            CapEff: {thread: '0000000000000000', process: '000001ffffffffff'},
            Cgroup: {thread: '8:pids:/apart', process: '8:pids:/'},
          },
        },
      ],
      memory: {
        mappings: [
          {
            path: '/dev/shm/common',
            file: '00:1b 5',
            bytes: 8192,
            writes: true,
            with: [{pid: 410, comm: 'bash', writes: false, apart: ['mnt']}],
          },
        ],
        read: 8,
        refused: 1,
        left: 0,
      },
    },
  };
  return {header, facts: [...facts.slice(0, 4), fact]};
}

/** A container that docker has named, one of which only the cgroup speaks, and a sandbox of bubblewrap within the first. */
function contained(): Tape {
  const {header, facts} = readTape('refusals');
  const first = facts.find(fact => fact.kind === 'process' && fact.pid === 300);
  if (first?.kind !== 'process') throw new Error('the tape has no pid 300');
  const [web, lost] = ['c0ffee'.padEnd(64, '0'), 'deadbeef'.padEnd(64, '0')];
  const isolated = (inode: number) => ({...first.namespaces, mnt: String(inode), pid: String(inode + 1), net: String(inode + 2)});
  const one = (pid: number, ppid: number, comm: string, more: object): Fact => ({
    ...first,
    pid,
    ppid,
    start: String(pid),
    comm,
    argv: [comm, '--option'],
    exe: `/usr/bin/${comm}`,
    nspid: [pid],
    ...more,
  });
  const cgroup = (id: string) => [{hierarchy: 0, controllers: [], path: `/system.slice/docker-${id}.scope`}];
  const inside = {cgroup: cgroup(web), namespaces: isolated(4026540000)};
  return {
    header,
    facts: [
      ...facts.slice(0, 3),
      one(500, 1, 'containerd-shim', {}),
      one(501, 500, 'nginx', {...inside, nspid: [501, 1]}),
      one(502, 501, 'bwrap', {...inside, nspid: [502, 7]}),
      one(503, 502, 'bwrap', {cgroup: cgroup(web), namespaces: isolated(4026550000), nspid: [503, 8, 1]}),
      one(504, 503, 'convert', {cgroup: cgroup(web), namespaces: isolated(4026550000), nspid: [504, 9, 2]}),
      one(510, 1, 'containerd-shim', {}),
      one(511, 510, 'redis-server', {cgroup: cgroup(lost), namespaces: isolated(4026560000), nspid: [511, 1]}),
      {
        kind: 'containers',
        at: first.at,
        states: [
          {runtime: 'docker', id: web, name: 'web', file: `/var/lib/docker/containers/${web}/config.v2.json`, pid: 501, owner: 0},
          {runtime: 'docker', id: web, file: `/run/docker/runtime-runc/moby/${web}/state.json`, pid: 501, start: '501', owner: 0},
        ],
        places: [{runtime: 'docker', directory: '/var/lib/docker/containers', seen: 1}],
      },
    ],
  };
}

/** A shell whose loop ran so many short programs. */
function loop(times: number): Tape {
  const {header, facts} = readTape('daemon');
  const made: Fact[] = [];
  const start = Number(header.at) + 1e9;
  for (let i = 0; i < times; i++) {
    const child = 5000 + i;
    const at = (step: number) => String(start + i * 1e6 + step * 1e5);
    made.push(
      {kind: 'clone', at: at(1), pid: 700, tid: 700, child, start: String(child), ppid: 700, flags: [], exitSignal: 'SIGCHLD', changed: {}},
      {kind: 'exec', at: at(2), pid: child, path: '/bin/true', argv: ['true'], comm: 'true'},
      {kind: 'exit', at: at(3), pid: child, code: 0},
    );
  }
  return {header, facts: [...facts.slice(0, 2), ...made]};
}

/** Made by `nsview trace --json` on the fixtures and on a shell script, on a real kernel. */
describe('frames of recorded tapes', () => {
  test.each(['session', 'daemon', 'clone-parent', 'thread-net', 'exec-from-thread', 'stops-itself', 'hostile'])('%s', async name => {
    await frame(`recorded-${name}`, readTape(`recorded-${name}`), 'attach', [120, 40], 'f');
  });
  // Isolation calls: of many programs, too long, refused, by other ABIs.
  for (const size of SIZES)
    test(`calls, ${size.join('×')}`, () => frame('recorded-calls', readTape('recorded-calls'), 'attach', size, '\t\tz'));
  test('a call that is too long, whole', () =>
    frame('whole-call', readTape('recorded-calls'), 'attach', [80, 24], `\t\tz${'k'.repeat(19)}e`));
  test('a call that changed something, whole', () =>
    frame('whole-call-changed', readTape('recorded-calls'), 'attach', [120, 40], '\t\tge'));
  test('the mounts of a recorded session', () => frame('recorded-mounts', readTape('recorded-session'), 'attach', [120, 40], 'jj2'));
});

describe('frames', () => {
  const session = readTape('shell-session');
  const studied = readTape('studied-session');
  for (const size of SIZES) {
    test(`a session in a shell, its terminal below, ${size.join('×')}`, () => frame('launch', session, 'launch', size, ''));
    test(`a process in namespaces of its own, ${size.join('×')}`, () => frame('namespaces', session, 'attach', size, 'jjj'));
    test(`who owns and keeps its namespaces, ${size.join('×')}`, () => frame('owners', studied, 'attach', size, 'jjj'));
    test(`what it can talk to, ${size.join('×')}`, () => frame('network', studied, 'attach', size, 'jjj5'));
    test(`its mounts, ${size.join('×')}`, () => frame('mounts', session, 'attach', size, 'jjj2'));
    test(`a machine of 300 processes, at its end, ${size.join('×')}`, () => frame('machine', machine(300), 'machine', size, 'G'));
  }
  const leaks = readTape('mounts');
  for (const size of SIZES) {
    test(`mounts that lead to other namespaces, ${size.join('×')}`, () => frame('mounts-leak', leaks, 'attach', size, '2'));
    test(`mounts in a sandbox, hidden, locked and new, ${size.join('×')}`, () => frame('mounts-hidden', leaks, 'attach', size, 'jj2\tz'));
    test(`what differs from the parent’s mounts, ${size.join('×')}`, () => frame('mounts-differ', leaks, 'attach', size, 'jc'));
  }
  const SMALL = [80, 24] as const;
  const MIDDLE = [120, 40] as const;
  test('who owns and keeps its namespaces, scrolled to the end', () => frame('owners-end', studied, 'attach', SMALL, 'jjj\tzG'));
  test('its cgroup', () => frame('cgroup', session, 'attach', MIDDLE, 'jjj3'));
  test('its identity', () => frame('identity', session, 'attach', MIDDLE, 'jjj4'));
  test('a mount that is selected', () => frame('mounts-selected', leaks, 'attach', MIDDLE, `jj2\t${'j'.repeat(8)}`));
  test('mounts whose master is out of reach, with peer groups', () => frame('mounts-unreachable', leaks, 'attach', MIDDLE, 'jjjj2i'));
  test('inode numbers', () => frame('inodes', session, 'attach', MIDDLE, 'jji'));
  test('every event', () => frame('every-event', session, 'attach', SMALL, 'f'));
  test('the timeline in full size, an event selected', () => frame('timeline', session, 'attach', SMALL, 'f\t\tzkkk'));
  test('containers', () => frame('containers', contained(), 'machine', MIDDLE, '/nginx\r'));
  test('a container of which only the cgroup speaks', () => frame('containers', contained(), 'machine', SMALL, '/redis\r'));
  test('by container', () => frame('by-container', contained(), 'machine', MIDDLE, '/convert\rtttttt'));
  test.each(SIZES)('what it shares, at %d×%d', (columns, rows) => frame('sharing', sharing(), 'machine', [columns, rows], 'j6'));
  test('keys', () => frame('keys', session, 'launch', MIDDLE, '\x1d?'));
  test('keys of a tape where rows are short, to their end', () => frame('keys', session, 'replay', SMALL, ' {?G'));
  test('a search while it is typed', () => frame('search', session, 'attach', SMALL, '/slee'));
  test('the question before leaving', () => frame('question', session, 'launch', SMALL, '\x1dq'));
  test('a folded tree', () => frame('folded', session, 'attach', SMALL, 'jjh'));
  test('a process made the root', () => frame('root', session, 'attach', SMALL, 'jj\r'));
  test('by user namespace', () => frame('by-user', session, 'attach', SMALL, 'jjt'));
  test('by mount namespace, one of them folded', () => frame('by-mnt', session, 'attach', MIDDLE, 'jjttth'.concat('h')));
  test('by network namespace: a thread is alone in one', () => frame('by-net', readTape('thread-net'), 'attach', SMALL, 'tttt'));
  test('by cgroup', () => frame('by-cgroup', session, 'attach', MIDDLE, 'jjttttt'));
  test('a daemon stays under its maker', () => frame('daemon', readTape('daemon'), 'attach', SMALL, 'jj4'));
  test('a CLONE_PARENT child stands under its maker', () => frame('clone-parent', readTape('clone-parent'), 'attach', SMALL, 'jj4'));
  test('a thread with a network of its own, and a stop', () => frame('thread-net', readTape('thread-net'), 'attach', SMALL, ''));
  test('what was refused', () => frame('refusals', readTape('refusals'), 'machine', SMALL, 'jj4'));
  test('hostile names', () => frame('hostile', readTape('hostile-names'), 'attach', MIDDLE, 'j2'));
  test('2000 short lives', () => frame('loop', loop(2000), 'attach', SMALL, 'f'));
  test('a tape at its beginning', () => frame('replay', session, 'replay', SMALL, ' {'));
  test('a tape, four events on', () => frame('replay-step', session, 'replay', SMALL, ' {]]]]]]]'));
  test('why an attach failed, in a box where the footer is too short', async () => {
    const screen = await play({tape: readTape('refusals'), mode: 'machine', columns: 80, rows: 24});
    const text =
      'cannot attach to bash 410: ptrace(PTRACE_SEIZE): EPERM. yama: kernel.yama.ptrace_scope is 1, so that only descendants may be traced. ' +
      'Run nsview as root, or launch the program with nsview -- CMD.';
    screen.store.dispatch({kind: 'note', text, bad: true});
    await screen.settled();
    compare('note-80x24', screen.text());
    await screen.press('j');
    expect(screen.text()).not.toContain('cannot attach');
    await screen.close();
  });
  test('one column where there is no room for two', () => frame('narrow', session, 'attach', [60, 20], 'jj1'));
  test('too small', () => frame('too-small', session, 'attach', [30, 8], ''));
});

describe('the screen', () => {
  const tape = readTape('shell-session');
  const open = (more: Partial<Parameters<typeof play>[0]> = {}) => play({tape, mode: 'attach', columns: 100, rows: 30, ...more});

  test('leaves the terminal as it was', async () => {
    const screen = await open();
    expect(screen.modes()).toEqual({mouse: 'drag', alternate: true, paste: true, raw: true});
    await screen.press('q');
    expect(await screen.done).toEqual({kind: 'quit'});
    await screen.settled();
    expect(screen.modes()).toEqual({mouse: 'none', alternate: false, paste: false, raw: false});
  });

  test('Enter begins the tree with a process, Backspace goes up again, and the selection stays', async () => {
    const screen = await open({columns: 80, rows: 24});
    const title = () => screen.text().split('\n')[1] ?? '';
    const chosen = () => /▌[ ▾▸·]*(\S+ \d+)/.exec(screen.text())?.[1];
    await screen.press('jj');
    const selected = chosen();
    await screen.press('\r');
    expect(title()).toContain(`below ${selected}`);
    expect(chosen()).toBe(selected);
    await screen.press('j\x7f');
    expect(title()).not.toContain(`below ${selected}`);
    await screen.press('\x7f\x7f');
    expect(title()).not.toContain('below');
    await screen.press('q');
    await screen.done;
  });

  test('what is selected stays in sight where a pane becomes smaller, unless it was scrolled away', async () => {
    const screen = await open({columns: 120, rows: 40});
    const chosen = (text: RegExp) =>
      expect(
        screen
          .text()
          .split('\n')
          .some(row => text.test(row)),
        screen.text(),
      );
    // The last of the mounts, then of the events: both at the foot of the whole screen.
    await screen.press('jjj2\tzG');
    chosen(/^│▌└/).toBe(true);
    await screen.press('z');
    await screen.resize(80, 24);
    chosen(/│▌└/).toBe(true);
    await screen.press('\x1b[<64;60;8M'.repeat(6));
    chosen(/│▌└/).toBe(false);
    await screen.resize(80, 26);
    chosen(/│▌└/).toBe(false);
    await screen.press('\tfzkkk');
    const event = /│▌ ?(\S+ .*)/.exec(screen.text())?.[1]?.slice(0, 40) ?? '';
    await screen.press('z');
    chosen(/^│▌/).toBe(true);
    expect(screen.text()).toContain(event);
    await screen.press('q');
    await screen.done;
  });

  test('t goes through every arrangement and comes back, the same process selected', async () => {
    const screen = await open({columns: 120, rows: 40});
    await screen.press('jj');
    const before = screen.text();
    const chosen = () => /▌[ ▾▸·]*(\S+ \d+)/.exec(screen.text())?.[1];
    const selected = chosen();
    for (let i = 0; i < 6; i++) {
      await screen.press('t');
      expect(screen.text()).toContain(' · by ');
      expect(chosen()).toBe(selected);
    }
    await screen.press('t');
    expect(screen.text()).toBe(before);
    await screen.press('q');
    await screen.done;
  });

  test('NO_COLOR leaves no colour, and the selection is still seen', async () => {
    const screen = await open({colours: false});
    for (let y = 0; y < 30; y++) for (let x = 0; x < 100; x++) expect(screen.cell(x, y).coloured, `${x},${y}`).toBe(false);
    expect(screen.cell(1, 2)).toMatchObject({char: '▌', inverse: true});
    await screen.press('\t');
    expect(screen.cell(1, 2)).toMatchObject({char: '▌', inverse: false});
    await screen.close();
  });

  test('sends nothing to the terminal that a stranger made up', async () => {
    const screen = await open({tape: readTape('hostile-names')});
    for (const key of ['j', '1', '2', '3', '4', 'f', '\t', '?', 'q', '/', 'o', '\r', 'z']) await screen.press(key);
    const bytes = screen.bytes();
    expect(bytes).toContain('\\x1b]0;owned\\x07');
    expect(bytes).not.toMatch(/owned\x07|\x1b\[2J|\x1b\]|\x1b\[5m|[\u0080-\u009f\u202e\u200b]/);
    await screen.close();
  });

  test('a row stays under the cursor while others come above it', async () => {
    const tape = loop(0);
    const screen = await open({tape, rows: 40});
    const fork = (pid: number, child: number): Fact => ({
      kind: 'clone',
      at: String(Number(tape.header.at) + child * 1e6),
      pid,
      tid: pid,
      child,
      start: String(child),
      ppid: pid,
      flags: [],
      exitSignal: 'SIGCHLD',
      changed: {},
    });
    screen.store.dispatch({kind: 'facts', facts: Array.from({length: 60}, (_, i) => fork(700, 900 + i))});
    await screen.settled();
    await screen.press('G');
    await screen.press('kkk');
    const before = screen
      .text()
      .split('\n')
      .findIndex(line => line.includes('▌'));
    expect(screen.text().split('\n')[before]).toContain('serve 956');
    screen.store.dispatch({kind: 'facts', facts: Array.from({length: 5}, (_, i) => fork(910, 2000 + i))});
    await screen.settled();
    const after = screen
      .text()
      .split('\n')
      .findIndex(line => line.includes('▌'));
    expect(screen.text().split('\n')[after]).toContain('serve 956');
    expect(after).toBe(before);
    await screen.close();
  });

  test('the terminal has the keys unaltered, until Ctrl-] takes them back', async () => {
    const terminal = fakeTerminal('bash');
    const screen = await open({mode: 'launch', terminal: terminal.port});
    await screen.press('q\x1b[A\x03é\x1bx\t');
    expect(terminal.state.input).toBe(Buffer.from('q\x1b[A\x03é\x1bx\t').toString('latin1'));
    terminal.state.input = '';
    await screen.press('\x1dj');
    expect(terminal.state.input).toBe('');
    await screen.press('\x1da');
    expect(terminal.state.input).toBe('a');
    await screen.close();
  });

  test('the terminal is told its size, and again when the screen changes', async () => {
    const terminal = fakeTerminal('bash');
    const screen = await open({mode: 'launch', terminal: terminal.port, columns: 80, rows: 24});
    expect(terminal.state.size).toEqual({columns: 78, rows: 8});
    await screen.resize(120, 40);
    expect(terminal.state.size).toEqual({columns: 118, rows: 14});
    expect(screen.text()).toMatch(/^ nsview {2}bash 4121/);
    await screen.close();
  });

  test('while the keys are elsewhere the terminal is drawn smaller, its last rows seen, and the program is told of no other size', async () => {
    const terminal = fakeTerminal('bash');
    const screen = await open({mode: 'launch', terminal: terminal.port, columns: 80, rows: 24});
    terminal.print('row1\r\nrow2\r\nrow3\r\nrow4\r\nrow5');
    // The emulator of the terminal takes its time on a busy machine.
    await expect.poll(() => screen.text(), {timeout: patient(5000)}).toContain('row1');
    const told: unknown[] = [];
    const {resize} = terminal.port;
    Object.assign(terminal.port, {resize: (...size: Parameters<typeof resize>) => told.push(size)});
    await screen.press('\x1d');
    expect(screen.text()).not.toContain('row2');
    for (const shown of ['row3', 'row4', 'row5', '3–5 of 8']) expect(screen.text()).toContain(shown);
    await screen.press('\x1d');
    expect(screen.text()).toContain('row1');
    expect(told).toEqual([]);
    await screen.close();
  });

  test('the cursor of the program is where the program has it', async () => {
    const terminal = fakeTerminal('bash');
    const screen = await open({mode: 'launch', terminal: terminal.port, columns: 80, rows: 24});
    terminal.print('one\r\ntwo');
    await expect.poll(() => screen.text(), {timeout: patient(5000)}).toContain('two');
    expect(screen.cursor()).toEqual({x: 1 + 3, y: 14 + 1});
    await screen.close();
  });

  test('a moved selection costs the terminal little', async () => {
    const screen = await open({columns: 200, rows: 60});
    const before = screen.bytes().length;
    await screen.press('f');
    const whole = screen.bytes().length - before;
    const start = screen.bytes().length;
    await screen.press('j');
    expect(screen.bytes().length - start).toBeLessThan(4000);
    expect(whole).toBeLessThan(20_000);
    await screen.close();
  });

  test('a program that ended leaves the keys to nsview, and no question is asked', async () => {
    const terminal = fakeTerminal('bash');
    const tape = loop(0);
    const screen = await open({mode: 'launch', terminal: terminal.port, tape});
    screen.store.dispatch({kind: 'facts', facts: [{kind: 'exit', at: tape.header.at, pid: 700, code: 3}]});
    terminal.end();
    await screen.settled();
    expect(screen.text()).toContain('ended with exit status 3');
    await screen.press('q');
    expect(await screen.done).toEqual({kind: 'quit'});
  });

  test('paused, nothing moves; then all that happened is there', async () => {
    const screen = await open();
    await screen.press(' ');
    screen.store.dispatch({kind: 'facts', facts: [{kind: 'exit', at: tape.header.at, pid: 4140, signal: 'SIGTERM'}]});
    await screen.settled();
    await expect.poll(() => screen.text(), {timeout: patient(5000)}).toMatch(/PAUSED, 1 fact waits/);
    expect(screen.text()).not.toContain('SIGTERM');
    await screen.press(' ');
    expect(screen.text()).toContain('killed by SIGTERM');
    expect(screen.text()).not.toContain('PAUSED');
    await screen.close();
  });

  test('SIGTERM closes it and gives the terminal back', async () => {
    const screen = await open();
    process.kill(process.pid, 'SIGTERM');
    expect(await screen.done).toEqual({kind: 'signal', signal: 'SIGTERM'});
    await screen.settled();
    expect(screen.modes()).toEqual({mouse: 'none', alternate: false, paste: false, raw: false});
  });

  test('says what it shows, so that only that is read', async () => {
    const screen = await open();
    await screen.press('jjj');
    expect(screen.intents.at(-2)).toEqual({kind: 'look', pid: 4135});
    expect(screen.intents.at(-1)).toMatchObject({kind: 'show-details', pid: 4135, mounts: [{inode: '4026532211', pid: 4135}]});
    await screen.press('3');
    expect(screen.intents.at(-1)).toMatchObject({kind: 'show-details', mounts: [], cgroups: [{path: '/user.slice/session-3.scope'}]});
    await screen.close();
  });

  test('a attaches in the machine, and says why not elsewhere', async () => {
    const screen = await open({mode: 'machine', tape: readTape('refusals')});
    await screen.press('ja');
    expect(screen.intents.at(-1)).toEqual({kind: 'attach', pid: 300});
    await screen.close();
    const other = await open();
    await other.press('a');
    expect(other.text()).toContain('a: this tree is traced already.');
    await other.close();
  });

  test('a click selects, a click on a tab shows it, the wheel scrolls what is under it', async () => {
    const screen = await open({tape: machine(300), mode: 'machine'});
    await screen.press('\x1b[<0;10;6M\x1b[<0;10;6m');
    expect(screen.text().split('\n')[5]).toContain('▌');
    await screen.press('\x1b[<0;67;2M');
    expect(screen.store.get().view.tab).toBe('mounts');
    const first = screen.text().split('\n')[2];
    await screen.press('\x1b[<65;10;6M');
    expect(screen.text().split('\n')[2]).not.toBe(first);
    expect(screen.store.get().view.selected).toContain('1000@');
    await screen.close();
  });
});
