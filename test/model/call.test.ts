import {execFileSync, spawnSync} from 'node:child_process';
import {readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import fc from 'fast-check';
import {describe, expect, it, test} from 'vitest';
import {byteText} from '../../src/model/byte-text.ts';
import {CALL_NAMES, type CallName, decodeArguments, KERNEL_NAMES, pointerCount, type RawCall} from '../../src/model/call.ts';
import {argumentTexts, callText} from '../../src/model/call-text.ts';
import type {CallArgument, CallArguments, CallResult, Refusal} from '../../src/model/fact.ts';
import {lineText} from '../../src/model/line.ts';
import {cells, printable} from '../../src/model/printable.ts';
import {eventLine} from '../../src/model/timeline.ts';
import {temporaryFolder} from '../support/nsview.ts';
import {ROOT} from '../support/paths.ts';

const text = (string: string): Uint8Array => Buffer.from(`${string}\0`);
const words = (...values: readonly number[]): Uint8Array => new Uint8Array(Uint32Array.from(values).buffer);
const longs = (...values: readonly (number | bigint)[]): Uint8Array => new Uint8Array(BigUint64Array.from(values, BigInt).buffer);
const EFAULT: Refusal = {errno: 'EFAULT', during: 'read memory'};
const ADDRESS = 0x7ffc0000n;

type Pointer = RawCall['pointers'][number];

function raw(
  name: CallName,
  registers: readonly (number | bigint)[],
  pointers: readonly Pointer[] = [],
  more: Partial<RawCall> = {},
): RawCall {
  return {name, registers: registers.map(one => BigInt.asUintN(64, BigInt(one))), pointers, fd: null, result: 0, ...more};
}

const args = (...given: Parameters<typeof raw>): CallArguments => decodeArguments(raw(...given)).args;

describe('the arguments of', () => {
  test.each<[string, Parameters<typeof raw>, CallArguments]>([
    ['unshare', ['unshare', [0x10020000]], {flags: ['CLONE_NEWNS', 'CLONE_NEWUSER']}],
    ['unshare, of an unknown flag', ['unshare', [0x10000001]], {flags: ['CLONE_NEWUSER', '0x1']}],
    ['setns, of an unknown fd', ['setns', [-1, 0]], {fd: -1, nstype: []}],
    [
      'setns, of a namespace',
      ['setns', [3, 0x40000000], [], {fd: {namespace: {type: 'net', inode: '4026531840'}}}],
      {fd: {fd: 3, namespace: {type: 'net', inode: '4026531840'}}, nstype: ['CLONE_NEWNET']},
    ],
    ['setns, of a pidfd', ['setns', [4, 0x20020000], [], {fd: {pid: 17}}], {fd: {fd: 4, pid: 17}, nstype: ['CLONE_NEWNS', 'CLONE_NEWPID']}],
    [
      'mount',
      ['mount', [ADDRESS, ADDRESS, 0, 0x44000, 0], [text('none'), text('/'), null, null]],
      {source: 'none', target: '/', filesystemtype: null, mountflags: ['MS_REC', 'MS_PRIVATE'], data: null},
    ],
    [
      'mount, with the magic number of before 2.4',
      ['mount', [0, 1, 0, 0xc0ed0001, 0], [null, EFAULT, null, null]],
      {source: null, target: {errno: 'EFAULT', during: 'read 0x1'}, filesystemtype: null, mountflags: ['MS_RDONLY'], data: null},
    ],
    ['umount2', ['umount2', [ADDRESS, 10], [text('/mnt')]], {target: '/mnt', flags: ['MNT_DETACH', 'UMOUNT_NOFOLLOW']}],
    [
      'move_mount',
      ['move_mount', [5, ADDRESS, -100, ADDRESS, 0x204], [text(''), text('/mnt')]],
      {from_dfd: 5, from_path: '', to_dfd: 'AT_FDCWD', to_path: '/mnt', flags: ['MOVE_MOUNT_F_EMPTY_PATH', 'MOVE_MOUNT_BENEATH']},
    ],
    [
      'open_tree',
      ['open_tree', [0xffffff9cn, ADDRESS, 0x89001], [text('/')]],
      {dfd: 'AT_FDCWD', path: '/', flags: ['OPEN_TREE_CLONE', 'OPEN_TREE_CLOEXEC', 'AT_EMPTY_PATH', 'AT_RECURSIVE']},
    ],
    ['fsopen', ['fsopen', [ADDRESS, 1], [text('tmpfs')]], {fsname: 'tmpfs', flags: ['FSOPEN_CLOEXEC']}],
    [
      'fsconfig, of a string',
      ['fsconfig', [3, 1, ADDRESS, ADDRESS, 0], [text('size'), text('0x1000')]],
      {fd: 3, cmd: 'FSCONFIG_SET_STRING', key: 'size', value: '0x1000', aux: 0},
    ],
    [
      'fsconfig, of a blob, which is no string',
      ['fsconfig', [3, 2, ADDRESS, ADDRESS, 9], [text('blob'), EFAULT]],
      {fd: 3, cmd: 'FSCONFIG_SET_BINARY', key: 'blob', value: {address: '0x7ffc0000'}, aux: 9},
    ],
    [
      'fsconfig, of a path below a folder',
      ['fsconfig', [3, 3, ADDRESS, ADDRESS, -100], [text('upperdir'), text('/up')]],
      {fd: 3, cmd: 'FSCONFIG_SET_PATH', key: 'upperdir', value: '/up', aux: 'AT_FDCWD'},
    ],
    ['fsconfig, unknown', ['fsconfig', [3, 77, 0, 0, -1], [null, null]], {fd: 3, cmd: 77, key: null, value: null, aux: -1}],
    [
      'fsmount',
      ['fsmount', [3, 1, 0x13]],
      {fd: 3, flags: ['FSMOUNT_CLOEXEC'], attr_flags: ['MOUNT_ATTR_RDONLY', 'MOUNT_ATTR_NOSUID', 'MOUNT_ATTR_NOATIME']},
    ],
    ['fsmount, of an access time that there is not', ['fsmount', [3, 0, 0x30]], {fd: 3, flags: [], attr_flags: ['0x30']}],
    [
      'fspick',
      ['fspick', [-100, ADDRESS, 15], [text('/')]],
      {dfd: 'AT_FDCWD', path: '/', flags: ['FSPICK_CLOEXEC', 'FSPICK_SYMLINK_NOFOLLOW', 'FSPICK_NO_AUTOMOUNT', 'FSPICK_EMPTY_PATH']},
    ],
    [
      'mount_setattr',
      ['mount_setattr', [-100, ADDRESS, 0x8000, ADDRESS, 32], [text('/'), longs(0x100001, 0x8, 1 << 18, 7)]],
      {
        dfd: 'AT_FDCWD',
        path: '/',
        flags: ['AT_RECURSIVE'],
        attr: {
          attr_set: ['MOUNT_ATTR_RDONLY', 'MOUNT_ATTR_IDMAP'],
          attr_clr: ['MOUNT_ATTR_NOEXEC'],
          propagation: ['MS_PRIVATE'],
          userns_fd: 7,
        },
        size: 32,
      },
    ],
    [
      'mount_setattr, of the access time, which is one number',
      ['mount_setattr', [3, ADDRESS, 0x1000, ADDRESS, 32], [text(''), longs(0x20, 0x70, 0, -1n)]],
      {
        dfd: 3,
        path: '',
        flags: ['AT_EMPTY_PATH'],
        attr: {attr_set: ['MOUNT_ATTR_STRICTATIME'], attr_clr: ['MOUNT_ATTR__ATIME'], propagation: [], userns_fd: '0xffffffffffffffff'},
        size: 32,
      },
    ],
    [
      'mount_setattr, back to relatime, in less than a whole structure',
      ['mount_setattr', [3, ADDRESS, 0, ADDRESS, 16], [text(''), longs(0, 0x70, 0xffff, 9)]],
      {
        dfd: 3,
        path: '',
        flags: [],
        attr: {attr_set: ['MOUNT_ATTR_RELATIME'], attr_clr: ['MOUNT_ATTR__ATIME'], propagation: [], userns_fd: 0},
        size: 16,
      },
    ],
    ['pivot_root', ['pivot_root', [ADDRESS, ADDRESS], [text('.'), text('old')]], {new_root: '.', put_old: 'old'}],
    ['chroot', ['chroot', [0], [null]], {path: null}],
    ['setuid', ['setuid', [65534]], {uid: 65534}],
    ['setresuid', ['setresuid', [0xffffffffn, 1000, -1]], {ruid: -1, euid: 1000, suid: -1}],
    ['setfsgid', ['setfsgid', [4294967294]], {fsgid: 4294967294}],
    ['setgroups', ['setgroups', [3, ADDRESS], [words(0, 27, 4294967295)]], {size: 3, list: [0, 27, 4294967295]}],
    ['setgroups, of a negative number', ['setgroups', [0xffffffffn, ADDRESS], [words(1, 2, 3)]], {size: -1, list: []}],
    [
      'capset',
      ['capset', [ADDRESS, ADDRESS], [words(0x20080522, 0), words(1, 3, 0, 1 << 8, 1 << 8, 0)]],
      {
        hdrp: {version: '_LINUX_CAPABILITY_VERSION_3', pid: 0},
        datap: {
          effective: ['CAP_CHOWN', 'CAP_CHECKPOINT_RESTORE'],
          permitted: ['CAP_CHOWN', 'CAP_DAC_OVERRIDE', 'CAP_CHECKPOINT_RESTORE'],
          inheritable: [],
        },
      },
    ],
    [
      'capset of version 1, which has no second half',
      ['capset', [ADDRESS, ADDRESS], [words(0x19980330, 5), words(1, 2, 4, 0xffffffff, 0xffffffff, 0xffffffff)]],
      {
        hdrp: {version: '_LINUX_CAPABILITY_VERSION_1', pid: 5},
        datap: {effective: ['CAP_CHOWN'], permitted: ['CAP_DAC_OVERRIDE'], inheritable: ['CAP_DAC_READ_SEARCH']},
      },
    ],
    [
      'capset, whose version the kernel has overwritten',
      ['capset', [ADDRESS, ADDRESS], [words(0x20080522, 0), words(1, 2, 3, 4, 5, 6)], {result: {errno: 'EINVAL'}}],
      {hdrp: {pid: 0}, datap: {address: '0x7ffc0000'}},
    ],
    [
      'landlock_add_rule, of a path at the end of its memory',
      ['landlock_add_rule', [3, 1, ADDRESS, 0], [words(4, 0, 7)]],
      {
        ruleset_fd: 3,
        rule_type: 'LANDLOCK_RULE_PATH_BENEATH',
        rule_attr: {allowed_access: ['LANDLOCK_ACCESS_FS_READ_FILE'], parent_fd: 7},
        flags: [],
      },
    ],
    [
      'landlock_add_rule, of a path of which only some is there',
      ['landlock_add_rule', [3, 1, ADDRESS, 0], [words(4)], {result: {errno: 'EFAULT'}}],
      {ruleset_fd: 3, rule_type: 'LANDLOCK_RULE_PATH_BENEATH', rule_attr: {errno: 'EFAULT', during: 'read 0x7ffc0000'}, flags: []},
    ],
    ['prctl, a signal', ['prctl', [1, 9]], {op: 'PR_SET_PDEATHSIG', sig: 'SIGKILL'}],
    ['prctl, a capability', ['prctl', [24, 21]], {op: 'PR_CAPBSET_DROP', cap: 'CAP_SYS_ADMIN'}],
    [
      'prctl, an ambient capability',
      ['prctl', [47, 2, 10]],
      {op: 'PR_CAP_AMBIENT', operation: 'PR_CAP_AMBIENT_RAISE', cap: 'CAP_NET_BIND_SERVICE'},
    ],
    [
      'prctl, securebits',
      ['prctl', [28, 0x803]],
      {op: 'PR_SET_SECUREBITS', flags: ['SECBIT_NOROOT', 'SECBIT_NOROOT_LOCKED', 'SECBIT_EXEC_DENY_INTERACTIVE_LOCKED']},
    ],
    ['prctl, who may trace', ['prctl', [0x59616d61, -1n]], {op: 'PR_SET_PTRACER', pid: 'PR_SET_PTRACER_ANY'}],
    ['prctl, a number that is too large', ['prctl', [38, 1n << 60n]], {op: 'PR_SET_NO_NEW_PRIVS', value: '0x1000000000000000'}],
    ['prctl, a filter', ['prctl', [22, 2, ADDRESS]], {op: 'PR_SET_SECCOMP', mode: 'SECCOMP_MODE_FILTER', filter: {address: '0x7ffc0000'}}],
    [
      'prctl, a mitigation',
      ['prctl', [53, 1, 8]],
      {op: 'PR_SET_SPECULATION_CTRL', misfeature: 'PR_SPEC_INDIRECT_BRANCH', val: ['PR_SPEC_FORCE_DISABLE']},
    ],
    [
      'prctl, of a core of its own',
      ['prctl', [62, 1, 0, 1]],
      {op: 'PR_SCHED_CORE', operation: 'PR_SCHED_CORE_CREATE', pid: 0, type: 'PR_SCHED_CORE_SCOPE_THREAD_GROUP'},
    ],
    ['prctl, unknown', ['prctl', [999, 1, 2]], {op: 999}],
    [
      'seccomp',
      ['seccomp', [1, 9, ADDRESS], [longs(12, ADDRESS)]],
      {operation: 'SECCOMP_SET_MODE_FILTER', flags: ['SECCOMP_FILTER_FLAG_TSYNC', 'SECCOMP_FILTER_FLAG_NEW_LISTENER'], args: {len: 12}},
    ],
    ['seccomp, strict', ['seccomp', [0, 0, 0], [null]], {operation: 'SECCOMP_SET_MODE_STRICT', flags: [], args: null}],
    [
      'landlock_create_ruleset',
      ['landlock_create_ruleset', [ADDRESS, 24, 0], [longs(0x8001, 3, 2)]],
      {
        attr: {
          handled_access_fs: ['LANDLOCK_ACCESS_FS_EXECUTE', 'LANDLOCK_ACCESS_FS_IOCTL_DEV'],
          handled_access_net: ['LANDLOCK_ACCESS_NET_BIND_TCP', 'LANDLOCK_ACCESS_NET_CONNECT_TCP'],
          scoped: ['LANDLOCK_SCOPE_SIGNAL'],
        },
        size: 24,
        flags: [],
      },
    ],
    [
      'landlock_create_ruleset, as its first version was',
      ['landlock_create_ruleset', [ADDRESS, 8, 0], [longs(0x2000)]],
      {attr: {handled_access_fs: ['LANDLOCK_ACCESS_FS_REFER']}, size: 8, flags: []},
    ],
    [
      'landlock_add_rule, of a path',
      ['landlock_add_rule', [3, 1, ADDRESS, 0], [words(4, 0, 7, 0xdead)]],
      {
        ruleset_fd: 3,
        rule_type: 'LANDLOCK_RULE_PATH_BENEATH',
        rule_attr: {allowed_access: ['LANDLOCK_ACCESS_FS_READ_FILE'], parent_fd: 7},
        flags: [],
      },
    ],
    [
      'landlock_add_rule, of a port',
      ['landlock_add_rule', [3, 2, ADDRESS, 0], [longs(1, 443)]],
      {
        ruleset_fd: 3,
        rule_type: 'LANDLOCK_RULE_NET_PORT',
        rule_attr: {allowed_access: ['LANDLOCK_ACCESS_NET_BIND_TCP'], port: 443},
        flags: [],
      },
    ],
    ['landlock_restrict_self', ['landlock_restrict_self', [3, 2]], {ruleset_fd: 3, flags: ['LANDLOCK_RESTRICT_SELF_LOG_NEW_EXEC_ON']}],
    ['sethostname, which ends in no NUL', ['sethostname', [ADDRESS, 3], [Buffer.from('box')]], {name: 'box', len: 3}],
    ['setdomainname, of a negative length', ['setdomainname', [ADDRESS, -1], [Buffer.from('garbage')]], {name: '', len: -1}],
    ['clone, with its signal', ['clone', [0x30000011]], {flags: ['CLONE_NEWUSER', 'CLONE_NEWPID', 'SIGCHLD']}],
    [
      'clone3',
      ['clone3', [ADDRESS, 88], [longs(0x200020000, 0, 0, 0, 17, 0, 0, 0, 0, 0, 5)]],
      {cl_args: {flags: ['CLONE_NEWNS', 'CLONE_INTO_CGROUP'], exit_signal: 'SIGCHLD', cgroup: 5}, size: 88},
    ],
    [
      'clone3, shorter than its first version',
      ['clone3', [ADDRESS, 8], [longs(0x80)]],
      {cl_args: {flags: ['CLONE_NEWTIME'], exit_signal: 0}, size: 8},
    ],
  ])('%s', (_name, given, expected) => {
    expect(args(...given)).toEqual(expected);
    expect(Object.keys(args(...given))).toEqual(Object.keys(expected));
  });
});

describe('what is longer than is kept', () => {
  const cut = (...given: Parameters<typeof raw>) => decodeArguments(raw(...given)).cut;
  const long = Buffer.from(`${'x'.repeat(1023)}\0`);

  it('is told to go on, and never shown as if it were whole', () => {
    expect(cut('mount', [1, 1, 0, 0, 1], [long, text('/'), null, long])).toEqual(['source', 'data']);
    expect(cut('mount', [1, 1, 0, 0, 1], [long.subarray(1), text('/'), null, null])).toEqual([]);
    expect(cut('setgroups', [257, 1], [words(...Array(256).keys())])).toEqual(['list']);
    expect(cut('setgroups', [256, 1], [words(...Array(256).keys())])).toEqual([]);
    expect(cut('sethostname', [1, 5000], [Buffer.alloc(1024, 97)])).toEqual(['name']);
    const {args: decoded, cut: which} = decodeArguments(raw('chroot', [1], [long]));
    expect(decoded.path).toBe('x'.repeat(1023));
    expect(callText({name: 'chroot', args: decoded, cut: which, result: {errno: 'ENAMETOOLONG'}})).toBe(
      `chroot("${'x'.repeat(1023)}"…) = -1 ENAMETOOLONG`,
    );
  });
});

describe('bytes', () => {
  test.each([
    [[0x61, 0xff, 0x62], 'a\udcffb', 'a\\xffb'],
    [[0xc3, 0xa9], 'é', 'é'],
    [[0xc3], '\udcc3', '\\xc3'],
    [[0xf0, 0x9f, 0x98], '\udcf0\udc9f\udc98', '\\xf0\\x9f\\x98'],
    [[0xed, 0xa0, 0x80, 0x41], '\udced\udca0\udc80A', '\\xed\\xa0\\x80A'],
    [[0xef, 0xbb, 0xbf, 0x41], '\ufeffA', '\\u{feff}A'],
    [[0xef, 0xbf, 0xbd], '\ufffd', '\ufffd'],
  ])('%j are %j', (bytes, string, shown) => {
    expect(byteText(Uint8Array.from(bytes))).toBe(string);
    expect(printable(string)).toBe(shown);
    expect(JSON.parse(JSON.stringify(string))).toBe(string);
  });

  it('can be had back from the string', () => {
    const bytesOf = (string: string): Buffer =>
      Buffer.concat(
        Array.from(string, character => {
          const code = character.codePointAt(0) ?? 0;
          return code >= 0xdc80 && code <= 0xdcff ? Buffer.from([code - 0xdc00]) : Buffer.from(character);
        }),
      );
    fc.assert(fc.property(fc.uint8Array({maxLength: 64}), bytes => bytesOf(byteText(bytes)).equals(bytes)));
  });
});

/* ---- As text ---- */

const told = (name: CallName, decoded: CallArguments, result: CallResult = 0): string => callText({name, args: decoded, result});

describe('a call reads', () => {
  test.each<[string, CallArguments, CallResult, string]>([
    ['unshare', {flags: ['CLONE_NEWUSER', 'CLONE_NEWNS']}, 0, 'unshare(CLONE_NEWUSER|CLONE_NEWNS) = 0'],
    ['unshare', {flags: []}, {errno: 'EPERM'}, 'unshare(0) = -1 EPERM'],
    [
      'mount',
      {source: 'none', target: '/', filesystemtype: null, mountflags: ['MS_REC'], data: null},
      0,
      'mount("none", "/", NULL, MS_REC, NULL) = 0',
    ],
    ['mount', {source: {errno: 'EFAULT', during: 'read 0x1'}}, {errno: 'EFAULT'}, 'mount(0x1 (EFAULT)) = -1 EFAULT'],
    ['setns', {fd: {fd: 3, namespace: {type: 'net', inode: '4026531840'}}, nstype: []}, 0, 'setns(3 (net:[4026531840]), 0) = 0'],
    ['setns', {fd: {fd: 3, pid: 12}, nstype: ['CLONE_NEWNS']}, 0, 'setns(3 (pid 12), CLONE_NEWNS) = 0'],
    ['setgroups', {size: 0, list: []}, 0, 'setgroups(0, []) = 0'],
    ['setgroups', {size: 2, list: [4, 27]}, 0, 'setgroups(2, [4, 27]) = 0'],
    [
      'prctl',
      {op: 'PR_SET_SECCOMP', mode: 'SECCOMP_MODE_FILTER', filter: {address: '0x7ffc'}},
      null,
      'prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, 0x7ffc) = ?',
    ],
    // A string is one, whatever stands in it.
    ['sethostname', {name: 'AT_FDCWD', len: 8}, 0, 'sethostname("AT_FDCWD", 8) = 0'],
    [
      'fsconfig',
      {fd: 3, cmd: 'FSCONFIG_SET_STRING', key: 'size', value: '0x1000', aux: 0},
      0,
      'fsconfig(3, FSCONFIG_SET_STRING, "size", "0x1000", 0) = 0',
    ],
    ['chroot', {path: '/a", 0) = 0 \\'}, {errno: 'ENOENT'}, 'chroot("/a\\", 0) = 0 \\\\") = -1 ENOENT'],
    ['chroot', {path: '\x1b]0;owned\x07\u202e\udcff'}, 0, 'chroot("\\x1b]0;owned\\x07\\u{202e}\\xff") = 0'],
    // Of a tape that was written by something newer.
    ['unheard_of', {flags: ['A', 'B'], fd: {fd: 3}, what: {more: {deep: 1}}}, 7, 'unheard_of(A|B, {fd=3}, {more={deep=1}}) = 7'],
  ])('%s %j', (name, decoded, result, text) => expect(callText({name, args: decoded, result})).toBe(text));

  it('as another ABI has it, where it is not the machine’s own', () => {
    expect(callText({name: 'mount', abi: '32-bit', args: null, result: 0})).toBe('32-bit mount(…) = 0');
  });

  it('by the name of the namespace, where it has one', () => {
    const setns = {name: 'setns', args: {fd: {fd: 3, namespace: {type: 'net', inode: '1'}}, nstype: []}, result: 0};
    expect(callText(setns, 'net:b')).toBe('setns(3 (net:b), 0) = 0');
  });

  it('with the capabilities that are missing where that is shorter', () => {
    const all = KERNEL_NAMES.map(([, name]) => name).filter(name => name.startsWith('CAP_'));
    const set = {effective: all, permitted: all.filter(name => name !== 'CAP_BPF'), inheritable: ['CAP_KILL']};
    expect(told('capset', {datap: set})).toBe('capset({effective=all, permitted=all but CAP_BPF, inheritable=CAP_KILL}) = 0');
  });
});

describe('in little room', () => {
  it('the first of many short arguments stay', () => {
    const setresuid = {name: 'setresuid', args: {ruid: 1000, euid: 1000, suid: 1000}, result: 0};
    expect([31, 30, 25, 20].map(room => callText(setresuid, null, room))).toEqual([
      'setresuid(1000, 1000, 1000) = 0',
      'setresuid(1000, 1000, …) = 0',
      'setresuid(1000, …) = 0',
      'setresuid(…) = 0',
    ]);
  });

  const mount = {
    name: 'mount',
    args: {
      source: 'overlay',
      target: '/run/containers/merged',
      filesystemtype: 'overlay',
      mountflags: [],
      data: `lowerdir=${'/layer:'.repeat(40)}`,
    },
    result: {errno: 'EPERM'},
  };

  test.each([
    [400, `mount("overlay", "/run/containers/merged", "overlay", 0, "lowerdir=${'/layer:'.repeat(40)}") = -1 EPERM`],
    [100, 'mount("overlay", "/run/containers/merged", "overlay", "lowerdir=/layer:/layer:/laye"…, …) = -1 EPERM'],
    [70, 'mount("overlay", "/run/cont"…, "overlay", "lowerdir="…, …) = -1 EPERM'],
    [54, 'mount("ove"…, "/ru"…, "ove"…, "low"…, …) = -1 EPERM'],
    [40, 'mount("overl"…, "/run/"…, …) = -1 EPERM'],
    [30, 'mount("overlay", …) = -1 EPERM'],
    [24, 'mount(…) = -1 EPERM'],
    [5, 'mount(…) = -1 EPERM'],
  ])('of %i cells the arguments give way, and not the result', (room, text) => {
    expect(callText(mount, null, room)).toBe(text);
    if (room >= 19) expect(cells(text)).toBeLessThanOrEqual(room);
  });
});

describe('a birth in little room', () => {
  const header = {at: '0', realtime: '0', host: {}};
  const born = (room: number, ...flags: readonly string[]): string => {
    const what = {kind: 'clone', tid: 7, child: 42, childId: '42@1', flags, ppid: 7, moves: []} as const;
    const event = {seq: 0, at: 0, process: '7@1', pid: 7, comm: 'bwrap', what, isolation: true};
    return lineText(eventLine(event, header, 0, {who: 7, did: 0}, room)).slice('00:00:00.000  bwrap 7  '.length);
  };

  it.each([
    [200, ['CLONE_NEWNS', 'CLONE_NEWPID'], 'clone(CLONE_NEWNS|CLONE_NEWPID) → 42'],
    [51, ['CLONE_NEWNS', 'CLONE_NEWPID'], 'clone(CLONE_NEWNS|CLO…) → 42'],
    [40, ['CLONE_NEWNS', 'CLONE_NEWPID'], 'clone(…) → 42'],
    [20, [], 'fork() → 42'],
  ])('of %i cells tells the child: %j', (room, flags, text) => expect(born(room, ...flags)).toBe(text));
});

/* ---- Anything at all ---- */

const anyBytes = fc.uint8Array({maxLength: 1024});
const anyPointer: fc.Arbitrary<Pointer> = fc.oneof(anyBytes, fc.constant(null), fc.constant(EFAULT));
const anyRegister = fc.oneof(fc.bigInt({min: 0n, max: (1n << 64n) - 1n}), fc.bigInt({min: 0n, max: 100n}));
const anyCall: fc.Arbitrary<RawCall> = fc.constantFrom(...CALL_NAMES).chain(name =>
  fc.record({
    name: fc.constant(name),
    registers: fc.array(anyRegister, {minLength: 6, maxLength: 6}),
    pointers: fc.array(anyPointer, {minLength: pointerCount(name), maxLength: pointerCount(name)}),
    fd: fc.constantFrom(null, {pid: 7}, {namespace: {type: 'net', inode: '4026531840'}}),
    result: fc.oneof(fc.integer(), fc.constant({errno: 'EINVAL'}), fc.constant(null)),
  }),
);
const STEERS = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Default_Ignorable_Code_Point}]/u;

