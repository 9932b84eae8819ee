import {describe, expect, it} from 'vitest';
import {isRefusal, type ProcessSeen, type Seen, type Snapshot} from '../../src/model/fact.ts';
import {readNamespaceFds} from '../../src/probe/holders.ts';
import {readNumbers} from '../../src/probe/proc-file.ts';
import {readProcess} from '../../src/probe/process.ts';
import {readAll} from '../../src/probe/processes.ts';
import {leaveNothingBehind} from '../support/leaks.ts';
import {Running, start, temporaryFolder} from '../support/nsview.ts';
import {fixture, NSVIEW} from '../support/paths.ts';
import {maker, needsRoot} from '../support/user.ts';

leaveNothingBehind();

/** Without what differs between any two readings: whether it runs just now. */
const steady = (seen: ProcessSeen): unknown => ({...seen, state: /[RSDI]/.test(seen.state) ? 'S' : seen.state});

const isSteady = (one: Seen<ProcessSeen> | undefined, other: ProcessSeen): boolean =>
  one !== undefined && !isRefusal(one) && JSON.stringify(steady(one)) === JSON.stringify(steady(other));

describe('all processes at once', () => {
  it('are what each is by itself: sleeping, stopped, dead, with threads, in namespaces of their own, of long arguments and none', async () => {
    await using plain = new Running('sh', ['-c', 'echo plain; cat; :', '—', 'ä\n', '']);
    await using apart = new Running('unshare', ['-Uimnpur', '--fork', 'sh', '-c', 'echo inside; cat']);
    await using threads = start(...maker(fixture('thread-unshares-net')));
    await using long = new Running('sh', ['-c', 'echo long; cat', 'x'.repeat(100_000)]);
    await using many = new Running('sh', ['-c', 'echo many; cat', ...Array.from({length: 3000}, (_, index) => String(index))]);
    await using zombie = start(fixture('leaves-zombie'));
    await using holder = new Running('bash', ['-c', 'exec 9</proc/self/ns/net 8<>/dev/null; echo held; exec cat']);
    await plain.says(/plain/);
    await apart.says(/inside/);
    await long.says(/long/);
    await many.says(/many/);
    await holder.says(/held/);
    await threads.says(/\w/);
    const gone = Number((await zombie.says(/(\d+)/))[1]);
    const pids = readNumbers('/proc');
    if (isRefusal(pids)) throw new Error(pids.errno);
    const own = [plain, apart, threads, long, many, zombie, holder].map(({pid}) => pid);
    const singly = () => new Map(pids.map(pid => [pid, readProcess(pid, {credentials: true})] as const));
    const before = singly();
    const all = readAll(pids, true);
    expect(all.map(({seen}) => seen.pid)).toEqual(all.map(({seen}) => seen.pid).sort((a, b) => a - b));
    const byPid = new Map(all.map(one => [one.seen.pid, one]));
    for (const pid of [...own, 1, gone]) {
      const one = byPid.get(pid);
      const single = readProcess(pid, {credentials: true});
      if (one === undefined || isRefusal(single))
        throw new Error(
          `${pid}, number ${own.indexOf(pid)}, is not there: ${one === undefined ? 'not read' : 'read'}, ${JSON.stringify(single)}`,
        );
      expect(steady(one.seen)).toEqual(steady(single));
      if (one.fds !== null) expect(one.fds).toEqual(readNamespaceFds(pid));
    }
    expect(byPid.get(gone)?.seen.state).toBe('Z');
    expect(byPid.get(holder.pid)?.fds?.map(({by, number, type}) => ({by, number, type}))).toContainEqual({
      by: 'fd',
      number: 9,
      type: 'net',
    });
    // Of all else, whatever it is, that was the same before and after: a kernel thread may change its name meanwhile.
    let compared = 0;
    for (const [pid, seen] of singly()) {
      if (isRefusal(seen) || !isSteady(before.get(pid), seen)) continue;
      const one = byPid.get(pid)?.seen;
      expect(one === undefined ? null : steady(one)).toEqual(steady(seen));
      compared++;
    }
    expect(compared).toBeGreaterThan(own.length);
    for (const one of [threads, zombie]) one.release();
  });

  it('with threads are what each is by itself, whatever a thread has otherwise', async () => {
    needsRoot('be another user and group in one thread');
    using folder = temporaryFolder();
    await using user = start(fixture('thread-differs'), '', 'user');
    await using capabilities = start(fixture('thread-differs'), '', 'kill');
    await using effective = start(fixture('thread-differs'), '', 'effective');
    await using apart = start(fixture('thread-apart'), folder.path);
    await using files = start(fixture('thread-keeps'));
    await using network = start(...maker(fixture('thread-unshares-net')));
    await using children = start(fixture('thread-parts-children'));
    await using alike = start(fixture('threads-alike'));
    const differing = [user, capabilities, effective, apart, files, network, children];
    for (const one of [...differing, alike]) await one.says(/\w/);
    const pids = [...differing, alike].map(({pid}) => pid).sort((one, other) => one - other);
    const byPid = new Map(readAll(pids, false).map(({seen}) => [seen.pid, seen]));
    for (const pid of pids) {
      const one = byPid.get(pid);
      const single = readProcess(pid, {credentials: true});
      if (one === undefined || isRefusal(single)) throw new Error(`${pid} is not there`);
      expect(steady(one)).toEqual(steady(single));
      const apartOnes = one.threads.filter(thread => thread.apart !== undefined || thread.namespaces !== undefined);
      expect({pid, apart: apartOnes.length}).toEqual({pid, apart: pid === alike.pid ? 0 : 1});
    }
    expect(byPid.get(alike.pid)?.threads.map(({comm}) => comm)).toEqual([...Array.from({length: 5}, () => 'threads-alike'), 'ä)\\n']);
    for (const one of [...differing, alike]) one.release();
  });

  it('are left out when they are gone, and more than a batch come in their order', () => {
    expect(readAll([], true)).toEqual([]);
    const many = Array.from({length: 1000}, (_, index) => (index % 3 === 0 ? process.pid : 4_194_304 + index));
    const all = readAll(many, false);
    expect(all.map(({seen}) => seen.pid)).toEqual(Array.from({length: 334}, () => process.pid));
    // Not only once.
    expect(readAll([process.pid], false)).toHaveLength(1);
  });

  it('say to an ordinary user which call the kernel refused', async () => {
    needsRoot('become another user');
    await using foreign = new Running('cat', []);
    const {stdout} = await new Running('setpriv', ['--reuid=65534', '--regid=65534', '--clear-groups', NSVIEW, 'snapshot', '--json']).ended;
    const snapshot: Snapshot = JSON.parse(stdout);
    const seen = snapshot.processes.find(({pid}) => pid === foreign.pid);
    const denied = {errno: 'EACCES', during: 'readlink'};
    expect(seen?.exe).toEqual(denied);
    expect(Object.values(seen?.namespaces ?? {})).toEqual(Array.from({length: 10}, () => denied));
    expect(seen?.argv).toEqual(['cat']);
    expect(seen?.uids).toEqual([0, 0, 0, 0]);
  });
});
