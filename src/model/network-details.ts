// Knows what the tab of the network says of a process.

import {type Details, fixed, heading, type Look, refusalPieces, said, unread} from './details-parts.ts';
import {isRefusal, type Refusal, type Seen} from './fact.ts';
import {cutLine, dim, type Line, type Piece, plain, strong, toned, wrapLine, wrapWords} from './line.ts';
import type {Holder, Interface, Network, OtherSocket, PacketSocket, Partner, RawSocket, Route, Rule, UnixConnection} from './network.ts';
import {waysOut} from './network-reach.ts';
import {printable} from './printable.ts';
import {livesOn, type Process} from './process.ts';
import {namespacePiece} from './timeline.ts';
import {namespaceOf, studyOf, type World} from './world.ts';

export function networkDetails(world: World, process: Process, look: Look): Details {
  const title = heading(process, [], look.width);
  const fact = studyOf(world, 'network', process);
  if (fact === null) return fixed(title, said(unread(process, look, 'its network'), look.width));
  if (isRefusal(fact.seen)) return fixed(title, [cutLine([plain('network: '), ...refusalPieces(fact.seen)], look.width)]);
  const network = fact.seen;
  if (livesOn(process))
    return fixed(
      title,
      said('Its leader has ended, and is in no network any more. Its other threads go on, each with tabs of its own.', look.width),
    );
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

  // It tells neither who is up nor all tables of routes.
  const reach = network.refused === null ? summary(world, network) : `As far as /proc tells: ${summary(world, network)}`;
  for (const [index, row] of wrapWords(reach, look.width).entries()) say(index === 0 ? strong(row) : plain(row));
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

  const rules = network.rules === undefined || isRefusal(network.rules) ? network.rules : network.rules.filter(rule => !isUsual(rule));
  if (rules !== undefined && (isRefusal(rules) || rules.length > 0)) {
    section('Rules', 'which table is asked, in this order');
    listed(rules, 'none', rule => say(plain(`  ${ruleText(rule)}`)));
  }

  if (network.filters !== undefined && (isRefusal(network.filters) || network.filters.length > 0)) {
    section('Packet filters', 'may refuse, rewrite or lead elsewhere; nft list ruleset');
    listed(network.filters, 'none', ({family, name, chains, dormant = false}) =>
      say(
        plain(`  ${printable(family)} ${printable(name)}`),
        dim(chains === undefined ? '' : chains === 1 ? '  1 chain' : `  ${chains} chains`),
        ...(dormant ? [dim(', dormant')] : []),
      ),
    );
  }

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
  listed(network.listeners, 'nobody listens here', ({protocol, address, port, device, v6only, holders}) => {
    const only: Piece[] = device === undefined ? [] : [dim(' only by '), plain(printable(device))];
    const also: Piece[] = v6only === undefined ? [] : [dim(v6only ? ' IPv6 only' : ' and IPv4')];
    say(
      plain(`  ${protocol} ${address.includes(':') ? `[${address}]` : address}:${port}`),
      ...also,
      ...only,
      dim('  '),
      ...owners(holders),
    );
  });
  if (network.untold?.inet !== undefined && !isRefusal(network.listeners) && network.listeners.length > 0)
    say(dim('  by which device, and whether [::] takes IPv4: '), ...refusalPieces(network.untold.inet));
  if (network.packet !== undefined) {
    section('Packet sockets', 'see all that passes here');
    listed(network.packet, 'none', socket => say(...packetPieces(socket), dim('  '), ...owners(socket.holders)));
  }
  if (network.raw !== undefined && (isRefusal(network.raw) || network.raw.length > 0)) {
    section('Raw sockets', 'see all that comes here by a protocol');
    listed(network.raw, 'none', socket => say(...rawPieces(socket), dim('  '), ...owners(socket.holders)));
  }
  section('Abstract unix sockets', 'all in this network namespace reach them');
  listed(network.abstract, 'none', ({name, type, holders, peers = []}) => {
    say(plain(`  ${printable(name)}`), dim(` ${type}  `), ...owners(holders));
    if (peers.length > 0) say(dim('    connected: '), ...owners(peers));
  });
  if (network.untold?.unix !== undefined && !isRefusal(network.abstract) && network.abstract.length > 0)
    say(dim('  whether it is no path with an @, and who is connected: '), ...refusalPieces(network.untold.unix));

  const whose = ({pid, comm}: Holder): Piece[] => (pid === process.pid ? [] : [plain(`${printable(comm)} ${pid} `)]);
  if (network.paths !== undefined) {
    section('Unix sockets by path', 'who sees the file reaches them');
    listed(network.paths, 'none', ({fd, type, name, gone = false, passed, ...holder}) => {
      const lost: Piece[] = gone ? [toned('warn', ' it finds no such file')] : [];
      say(plain('  '), ...whose(holder), dim(`fd ${fd} ${type}  `), plain(printable(name)), ...lost);
      if (passed !== undefined) say(passedPiece(passed));
    });
  }
  if (network.connected !== undefined) {
    section('Unix sockets to outside', 'connected, of it or below');
    listed(network.connected, 'none: no other process has an end of them', one => connectionLines(world, process, one, look, say));
  }

  if (network.others !== undefined && (isRefusal(network.others) || network.others.length > 0)) {
    section('Other sockets', 'of it or below');
    listed(byProtocol(network.others), 'none', ({protocol, fds, ...holder}) => {
      const about = OTHER_PROTOCOLS[protocol];
      say(
        plain('  '),
        ...whose(holder),
        plain(printable(protocol)),
        dim(`  fd ${fds.join(', ')}${about === undefined ? '' : `  ${about}`}`),
      );
    });
  }

  if (network.threads !== undefined) {
    section('Threads elsewhere', 'each in a network of its own');
    for (const {tid, namespace, ...reach} of network.threads) {
      const space = namespaceOf(world, namespace);
      const comm = process.threads.get(tid)?.comm;
      say(
        plain(`  ⌇ ${comm === undefined ? '' : `${printable(comm)} `}${tid}`),
        dim(' in '),
        ...(space === null ? [strong(`net #${namespace}`)] : [namespacePiece(space)]),
      );
      for (const row of wrapWords(summary(world, {namespace, ...reach}), Math.max(8, look.width - 4))) say(plain(`    ${row}`));
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
  if (network.unreadBelow !== undefined) {
    lines.push([]);
    for (const row of wrapWords(
      `${network.unreadBelow === 1 ? 'The fds of one process' : `The fds of ${network.unreadBelow} processes`} of it and below are not for nsview to read: unix and other sockets of theirs are missing.`,
      look.width,
    ))
      say(dim(row));
  }
  if (network.cut.length > 0) say(toned('warn', `Not all was read so far: ${[...new Set(network.cut)].map(printable).join(', ')}`));
  return fixed(title, lines);
}

/** As ip-rule(8) names them. */
const TABLES: {readonly [table: number]: string} = {253: 'default', 254: 'main', 255: 'local'};
const tableText = (table: number): string => TABLES[table] ?? String(table);

/** Those that each namespace begins with. */
function isUsual({version, priority, selector, table, suppressPrefix}: Rule): boolean {
  const usual = {0: 255, 32766: 254, ...(version === 4 ? {32767: 253} : {})}[priority];
  return usual !== undefined && table === usual && selector === 'from all' && suppressPrefix === undefined;
}

function ruleText({version, priority, selector, table, l3mdev = false, suppressPrefix, action, goto}: Rule): string {
  const leads = l3mdev
    ? 'lookup [l3mdev-table]'
    : table !== undefined
      ? `lookup ${tableText(table)}`
      : goto !== undefined
        ? `goto ${goto}`
        : (action ?? '');
  const suppressed = suppressPrefix === undefined ? '' : ` suppress_prefixlength ${suppressPrefix}`;
  return `${version === 6 ? 'IPv6 ' : ''}${priority}: ${printable(selector)} ${printable(leads)}${suppressed}`;
}

/** ETH_P_* (linux/if_ether.h) and IPPROTO_* (linux/in.h) that programs listen to. */
const LINK_PROTOCOLS: {readonly [protocol: number]: string} = {
  0: 'nothing',
  3: 'all',
  2048: 'ip',
  2054: 'arp',
  34525: 'ipv6',
  34958: 'pae',
  35020: 'lldp',
};
const IP_PROTOCOLS: {readonly [protocol: number]: string} = {
  1: 'icmp',
  2: 'igmp',
  6: 'tcp',
  17: 'udp',
  47: 'gre',
  50: 'esp',
  58: 'ipv6-icmp',
  89: 'ospf',
  112: 'vrrp',
  132: 'sctp',
  255: 'sends only',
};

function packetPieces({type, protocol, device, running}: PacketSocket): Line {
  const what = LINK_PROTOCOLS[protocol] ?? `0x${protocol.toString(16).padStart(4, '0')}`;
  const idle = running || protocol === 0 ? [] : [dim(' (its device is not up)')];
  return [
    plain(`  packet ${what}`),
    dim(` ${printable(type)}`),
    dim(device === undefined ? ' by any device' : ' only by '),
    plain(printable(device ?? '')),
    ...idle,
  ];
}

const rawPieces = ({version, protocol, address}: RawSocket): Line => [
  plain(`  raw${version === 6 ? '6' : ''} ${IP_PROTOCOLS[protocol] ?? `protocol ${protocol}`}`),
  dim(` ${address}`),
];

/** As the kernel names them in struct proto. */
const OTHER_PROTOCOLS: {readonly [protocol: string]: string} = {
  AF_VSOCK: 'to the hypervisor or virtual machines, from any network namespace',
  XDP: 'takes packets of a device before all others',
};

/** Of a process one line for those of one protocol. */
function byProtocol(others: Seen<readonly OtherSocket[]>): Seen<(Omit<OtherSocket, 'fd'> & {readonly fds: readonly number[]})[]> {
  if (isRefusal(others)) return others;
  const found = new Map<string, {pid: number; comm: string; protocol: string; fds: number[]}>();
  for (const {pid, comm, fd, protocol} of others) {
    const same = found.get(`${pid} ${protocol}`);
    if (same === undefined) found.set(`${pid} ${protocol}`, {pid, comm, protocol, fds: [fd]});
    else same.fds.push(fd);
  }
  return [...found.values()];
}

function elsewherePieces(world: World, {namespace}: Holder): Piece[] {
  if (namespace === undefined) return [];
  const space = namespaceOf(world, namespace);
  return [dim(' in '), space === null ? strong(`net #${namespace}`) : namespacePiece(space)];
}

const passedPiece = (passed: number): Piece =>
  toned('warn', `    ${passed === 1 ? 'one fd waits' : `${passed} fds wait`} in it to be received`);

/** What passes through such a socket passes out of every namespace: bytes, and fds (unix(7), SCM_RIGHTS). */
function connectionLines(
  world: World,
  process: Process,
  {pid, comm, fd, type, name, waits = false, passed, peers}: UnixConnection,
  look: Look,
  say: (...line: Line) => void,
): void {
  const whose: Piece[] = pid === process.pid ? [] : [plain(`${printable(comm)} ${pid} `)];
  const namePieces: Piece[] = name !== '' ? [plain(printable(name))] : waits ? [] : [dim('a socket pair')];
  say(plain('  '), ...whose, dim(`fd ${fd} ${type}  `), ...namePieces);
  if (passed !== undefined) say(passedPiece(passed));
  if (waits) say(dim('    nobody has accepted it yet'));
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

type Reach = Pick<Network, 'namespace' | 'interfaces' | 'routes' | 'rules'>;

/** What it can talk to, in one sentence. */
function summary(world: World, network: Reach): string {
  const {interfaces, routes, rules} = network;
  if (isRefusal(interfaces)) return 'What it can talk to cannot be read.';
  const space = namespaceOf(world, network.namespace);
  const host = space?.index === 0 ? 'The same network as nsview: ' : '';
  const begin = (first: string): string => (host === '' ? first : `${host}${first[0]?.toLowerCase()}${first.slice(1)}`);
  const {out, beyond} = waysOut(isRefusal(routes) ? [] : routes, rules, interfaces);
  const lo = interfaces.find(one => one.kind === 'loopback' || one.name === 'lo');
  const others = interfaces.filter(one => one !== lo && one.up !== false);
  const named = (one: Interface): string => {
    const {partner} = one;
    if (partner === undefined) return printable(one.name);
    return `${printable(one.name)} → ${partnerText(partner)}${whereText(world, network, partner)}`;
  };
  const waysOf = (gates: readonly Route[]): string =>
    interfaces
      .flatMap(one => {
        const [first, ...more] = gates.filter(route => route.device === one.name);
        if (first === undefined) return [];
        return first.state !== undefined && more.every(({state}) => state !== undefined) ? `${named(one)} (${first.state})` : named(one);
      })
      .join(', ');
  // Each table once, of both versions.
  const tables = new Map<string, {table: number; rule: boolean; gates: Route[]}>();
  for (const {table, rule, routes: gates} of out) {
    const known = tables.get(`${table} ${rule}`) ?? {table, rule, gates: []};
    tables.set(`${table} ${rule}`, {...known, gates: [...known.gates, ...gates]});
  }
  const ways = [...tables.values()].flatMap(({table, rule, gates}) => {
    const by = waysOf(gates);
    return by === '' ? [] : [{rule, text: `by ${by}${rule ? ` where a rule leads to table ${tableText(table)}` : ''}`}];
  });
  const texts = ways.toSorted((a, b) => Number(a.rule) - Number(b.rule)).map(({text}) => text);
  if (texts.length > 0) return `${begin('Out')} ${texts.slice(0, 4).join('; ')}${texts.length > 4 ? ' …' : '.'}`;
  const far = [...new Set(beyond.map(({to, device}) => `${printable(to)}${device === undefined ? '' : ` by ${printable(device)}`}`))];
  if (far.length > 0) return `${begin('No')} default route, by gateways to ${far.slice(0, 4).join(', ')}${far.length > 4 ? ' …' : ''}.`;
  if (others.length > 0)
    return `${begin('Only')} its own links, no default route: ${others.slice(0, 4).map(named).join(', ')}${others.length > 4 ? ' …' : ''}.`;
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

function masterPieces({master, promiscuous = false, isolated = false, portState}: Interface): Piece[] {
  // Each port of a bridge is.
  if (master === undefined) return promiscuous ? [toned('accent', ' promiscuous')] : [];
  const state: Piece[] = portState === undefined ? [] : [toned('warn', ` ${printable(portState)}`)];
  return [dim(' port of '), plain(printable(master)), ...state, ...(isolated ? [toned('accent', ' isolated')] : [])];
}

function statePieces({up, state, kind}: Interface): Piece[] {
  if (up === undefined) return [];
  if (!up) return [toned('bad', 'down')];
  // lo and others without a carrier never say more than unknown.
  if (state === 'up' || state === 'unknown' || kind === 'loopback') return [toned('good', 'up')];
  // Its peer or the device that it is on.
  if (state === 'lowerlayerdown') return [toned('warn', 'up, other end down')];
  // default_operstate(), net/core/link_watch.c.
  return [toned('warn', `up, ${state === 'down' ? 'no carrier' : printable(state ?? '')}`)];
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
