// Knows the master side of a pty: bytes from the program, bytes to it, its size.

import koffi from 'koffi';
import type {Refusal} from '../model/fact.ts';
import type {TerminalPort} from '../model/terminal-port.ts';
import {errnoName} from './errno.ts';
import type {Native} from './native.ts';

type PollEvents = {readable: boolean; writable: boolean; disconnect: boolean};

/** At most this many reads of 64 KB a wake-up, so that a flood does not starve the rest of the program. */
const READS_A_WAKEUP = 4;
const CHUNK = 65536;

export type Pty = {
  readonly port: TerminalPort;
  /** Stays the pty's own. */
  readonly master: number;
  /** For the launch; close it afterwards, or the end of the program is never seen. */
  readonly slave: number;
  closeSlave(): void;
  /** Closes the master: unless another holds it, too, the program's session gets SIGHUP (tty_ioctl(4), drivers/tty/pty.c). */
  close(): void;
};

/** A new pty of that size, or the refusal. */
export function openPty(native: Native, title: string, rows: number, columns: number): Pty | Refusal {
  const ret = new Int32Array(2);
  const opened = native.ptyOpen(rows, columns, ret);
  if (opened < 0) return {errno: errnoName(-opened), during: 'posix_openpt'};
  const [master = -1, slave = -1] = ret;

  let onData: (bytes: Uint8Array) => void = () => {};
  let onEnd: () => void = () => {};
  let ended = false;
  let closed = false;
  let reading = true;
  let slaveOpen = true;
  const queue: Uint8Array[] = [];
  const buffer = Buffer.allocUnsafe(CHUNK);

  const end = () => {
    if (ended) return;
    ended = true;
    handle.close();
    onEnd();
  };

  const readSome = () => {
    for (let i = 0; i < READS_A_WAKEUP && reading && !ended && !closed; i++) {
      const n = native.read(master, buffer, CHUNK);
      if (n > 0) onData(Uint8Array.prototype.slice.call(buffer, 0, n));
      else if (n === 0) return end();
      else return errnoName(-n) === 'EAGAIN' ? undefined : end();
    }
  };

  const writeSome = () => {
    while (queue.length > 0 && !ended && !closed) {
      const bytes = queue[0] ?? new Uint8Array();
      const n = native.write(master, bytes, bytes.length);
      if (n < 0) {
        if (errnoName(-n) !== 'EAGAIN') queue.length = 0;
        break;
      }
      if (n < bytes.length) queue[0] = bytes.subarray(n);
      else queue.shift();
    }
  };

  // koffi's types leave out the first argument, libuv's status (koffi 3.3.4, src/uv.cc, OnPoll); test/probe/pty.test.ts would tell.
  const wake = ((status: number, events: PollEvents) => {
    if (status < 0) return end();
    if (events.writable) writeSome();
    // A hang-up is reported at once, though the last output may still be unread.
    if (events.readable || events.disconnect) readSome();
    watch();
  }) as unknown as (events: PollEvents) => void;

  // Must stay referenced: the handle is dropped with its last reference.
  const handle = koffi.node.poll(master, {readable: true, writable: false, disconnect: true}, wake);

  let watched = '';
  const watch = () => {
    if (ended || closed) return;
    const wanted = `${reading}${queue.length > 0}`;
    if (wanted === watched) return;
    watched = wanted;
    handle.stop();
    if (reading || queue.length > 0) handle.start({readable: reading, writable: queue.length > 0, disconnect: reading}, wake);
  };

  const closeSlave = () => {
    if (slaveOpen) native.close(slave);
    slaveOpen = false;
  };

  return {
    master,
    slave,
    closeSlave,
    close: () => {
      if (closed) return;
      closed = true;
      if (!ended) handle.close();
      closeSlave();
      native.close(master);
    },
    port: {
      title,
      onData: listener => {
        onData = listener;
      },
      onEnd: listener => {
        onEnd = listener;
      },
      pause: () => {
        reading = false;
        watch();
      },
      resume: () => {
        reading = true;
        watch();
      },
      write: bytes => {
        if (ended || closed) return;
        queue.push(Uint8Array.from(bytes));
        writeSome();
        watch();
      },
      resize: (columns, rows) => {
        if (!closed) native.ptyResize(master, rows, columns);
      },
    },
  };
}
