import {constants} from 'node:os';
import {describe, expect, it} from 'vitest';
import {createWorld, observe} from '../../src/model/world.ts';
import {leaveNothingBehind} from '../support/leaks.ts';
import {LAUNCHED_HOWS, traceProgramBy} from '../support/nsview.ts';
import {fixture} from '../support/paths.ts';
import {needsRoot} from '../support/user.ts';

leaveNothingBehind();

/** linux/securebits.h */
const BITS: {readonly [name: string]: number} = {SECBIT_NOROOT: 1, SECBIT_NO_SETUID_FIXUP: 4, SECBIT_KEEP_CAPS: 16};

describe.each(LAUNCHED_HOWS)('what only calls tell, by %s', how => {
  it('the signal that tells of an end is SIGCHLD after an execve, and of an orphan', async () => {
    const {facts, header, stdout, code} = await traceProgramBy(how)(fixture('loses-exit-signal'));
    expect(code).toBe(0);
    const said = [...stdout.matchAll(/^(\d+) (\w+) (\d+)$/gm)].map(([, pid, when, signal]) => ({
      pid: Number(pid),
      when,
      signal: Number(signal),
    }));
    expect(said.map(({when, signal}) => [when, signal])).toEqual([
      ['born', constants.signals.SIGUSR1],
      ['executed', constants.signals.SIGCHLD],
      ['born', constants.signals.SIGUSR1],
      ['orphaned', constants.signals.SIGCHLD],
    ]);
    const world = createWorld(header);
    const told = new Map<number, (string | null | undefined)[]>();
    for (const fact of facts) {
      observe(world, fact);
      if (fact.kind === 'clone' || fact.kind === 'exec' || fact.kind === 'change') {
        const pid = fact.kind === 'clone' ? fact.child : fact.pid;
        told.set(pid, [...(told.get(pid) ?? []), world.byPid.get(pid)?.born?.exitSignal]);
      }
    }
    for (const {pid} of said) expect([...new Set(told.get(pid))]).toEqual(['SIGUSR1', 'SIGCHLD']);
  });

  it('securebits and subreaper, as each process reads them itself at its end', async () => {
    needsRoot('set securebits');
    const {facts, header, stdout, code} = await traceProgramBy(how)(fixture('tells-bits'));
    expect(code).toBe(0);
    const world = createWorld(header);
    for (const fact of facts) observe(world, fact);
    const lines = [...stdout.matchAll(/^(\w+) pid (\d+) bits (\d+) subreaper (\d)$/gm)];
    expect(lines.map(([, who]) => who)).toEqual(['forked', 'apart', 'executed', 'keeps', 'executed', 'like', 'unlike', 'first']);
    const known = lines.map(([, who, pid]) => {
      const told = world.byPid.get(Number(pid))?.told;
      return {who, bits: told?.securebits?.reduce((sum, bit) => sum + (BITS[bit] ?? Number.NaN), 0), subreaper: told?.subreaper};
    });
    expect(known).toEqual(
      lines.map(([, who, , bits, subreaper]) => ({
        who,
        // A thread's own are not followed: of a child of one that may have others than its leader they are not known.
        bits: who === 'unlike' ? undefined : Number(bits),
        subreaper: subreaper === '1',
      })),
    );
  });
});
