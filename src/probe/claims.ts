// Knows how to have nsview-claims try what the kernel promises, or hold a demonstration of it, and hear it line by line.

import {Socket} from 'node:net';
import {createInterface} from 'node:readline';
import * as z from 'zod';
import {type Claim, type Demonstration, manLink, type ToldClaim} from '../model/claim.ts';
import {isRefusal, type Refusal} from '../model/fact.ts';
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

const [TRY, LIST, HOLD] = [0, 1, 2];

/** Starts it: pid, fd of its lines, fd of its stdin. */
function startProgram(flag: string, how: number): readonly number[] | Refusal {
  const native = loadNative();
  const ret = new Int32Array(3);
  const started = native.claimsStart(native.claimsPath, flag, how, ret);
  return started < 0 ? {errno: errnoName(-started), during: 'nsview-claims'} : [...ret];
}

/** Those of one flag, or of all (''); `list` tries none, and calls them held. Waits for each line. */
export function startClaims({flag, list}: {flag: Claim['flag']; list: boolean}): Iterable<ToldClaim> | Refusal {
  const started = startProgram(flag, list ? LIST : TRY);
  if (isRefusal(started)) return started;
  const [pid = 0, fd = -1] = started;
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

const DEMONSTRATION = z.object({
  flag: text,
  pid: z.number().int(),
  late: z.boolean(),
  tab: z.enum(['namespaces', 'mounts', 'cgroup', 'identity', 'network', 'sharing']),
  look: text,
  sentence: text,
}) satisfies z.ZodType<Demonstration>;
const REFUSED = z.object({refused: text});
const AT_REST = z.object({processes: z.array(z.object({pid: z.number().int(), name: text})), select: z.number().int()});

type Refused = z.infer<typeof REFUSED>;

export type Held = {
  readonly shows: Demonstration;
  /** Makes its processes: those, the first of them its first, and the pid of the one to look at; or why not. */
  begin(): Promise<z.infer<typeof AT_REST> | Refused>;
  /** Ends all of them, and waits for that. When nsview is killed, the end of its pipe does the same. */
  end(): void;
};

/** The first process of a demonstration of that flag, which waits to begin; or why there is none. */
export async function holdDemonstration(flag: string): Promise<Held | Refused | Refusal> {
  const started = startProgram(flag, HOLD);
  if (isRefusal(started)) return started;
  const [pid = 0, fd = -1, life = -1] = started;
  const native = loadNative();
  const output = new Socket({fd, writable: false});
  const told = createInterface({input: output})[Symbol.asyncIterator]();
  const next = async (): Promise<unknown> => {
    const {value, done} = await told.next();
    return done ? {refused: 'nsview-claims has ended'} : JSON.parse(value);
  };
  let ended = false;
  const end = () => {
    if (ended) return;
    ended = true;
    native.close(life);
    output.destroy();
    native.claimsEnd(pid, -1);
  };
  const first = z.union([REFUSED, DEMONSTRATION]).parse(await next());
  if ('refused' in first) {
    end();
    return first;
  }
  return {
    shows: first,
    begin: async () => {
      native.write(life, Buffer.from('\n'), 1);
      return z.union([REFUSED, AT_REST]).parse(await next());
    },
    end,
  };
}
