// Knows how to find out what this kernel, these privileges and this terminal allow.

import {accessSync, closeSync, constants} from 'node:fs';
import os from 'node:os';
import {isRefusal} from '../model/fact.ts';
import {plainPlan} from '../model/launch-plan.ts';
import {NAMESPACES} from '../model/namespace.ts';
import {explainBpfRefusal, explainLaunchedRefusal} from '../model/refusal.ts';
import {errnoName} from './errno.ts';
import {readHost} from './host.ts';
import {readMounts} from './mountinfo.ts';
import {loadNative, NativeError} from './native.ts';
import {readLink, readText} from './proc-file.ts';
import {procProblem} from './proc-mount.ts';
import {readYamaScope} from './ptrace-evidence.ts';
import {startTracer} from './tracer.ts';

/** One thing that nsview needs or uses. */
export type Finding = {
  readonly what: string;
  readonly verdict: 'ok' | 'limited' | 'missing';
  /** What it is here, and what that means. */
  readonly means: string;
  /** How to get the rest; absent where there is nothing to do. */
  readonly remedy?: string;
};

const CAP_SYS_PTRACE = 1n << 19n;
const CAP_SYS_ADMIN = 1n << 21n;

function sysctl(name: string): string | null {
  const text = readText(`/proc/sys/${name.replaceAll('.', '/')}`);
  return isRefusal(text) ? null : text.trim();
}

/** Really tries: launches /bin/true under the helper, and lets it end. */
async function tryTracing(follow: 'bpf' | 'ptrace'): Promise<Finding> {
  const what = follow === 'bpf' ? 'following by BPF' : 'following by ptrace';
  try {
    let end: () => void = () => {};
    const ended = new Promise<void>(resolve => {
      end = resolve;
    });
    const tracer = startTracer({
      native: loadNative(),
      follow,

      emit: facts => {
        if (facts.some(fact => fact.kind === 'exit')) end();
      },
      onLost: () => end(),
      readProcess: () => ({errno: 'ESRCH', during: 'open'}),
      readProcesses: () => new Map(),
      explainRefusal: () => ({rule: '', remedy: ''}),
    });
    if (isRefusal(tracer))
      return {
        what,
        verdict: 'missing',
        means: `its helper does not start: ${tracer.during}: ${tracer.errno}`,
        remedy: 'npm run build:native',
      };
    const answer = await tracer.launch({
      plan: plainPlan(['/bin/true']),
      argv: ['/bin/true'],
      environment: [],
      terminal: -1,
      softNofile: 0n,
      ignoredSignals: 0n,
      blockedSignals: 0n,
    });
    if (answer.ok) await ended;
    await tracer.stop();
    if (!answer.ok && follow === 'bpf') {
      const {rule, remedy} = explainBpfRefusal(answer.during, answer.errno);
      return {what, verdict: 'limited', means: `${answer.during}: ${answer.errno}: ${rule}`, remedy};
    }
    if (answer.ok)
      return {what, verdict: 'ok', means: `a program was launched, followed${follow === 'bpf' ? ' without a stop,' : ''} and let go`};
    const failed: Finding = {what, verdict: 'missing', means: `launching /bin/true failed: ${answer.during}: ${answer.errno}`};
    if (!answer.during.startsWith('ptrace(') || answer.errno !== 'EPERM') return failed;
    const {rule, remedy} = explainLaunchedRefusal(readYamaScope());
    return {...failed, means: `${failed.means}: ${rule}`, remedy};
  } catch (error) {
    if (error instanceof NativeError) return {what, verdict: 'missing', means: error.message, remedy: 'npm run build:native'};
    throw error;
  }
}

/** What of isolation calls can be seen, and at what price. */
function isolationCalls(bpf: Finding, ptrace: Finding): Finding {
  const what = 'isolation calls';
  if (bpf.verdict === 'ok') return {what, verdict: 'ok', means: 'seen by BPF, of what is launched and of what is attached to'};
  if (ptrace.verdict !== 'ok') return {what, verdict: 'missing', means: 'not seen: nothing can be followed, by BPF or by ptrace'};
  const filters = sysctl('kernel.seccomp.actions_avail')?.split(' ').includes('trace') === true;
  return {
    what,
    verdict: 'limited',
    means: 'of what is launched, seen by a stop at every system call; of what is attached to, not seen',
    remedy: `${filters ? '--fast: a seccomp filter instead, and no_new_privs; ' : ''}--syscalls: a stop at every call of what is attached to`,
  };
}

