import fc from 'fast-check';
import {describe, expect, it} from 'vitest';
import {isRefusal} from '../../src/model/fact.ts';
import {cgroupDirectory, decodeFlatKeyed, decodeProcs} from '../../src/probe/cgroup.ts';
import {decodeClockTicks} from '../../src/probe/host.ts';
import {decodeMountinfo, decodeOctal} from '../../src/probe/mountinfo.ts';
import {decodeCgroup, decodeCmdline, decodeNamespaceLink, decodeStat, decodeStatus} from '../../src/probe/process.ts';
import {decodeTape} from '../../src/probe/tape-reader.ts';

const STAT = (comm: string) =>
  `4130 (${comm}) S 955 4130 955 0 -1 4194560 100 0 0 0 1 2 3 4 20 0 3 0 5004 8000000 200 18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 1 0 0`;

describe('stat', () => {
  it.each(['bash', 'a b', ') S 1 (', '(((', '))', '\n) R 9', ''])('of %j', comm => {
    expect(decodeStat(STAT(comm))).toEqual({pid: 4130, comm, state: 'S', ppid: 955, flags: 4194560, threads: 3, start: '5004'});
  });
  it('that is none is a refusal', () => {
    expect(decodeStat('')).toEqual({errno: 'EBADMSG', during: 'decode stat'});
    expect(isRefusal(decodeStat('1 (x'))).toBe(true);
  });
});

describe('status', () => {
  it('gives ids, inner pids and capabilities', () => {
    const text =
      'Name:\tx\\nUid:\t9\nTgid:\t12\nTracerPid:\t7\nUid:\t1000\t1001\t1002\t1003\nGid:\t1\t2\t3\t4\nNSpid:\t12\t1\nCapEff:\t000001ffffffffff\n';
    expect(decodeStatus(text)).toEqual({
      tgid: 12,
      tracerPid: 7,
      uids: [1000, 1001, 1002, 1003],
      gids: [1, 2, 3, 4],
      nspid: [12, 1],
      capabilities: '000001ffffffffff',
    });
  });
  it('without its lines gives refusals in their place', () => {
    expect(decodeStatus('').uids).toEqual({errno: 'EBADMSG', during: 'decode status'});
    expect(isRefusal(decodeStatus('').nspid)).toBe(true);
  });
});

describe('cgroup', () => {
  it('reads v1, named, v2, and paths with colons', () => {
    expect(decodeCgroup('9:name=systemd:/\n3:cpu,cpuacct:/a:b\n0::/user.slice/x\n')).toEqual([
      {hierarchy: 9, controllers: ['name=systemd'], path: '/'},
      {hierarchy: 3, controllers: ['cpu', 'cpuacct'], path: '/a:b'},
      {hierarchy: 0, controllers: [], path: '/user.slice/x'},
    ]);
  });
  it('finds directories in v1, v2 and hybrid mounts, and says when a path lies outside', () => {
    const mounts = decodeMountinfo(
      '31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n41 31 0:38 /base /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n',
    );
    expect(cgroupDirectory({hierarchy: 3, controllers: ['cpu'], path: '/'}, mounts)).toBe('/sys/fs/cgroup/cpu');
    expect(cgroupDirectory({hierarchy: 3, controllers: ['cpu', 'cpuacct'], path: '/a'}, mounts)).toBe('/sys/fs/cgroup/cpu/a');
    expect(cgroupDirectory({hierarchy: 0, controllers: [], path: '/base/b'}, mounts)).toBe('/sys/fs/cgroup/unified/b');
    expect(cgroupDirectory({hierarchy: 0, controllers: [], path: '/base'}, mounts)).toBe('/sys/fs/cgroup/unified');
    expect(isRefusal(cgroupDirectory({hierarchy: 0, controllers: [], path: '/other'}, mounts))).toBe(true);
    expect(isRefusal(cgroupDirectory({hierarchy: 0, controllers: [], path: '/../x'}, mounts))).toBe(true);
    expect(isRefusal(cgroupDirectory({hierarchy: 5, controllers: ['memory'], path: '/'}, mounts))).toBe(true);
  });
  it('reads members and events', () => {
    expect(decodeProcs('1\n22\n0\n')).toEqual([1, 22, 0]);
    expect(decodeFlatKeyed('populated 1\nfrozen 0\nnonsense\n')).toEqual({populated: 1, frozen: 0});
  });
});

