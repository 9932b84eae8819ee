import fc from 'fast-check';
import {describe, expect, it} from 'vitest';
import {parseCommandLine} from '../../src/model/command-line.ts';
import {PLAIN_LAUNCH} from '../../src/model/launch-plan.ts';

const launch = (options: object, argv: readonly string[] = ['ls']) => ({
  kind: 'launch',
  argv,
  options: {...PLAIN_LAUNCH, ...options},
  plan: false,
  follow: 'auto',
});
const trace = {kind: 'trace', plan: false, json: false, output: null, follow: 'auto'};

describe('what nsview is asked', () => {
  it.each([
    ['', {kind: 'watch', follow: 'auto'}],
    ['--follow ptrace', {kind: 'watch', follow: 'ptrace'}],
    ['--abi all -p 12', {kind: 'attach', pid: 12, follow: 'auto', everyAbi: true}],
    ['-p 12', {kind: 'attach', pid: 12, follow: 'auto'}],
    ['--pid=12', {kind: 'attach', pid: 12, follow: 'auto'}],
    ['-- /bin/bash -lc x', launch({}, ['/bin/bash', '-lc', 'x'])],
    ['-- snapshot --json', launch({}, ['snapshot', '--json'])],
    ['-- sh -- -p', launch({}, ['sh', '--', '-p'])],
    ['--new user,mnt --new pid,user -- ls', launch({namespaces: ['user', 'mnt', 'pid']})],
    ['--new user --map-root -- ls', launch({namespaces: ['user'], maps: 'root'})],
    [
      '--new user --map 1000:0:1 --map 100000:1:65535 -- ls',
      launch({
        namespaces: ['user'],
        maps: [
          {outer: 1000, inner: 0, count: 1},
          {outer: 100000, inner: 1, count: 65535},
        ],
      }),
    ],
    ['--cgroup a/b --kill-on-exit -- ls', launch({cgroup: 'a/b', killOnExit: true})],
    ['--new uts --hostname box -- ls', launch({namespaces: ['uts'], hostname: 'box'})],
    ['--new mnt --private-mounts -- ls', launch({namespaces: ['mnt'], privateMounts: true})],
    ['--new=pid,mnt --mount-proc -- ls', launch({namespaces: ['pid', 'mnt'], mountProc: true})],
    ['--plan -- ls', {...launch({}), plan: true}],
    ['trace --plan --new net -- ls', {...trace, target: {argv: ['ls'], options: {...PLAIN_LAUNCH, namespaces: ['net']}}, plan: true}],
    ['-- ls --new user', launch({}, ['ls', '--new', 'user'])],
    ['snapshot', {kind: 'snapshot', pid: null, json: false}],
    ['snapshot -p 1 --json', {kind: 'snapshot', pid: 1, json: true}],
    ['trace -p 7', {...trace, target: {pid: 7}}],
    ['trace --json -o - -- ls -l', {...trace, target: {argv: ['ls', '-l'], options: PLAIN_LAUNCH}, json: true, output: '-'}],
    ['trace --follow bpf -p 7', {...trace, target: {pid: 7}, follow: 'bpf'}],
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
    ['--new user', '--new goes with a program to launch: nsview --new user,mnt -- CMD'],
    ['--kill-on-exit -p 7', 'nsview --kill-on-exit -- CMD'],
    ['snapshot --plan', '--plan goes with a program'],
    ['--new users -- ls', 'there are user, mnt, pid, net, uts, ipc, cgroup, time'],
    ['--new user, -- ls', '--new ""'],
    ['--map-root -- ls', '--map-root needs user in --new: --new user'],
    ['--new mnt --map 0:0:1 -- ls', '--map needs user in --new: --new mnt,user'],
    ['--new mnt --hostname box -- ls', '--hostname needs uts in --new: --new mnt,uts'],
    ['--private-mounts -- ls', '--private-mounts needs mnt in --new: --new mnt'],
    ['--new mnt --mount-proc -- ls', '--mount-proc needs mnt and pid in --new: --new mnt,pid'],
    ['--new user --map-root --map 0:0:1 -- ls', 'exclude each other'],
    ['--new user --map 0:0 -- ls', 'OUTER:INNER:COUNT'],
    ['--new user --map 0:0:0 -- ls', 'OUTER:INNER:COUNT'],
    ['--new user --map 4294967295:0:1 -- ls', 'no id is above 4294967294'],
    ['--new user --map 1:4294967290:6 -- ls', 'no id is above 4294967294'],
    ['--new user --map 0:0:10 --map 9:100:1 -- ls', '--map 9:100:1 and --map 0:0:10 overlap'],
    ['--new user --map 0:0:10 --map 100:9:1 -- ls', 'overlap'],
    [`--new uts --hostname ${'x'.repeat(65)} -- ls`, '1 to 64 bytes'],
    ['--new uts --hostname= -- ls', '1 to 64 bytes'],
    ['--cgroup= -- ls', '--cgroup needs the path'],
    ['trace --json --plan -- ls', '--plan prints text'],
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
