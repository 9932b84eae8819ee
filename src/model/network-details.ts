// Knows what the tab of the network says of a process.

import {type Details, fixed, heading, type Look, refusalPieces, said, unread} from './details-parts.ts';
import {isRefusal, type Refusal, type Seen} from './fact.ts';
import {cutLine, dim, type Line, type Piece, plain, strong, toned, wrapLine, wrapWords} from './line.ts';
import type {Holder, Interface, Network, Partner, UnixConnection} from './network.ts';
import {printable} from './printable.ts';
import type {Process} from './process.ts';
import {namespacePiece} from './timeline.ts';
import {namespaceOf, studyOf, type World} from './world.ts';

export function networkDetails(world: World, process: Process, look: Look): Details {
  const title = heading(process, [], look.width);
  const fact = studyOf(world, 'network', process);
  if (fact === null) return fixed(title, said(unread(process, look, 'its network'), look.width));
  if (isRefusal(fact.seen)) return fixed(title, [cutLine([plain('network: '), ...refusalPieces(fact.seen)], look.width)]);
  const network = fact.seen;
  if (process.state === 'Z') return fixed(title, said('It has ended: it is in no network any more.', look.width));
  const lines: Line[] = [];
  const say = (...line: Line) => lines.push(cutLine(line, look.width));
  const section = (name: string, remark: string) => {
    lines.push([]);
    say(strong(name), dim(`  ${remark}`));
  };
  const listed = <T>(seen: Seen<readonly T[]>, none: string, each: (one: T) => void) => {
    if (isRefusal(seen)) say(plain('  '), ...refusalPieces(seen as Refusal));
    else if (seen.length === 0) say(dim(`  ${none}`));
    else for (const one of seen) each(one);
  };

  for (const [index, row] of wrapWords(summary(world, network), look.width).entries()) say(index === 0 ? strong(row) : plain(row));
  if (network.refused !== null) {
    say(dim('kinds, partners: '), ...refusalPieces(network.refused));
    for (const row of wrapWords(
      'What /proc tells follows, without IPv4 addresses; the rest needs CAP_SYS_ADMIN over this network namespace.',
      look.width,
    ))
      say(dim(row));
  }

  section('Interfaces', 'state, addresses, in and out');
  listed(network.interfaces, 'none', one => {
    const about: Piece[] = one.kind === undefined || one.kind === '' ? [] : [dim(` ${printable([one.kind, one.detail].join(' ').trim())}`)];
    say(
      plain(`  ${printable(one.name)}`),
      ...about,
      plain(' '),
      ...statePieces(one),
      ...partnerPieces(world, network, one.partner),
      ...masterPieces(one),
    );
    if (one.addressesRefused !== undefined) say(dim('    addresses: '), ...refusalPieces(one.addressesRefused));
    for (const address of one.addresses) {
      const state = one.addressStates?.[address];
      say(plain(`    ${printable(address)}`), ...(state === undefined ? [] : [toned('warn', ` ${printable(state)}`)]));
    }
    if (one.received !== undefined && one.sent !== undefined && one.received.packets + one.sent.packets > 0)
      say(dim(`    in ${sizeText(one.received.bytes)}, out ${sizeText(one.sent.bytes)}`), ...lossPieces(one));
  });

  section('Routes', 'where packets go, default first');
  listed(network.routes, 'none: nothing beyond itself is reached', route => {
    const to = route.to === 'default' ? strong('default') : plain(printable(route.to));
    const type: Piece[] = route.type === undefined ? [] : [toned('warn', ` ${route.type}`)];
    const via: Piece[] = route.via === undefined ? [] : [dim(' via '), plain(printable(route.via))];
    const device: Piece[] = route.device === undefined ? [] : [dim(' by '), plain(printable(route.device))];
    const state: Piece[] = route.state === undefined ? [] : [toned('warn', ` ${route.state}`)];
    say(plain('  '), to, ...type, ...via, ...device, ...(route.table === undefined ? [] : [dim(` table ${route.table}`)]), ...state);
  });

  const owners = (holders: readonly Holder[]): Line =>
    holders.length === 0
      ? [dim(network.unread > 0 ? 'owner not readable' : 'no process that nsview sees')]
      : holders.flatMap((holder, index): Piece[] => [
          plain(`${index === 0 ? '' : ', '}${printable(holder.comm)} ${holder.pid}`),
          ...(isInside(world, holder.pid, process) ? [] : [toned('accent', ' outside')]),
          ...elsewherePieces(world, holder),
        ]);
  const outside = 'outside: not this process nor below it';
  section('Listens', outside);
  listed(network.listeners, 'nobody listens here', ({protocol, address, port, device, holders}) => {
    const only: Piece[] = device === undefined ? [] : [dim(' only by '), plain(printable(device))];
    say(plain(`  ${protocol} ${address.includes(':') ? `[${address}]` : address}:${port}`), ...only, dim('  '), ...owners(holders));
  });
  section('Abstract unix sockets', 'all in this network namespace reach them');
  listed(network.abstract, 'none', ({name, type, holders, peers = []}) => {
    say(plain(`  ${printable(name)}`), dim(` ${type}  `), ...owners(holders));
    if (peers.length > 0) say(dim('    connected: '), ...owners(peers));
  });

  if (network.connected !== undefined) {
    section('Unix sockets to outside', 'connected, of it or below');
    listed(network.connected, 'none: no other process has an end of them', one => connectionLines(world, process, one, look, say));
  }

  if (network.threads !== undefined) {
    section('Threads elsewhere', 'each in a network of its own');
    for (const {tid, namespace, interfaces, routes} of network.threads) {
      const space = namespaceOf(world, namespace);
      const comm = process.threads.get(tid)?.comm;
      say(
        plain(`  ⌇ ${comm === undefined ? '' : `${printable(comm)} `}${tid}`),
        dim(' in '),
        ...(space === null ? [strong(`net #${namespace}`)] : [namespacePiece(space)]),
      );
      for (const row of wrapWords(summary(world, {namespace, interfaces, routes}), Math.max(8, look.width - 4))) say(plain(`    ${row}`));
    }
  }
  lines.push([]);
  const isOwn = namespaceOf(world, network.namespace)?.index === 0;
  const next = `To see more: ${isOwn ? '' : `nsenter -t ${process.pid} -n `}ip -d addr, ss -lntup or tcpdump; tab 1 has who keeps it.`;
  for (const row of wrapWords(next, look.width)) say(dim(row));

  if (network.unread > 0) {
    lines.push([]);
    for (const row of wrapWords(
      `${network.unread === 1 ? 'One process that may be here is' : `${network.unread} processes that may be here are`} not for nsview to read: sockets may be theirs.`,
      look.width,
    ))
      say(dim(row));
  }
  if (network.cut.length > 0) say(toned('warn', `Not all was read so far: ${[...new Set(network.cut)].map(printable).join(', ')}`));
  return fixed(title, lines);
}

