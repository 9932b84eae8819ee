// Knows when mount tables change: an open /proc/PID/mountinfo is ready for POLLPRI after each change (proc_pid_mountinfo(5)), and where the
// kernel has it, fanotify tells of each mount that comes or goes.

import {closeSync, openSync, readSync} from 'node:fs';
import koffi from 'koffi';
import {loadNative} from './native.ts';
import {readLink} from './proc-file.ts';

/** A mount namespace and a process that is in it. */
export type Reader = {readonly inode: string; readonly pid: number};

export type MountWatch = Disposable & {
  /** These from now on. How many are left out, since each costs two fds. */
  keep(readers: Iterable<Reader>): number;
  /**
   * Lets go of each namespace that its reader has left, or with which it ended: an open mountinfo keeps a mount namespace and all its
   * mounts alive (mounts_open_common(), fs/proc_namespace.c), so this is to be called often. Those that were let go.
   */
  release(): readonly Reader[];
  /** False: its changes are not told. */
  watches(inode: string): boolean;
};

/** Of a user's fanotify groups, of which there are 128 (fs.fanotify.max_user_groups), so many are nsview's at most. */
const GROUPS = 8;
const EVENTS_ONLY = {readable: true, writable: false, disconnect: false};
const EVENT_BYTES = 4096;

type Events = {readonly fd: number; readonly handle: Handle};

/** Neither reading nor writing is asked for: mountinfo is always ready for those, and would wake nsview without end. */
const PRIORITY_ONLY = {readable: false, writable: false, disconnect: true};

/** koffi says POLLERR, of which POLLPRI comes along here, as EBADF, and stops then (uv_poll_start(3)). */
type Handle = {
  start(options: {readable: boolean; writable: boolean; disconnect: boolean}, callback: () => void): void;
  close(): void;
  unref(): void;
};

/** `by`: what tells of changes; both unless given. */
export function watchMounts(options: {
  readonly most: number;
  readonly changed: (reader: Reader) => void;
  readonly by?: readonly ('poll' | 'fanotify')[];
}): MountWatch {
  const by = options.by ?? ['poll', 'fanotify'];
  const open = new Map<string, {reader: Reader; fds: readonly number[]; handle: Handle; events: Events | undefined}>();
  let groups = 0;

  /** Undefined where the kernel or a rule refuses it: poll tells of all that it tells. */
  const listen = (reader: Reader): Events | undefined => {
    if (groups >= GROUPS || !by.includes('fanotify')) return undefined;
    const fd = loadNative().mountEvents(`/proc/${reader.pid}/ns/mnt`);
    if (fd < 0) return undefined;
    groups++;
    const bytes = Buffer.allocUnsafe(EVENT_BYTES);
    const handle: Handle = koffi.node.poll(fd, EVENTS_ONLY, () => {
      try {
        while (readSync(fd, bytes) > 0);
      } catch {
        // EAGAIN: these were all.
      }
      options.changed(reader);
    });
    handle.unref();
    return {fd, handle};
  };

  const start = (reader: Reader) => {
    const fds: number[] = [];
    try {
      for (let i = 0; i < 2; i++) fds.push(openSync(`/proc/${reader.pid}/mountinfo`, 'r'));
    } catch {
      // It has ended, or its mounts are not for nsview to see: reading them says so.
    }
    const [fd, beside] = fds;
    // It may be another's pid by now.
    if (fd === undefined || beside === undefined || !isIn(reader)) {
      for (const one of fds) closeSync(one);
      return;
    }
    const native = loadNative();
    /**
     * Each change is told once to each fd, and epoll_ctl(2), by which the event loop begins to listen, asks without telling (mounts_poll(),
     * fs/proc_namespace.c; ep_insert(), fs/eventpoll.c): what changes until then would be lost. The fd beside, which no event loop has, tells of
     * that, once it listens: in the turn after this one.
     */
    const askLater = () => {
      setImmediate(() =>
        setImmediate(() => {
          if (open.get(reader.inode)?.fds === fds && native.mountsChanged(beside) === 1) options.changed(reader);
        }).unref(),
      ).unref();
    };
    const again = () => {
      native.mountsChanged(beside);
      handle.start(PRIORITY_ONLY, again);
      askLater();
      options.changed(reader);
    };
    const handle: Handle = koffi.node.poll(fd, PRIORITY_ONLY, by.includes('poll') ? again : () => {});
    handle.unref();
    open.set(reader.inode, {reader, fds, handle, events: listen(reader)});
    if (by.includes('poll')) askLater();
  };

  const stop = (inode: string) => {
    const watched = open.get(inode);
    if (watched === undefined) return;
    open.delete(inode);
    watched.handle.close();
    for (const fd of watched.fds) closeSync(fd);
    if (watched.events === undefined) return;
    watched.events.handle.close();
    closeSync(watched.events.fd);
    groups--;
  };

  const isIn = ({inode, pid}: Reader): boolean => readLink(`/proc/${pid}/ns/mnt`) === `mnt:[${inode}]`;

  return {
    keep: readers => {
      const wanted = new Map<string, Reader>();
      let leftOut = 0;
      for (const reader of readers) {
        if (wanted.has(reader.inode)) continue;
        if (wanted.size < options.most) wanted.set(reader.inode, reader);
        else leftOut++;
      }
      for (const [inode, {reader}] of open) if (wanted.get(inode)?.pid !== reader.pid) stop(inode);
      for (const [inode, reader] of wanted) if (!open.has(inode)) start(reader);
      return leftOut;
    },
    release: () => {
      const left = [...open.values()].map(({reader}) => reader).filter(reader => !isIn(reader));
      for (const {inode} of left) stop(inode);
      return left;
    },
    watches: inode => open.has(inode),
    [Symbol.dispose]: () => {
      for (const inode of open.keys()) stop(inode);
    },
  };
}
