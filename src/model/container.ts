// Knows which container a process is in, by what the kernel says of it and what runtimes have written of theirs: never by one guess alone
// without saying so.

import {printable} from './printable.ts';
import {isRefusal, type Seen} from './seen.ts';

/** From those that manage containers to those that only start them: of several that know one container, the first names it. */
export const RUNTIMES = [
  'flatpak',
  'snap',
  'podman',
  'docker',
  'cri-o',
  'kubernetes',
  'containerd',
  'lxc',
  'systemd-nspawn',
  'firejail',
  'bubblewrap',
  'chromium',
  'crun',
  'runc',
] as const;
export type Runtime = (typeof RUNTIMES)[number];

/** What a runtime has written of one container, in a file of this machine. */
export type ContainerState = {
  readonly runtime: Runtime;
  readonly id: string;
  readonly name?: string;
  /** Where it is written. */
  readonly file: string;
  /** Its first process, and that one's start time in clock ticks after boot. */
  readonly pid?: number;
  readonly start?: string;
  /** The process that minds it from outside. */
  readonly minder?: number;
  /** Inode number of its mount namespace. */
  readonly mnt?: string;
  /** When that was written, in the same unit; where it tells no start time. */
  readonly written?: string;
  /** Who owns the file: another than root may have written anything about the processes of others. */
  readonly owner: number;
};

/** Where runtimes keep their state, and whether nsview could look there. */
export type StatePlace = {readonly runtime: Runtime; readonly directory: string; readonly seen: Seen<number>};

/**
 * What says inside of a mount namespace in which container that is. `itself`: whoever is in it may have made it up. `kernel`: the label that a
 * security module confines it by.
 */
export type Word = {
  readonly by: 'kernel' | 'itself';
  readonly runtime: Runtime;
  readonly id?: string;
  readonly name?: string;
  /** Inode of the mount namespace, and the process through which it was read. */
  readonly mnt: string;
  readonly pid: number;
  /** Where it stands: a path inside, or what of the process it is. */
  readonly place: string;
  /** The same for the same file, wherever it is seen: a mount namespace is a copy of another one (mount_namespaces(7)). */
  readonly identity: string;
};

/** `words` are left out by versions that did not read them. */
export type Containers = {
  readonly states: readonly ContainerState[];
  readonly places: readonly StatePlace[];
  readonly words?: readonly Word[];
};

/**
 * `kernel`: no process can make it up for another. `runtime`: a file of the runtime's on this machine. `itself`: what is contained says it
 * itself, and may have made it up.
 */
export type Evidence = {readonly by: 'kernel' | 'runtime' | 'itself'; readonly says: string};

export type Container = {
  /** Unlike that of every other container. */
  readonly key: string;
  readonly runtime: Runtime;
  /** That which started it for the runtime, where its state was found too. */
  readonly through?: Runtime;
  readonly id: string;
  readonly name: string | null;
  readonly evidence: readonly Evidence[];
  /** What is not there though it should be. */
  readonly missing: string | null;
  /** Nothing but its own word says so. */
  readonly byItself?: true;
};

/** What is to be known of a process. */
export type Contained = {
  readonly pid: number;
  readonly start: string;
  readonly maker: Contained | null;
  readonly exe: Seen<string> | null;
  readonly argv: Seen<readonly string[]> | null;
  readonly nspid: Seen<readonly number[]> | null;
  readonly uids: Seen<readonly number[]> | null;
  readonly cgroup: Seen<readonly {readonly hierarchy: number; readonly path: string}[]> | null;
  readonly links: {readonly mnt?: Seen<string>; readonly pid?: Seen<string>; readonly user?: Seen<string>; readonly net?: Seen<string>};
};

type Named = {readonly runtime: Runtime; readonly id: string; readonly name?: string};

const HEX = '[0-9a-f]{64}';
const UNIQUE = new RegExp(`^${HEX}$`);
/**
 * One component of a cgroup path and the container that is named by it, as the runtimes' documentation has it; the second group of a pattern is a
 * name that others may have as well. What minds a container from outside (conmon, lxc.monitor, supervisor) is not in it.
 */
