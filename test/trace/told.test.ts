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
