import {describe, expect, test} from 'vitest';
import {type CgroupLevel, effectiveLimit, lowestOf, protectionOf} from '../../src/model/cgroup-limit.ts';
import {amountText, bytesText, gauge, limitLines} from '../../src/model/cgroup-lines.ts';
import {lineCells, lineText} from '../../src/model/line.ts';

const level = (path: string, limit: string | null, use?: string): CgroupLevel => ({
  path,
  resources: [{resource: 'memory', limit, ...(use === undefined ? {} : {use})}],
  writer: {uid: 0, gid: 0, mode: '0644'},
});

describe('the limit that binds', () => {
  test.each([
    ['none', [level('/a/b', null, '5'), level('/a', null, '5')], null],
    ['its own', [level('/a/b', '10', '5'), level('/a', '20', '5')], {limit: 10n, use: 5n, path: '/a/b'}],
    ['one above', [level('/a/b', '30', '5'), level('/a', '20', '6')], {limit: 20n, use: 6n, path: '/a'}],
    ['one above alone', [level('/a/b', null, '5'), level('/a', '20', '6'), level('/', null)], {limit: 20n, use: 6n, path: '/a'}],
    ['of equal ones the outermost', [level('/a/b', '20', '5'), level('/a', '20', '6')], {limit: 20n, use: 6n, path: '/a'}],
    [
      'its own, and less room above',
      [level('/a/b', '10', '1'), level('/a', '20', '19')],
      {limit: 10n, use: 1n, path: '/a/b', tighter: {limit: 20n, use: 19n, path: '/a'}},
    ],
    ['beyond 2^53', [level('/a', '9007199254740993', '1')], {limit: 9007199254740993n, use: 1n, path: '/a'}],
  ])('%s', (_, levels, expected) => expect(effectiveLimit(levels, 'memory')).toEqual(expected));
  test('of another resource says nothing', () => expect(effectiveLimit([level('/a', '1')], 'pids')).toBe(null));
});

test('what is protected is no more than any above protects, but for the root', () => {
  const low = (path: string, at?: string): CgroupLevel => ({
    ...level(path, null),
    resources: [{resource: 'memory', limit: null, ...(at === undefined ? {} : {low: at})}],
  });
  expect(protectionOf([low('/a/b', '20'), low('/a', '30'), low('/')], 'low')).toEqual({asked: 20n, at: 20n, path: '/a/b'});
  expect(protectionOf([low('/a/b', '20'), low('/a', '10'), low('/')], 'low')).toEqual({asked: 20n, at: 10n, path: '/a'});
  expect(protectionOf([low('/a/b', '20'), low('/a'), low('/')], 'low')).toEqual({asked: 20n, at: 0n, path: '/a'});
  // What is seen as the root from inside of a cgroup namespace is none.
  expect(protectionOf([low('/b', '20'), {...low('/'), cut: true}], 'low')).toEqual({asked: 20n, at: 0n, path: '/'});
  expect(protectionOf([low('/a'), low('/')], 'low')).toBe(null);
});

test('what slows down holds for all below', () => {
  const soft = (path: string, at?: string): CgroupLevel => ({
    ...level(path, null),
    resources: [{resource: 'memory', limit: null, ...(at === undefined ? {} : {soft: at})}],
  });
  expect(lowestOf([soft('/a/b'), soft('/a', '20'), soft('/')], 'memory', 'soft')).toEqual({at: 20n, path: '/a'});
  expect(lowestOf([soft('/a/b', '10'), soft('/a', '20')], 'memory', 'soft')).toEqual({at: 10n, path: '/a/b'});
  expect(lowestOf([soft('/a')], 'memory', 'soft')).toBe(null);
});

test.each([
  [0n, '0 B'],
  [1023n, '1023 B'],
  [1536n, '1.5 KiB'],
  [312n * 1024n * 1024n, '312 MiB'],
])('%s bytes are %s', (bytes, text) => expect(bytesText(bytes)).toBe(text));

test('amounts have the unit of their resource', () => {
  expect([amountText('cpu', 500n), amountText('cpu', 1000n), amountText('pids', 7n)]).toEqual(['0.5 CPUs', '1 CPU', '7']);
});

test.each([
  [0n, 10n, '░░░░░░░░░░', 0, 'good'],
  [7n, 10n, '███████░░░', 70, 'warn'],
  [12n, 10n, '██████████', 100, 'bad'],
] as const)('%s of %s is %s', (use, limit, bar, percent, tone) => expect(gauge(use, limit)).toEqual({bar, percent, tone}));

test.each([
  ['0', 'swap none allowed set here'],
  ['4096', 'swap 4 KiB used, none allowed set here'],
])('of a limit of 0 with a use of %s nothing is near its end', (use, said) => {
  const levels: CgroupLevel[] = [{...level('/a', null), resources: [{resource: 'swap', limit: '0', use}]}];
  const text = limitLines(levels, {width: 100, inodes: false, live: true}).map(lineText).join(' ').replaceAll(/ +/g, ' ');
  expect(text).toContain(said);
});

test('what io may take is limited by all above in v2, and in v1 by its own alone', () => {
  const io = (path: string, text?: string): CgroupLevel => ({
    ...level(path, null),
    resources: [{resource: 'io', limit: null, use: '0', ...(text === undefined ? {} : {text})}],
  });
  const levels = [io('/a/b'), io('/a', '8:0 rbps=1048576 wbps=max riops=max wiops=max'), io('/')];
  const told = (isV2: boolean) =>
    limitLines(levels, {width: 100, inodes: false, live: true}, isV2).map(lineText).join(' ').replaceAll(/ +/g, ' ');
  expect(told(true)).toContain('io 8:0 rbps=1048576 wbps=max riops=max wiops=max set by /a');
  expect(told(false)).toContain('no limit io');
});

test.each([36, 60, 100])('says how near the limit is, who sets it and what is held back, at %i cells', width => {
  const mega = 1024 * 1024;
  const levels: CgroupLevel[] = [
    {
      path: '/a/b',
      frozen: false,
      writer: {uid: 1000, gid: 1000, mode: '0666'},
      resources: [
        {resource: 'memory', limit: null, use: String(312 * mega), events: {oom_kill: 2}},
        {resource: 'pids', limit: null, use: '3'},
      ],
    },
    {...level('/a', String(512 * mega), String(480 * mega)), frozen: true},
  ];
  const lines = limitLines(levels, {width, inodes: false, live: true});
  for (const line of lines) expect(lineCells(line)).toBeLessThanOrEqual(width);
  const text = lines.map(lineText).join(' ').replaceAll(/ +/g, ' ');
  expect(text).toContain('memory 480 MiB of 512 MiB █████████░ 93% set by /a oom_kill 2');
  expect(text).toContain('pids 3 used, no limit');
  expect(text).toContain('frozen yes, by /a');
  expect(text).toContain('writable by uid 1000 and group 1000 and everybody (0666)');
});
