import {describe, expect, it} from 'vitest';
import {leaveNothingBehind} from '../support/leaks.ts';
import {ofKind, traceProgramBy} from '../support/nsview.ts';
import {fixture} from '../support/paths.ts';

leaveNothingBehind();

const traceByBpf = traceProgramBy('bpf');
const OF_EVERY_ABI = 'of every ABI';
/** Events take over from 340,000 a second on (native/follow_abi.h); while they are counted, and on a machine that does other things as well. */
const isTooSlow = (stdout: string): boolean => Number(/^(\d+) calls a second$/m.exec(stdout)?.[1] ?? 0) < 400_000;
const TOO_SLOW = 'this machine makes too few system calls a second for events to take over';

describe('which isolation calls BPF sees', () => {
  it('a 32-bit program’s are named, and not decoded', async context => {
    const {code, facts} = await traceByBpf(fixture('executes-32-bit'));
    if (code === 77) context.skip('this kernel runs no 32-bit programs');
    expect(code).toBe(7);
    const [call] = ofKind(facts, 'call');
    expect(call).toMatchObject({name: 'unshare', abi: '32-bit', args: null, result: 0});
    expect(Object.keys(call?.changed ?? {})).toEqual(['uts']);
  });

  it('none of its own ABI is missed when the machine makes so many calls that events take over, and it says so', async context => {
    const {code, facts, stdout} = await traceByBpf(fixture('calls-in-a-rush'));
    expect(code).toBe(0);
    context.skip(isTooSlow(stdout), TOO_SLOW);
    expect(ofKind(facts, 'lost')).toEqual([]);
    const sees = ofKind(facts, 'tracer').map(fact => fact.sees.includes(OF_EVERY_ABI));
    expect(sees).toEqual([true, false]);
    const calls = ofKind(facts, 'call').filter(call => call.name === 'unshare');
    expect(calls.length).toBe(2000);
    expect(calls.every(call => call.result === 0)).toBe(true);
    // Each from where the one before led.
    for (const [i, call] of calls.entries()) if (i > 0) expect(call.changed.uts?.from).toEqual(calls[i - 1]?.changed.uts?.to);
  });

  it('a 32-bit program that begins after that is seen again, and it says from when on', async context => {
    const {code, facts, stdout} = await traceByBpf(fixture('calls-in-a-rush'), fixture('executes-32-bit'));
    if (code === 77) context.skip('this kernel runs no 32-bit programs');
    context.skip(isTooSlow(stdout), TOO_SLOW);
    expect(code).toBe(7);
    expect(ofKind(facts, 'tracer').map(fact => fact.sees.includes(OF_EVERY_ABI))).toEqual([true, false, true]);
    // Its first call may have come before; then what it did is told without it.
    const last = facts.findLast(fact => (fact.kind === 'call' || fact.kind === 'namespaces') && fact.changed.uts !== undefined);
    expect(last).toMatchObject(last?.kind === 'call' ? {abi: '32-bit', name: 'unshare'} : {kind: 'namespaces'});
  });
});
