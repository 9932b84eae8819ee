// Knows how to read how a process is scheduled and what else it executes under that a child inherits.

import * as z from 'zod';
import {isRefusal, type Seen} from '../model/fact.ts';
import {HABITS, type Habit} from '../model/tree-details.ts';
import {readText} from './proc-file.ts';
import {statusLine} from './process.ts';

type Habits = {readonly [habit in Habit]?: Seen<string>};

export const habitsSchema: z.ZodType<Habits> = z.partialRecord(
  z.enum(HABITS),
  z.union([z.string(), z.object({errno: z.string(), during: z.string()})]),
);

/** sched(7); numbers of linux/sched.h. */
const POLICIES: {readonly [policy: string]: string} = {
  '0': 'SCHED_OTHER',
  '1': 'SCHED_FIFO',
  '2': 'SCHED_RR',
  '3': 'SCHED_BATCH',
  '5': 'SCHED_IDLE',
  '6': 'SCHED_DEADLINE',
  '7': 'SCHED_EXT',
};

/** proc_pid_stat(5): nice, rt_priority and policy are fields 19, 40 and 41; two fields end with the last parenthesis. */
function scheduling(stat: string): string {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [nice = '', priority = '', policy = ''] = [fields[16], fields[37], fields[38]];
  return `${POLICIES[policy] ?? policy}${priority === '0' ? ` nice ${nice}` : ` priority ${priority}`}`;
}

/** By lines of /proc/PID/status: those that this kernel or this machine does not have are left out. */
const LINES: readonly (readonly [Habit, string])[] = [
  ['CPUs', 'Cpus_allowed_list'],
  ['memory nodes', 'Mems_allowed_list'],
  ['THP_enabled', 'THP_enabled'],
  ['Speculation_Store_Bypass', 'Speculation_Store_Bypass'],
  ['SpeculationIndirectBranch', 'SpeculationIndirectBranch'],
];

/** The kernel was built without it, or the process is ending and has no memory any more. */
const isAbsent = (text: Seen<string>): boolean => text === '' || (isRefusal(text) && text.errno === 'ENOENT');

/** `status`: the text of /proc/PID/status. */
export function readHabits(pid: number, status: Seen<string>): Habits {
  const habits: {[habit in Habit]?: Seen<string>} = {};
  const stat = readText(`/proc/${pid}/stat`);
  habits.scheduling = isRefusal(stat) ? stat : scheduling(stat);
  if (!isRefusal(status))
    for (const [habit, key] of LINES) {
      const value = statusLine(status, `${key}:`);
      if (value !== undefined) habits[habit] = value;
    }
  for (const [habit, file] of [
    ['timer slack', 'timerslack_ns'],
    ['personality', 'personality'],
    ['coredump_filter', 'coredump_filter'],
  ] as const) {
    const text = readText(`/proc/${pid}/${file}`);
    if (!isAbsent(text)) habits[habit] = isRefusal(text) ? text : text.trim();
  }
  return habits;
}