function attaching(capabilities: bigint, bpf: Finding): Finding {
  const what = 'attaching to others';
  const scope = readYamaScope();
  const privileged = (capabilities & CAP_SYS_PTRACE) !== 0n;
  if (scope === 3)
    return bpf.verdict === 'ok'
      ? {what, verdict: 'ok', means: 'by BPF, to every process; by ptrace to none: kernel.yama.ptrace_scope is 3'}
      : {
          what,
          verdict: 'missing',
          means: 'kernel.yama.ptrace_scope is 3: nobody may use ptrace until the next boot',
          remedy: 'run nsview as root: BPF follows all the same',
        };
  if (privileged) return {what, verdict: 'ok', means: 'CAP_SYS_PTRACE: to every process of this user namespace'};
  if (scope === 1)
    return {
      what,
      verdict: 'limited',
      means: 'kernel.yama.ptrace_scope is 1: to descendants only',
      remedy: 'sudo nsview -p PID, or sysctl kernel.yama.ptrace_scope=0',
    };
  if (scope === 2)
    return {what, verdict: 'missing', means: 'kernel.yama.ptrace_scope is 2: with CAP_SYS_PTRACE only', remedy: 'sudo nsview -p PID'};
  return {what, verdict: 'limited', means: 'to your own dumpable processes', remedy: 'sudo nsview -p PID for the others'};
}

function processes(): Finding {
  const what = 'reading /proc';
  const mounts = readMounts('self');
  const proc = isRefusal(mounts) ? undefined : mounts.findLast(mount => mount.point === '/proc' && mount.fsType === 'proc');
  if (proc === undefined)
    return {what, verdict: 'missing', means: 'no proc file system is mounted on /proc', remedy: 'mount -t proc proc /proc'};
  const hidden = proc.superOptions.find(option => option.startsWith('hidepid=') && !/=(0|off)$/.test(option));
  if (hidden !== undefined)
    return {
      what,
      verdict: 'limited',
      means: `it is mounted with ${hidden}: processes of others are hidden`,
      remedy: 'run as root, or mount -o remount,hidepid=0 /proc',
    };
  const first = readLink('/proc/1/ns/mnt');
  return isRefusal(first)
    ? {
        what,
        verdict: 'limited',
        means: `namespaces of some processes are refused (pid 1: ${first.errno}); they are shown as refused`,
        ...(os.userInfo().uid === 0 ? {} : {remedy: 'run as root'}),
      }
    : {what, verdict: 'ok', means: 'every process and its namespaces can be read'};
}

function mountTables(): Finding {
  const what = 'mount tables';
  const events = loadNative().mountEvents('/proc/self/ns/mnt');
  if (events >= 0) closeSync(events);
  const polled = 'changes are seen by poll of mountinfo';
  if (events >= 0) return {what, verdict: 'ok', means: `${polled}, mounts that come and go by fanotify too`};
  const refused = errnoName(-events);
  const since = refused === 'EINVAL' ? ', which tells of mounts since Linux 6.15' : '';
  return {what, verdict: 'ok', means: `${polled}; fanotify: ${refused}${since}`};
}

function userNamespaces(): Finding {
  const what = 'user namespaces';
  const max = sysctl('user.max_user_namespaces');
  const clone = sysctl('kernel.unprivileged_userns_clone');
  const apparmor = sysctl('kernel.apparmor_restrict_unprivileged_userns');
  if (max === '0')
    return {what, verdict: 'missing', means: 'user.max_user_namespaces is 0', remedy: 'sysctl user.max_user_namespaces=15000'};
  if (clone === '0')
    return {
      what,
      verdict: 'limited',
      means: 'kernel.unprivileged_userns_clone is 0: root only',
      remedy: 'sysctl kernel.unprivileged_userns_clone=1',
    };
  if (apparmor === '1')
    return {
      what,
      verdict: 'limited',
      means: 'kernel.apparmor_restrict_unprivileged_userns is 1: unconfined programs get one without capabilities',
      remedy: 'sysctl kernel.apparmor_restrict_unprivileged_userns=0, or a profile with userns',
    };
  return {what, verdict: 'ok', means: `anybody may make them (user.max_user_namespaces is ${max ?? 'not there'})`};
}

