import {readFileSync, readlinkSync} from 'node:fs';
import {describe, expect, it} from 'vitest';
import {leaveNothingBehind} from '../support/leaks.ts';
import {followBy, HOWS, start, temporaryFolder} from '../support/nsview.ts';
import {fixture, NSVIEW} from '../support/paths.ts';
import {needsRoot} from '../support/user.ts';

leaveNothingBehind();

const OTHERS = 'a seccomp filter or a security module forbids it';
const NOBODY = ['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups', '--inh-caps=-all', '--'];

describe.each(HOWS)('a call that fails is told with the rule that refused it, by %s', how => {
  /** Of calls that failed: `name errno: why`. */
  async function refusals(...program: readonly string[]): Promise<string[]> {
    using folder = temporaryFolder();
    const file = folder.file('lines');
    await using running = start(NSVIEW, 'trace', '-o', file, ...followBy(how), '--', ...program);
    running.release();
    const {stderr, code} = await running.ended;
    expect([stderr, code]).toEqual(['', 0]);
    const calls = [...readFileSync(file, 'utf8').matchAll(/^\S+ {2}is-refused \d+ +(\w+)\(.*\) = -1 (E\w+)(?: {2,}(.*))?$/gm)];
    return calls.map(([, name, errno, why = '']) => `${name} ${errno}: ${why}`);
  }

  it('to who has no capability', async () => {
    needsRoot('become another user');
    expect(await refusals(...NOBODY, fixture('is-refused'), 'unprivileged')).toEqual([
      'unshare EPERM: a new net namespace needs CAP_SYS_ADMIN, which it lacks; with a new user namespace (CLONE_NEWUSER) it would have it',
      'unshare EINVAL: 0x1 is nothing that this kernel unshares',
      'setgroups EPERM: it needs CAP_SETGID, which it lacks',
      'setresuid EPERM: without CAP_SETUID it can take only ids that it has already',
      'chroot EPERM: it needs CAP_SYS_CHROOT, which it lacks',
      'mount EPERM: it needs CAP_SYS_ADMIN in the user namespace that owns its mnt namespace, and lacks it',
      'capset EPERM: CAP_CHOWN would be effective and not permitted',
      'clone3 EINVAL: CLONE_NEWNS and CLONE_FS exclude each other',
      'clone3 EPERM: set_tid needs CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN in the user namespaces that own those pid namespaces',
      'clone3 EINVAL: cl_args has 64 bytes at the least',
      'prctl EPERM: it needs CAP_SETPCAP, which it lacks',
      'prctl EINVAL: arg5 must be 0',
      'setns EPERM: it needs CAP_SYS_ADMIN, in its own user namespace and in the one that owns what it enters, and lacks it',
    ]);
  });

  it('to a process of two threads', async () => {
    expect(await refusals(fixture('is-refused'), 'threads')).toEqual([
      'unshare EINVAL: CLONE_NEWUSER is for a process of one thread, and it has 2',
      'setns EINVAL: it shares its root directory (CLONE_FS) with a thread or another process',
      'setns EINVAL: the fd is of a net namespace, and nstype says CLONE_NEWUTS',
      'setns EUSERS: only a process of one thread can enter a time namespace',
      'setns EINVAL: the fd is neither of a namespace nor a pidfd',
    ]);
  });

  it('to one whose children are born in a pid namespace whose first process has ended', async () => {
    needsRoot('make a pid namespace without a user namespace');
    expect(await refusals(fixture('is-refused'), 'bears')).toEqual([
      'unshare EINVAL: its children are born in another pid namespace than its own already, and from there no further one can be made',
      'clone ENOMEM: the first process of the pid namespace for its children has ended, and nothing is born there any more; or there was no memory',
    ]);
  });

  it('to one whose capabilities hold in a user namespace that does not own what it changes', async () => {
    needsRoot('become another user');
    expect(await refusals(...NOBODY, fixture('is-refused'), 'user')).toEqual([
      'sethostname EPERM: it needs CAP_SYS_ADMIN in the user namespace that owns uts:a, and has it in user:b alone',
      'mount EPERM: it needs CAP_SYS_ADMIN in the user namespace that owns mnt:a, and has it in user:b alone',
      `setgroups EPERM: setgroups is denied in user:b, or its gid_map is not written yet (user_namespaces(7)); or ${OTHERS}`,
      'setuid EINVAL: an id is not mapped in user:b',
      'mount EPERM: proc shows pid:a, which user:b does not own',
      'mount EPERM: sysfs shows net:a, which user:b does not own',
      `mount EPERM: in user:b only file systems can be mounted that allow it in user namespaces; or ${OTHERS}`,
    ]);
  });

  it('of mounts', async () => {
    needsRoot('mount');
    using folder = temporaryFolder();
    const LOCKED =
      'it would change read-only, nosuid, nodev, noexec or the access time, which are locked where a mount came from a mount namespace of more privilege';
    expect(await refusals(fixture('is-refused'), 'mount', folder.path)).toEqual([
      'fsconfig EINVAL: the file system does not take that parameter or value (read(2) of the fd may tell more), or the arguments are not as this command has them',
      'fsconfig EBUSY: it is too late for that: the context has its file system already, or could not get it',
      'move_mount EINVAL: the source is no mount point, is locked, in another mount namespace or on a shared mount; or only one of both is a directory; or the target is shared and something unbindable would come there; or the target is in another mount namespace; or this kernel does not know a flag',
      'mount EINVAL: the target is no mount point',
      'mount EINVAL: MS_PRIVATE, MS_SHARED exclude each other',
      'mount EINVAL: with MS_PRIVATE go MS_REC and MS_SILENT alone',
      'mount ENODEV: this kernel has no such file system, or its module is not loaded',
      'umount2 EINVAL: the target is no mount point, or is locked: it came, with those around it, from a mount namespace of more privilege',
      'mount ENOTBLK: the source is no block device',
      'umount2 EBUSY: something is mounted on it or below, or a process has a file, a directory or memory of it: nsview who-pins tells what',
      'umount2 EINVAL: MNT_EXPIRE goes with neither MNT_FORCE nor MNT_DETACH',
      'umount2 EAGAIN: it is marked as expired now: the next MNT_EXPIRE unmounts it, if nobody uses it until then',
      'pivot_root EBUSY: new_root or put_old is on the mount that is the root now',
      'pivot_root EINVAL: new_root is no mount point or is locked; or the mount that put_old is on, or on which new_root or the root is mounted, is shared; or put_old is not below new_root; or the root is the rootfs, or no mount point (a chroot)',
      `mount EPERM: ${LOCKED}; or ${OTHERS}`,
    ]);
  });
});

it('a security module is named where it refuses ptrace to who has every capability, of another user namespace as well', async context => {
  needsRoot('trace another user namespace');
  for (const before of [[], ['unshare', '-U']]) {
    const [program, ...args] = [...before, 'cat'];
    await using target = start(program, ...args);
    const pid = String(target.pid);
    const userOf = (of: string) => readlinkSync(`/proc/${of}/ns/user`);
    await expect
      .poll(() => [userOf(pid) === userOf('self'), readFileSync(`/proc/${pid}/comm`, 'utf8')])
      .toEqual([before.length === 0, 'cat\n']);
    await using running = start(fixture('under-landlock'), NSVIEW, 'trace', ...followBy('ptrace'), '-p', pid);
    running.release();
    const {stderr} = await running.ended;
    target.release();
    if (/landlock.*: (Function not implemented|Operation not supported)/.test(stderr)) return context.skip('kernel lacks Landlock');
    if (userOf('self') !== 'user:[4026531837]') return context.skip('needs the first user namespace');
    expect(stderr).toContain(
      'ptrace(PTRACE_SEIZE): EPERM: a security module (SELinux, AppArmor, Landlock, BPF LSM) or a seccomp filter must have refused: no other rule does;',
    );
  }
});
