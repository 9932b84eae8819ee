// Knows how to attach nsview to a process, and when it is done.

import {existsSync, readFileSync} from 'node:fs';
import {expect} from 'vitest';
import {type AttachedHow, followBy, nsview, type Running} from './nsview.ts';
import {patient} from './patience.ts';

export const status = (pid: number, key: string): string =>
  new RegExp(`^${key}:\\t(.*)$`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? '';
export const tracerOf = (pid: number): number => Number(status(pid, 'TracerPid'));

/** Until it holds; for `patience` at most, in milliseconds. */
export async function until(holds: () => boolean, what: string, patience = 20_000): Promise<void> {
  for (const limit = Date.now() + patient(patience); !holds(); await new Promise(resolve => setTimeout(resolve, 10)))
    if (Date.now() > limit) throw new Error(`never: ${what}`);
}

/** The tape is at `file`, or on stderr. */
export async function attached(how: AttachedHow, pid: number, file?: string): Promise<Running> {
  const tracer = nsview('trace', '--json', ...followBy(how), ...(file === undefined ? [] : ['-o', file]), '-p', String(pid));
  const told = () => (file === undefined ? tracer.stderr : existsSync(file) ? readFileSync(file, 'utf8') : '');
  await until(() => told().includes('"kind":"tracer"'), `attached to ${pid}; ${tracer.stderr}`);
  expect(tracerOf(pid)).toBe(how === 'bpf' ? 0 : helperOf(tracer));
  return tracer;
}

export const helperOf = (tracer: Running): number => Number(readFileSync(`/proc/${tracer.pid}/task/${tracer.pid}/children`, 'utf8'));
