import {spawnSync} from 'node:child_process';
import {existsSync, readdirSync, readFileSync, readlinkSync} from 'node:fs';
import {join} from 'node:path';
import {describe, expect, it} from 'vitest';
import {isRefusal} from '../src/model/fact.ts';
import type {Shareable} from '../src/model/sharing.ts';
import {holdDemonstration} from '../src/probe/claims.ts';
import {readIdentity} from '../src/probe/identity.ts';
import {readSharing} from '../src/probe/sharing.ts';
import {leaveNothingBehind} from './support/leaks.ts';
import {run} from './support/nsview.ts';
import {ROOT} from './support/paths.ts';
import {MIDDLE, nsviewScreen, SMALL} from './support/screen.ts';
import {isRoot, needsRoot} from './support/user.ts';

leaveNothingBehind();

/** Pids by name. */
type Cast = {readonly [name: string]: number};

const status = (pid = 0, field: string): string =>
  new RegExp(`^${field}:\\s+(.*)`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? '';
const namespace = (pid = 0, kind: string): string => readlinkSync(`/proc/${pid}/ns/${kind}`);
const cwd = (pid = 0): string => readlinkSync(`/proc/${pid}/cwd`);
const fds = (pid = 0): number => readdirSync(`/proc/${pid}/fd`).length;
const inner = (pid = 0): string | undefined => status(pid, 'NSpid').split('\t').at(-1);
const cgroup = (pid = 0): string => readFileSync(`/proc/${pid}/cgroup`, 'utf8');

/** Which of its processes it shares that with. */
function sharers(cast: Cast, pid = 0, kind: Shareable): string[] {
  const seen = readSharing(pid);
  if (isRefusal(seen) || isRefusal(seen.objects)) throw new Error(`sharing of ${pid} is refused`);
  const others = seen.objects.find(one => one.kind === kind)?.with ?? [];
  return Object.keys(cast).filter(name => others.some(other => other.pid === cast[name]));
}

/** One who has an object of clone(2) of his own, and one who has the parent's. */
const shares = (kind: Shareable, apart: string) => (cast: Cast) => {
  expect(sharers(cast, cast.linked, kind)).toEqual(['parent']);
  expect(sharers(cast, cast[apart], kind)).toEqual([]);
};

/** Who is in the parent's namespace, and who is not. */
const isolates = (kind: string, same: string, own: string) => (cast: Cast) => {
  expect(namespace(cast[same], kind)).toBe(namespace(cast.parent, kind));
  expect(namespace(cast[own], kind)).not.toBe(namespace(cast.parent, kind));
};

/** What the processes of each demonstration really are. */
const SHOWN: {readonly [flag: string]: (cast: Cast) => void} = {
  CLONE_FS: cast => {
    shares('fs', 'copied')(cast);
    expect([cwd(cast.parent), cwd(cast.linked), cwd(cast.copied)]).toEqual(['/usr', '/usr', '/etc']);
  },
  CLONE_FILES: cast => {
    shares('files', 'copied')(cast);
    expect([fds(cast.parent), fds(cast.linked), fds(cast.copied)]).toEqual([2, 2, 3]);
  },
  CLONE_NEWNS: cast => {
    isolates('mnt', 'same-mounts', 'own-mounts')(cast);
    const mounted = (pid = 0) => readFileSync(`/proc/${pid}/mountinfo`, 'utf8').includes(' tmpfs demonstration ');
    expect([mounted(cast['own-mounts']), mounted(cast['same-mounts']), mounted(cast.parent)]).toEqual([true, false, false]);
  },
  CLONE_NEWCGROUP: isolates('cgroup', 'same-view', 'own-view'),
  CLONE_NEWNET: cast => {
    isolates('net', 'same-net', 'own-net')(cast);
    const interfaces = (pid = 0) => readFileSync(`/proc/${pid}/net/dev`, 'utf8').trim().split('\n').slice(2);
    expect(interfaces(cast['own-net']).some(line => line.trim().startsWith('lo:'))).toBe(true);
    expect(readFileSync(`/proc/${cast['own-net']}/net/route`, 'utf8').trim().split('\n').length).toBe(1);
  },
  CLONE_NEWPID: cast => {
    isolates('pid', 'same-pids', 'init')(cast);
    expect([inner(cast.init), inner(cast.second), inner(cast['same-pids'])]).toEqual(['1', '2', inner(cast['same-pids'])]);
    expect(status(cast['same-pids'], 'NSpid').split('\t').length).toBe(status(cast.init, 'NSpid').split('\t').length - 1);
  },
  CLONE_NEWUSER: cast => {
    isolates('user', 'same-user', 'root-inside')(cast);
    const map = (pid = 0) => readFileSync(`/proc/${pid}/uid_map`, 'utf8').trim().split(/\s+/);
    expect(map(cast['root-inside'])).toEqual(['0', String(process.geteuid?.()), '1']);
    expect(map(cast.unmapped)).toEqual(['']);
  },
  CLONE_NEWIPC: isolates('ipc', 'same-queues', 'own-queues'),
  CLONE_NEWUTS: cast => {
    isolates('uts', 'same-name', 'own-name')(cast);
    const enter = isRoot ? ['-u'] : ['-U', '--preserve-credentials', '-u'];
    const name = (pid = 0) => spawnSync('nsenter', ['-t', String(pid), ...enter, 'uname', '-n'], {encoding: 'utf8'}).stdout;
    expect(name(cast['own-name'])).toBe('demonstration\n');
    // It may share the user namespace too, which cannot be entered twice (setns(2)).
    if (isRoot) expect(name(cast['same-name'])).toBe(name(process.pid));
  },
  CLONE_NEWTIME: cast => {
    isolates('time', 'by-unshare', 'a-day-ahead')(cast);
    expect(namespace(cast['by-unshare'], 'time_for_children')).toBe(namespace(cast['a-day-ahead'], 'time'));
    expect(namespace(cast['own-clock'], 'time')).not.toBe(namespace(cast.parent, 'time'));
    expect(readFileSync(`/proc/${cast['a-day-ahead']}/timens_offsets`, 'utf8')).toMatch(/boottime +86400 /);
  },
  CLONE_IO: shares('io', 'own-io'),
  CLONE_INTO_CGROUP: cast => {
    expect(cgroup(cast['born-inside'])).toContain('/nsview-claims-');
    expect(cgroup(cast['same-cgroup'])).toBe(cgroup(cast.parent));
  },
  CLONE_PARENT: cast => {
    const parent = (pid = 0) => Number(status(pid, 'PPid'));
    expect([parent(cast.sibling), parent(cast.child), parent(cast.maker)]).toEqual([cast.parent, cast.maker, cast.parent]);
  },
  CLONE_PTRACE: cast => {
    const tracer = (pid = 0) => Number(status(pid, 'TracerPid'));
    expect([tracer(cast.traced), tracer(cast['traced-too']), tracer(cast.plain)]).toEqual([cast.tracer, cast.tracer, 0]);
    expect(readIdentity(cast['traced-too'] ?? 0)).toMatchObject({tracer: {pid: cast.tracer, comm: 'tracer'}});
    expect(readIdentity(cast.plain ?? 0)).not.toHaveProperty('tracer');
  },
  CLONE_UNTRACED: cast => {
    const tracer = (pid = 0) => Number(status(pid, 'TracerPid'));
    expect([tracer(cast.traced), tracer(cast.plain), tracer(cast.untraced)]).toEqual([cast.tracer, cast.tracer, 0]);
  },
  CLONE_PIDFD: cast => {
    const links = readdirSync(`/proc/${cast.parent}/fd`).map(fd => readFileSync(`/proc/${cast.parent}/fdinfo/${fd}`, 'utf8'));
    expect(links.flatMap(text => /^Pid:\t(\d+)/m.exec(text)?.[1] ?? [])).toEqual([String(cast['with-pidfd'])]);
  },
  CLONE_SETTID: cast => expect(inner(cast['stored-1'])).toBe('1'),
  set_tid: cast => expect([inner(cast.init), inner(cast.next), inner(cast.chosen)]).toEqual(['1', '2', '77']),
  CLONE_VFORK: cast => {
    const state = (pid = 0) => status(pid, 'State')[0];
    expect([state(cast.waiting), state(cast['not-waiting'])]).toEqual(['D', 'S']);
  },
  CLONE_VM: shares('vm', 'copied'),
  CLONE_SIGHAND: cast => {
    expect(sharers(cast, cast.linked, 'sighand')).toEqual(['parent']);
    expect(sharers(cast, cast['own-handlers'], 'sighand')).toEqual([]);
    expect(sharers(cast, cast['own-handlers'], 'vm').toSorted()).toEqual(['linked', 'parent']);
  },
  CLONE_THREAD: cast => {
    const task = (tid: string, file: string) => readlinkSync(`/proc/${cast.parent}/task/${tid}/${file}`);
    const [thread = ''] = readdirSync(`/proc/${cast.parent}/task`).filter(tid => Number(tid) !== cast.parent);
    expect([task(thread, 'cwd'), cwd(cast.parent) === '/usr']).toEqual(['/usr', false]);
    expect(readdirSync(`/proc/${cast.process}/task`)).toEqual([String(cast.process)]);
  },
  CLONE_SYSVSEM: shares('sysvsem', 'own-undo'),
  CLONE_CLEAR_SIGHAND: cast => {
    expect(readIdentity(cast.parent ?? 0)).toMatchObject({handled: ['SIGUSR1'], ignored: []});
    expect(readIdentity(cast.inherits ?? 0)).toMatchObject({handled: ['SIGUSR1'], ignored: []});
    expect(readIdentity(cast.cleared ?? 0)).toMatchObject({handled: [], ignored: []});
  },
};

describe('a held demonstration', () => {
  it.each(Object.keys(SHOWN))('of %s is what it says', async flag => {
    const held = await holdDemonstration(flag);
    if (isRefusal(held) || 'refused' in held) throw new Error(JSON.stringify(held));
    try {
      const {shows} = held;
      expect([shows.flag, shows.sentence]).toEqual([flag, expect.stringMatching(/./)]);
      const begun = await held.begin();
      if ('refused' in begun && /^no privilege to make a cgroup/.test(begun.refused)) needsRoot('make a cgroup below its own');
      if ('refused' in begun) throw new Error(begun.refused);
      const cast: Cast = Object.fromEntries(begun.processes.map(({name, pid}) => [name, pid]));
      // What is said names only who is there, and who is there was named or is plain to see.
      for (const [, name = ''] of shows.look.matchAll(/`([^`]*)`/g)) expect(Object.keys(cast)).toContain(name);
      expect(Object.values(cast)).toContain(begun.select);
      expect(cast.parent).toBe(shows.pid);
      SHOWN[flag]?.(cast);
      held.end();
      expect(Object.values(cast).filter(pid => existsSync(`/proc/${pid}`))).toEqual([]);
    } finally {
      held.end();
    }
  });

  it('is there for an ordinary user, or one line says why not', () => {
    const nobody = process.geteuid?.() === 0 ? ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', '--bounding-set=-all'] : [];
    const refused = Object.keys(SHOWN).flatMap(flag => {
      const [program, ...args] = [...nobody, join(ROOT, 'build', 'nsview-claims'), '--hold', flag];
      const {stdout} = spawnSync(program, args, {input: '\n', encoding: 'utf8'});
      const said = JSON.parse(stdout.split('\n')[1] ?? '') as {readonly refused?: string};
      return said.refused === undefined ? [] : [`${flag}: ${said.refused}`];
    });
    // A cgroup takes one who delegates it; namespaces, where the machine gives user namespaces to all.
    const [unshare, ...rest] = [...nobody, 'unshare', '-U', 'true'];
    const allowed = spawnSync(unshare, rest).status === 0;
    if (allowed) expect(refused.filter(line => !line.startsWith('CLONE_INTO_CGROUP: no privilege to make a cgroup'))).toEqual([]);
    else expect(refused.filter(line => !line.includes('privilege'))).toEqual([]);
  });

  it('is there for every flag that has claims', () => {
    const {stdout} = spawnSync(join(ROOT, 'build', 'nsview-claims'), ['--list'], {encoding: 'utf8'});
    const flags = new Set([...stdout.matchAll(/^((?:CLONE|set)_\w+): /gm)].map(([, flag = '']) => flag));
    expect([...flags].toSorted()).toEqual(Object.keys(SHOWN).toSorted());
  });
});

describe('nsview claims FLAG --watch', () => {
  it('opens the screen on the process and the tab that tell most', async () => {
    await using screen = nsviewScreen(MIDDLE, 'claims', 'newnet', '--watch');
    await screen.until(/CLONE_NEWNET: it has lo, as interface 1/);
    await screen.until(/▌ +· own-net \d+ +\+net/);
    await screen.until(/lo loopback down/);
    await screen.until(/clone\(CLONE_NEWNET\) → \d+ +net:a → net:b/);
    screen.send('\x1b');
    await screen.until(text => !text.includes('CLONE_NEWNET: it has lo'), 'no note');
    screen.send('q');
    expect(await screen.ended).toBe(0);
    expect(screen.alternate).toBe(false);
  });

  it('leaves nothing when nsview is killed', async () => {
    await using screen = nsviewScreen(SMALL, 'claims', 'CLONE_NEWPID', '--watch');
    await screen.until(/CLONE_NEWPID: the child is 1/);
    await screen.until(/init \d+ \(1\) +\+pid/);
    const [pid = 0] = readdirSync('/proc')
      .map(Number)
      .filter(one => one > 0 && isOf(one, 'dist/main.js'));
    process.kill(pid, 'SIGKILL');
    await screen.ended;
  });

  it('without a terminal tells the same as text', async () => {
    const {stdout, code} = await run('claims', 'fs', '--watch');
    expect(stdout).toMatch(/^CLONE_FS: with it, chdir .*\n\nparent \d+\n├─ copied \d+\n└─ linked \d+\n/);
    expect(code).toBe(0);
  });

  it.each([
    [['claims', 'combinations', '--watch'], /^nsview: claims "combinations" --watch: there are demonstrations of CLONE_FS, .*\n$/],
    [['claims', '--watch'], /^nsview: --watch shows one flag, such as .*\n$/],
    [['claims', '--json', 'fs', '--watch'], /^nsview: --watch opens the screen; leave --json out\n$/],
    [['doctor', '--watch'], /^nsview: --watch goes with claims only, such as .*\n$/],
  ])('%s is a usage error', async (args, line) => {
    const {stdout, stderr, code} = await run(...args);
    expect([stdout, stderr, code]).toEqual(['', expect.stringMatching(line), 2]);
  });
});

function isOf(pid: number, script: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(script);
  } catch {
    return false;
  }
}
