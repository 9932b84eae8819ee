import {expect, it} from 'vitest';
import {detailsOf} from '../../src/model/details.ts';
import type {Fact} from '../../src/model/fact.ts';
import {lineText} from '../../src/model/line.ts';
import {createWorld, observe} from '../../src/model/world.ts';
import {interfacesSchema} from '../../src/probe/network.ts';
import {readTape} from '../frames/play.ts';

it('an interface whose addresses the kernel did not tell is not one without addresses', () => {
  const {header, facts} = readTape('refusals');
  const world = createWorld(header);
  for (const fact of facts) observe(world, fact);
  const process = world.byPid.get(300);
  if (process === undefined) throw new Error('the tape has no pid 300');
  const interfaces = [
    {name: 'iv1', index: 7, kind: 'ipvlan', up: true, addresses: [], addressesRefused: {errno: 'EAGAIN', during: 'rtnetlink'}},
  ];
  expect(interfacesSchema.parse(interfaces)).toEqual(interfaces);
  const fact: Fact = {
    kind: 'network',
    at: '1',
    pid: 300,
    start: process.start,
    seen: {namespace: '4026532100', interfaces, refused: null, routes: [], listeners: [], abstract: [], unread: 0, cut: []},
  };
  observe(world, fact);
  const {count, line} = detailsOf(world, process, 'network', {width: 80, inodes: true, live: true});
  const lines = Array.from({length: count}, (_, index) => lineText(line(index)));
  expect(lines.join('\n')).toMatch(/iv1 ipvlan .*\n +addresses: .*EAGAIN/);
});
