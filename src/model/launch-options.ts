// Knows the options of a launch on the command line, what each needs, and what to say where that is missing.

import type {IdMap, LaunchOptions} from './launch-plan.ts';
import {NAMESPACES, type NamespaceType} from './namespace.ts';

/** As node:util's parseArgs wants them. `example`: a value, for a message. */
export const LAUNCH_OPTIONS = {
  new: {type: 'string', multiple: true, example: ' user,mnt'},
  'map-root': {type: 'boolean', example: ''},
  map: {type: 'string', multiple: true, example: ' 1000:0:1'},
  cgroup: {type: 'string', example: ' PATH'},
  hostname: {type: 'string', example: ' NAME'},
  'private-mounts': {type: 'boolean', example: ''},
  'mount-proc': {type: 'boolean', example: ''},
  'kill-on-exit': {type: 'boolean', example: ''},
  plan: {type: 'boolean', example: ''},
} as const;

export type LaunchWords = {
  readonly new?: string[] | undefined;
  readonly 'map-root'?: boolean | undefined;
  readonly map?: string[] | undefined;
  readonly cgroup?: string | undefined;
  readonly hostname?: string | undefined;
  readonly 'private-mounts'?: boolean | undefined;
  readonly 'mount-proc'?: boolean | undefined;
  readonly 'kill-on-exit'?: boolean | undefined;
  readonly plan?: boolean | undefined;
};

/** Strangers' words in a message are quoted, and shown as JSON would, so that they cannot steer the terminal. */
export const quoted = (text: string): string =>
  JSON.stringify(text).replaceAll(/[\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069]/g, '?');

/** The last id is none: it says "leave it" to setresuid(2), and in a map it is refused (kernel/user_namespace.c). */
const IDS = 0xffffffff;
/** UID_GID_MAP_MAX_EXTENTS (include/linux/user_namespace.h). */
const MOST_MAPS = 340;
/** __NEW_UTS_LEN (include/uapi/linux/utsname.h), bytes. */
const HOSTNAME_MAX = 64;

function parseMap(text: string): IdMap | null {
  if (!/^[0-9]{1,10}(:[0-9]{1,10}){2}$/.test(text)) return null;
  const [outer = 0, inner = 0, count = 0] = text.split(':').map(Number);
  return count > 0 && outer + count <= IDS && inner + count <= IDS ? {outer, inner, count} : null;
}

const overlap = (one: number, other: number, {count}: IdMap, otherCount: number): boolean =>
  one < other + otherCount && other < one + count;

/** What is asked for, or one line that says what is wrong. */
export function parseLaunch(words: LaunchWords): LaunchOptions | string {
  const namespaces: NamespaceType[] = [];
  for (const word of (words.new ?? []).flatMap(list => list.split(','))) {
    const kind = NAMESPACES.find(({type}) => type === word);
    if (kind === undefined) return `--new ${quoted(word)}: there are ${NAMESPACES.map(({type}) => type).join(', ')}`;
    if (!namespaces.includes(kind.type)) namespaces.push(kind.type);
  }
  const maps: IdMap[] = [];
  for (const text of words.map ?? []) {
    const map = parseMap(text);
    if (map === null) return `--map ${quoted(text)}: it is OUTER:INNER:COUNT, such as --map 100000:0:65536, and no id is above ${IDS - 1}`;
    const other = maps.find(
      before => overlap(map.outer, before.outer, map, before.count) || overlap(map.inner, before.inner, map, before.count),
    );
    if (other !== undefined) return `--map ${text} and --map ${other.outer}:${other.inner}:${other.count} overlap`;
    maps.push(map);
  }
  if (maps.length > MOST_MAPS) return `--map was given ${maps.length} times, and the kernel takes ${MOST_MAPS}`;
  if (words['map-root'] && maps.length > 0) return '--map-root and --map exclude each other; choose one';

  const needs = (option: string, ...types: readonly NamespaceType[]): string | null =>
    types.every(type => namespaces.includes(type))
      ? null
      : `${option} needs ${types.join(' and ')} in --new: --new ${[...new Set([...namespaces, ...types])].join(',')}`;
  const missing =
    (words['map-root'] ? needs('--map-root', 'user') : null) ??
    (maps.length > 0 ? needs('--map', 'user') : null) ??
    (words.hostname === undefined ? null : needs('--hostname', 'uts')) ??
    (words['private-mounts'] ? needs('--private-mounts', 'mnt') : null) ??
    (words['mount-proc'] ? needs('--mount-proc', 'mnt', 'pid') : null);
  if (missing !== null) return missing;
  const {hostname, cgroup} = words;
  if (hostname !== undefined && (hostname === '' || new TextEncoder().encode(hostname).length > HOSTNAME_MAX))
    return `--hostname ${quoted(hostname)}: a host name has 1 to ${HOSTNAME_MAX} bytes`;
  if (cgroup === '') return '--cgroup needs the path of a cgroup, such as --cgroup mine';
  return {
    namespaces,
    maps: words['map-root'] ? 'root' : maps.length > 0 ? maps : null,
    cgroup: cgroup ?? null,
    hostname: hostname ?? null,
    privateMounts: words['private-mounts'] === true,
    mountProc: words['mount-proc'] === true,
    killOnExit: words['kill-on-exit'] === true,
  };
}
