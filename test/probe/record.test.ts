import {readdirSync, readFileSync} from 'node:fs';
import fc from 'fast-check';
import {describe, expect, it} from 'vitest';
import {cloneFlagNames} from '../../src/model/clone-flag.ts';
import {decodeRecords, RECORD_LAYOUT, RecordError} from '../../src/probe/record.ts';
import {parseFact, parseHeader} from '../../src/probe/schemas.ts';
import {decodeExit} from '../../src/probe/tracer.ts';

/** A record as the helper writes it, from the layout alone. */
function encode(kind: number, texts: readonly string[]): Buffer {
  const bodies = texts.map(text => Buffer.from(text));
  const size = RECORD_LAYOUT[0] + bodies.reduce((sum, body) => sum + body.length, 0);
  const bytes = Buffer.alloc((size + 7) & ~7);
  bytes.writeUInt32LE(bytes.length, 0);
  bytes.writeUInt16LE(kind, 4);
  bytes.writeUInt16LE(texts.length, 6);
  bytes.writeInt32LE(4130, 16);
  bytes.writeBigUInt64LE(0x3_0000_0080n, 40);
  let at: number = RECORD_LAYOUT[0];
  for (const [index, body] of bodies.entries()) {
    bytes.writeUInt32LE(body.length, 56 + 4 * index);
    body.copy(bytes, at);
    at += body.length;
  }
  return bytes;
}

describe('records', () => {
  it('come out whole however the pipe cuts them', () => {
    const whole = Buffer.concat([encode(4, []), encode(5, ['bash', '/bin/bash', 'bash\0-c\0']), encode(6, [])]);
    fc.assert(
      fc.property(fc.array(fc.integer({min: 1, max: whole.length}), {maxLength: 20}), cuts => {
        const kinds: number[] = [];
        let pending: Buffer = Buffer.alloc(0);
        let from = 0;
        for (const cut of [...cuts.sort((a, b) => a - b), whole.length]) {
          pending = Buffer.concat([pending, whole.subarray(from, cut)]);
          from = Math.max(from, cut);
          const {records, used} = decodeRecords(pending);
          kinds.push(...records.map(record => record.kind));
          pending = pending.subarray(used);
        }
        expect(kinds).toEqual([4, 5, 6]);
        expect(pending.length).toBe(0);
      }),
    );
  });

  it('carry their texts and numbers', () => {
    const [record] = decodeRecords(encode(5, ['bash', '', 'a\0b\0'])).records;
    expect(record?.texts.map(String)).toEqual(['bash', '', 'a\0b\0']);
    expect(record?.pid).toBe(4130);
    expect(record?.value).toBe(0x3_0000_0080n);
  });

  it('of random bytes are an error of their own or none, never a crash', () => {
    fc.assert(
      fc.property(fc.uint8Array({maxLength: 2000}), bytes => {
        try {
          expect(decodeRecords(Buffer.from(bytes)).used).toBeLessThanOrEqual(bytes.length);
        } catch (error) {
          expect(error).toBeInstanceOf(RecordError);
        }
      }),
    );
  });
});

describe('names', () => {
  it('of clone flags are the kernel’s, and unknown bits stay visible', () => {
    expect(cloneFlagNames(0x3_0000_0080n)).toEqual(['CLONE_NEWTIME', 'CLONE_CLEAR_SIGHAND', 'CLONE_INTO_CGROUP']);
    expect(cloneFlagNames(0x7c02_0000n)).toEqual([
      'CLONE_NEWNS',
      'CLONE_NEWUTS',
      'CLONE_NEWIPC',
      'CLONE_NEWUSER',
      'CLONE_NEWPID',
      'CLONE_NEWNET',
    ]);
    expect(cloneFlagNames(1n << 50n)).toEqual(['0x4000000000000']);
    expect(cloneFlagNames(0n)).toEqual([]);
  });

  it('of ends are those of wait(2)', () => {
    expect(decodeExit(0)).toEqual({code: 0});
    expect(decodeExit(3 << 8)).toEqual({code: 3});
    expect(decodeExit(9)).toEqual({signal: 'SIGKILL'});
    expect(decodeExit(11 | 0x80)).toEqual({signal: 'SIGSEGV', core: true});
    expect(decodeExit(34)).toEqual({signal: 'SIGRT_2'});
  });
});

describe('tapes', () => {
  const folder = new URL('../../fixtures/tapes/', import.meta.url);

  it.each(readdirSync(folder))('that were recorded before are read as they are: %s', name => {
    const [header = '', ...lines] = readFileSync(new URL(name, folder), 'utf8').trimEnd().split('\n');
    expect(parseHeader(JSON.parse(header))).toMatchObject({ok: true});
    for (const line of lines) expect(parseFact(JSON.parse(line))).toEqual({ok: true, value: JSON.parse(line)});
  });

  const call = {kind: 'call', at: '1', pid: 4, tid: 4, name: 'chroot', args: {path: '/\udcff'}, result: 0, changed: {}};
  it.each([
    ['whole', call, true],
    ['of a newer nsview, with more to it', {...call, name: 'unheard_of', args: {deep: {er: [1, 2], and: {so: null}}}}, true],
    ['that is not decoded', {...call, abi: '32-bit', args: null, result: {errno: 'EPERM'}}, true],
    ['in which its task ended', {...call, result: null, cut: ['path']}, true],
    ['without arguments', {...call, args: undefined}, false],
    ['with a result that is none', {...call, result: 'EPERM'}, false],
    ['with an argument that cannot be', {...call, args: {path: true}}, false],
  ])('with a call, %s', (_what, fact, ok) => {
    const read = parseFact(JSON.parse(JSON.stringify(fact)));
    expect(read.ok).toBe(ok);
    if (ok) expect(read).toMatchObject({value: JSON.parse(JSON.stringify(fact))});
  });
});
