// Knows in which order the test files begin: the longest first, so that none of them is left to run alone at the end.

import {BaseSequencer, type TestSpecification} from 'vitest/node';

/** Seconds on two CPUs, about; all others take less. A fresh checkout knows nothing of former runs, and the size of a file tells little. */
const SECONDS: {readonly [file: string]: number} = {
  'trace/hard-cases': 85,
  'e2e/screen': 65,
  'trace/launch-options': 50,
  'trace/launch': 40,
  'trace/unnoticed': 38,
  'frames/frames': 35,
  'trace/attach': 25,
  'trace/bpf': 25,
  'probe/containers': 20,
  'trace/calls': 18,
  'trace/stops': 18,
  'claims-watch': 12,
  'trace/storms': 12,
  claims: 10,
  'probe/flatpak': 10,
  'probe/snapshot': 9,
  cross: 8,
};

const secondsOf = ({moduleId}: TestSpecification): number => SECONDS[/\/test\/(.*)\.test\.tsx?$/.exec(moduleId)?.[1] ?? ''] ?? 0;

export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const order = ({project}: TestSpecification) => project.config.sequence.groupOrder;
    // The projects stay one after the other, each in one piece.
    return (await super.sort(files)).toSorted((one, other) => order(one) - order(other) || secondsOf(other) - secondsOf(one));
  }
}
