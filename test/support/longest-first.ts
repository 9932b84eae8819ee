// Knows in which order the test files begin: the longest first, so that none of them is left to run alone at the end.

import {BaseSequencer, type TestSpecification} from 'vitest/node';

/** Seconds on two CPUs, about; all others take less. A fresh checkout knows nothing of former runs, and the size of a file tells little. */
const SECONDS: {readonly [file: string]: number} = {
  'trace/hard-cases': 85,
  'e2e/screen': 70,
  'trace/launch': 60,
  'frames/frames': 50,
  'trace/launch-options': 50,
  'trace/storms': 45,
  'trace/unnoticed': 42,
  'trace/attach': 42,
  'trace/then': 38,
  'trace/calls': 32,
  'programs/worker-pool': 31,
  'programs/web-server': 31,
  'trace/bpf': 30,
  cross: 26,
  'trace/stops': 24,
  'probe/diff': 23,
  'programs/linked-networks': 21,
  'programs/nested-users': 17,
  vagrant: 13,
  'programs/void-process': 13,
  'trace/cgroup-moves': 13,
  'probe/snapshot': 12,
  'model/comparison': 12,
  'probe/network': 12,
  claims: 11,
  'claims-watch': 11,
  'probe/cgroup': 10,
};

const secondsOf = ({moduleId}: TestSpecification): number => SECONDS[/\/test\/(.*)\.test\.tsx?$/.exec(moduleId)?.[1] ?? ''] ?? 0;

export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const order = ({project}: TestSpecification) => project.config.sequence.groupOrder;
    // The projects stay one after the other, each in one piece.
    return (await super.sort(files)).toSorted((one, other) => order(one) - order(other) || secondsOf(other) - secondsOf(one));
  }
}
