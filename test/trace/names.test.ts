import {describe, expect, it} from 'vitest';
import {createWorld, observe} from '../../src/model/world.ts';
import {leaveNothingBehind} from '../support/leaks.ts';
import {LAUNCHED_HOWS, traceProgramBy} from '../support/nsview.ts';
import {fixture} from '../support/paths.ts';
import {needsRoot} from '../support/user.ts';

leaveNothingBehind();

describe.each(LAUNCHED_HOWS)('the name of a namespace, by %s', how => {
  it('is the same where setns comes back to it, and another where another one has its number', async context => {
    needsRoot('make namespaces without a user namespace');
    const {facts, header, stdout, code} = await traceProgramBy(how)(fixture('comes-back'));
    expect(code).toBe(0);
    const world = createWorld(header);
    const moved = facts
      .flatMap(fact => observe(world, fact))
      .flatMap(({what}) => (what.kind === 'call' ? what.moves.map(move => ({...move, call: what})) : []));
    const names = (type: string) => moved.filter(({to}) => to?.type === type).map(({to, isNew}) => [to?.name, isNew]);
    expect(names('uts')).toEqual([
      ['uts:b', true],
      ['uts:a', false],
      ['uts:b', false],
      ['uts:a', false],
      ['uts:b', false],
      ['uts:c', true],
      ['uts:b', false],
      ['uts:c', false],
      ['uts:b', false],
      ['uts:c', false],
    ]);
    // By the inodes that the program saw, they are what they are called.
    const inodes = [...stdout.matchAll(/^(?:made|entered) \d+ uts:\[(\d+)\]$/gm)].map(([, inode]) => inode);
    expect(moved.filter(({to}) => to?.type === 'uts').map(({to}) => to?.inode)).toEqual(inodes);
    for (const {call, to} of moved) if (call.entered !== null) expect(call.entered).toBe(to);
    if (!stdout.includes('again 1')) context.skip('needs a network namespace that gets the number of the first, which is by chance');
    const networks = names('net');
    expect(networks.length).toBeGreaterThan(1);
    expect(new Set(networks.map(([name]) => name)).size).toBe(networks.length);
  });
});