function terminal(): Finding {
  const what = 'terminal';
  const {TERM, COLORTERM, NO_COLOR, LC_ALL, LC_CTYPE, LANG} = process.env;
  if (!process.stdout.isTTY) return {what, verdict: 'limited', means: 'stdout is no terminal: text instead of the screen'};
  const {columns, rows} = process.stdout;
  const size = `${columns}×${rows}`;
  if (!TERM)
    return {
      what,
      verdict: 'missing',
      means: 'TERM is not set',
      remedy: 'use a terminal that can address its cursor, and say which in TERM',
    };
  if (TERM === 'dumb')
    return {
      what,
      verdict: 'limited',
      means: 'TERM is dumb: text instead of the screen',
      remedy: 'use a terminal that can address its cursor',
    };
  if (columns < 80 || rows < 24)
    return {what, verdict: 'limited', means: `${size}: the screen wants 80×24`, remedy: 'make the window larger'};
  const locale = LC_ALL || LC_CTYPE || LANG || '';
  if (!/utf-?8/i.test(locale))
    return {
      what,
      verdict: 'limited',
      means: `${TERM}, ${size}, but the locale (${locale || 'none'}) is not UTF-8`,
      remedy: 'export LANG=C.UTF-8',
    };
  return {what, verdict: 'ok', means: `${TERM}, ${size}${COLORTERM === undefined ? '' : `, ${COLORTERM}`}${NO_COLOR ? ', NO_COLOR' : ''}`};
}

export async function diagnose(): Promise<Finding[]> {
  const kernel: Finding = {what: 'kernel', verdict: 'ok', means: `Linux ${os.release()} ${os.machine()}`};
  const problem = procProblem();
  // Of the rest nothing can be told without it.
  if (problem !== null) return [kernel, {what: 'reading /proc', verdict: 'missing', ...problem}];
  const host = readHost();
  const capabilities = BigInt(`0x${host.capabilities}`);
  const kinds = NAMESPACES.filter(kind => isRefusal(readLink(`/proc/self/ns/${kind.link}`))).map(kind => kind.type);
  let children = true;
  try {
    accessSync(`/proc/self/task/${process.pid}/children`, constants.R_OK);
  } catch {
    children = false;
  }
  const bpf = await tryTracing('bpf');
  const ptrace = await tryTracing('ptrace');
  const lsm = readText('/sys/kernel/security/lsm');
  return [
    kernel,
    {
      what: 'privilege',
      verdict: (capabilities & CAP_SYS_ADMIN) !== 0n ? 'ok' : 'limited',
      means: `uid ${host.euid}${capabilities === 0n ? ', no capabilities' : `, capabilities ${host.capabilities}`}`,
      ...((capabilities & CAP_SYS_ADMIN) === 0n ? {remedy: 'sudo nsview sees and attaches to everything'} : {}),
    },
    bpf,
    ptrace,
    isolationCalls(bpf, ptrace),
    attaching(capabilities, bpf),
    {
      what: 'finding children',
      verdict: children ? 'ok' : 'limited',
      means: children
        ? '/proc/PID/task/TID/children is there'
        : 'the kernel lacks CONFIG_PROC_CHILDREN: an attach reads all of /proc instead',
    },
    processes(),
    kinds.length === 0
      ? {what: 'namespaces', verdict: 'ok', means: 'the kernel has all eight kinds'}
      : {
          what: 'namespaces',
          verdict: 'limited',
          means: `the kernel lacks ${kinds.join(', ')}`,
          remedy: 'a kernel with CONFIG_NAMESPACES and all of its kinds; time needs 5.6',
        },
    mountTables(),
    userNamespaces(),
    {
      what: 'cgroups',
      verdict: host.cgroups === 'none' ? 'missing' : 'ok',
      means: host.cgroups === 'none' ? 'no cgroup file system is mounted: paths are shown, members and limits are not' : host.cgroups,
      ...(host.cgroups === 'none' ? {remedy: 'mount -t cgroup2 cgroup2 /sys/fs/cgroup'} : {}),
    },
    {
      what: 'security modules',
      verdict: 'ok',
      means: isRefusal(lsm) ? `not told (${lsm.during} /sys/kernel/security/lsm: ${lsm.errno})` : lsm.trim(),
    },
    terminal(),
  ];
}
