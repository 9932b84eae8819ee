// Knows the names of errnos and signals as this machine numbers them.

import {constants} from 'node:os';

const errnoNames = new Map<number, string>();
// Several names can share a number (EAGAIN, EWOULDBLOCK): the first is the kernel's own, but for ENOTSUP, which only the C library has.
for (const [name, value] of Object.entries(constants.errno)) if (name !== 'ENOTSUP' && !errnoNames.has(value)) errnoNames.set(value, name);

/** What Node has no name for (asm-generic/errno-base.h, asm-generic/errno.h); of no such number other architectures of nsview's differ. */
const REST: readonly (readonly [first: number, names: string])[] = [
  [15, 'ENOTBLK'],
  [44, 'ECHRNG EL2NSYNC EL3HLT EL3RST ELNRNG EUNATCH ENOCSI EL2HLT EBADE EBADR EXFULL ENOANO EBADRQC EBADSLT'],
  [59, 'EBFONT'],
  [64, 'ENONET ENOPKG EREMOTE'],
  [68, 'EADV ESRMNT ECOMM'],
  [73, 'EDOTDOT'],
  [76, 'ENOTUNIQ EBADFD EREMCHG ELIBACC ELIBBAD ELIBSCN ELIBMAX ELIBEXEC'],
  [85, 'ERESTART ESTRPIPE EUSERS'],
  [94, 'ESOCKTNOSUPPORT'],
  [96, 'EPFNOSUPPORT'],
  [108, 'ESHUTDOWN ETOOMANYREFS'],
  [112, 'EHOSTDOWN'],
  [117, 'EUCLEAN ENOTNAM ENAVAIL EISNAM EREMOTEIO'],
  [123, 'ENOMEDIUM EMEDIUMTYPE'],
  [126, 'ENOKEY EKEYEXPIRED EKEYREVOKED EKEYREJECTED EOWNERDEAD ENOTRECOVERABLE ERFKILL EHWPOISON'],
];
for (const [first, names] of REST) for (const [index, name] of names.split(' ').entries()) errnoNames.set(first + index, name);

const signalNames = new Map<number, string>();
for (const [name, value] of Object.entries(constants.signals)) if (!signalNames.has(value)) signalNames.set(value, name);

/** `errnoName(1)` is `EPERM`; a number without a name is `errno 4095`. */
export function errnoName(errno: number): string {
  return errnoNames.get(errno) ?? `errno ${errno}`;
}

/** `signalName(9)` is `SIGKILL`; real-time signals count from the kernel's first, 32 (signal(7)). */
export function signalName(signal: number): string {
  return signalNames.get(signal) ?? (signal >= 32 && signal <= 64 ? `SIGRT_${signal - 32}` : `signal ${signal}`);
}

/** The other way round: 0 for what is no signal's name. */
export function signalNumber(name: string): number {
  const realTime = /^SIGRT_(\d+)$/.exec(name);
  return realTime === null ? (constants.signals[name as NodeJS.Signals] ?? 0) : 32 + Number(realTime[1]);
}
