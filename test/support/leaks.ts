// Knows what nsview could leave behind, and looks for it.

import {readdirSync, readFileSync, readlinkSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {afterEach, beforeEach, expect} from 'vitest';
import {patient} from './patience.ts';
import {foundBySanitizers} from './sanitizer.ts';

type Traces = {
  readonly helpers: readonly string[];
  readonly traced: readonly string[];
  readonly zombies: readonly string[];
  readonly stopped: readonly string[];
  /** What a test started, by the environment that it inherited. */
  readonly running: readonly string[];
  /** Fds of BPF programs, maps and links that any process holds. */
  readonly bpf: readonly string[];
  readonly namespaces: readonly string[];
  readonly mounts: string;
  readonly cgroups: readonly string[];
  readonly files: readonly string[];
  readonly fds: number;
};

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function cgroupDirectories(folder: string, depth: number): string[] {
  try {
    return readdirSync(folder, {withFileTypes: true})
      .filter(entry => entry.isDirectory())
      .flatMap(entry => [`${folder}/${entry.name}`, ...(depth > 0 ? cgroupDirectories(`${folder}/${entry.name}`, depth - 1) : [])]);
  } catch {
    return [];
  }
}

/** Processes that tests start carry this, whoever becomes their parent. */
const MARK = `NSVIEW_TEST=${process.pid}\0`;
process.env.NSVIEW_TEST = String(process.pid);

/** Not by another test file beside this one. */
const isOwn = (path: string): boolean => [...path.matchAll(/nsview-test-(\d+)/g)].every(([, pid]) => pid === String(process.pid));

/** Nobody else is here (test/support/alone.ts). On the machine there is, and only who has the environment of a test is its own. */
const IS_ALONE = read('/proc/1/environ').includes('NSVIEW_TEST_PIDS=');

function bpfObjects(pid: string): string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).flatMap(fd => {
      const target = readlinkSync(`/proc/${pid}/fd/${fd}`);
      return target.includes('bpf') ? [`${pid} ${fd} ${target}`] : [];
    });
  } catch {
    return [];
  }
}

/** The helper, and those that it leaves behind for a reason. */
const HELPERS = /^nsview-(helper|guard|keeper)$/;

function lookAround(): Traces {
  const helpers: string[] = [];
  const traced: string[] = [];
  const zombies: string[] = [];
  const stopped: string[] = [];
  const running: string[] = [];
  const bpf: string[] = [];
  const namespaces = new Set<string>();
  for (const pid of readdirSync('/proc').filter(name => /^[0-9]+$/.test(name))) {
    const isMarked = read(`/proc/${pid}/environ`).includes(MARK);
    const status = read(`/proc/${pid}/status`);
    const name = /^Name:\t(.*)/m.exec(status)?.[1] ?? '';
    const state = /^State:\t(.)/m.exec(status)?.[1] ?? '';
    const isZombie = state === 'Z' && Number(/^PPid:\t(\d+)/m.exec(status)?.[1]) === process.pid;
    if (!IS_ALONE && !isMarked && !isZombie) continue;
    if (state !== 'Z' && HELPERS.test(name)) helpers.push(`${name} ${pid}`);
    if (/^TracerPid:\t[1-9]/m.test(status)) traced.push(`${name} ${pid}`);
    if (isZombie) zombies.push(`${name} ${pid}`);
    if (state === 'T' || state === 't') stopped.push(`${name} ${pid}`);
    const ours = state !== 'Z' && isMarked;
    if (ours) running.push(`${name} ${pid}`);
    if (ours || HELPERS.test(name)) bpf.push(...bpfObjects(pid));
    for (const kind of ['user', 'mnt', 'pid', 'net', 'uts', 'ipc', 'cgroup', 'time'])
      try {
        namespaces.add(readlinkSync(`/proc/${pid}/ns/${kind}`));
      } catch {
        // Gone, or refused before and after alike.
      }
  }
  return {
    helpers,
    traced,
    zombies,
    stopped,
    running,
    bpf,
    namespaces: [...namespaces].sort(),
    mounts: read('/proc/self/mountinfo'),
    // Others make theirs at any time, for all of the machine to see; those of the tests have this name, and the number of their process.
    cgroups: cgroupDirectories('/sys/fs/cgroup', 3)
      .filter(path => path.includes('/nsview') && isOwn(path))
      .sort(),
    files: readdirSync(tmpdir()).filter(name => name.startsWith('nsview')),
    fds: readdirSync('/proc/self/fd').length,
  };
}

/** What this process has open, by fd. */
const openFds = (): string[] =>
  readdirSync('/proc/self/fd').flatMap(fd => {
    try {
      return [`${fd} ${readlinkSync(`/proc/self/fd/${fd}`)}`];
    } catch {
      // The folder's own.
      return [];
    }
  });

/** The lines of one text alone: `- ` the first, `+ ` the second. */
function linesApart(before: string, after: string): string[] {
  const [then, now] = [before.split('\n'), after.split('\n')];
  return [
    ...then.filter(line => !now.includes(line)).map(line => `- ${line}`),
    ...now.filter(line => !then.includes(line)).map(line => `+ ${line}`),
  ];
}

/** What came; and that a mount went. Of the rest, what went was somebody else's, and so is the time at which it did. */
function leftBy(before: Traces, after: Traces): Partial<Traces> {
  const left: {[what: string]: unknown} = {};
  for (const [what, now] of Object.entries(after)) {
    const then: unknown = before[what as keyof Traces];
    if (Array.isArray(now) && Array.isArray(then)) {
      const came: unknown[] = now.filter(one => !then.includes(one));
      if (came.length > 0) left[what] = came;
    } else if (typeof now === 'string' && typeof then === 'string') {
      if (now !== then) left[what] = linesApart(then, now);
    } else if (typeof now === 'number' ? now > Number(then) : now !== then) left[what] = now;
  }
  return left;
}

/** Call at the top of a test file: after each test, the machine must be as it was before. */
export function leaveNothingBehind(): void {
  let before: Traces;
  beforeEach(() => {
    before = lookAround();
  });
  afterEach(async () => {
    if (process.env.NSVIEW_SANITIZED) expect(foundBySanitizers()).toBe('');
    // The kernel takes a moment to tear a namespace or a process down after the last wait.
    for (const limit = Date.now() + patient(3000); ; await new Promise(resolve => setTimeout(resolve, 50))) {
      const after = lookAround();
      const left = leftBy(before, after);
      if (Object.keys(left).length === 0 || Date.now() > limit) {
        expect(left, `open are ${openFds().join(', ')}`).toEqual({});
        return;
      }
    }
  });
}
