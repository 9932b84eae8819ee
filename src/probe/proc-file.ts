// Knows how to read a file or a link of /proc whole and fast, and that either may be refused or gone at any moment.

import {closeSync, openSync, readdirSync, readlinkSync, readSync} from 'node:fs';
import {isRefusal, type Refusal, type Seen} from '../model/fact.ts';

/** The call and errno of an error that node:fs threw. */
export function refusalOf(error: unknown, during: string): Refusal {
  const code = error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : 'EIO';
  return {errno: code, during};
}

/** The process or thread is not there (any more): open gives ENOENT, a file that was open ESRCH (fs/proc/base.c). */
export function isGone(refusal: Refusal): boolean {
  return refusal.errno === 'ENOENT' || refusal.errno === 'ESRCH';
}

// One buffer for all reads: they are synchronous, and what is returned is a copy.
let buffer = Buffer.allocUnsafe(65536);

/** Reads the file into the buffer: how many bytes. */
function fill(path: string): Seen<number> {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch (error) {
    return refusalOf(error, 'open');
  }
  try {
    let used = 0;
    for (;;) {
      if (used === buffer.length) {
        const larger = Buffer.allocUnsafe(buffer.length * 2);
        buffer.copy(larger);
        buffer = larger;
      }
      const count = readSync(fd, buffer, used, buffer.length - used, null);
      if (count === 0) return used;
      used += count;
    }
  } catch (error) {
    return refusalOf(error, 'read');
  } finally {
    closeSync(fd);
  }
}

/** The file's bytes. */
export function readBytes(path: string): Seen<Buffer> {
  const size = fill(path);
  return isRefusal(size) ? size : Buffer.from(buffer.subarray(0, size));
}

/** The file as text; bytes that are not UTF-8 become U+FFFD. */
export function readText(path: string): Seen<string> {
  const size = fill(path);
  return isRefusal(size) ? size : buffer.toString('utf8', 0, size);
}

export function readLink(path: string): Seen<string> {
  try {
    return readlinkSync(path);
  } catch (error) {
    return refusalOf(error, 'readlink');
  }
}

/** The names in a directory that are numbers: pids of /proc, tids of task/, ascending. */
export function readNumbers(path: string): Seen<number[]> {
  let names: string[];
  try {
    names = readdirSync(path);
  } catch (error) {
    return refusalOf(error, 'getdents64');
  }
  const numbers: number[] = [];
  for (const name of names) {
    const first = name.charCodeAt(0);
    if (first >= 48 && first <= 57) numbers.push(Number(name));
  }
  return numbers.sort((a, b) => a - b);
}
