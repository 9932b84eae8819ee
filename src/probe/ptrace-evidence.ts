// Knows where to look for the rule that refused ptrace.

import {statSync} from 'node:fs';
import {isRefusal} from '../model/fact.ts';
import {INITIAL_USER} from '../model/namespace.ts';
import {type Explanation, explainPtraceRefusal, type PtraceEvidence} from '../model/refusal.ts';
import {readLink, readText} from './proc-file.ts';
import {decodeCredentials, isOfKernel, readStat, readStatus, readTracerProcess} from './process.ts';

/** Bit 19 (include/uapi/linux/capability.h). */
const CAP_SYS_PTRACE = 1n << 19n;

const mask = (hexadecimal: string): bigint => (/^[0-9a-f]+$/.test(hexadecimal) ? BigInt(`0x${hexadecimal}`) : 0n);

/** kernel.yama.ptrace_scope, or null where there is no Yama. */
export function readYamaScope(): number | null {
  const text = readText('/proc/sys/kernel/yama/ptrace_scope');
  return isRefusal(text) ? null : Number(text);
}

function permittedOf(pid: number): bigint | null {
  const text = readText(`/proc/${pid}/status`);
  return isRefusal(text) ? null : mask(decodeCredentials(text).capabilities.permitted);
}

/** The link is for who may trace it; the map of ids is for all. Two namespaces may have the same: then it cannot be told. */
function isInOwnUserNamespace(pid: number): boolean | null {
  const [theirs, own] = [readLink(`/proc/${pid}/ns/user`), readLink('/proc/self/ns/user')];
  if (!isRefusal(theirs) && !isRefusal(own)) return theirs === own;
  const [map, ownMap] = [readText(`/proc/${pid}/uid_map`), readText('/proc/self/uid_map')];
  return isRefusal(map) || isRefusal(ownMap) || map === ownMap ? null : false;
}

function readPtraceEvidence(pid: number): PtraceEvidence {
  const stat = readStat(pid);
  const status = readStatus(pid);
  const own = readStatus(process.pid);
  const tracerTid = isRefusal(status) ? 0 : status.tracerPid;
  const tracer = readTracerProcess(tracerTid);
  let procOwner: number | null = null;
  try {
    procOwner = statSync(`/proc/${pid}/environ`).uid;
  } catch {
    // Gone, or hidden by hidepid: then it says nothing.
  }
  const [permitted, ownPermitted] = [permittedOf(pid), permittedOf(process.pid)];
  const ownCapabilities = isRefusal(own) ? 0n : mask(own.capabilities);
  return {
    pid,
    comm: isRefusal(stat) ? '' : stat.comm,
    state: isRefusal(stat) ? null : stat.state,
    kernelThread: !isRefusal(stat) && isOfKernel(stat),
    tracerPid: tracer?.pid ?? tracerTid,
    tracerComm: tracer?.comm ?? '',
    yamaScope: readYamaScope(),
    ownUid: process.getuid?.() ?? 0,
    ownGid: process.getgid?.() ?? 0,
    ownHasPtraceCapability: (ownCapabilities & CAP_SYS_PTRACE) !== 0n,
    uids: isRefusal(status) || isRefusal(status.uids) ? null : [status.uids[0], status.uids[1], status.uids[2]],
    gids: isRefusal(status) || isRefusal(status.gids) ? null : [status.gids[0], status.gids[1], status.gids[2]],
    sameUserNamespace: isInOwnUserNamespace(pid),
    ownIsInitial: readLink('/proc/self/ns/user') === `user:[${INITIAL_USER}]`,
    procOwner,
    capabilitiesWithin: permitted === null || ownPermitted === null ? null : (permitted & ~ownPermitted) === 0n,
  };
}

export function explainRefusal(pid: number, errno: string): Explanation {
  return explainPtraceRefusal(readPtraceEvidence(pid), errno);
}
