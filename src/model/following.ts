// Knows how to say by which of its ways nsview follows a tree.

import type {TracerFact} from './fact.ts';

/** `BPF`, or `ptrace, every call stops`. */
export function followedBy(tracer: Pick<TracerFact, 'mode' | 'callsBy'>): string {
  if (tracer.mode === 'bpf') return 'BPF';
  if (tracer.callsBy === 'stops') return 'ptrace, every call stops';
  return tracer.callsBy === 'filter' ? 'ptrace, seccomp filter' : 'ptrace';
}

/** Calls such as mount and unshare are told by events. */
export const seesCalls = ({sees}: TracerFact): boolean => sees.includes('isolation calls');
