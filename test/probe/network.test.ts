import {execFileSync} from 'node:child_process';
import {existsSync, readFileSync, readlinkSync} from 'node:fs';
import {describe, expect, it} from 'vitest';
import {detailsOf} from '../../src/model/details.ts';
import {isRefusal} from '../../src/model/fact.ts';
import {lineText} from '../../src/model/line.ts';
import type {Interface, Network} from '../../src/model/network.ts';
import {createWorld, observe} from '../../src/model/world.ts';
import {
  decodeAddresses,
  decodeFilterTables,
  decodeHops,
  decodeInetSockets,
  decodeLinks,
  decodeRoutes,
  decodeRules,
  decodeUnixSockets,
} from '../../src/probe/netlink.ts';
import {networkSchema, readNetwork, readNetworks} from '../../src/probe/network.ts';
import {readSnapshot} from '../../src/probe/snapshot.ts';
import {leaveNothingBehind} from '../support/leaks.ts';
import {start, temporaryFolder} from '../support/nsview.ts';
import {fixture} from '../support/paths.ts';
import {patient} from '../support/patience.ts';
import {isRoot, maker, ownUser} from '../support/user.ts';

leaveNothingBehind();

const SCRIPT = `
ip link set lo up; ip link add v0 type veth peer name v1; ip link add br0 type bridge; ip link set v0 master br0
ip addr add 10.9.8.1/24 dev br0; ip link set br0 up; ip link set v0 up; ip link set v1 up; ip route add default via 10.9.8.2
ip link add link v1 name m0 type macvlan
unshare -n sh -c 'echo inner $$; read line' <&0 &
sleep 0.3; ip link add far type veth peer name eth0 netns $!; echo ready; read line; kill $!; wait`;

/** Options of nsenter(1): who is not root comes into the network by the user namespace that owns it. */
const ENTER = isRoot ? ['-n'] : ['-U', '--preserve-credentials', '-n'];

const ip = (pid: number, ...args: string[]) =>
  JSON.parse(execFileSync('nsenter', [...ENTER, '-t', String(pid), 'ip', '-j', ...args]).toString());

function supported(): boolean {
  try {
    execFileSync('unshare', [
      ...ownUser,
      '-n',
      'sh',
      '-ec',
      'ip link add va0 type veth; ip link add br0 type bridge; ip link add link va0 name mv0 type macvlan',
    ]);
    return true;
  } catch {
    return false;
  }
}

function read(pid: number): Network & {interfaces: readonly Interface[]} {
  const network = readNetwork(pid);
  if (isRefusal(network) || isRefusal(network.interfaces)) throw new Error(JSON.stringify(network));
  expect(networkSchema.safeParse(network).success).toBe(true);
  return {...network, interfaces: network.interfaces};
}

/** Whether ss can ask it here. */
function hasUnixDiag(): boolean {
  return existsSync('/sys/module/unix_diag') || execFileSync('ss', ['-xH']).toString().includes('u_str');
}

/** The tab as it is drawn. */
function tab(pid: number, width: number): string {
  const at = '1';
  const {host, processes} = readSnapshot({version: 'test'});
  const world = createWorld({format: 'nsview/tape', version: 1, nsview: 'test', at, realtime: at, host, target: {machine: true}});
  for (const seen of processes) observe(world, {kind: 'process', at, because: 'attach', ...seen});
  const process = world.byPid.get(pid);
  if (process === undefined) throw new Error('not there');
  observe(world, {kind: 'network', at, pid, start: process.start, seen: readNetwork(pid)});
  const details = detailsOf(world, process, 'network', {width, inodes: false, live: true});
  return Array.from({length: details.count}, (_, index) => lineText(details.line(index))).join('\n');
}