const CGROUP_NAMES: readonly {readonly runtime: Runtime; readonly pattern: RegExp}[] = [
  // With payload- in a service that holds conmon as well (podman-run(1), --cgroups=split).
  {runtime: 'podman', pattern: new RegExp(`^libpod-(?:payload-)?(${HEX})(?:\\.scope)?$`)},
  {runtime: 'docker', pattern: new RegExp(`^docker-(${HEX})\\.scope$`)},
  {runtime: 'cri-o', pattern: new RegExp(`^crio-(${HEX})(?:\\.scope)?$`)},
  {runtime: 'containerd', pattern: new RegExp(`^cri-containerd-(${HEX})\\.scope$`)},
  {runtime: 'containerd', pattern: /^nerdctl-([0-9a-f]{64})\.scope$/},
  {runtime: 'lxc', pattern: /^lxc\.payload\.(.+)$/},
  // Not libvirt's, which begin with the driver and a number (libvirt.org, cgroups): virtual machines, and containers of its own.
  {runtime: 'systemd-nspawn', pattern: /^machine-(?!(?:qemu|ch|lxc)\\x2d[0-9]+\\x2d)(.+)\.scope$/},
  {runtime: 'systemd-nspawn', pattern: /^systemd-nspawn@(.+)\.service$/},
  // One for each run of an application, with what minds that outside (systemd.io, DESKTOP_ENVIRONMENTS).
  {runtime: 'flatpak', pattern: /^app-flatpak-((.+)-[0-9]+)\.scope$/},
  {runtime: 'snap', pattern: /^snap\.([^.]+)\..+\.(?:scope|service)$/},
  {runtime: 'crun', pattern: /^crun-(.+)\.scope$/},
  {runtime: 'runc', pattern: /^runc-(.+)\.scope$/},
];

/** A component that is named by a container below one that is named by its runtime. */
const CGROUP_PARENTS: readonly {readonly runtime: Runtime; readonly parent: RegExp; readonly pattern: RegExp}[] = [
  {runtime: 'docker', parent: /^docker$/, pattern: new RegExp(`^(${HEX})$`)},
  {runtime: 'podman', parent: /^libpod_parent$/, pattern: new RegExp(`^libpod-(${HEX})$`)},
  // The id of a static pod is a hash, without dashes.
  {runtime: 'kubernetes', parent: /^pod(?:[0-9a-f-]{36}|[0-9a-f]{32})$/, pattern: new RegExp(`^(${HEX})$`)},
  {runtime: 'lxc', parent: /^lxc$/, pattern: /^(.+)$/},
];

