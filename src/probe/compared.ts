// Knows how to get a snapshot that a person names: by a pid, whose tree is read now, or by a file that a stranger may have written.

import {readFileSync} from 'node:fs';
import {parsePid} from '../model/command-line.ts';
import type {Snapshot} from '../model/fact.ts';
import {printable} from '../model/printable.ts';
import {type Parsed, parseSnapshot} from './schemas.ts';
import {readSnapshot} from './snapshot.ts';

const refuse = (problem: string): Parsed<Snapshot> => ({ok: false, problem});

function readTree(pid: number, version: string): Parsed<Snapshot> {
  const value = readSnapshot({version, root: pid});
  return value.processes.some(process => process.pid === pid)
    ? {ok: true, value}
    : refuse(`no process has pid ${pid}; nsview snapshot lists those that there are`);
}

function readFile(path: string): Parsed<Snapshot> {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'EIO';
    return refuse(`${printable(path)}: ${code}; it takes a pid, or a file of nsview snapshot -p PID --json`);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return refuse(`${printable(path)} is no JSON; nsview snapshot -p PID --json writes what diff reads`);
  }
  const parsed = parseSnapshot(value);
  return parsed.ok ? parsed : refuse(`${printable(path)} is no snapshot: ${printable(parsed.problem)}`);
}

/** A word that is a pid is one; ./1234 is a file. */
export function readCompared(word: string, version: string): Parsed<Snapshot> {
  const pid = parsePid(word);
  return pid === null ? readFile(word) : readTree(pid, version);
}