describe('whatever registers and memory hold', () => {
  it('is decoded into JSON that comes back the same, and into text that cannot steer a terminal', () => {
    fc.assert(
      fc.property(anyCall, call => {
        const {args: decoded, cut} = decodeArguments(call);
        expect(JSON.parse(JSON.stringify(decoded))).toEqual(decoded);
        const shown = {name: call.name, args: decoded, cut, result: call.result};
        const text = callText(shown);
        expect(text).not.toMatch(STEERS);
        expect(text.startsWith(`${call.name}(`)).toBe(true);
      }),
      {numRuns: 2000},
    );
  });

  it('fits where its name and its result fit', () => {
    fc.assert(
      fc.property(anyCall, fc.integer({min: 60, max: 200}), (call, room) => {
        const {args: decoded, cut} = decodeArguments(call);
        const text = callText({name: call.name, args: decoded, cut, result: call.result}, null, room);
        expect(cells(text)).toBeLessThanOrEqual(room);
        expect(text.endsWith(callText({name: 'x', args: {}, result: call.result}).slice(2))).toBe(true);
      }),
      {numRuns: 1000},
    );
  });
});

describe('whatever a tape says', () => {
  const {argument} = fc.letrec<{argument: CallArgument}>(tie => ({
    argument: fc.oneof(
      {depthSize: 'small'},
      fc.string({unit: 'binary'}),
      fc.double(),
      fc.constant(null),
      fc.array(fc.string()),
      fc.array(fc.integer()),
      fc.dictionary(fc.constantFrom('fd', 'namespace', 'pid', 'address', 'errno', 'during', 'type', 'inode'), tie('argument')),
    ),
  }));

  it('is told, and cannot steer a terminal', () => {
    const anyName = fc.oneof(fc.constantFrom<string>(...CALL_NAMES), fc.string({unit: 'binary'}));
    fc.assert(
      fc.property(anyName, fc.dictionary(fc.string({unit: 'binary'}), argument), fc.integer({min: 0, max: 100}), (name, decoded, room) => {
        const call = {name, args: decoded, cut: Object.keys(decoded).slice(0, 1), result: 0};
        expect(callText(call, null, room)).not.toMatch(STEERS);
        expect(argumentTexts(call, null).length).toBe(Object.keys(decoded).length);
      }),
      {numRuns: 2000},
    );
  });
});

