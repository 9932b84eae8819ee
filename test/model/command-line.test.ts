import fc from 'fast-check';
import {describe, expect, it} from 'vitest';
import {parseCommandLine} from '../../src/model/command-line.ts';

describe('what nsview is asked', () => {
  it.each([
    ['', {kind: 'watch', follow: 'auto'}],
    ['--follow ptrace', {kind: 'watch', follow: 'ptrace'}],
    ['--abi all -p 12', {kind: 'attach', pid: 12, follow: 'auto', everyAbi: true}],
    ['-p 12', {kind: 'attach', pid: 12, follow: 'auto'}],
    ['--pid=12', {kind: 'attach', pid: 12, follow: 'auto'}],
    ['-- /bin/bash -lc x', {kind: 'launch', argv: ['/bin/bash', '-lc', 'x'], follow: 'auto'}],
    ['-- snapshot --json', {kind: 'launch', argv: ['snapshot', '--json'], follow: 'auto'}],
    ['-- sh -- -p', {kind: 'launch', argv: ['sh', '--', '-p'], follow: 'auto'}],
    ['snapshot', {kind: 'snapshot', pid: null, json: false}],
    ['snapshot -p 1 --json', {kind: 'snapshot', pid: 1, json: true}],
    ['trace -p 7', {kind: 'trace', target: {pid: 7}, json: false, output: null, follow: 'auto'}],
    ['trace --json -o - -- ls -l', {kind: 'trace', target: {argv: ['ls', '-l']}, json: true, output: '-', follow: 'auto'}],
    ['trace --follow bpf -p 7', {kind: 'trace', target: {pid: 7}, json: false, output: null, follow: 'bpf'}],
    ['replay tape', {kind: 'replay', file: 'tape', json: false}],
    ['replay -', {kind: 'replay', file: '-', json: false}],
    ['doctor', {kind: 'doctor', json: false}],
    ['schema tape', {kind: 'schema', which: 'tape'}],
    ['snapshot --help', {kind: 'help'}],
    ['-V', {kind: 'version'}],
  ])('nsview %s', (line, expected) => {
    expect(parseCommandLine(line.split(' ').filter(word => word !== ''))).toEqual(expected);
  });

  it.each([
    ['-p x', 'a pid is a whole number'],
    ['-p 0', 'a pid is a whole number'],
    ['-p 99999999', 'a pid is a whole number'],
    ['-p', 'argument missing'],
    ['--', 'nothing follows --'],
    ['-p 1 -- ls', 'exclude each other'],
    ['trace', 'trace needs a target'],
    ['trace ls', 'nsview trace -- ls'],
    ['1234', 'nsview -p 1234'],
    ['bash', 'nsview -- bash'],
    ['--frobnicate', 'nsview --help'],
    ['replay', 'replay needs a tape'],
    ['-o x', '-o goes with trace only'],
    ['snapshot -- ls', 'takes no program'],
    ['schema x', 'there is no schema'],
    ['--follow fast', 'there are bpf, ptrace and auto'],
    ['snapshot --follow bpf', 'not snapshot'],
    ['--abi i386', 'there are native and all'],
    ['snapshot --abi all', '--abi goes with'],
    ['doctor now', 'one word too many'],
  ])('nsview %s is a usage error that says what to do', (line, words) => {
    const parsed = parseCommandLine(line.split(' '));
    expect(parsed).toMatchObject({kind: 'usage'});
    expect(parsed.kind === 'usage' ? parsed.message : '').toContain(words);
  });

  it('answers any words with one line at the most, and none of their control characters', () => {
    fc.assert(
      fc.property(fc.array(fc.string({unit: 'binary', maxLength: 12})), words => {
        const parsed = parseCommandLine(words);
        if (parsed.kind === 'usage') expect(parsed.message).toMatch(/^[^\x00-\x1f\x7f-\x9f\u202e]*$/);
      }),
    );
  });
});
