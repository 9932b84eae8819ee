import {describe, expect, it} from 'vitest';
import {
  type LaunchOptions,
  type LaunchPlace,
  launchSteps,
  makeLaunchPlan,
  PLAIN_LAUNCH,
  plainPlan,
  planText,
} from '../../src/model/launch-plan.ts';

const ROOT: LaunchPlace = {euid: 0, egid: 0, maySetGroups: true, cgroupMounts: ['/sys/fs/cgroup']};
const SOMEBODY: LaunchPlace = {euid: 1000, egid: 100, maySetGroups: false, cgroupMounts: ['/sys/fs/cgroup/unified']};

const plan = (options: Partial<LaunchOptions>, place: LaunchPlace) => makeLaunchPlan(['ls', '-l'], {...PLAIN_LAUNCH, ...options}, place);

function calls(options: Partial<LaunchOptions>, place: LaunchPlace): string[] {
  const made = plan(options, place);
  if (made === null) throw new Error('no plan');
  return [...launchSteps(made, {terminal: false, follow: 'ptrace', softNofile: 0n})].map(({call}) => call);
}

describe('a plan', () => {
  it('of nothing besides is a program, followed', () => {
    expect(plan({}, ROOT)).toEqual(plainPlan(['ls', '-l']));
    expect(calls({}, ROOT)).toEqual([
      'clone3(0) = CHILD',
      'ptrace(PTRACE_SEIZE, CHILD, 0, PTRACE_O_TRACE…)',
      'execve("ls", ["ls", "-l"]), in each folder of PATH',
    ]);
  });

  it('is numbered, and says who does what, in the order in which it is done', () => {
    const all = plan(
      {namespaces: ['user', 'mnt', 'pid', 'uts'], maps: 'root', cgroup: 'mine', hostname: 'bäx', mountProc: true, killOnExit: true},
      SOMEBODY,
    );
    if (all === null) throw new Error('no plan');
    expect(planText(launchSteps(all, {terminal: true, follow: 'auto', softNofile: 1024n}))).toBe(
      ` 1  nsview  posix_openpt(O_RDWR|O_NOCTTY|O_CLOEXEC|O_NONBLOCK) = TERMINAL
 2  helper  open("/sys/fs/cgroup/unified/mine", O_PATH|O_DIRECTORY|O_CLOEXEC)
 3  helper  clone3(CLONE_NEWNS|CLONE_NEWUTS|CLONE_NEWUSER|CLONE_NEWPID|CLONE_INTO_CGROUP, cgroup "/sys/fs/cgroup/unified/mine") = CHILD
 4  helper  write /proc/CHILD/setgroups "deny"
 5  helper  write /proc/CHILD/uid_map "0 1000 1"
 6  helper  write /proc/CHILD/gid_map "0 100 1"
 7  helper  follow CHILD by BPF; where BPF is refused, ptrace(PTRACE_SEIZE, CHILD, 0, PTRACE_O_TRACE…|PTRACE_O_EXITKILL)
 8  helper  by BPF: fork() nsview-guard, which kills all that is followed when the helper ends
 9  child   setsid()
10  child   ioctl(TERMINAL, TIOCSCTTY, 0)
11  child   dup2(TERMINAL, 0), dup2(TERMINAL, 1), dup2(TERMINAL, 2)
12  child   setrlimit(RLIMIT_NOFILE, {rlim_cur: 1024})
13  child   sethostname("bäx", 4)
14  child   mount(NULL, "/", NULL, MS_REC|MS_PRIVATE, NULL)
15  child   mount("proc", "/proc", "proc", MS_NOSUID|MS_NODEV|MS_NOEXEC, NULL)
16  child   execve("ls", ["ls", "-l"]), in each folder of PATH
`,
    );
  });

  it('has the filter of --fast last, since what comes before must not stop at it', () => {
    const steps = [...launchSteps(plainPlan(['/bin/ls']), {terminal: false, follow: 'auto', fast: true, softNofile: 0n})];
    expect(steps.slice(-3).map(({call}) => call)).toEqual([
      'by ptrace: prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)',
      'by ptrace: seccomp(SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, the isolation calls: SECCOMP_RET_TRACE)',
      'execve("/bin/ls", ["/bin/ls"])',
    ]);
  });

  it('denies setgroups only where gid_map could not be written else', () => {
    expect(plan({namespaces: ['user'], maps: 'root'}, ROOT)?.denySetgroups).toBe(false);
    expect(plan({namespaces: ['user'], maps: 'root'}, SOMEBODY)?.denySetgroups).toBe(true);
    expect(plan({namespaces: ['user']}, SOMEBODY)?.denySetgroups).toBe(false);
  });

  it('lets a program whose own id is not mapped become root, where there is one', () => {
    const become = ['setgroups(0, NULL)', 'setresgid(0, 0, 0)', 'setresuid(0, 0, 0)'];
    const mapped = (outer: number, inner: number, count: number) =>
      calls({namespaces: ['user'], maps: [{outer, inner, count}]}, ROOT).filter(call => call.startsWith('set'));
    expect(mapped(100000, 0, 65536)).toEqual(become);
    expect(mapped(100000, 1, 65536)).toEqual([]);
    expect(mapped(0, 0, 65536)).toEqual([]);
    expect(mapped(0, 5, 1)).toEqual([]);
  });

  it.each([
    ['mine/below', '/sys/fs/cgroup/unified/mine/below'],
    ['/mine', '/sys/fs/cgroup/unified/mine'],
    ['/sys/fs/cgroup/unified/mine', '/sys/fs/cgroup/unified/mine'],
    ['/sys/fs/cgroup/mine', '/sys/fs/cgroup/unified/mine'],
    ['/sys/fs/cgroup/unified', '/sys/fs/cgroup/unified'],
    ['/', '/sys/fs/cgroup/unified'],
  ])('finds the cgroup %s', (cgroup, directory) => {
    expect(plan({cgroup}, SOMEBODY)?.cgroup).toBe(directory);
  });

  it('needs a cgroup v2 for a cgroup', () => {
    expect(plan({cgroup: 'mine'}, {...ROOT, cgroupMounts: []})).toBe(null);
  });

  it('prints no control character of anybody’s', () => {
    const evil = makeLaunchPlan(['\x1b[31m\n', '\u202e'], {...PLAIN_LAUNCH, cgroup: '\x9b', namespaces: ['uts'], hostname: '\x07'}, ROOT);
    if (evil === null) throw new Error('no plan');
    expect(planText(launchSteps(evil, {terminal: false, follow: 'bpf', softNofile: 0n}))).toMatch(
      /^[^\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]*$/,
    );
  });
});
