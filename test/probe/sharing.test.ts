import {describe, expect, it} from 'vitest';
import {isRefusal} from '../../src/model/fact.ts';
import {SHAREABLE, type Shareable, type Sharing} from '../../src/model/sharing.ts';
import {readSharing, sharingSchema} from '../../src/probe/sharing.ts';
import {leaveNothingBehind} from '../support/leaks.ts';
import {start} from '../support/nsview.ts';
import {fixture} from '../support/paths.ts';

leaveNothingBehind();

function read(pid: number): Sharing {
  const seen = readSharing(pid);
  if (isRefusal(seen)) throw new Error(`${seen.during}: ${seen.errno}`);
  expect(sharingSchema.parse(JSON.parse(JSON.stringify(seen)))).toEqual(seen);
  return seen;
}

/** Whom it shares that with. */
function sharers(pid: number, kind: Shareable): string[] {
  const {objects} = read(pid);
  if (isRefusal(objects)) throw new Error(`${objects.during}: ${objects.errno}`);
  const object = objects.find(one => one.kind === kind);
  expect(object?.count).toBe(object?.with.length);
  return (object?.with ?? []).map(({pid: other, relation}) => `${relation} ${other}`);
}

const kinds = SHAREABLE.map(({kind}) => kind);

describe('what clone(2) shares', () => {
  it.each([['files'], ['fs'], ['vm'], ['io'], ['sysvsem'], ['vm', 'sighand'], ['files', 'fs', 'io']] as const)(
    '%s %s %s',
    async (...flags) => {
      await using parent = start(fixture('shares-by-clone'), ...flags);
      const [, sharing = '', apart = ''] = await parent.says(/children (\d+) (\d+)\nready/);
      for (const kind of kinds) {
        const shared = flags.some(flag => flag === kind);
        expect([kind, sharers(parent.pid, kind)]).toEqual([kind, shared ? [`child ${sharing}`] : []]);
        expect([kind, sharers(Number(sharing), kind)]).toEqual([kind, shared ? [`parent ${parent.pid}`] : []]);
        expect([kind, sharers(Number(apart), kind)]).toEqual([kind, []]);
      }
      parent.release();
      await parent.ended;
    },
  );
});
