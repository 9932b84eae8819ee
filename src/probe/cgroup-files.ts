// Knows the files of cgroups that say what limits them, by version, and how each is decoded.

import {existsSync, readdirSync, statSync} from 'node:fs';
import {isDeepStrictEqual} from 'node:util';
import type {CgroupLevel, CgroupResource} from '../model/cgroup-limit.ts';
import {isRefusal} from '../model/fact.ts';
import {readText, refusalOf} from './proc-file.ts';

/** One resource in one version of cgroups: file names, and a decoder where the file is not one number. */
type Files = {
  readonly resource: string;
  readonly limit?: string;
  readonly soft?: string;
  readonly first?: string;
  readonly min?: string;
  readonly low?: string;
  readonly oomGroup?: string;
  readonly use?: string;
  readonly peak?: string;
  /** A file that counts since the cgroup exists, and its decoder to the unit of CgroupResource.total. */
  readonly total?: readonly [file: string, decode: (text: string) => string | null];
  readonly weight?: string;
  /** Those of v2 count what is below as well, and have a second file, named `.local`, that does not. */
  readonly events?: readonly string[];
  readonly pressure?: string;
  /** cpu.max, or the quota and the period of v1. */
  readonly bandwidth?: readonly string[];
  /** Lists, and limits by device: what is not one number, each with what it is called, and for what it was asked where the kernel may give less. */
  readonly texts?: readonly (readonly [name: string, file: string, asked?: string])[];
  /** A text that says nothing of limits; where all that there are do, the resource is left out. */
  readonly saysNothing?: string;
};

/** A line a device: `8:0 rbytes=… wbytes=… …`; an empty file where it never read nor wrote. */
export function decodeIoStat(text: string): string {
  let bytes = 0n;
  for (const [, count] of text.matchAll(/ [rw]bytes=([0-9]+)/g)) bytes += BigInt(count ?? 0);
  return String(bytes);
}

/** Of x86-64, and of arm64 with pages of 4 and of 64 KiB (Documentation/arch/arm64/hugetlbpage.rst). */
const HUGE_PAGES = ['64KB', '2MB', '32MB', '512MB', '1GB', '16GB'];

/** PAGE_COUNTER_MAX in bytes, with pages of 4 KiB. */
const ALL_MEMORY = '9223372036854771712';

/** Documentation/admin-guide/cgroup-v2.rst. */
const V2: readonly Files[] = [
  {
    resource: 'memory',
    limit: 'memory.max',
    soft: 'memory.high',
    min: 'memory.min',
    low: 'memory.low',
    oomGroup: 'memory.oom.group',
    use: 'memory.current',
    peak: 'memory.peak',
    events: ['memory.events'],
    pressure: 'memory.pressure',
  },
  {
    resource: 'swap',
    limit: 'memory.swap.max',
    soft: 'memory.swap.high',
    use: 'memory.swap.current',
    peak: 'memory.swap.peak',
    events: ['memory.swap.events'],
  },
  {resource: 'zswap', limit: 'memory.zswap.max', use: 'memory.zswap.current'},
  {resource: 'pids', limit: 'pids.max', use: 'pids.current', peak: 'pids.peak', events: ['pids.events']},
  {
    resource: 'cpu',
    bandwidth: ['cpu.max'],
    weight: 'cpu.weight',
    events: ['cpu.stat'],
    pressure: 'cpu.pressure',
    total: ['cpu.stat', text => /^usage_usec ([0-9]+)$/m.exec(text)?.[1] ?? null],
  },
  {
    resource: 'io',
    texts: [['', 'io.max']],
    weight: 'io.weight',
    pressure: 'io.pressure',
    total: ['io.stat', decodeIoStat],
  },
  // A line a device, or a kind of what the machine has few of; none where it has none.
  {resource: 'rdma', texts: [['', 'rdma.max']], saysNothing: ''},
  {resource: 'misc', texts: [['', 'misc.max']], events: ['misc.events'], saysNothing: ''},
  {
    resource: 'cpuset',
    texts: [
      ['cpus', 'cpuset.cpus.effective', 'cpuset.cpus'],
      ['mems', 'cpuset.mems.effective', 'cpuset.mems'],
      // Where it is invalid, with the reason.
      ['partition', 'cpuset.cpus.partition'],
    ],
    saysNothing: 'member',
  },
  ...HUGE_PAGES.flatMap((size): Files[] => [
    {
      resource: `hugetlb ${size}`,
      limit: `hugetlb.${size}.max`,
      use: `hugetlb.${size}.current`,
      events: [`hugetlb.${size}.events`],
    },
    // What mmap(2) promises: where that is out it fails, and without it the first touch ends in SIGBUS.
    {resource: `hugetlb ${size} rsvd`, limit: `hugetlb.${size}.rsvd.max`, use: `hugetlb.${size}.rsvd.current`},
  ]),
];

