import {describe, expect, test} from 'vitest';
import {detailsOf} from '../../src/model/details.ts';
import type {Mount} from '../../src/model/fact.ts';
import {counted, lineCells, lineText, plain} from '../../src/model/line.ts';
import {mountTree, propagationText} from '../../src/model/mount-details.ts';
import {mountHolderLines} from '../../src/model/mount-holder-lines.ts';
import {createWorld, observe} from '../../src/model/world.ts';
import {readTape} from '../frames/play.ts';

const mount = (id: number, parent: number, point: string, propagation: Mount['propagation'] = {}): Mount => ({
  id,
  parent,
  device: '0:1',
  root: '/',
  point,
  options: ['rw'],
  propagation,
  fsType: 'tmpfs',
  source: 'none',
  superOptions: [],
});

const drawn = (mounts: readonly Mount[]) => mountTree(mounts).map(row => `${row.stem}${row.mount.point}`);

test('what keeps a mount has no empty row before a command that is too long for one', () => {
  const copy = {inode: '1', pid: 7, id: 9, point: '/a/rather/long/folder', together: false, uses: []};
  const seen = {inode: '1', id: 8, point: '/a', fsType: 'tmpfs', source: 'none', uses: [], below: [], copies: [copy]};
  const rows = mountHolderLines({...seen, processes: 1, of: 1, unread: 0, more: 0, refused: null}, 40, plain).map(lineText);
  const at = rows.findIndex(row => row.includes('folder in'));
  expect(rows[at + 1]?.trim()).toMatch(/^nsenter/);
});

test('one mount is one', () => {
  expect(counted(1, 'mount')).toBe('1 mount');
  expect(counted(2, 'mount')).toBe('2 mounts');
});

describe('the tree of mounts', () => {
  test('follows parents, in the order of the table', () => {
    const mounts = [
      mount(1, 0, '/'),
      mount(2, 1, '/proc'),
      mount(3, 1, '/sys'),
      mount(4, 3, '/sys/fs'),
      mount(5, 2, '/proc'),
      mount(6, 1, '/run'),
    ];
    expect(drawn(mounts)).toEqual(['/', '├ /proc', '│ └ /proc', '├ /sys', '│ └ /sys/fs', '└ /run']);
  });

  test('a child may stand before its parent, and the root may be its own parent', () => {
    expect(drawn([mount(2, 1, '/a'), mount(1, 1, '/')])).toEqual(['/', '└ /a']);
  });

  test('leaves nothing out, in a circle either', () => {
    expect(drawn([mount(1, 2, '/a'), mount(2, 1, '/b'), mount(3, 9, '/')])).toEqual(['/', '/a', '└ /b']);
  });

  test.each([
    [{}, 'private'],
    [{shared: 3}, 'shared:3'],
    [{master: 4}, 'slave:4'],
    [{shared: 3, master: 4}, 'shared:3 slave:4'],
    [{master: 4, propagateFrom: 2}, 'slave:4 from:2'],
    [{unbindable: true}, 'unbindable'],
  ] as const)('%j is %s', (propagation, text) => expect(propagationText(mount(1, 0, '/', propagation))).toBe(text));
});

describe('every tab of every process of every tape', () => {
  test.each(['shell-session', 'daemon', 'clone-parent', 'thread-net', 'hostile-names', 'refusals'])('%s fits into any width', name => {
    const {header, facts} = readTape(name);
    const world = createWorld(header);
    for (const fact of facts) observe(world, fact);
    for (const process of world.byId.values())
      for (const tab of ['namespaces', 'mounts', 'cgroup', 'identity'] as const)
        for (const width of [36, 40, 58, 120])
          for (const inodes of [false, true]) {
            const details = detailsOf(world, process, tab, {width, inodes, live: true});
            const lines = [...details.heading, ...Array.from({length: details.count}, (_, i) => details.line(i))];
            expect(details.line(details.count)).toEqual([]);
            for (const line of lines) expect(lineCells(line), `${tab} ${width}: ${lineText(line)}`).toBeLessThanOrEqual(width);
          }
  });
});
