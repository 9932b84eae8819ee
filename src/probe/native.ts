// Knows libnsview.so: the only file that binds C, one function for each of native/nsview.h.

import {existsSync} from 'node:fs';
import {dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';
import koffi from 'koffi';
import {CALL_NAMES, pointerMask} from '../model/call.ts';
import {NAMESPACE_LINKS} from '../model/namespace.ts';
import {CALL_LAYOUT, CRED_LAYOUT, PROCESS_LAYOUT, RECORD_LAYOUT} from './record.ts';

/** Returns of all functions: >= 0, or -errno. */
export type Native = {
  readonly helperPath: string;
  readonly claimsPath: string;
  /** ret: pid, command socket, record pipe. */
  start(path: string, follow: number, ret: Int32Array): number;
  /** Waits for the helper's end; its wait status. */
  stop(socket: number, pid: number): number;
  attach(socket: number, sequence: number, pid: number): number;
  launch(
    socket: number,
    sequence: number,
    terminal: number,
    argc: number,
    envc: number,
    strings: Uint8Array,
    size: number,
    softNofile: bigint,
    ignoredSignals: bigint,
    blockedSignals: bigint,
    cloneFlags: bigint,
    options: number,
  ): number;
  /** -1: not any more. */
  keepTerminal(socket: number, master: number): number;
  end(socket: number, sequence: number): number;
  catchUp(socket: number, sequence: number): number;
  guardTerminal(socket: number, terminal: number, restore: Uint8Array, size: number): number;
  releaseTerminal(socket: number): number;
  /** ret: master, slave. */
  ptyOpen(rows: number, columns: number, ret: Int32Array): number;
  /** Starts nsview-claims; flag: '' for all; how: 0 to try, 1 to list, 2 to hold. ret: pid, fd of its lines, and to hold the fd of its stdin. */
  claimsStart(path: string, flag: string, how: number, ret: Int32Array): number;
  /** Its wait status. */
  claimsEnd(pid: number, fd: number): number;
  ptyResize(master: number, rows: number, columns: number): number;
  read(fd: number, buffer: Uint8Array, size: number): number;
  write(fd: number, buffer: Uint8Array, size: number): number;
  close(fd: number): number;
  /** Ends nsview by that signal, without a core. */
  endBy(signal: number): number;
  /** Ends nsview at once, and does not return. */
  leave(status: number): void;
  /** Rows of three: inode, CLONE_NEW…, owner uid or -errno. ret: rows before the owner, and three errnos. */
  namespaceChain(path: string, rows: BigInt64Array, max: number, ret: Int32Array): number;
  /** The first process of the pid namespace behind a path. */
  initOf(path: string): number;
  /** Rows of four: how, number, type, inode. what: 1 links, 2 fds, 4 sockets. */
  holds(pid: number, what: number, rows: BigInt64Array, max: number): number;
  /** The same of many, on another thread; the number of processes that were asked. The arrays are not to be touched until then. */
  holdsOf(pids: Int32Array, what: number, rows: BigInt64Array, max: number, counts: Int32Array): Promise<number>;
  /** Bytes of the beginning of an open mountinfo; devices: of proc. */
  openTable(pid: number, fd: number, devices: BigInt64Array, count: number, buffer: Uint8Array, size: number): number;
  /** An fd of the network namespace of a socket; ret: its inode. */
  socketNetwork(pid: number, fd: number, socket: bigint, ret: BigInt64Array): number;
  /** Bytes of the name of a socket's protocol. */
  socketProtocol(pid: number, fd: number, socket: bigint, name: Uint8Array, size: number): number;
  /** An fd of the mount namespace after or before that of `from` (-1: nsview's own). ret: inode, mounts. */
  nextMountNamespace(from: number, backwards: number, ret: BigInt64Array): number;
  /** Bytes of mountinfo; ret: the stage of a refusal. */
  mountAges(pid: number, ids: Int32Array, count: number, ages: Float64Array): number;
  /** Bytes of lines, `u` or `g` and three numbers. */
  mountIdmap(pid: number, age: number, buffer: Uint8Array, size: number): number;
  mountTable(path: string, buffer: Uint8Array, size: number, ret: Int32Array): number;
  /** A readable fd, to be closed; or -errno. */
  mountEvents(path: string): number;
  mountsChanged(fd: number): number;
  /** Rows of four: what, number, mount, tid. Maps are not asked where devicesCount is -1. */
  mountUses(
    pid: number,
    ids: BigInt64Array,
    idsCount: number,
    devices: BigInt64Array,
    devicesCount: number,
    rows: BigInt64Array,
    max: number,
  ): number;
  /** Begins to read those processes; bytes of the next of them, 0 at the end (src/probe/processes.ts). holds: as of `holds`, or 0. */
  readBegin(pids: Int32Array, count: number, holds: number): number;
  readNext(buffer: Uint8Array, size: number): number;
  readEnd(): void;
  /** Bytes of a file, or of all files below a folder, as that namespace has them; type: its flag of clone(2); ret: the stage of a refusal. */
  readInNamespace(path: string | null, type: number, file: string, buffer: Uint8Array, size: number, ret: Int32Array): number;
  /** Bytes of rtnetlink messages; type: 0 links, 1 addresses, 2 routes, 3 unix sockets, 4 settings, 5 to 10 who listens by tcp, tcp6, udp, udp6, udplite, udplite6, 11 rules, 12 tables of nf_tables, 13 next hops; ret: the stage of a refusal. */
  networkDump(path: string, type: number, buffer: Uint8Array, size: number, ret: Int32Array): number;
  networkIds(path: string, paths: Uint8Array, count: number, ids: Int32Array, ret: Int32Array): number;
  /** Bytes of a regular file below the root of `pid`; ret: device and inode. */
  readInside(pid: number, path: string, buffer: Uint8Array, size: number, ret: BigInt64Array): number;
  /** ret: index of the first that each shares it with; -1 nothing; -2 - errno. */
  shareGroups(tasks: Int32Array, count: number, sorted: number, type: number, ret: Int32Array): number;
  /** ret: of each of the others 0 where `pid` shares it with them. Returns 1 where `pid` has no such object. */
  sameFile(one: string, other: string): number;
  kcmp(pid: number, others: Int32Array, count: number, type: number, ret: Int32Array): number;
  /** Of an fd that is open by O_PATH: 1 a directory, 0 not. */
  pathIsDirectory(pid: number, fd: number): number;
};

/** The native part is missing or is not of this version: what to do stands in the message. */
export class NativeError extends Error {
  override readonly name = 'NativeError';
}

/** The folder of the compiled parts: `build` beside package.json, whether this runs from dist/ or from src/probe/. */
function buildFolder(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  for (let up = 0; up < 4; up++) {
    if (existsSync(join(folder, 'build', 'libnsview.so'))) return join(folder, 'build');
    folder = dirname(folder);
  }
  throw new NativeError('nsview: its native part is not built: run `npm run build:native` in its folder (a C compiler is needed)');
}

let loaded: Native | undefined;

/** Load the library, once, and make sure that it and this program mean the same records. */
export function loadNative(): Native {
  if (loaded !== undefined) return loaded;
  const folder = buildFolder();
  const library = koffi.load(join(folder, 'libnsview.so'));

  const layout = new Int32Array(64);
  const count: number = library.func('int nsv_layout(int32_t *ret_numbers, int count)')(layout, layout.length);
  const linkName: (index: number) => string | null = library.func('const char *nsv_link_name(int index)');
  const callName: (index: number) => string | null = library.func('const char *nsv_call_name(int index)');
  const callPointers: (index: number) => number = library.func('int nsv_call_pointers(int index)');
  const expected = [...RECORD_LAYOUT, ...CALL_LAYOUT, ...CRED_LAYOUT, ...PROCESS_LAYOUT];
  const same =
    count === expected.length &&
    expected.every((number, index) => layout[index] === number) &&
    CALL_NAMES.every((name, index) => callName(index) === name && callPointers(index) === pointerMask(name)) &&
    callName(CALL_NAMES.length) === null &&
    NAMESPACE_LINKS.every((link, index) => linkName(index) === link) &&
    linkName(NAMESPACE_LINKS.length) === null;
  if (!same) throw new NativeError('nsview: its native part is of another version: run `npm run build:native` in its folder');

  const holdsOf = library.func(
    'int nsv_holds_of(const int32_t *pids, int count, int what, int64_t *ret_rows, int max, int32_t *ret_counts)',
  );
  loaded = {
    helperPath: process.env.NSVIEW_HELPER ?? join(folder, 'nsview-helper'),
    claimsPath: join(folder, 'nsview-claims'),
    start: library.func('int nsv_start(const char *path, int follow, int32_t *ret)'),
    stop: library.func('int nsv_stop(int socket, int pid)'),
    attach: library.func('int nsv_attach(int socket, uint32_t sequence, int pid)'),
    launch: library.func(
      'int nsv_launch(int socket, uint32_t sequence, int terminal, uint32_t argc, uint32_t envc, const uint8_t *strings, uint32_t size, uint64_t soft_nofile, uint64_t ignored_signals, uint64_t blocked_signals, uint64_t clone_flags, uint32_t options)',
    ),
    keepTerminal: library.func('int nsv_keep_terminal(int socket, int master)'),
    end: library.func('int nsv_end(int socket, uint32_t sequence)'),
    catchUp: library.func('int nsv_catch_up(int socket, uint32_t sequence)'),
    guardTerminal: library.func('int nsv_guard_terminal(int socket, int terminal, const uint8_t *restore, uint32_t size)'),
    releaseTerminal: library.func('int nsv_release_terminal(int socket)'),
    ptyOpen: library.func('int nsv_pty_open(int rows, int columns, int32_t *ret)'),
    claimsStart: library.func('int nsv_claims_start(const char *path, const char *flag, int how, int32_t *ret)'),
    claimsEnd: library.func('int nsv_claims_end(int pid, int fd)'),
    ptyResize: library.func('int nsv_pty_resize(int master, int rows, int columns)'),
    read: library.func('int nsv_read(int fd, uint8_t *buffer, uint32_t size)'),
    write: library.func('int nsv_write(int fd, const uint8_t *buffer, uint32_t size)'),
    close: library.func('int nsv_close(int fd)'),
    endBy: library.func('int nsv_end_by(int signal)'),
    leave: library.func('int nsv_leave(int status)'),
    namespaceChain: library.func('int nsv_namespace_chain(const char *path, int64_t *ret_rows, int max, int32_t *ret)'),
    initOf: library.func('int nsv_init_of(const char *path)'),
    holds: library.func('int nsv_holds(int pid, int what, int64_t *ret_rows, int max)'),
    holdsOf: (pids, what, rows, max, counts) =>
      new Promise((resolve, reject) => {
        holdsOf.async(pids, pids.length, what, rows, max, counts, (error: unknown, done: number) => {
          if (error) reject(error instanceof Error ? error : new Error(JSON.stringify(error)));
          else resolve(done);
        });
      }),
    openTable: library.func('int nsv_open_table(int pid, int fd, const int64_t *devices, int count, uint8_t *buffer, uint32_t size)'),
    socketNetwork: library.func('int nsv_socket_network(int pid, int fd, int64_t socket, int64_t *ret_inode)'),
    socketProtocol: library.func('int nsv_socket_protocol(int pid, int fd, int64_t socket, uint8_t *ret_name, uint32_t size)'),
    nextMountNamespace: library.func('int nsv_next_mount_namespace(int from, int backwards, int64_t *ret)'),
    mountAges: library.func('int nsv_mount_ages(int pid, const int32_t *ids, int count, double *ret_ages)'),
    mountIdmap: library.func('int nsv_mount_idmap(int pid, double age, uint8_t *buffer, uint32_t size)'),
    mountTable: library.func('int nsv_mount_table(const char *path, uint8_t *buffer, uint32_t size, int32_t *ret_stage)'),
    mountEvents: library.func('int nsv_mount_events(const char *path)'),
    mountsChanged: library.func('int nsv_mounts_changed(int fd)'),
    mountUses: library.func(
      'int nsv_mount_uses(int pid, const int64_t *ids, int ids_count, const int64_t *devices, int devices_count, int64_t *ret_rows, int max)',
    ),
    networkDump: library.func('int nsv_network_dump(const char *path, int type, uint8_t *buffer, uint32_t size, int32_t *ret_stage)'),
    networkIds: library.func(
      'int nsv_network_ids(const char *path, const uint8_t *paths, int count, int32_t *ret_ids, int32_t *ret_stage)',
    ),
    readBegin: library.func('int nsv_read_begin(const int32_t *pids, int count, int holds)'),
    readNext: library.func('int nsv_read_next(uint8_t *buffer, uint32_t size)'),
    readEnd: library.func('void nsv_read_end()'),
    readInNamespace: library.func(
      'int nsv_read_in_namespace(const char *path, int type, const char *file, uint8_t *buffer, uint32_t size, int32_t *ret_stage)',
    ),
    readInside: library.func('int nsv_read_inside(int pid, const char *path, uint8_t *buffer, uint32_t size, int64_t *ret)'),
    shareGroups: library.func('int nsv_share_groups(const int32_t *tasks, int count, int sorted, int type, int32_t *ret)'),
    sameFile: library.func('int nsv_same_file(const char *one, const char *other)'),
    kcmp: library.func('int nsv_kcmp(int pid, const int32_t *others, int count, int type, int32_t *ret)'),
    pathIsDirectory: library.func('int nsv_path_is_directory(int pid, int fd)'),
  };
  return loaded;
}