function elsewherePieces(world: World, {namespace}: Holder): Piece[] {
  if (namespace === undefined) return [];
  const space = namespaceOf(world, namespace);
  return [dim(' in '), space === null ? strong(`net #${namespace}`) : namespacePiece(space)];
}

/** What passes through such a socket passes out of every namespace: bytes, and fds (unix(7), SCM_RIGHTS). */
function connectionLines(
  world: World,
  process: Process,
  {pid, comm, fd, type, name, peers}: UnixConnection,
  look: Look,
  say: (...line: Line) => void,
): void {
  const whose: Piece[] = pid === process.pid ? [] : [plain(`${printable(comm)} ${pid} `)];
  say(plain('  '), ...whose, dim(`fd ${fd} ${type}  `), name === '' ? dim('a socket pair') : plain(printable(name)));
  if (peers.length === 0) say(dim('    to nobody whose fds nsview can read'));
  for (const peer of peers) {
    const to: Line = [
      dim('to '),
      plain(`${printable(peer.comm)} ${peer.pid}`),
      toned('accent', ' outside'),
      ...elsewherePieces(world, peer),
    ];
    for (const row of wrapLine(to, Math.max(8, look.width - 4))) say(plain('    '), ...row);
  }
}

type Reach = Pick<Network, 'namespace' | 'interfaces' | 'routes'>;

