// Knows how to have nsview-claims try what the kernel promises, and hear it line by line.

import {z} from 'zod';
import {type Claim, manLink, type ToldClaim} from '../model/claim.ts';
import type {Refusal} from '../model/fact.ts';
import {errnoName} from './errno.ts';
import {loadNative} from './native.ts';

const text = z.string();
const CLAIM = z.object({
  number: z.number().int(),
  flag: text,
  id: text,
  sentence: text,
  man: text,
  section: text,
  file: text,
  function: text,
  verdict: z.enum(['held', 'broken', 'skipped']).default('held'),
  reason: text.exactOptional(),
});

/** Those of one flag, or of all (''); `list` tries none, and calls them held. Waits for each line. */
export function startClaims({flag, list}: {flag: Claim['flag']; list: boolean}): Iterable<ToldClaim> | Refusal {
  const native = loadNative();
  const ret = new Int32Array(2);
  const started = native.claimsStart(native.claimsPath, flag, Number(list), ret);
  if (started < 0) return {errno: errnoName(-started), during: 'nsview-claims'};
  const [pid = 0, fd = -1] = ret;
  return lines(pid, fd);
}

function* lines(pid: number, fd: number): Generator<ToldClaim> {
  const native = loadNative();
  const buffer = Buffer.alloc(8192);
  let rest = '';
  try {
    for (let n = native.read(fd, buffer, buffer.length); n > 0; n = native.read(fd, buffer, buffer.length)) {
      rest += buffer.toString('latin1', 0, n);
      const whole = rest.split('\n');
      rest = whole.pop() ?? '';
      for (const line of whole) {
        const claim = CLAIM.parse(JSON.parse(line));
        yield {...claim, link: manLink(claim.man)};
      }
    }
  } finally {
    native.claimsEnd(pid, fd);
  }
}