/* ---- By the kernel's headers ---- */

describe('by the headers of the kernel', () => {
  const includes = ['sched', 'mount', 'prctl', 'seccomp', 'capability', 'securebits', 'landlock', 'fcntl'].map(
    name => `#include <linux/${name}.h>\n`,
  );

  /** The number of each name that these headers have. */
  function numbersOf(names: readonly string[]): Map<string, bigint> {
    using folder = temporaryFolder();
    const source = folder.file('names.c');
    const program = folder.file('names');
    const write = (some: readonly string[]) =>
      writeFileSync(
        source,
        `#define _GNU_SOURCE\n#include <stdio.h>\n#include <signal.h>\n${includes.join('')}int main(void)\n{\n${some
          .map(name => `printf("${name} %llu\\n", (unsigned long long)(${name}));\n`)
          .join('')}}\n`,
      );
    const compile = () => spawnSync('cc', ['-fmax-errors=0', '-o', program, source], {encoding: 'utf8'});
    write(names);
    const missing = new Set([...compile().stderr.matchAll(/[‘'](\w+)[’'] undeclared/g)].map(match => match[1] ?? ''));
    write(names.filter(name => !missing.has(name)));
    const compiled = compile();
    if (compiled.status !== 0) throw new Error(compiled.stderr);
    const lines = execFileSync(program, {encoding: 'utf8'}).trim().split('\n');
    return new Map(lines.map(line => line.split(' ')).map(([name = '', value = '0']) => [name, BigInt(value)]));
  }

  it('every name has the number that they give it', () => {
    const numbers = numbersOf([...new Set(KERNEL_NAMES.map(([, name]) => name))]);
    const known = KERNEL_NAMES.filter(([, name]) => numbers.has(name));
    const wrong = known.filter(([value, name]) => {
      const number = numbers.get(name) ?? 0n;
      // Capabilities are told as numbers and as bits of a mask; the headers have the numbers.
      return number !== BigInt(value);
    });
    expect(wrong).toEqual([]);
    // Headers of 6.1 have this many; later ones more.
    expect(known.length).toBeGreaterThan(190);
  });

  it('every call has the numbers that i386 gives it', () => {
    const header = execFileSync('cc', ['-E', '-dM', '-include', 'asm/unistd_32.h', '-x', 'c', '/dev/null'], {encoding: 'utf8'});
    const numbers = new Map([...header.matchAll(/#define __NR_(\w+) (\d+)/g)].map(([, name = '', number]) => [name, Number(number)]));
    const table = readFileSync(join(ROOT, 'native', 'calls.h'), 'utf8');
    const rows = [...table.matchAll(/^ *X\((\w+), (\d+), (\d+), (\d+)/gm)].map(([, name = '', number, wide]) => ({
      name,
      number: Number(number),
      wide: Number(wide),
    }));
    expect(rows.map(({name}) => name)).toEqual([...CALL_NAMES]);
    const known = rows.filter(({name}) => numbers.has(name));
    expect(known.length).toBeGreaterThan(30);
    const other = (name: string) => numbers.get(name === 'umount2' ? 'umount' : `${name}32`) ?? 0;
    expect(known.filter(({name, number, wide}) => number !== numbers.get(name) || wide !== other(name))).toEqual([]);
  });
});