/** Documentation/admin-guide/cgroup-v1/. */
const V1: readonly Files[] = [
  {
    resource: 'memory',
    limit: 'memory.limit_in_bytes',
    first: 'memory.soft_limit_in_bytes',
    use: 'memory.usage_in_bytes',
    peak: 'memory.max_usage_in_bytes',
    events: ['memory.oom_control', 'memory.failcnt'],
  },
  {
    resource: 'memory+swap',
    limit: 'memory.memsw.limit_in_bytes',
    use: 'memory.memsw.usage_in_bytes',
    peak: 'memory.memsw.max_usage_in_bytes',
    events: ['memory.memsw.failcnt'],
  },
  {resource: 'pids', limit: 'pids.max', use: 'pids.current', peak: 'pids.peak', events: ['pids.events']},
  {
    resource: 'cpu',
    bandwidth: ['cpu.cfs_quota_us', 'cpu.cfs_period_us'],
    weight: 'cpu.shares',
    events: ['cpu.stat'],
    // Nanoseconds, of the controller cpuacct, which is often mounted together with cpu.
    total: ['cpuacct.usage', text => (/^[0-9]+\n?$/.test(text) ? String(BigInt(text.trim()) / 1000n) : null)],
  },
  {
    resource: 'io',
    texts: [
      ['read bytes/s', 'blkio.throttle.read_bps_device'],
      ['write bytes/s', 'blkio.throttle.write_bps_device'],
      ['reads/s', 'blkio.throttle.read_iops_device'],
      ['writes/s', 'blkio.throttle.write_iops_device'],
    ],
    total: ['blkio.throttle.io_service_bytes', text => /^Total ([0-9]+)$/m.exec(text)?.[1] ?? null],
  },
  {
    resource: 'cpuset',
    texts: [
      ['cpus', 'cpuset.effective_cpus', 'cpuset.cpus'],
      ['mems', 'cpuset.effective_mems', 'cpuset.mems'],
    ],
  },
  // That of all devices stands there whatever was denied of them one by one, which the kernel does not list (security/device_cgroup.c).
  {resource: 'devices', texts: [['only', 'devices.list']], saysNothing: 'a *:* rwm'},
  ...HUGE_PAGES.flatMap(size =>
    ['', ' rsvd'].map((rsvd): Files => {
      const name = `hugetlb.${size}${rsvd.replace(' ', '.')}`;
      return {
        resource: `hugetlb ${size}${rsvd}`,
        limit: `${name}.limit_in_bytes`,
        use: `${name}.usage_in_bytes`,
        peak: `${name}.max_usage_in_bytes`,
        events: [`${name}.failcnt`],
      };
    }),
  ),
];

/** v1 has no word for no limit, but the most that its counter holds: 2^63 rounded down to pages of at most 64 KiB (mm/page_counter.c). */
const UNLIMITED = 2n ** 63n - 65536n;

/** A number, or null for `max`, for what v1 says instead, and for what is none. */
export function decodeLimit(text: string): string | null {
  const word = text.trim();
  return /^[0-9]+$/.test(word) && BigInt(word) < UNLIMITED ? word : null;
}

/** Thousandths of a CPU from `quota period`, quota `max` or -1 where there is none. */
export function decodeBandwidth(text: string): string | null {
  const [quota = '', period = ''] = text.trim().split(/\s+/);
  return /^[0-9]+$/.test(quota) && Number(period) > 0 ? String(Math.round((Number(quota) * 1000) / Number(period))) : null;
}

/** `some avg10=0.00 avg60=…` and `full …` (Documentation/accounting/psi.rst). */
export function decodePressure(text: string): NonNullable<CgroupResource['pressure']> | null {
  const average = (line: string): number | undefined => {
    const found = new RegExp(`^${line} avg10=([0-9.]+)`, 'm').exec(text)?.[1];
    return found === undefined ? undefined : Number(found);
  };
  const [some, full] = [average('some'), average('full')];
  return some === undefined ? null : {some, ...(full === undefined ? {} : {full})};
}