/** systemd writes what a name of a unit cannot hold as `\x2d` (systemd.unit(5)). */
const unescapeUnit = (name: string): string =>
  name.replaceAll(/\\x([0-9a-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));

/** Which container the innermost component of a cgroup path is named after. */
export function nameByCgroup(path: string): Named | null {
  const parts = path.split('/');
  for (let index = parts.length - 1; index > 0; index--) {
    const part = parts[index] ?? '';
    if (part === 'supervisor') return null;
    for (const {runtime, pattern} of CGROUP_NAMES) {
      const [, id, name] = pattern.exec(part) ?? [];
      if (id !== undefined && id !== '') return {runtime, id: unescapeUnit(id), ...(name === undefined ? {} : {name: unescapeUnit(name)})};
    }
    for (const {runtime, parent, pattern} of CGROUP_PARENTS) {
      const id = parent.test(parts[index - 1] ?? '') ? pattern.exec(part)?.[1] : undefined;
      if (id !== undefined) return {runtime, id};
    }
  }
  return null;
}

const value = <T>(seen: Seen<T> | null | undefined): T | null => (seen === null || seen === undefined || isRefusal(seen) ? null : seen);

const baseOf = (path: string): string =>
  path
    .replace(/ \(deleted\)$/, '')
    .split('/')
    .at(-1) ?? '';

const LINKS = ['user', 'mnt', 'pid', 'net'] as const;

/** The namespaces in which two are known to differ. */
function apart(one: Contained, other: Contained): string[] {
  return LINKS.filter(link => {
    const [mine, theirs] = [value(one.links[link]), value(other.links[link])];
    return mine !== null && theirs !== null && mine !== theirs;
  });
}

/** Whether they are known to be in one mount namespace, or in two. */
function areTogether(one: Contained, other: Contained): boolean | null {
  const [mine, theirs] = [value(one.links.mnt), value(other.links.mnt)];
  return mine === null || theirs === null ? null : mine === theirs;
}

type Claim = Named & {readonly evidence: readonly Evidence[]};

/** Whether the owner of a state file may say what this process is: root, and who runs it or the process that made it. */
const mayName = (owner: number, process: Contained): boolean =>
  owner === 0 || [process, process.maker].some(one => one !== null && (value(one.uids)?.[0] ?? null) === owner);

/** The word behind an option, or in it behind `=`. */
function optionOf(argv: readonly string[], names: readonly string[]): string | null {
  for (const [index, word] of argv.entries()) {
    if (word === '--') return null;
    for (const name of names) {
      if (word === name) return argv[index + 1] ?? null;
      if (name.startsWith('--') && word.startsWith(`${name}=`)) return word.slice(name.length + 1);
    }
  }
  return null;
}

/** A sandbox that begins with this process, by the program that made it and the namespaces that it does not share with it. */
function claimByMaker(process: Contained): Claim | null {
  const {maker} = process;
  if (maker === null) return null;
  const exe = value(maker.exe);
  // conmon(8) minds a container of podman or CRI-O from outside, and is told its id and name.
  if (exe !== null && baseOf(exe) === 'conmon' && apart(process, maker).includes('mnt')) {
    const words = value(maker.argv) ?? [];
    const id = optionOf(words, ['-c', '--cid']);
    const name = optionOf(words, ['-n', '--name']);
    if (id !== null)
      return {
        runtime: words.some(word => word.includes('/crio')) ? 'cri-o' : 'podman',
        id,
        ...(name === null ? {} : {name}),
        evidence: [{by: 'kernel', says: `${maker.pid}, which minds it, is ${exe} -c ${id}${name === null ? '' : ` -n ${name}`}`}],
      };
  }
  if (exe === null) return null;
  const differs = apart(process, maker);
  if (differs.length === 0) return null;
  const argv = value(maker.argv) ?? [];
  const said = (runtime: Runtime, id: string): Claim => ({
    runtime,
    id,
    evidence: [{by: 'kernel', says: `${maker.pid}, which made it, runs ${exe}; it is in another ${differs.join(', ')} namespace`}],
  });
  switch (baseOf(exe)) {
    case 'bwrap':
      return differs.includes('mnt') ? said('bubblewrap', String(maker.pid)) : null;
    case 'firejail':
      return differs.includes('mnt') || differs.includes('pid') ? said('firejail', String(maker.pid)) : null;
    case 'systemd-nspawn':
      return differs.includes('mnt') ? said('systemd-nspawn', optionOf(argv, ['-M', '--machine']) ?? String(maker.pid)) : null;
    default:
  }
  // lxc(7): the monitor names itself; it is what lxc-start has become.
  const monitor = /^\[lxc monitor\] (\S+) (.+)$/.exec(argv[0] ?? '');
  if (monitor !== null && /^lxc/.test(baseOf(exe)) && differs.includes('mnt')) return said('lxc', monitor[2] ?? '');
  // Chromium's own sandbox: the zygote is the same program, and has user and pid namespaces of its own; each renderer a pid namespace. They write
  // over their arguments, which are one word then (proc_pid_cmdline(5)).
  const type = /(?:^| )(--type=(zygote|renderer|gpu-process|utility|ppapi))(?: |$)/.exec(value(process.argv)?.join(' ') ?? '');
  if (type !== null && differs.includes('pid')) {
    const own = value(process.exe);
    const browser = own === exe || /^chrome[-_]sandbox$/.test(baseOf(exe)) ? maker : null;
    if (own !== null && browser !== null)
      return {
        runtime: 'chromium',
        id: String(process.pid),
        name: `${type[2]} ${process.pid}`,
        evidence: [
          {by: 'kernel', says: `it and ${maker.pid} run ${own}; it is in another ${differs.join(', ')} namespace, with ${type[1]}`},
        ],
      };
  }
  return null;
}

/**
 * Ids of 64 digits are told apart from all others wherever they are written, which several runtimes do of one container. Any other is a name
 * that each runtime, each of its users and, below /run/containerd, each of its namespaces may have given to a container of its own.
 */
function keyOf({runtime, id, owner, file}: ContainerState): string {
  return UNIQUE.test(id) ? id : [runtime, owner, file.split('/').at(-3), id].join('/');
}

/** Clock ticks (proc_pid_stat(5)) that a process may seem to be younger than a file that names it: both clocks are coarse. */
const COARSE = 100n;

/** What names a process is written once that is there: a younger one has the pid of one that ended. */
const isOlder = ({written, start}: ContainerState, process: Contained): boolean =>
  written !== undefined && start === undefined && process.start !== '' && BigInt(written) + COARSE < BigInt(process.start);

/** All that runtimes have written of one container. */
type Known = {readonly id: string; readonly states: ContainerState[]; init: Contained | null};

const rank = (runtime: Runtime): number => RUNTIMES.indexOf(runtime);

/** Answers for every process that there is now. `byPid` finds living processes. */
export function createContainers(
  {states, places, words = []}: Containers,
  byPid: (pid: number) => Contained | undefined,
): (process: Contained) => Container | null {
  const known = new Map<string, Known>();
  /** By runtime and id, where others may have that id too. */
  const sameName = new Map<string, Known[]>();
  const inits = new Map<Contained, Known>();
  const minders = new Map<number, Known>();
  const ownCgroups = new Map<string, Known>();
  const pidSpaces = new Map<string, Known>();
  const mntSpaces = new Map<string, Known>();
  const scopes = new Map<string, Known>();
  for (const state of states) {
    const key = keyOf(state);
    const one = known.get(key) ?? {id: state.id, states: [], init: null};
    if (!known.has(key)) {
      known.set(key, one);
      const name = `${state.runtime} ${state.id}`;
      sameName.set(name, [...(sameName.get(name) ?? []), one]);
    }
    one.states.push(state);
    const minder = state.minder === undefined ? undefined : byPid(state.minder);
    if (minder !== undefined && mayName(state.owner, minder) && !isOlder(state, minder)) minders.set(minder.pid, one);
    const init = state.pid === undefined ? undefined : byPid(state.pid);
    const isOther =
      init === undefined ||
      !mayName(state.owner, init) ||
      isOlder(state, init) ||
      // A pid is nobody without its start time, or the mount namespace: another one may have it by now.
      (state.start !== undefined && init.start !== '' && init.start !== state.start) ||
      (state.mnt !== undefined && (value(init.links.mnt) ?? state.mnt) !== state.mnt);
    // What flatpak writes stays when the application is gone, and the kernel gives an inode away again.
    if (state.mnt !== undefined && state.owner === 0 && (state.pid === undefined || !isOther)) mntSpaces.set(state.mnt, one);
    if (isOther) continue;
    one.init = init;
    inits.set(init, one);
  }
  for (const one of known.values()) {
    const {init} = one;
    if (init === null) continue;
    const outside = new Set(
      (init.maker === null ? [] : (value(init.maker.cgroup) ?? [])).map(({hierarchy, path}) => `${hierarchy}:${path}`),
    );
    // Its parent may be one that it was left to (PR_SET_CHILD_SUBREAPER(2const)), in another cgroup than who made it.
    const hasOwnMounts = init.maker === null || areTogether(init, init.maker) === false;
    for (const {hierarchy, path} of value(init.cgroup) ?? []) {
      if (hasOwnMounts && path !== '/' && !outside.has(`${hierarchy}:${path}`)) ownCgroups.set(`${hierarchy}:${path}`, one);
      if (nameByCgroup(path)?.runtime === 'flatpak' && one.states.some(({runtime}) => runtime === 'flatpak')) scopes.set(path, one);
    }
    const space = value(init.links.pid);
    if (space !== null && value(init.nspid)?.at(-1) === 1) pidSpaces.set(space, one);
  }

  /** What is written of the container that a cgroup is named after; of several with that name, of the one that the process is together with. */
  const writtenOf = (found: Named, process: Contained): Known | null => {
    if (UNIQUE.test(found.id)) return known.get(found.id) ?? null;
    const all = sameName.get(`${found.runtime} ${found.id}`) ?? [];
    return all.length < 2 ? (all[0] ?? null) : (all.find(({init}) => init !== null && areTogether(process, init) === true) ?? null);
  };

  const wordsIn = new Map<string, Word[]>();
  for (const word of words) {
    const known = wordsIn.get(word.mnt);
    if (known === undefined) wordsIn.set(word.mnt, [word]);
    else known.push(word);
  }

  const named = new Map<string, Named | null>();
  const byName = (path: string): Named | null => {
    let found = named.get(path);
    if (found === undefined) {
      found = nameByCgroup(path);
      named.set(path, found);
    }
    return found;
  };

  /** flatpak's cgroup holds bwrap as well, and the proxy of the message bus: outside, and in a sandbox of its own. */
  const isBeside = (process: Contained, init: Contained | null): boolean =>
    init === null
      ? process.maker !== null && areTogether(process, process.maker) === true
      : process !== init && areTogether(process, init) === false;

  /** What its cgroups say. */
  const claimByCgroup = (process: Contained): {claim: Claim | null; known: Known | null; evidence: Evidence | null} => {
    const cgroups = value(process.cgroup) ?? [];
    for (const {path} of cgroups) {
      const found = byName(path);
      if (found === null) continue;
      const written = (found.runtime === 'flatpak' ? scopes.get(path) : writtenOf(found, process)) ?? null;
      if (found.runtime === 'flatpak' && isBeside(process, written?.init ?? null)) break;
      const evidence: Evidence = {by: 'kernel', says: `its cgroup ${path}`};
      return {claim: {...found, evidence: [evidence]}, known: written, evidence};
    }
    if (ownCgroups.size > 0)
      for (const {hierarchy, path} of cgroups)
        for (let end = path.length; end > 0; end = path.lastIndexOf('/', end - 1)) {
          const found = ownCgroups.get(`${hierarchy}:${path.slice(0, end)}`);
          // Others may stand in the same: where a runtime made none for it, and its maker is gone.
          if (found !== undefined && found.init !== null && areTogether(process, found.init) === true)
            return {
              claim: null,
              known: found,
              evidence: {by: 'kernel', says: `its cgroup ${path}, which is that of init ${found.init.pid}`},
            };
        }
    return {claim: null, known: null, evidence: null};
  };

  const put = (claim: Claim | null, written: Known | null, more: readonly Evidence[]): Container | null => {
    const evidence: Evidence[] = [...(claim?.evidence ?? []), ...more];
    const sorted = [...(written?.states ?? [])].sort((a, b) => rank(a.runtime) - rank(b.runtime));
    for (const {file, pid, start} of sorted) {
      const matches = pid !== undefined && written?.init?.pid === pid;
      const init = matches ? `: init is ${pid}${start === undefined ? '' : ', and it started when that says'}` : '';
      evidence.push({by: 'runtime', says: `${file}${init}`});
    }
    const first = sorted[0];
    const runtime = claim === null || (first !== undefined && rank(first.runtime) < rank(claim.runtime)) ? first?.runtime : claim.runtime;
    const id = claim?.id ?? written?.id;
    if (runtime === undefined || id === undefined) return null;
    const through = sorted.findLast(state => state.runtime === 'crun' || state.runtime === 'runc')?.runtime;
    const place = places.filter(one => one.runtime === runtime);
    const missing =
      sorted.length > 0 || place.length === 0
        ? null
        : `${runtime} has written nothing of it that nsview can read: ${place
            .slice(0, 3)
            .map(({directory, seen}) => (isRefusal(seen) && seen.errno !== 'ENOENT' ? `${directory} (${seen.errno})` : directory))
            .join(', ')}`;
    return {
      key: `${runtime}:${written?.id ?? id}`,
      runtime,
      ...(through === undefined || through === runtime ? {} : {through}),
      id: written?.id ?? id,
      name: sorted.find(state => state.name !== undefined)?.name ?? claim?.name ?? null,
      evidence,
      missing,
    };
  };

  /** What is said where it is, and not where its maker is too: of one that came out of its maker's mount namespace. */
  const wordsOf = (process: Contained): readonly Word[] => {
    const mnt = value(process.links.mnt);
    const found = mnt === null ? [] : (wordsIn.get(mnt) ?? []);
    const theirs = process.maker === null ? null : value(process.maker.links.mnt);
    if (found.length === 0 || theirs === null) return found;
    if (theirs === mnt) return [];
    const above = new Set((wordsIn.get(theirs) ?? []).map(({identity}) => identity));
    return found.filter(({identity}) => !above.has(identity));
  };

  const withWords = (container: Container | null, said: readonly Word[]): Container | null => {
    const [first] = said;
    if (first === undefined) return container;
    const evidence = said.map(({by, runtime, id, name, place}): Evidence => {
      const whom = [runtime, ...(name === undefined ? [] : [name]), ...(id === undefined || id === name ? [] : [id])].join(' ');
      return {by, says: `${place} says ${whom}`};
    });
    if (container !== null) {
      // A name of its own for what is known by other means: only where both mean the same container.
      const same = said.find(word => word.runtime === container.runtime && word.id === container.id && word.name !== undefined);
      return {...container, name: container.name ?? same?.name ?? null, evidence: [...container.evidence, ...evidence]};
    }
    const whole = said.find(({runtime, id}) => runtime === first.runtime && id !== undefined);
    const id = whole?.id ?? first.name ?? first.mnt;
    return {
      key: `${first.runtime}:${first.identity}`,
      runtime: first.runtime,
      id,
      name: said.find(({runtime, name}) => runtime === first.runtime && name !== undefined)?.name ?? null,
      evidence,
      missing: said.some(({by}) => by === 'kernel') ? null : 'Only what is inside says so: it may have made that up.',
      ...(said.some(({by}) => by === 'kernel') ? {} : {byItself: true as const}),
    };
  };

  const claimOf = (process: Contained): Container | null => withWords(claimFromOutside(process), wordsOf(process));

  /** What it is in by itself, and not through its maker. */
  const claimFromOutside = (process: Contained): Container | null => {
    const byCgroup = claimByCgroup(process);
    const byMaker = claimByMaker(process);
    const space = value(process.links.pid);
    const mnt = value(process.links.mnt);
    const init = inits.get(process) ?? null;
    const written =
      init ?? byCgroup.known ?? (space === null ? null : pidSpaces.get(space)) ?? (mnt === null ? null : mntSpaces.get(mnt)) ?? null;
    const more: Evidence[] = [];
    if (written !== null) {
      if (byCgroup.evidence !== null && byCgroup.claim === null && byCgroup.known === written) more.push(byCgroup.evidence);
      if (space !== null && pidSpaces.get(space) === written)
        more.push({by: 'kernel', says: `its pid namespace, where ${written.init?.pid} is init`});
      if (mnt !== null && mntSpaces.get(mnt) === written)
        more.push({by: 'kernel', says: 'its mount namespace has the inode that is written'});
    }
    if (byMaker !== null) {
      const minded = minders.get(process.maker?.pid ?? 0) ?? null;
      const outer = byCgroup.claim;
      // One that makes its sandbox by another's program, such as flatpak by bwrap, or one whose state names this process.
      const isOwn = init !== null || written?.states.some(state => state.runtime === byMaker.runtime) === true;
      const same = isOwn || outer?.runtime === byMaker.runtime || outer?.runtime === 'flatpak';
      if (!same || minded?.states.some(state => state.runtime === byMaker.runtime)) {
        const claim = outer?.runtime === byMaker.runtime ? {...outer, evidence: [...outer.evidence, ...byMaker.evidence]} : byMaker;
        return put(claim, same ? (minded ?? written) : minded, same ? more : []);
      }
      more.unshift(...byMaker.evidence);
    }
    if (byCgroup.claim === null && written === null) return null;
    return put(byCgroup.claim, written, more);
  };

  /** The container of a process, and those around it. */
  type Place = {readonly container: Container; readonly around: Place | null};
  const kept = new Map<Contained, Place | null>();

  const placeOf = (process: Contained, above: Place | null): Place | null => {
    const own = claimOf(process);
    if (own === null || own.key === above?.container.key) return above;
    // What is made within a container stands in its cgroup too: the one within is told.
    for (let around = above?.around ?? null; around !== null; around = around.around) if (around.container.key === own.key) return above;
    return {container: own, around: above};
  };

  return process => {
    // From the first whose makers are all known, downwards.
    const chain: Contained[] = [];
    for (let one: Contained | null = process; one !== null && !kept.has(one); one = one.maker) chain.push(one);
    for (const one of chain.reverse()) kept.set(one, placeOf(one, one.maker === null ? null : (kept.get(one.maker) ?? null)));
    return kept.get(process)?.container ?? null;
  };
}

/** `docker web`, or by the first letters of its id where it has no name; `says …` where it may have made that up. */
export const containerName = ({runtime, id, name, byItself}: Container): string =>
  `${byItself === true ? 'says ' : ''}${runtime} ${printable(name ?? (/^[0-9a-f]{64}$/.test(id) ? id.slice(0, 12) : id))}`;
