// Knows what is new in a table of mounts since it was read before, and for how long that is news.

import {isRefusal, type Mount, type MountsFact} from './fact.ts';

/** What changed in one namespace's table lately, each with when, in nanoseconds of fact time. */
export type MountNews = {
  /** By id: made, or moved, or with other options or propagation than before. */
  readonly fresh: ReadonlyMap<number, {readonly at: number; readonly how: 'new' | 'changed'}>;
  /** Not there any more, the latest last. */
  readonly gone: readonly {readonly at: number; readonly mount: Mount}[];
};

/** Nanoseconds for which a change is shown as one. */
export const NEWS = 10e9;
/** At most so many that are gone are remembered. */
const GONE_KEPT = 100;

const same = (one: readonly string[], other: readonly string[]): boolean =>
  one.length === other.length && one.every((option, index) => option === other[index]);

/** Where it is mounted, and how. */
const isAsBefore = (mount: Mount, before: Mount): boolean =>
  mount.parent === before.parent &&
  mount.point === before.point &&
  mount.propagation.shared === before.propagation.shared &&
  mount.propagation.master === before.propagation.master &&
  mount.propagation.unbindable === before.propagation.unbindable &&
  same(mount.options, before.options) &&
  same(mount.superOptions, before.superOptions);

/** The same mount: as long as it lives, what is mounted stays, wherever it is moved to. The number alone may have been given to another. */
const isTheSame = (mount: Mount, before: Mount): boolean =>
  mount.device === before.device && mount.root === before.root && mount.fsType === before.fsType && mount.source === before.source;

/** Through the same root: another process may have another, and see other parts of it, below other names. */
function isSameRoot(before: MountsFact, fact: MountsFact): boolean {
  if (before.pid === fact.pid) return true;
  const rootOf = ({mounts}: MountsFact) => (isRefusal(mounts) ? undefined : mounts.find(mount => mount.point === '/'));
  const [one, other] = [rootOf(before), rootOf(fact)];
  return one !== undefined && one.id === other?.id && one.root === other.root;
}

/** The news after another reading through the same root; null where there is nothing to compare it with. */
export function mountNews(news: MountNews | undefined, before: MountsFact | undefined, fact: MountsFact): MountNews | null {
  if (before === undefined || isRefusal(before.mounts) || isRefusal(fact.mounts) || !isSameRoot(before, fact)) return null;
  const at = Number(fact.at);
  const was = new Map(before.mounts.map(mount => [mount.id, mount]));
  const fresh = new Map<number, {at: number; how: 'new' | 'changed'}>();
  for (const mount of fact.mounts) {
    const former = was.get(mount.id);
    was.delete(mount.id);
    const isOther = former === undefined || !isTheSame(mount, former);
    const last = news?.fresh.get(mount.id);
    if (isOther || !isAsBefore(mount, former)) fresh.set(mount.id, {at, how: isOther ? 'new' : 'changed'});
    else if (last !== undefined && at - last.at < NEWS) fresh.set(mount.id, last);
    if (isOther && former !== undefined) was.set(mount.id, former);
  }
  const kept = (news?.gone ?? []).filter(one => at - one.at < NEWS);
  return {fresh, gone: [...kept, ...[...was.values()].map(mount => ({at, mount}))].slice(-GONE_KEPT)};
}

/** The mount points of what this very reading brought. */
export function newMounts(
  news: MountNews,
  fact: MountsFact,
): {readonly made: readonly string[]; readonly changed: readonly string[]; readonly gone: readonly string[]} {
  const now = Number(fact.at);
  const [made, changed]: [string[], string[]] = [[], []];
  for (const {id, point} of isRefusal(fact.mounts) ? [] : fact.mounts) {
    const fresh = news.fresh.get(id);
    if (fresh?.at === now) (fresh.how === 'new' ? made : changed).push(point);
  }
  return {made, changed, gone: news.gone.filter(({at}) => at === now).map(({mount}) => mount.point)};
}