/** What it can talk to, in one sentence. */
function summary(world: World, network: Reach): string {
  const {interfaces, routes} = network;
  if (isRefusal(interfaces)) return 'What it can talk to cannot be read.';
  const space = namespaceOf(world, network.namespace);
  const host = space?.index === 0 ? 'The same network as nsview: ' : '';
  const gates = (isRefusal(routes) ? [] : routes).filter(({to, type}) => to === 'default' && type === undefined);
  const lo = interfaces.find(one => one.kind === 'loopback' || one.name === 'lo');
  const others = interfaces.filter(one => one !== lo && one.up !== false);
  const named = (one: Interface): string => {
    const {partner} = one;
    if (partner === undefined) return printable(one.name);
    return `${printable(one.name)} → ${partnerText(partner)}${whereText(world, network, partner)}`;
  };
  const waysOf = (table: number | undefined): string =>
    interfaces
      .flatMap(one => {
        const [first, ...more] = gates.filter(route => route.table === table && route.device === one.name);
        if (first === undefined) return [];
        return first.state !== undefined && more.every(({state}) => state !== undefined) ? `${named(one)} (${first.state})` : named(one);
      })
      .join(', ');
  // ip-rule(8): the main table is there for all, another one for what a rule sends to it.
  const ways = [...new Set([undefined, ...gates.map(({table}) => table)])].flatMap(table => {
    const by = waysOf(table);
    return by === '' ? [] : [`by ${by}${table === undefined ? '' : ` where a rule leads to table ${table}`}`];
  });
  if (ways.length > 0) return `${host}${host === '' ? 'Out' : 'out'} ${ways.slice(0, 4).join('; ')}${ways.length > 4 ? ' …' : '.'}`;
  if (others.length > 0)
    return `${host}${host === '' ? 'Only' : 'only'} its own links, no default route: ${others.slice(0, 4).map(named).join(', ')}${others.length > 4 ? ' …' : ''}.`;
  if (lo?.up === false) return 'Nobody, not even itself: lo is down.';
  return 'Only itself, by lo.';
}

function whereText(world: World, network: Reach, {namespace}: Partner): string {
  if (namespace === null) return ' in a namespace that nsview cannot see';
  if (namespace === network.namespace) return '';
  return ` in ${namespaceOf(world, namespace)?.name ?? `net:[${namespace}], without processes`}`;
}

const partnerText = ({name, index}: Partner): string => (index === 0 ? 'its packets leave' : printable(name ?? `#${index}`));

function partnerPieces(world: World, network: Network, partner: Partner | undefined): Piece[] {
  if (partner === undefined) return [];
  const name = plain(` → ${partnerText(partner)}`);
  const space = partner.namespace === null ? null : namespaceOf(world, partner.namespace);
  return space !== null && partner.namespace !== network.namespace
    ? [name, dim(' in '), namespacePiece(space)]
    : [name, dim(whereText(world, network, partner))];
}

const masterPieces = ({master}: Interface): Piece[] => (master === undefined ? [] : [dim(' port of '), plain(printable(master))]);

function statePieces({up, state, kind}: Interface): Piece[] {
  if (up === undefined) return [];
  if (!up) return [toned('bad', 'down')];
  // lo and others without a carrier never say more than unknown.
  if (state === 'up' || state === 'unknown' || kind === 'loopback') return [toned('good', 'up')];
  // Its peer or the device that it is on.
  if (state === 'lowerlayerdown') return [toned('warn', 'up, other end down')];
  return [toned('warn', `up, ${printable(state ?? '')}`)];
}

function lossPieces({received, sent}: Interface): Piece[] {
  const lost = [received, sent].reduce((sum, one) => sum + (one?.errors ?? 0) + (one?.dropped ?? 0), 0);
  return lost === 0 ? [] : [toned('warn', `, ${lost} lost`)];
}

function sizeText(bytes: number): string {
  let [rest, unit] = [bytes, 0];
  for (; rest >= 1024 && unit < 4; unit++) rest /= 1024;
  return unit === 0 ? `${bytes} B` : `${rest.toFixed(1)} ${['B', 'KiB', 'MiB', 'GiB', 'TiB'][unit]}`;
}

/** Whether it is that process or below it. */
function isInside(world: World, pid: number, root: Process): boolean {
  const passed = new Set<number>();
  for (let at = pid; at > 0 && !passed.has(at); at = world.byPid.get(at)?.ppid ?? 0) {
    if (at === root.pid) return true;
    passed.add(at);
  }
  return false;
}
