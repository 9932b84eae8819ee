import {describe, expect, it} from 'vitest';
import {containerLines} from '../../src/model/container-lines.ts';
import {detailsOf} from '../../src/model/details.ts';
import type {Fact, SharingFact} from '../../src/model/fact.ts';
import {lineCells, lineText} from '../../src/model/line.ts';
import {createWorld, observe} from '../../src/model/world.ts';
import {readTape} from '../frames/play.ts';

describe.each([36, 60, 100])('in %d cells', width => {
  const {header, facts} = readTape('refusals');
  const world = createWorld(header);
  for (const fact of facts) observe(world, fact);
  const process = world.byPid.get(300);
  if (process === undefined) throw new Error('the tape has no pid 300');
  const look = {width, inodes: true, live: true};
  const at = '1';

  it('the tab of the sharing says all, and no line is wider', () => {
    const fact: Fact = {
      kind: 'sharing',
      at,
      pid: 300,
      start: process.start,
      seen: {
        objects: [{kind: 'files', with: [{pid: 7, comm: 'x'.repeat(15), relation: 'sibling'}], count: 9}],
        compared: 16000,
        refused: 12,
        left: 4,
        fds: {
          outside: [
            {fd: 1023, path: `/${'deep/'.repeat(40)}`, leads: {kind: 'root', directory: true}},
            {fd: 25, path: '/', leads: {kind: 'mount', directory: true}},
            {fd: 26, path: 'socket:[7]', leads: {kind: 'socket', inode: '4026539999'}},
            {fd: 29, path: 'pid:[4026539997]', leads: {kind: 'namespace', type: 'pid', inode: '4026539997'}},
            {fd: 28, path: '/queue', leads: {kind: 'mount', directory: false}},
            {fd: 27, path: '/dev/net/tun', leads: {kind: 'socket', inode: '4026539998'}},
            {fd: null, link: 'exe', path: '/usr/bin/runc', leads: {kind: 'mount', directory: false, where: 'parent'}},
          ],
          open: 2000,
          left: 976,
          sockets: 2,
        },
        threads: [
          {
            tid: 301,
            comm: 'apart',
            objects: ['files', 'sysvsem'],
            outside: [{fd: 31, path: '/usr', leads: {kind: 'root', directory: true}}],
            status: {Cgroup: {thread: '0::/a', process: '0::/'}},
          },
        ],
        memory: {errno: 'EACCES', during: 'open'},
      },
    };
    observe(world, fact);
    const {count, line, heading} = detailsOf(world, process, 'sharing', look);
    const lines = [...heading, ...Array.from({length: count}, (_, index) => line(index))];
    for (const one of lines) expect(lineCells(one), lineText(one)).toBeLessThanOrEqual(width);
    const text = lines.map(lineText).join(' ').replaceAll(/\s+/g, ' ');
    for (const word of [
      'fd 1023',
      'fchdir(1023)',
      'fchdir(25) leads there, and openat(25, "..") above that mount, if it is attached anywhere',
      'net:[4026539999]',
      'exe /usr/bin/runc',
      'or a POSIX message queue, which lies on no such mount',
      'after setns(29) its children are born there, if that is below its own',
      'fd 27 has the packets of its interface there',
      'its program, a file in the mount namespace of its parent',
      'Of 2 sockets',
      'one file table',
      'CLONE_FILES',
      'and 8 more',
      'EACCES',
      'apart 301',
      'fchdir(31)',
      'cgroup 0::/a',
      '976 more',
    ])
      expect(text).toContain(word);
  });

  it('who has all of its memory is not said to share none', () => {
    const seen: SharingFact['seen'] = {
      objects: [
        {kind: 'vm', with: [{pid: 7, comm: 'child', relation: 'child'}], count: 1},
        {kind: 'fs', with: [], count: 0},
        {kind: 'io', none: true, with: [], count: 0},
      ],
      compared: 9,
      refused: 0,
      left: 0,
      fds: {outside: [], open: 3, left: 0},
      threads: [],
      memory: {mappings: [], read: 0, refused: 0, left: 0},
    };
    observe(world, {kind: 'sharing', at, pid: 300, start: process.start, seen});
    const {count, line} = detailsOf(world, process, 'sharing', look);
    const text = Array.from({length: count}, (_, index) => lineText(line(index)))
      .join(' ')
      .replaceAll(/\s+/g, ' ');
    expect(text).toContain('Besides all of its memory, with those above: none with a process in other namespaces: it has none mapped.');
    expect(text).toContain('Its own alone: cwd, root and umask. It has none of these: I/O context.');
  });

  it('what is said of a container is no wider either, and not cut where it is an id', () => {
    const id = 'ab'.repeat(32);
    observe(world, {
      kind: 'containers',
      at,
      places: [],
      states: [{runtime: 'crun', id, file: `/run/crun/${id}/status`, pid: 300, owner: 0}],
    });
    const lines = containerLines(world, process, look);
    expect(lines.map(lineText).join(' ')).toContain('In crun abababababab');
    expect(lines.map(line => lineText(line).slice(10)).join('')).toContain('/run/crun/abababababab…/status');
    for (const one of lines) expect(lineCells(one), lineText(one)).toBeLessThanOrEqual(width);
  });
});
