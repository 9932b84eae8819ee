import {execFileSync} from 'node:child_process';
import {expect, it} from 'vitest';
import {errnoName} from '../../src/probe/errno.ts';

it('every errno of the kernel’s headers has its name', () => {
  const header = execFileSync('cc', ['-E', '-dM', '-include', 'asm/errno.h', '-x', 'c', '/dev/null'], {encoding: 'utf8'});
  const names = [...header.matchAll(/^#define (E\w+) (\d+)$/gm)].map(([, name = '', number]) => [Number(number), name] as const);
  expect(names.length).toBeGreaterThan(130);
  expect(names.filter(([number, name]) => errnoName(number) !== name)).toEqual([]);
});
