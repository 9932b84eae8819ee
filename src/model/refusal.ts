// Knows why the kernel refuses ptrace, in the order in which it checks (kernel/ptrace.c; ptrace(2), "Ptrace access mode checking").

import type {Raise} from './fact.ts';

/** What was found out about a process that could not be traced. null: it could not be read. */
export type PtraceEvidence = {
  readonly pid: number;
  readonly comm: string;
  readonly state: string | null;
  /** PF_KTHREAD (include/linux/sched.h). */
  readonly kernelThread: boolean;
  /** 0: nobody. */
  readonly tracerPid: number;
  readonly tracerComm: string;
  /** /proc/sys/kernel/yama/ptrace_scope; null where Yama is not there. */
  readonly yamaScope: number | null;
  /** Real ids: ptrace_attach() asks with PTRACE_MODE_ATTACH_REALCREDS. */
  readonly ownUid: number;
  readonly ownHasPtraceCapability: boolean;
  readonly uids: readonly number[] | null;
  readonly gids: readonly number[] | null;
  readonly ownGid: number;
  /** The target is in nsview's own user namespace; null where that cannot be told. */
  readonly sameUserNamespace: boolean | null;
  /** nsview is in the first user namespace: its capabilities hold in every other. */
  readonly ownIsInitial: boolean;
  /** Owner of the files in /proc/PID: the effective uid while dumpable, else root (proc(5)). */
  readonly procOwner: number | null;
  /** The target's permitted capabilities are all in nsview's own; null where they cannot be read. */
  readonly capabilitiesWithin: boolean | null;
};

export type Explanation = {readonly rule: string; readonly remedy: string};

/** Why a program was not given what its file gives, and what to do (security/commoncap.c, cap_bprm_creds_from_file). */
export const explainDropped = (dropped: readonly Raise[]): string =>
  `without its ${dropped.join(' and ')}: the kernel raises nobody who is traced without CAP_SYS_PTRACE; run nsview as root`;

/** Why the kernel refuses BPF (kernel/bpf/syscall.c), and what to do: `during` and `errno` are those of the call that failed. */
export function explainBpfRefusal(during: string, errno: string): Explanation {
  const instead = 'leave --follow out, and nsview follows by ptrace';
  if (errno === 'EPERM' || errno === 'EACCES')
    return {
      rule: 'BPF programs that trace need CAP_BPF and CAP_PERFMON in the initial user namespace, and a seccomp filter or lockdown may forbid them to root as well',
      remedy: `run it as root outside of a container, or ${instead}`,
    };
  if (during.startsWith('open('))
    return {rule: 'the kernel does not describe its structures (CONFIG_DEBUG_INFO_BTF)', remedy: `use a kernel that does, or ${instead}`};
  if (errno === 'ENOSYS') return {rule: 'the kernel has no BPF (CONFIG_BPF_SYSCALL)', remedy: instead};
  return {rule: 'this kernel does not take nsview’s programs, which were tried on Linux 6.1, 6.12 and 6.18', remedy: instead};
}

export const isBpfStep = (during: string): boolean => during.startsWith('bpf(') || during === 'open(/sys/kernel/btf/vmlinux)';

/** Yama's highest scope refuses PTRACE_TRACEME and PTRACE_SEIZE to all, and asks about no BPF program (security/yama/yama_lsm.c). */
const NOBODY_TRACES: Explanation = {
  rule: 'kernel.yama.ptrace_scope is 3: nobody may use ptrace until the next boot',
  remedy: 'run nsview as root and leave --follow out: BPF follows all the same',
};

/** Of a program that nsview itself has launched, so that ids and dumpability are no reason. `yamaScope`: null where there is no Yama. */
export function explainLaunchedRefusal(yamaScope: number | null): Explanation {
  if (yamaScope === 3) return NOBODY_TRACES;
  if (yamaScope === 2)
    return {
      rule: 'kernel.yama.ptrace_scope is 2: tracing takes CAP_SYS_PTRACE, even of one’s own children',
      remedy: 'run nsview as root, or launch with --new user, over which whoever made it has every capability',
    };
  return {
    rule: 'a seccomp filter forbids ptrace, as those of containers may, or a security module does',
    remedy: 'run the container with --cap-add SYS_PTRACE or without the filter',
  };
}