describe('a network namespace', () => {
  it('without a link has lo alone, down, and no routes', async () => {
    await using one = start('unshare', ...ownUser, '-n', 'sh', '-c', 'echo ready; read line');
    await one.says(/ready/);
    const {interfaces, routes} = read(one.pid);
    expect(interfaces).toMatchObject([{name: 'lo', kind: 'loopback', up: false, addresses: []}]);
    expect(routes).toEqual([]);
  });

  it('agrees with ip on kinds, masters, partners, addresses and routes', async context => {
    context.skip(!supported(), 'kernel lacks veth, bridge or macvlan');
    await using one = start('unshare', ...ownUser, '-n', 'bash', '-c', SCRIPT);
    const inner = Number((await one.says(/inner (\d+)/))[1]);
    await one.says(/ready/);
    const {interfaces, routes} = read(one.pid);
    const links: {ifname: string; master?: string; linkinfo?: {info_kind: string}; operstate: string; address: string}[] = ip(
      one.pid,
      '-d',
      'link',
    );
    expect(interfaces.map(link => [link.name, link.kind, link.master, link.mac])).toEqual(
      links.map(link => [link.ifname, link.linkinfo?.info_kind ?? 'loopback', link.master, link.address]),
    );
    const addresses: {ifname: string; addr_info: {local: string; prefixlen: number}[]}[] = ip(one.pid, 'addr');
    expect(interfaces.map(link => [...link.addresses].sort())).toEqual(
      addresses.map(link => link.addr_info.map(({local, prefixlen}) => `${local}/${prefixlen}`).sort()),
    );
    expect(isRefusal(routes) ? routes : routes[0]).toMatchObject({to: 'default', via: '10.9.8.2', device: 'br0'});
    const ports: {ifname: string; master: string}[] = JSON.parse(
      execFileSync('nsenter', [...ENTER, '-t', String(one.pid), 'bridge', '-j', 'link']).toString(),
    );
    expect(interfaces.filter(link => link.master === 'br0').map(link => link.name)).toEqual(ports.map(port => port.ifname));

    const named = new Map(interfaces.map(link => [link.name, link]));
    const here = read(one.pid).namespace;
    const there = read(inner).namespace;
    expect(here).not.toEqual(there);
    expect(named.get('v0')?.partner).toMatchObject({name: 'v1', namespace: here});
    expect(named.get('m0')?.partner).toMatchObject({name: 'v1', namespace: here});
    expect(named.get('far')?.partner).toMatchObject({name: 'eth0', namespace: there});
    expect(read(inner).interfaces.find(link => link.name === 'eth0')?.partner).toMatchObject({name: 'far', namespace: here});

    const told = readSnapshot({version: 'test'}).networks?.find(network => network.inode === here);
    const strip = (links: readonly Interface[]) =>
      links.map(({name, kind, up, mac, master, partner, addresses}) => ({name, kind, up, mac, master, partner, addresses}));
    expect(told === undefined || isRefusal(told.interfaces) ? told : strip(told.interfaces)).toEqual(strip(interfaces));
    one.child.stdin?.end('\n');
    await one.ended;
  });

  it('tells what ip -d tells of those of one kind: ids, tables and modes, of the kinds that this kernel has', async () => {
    // What each is made with, and what ip then says of it.
    const kinds: {readonly [kind: string]: readonly [making: string, told: (data: {[key: string]: string | number}) => string]} = {
      vlan: ['link v0 name x0 type vlan id 5', ({id}) => `id ${id}`],
      'vlan 802.1ad': ['link v0 name x1 type vlan proto 802.1ad id 6', ({id, protocol}) => `id ${id} ${protocol}`],
      vxlan: ['name x2 type vxlan id 42 dstport 4789', ({id}) => `id ${id}`],
      geneve: ['name x3 type geneve id 43 remote 10.0.0.1', ({id}) => `id ${id}`],
      vrf: ['name x4 type vrf table 10', ({table}) => `table ${table}`],
      macvlan: ['link v0 name x5 type macvlan mode vepa', ({mode}) => String(mode)],
      macvtap: ['link v0 name x6 type macvtap mode bridge', ({mode}) => String(mode)],
      ipvlan: ['link v1 name x7 type ipvlan mode l3 private', ({mode}) => `${mode} private`],
    };
    const script = Object.values(kinds).map(([making]) => `ip link add ${making} 2>/dev/null`);
    await using one = start(
      'unshare',
      ...ownUser,
      '-n',
      'sh',
      '-c',
      `ip link add v0 type veth peer name v1; ${script.join('; ')}; ip tuntap add x8 mode tap 2>/dev/null; echo ready; read line`,
    );
    await one.says(/ready/);
    const told = new Map<string, string>();
    for (const {ifname, linkinfo} of ip(one.pid, '-d', 'link')) {
      const kind =
        ifname === 'x8'
          ? (data: {[key: string]: string | number}) => String(data.type)
          : Object.values(kinds)[Number(ifname.slice(1))]?.[1];
      if (ifname.startsWith('x') && kind !== undefined) told.set(ifname, kind(linkinfo.info_data));
    }
    // Each kernel of ours has these two.
    expect([...told.keys()]).toEqual(expect.arrayContaining(['x2', 'x5']));
    const {interfaces} = read(one.pid);
    expect(Object.fromEntries(interfaces.flatMap(({name, detail}) => (name.startsWith('x') ? [[name, detail]] : [])))).toEqual(
      Object.fromEntries(told),
    );
    expect(tab(one.pid, 120)).toContain('x5 macvlan vepa');
    one.child.stdin?.end('\n');
    await one.ended;
  });

  it('tells ports that are isolated or do not forward, who is promiscuous, and who has no carrier, as ip and bridge do', async context => {
    context.skip(!supported(), 'kernel lacks veth or bridge');
    const script = `ip link add br0 type bridge; ip link set br0 up; ip link add br1 type bridge; ip link set br1 up
      for i in 0 1 2 3; do ip link add v$i type veth peer name w$i; ip link set w$i up; ip link set v$i up; done
      ip link set v0 master br0; ip link set v1 master br0; ip link set v2 master br0
      bridge link set dev v0 isolated on; ip link set v3 promisc on
      # A carrier that comes sets it again.
      sleep 1; bridge link set dev v1 state 2
      ip tuntap add t0 mode tap 2>/dev/null && ip link set t0 up; echo ready; read line`;
    await using one = start('unshare', ...ownUser, '-n', 'bash', '-c', script);
    await one.says(/ready/);
    type Told = {ifname: string; promiscuity: number; operstate: string; linkinfo?: {info_slave_data?: {state: string; isolated: boolean}}};
    const told: Told[] = ip(one.pid, '-d', 'link');
    const {interfaces} = read(one.pid);
    expect(
      interfaces.map(({name, promiscuous = false, isolated = false, portState}) => [
        name,
        promiscuous,
        isolated,
        portState ?? 'forwarding',
      ]),
    ).toEqual(
      told.map(({ifname, promiscuity, linkinfo}) => {
        const {state = 'forwarding', isolated = false} = linkinfo?.info_slave_data ?? {};
        return [ifname, promiscuity > 0, isolated, state];
      }),
    );
    const text = tab(one.pid, 120);
    expect(text).toMatch(/v0 veth up → w0 port of br0 isolated\n/);
    expect(text).toMatch(/v1 veth up → w1 port of br0 learning\n/);
    expect(text).toMatch(/v2 veth up → w2 port of br0\n/);
    expect(text).toMatch(/v3 veth up → w3 promiscuous\n/);
    if (told.some(({ifname, operstate}) => ifname === 't0' && operstate === 'DOWN')) expect(text).toMatch(/t0 tun tap up, no carrier\n/);
    one.child.stdin?.end('\n');
    await one.ended;
  });

  it('tells hundreds of interfaces and their partners', async context => {
    context.skip(!supported(), 'kernel lacks veth');
    // More than a thousand bytes each.
    const COUNT = 520;
    const script = `for i in $(seq ${COUNT}); do echo link add v$i type veth peer name w$i; done | ip -batch - 2>&1; echo ready; read line`;
    await using one = start('unshare', ...ownUser, '-n', 'sh', '-c', script);
    await one.says(/ready/);
    const {interfaces, cut} = read(one.pid);
    expect(interfaces).toHaveLength(2 * COUNT + 1);
    expect(interfaces.filter(({partner}) => partner?.name == null).map(({name}) => name)).toEqual(['lo']);
    expect(cut.filter(what => what === 'interfaces')).toEqual([]);
    one.child.stdin?.end('\n');
    await one.ended;
  });

  it('tells the peer of an address, whose the prefix is, and which addresses are not used like any other', async context => {
    context.skip(!supported(), 'kernel lacks veth');
    // Two of one link have the same address: the second finds out (RFC 4862, 5.4).
    const script = `ip link add v0 type veth peer name v1; ip link set v0 up; ip link set v1 up
      ip addr add 10.9.8.1 peer 10.9.7.0/24 dev v0; ip addr add 10.9.6.1 peer 10.9.6.2/32 dev v0; ip addr add 10.9.5.1/24 dev v0
      ip addr add 10.9.4.1/24 dev v0 preferred_lft 0 valid_lft 1000
      ip addr add fd00::1 peer fd00:2::/64 dev v0 nodad; ip addr add fd00:3::1/64 dev v1 nodad; ip addr add fd00:3::1/64 dev v0
      while ! ip addr show dev v0 | grep -q dadfailed; do sleep 0.1; done; echo ready; read line`;
    await using one = start('unshare', ...ownUser, '-n', 'sh', '-c', script);
    await one.says(/ready/);
    const told: {ifname: string; addr_info: {local: string; address?: string; prefixlen: number; deprecated?: true; dadfailed?: true}[]}[] =
      ip(one.pid, 'addr', 'show', 'dev', 'v0');
    const link = read(one.pid).interfaces.find(({name}) => name === 'v0');
    const all = told.find(({ifname}) => ifname === 'v0')?.addr_info ?? [];
    const text = ({local, address, prefixlen}: (typeof all)[number]) =>
      `${local}${address === undefined ? '' : ` peer ${address}`}/${prefixlen}`;
    expect(link?.addresses).toEqual(all.map(text));
    expect(link?.addresses).toEqual(expect.arrayContaining(['10.9.8.1 peer 10.9.7.0/24', 'fd00::1 peer fd00:2::/64', '10.9.5.1/24']));
    expect(link?.addressStates).toMatchObject({'10.9.4.1/24': 'deprecated', 'fd00:3::1/64': 'dadfailed tentative'});
    const plain = all.filter(({local, deprecated, dadfailed}) => !local.startsWith('fe80') && !deprecated && !dadfailed);
    for (const one of plain) expect(link?.addressStates).not.toHaveProperty([text(one)]);
    expect(tab(one.pid, 60)).toMatch(/10\.9\.6\.1 peer 10\.9\.6\.2\/32\n[\s\S]*fd00:3::1\/64 dadfailed tentative\n/);
    one.child.stdin?.end('\n');
    await one.ended;
  });

  it('tells a local route from one that leads out, the table of each as ip does, and which ways out need a rule', async context => {
    context.skip(!supported(), 'kernel lacks veth');
    // The first is how a transparent proxy takes what is not for it (Documentation/networking/tproxy.rst).
    const script = `ip link set lo up; ip link add v0 type veth peer name v1; ip link set v0 up; ip link set v1 up
      ip addr add 10.9.8.1/24 dev v0; ip route add local default dev lo table 100; ip route add broadcast 10.9.7.0/24 dev v0
      ip route add 10.9.6.0/24 dev v0 metric 4294967295; ip route add 10.9.5.0/24 dev v0 table 4294967290
      echo ready; read line; ip route add default via 10.9.8.2 table 51820; echo apart; read line
      ip rule add fwmark 1 table 51820; echo ruled; read line
      ip route add default via 10.9.8.3; echo out; read line`;
    await using one = start('unshare', ...ownUser, '-n', 'sh', '-c', script);
    await one.says(/ready/);
    const {routes} = read(one.pid);
    const told: {type?: string; dst: string; dev: string; table?: string; metric?: number}[] = ['main', '100', '4294967290'].flatMap(
      table => ip(one.pid, '-4', 'route', 'show', 'table', table).map((route: object) => (table === 'main' ? route : {...route, table})),
    );
    const ours = isRefusal(routes) ? [] : routes.filter(({version}) => version === 4);
    const sorted = <T>(list: readonly T[]) => list.map(each => JSON.stringify(each)).toSorted();
    expect(sorted(ours.map(({to, type, device, table, metric}) => [to, type, device, table, metric]))).toEqual(
      sorted(told.map(({dst, type, dev, table, metric}) => [dst, type, dev, table === undefined ? undefined : Number(table), metric])),
    );
    expect(ours).toContainEqual({to: 'default', version: 4, type: 'local', device: 'lo', table: 100});
    expect(tab(one.pid, 200)).toMatch(/^Only its own links, no default route: v/);
    one.child.stdin?.write('\n');
    await one.says(/apart/);
    // No rule leads there.
    expect(tab(one.pid, 200)).toMatch(/^Only its own links, no default route: v/);
    one.child.stdin?.write('\n');
    await one.says(/ruled/);
    expect(tab(one.pid, 200)).toMatch(/^Out by v0 → v1 where a rule leads to table 51820\.\n/);
    one.child.stdin?.write('\n');
    await one.says(/out/);
    expect(tab(one.pid, 200)).toMatch(/^Out by v0 → v1; by v0 → v1 where a rule leads to table 51820\.\n/);
    one.child.stdin?.end('\n');
    await one.ended;
  });

  it('tells rules as ip does, and what they and routes that lead nowhere leave of the ways out', async context => {
    context.skip(!supported(), 'kernel lacks veth');
    const first = `ip link set lo up; ip link add v0 type veth peer name v1; ip link set v0 up; ip link set v1 up
      ip addr add 10.9.8.1/24 dev v0; echo ready; read line`;
    const steps: readonly (readonly [script: string, summary: RegExp])[] = [
      ['ip route add 10.1.0.0/16 via 10.9.8.2', /^No default route, by gateways to 10\.1\.0\.0\/16 by v0\.\n/],
      ['ip route add default via 10.9.8.2 metric 100', /^Out by v0 → v1\.\n/],
      // Of two routes to the same place that of the lower metric is taken.
      ['ip route add unreachable default metric 200', /^Out by v0 → v1\.\n/],
      ['ip route add blackhole default metric 50', /^No default route, by gateways/],
      ['ip route del blackhole default', /^Out by v0 → v1\.\n/],
      // uids are those of nsview's user namespace.
      [`ip rule add pref 10 iif lo${isRoot ? ' uidrange 5-9' : ''} unreachable`, /^Out by v0 → v1\.\n/],
      ['ip rule add pref 11 prohibit', /^Only its own links/],
      [
        'ip rule add pref 9 goto 20; ip rule add pref 20 from 10.9.0.0/16 to 10.2.0.3 tos 0x10 fwmark 0x1/0xff dport 80-90 ipproto tcp lookup 100',
        /^Out by v0 → v1\.\n/,
      ],
      // What wg-quick(8) makes.
      [
        'ip rule del pref 9; ip rule del pref 11; ip rule add pref 7 table main suppress_prefixlength 0; ip rule add pref 8 not fwmark 0xca6c table 51820; ip rule del pref 32766; ip route add default dev v1 table 51820',
        /^Out by v1 → v0 where a rule leads to table 51820\.\n/,
      ],
      ['ip rule add pref 32766 table main', /^Out by v0 → v1; by v1 → v0 where a rule leads to table 51820\.\n/],
    ];
    const script = `${first}; ${steps.map(([each], index) => `${each}; echo step ${index}.; read line`).join('; ')}`;
    await using one = start('unshare', ...ownUser, '-n', 'bash', '-c', script);
    await one.says(/ready/);
    for (const [index, [script, expected]] of steps.entries()) {
      one.child.stdin?.write('\n');
      await one.says(new RegExp(`step ${index}\\.`));
      const text = tab(one.pid, 200);
      expect(text, script).toMatch(expected);
      const told = ['-4', '-6'].flatMap(version =>
        execFileSync('nsenter', [...ENTER, '-t', String(one.pid), 'ip', version, 'rule'])
          .toString()
          .trim()
          .split('\n')
          .map(line => line.replace(/\t/, ' ').trim())
          .filter(line => !/^(0: from all lookup local|32766: from all lookup main|32767: from all lookup default)$/.test(line))
          .map(line => (version === '-6' ? `IPv6 ${line}` : line)),
      );
      const shown = /\nRules .*\n([\s\S]*?)\n\n/.exec(text)?.[1]?.split('\n') ?? [];
      expect(shown.map(line => line.trim())).toEqual(told);
    }
    expect(one.stderr).toBe('');
    one.child.stdin?.end('\n');
    await one.ended;
  });

  it('tells where routes lead by next hops, where these alone say it', async context => {
    context.skip(!supported(), 'kernel lacks veth');
    const script = `ip link add v0 type veth peer name v1; ip link set v0 up; ip link set v1 up; ip addr add 10.9.8.1/24 dev v0
      ip addr add 10.9.7.1/24 dev v1; ip nexthop add id 7 via 10.9.8.2 dev v0; ip nexthop add id 8 via 10.9.7.2 dev v1
      ip nexthop add id 9 group 7/8; ip route add default nhid 7; ip route add 10.1.0.0/16 nhid 9; ip -4 -j route; echo; echo told
      echo 0 > /proc/sys/net/ipv4/nexthop_compat_mode; cat /proc/sys/net/ipv4/nexthop_compat_mode
      echo ready; read line`;
    await using one = start('unshare', ...ownUser, '-n', 'bash', '-c', script);
    await one.says(/ready/);
    type Told = {dst: string; gateway?: string; dev?: string; nexthops?: {gateway: string; dev: string}[]};
    const told: Told[] = JSON.parse(one.stdout.slice(0, one.stdout.indexOf('told')));
    const expected = told.flatMap(({dst, nexthops, ...own}) =>
      (nexthops ?? [own]).map(({gateway, dev}) => ({to: dst, via: gateway, device: dev})),
    );
    expect(expected.filter(({to}) => to === '10.1.0.0/16')).toHaveLength(2);
    // Now ip tells their numbers only.
    expect(JSON.stringify(ip(one.pid, '-4', 'route'))).toContain('"dst":"default","nhid":7,"flags"');
    const {routes} = read(one.pid);
    const found = (isRefusal(routes) ? [] : routes).filter(({version}) => version === 4).map(({to, via, device}) => ({to, via, device}));
    const key = (each: unknown) => JSON.stringify(each);
    expect(found.map(key).toSorted()).toEqual(expected.map(key).toSorted());
    expect(tab(one.pid, 80)).toMatch(/^Out by v0 → v1\.\n/);
    one.child.stdin?.end('\n');
    await one.ended;
  });

  it('tells which tables of packet filters there are, of both kinds', async context => {
    using folder = temporaryFolder();
    const script = `export XTABLES_LOCKFILE=${folder.file('lock')}; iptables-nft -V >/dev/null 2>&1 || echo needs iptables-nft
      iptables-nft -A OUTPUT -j DROP && iptables-nft -A INPUT -j DROP && iptables-nft -t nat -A POSTROUTING -j ACCEPT && ip6tables-nft -A INPUT -j DROP ||
        echo kernel lacks nf_tables
      iptables-legacy -t filter -A OUTPUT -j DROP 2>/dev/null && echo older; echo ready; read line`;
    await using one = start('unshare', ...ownUser, '-n', 'bash', '-c', script);
    await using bare = start('unshare', ...ownUser, '-n', 'sh', '-c', 'echo ready; read line');
    for (const each of [one, bare]) await each.says(/ready/);
    for (const skip of ['needs iptables-nft', 'kernel lacks nf_tables']) context.skip(one.stdout.includes(skip), skip);
    const {filters} = read(one.pid);
    const older = one.stdout.includes('older') && isRoot ? [{family: 'iptables', name: 'filter'}] : [];
    if (filters === undefined || isRefusal(filters)) throw new Error(JSON.stringify(filters));
    expect(filters.filter(({family}) => isRoot || family !== 'iptables')).toEqual([
      {family: 'ip', name: 'filter', chains: 2},
      {family: 'ip', name: 'nat', chains: 1},
      {family: 'ip6', name: 'filter', chains: 1},
      ...older,
    ]);
    expect(tab(one.pid, 80)).toMatch(/\nPacket filters .*\n {2}ip filter {2}2 chains\n {2}ip nat {2}1 chain\n/);
    expect(read(bare.pid).filters).toEqual([]);
    for (const each of [one, bare]) each.child.stdin?.end('\n');
    await Promise.all([one.ended, bare.ended]);
  });

  it('tells which routes have a device without a carrier, each hop of several, as ip does', async context => {
    context.skip(!supported(), 'kernel lacks veth');
    const script = `ip link add v0 type veth peer name v1; ip link add w0 type veth peer name w1
      for name in v0 v1 w0 w1; do ip link set $name up; done; ip addr add 10.9.8.1/24 dev v0; ip addr add 10.9.7.1/24 dev w0
      ip addr add fd00::1/64 dev v0 nodad; ip route add default via 10.9.8.2; ip -6 route add default via fd00::2
      ip route add 10.1.0.0/16 nexthop via 10.9.8.2 nexthop via 10.9.7.2
      ip link set v1 down; echo ready; read line`;
    await using one = start('unshare', ...ownUser, '-n', 'bash', '-c', script);
    await one.says(/ready/);
    type Hop = {gateway?: string; dev?: string; flags: string[]};
    const told: (Hop & {dst: string; nexthops?: Hop[]})[] = [...ip(one.pid, '-4', 'route'), ...ip(one.pid, '-6', 'route')];
    const hops = told.flatMap(({dst, nexthops, ...own}) =>
      (nexthops ?? [own]).map(({gateway, dev, flags}) => ({dst, gateway, dev, flags})),
    );
    const {routes} = read(one.pid);
    const key = (to: unknown[]) => JSON.stringify(to);
    expect((isRefusal(routes) ? [] : routes).map(({to, via, device, state}) => key([to, via, device, state ?? ''])).toSorted()).toEqual(
      hops.map(({dst, gateway, dev, flags}) => key([dst, gateway, dev, flags.join(' ')])).toSorted(),
    );
    expect(hops.filter(({dst}) => dst === '10.1.0.0/16').map(({flags}) => flags)).toEqual([['linkdown'], []]);
    expect(tab(one.pid, 120)).toMatch(/^Out by v0 → v1 \(linkdown\)\.\n[\s\S]*\n +default via 10\.9\.8\.2 by v0 linkdown\n/);
    one.child.stdin?.end('\n');
    await one.ended;
  });

  it('tells what a tunnel is made on, and where its packets leave, in another namespace as well', async context => {
    context.skip(!supported(), 'kernel lacks veth');
    // The outer namespace has another interface of each number that the tunnels have in the inner one.
    const script = `unshare -n sh -c 'echo inner $$; read line' <&0 &
      sleep 0.3; ip link add v0 type veth peer name v1; ip link set v0 up; ip link set v1 up; ip addr add 10.9.8.1/24 dev v0
      ip link add stays type vxlan id 12 dstport 4712 local 10.9.8.1 dev v0
      ip link add on-v0 index 40 type vxlan id 10 dstport 4710 local 10.9.8.1 dev v0; ip link set on-v0 netns $!
      ip link add any index 41 type vxlan id 11 dstport 4711 local 10.9.8.1; ip link set any netns $!
      ip link add other40 index 40 type bridge; ip link add other41 index 41 type bridge; echo ready; read line; kill $!; wait`;
    await using one = start('unshare', ...ownUser, '-n', 'bash', '-c', script);
    const inner = Number((await one.says(/inner (\d+)/))[1]);
    await one.says(/ready/);
    const [outer, within] = [read(one.pid), read(inner)];
    const partners = (links: readonly Interface[]) => new Map(links.map(({name, partner}) => [name, partner]));
    const namespace = outer.namespace;
    expect(partners(outer.interfaces).get('stays')).toMatchObject({name: 'v0', namespace});
    expect(partners(within.interfaces).get('on-v0')).toMatchObject({name: 'v0', namespace});
    expect(partners(within.interfaces).get('any')).toEqual({index: 0, name: null, namespace});
    expect(tab(inner, 120)).toMatch(/any vxlan id 11 down → its packets leave in net:\w+\n/);
    const told = readSnapshot({version: 'test'}).networks?.find(network => network.inode === within.namespace)?.interfaces ?? [];
    expect(partners(isRefusal(told) ? [] : told)).toEqual(partners(within.interfaces));
    one.child.stdin?.end('\n');
    await one.ended;
  });

  it('tells who listens, and abstract sockets with their holders', async () => {
    const program =
      "const net=require('net');net.createServer().listen(0,'127.0.0.1',function(){console.log('port '+this.address().port);net.createServer().listen('\\0nsview-abstract',()=>console.log('ready'))});process.stdin.on('data',()=>process.exit())";
    await using one = start(process.execPath, '-e', program);
    const port = Number((await one.says(/port (\d+)/))[1]);
    await one.says(/ready/);
    const {listeners, abstract} = read(one.pid);
    const holders = [{pid: one.pid, comm: expect.any(String)}];
    expect(listeners).toContainEqual({protocol: 'tcp', address: '127.0.0.1', port, holders});
    expect(abstract).toContainEqual({name: '@nsview-abstract', type: 'stream', holders});
    expect(execFileSync('ss', ['-Hltnp', `sport = :${port}`]).toString()).toContain(`pid=${one.pid},`);
  });

  it('finds who listens behind hundreds of processes, which nobody waits for', async () => {
    await using many = start(fixture('makes-tree'), '400', '1');
    await many.says(/./);
    const program =
      "require('net').createServer().listen('\\0nsview-late',()=>console.log('ready'));process.stdin.on('data',()=>process.exit())";
    await using one = start(process.execPath, '-e', program);
    await one.says(/ready/);
    for (const limit = Date.now() + patient(15_000); ; await new Promise(resolve => setTimeout(resolve, 100))) {
      const {abstract, cut} = read(one.pid);
      const found = isRefusal(abstract) ? undefined : abstract.find(({name}) => name === '@nsview-late');
      if (found?.holders.some(({pid}) => pid === one.pid)) break;
      expect(Date.now(), JSON.stringify({found, cut})).toBeLessThan(limit);
    }
    many.release();
    await many.ended;
  });

  it('tells who is connected to an abstract socket, inside and outside of the tree', async context => {
    const server =
      "require('net').createServer(c=>console.log('accepted')).listen('\\0nsview-peers',()=>console.log('ready'));process.stdin.on('data',()=>process.exit())";
    await using one = start(process.execPath, '-e', server);
    await one.says(/ready/);
    const client = "require('net').connect('\\0nsview-peers');process.stdin.on('data',()=>process.exit())";
    await using other = start(process.execPath, '-e', client);
    await one.says(/accepted/);
    const socket = () => {
      const {abstract} = read(one.pid);
      return isRefusal(abstract) ? undefined : abstract.find(({name}) => name === '@nsview-peers');
    };
    expect(socket()?.holders.map(({pid}) => pid)).toEqual([one.pid]);
    const seen = socket();
    context.skip(seen?.peers === undefined && !hasUnixDiag(), 'this kernel has no unix_diag');
    expect(seen?.peers?.map(({pid}) => pid)).toEqual([other.pid]);
    const text = tab(one.pid, 60);
    expect(text).toMatch(new RegExp(`connected: \\S+ ${other.pid} outside`));
  });

  it('tells the one device by which a socket is reached, as ss does', async context => {
    await using one = start(fixture('listens-by-device'));
    await one.says(/ready/);
    const told = execFileSync('nsenter', [...ENTER, '-t', String(one.pid), 'ss', '-Hlntu']).toString();
    context.skip(!/%lo:4711/.test(told), 'this kernel has no inet_diag');
    const {listeners} = read(one.pid);
    const found = (isRefusal(listeners) ? [] : listeners).map(
      ({protocol, port, device}) => `${protocol.slice(0, 3)} ${port} ${device ?? 'any'}`,
    );
    const lines = [...told.matchAll(/^(tcp|udp) .*?(?:%(\w+))?:(47\d+) /gm)].map(
      ([, protocol, device, port]) => `${protocol} ${port} ${device ?? 'any'}`,
    );
    expect(lines.length).toBe(5);
    expect(found.toSorted()).toEqual(lines.toSorted());
    expect(tab(one.pid, 80)).toContain('tcp 0.0.0.0:4711 only by lo  listens-by-devi');
    one.release();
    await one.ended;
  });

  it('tells which sockets of all addresses of IPv6 have those of IPv4 as well, as ss does', async context => {
    await using one = start(fixture('listens-both-ways'));
    await one.says(/ready/);
    const told = execFileSync('nsenter', [...ENTER, '-t', String(one.pid), 'ss', '-Hlntue']).toString();
    context.skip(!/v6only:1/.test(told), 'kernel lacks inet_diag');
    const {listeners} = read(one.pid);
    const found = (isRefusal(listeners) ? [] : listeners).map(({protocol, port, v6only}) => `${protocol} ${port} ${v6only}`);
    const lines = [...told.matchAll(/^(tcp|udp) .*:(47\d+) .*v6only:(\d)/gm)].map(
      ([, protocol, port, only]) => `${protocol}6 ${port} ${only === '1'}`,
    );
    expect(lines.length).toBe(4);
    // ss does not know UDP-Lite.
    expect(found.filter(text => !text.startsWith('udplite')).toSorted()).toEqual(lines.toSorted());
    if (existsSync(`/proc/${one.pid}/net/udplite6`))
      expect(found).toEqual(expect.arrayContaining(['udplite6 4710 false', 'udplite6 4711 true']));
    expect(tab(one.pid, 80)).toContain('tcp6 [::]:4710 and IPv4  listens-both-wa');
    expect(tab(one.pid, 80)).toContain('tcp6 [::]:4711 IPv6 only  listens-both-wa');
    const snapshot = readSnapshot({version: 'test', root: one.pid});
    const there = snapshot.networks?.find(({inode}) => inode === read(one.pid).namespace)?.listeners ?? [];
    expect(isRefusal(there) ? there : there.filter(({v6only}) => v6only === true).map(({protocol, port}) => `${protocol} ${port}`)).toEqual(
      expect.arrayContaining(['tcp6 4711', 'udp6 4711']),
    );
    one.release();
    await one.ended;
  });

  it('tells who gets the packets of others, as ss does', async () => {
    await using one = start(fixture('gets-packets'));
    await one.says(/ready/);
    const {packet, raw} = read(one.pid);
    const holders = [{pid: one.pid, comm: 'gets-packets'}];
    if (packet === undefined || isRefusal(packet) || raw === undefined || isRefusal(raw)) throw new Error(JSON.stringify({packet, raw}));
    expect(packet.toSorted((a, b) => b.protocol - a.protocol)).toEqual([
      {type: 'dgram', protocol: 0x800, device: 'lo', running: true, holders},
      {type: 'raw', protocol: 3, running: true, holders},
      {type: 'raw', protocol: 0, running: false, holders},
    ]);
    expect(raw).toHaveLength(3);
    expect(raw).toEqual(
      expect.arrayContaining([
        {version: 4, protocol: 1, address: '0.0.0.0', holders},
        {version: 4, protocol: 255, address: '0.0.0.0', holders},
        {version: 6, protocol: 58, address: '::', holders},
      ]),
    );
    const told = execFileSync('nsenter', [...ENTER, '-t', String(one.pid), 'ss', '-Ha0w']).toString();
    expect(told.match(/^p_/gm)).toHaveLength(packet.length);
    // That of Linux 6.1 and 6.12 lists none of them, /proc of any does.
    const listed = told.match(/^raw/gm)?.length ?? 0;
    const table = ['raw', 'raw6'].flatMap(name => readFileSync(`/proc/${one.pid}/net/${name}`, 'utf8').trim().split('\n').slice(1));
    expect([table.length, listed || raw.length]).toEqual([raw.length, raw.length]);
    const text = tab(one.pid, 80);
    expect(text).toContain(`packet all raw by any device  gets-packets ${one.pid}`);
    expect(text).toContain(`packet ip dgram only by lo  gets-packets ${one.pid}`);
    expect(text).toContain(`raw6 ipv6-icmp ::  gets-packets ${one.pid}`);
    one.release();
    await one.ended;
  });

  it('tells a socket of virtual machines, which no network namespace confines', async context => {
    await using one = start(fixture('listens-on-vsock'));
    await one.says(/lacks|ready/);
    context.skip(one.stdout.includes('lacks'), 'kernel lacks AF_VSOCK');
    // As of Linux 6.18.
    expect(one.stdout).toContain('same port: taken');
    const fd = Number(/^fd (\d+)/m.exec(one.stdout)?.[1]);
    const {others} = read(one.pid);
    expect(isRefusal(others ?? []) ? others : others).toContainEqual({pid: one.pid, comm: 'listens-on-vsoc', fd, protocol: 'AF_VSOCK'});
    expect(tab(one.pid, 120)).toContain(`AF_VSOCK  fd ${fd}  to the hypervisor or virtual machines, from any network namespace`);
    one.release();
    await one.ended;
  });

  it('tells a path that begins with @ from an abstract name, who waits at it to be accepted, and fds that wait there', async context => {
    context.skip(!hasUnixDiag(), 'kernel lacks unix_diag');
    using folder = temporaryFolder();
    await using one = start(...maker(fixture('reached-by-path'), folder.path));
    const [, child = '', clientFd = ''] = await one.says(/child (\d+) fd (\d+)/);
    const fds = (await one.says(/fds (\d+) (\d+) (\d+)\nready/)).slice(1).map(Number);
    const {abstract, paths} = read(one.pid);
    const named = isRefusal(abstract) ? [] : abstract.filter(({name}) => name.includes('nsview-path'));
    expect(named).toMatchObject([{name: '@nsview-path', type: 'stream', holders: [{pid: one.pid}]}]);
    const about = {pid: one.pid, comm: 'reached-by-path', type: 'stream'};
    expect(paths === undefined || isRefusal(paths) ? paths : paths.toSorted((a, b) => a.fd - b.fd)).toEqual([
      {...about, fd: fds[0], name: './@nsview-path', passed: 1},
      {...about, fd: fds[1], name: folder.file('absolute')},
      {...about, fd: fds[2], name: folder.file('removed'), gone: true},
    ]);
    const {connected} = read(Number(child));
    const found = connected === undefined || isRefusal(connected) ? [] : connected.filter(({fd}) => fd === Number(clientFd));
    expect(found).toEqual([
      {
        pid: Number(child),
        comm: 'reached-by-path',
        fd: Number(clientFd),
        type: 'stream',
        name: './@nsview-path',
        waits: true,
        peers: [{pid: one.pid, comm: 'reached-by-path', namespace: read(one.pid).namespace}],
      },
    ]);
    expect(tab(Number(child), 100)).toMatch(
      new RegExp(
        `fd ${clientFd} stream  \\./@nsview-path\\n +nobody has accepted it yet\\n +to reached-by-path ${one.pid} outside in net:a`,
      ),
    );
    expect(tab(one.pid, 100)).toMatch(
      /stream {2}\.\/@nsview-path\n +one fd waits in it to be received\n[\s\S]*removed it finds no such file/,
    );
    one.release();
    await one.ended;
  });

  it('tells what was accepted from any number of network namespaces, by its path', async context => {
    context.skip(!hasUnixDiag(), 'kernel lacks unix_diag');
    using folder = temporaryFolder();
    const path = folder.file('listens');
    const COUNT = 40;
    await using one = start(...maker(fixture('accepts-from-networks'), path, String(COUNT)));
    const server = Number((await one.says(/server (\d+)/))[1]);
    const {connected, cut} = read(server);
    const found = (connected === undefined || isRefusal(connected) ? [] : connected).filter(({name}) => name === path);
    expect(found).toHaveLength(COUNT);
    expect(new Set(found.map(({peers}) => peers[0]?.namespace)).size).toBe(COUNT);
    expect(cut.filter(what => what !== 'holders of sockets')).toEqual([]);
    one.release();
    await one.ended;
  });

  it('tells the connection of the last of hundreds of processes', async context => {
    context.skip(!hasUnixDiag(), 'kernel lacks unix_diag');
    await using one = start(fixture('holds-behind-many'), '400');
    const [, child = '', last = '', fd = ''] = await one.says(/child (\d+) last (\d+) fd (\d+)/);
    await one.says(/ready/);
    const {connected} = read(Number(child));
    const found = connected === undefined || isRefusal(connected) ? connected : connected.filter(({pid}) => pid === Number(last));
    expect(found).toContainEqual(expect.objectContaining({fd: Number(fd), peers: [{pid: one.pid, comm: 'holds-behind-ma'}]}));
    one.release();
    await one.ended;
  });

  it('tells who listens in a network without being in it', async () => {
    await using one = start(fixture('listens-elsewhere'));
    const child = Number((await one.says(/child (\d+)/))[1]);
    await one.says(/ready[\s\S]*ready/);
    const holders = [{pid: one.pid, comm: 'listens-elsewhe', namespace: read(one.pid).namespace}];
    expect(read(child).namespace).not.toBe(holders[0]?.namespace);
    const told = () => read(child).listeners;
    // Another thread asks all processes; fds are read at most every two seconds.
    for (const limit = Date.now() + patient(15_000); Date.now() < limit; await new Promise(resolve => setTimeout(resolve, 100)))
      if (JSON.stringify(told()).includes('listens-elsewhe')) break;
    expect(told()).toEqual([{protocol: 'tcp', address: '0.0.0.0', port: 4711, holders}]);
    expect(tab(child, 120)).toMatch(new RegExp(`tcp 0\\.0\\.0\\.0:4711 +listens-elsewhe ${one.pid} outside in net:a\n`));
    one.release();
    await one.ended;
  });

  it('tells who is connected to a name that fills its address, and to one of datagrams', async context => {
    await using one = start(fixture('reached-by-name'));
    const child = Number((await one.says(/child (\d+)/))[1]);
    await one.says(/ready[\s\S]*ready/);
    const {abstract} = read(one.pid);
    const found = isRefusal(abstract) ? [] : abstract.filter(({name}) => /^@nsview-(whole|datagrams)/.test(name));
    context.skip(!hasUnixDiag(), 'this kernel has no unix_diag');
    const [holder, peer] = [one.pid, child].map(pid => [{pid, comm: 'reached-by-name'}]);
    expect(found.toSorted((a, b) => a.name.localeCompare(b.name))).toEqual([
      {name: '@nsview-datagrams', type: 'datagram', holders: holder, peers: peer},
      // sun_path has 108 bytes (unix(7)).
      {name: '@nsview-whole'.padEnd(108, '@'), type: 'stream', holders: holder, peers: peer},
    ]);
    one.release();
    await one.ended;
  });

  it.each(['stream', 'seqpacket'])('tells who has the other end of a %s pair, and of one that was sent, in another network', async type => {
    await using one = start(...maker(fixture('socket-pair'), type));
    const [, child = '', inherited = '', sent = ''] = await one.says(/child (\d+) fds (\d+) (\d+)\nready/);
    const pid = Number(child);
    const outside = () => {
      const {connected} = read(pid);
      if (connected === undefined || isRefusal(connected)) throw new Error(JSON.stringify(connected));
      // Stdin and what else a test inherits may be sockets of the one who started it.
      return connected.filter(({fd}) => fd === Number(inherited) || fd === Number(sent));
    };
    const namespace = /\d+/.exec(readlinkSync('/proc/self/ns/net'))?.[0];
    const peers = [{pid: one.pid, comm: 'socket-pair', namespace}];
    const ends = [Number(inherited), Number(sent)].sort((a, b) => a - b);
    expect(outside()).toEqual(ends.map(fd => ({pid, comm: 'socket-pair', fd, type, name: '', peers})));
    for (const width of [36, 60, 100])
      expect(tab(pid, width)).toMatch(new RegExp(`fd ${sent} ${type} +a socket pair\\n +to socket-pair ${one.pid} outside\\s+in\\s+net:a`));
    // Of the process above both the other end is within.
    const above = read(one.pid).connected;
    expect(above === undefined || isRefusal(above) ? above : above.filter(({peers: ends}) => ends.some(end => end.pid === pid))).toEqual(
      [],
    );
    one.release();
    await one.ended;
  });

  it('tells of a connection over a path out of a network namespace, by its name', async () => {
    using folder = temporaryFolder();
    const path = folder.file('listens');
    const server = `require('net').createServer(()=>console.log('accepted')).listen('${path}',()=>console.log('ready'));process.stdin.on('data',()=>process.exit())`;
    await using one = start(process.execPath, '-e', server);
    await one.says(/ready/);
    const client = `require('net').connect('${path}');process.stdin.on('data',()=>process.exit())`;
    await using other = start('unshare', ...ownUser, '-n', process.execPath, '-e', client);
    await one.says(/accepted/);
    for (const [pid, peer] of [
      [other.pid, one.pid],
      [one.pid, other.pid],
    ] as const) {
      const {connected} = read(pid);
      if (connected === undefined || isRefusal(connected)) throw new Error(JSON.stringify(connected));
      expect(connected.filter(({name}) => name === path)).toMatchObject([
        {pid, type: 'stream', peers: [{pid: peer, namespace: expect.stringMatching(/^\d+$/)}]},
      ]);
    }
  });

  it('shows the network of a thread that is alone in it', async () => {
    await using one = start(...maker(fixture('thread-unshares-net')));
    const tid = Number((await one.says(/tid (\d+)/))[1]);
    const {threads, namespace} = read(one.pid);
    expect(threads).toMatchObject([{tid, interfaces: [{name: 'lo', up: false}], routes: []}]);
    expect(threads?.[0]?.namespace).not.toBe(namespace);
    expect(tab(one.pid, 60)).toMatch(
      new RegExp(`Threads elsewhere.*\n +⌇ alone ${tid} in net:[b-z]\n +Nobody, not even itself: lo is down`),
    );
    one.release();
    await one.ended;
  });

  it('says what refused it: a process that is not there, a file that is no network', () => {
    expect(readNetwork(4194303)).toMatchObject({
      namespace: {errno: 'ENOENT', during: 'readlink'},
      refused: {errno: 'ENOENT', during: 'open'},
      interfaces: {errno: 'ENOENT'},
      routes: {errno: 'ENOENT'},
    });
    const told = readNetworks(new Map([['1', {pid: 0, path: '/proc/self/ns/uts'}]]), true);
    expect(told).toEqual([{inode: '1', pid: 0, interfaces: {errno: 'EINVAL', during: 'setns'}}]);
  });

  it('passes over what is no message', () => {
    const whole = Buffer.alloc(256, 0xff);
    for (let size = 0; size < 256; size++) {
      const bytes = Buffer.from(whole.subarray(0, size));
      for (const type of [16, 20, 24, 32, 104, 2560]) {
        if (size >= 16) {
          bytes.writeUInt32LE(size, 0);
          bytes.writeUInt16LE(type, 4);
        }
        expect(decodeLinks(bytes).length + decodeAddresses(bytes).length + decodeRoutes(bytes).length).toBeLessThanOrEqual(1);
        expect(decodeRules(bytes).length + decodeHops(bytes).size + decodeFilterTables(bytes).length).toBeLessThanOrEqual(1);
        expect(decodeUnixSockets(bytes).length + decodeInetSockets(bytes).size).toBeLessThanOrEqual(2);
      }
    }
  });
});
