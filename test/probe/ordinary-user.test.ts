import {execFileSync} from 'node:child_process';
import {existsSync, readFileSync, readlinkSync} from 'node:fs';
import {describe, expect, it} from 'vitest';
import {leaveNothingBehind} from '../support/leaks.ts';
import {Running, start} from '../support/nsview.ts';
import {fixture, NSVIEW} from '../support/paths.ts';
import {MIDDLE, Screen} from '../support/screen.ts';
import {type Tabs, tabsAs} from '../support/tabs.ts';

leaveNothingBehind();

/** Who is one already cannot become another. */
const IS_ROOT = process.getuid?.() === 0;
const NOBODY = IS_ROOT
  ? ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', '--inh-caps=-all', '--bounding-set=-all']
  : ['env'];

/** Of everything that is drawn. */
function look(tabs: Tabs): {readonly [tab: string]: string} {
  for (const [width, each] of Object.entries(tabs.widths))
    for (const [tab, text] of Object.entries(each)) {
      expect(text.trim(), tab).not.toBe('');
      expect(text, tab).not.toMatch(/undefined|NaN|\[object|Reading …|not known yet|\b1 processes/);
      for (const line of text.split('\n')) expect(line.length, `${tab} at ${width}: ${line}`).toBeLessThanOrEqual(Number(width));
    }
  const text: {[tab: string]: string} = {};
  for (const [tab, drawn] of Object.entries(tabs.widths[60] ?? {})) text[tab] = drawn;
  return text;
}

describe('an ordinary user', () => {
  it('sees in every tab what the kernel grants, and why not the rest: own, foreign, zombie, kernel thread', async () => {
    await using own = new Running(NOBODY[0] ?? '', [...NOBODY.slice(1), 'unshare', '-Urmn', '--', 'sh', '-c', 'echo ready; exec cat']);
    // Somebody else's, in a namespace of its own; for who is no root, the machine's first process.
    await using foreign = new Running('sh', ['-c', IS_ROOT ? 'exec unshare --net sh -c "echo ready; exec cat"' : 'echo ready; exec cat']);
    const elsewhere = IS_ROOT ? foreign.pid : 1;
    await using zombie = start(fixture('leaves-zombie'));
    for (const one of [own, foreign]) await one.says(/ready/);
    await zombie.says(/zombie|ready/);
    const dead = Number(readFileSync(`/proc/${zombie.pid}/task/${zombie.pid}/children`, 'utf8').trim().split(' ')[0]);
    // kthreadd is 2 outside of every pid namespace.
    const isThread = existsSync('/proc/2') && readFileSync('/proc/2/comm', 'utf8') === 'kthreadd\n';
    const pids = [own.pid, elsewhere, dead, ...(isThread ? [2] : [])];
    const tabs = tabsAs(NOBODY, pids);
    if (process.env.SHOW) for (const pid of pids) console.log(JSON.stringify(tabs[pid]?.widths[60], null, 1).replaceAll('\\n', '\n'));
    const [mine, theirs, gone] = pids.map(pid => look(tabs[pid] as Tabs));
    expect(mine?.namespaces).toContain('all (its effective set)');
    expect(mine?.network).toContain('Nobody, not even itself: lo is down.');
    for (const tab of ['namespaces', 'mounts', 'network', 'sharing']) expect(theirs?.[tab], tab).toMatch(/EACCES|EPERM|not for nsview/);
    // Not that it has none.
    expect(theirs?.network).toMatch(/\nUnix sockets to outside .*\n {2}EACCES \(open fd\)\n/);
    expect(theirs?.network).toMatch(/\nAs far as \/proc tells: /);
    expect(gone?.namespaces).toContain('it has ended');
    // The command that is shown is theirs to run.
    const links = ['user', 'mnt', 'pid', 'net', 'uts', 'ipc', 'cgroup', 'time'].map(link => `ns/${link}`);
    const enter = [...NOBODY, ...(tabs[own.pid]?.enter ?? []), '--', 'readlink', ...links.map(link => `/proc/self/${link}`)];
    const inside = execFileSync(enter[0] ?? '', enter.slice(1), {cwd: '/'}).toString();
    expect(inside.trim().split('\n')).toEqual(links.map(link => readlinkSync(`/proc/${own.pid}/${link}`)));
    for (const one of [own, foreign, zombie]) one.release();
    await Promise.all([own, foreign, zombie].map(one => one.ended));
  });

  it('is told the routes of a network that it may not enter as /proc has them: of both versions, and those that lead nowhere', async context => {
    context.skip(!IS_ROOT, 'needs a network namespace of another user');
    const script = `ip link set lo up; ip link add v0 type veth peer name v1 && ip link set v0 up && ip link set v1 up || echo lacks
      ip -6 addr add fd00:1::1/64 dev v0 nodad; ip -6 route add default via fd00:1::2; ip -6 route add prohibit fd00:2::/64
      ip route add unreachable default metric 100; ip route add blackhole 10.2.0.0/16; ip route add 10.3.0.0/16 dev v0 metric 4294967295
      echo ready; exec cat`;
    await using foreign = new Running('unshare', ['--net', 'sh', '-c', script]);
    await foreign.says(/ready/);
    context.skip(foreign.stdout.includes('lacks'), 'kernel lacks veth');
    const told = tabsAs(NOBODY, [foreign.pid])[foreign.pid]?.widths[100]?.network ?? '';
    if (process.env.SHOW) console.log(told);
    expect(told).toMatch(/\nAs far as \/proc tells: Out by v0\.\n/);
    const routes = /\nRoutes .*\n([\s\S]*?)\n\n/.exec(told)?.[1]?.split('\n').toSorted();
    expect(routes?.filter(route => !route.includes('fe80::'))).toEqual([
      '  10.2.0.0/16 blackhole or throw',
      '  10.3.0.0/16 by v0',
      '  default unreachable or prohibit',
      '  default via fd00:1::2 by v0',
      '  fd00:1::/64 by v0',
      '  fd00:2::/64 blackhole, unreachable or prohibit',
    ]);
    foreign.release();
    await foreign.ended;
  });

  it('reads what the namespaces that it made have, where it enters them by the user namespace that it made', async () => {
    const script = 'hostname inside; exec sh -c "echo ready; exec cat"';
    await using own = new Running(NOBODY[0] ?? '', [...NOBODY.slice(1), 'unshare', '-UrunC', '--', 'sh', '-c', script]);
    await own.says(/ready/);
    const asked = [...NOBODY, NSVIEW, 'snapshot', '--json', '-p', String(own.pid)];
    const snapshot = JSON.parse(execFileSync(asked[0] ?? '', asked.slice(1), {cwd: '/', maxBuffer: 1 << 26}).toString());
    expect(snapshot.details.namespaces).toContainEqual(expect.objectContaining({hostname: 'inside'}));
    expect(snapshot.networks).toMatchObject([{interfaces: [{name: 'lo', up: false}]}]);
    const tabs = tabsAs(NOBODY, [own.pid])[own.pid];
    // At the root of the hierarchy it is in the same place, inside and outside.
    const isElsewhere = /:\/./.test(readFileSync('/proc/self/cgroup', 'utf8'));
    expect(tabs?.widths[60]?.cgroup).toMatch(isElsewhere ? /inside/ : /v2 {2}\//);
    own.release();
    await own.ended;
  });

  it('has a screen of the whole machine, every tab of it, and a snapshot as text', async () => {
    // Niced: what is taken of the processor can be less than that, and never more.
    await using screen = new Screen(MIDDLE, NOBODY[0] ?? '', [...NOBODY.slice(1), 'nice', '-n', '10', NSVIEW]);
    await screen.until(/Isolation/);
    for (const [key, shows] of [
      ['1', /1 Namespaces/],
      ['2', /2 Mounts/],
      ['3', /3 Cgroup/],
      ['4', /4 Identity/],
      ['5', /5 Network/],
      ['6', /6 Sharing/],
    ] as const) {
      screen.send(key);
      await screen.until(shows);
      for (const way of ['j', 'j', 'G', 'g']) screen.send(way);
    }
    screen.send('q');
    expect(await screen.ended).toBe(0);
    await using text = new Running(NOBODY[0] ?? '', [...NOBODY.slice(1), NSVIEW, 'snapshot']);
    const {code, stdout, stderr} = await text.ended;
    expect({code, stderr}).toEqual({code: 0, stderr: ''});
    expect(stdout).toContain('namespaces not shown: readlink: EACCES');
  });
});