/** Lines `name value`, or a lone number: a failcnt. What is 0 says nothing. */
export function decodeEvents(text: string, file: string): {[name: string]: number} {
  const events: {[name: string]: number} = {};
  if (/^[0-9]+\n?$/.test(text)) return Number(text) > 0 ? {[file]: Number(text)} : {};
  for (const line of text.split('\n')) {
    const [, name, value] = /^(\S+) ([0-9]+)$/.exec(line) ?? [];
    if (name !== undefined && value !== undefined && Number(value) > 0) events[name] = Number(value);
  }
  return events;
}

/** `full` also reads what moves all the time; else the limits and their use alone. null: this cgroup has none of its files. */
function readResource(directory: string, names: ReadonlySet<string>, files: Files, full: boolean): CgroupResource | null {
  const text = (file: string | undefined): string | null => {
    if (file === undefined || !names.has(file)) return null;
    const read = readText(`${directory}/${file}`);
    return isRefusal(read) ? null : read;
  };
  const optional = (name: string, value: string | null): {[name: string]: string} => (value === null ? {} : {[name]: value});
  const number = (file: string | undefined): string | null => {
    const read = text(file);
    return read === null ? null : decodeLimit(read);
  };
  const protection = (file: string | undefined): string | null => {
    const read = text(file)?.trim() ?? '0';
    return read === '0' ? null : read === 'max' ? ALL_MEMORY : read;
  };
  const bandwidth = files.bandwidth?.map(text) ?? [];
  const limit = bandwidth.length > 0 ? (bandwidth.includes(null) ? null : decodeBandwidth(bandwidth.join(' '))) : number(files.limit);
  const shared = {resource: files.resource, limit, ...optional('use', number(files.use))};
  const all = [
    files.limit,
    files.use,
    files.weight,
    files.pressure,
    files.total?.[0],
    ...(files.bandwidth ?? []),
    ...(files.texts ?? []).map(([, file]) => file),
  ];
  const isThere = (file: string | undefined): boolean => file !== undefined && names.has(file);
  if (!all.some(isThere)) return null;
  if (!full) return shared;
  const oneLine = (file: string | undefined): string => text(file)?.trim().replaceAll('\n', '; ') ?? '';
  const texts = (files.texts ?? []).flatMap(([name, file, asked]) => {
    const [read, wanted] = [oneLine(file), oneLine(asked)];
    if (read === '' || read === files.saysNothing) return [];
    return [`${name} ${read}${wanted === '' || wanted === read ? '' : ` of ${wanted} asked for`}`.trimStart()];
  });
  if (files.saysNothing !== undefined && texts.length === 0) return null;
  const isCounted = (file: string | undefined): boolean => file === files.pressure || file === files.total?.[0];
  const events: {[name: string]: number} = {};
  const below: {[name: string]: number} = {};
  for (const file of files.events ?? []) {
    const all = decodeEvents(text(file) ?? '', file);
    // cpu.stat.local is another thing: it has throttled_usec alone.
    const local = file.endsWith('.events') ? text(`${file}.local`) : null;
    const own = local === null ? all : decodeEvents(local, file);
    Object.assign(events, own);
    for (const [name, value] of Object.entries(all)) if (value > (own[name] ?? 0)) below[name] = value - (own[name] ?? 0);
  }
  const pressure = decodePressure(text(files.pressure) ?? '');
  const counted = text(files.total?.[0]);
  return {
    ...shared,
    ...(all.some(file => isThere(file) && !isCounted(file)) ? {} : {uncontrolled: true}),
    ...optional('soft', number(files.soft)),
    ...optional('first', number(files.first)),
    ...optional('min', protection(files.min)),
    ...optional('low', protection(files.low)),
    ...(text(files.oomGroup)?.trim() === '1' ? {oomGroup: true} : {}),
    ...optional('peak', number(files.peak)),
    ...optional('total', counted === null ? null : (files.total?.[1](counted) ?? null)),
    // io.weight has weights by device as well, behind the one that holds for the others.
    ...optional('weight', /^(?:default )?([0-9]+)/.exec(text(files.weight) ?? '')?.[1] ?? null),
    ...(texts.length === 0 ? {} : {text: texts.join(', ')}),
    ...(Object.keys(events).length === 0 ? {} : {events}),
    ...(Object.keys(below).length === 0 ? {} : {eventsBelow: below}),
    ...(pressure === null ? {} : {pressure}),
  };
}

