// Knows what nsview was started with, to the byte: what a launched program is to inherit.

import {readFileSync} from 'node:fs';

/** What bin/nsview kept, before the shell and Node changed it. */
export type Inheritance = {
  /** `NAME=value`, in the order in which they came, whatever their bytes. */
  readonly environment: readonly Buffer[];
  readonly softNofile: bigint;
  readonly ignoredSignals: bigint;
  readonly blockedSignals: bigint;
};

/** Strings that end in a NUL each, as in /proc/PID/environ and /proc/PID/cmdline. */
function splitStrings(bytes: Buffer): Buffer[] {
  const strings: Buffer[] = [];
  for (let at = 0, end = 0; at < bytes.length; at = end + 1) {
    end = bytes.indexOf(0, at);
    if (end < 0) end = bytes.length;
    strings.push(bytes.subarray(at, end));
  }
  return strings;
}

const signalMask = (hexadecimal: string | undefined): bigint =>
  hexadecimal !== undefined && /^[0-9a-f]{1,16}$/.test(hexadecimal) ? BigInt(`0x${hexadecimal}`) : 0n;

/** As bin/nsview kept it: in hexadecimal, or in the file behind an fd. Null where it could not. */
function readKept(kept: string | undefined): Buffer | null {
  if (kept?.startsWith('=')) return Buffer.from(kept.replaceAll(/[\s=]/g, ''), 'hex');
  const fd = /^@(\d+)$/.exec(kept ?? '')?.[1];
  if (fd === undefined) return null;
  try {
    return readFileSync(`/proc/self/fd/${fd}`);
  } catch {
    return null;
  }
}

export function readInheritance(): Inheritance {
  const {NSVIEW_SOFT_NOFILE, NSVIEW_SIGIGN, NSVIEW_SIGBLK, NSVIEW_FDS: _, NSVIEW_ENVIRON, ...rest} = process.env;
  const kept = readKept(NSVIEW_ENVIRON);
  return {
    // Where it was not kept: what the shell made of it.
    environment: kept === null ? Object.entries(rest).map(([name, value]) => Buffer.from(`${name}=${value}`)) : splitStrings(kept),
    softNofile: NSVIEW_SOFT_NOFILE !== undefined && /^[0-9]{1,18}$/.test(NSVIEW_SOFT_NOFILE) ? BigInt(NSVIEW_SOFT_NOFILE) : 0n,
    ignoredSignals: signalMask(NSVIEW_SIGIGN),
    blockedSignals: signalMask(NSVIEW_SIGBLK),
  };
}

/** The end of nsview's own arguments as bytes: Node gives them as UTF-8, which file names need not be. */
export function rawArguments(argv: readonly string[]): readonly Uint8Array[] {
  const raw = splitStrings(readFileSync('/proc/self/cmdline')).slice(-argv.length);
  return raw.length === argv.length && raw.every((bytes, index) => bytes.toString() === argv[index])
    ? raw
    : argv.map(argument => Buffer.from(argument));
}