/** A task that was let go, since a program inside wants to trace it. */
export function explainNestedTracer(name: string, pid: number): Explanation {
  return {
    rule: `${name || 'process'} ${pid} traces it, and a process has one tracer at most`,
    remedy: 'nsview watches it from /proc; by BPF, as root, it is followed all the same',
  };
}

const OTHER_USER_NAMESPACE: Explanation = {
  rule: 'it is in another user namespace, over which nsview has no CAP_SYS_PTRACE',
  remedy: 'run nsview in an ancestor of its user namespace, as root there',
};

/** Which rule refused, and what to do about it. */
export function explainPtraceRefusal(evidence: PtraceEvidence, errno: string): Explanation {
  const {pid} = evidence;
  if (errno === 'ESRCH') return {rule: 'the process has ended', remedy: 'nothing is left to attach to'};
  if (errno === 'ENOMEM') return {rule: 'there was no memory to keep track of it', remedy: 'free some memory and attach again'};
  if (evidence.kernelThread) return {rule: 'it is a kernel thread, and those cannot be traced', remedy: 'nsview shows it from /proc'};
  if (evidence.state === 'Z' || evidence.state === 'X')
    return {rule: 'it has exited and is a zombie until its parent waits for it', remedy: 'look at its parent'};
  if (evidence.tracerPid !== 0)
    return {
      rule: `it is already traced, by ${evidence.tracerComm || 'process'} ${evidence.tracerPid}, and a process has one tracer at most`,
      remedy: `end or detach ${evidence.tracerPid} first; until then nsview shows it from /proc`,
    };
  if (evidence.yamaScope === 3) return NOBODY_TRACES;
  if (!evidence.ownHasPtraceCapability) {
    if (evidence.yamaScope === 2)
      return {rule: 'kernel.yama.ptrace_scope is 2: only CAP_SYS_PTRACE may attach', remedy: `run it as root: sudo nsview -p ${pid}`};
    const mine = (ids: readonly number[] | null, own: number) => ids === null || ids.slice(0, 3).every(id => id === own);
    if (!mine(evidence.uids, evidence.ownUid))
      return {
        rule: `its user ids are ${evidence.uids?.slice(0, 3).join('/')}, nsview's is ${evidence.ownUid}, and nsview lacks CAP_SYS_PTRACE`,
        remedy: `run it as root: sudo nsview -p ${pid}`,
      };
    if (!mine(evidence.gids, evidence.ownGid))
      return {
        rule: `its group ids are ${evidence.gids?.slice(0, 3).join('/')}, nsview's is ${evidence.ownGid}, and nsview lacks CAP_SYS_PTRACE`,
        remedy: `run it as root: sudo nsview -p ${pid}`,
      };
    if (evidence.procOwner !== null && evidence.procOwner !== evidence.ownUid)
      return {
        rule: 'it is not dumpable (a set-id or unreadable program, or PR_SET_DUMPABLE 0), and nsview lacks CAP_SYS_PTRACE',
        remedy: `run it as root: sudo nsview -p ${pid}`,
      };
    if (evidence.sameUserNamespace === false) return OTHER_USER_NAMESPACE;
    if (evidence.capabilitiesWithin === false)
      return {
        rule: 'it has capabilities that nsview lacks (security/commoncap.c)',
        remedy: `run it as root: sudo nsview -p ${pid}`,
      };
    if (evidence.yamaScope === 1)
      return {
        rule: 'kernel.yama.ptrace_scope is 1: only descendants may be attached to without CAP_SYS_PTRACE',
        remedy: `run it as root (sudo nsview -p ${pid}), set the sysctl to 0, or launch the program under nsview`,
      };
  }
  if (evidence.ownHasPtraceCapability && evidence.sameUserNamespace === false && !evidence.ownIsInitial) return OTHER_USER_NAMESPACE;
  if (pid === 1)
    return {rule: 'this machine protects its first process (a security module or a seccomp filter)', remedy: 'nsview shows it from /proc'};
  return {
    rule: 'a security module (SELinux, AppArmor, Landlock, BPF LSM) or a seccomp filter must have refused: no other rule does',
    remedy: 'see the audit log (dmesg, ausearch -m avc); nsview doctor tells which modules are active',
  };
}