/** How many cgroups may be below it, and how deep, where that is limited: any of v2 has these files, whatever is enabled (cgroup-v2.rst). */
function readBelow(directory: string, full: boolean): CgroupResource[] {
  const text = (file: string): string => {
    const read = readText(`${directory}/${file}`);
    return isRefusal(read) ? '' : read;
  };
  const limit = decodeLimit(text('cgroup.max.descendants'));
  const depth = full ? decodeLimit(text('cgroup.max.depth')) : null;
  if (limit === null && depth === null) return [];
  const use = /^nr_descendants ([0-9]+)$/m.exec(text('cgroup.stat'))?.[1];
  return [{resource: 'cgroups', limit, ...(limit === null || use === undefined ? {} : {use}), ...(depth === null ? {} : {depth})}];
}

function readFrozen(directory: string, names: ReadonlySet<string>): boolean | null {
  const file = ['cgroup.freeze', 'freezer.self_freezing'].find(name => names.has(name));
  if (file === undefined) return null;
  const text = readText(`${directory}/${file}`);
  return isRefusal(text) ? null : text.trim() === '1';
}

/** Of a cgroup that is told to freeze, itself or by one above: some task of it has not stopped. */
export function isFreezing(directory: string, version: 1 | 2): boolean {
  const text = readText(`${directory}/${version === 2 ? 'cgroup.events' : 'freezer.state'}`);
  return !isRefusal(text) && (version === 2 ? /^frozen 0$/m.test(text) : text.trim() === 'FREEZING');
}

/** null: it is a domain, as all are that nobody made anything else; or it is a cgroup of v1, or the root. */
export function readType(directory: string): string | null {
  const text = readText(`${directory}/cgroup.type`);
  return isRefusal(text) || text.trim() === 'domain' ? null : text.trim();
}

function readWriter(file: string): CgroupLevel['writer'] {
  try {
    const {uid, gid, mode} = statSync(file);
    return {uid, gid, mode: (mode & 0o7777).toString(8).padStart(4, '0')};
  } catch (error) {
    return refusalOf(error, 'stat');
  }
}

function readWriters(directory: string, version: 1 | 2, type: string | null): Pick<CgroupLevel, 'writer' | 'threadWriter'> {
  const writer = readWriter(`${directory}/cgroup.procs`);
  // Where nothing is threaded, a thread is moved with its process.
  if (version === 2 && type === null) return {writer};
  const threadWriter = readWriter(`${directory}/${version === 2 ? 'cgroup.threads' : 'tasks'}`);
  return {writer, ...(isDeepStrictEqual(threadWriter, writer) ? {} : {threadWriter})};
}

/** What one cgroup says; without `full` its numeric limits and their use alone. */
export function readLevel(directory: string, path: string, version: 1 | 2, full: boolean): CgroupLevel {
  let names: ReadonlySet<string>;
  try {
    names = new Set(readdirSync(directory));
  } catch (error) {
    return {path, resources: [], writer: refusalOf(error, 'getdents64')};
  }
  const table = version === 2 ? V2 : V1;
  const frozen = full ? readFrozen(directory, names) : null;
  const type = full && names.has('cgroup.type') ? readType(directory) : null;
  return {
    path,
    resources: [
      ...table.flatMap(files => readResource(directory, names, files, full) ?? []),
      ...(version === 2 ? readBelow(directory, full) : []),
    ],
    ...(frozen === null ? {} : {frozen}),
    ...(type === null ? {} : {type}),
    ...(full ? readWriters(directory, version, type) : {writer: {errno: 'ENODATA', during: 'not asked for'}}),
  };
}

/** What only the root of a whole hierarchy has, or all but that: the topmost directory that can be seen may be of another cgroup. */
export function hasMoreAbove(directory: string, version: 1 | 2): boolean {
  return version === 2
    ? existsSync(`${directory}/cgroup.events`)
    : existsSync(`${directory}/tasks`) && !existsSync(`${directory}/release_agent`);
}

/** The directories of a cgroup and of those above it, as far as its mount shows them: `directory` is of `path`, and its last is the mount's. */
export function levelsAbove(directory: string, path: string, mountPoint: string): {readonly directory: string; readonly path: string}[] {
  const levels: {directory: string; path: string}[] = [];
  let [folder, name] = [directory, path];
  for (;;) {
    levels.push({directory: folder, path: name === '' ? '/' : name});
    if (folder === mountPoint || name === '' || name === '/') return levels;
    folder = folder.slice(0, folder.lastIndexOf('/'));
    name = name.slice(0, name.lastIndexOf('/'));
  }
}