describe('mountinfo', () => {
  it('reads every field, octal escapes, and all propagation', () => {
    expect(
      decodeMountinfo(
        '36 35 98:0 /mnt1 /mnt\\0402\\134x rw,noatime shared:1 master:2 propagate_from:3 unbindable - ext3 /dev/a\\040b rw,errors=continue\nnonsense\n',
      ),
    ).toEqual([
      {
        id: 36,
        parent: 35,
        device: '98:0',
        root: '/mnt1',
        point: '/mnt 2\\x',
        options: ['rw', 'noatime'],
        propagation: {shared: 1, master: 2, propagateFrom: 3, unbindable: true},
        fsType: 'ext3',
        source: '/dev/a b',
        superOptions: ['rw', 'errors=continue'],
      },
    ]);
  });
  it('keeps a backslash that is no escape', () => {
    expect(decodeOctal('a\\9\\12\\0120')).toBe('a\\9\\12\n0');
  });
});

describe('any bytes', () => {
  const text = fc.oneof(
    fc.string({unit: 'binary', maxLength: 300}),
    fc.uint8Array({maxLength: 300}).map(bytes => Buffer.from(bytes).toString()),
  );
  it.each<[string, (text: string) => unknown]>([
    ['stat', decodeStat],
    ['status', decodeStatus],
    ['cgroup', decodeCgroup],
    ['cmdline', decodeCmdline],
    ['ns link', decodeNamespaceLink],
    ['mountinfo', decodeMountinfo],
    ['cgroup.procs', decodeProcs],
    ['cgroup.events', decodeFlatKeyed],
    ['tape', input => decodeTape(input, 'x')],
    ['auxv', input => decodeClockTicks(Buffer.from(input))],
  ])('do not make the decoder of %s throw', (_, decode) => {
    fc.assert(fc.property(text, input => decode(input) !== undefined));
  });
});

describe('a tape', () => {
  const HEADER =
    '{"format":"nsview/tape","version":1,"nsview":"0","at":"1","realtime":"2","host":{"hostname":"h","kernel":"6","machine":"x86_64","clockTicks":100,"euid":0,"capabilities":"0","cgroups":"v2","namespaces":{"user":"1","mnt":"2","pid":"3","pid_for_children":"3","net":"4","uts":"5","ipc":"6","cgroup":"7","time":"8","time_for_children":"8"}},"target":{"pid":1}}';
  const EXIT = '{"kind":"exit","at":"5","pid":1,"code":0}';
  it.each([
    ['', 'x line 1: it is empty'],
    ['hello\n', 'x line 1: this is not a tape: not JSON'],
    ['{"format":"nsview/snapshot"}\n', 'x line 1: this is a snapshot'],
    ['{"format":"nsview/tape","version":2}\n', 'x line 1: it is a tape of version 2'],
    ['{"format":"nsview/tape","version":1}\n', 'x line 1: '],
    [HEADER.slice(0, 50), 'x line 1: it is cut off in the header'],
    [`${HEADER}\n${EXIT}\n{"kind":"ex`, 'x line 3: it is cut off here'],
    [`${HEADER}\nnull\n`, 'x line 2: no fact'],
    [`${HEADER}\n${EXIT}\n{"kind":"exit","at":"5","pid":1}\n`, 'x line 3: an exit has a code or a signal'],
    [`${HEADER}\n{"kind":"exit","at":5,"pid":1,"code":0}\n`, 'x line 2: at: '],
  ])('%#: its problem names the line', (text, problem) => {
    expect(decodeTape(text, 'x').problem).toContain(problem);
  });
  it('that was cut off gives what came before', () => {
    expect(decodeTape(`${HEADER}\n${EXIT}\n{"ki`, 'x').facts).toEqual([JSON.parse(EXIT)]);
  });
  it('of a later nsview is read, and kinds that are unknown are passed over', () => {
    const tape = decodeTape(`${HEADER}\n{"kind":"telepathy","at":"3"}\n${EXIT}\n`, 'x');
    expect(tape).toMatchObject({problem: null, facts: [JSON.parse(EXIT)]});
  });
});
