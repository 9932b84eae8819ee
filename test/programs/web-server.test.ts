import {spawnSync} from 'node:child_process';
import {chmodSync, mkdirSync, readdirSync, readFileSync, symlinkSync, truncateSync, writeFileSync} from 'node:fs';
import {connect, type Socket} from 'node:net';
import {afterAll, beforeAll, describe, expect, it} from 'vitest';
import {status, until} from '../support/attached.ts';
import {leaveNothingBehind} from '../support/leaks.ts';
import {Running, temporaryFolder} from '../support/nsview.ts';
import {
  apartIn,
  asUser,
  buildProgram,
  builtBefore,
  childrenOf,
  compareLanguages,
  fdsOf,
  hasEnded,
  KINDS,
  LANGUAGES,
  mountsOf,
  nameOf,
  outcomeOf,
} from './support.ts';

const built = builtBefore('web-server');
leaveNothingBehind();

/** What is served, beside what is not: `secret` stands next to the directory. */
const folder = temporaryFolder();
const site = folder.file('site');
const BIG = Buffer.alloc(1_000_000, 'nsview ');
beforeAll(() => {
  chmodSync(folder.path, 0o755);
  mkdirSync(`${site}/sub`, {recursive: true});
  writeFileSync(folder.file('secret'), 'secret');
  writeFileSync(`${site}/index.html`, '<p>hello');
  writeFileSync(`${site}/sub/a b.txt`, 'text');
  writeFileSync(`${site}/big.png`, BIG);
  writeFileSync(`${site}/huge`, '');
  truncateSync(`${site}/huge`, 200_000_000);
  symlinkSync('../secret', `${site}/out`);
  symlinkSync(folder.file('secret'), `${site}/absolute`);
  symlinkSync('sub/a b.txt', `${site}/within.txt`);
  spawnSync('mkfifo', [`${site}/fifo`]);
});
afterAll(() => folder[Symbol.dispose]());

let logs = 0;
type Server = AsyncDisposable & {
  readonly running: Running;
  readonly port: number;
  readonly log: string;
  readonly part: (name: string) => number;
};

/** Once it listens; each part by its name. */
async function serving(program: string, {patience = 1, by}: {patience?: number; by?: typeof asUser} = {}): Promise<Server> {
  logs++;
  const log = folder.file(`log-${logs}`);
  writeFileSync(log, '');
  chmodSync(log, 0o666);
  const args = ['-l', '127.0.0.1:0', '-t', String(patience), site, log];
  const running = by === undefined ? new Running(program, args) : by(program, ...args);
  const port = Number((await running.says(/^listening on 127\.0\.0\.1:(\d+)$/m))[1]);
  const part = (name: string) => childrenOf(running.pid).find(child => nameOf(child) === name) ?? -1;
  return {running, port, log, part, [Symbol.asyncDispose]: () => running[Symbol.asyncDispose]()};
}

async function endedWell({running}: Server): Promise<void> {
  running.child.kill('SIGTERM');
  const {code, stderr} = await running.ended;
  expect([code, stderr]).toEqual([0, '']);
}

/** All that comes back for these bytes, without ever ending what is sent where `held`. */
const exchange = (port: number, bytes: string | Buffer, held = false): Promise<string> =>
  new Promise((resolve, reject) => {
    const parts: Buffer[] = [];
    const socket: Socket = connect({port, host: '127.0.0.1', allowHalfOpen: true}, () => (held ? socket.write(bytes) : socket.end(bytes)));
    socket
      .on('data', (chunk: Buffer) => parts.push(chunk))
      .on('error', reject)
      .on('end', () => {
        socket.destroy();
        resolve(Buffer.concat(parts).toString('latin1'));
      });
  });

const get = (port: number, target: string): Promise<string> => exchange(port, `GET ${target} HTTP/1.1\r\nHost: here\r\n\r\n`, true);
const statusOf = (answer: string): number => Number(/^HTTP\/1\.1 (\d+) /.exec(answer)?.[1]);
const bodyOf = (answer: string): string => answer.slice(answer.indexOf('\r\n\r\n') + 4);

/** What is sent, and the status that it gets. */
const HOSTILE: readonly (readonly [what: string, bytes: string | Buffer, status: number])[] = [
  ['dots', 'GET /../secret HTTP/1.1\r\n\r\n', 400],
  ['dots behind a name', 'GET /sub/../../secret HTTP/1.1\r\n\r\n', 400],
  ['dots in hexadecimal', 'GET /%2e%2e/secret HTTP/1.1\r\n\r\n', 400],
  ['a slash in hexadecimal', 'GET /..%2fsecret HTTP/1.1\r\n\r\n', 400],
  ['an absolute path behind the root', `GET /${folder.path}/secret HTTP/1.1\r\n\r\n`, 400],
  ['an address instead of a path', 'GET http://here/ HTTP/1.1\r\n\r\n', 400],
  ['a link that leads out', 'GET /out HTTP/1.1\r\n\r\n', 403],
  ['an absolute link', 'GET /absolute HTTP/1.1\r\n\r\n', 403],
  ['a fifo', 'GET /fifo HTTP/1.1\r\n\r\n', 403],
  ['a zero byte', 'GET /\0 HTTP/1.1\r\n\r\n', 400],
  ['a zero byte in hexadecimal', 'GET /index.html%00.txt HTTP/1.1\r\n\r\n', 400],
  ['half a byte in hexadecimal', 'GET /%2 HTTP/1.1\r\n\r\n', 400],
  ['a long path', `GET /${'a'.repeat(1500)} HTTP/1.1\r\n\r\n`, 414],
  ['a long line without an end', `GET /${'a'.repeat(5000)}`, 414],
  ['a long head', `GET / HTTP/1.1\r\n${'X: y\r\n'.repeat(2000)}`, 431],
  ['bytes that are no text', Buffer.from([0x80, 0xff, 0x1b, 0x5b, 0x0d, 0x0a, 0x0d, 0x0a]), 400],
  ['another protocol', '\x16\x03\x01\x02\r\n\r\n', 400],
  ['another version', 'GET / HTTP/2.0\r\n\r\n', 505],
  ['another method', 'POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc', 405],
  ['half a request', 'GET / HT', 400],
];

/** What its fds are, without stderr, which is that of the tests. */
const leads = (pid: number): string[] =>
  Object.entries(fdsOf(pid))
    .filter(([fd]) => fd !== '2')
    .map(([, to]) => to.replace(/:.*/, ''));
const socketsOf = (pid: number): number => leads(pid).filter(to => to === 'socket').length;

describe('web-server', () => {
  it.for(LANGUAGES)('in %s: serves what is in its directory', async (language, context) => {
    await using server = await serving(built.get(context, language));
    const {port, log} = server;
    const page = await get(port, '/');
    expect([statusOf(page), bodyOf(page)]).toEqual([200, '<p>hello']);
    expect(page).toMatch(/^Content-Type: text\/html; charset=utf-8\r\nContent-Length: 8\r$/m);
    expect(bodyOf(await get(port, '/sub/a%20b.txt?some=query'))).toBe('text');
    expect(bodyOf(await get(port, '/within.txt'))).toBe('text');
    expect(statusOf(await get(port, '/sub/'))).toBe(404);
    expect(statusOf(await get(port, '/none'))).toBe(404);
    const many = await Promise.all(Array.from({length: 20}, () => get(port, '/big.png')));
    expect(many.every(answer => bodyOf(answer) === BIG.toString('latin1'))).toBe(true);
    await endedWell(server);
    const lines = readFileSync(log, 'utf8').trimEnd().split('\n');
    expect(lines).toHaveLength(25);
    expect(lines[1]).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ 127\.0\.0\.1:\d+ 200 4 GET \/sub\/a%20b\.txt\?some=query HTTP\/1\.1$/);
  });

  it.for(LANGUAGES)('in %s: refuses what is hostile, and lives', async (language, context) => {
    await using server = await serving(built.get(context, language));
    const {port, log} = server;
    for (const [what, bytes, expected] of HOSTILE) {
      const answer = await exchange(port, bytes);
      expect([what, statusOf(answer)]).toEqual([what, expected]);
      expect(bodyOf(answer)).toMatch(new RegExp(`^${expected} [A-Za-z ]+\n$`));
    }
    expect(bodyOf(await get(port, '/'))).toBe('<p>hello');
    await endedWell(server);
    const told = readFileSync(log, 'latin1');
    expect(told.trimEnd().split('\n')).toHaveLength(HOSTILE.length + 1);
    // What strangers sent is in the log, but cannot speak to a terminal.
    expect(told).toMatch(/ 400 16 \\x80\\xff\\x1b\[$/m);
    expect(told).toMatch(/^[\n -~]*$/);
  });

  it.for(LANGUAGES)('in %s: does not wait for the slow, and serves others meanwhile', async (language, context) => {
    await using server = await serving(built.get(context, language));
    const slow = Array.from({length: 5}, () => exchange(server.port, 'GET /', true));
    const silent = exchange(server.port, '', true);
    expect(bodyOf(await get(server.port, '/'))).toBe('<p>hello');
    for (const answer of [...(await Promise.all(slow)), await silent]) expect(statusOf(answer)).toBe(408);
    // More than it takes at once, all of which say nothing: whoever comes after is served when they are through.
    const crowd = Array.from({length: 80}, () => exchange(server.port, '', true));
    expect(bodyOf(await get(server.port, '/'))).toBe('<p>hello');
    expect((await Promise.all(crowd)).map(statusOf)).toEqual(crowd.map(() => 408));
    // One who asks for more than any buffer holds, and takes nothing of it.
    const deaf = connect(server.port, '127.0.0.1').pause();
    deaf.write('GET /huge HTTP/1.1\r\n\r\n');
    await until(() => leads(server.part('parser')).includes('/files/huge'), 'it is served');
    await until(() => !leads(server.part('parser')).includes('/files/huge'), 'it is given up');
    deaf.on('error', () => {}).destroy();
    await endedWell(server);
  });

  it.for(LANGUAGES)('in %s: each of the four has what it needs, and no more', async (language, context) => {
    await using server = await serving(built.get(context, language));
    const {running, log, part} = server;
    const [listener, parser, reader, logger] = [running.pid, part('parser'), part('reader'), part('logger')] as const;
    const four = [listener, parser, reader, logger];
    expect(new Set(childrenOf(listener))).toEqual(new Set([parser, reader, logger]));
    for (const one of four) {
      for (const other of four) if (one !== other) expect(apartIn(one, other)).toEqual(KINDS);
      // Those namespaces are for children only (unshare(2)).
      expect(apartIn(one, process.pid)).toEqual(one === listener ? KINDS.filter(kind => kind !== 'pid' && kind !== 'time') : KINDS);
      expect(['CapPrm', 'CapEff', 'CapBnd', 'CapInh', 'CapAmb'].map(set => Number(`0x${status(one, set)}`))).toEqual([0, 0, 0, 0, 0]);
      expect([status(one, 'NoNewPrivs'), status(one, 'Threads')]).toEqual(['1', '1']);
    }
    const ROOT = '/ tmpfs ro,nosuid,nodev,noexec,relatime';
    expect([mountsOf(listener), mountsOf(parser)]).toEqual([[ROOT], [ROOT]]);
    expect(mountsOf(reader).toSorted()).toEqual([ROOT, expect.stringMatching(/^\/files \w+ ro,nosuid,nodev,noexec/)]);
    expect(mountsOf(logger).toSorted()).toEqual([ROOT, expect.stringMatching(/^\/log \w+ rw,nosuid,nodev,noexec/)]);
    expect(four.map(pid => readdirSync(`/proc/${pid}/root/`))).toEqual([[], [], ['files'], ['log']]);
    expect(readFileSync(`/proc/${logger}/root/log`, 'utf8')).toBe(readFileSync(log, 'utf8'));

    const NULLS = ['/dev/null', '/dev/null'];
    await until(() => leads(listener).filter(to => to === '/dev/null').length === 2, 'the listener has given up its stdout');
    // The listening socket and the channel to the parser; signals, and the end of the pipe by which the parts see it alive.
    expect(leads(listener).toSorted()).toEqual([...NULLS, 'anon_inode', 'pipe', 'socket', 'socket']);
    expect(leads(parser)).toEqual([...NULLS, 'socket', 'socket', 'pipe']);
    expect(leads(reader)).toEqual([...NULLS, 'socket', '/files']);
    expect(leads(logger)).toEqual([...NULLS, 'pipe', '/log']);
    expect((await get(server.port, '/')).length).toBeGreaterThan(0);
    await until(() => leads(parser).length === 5, 'the parser has closed connection and file');
    expect([leads(listener).length, leads(reader).length, leads(logger).length]).toEqual([6, 4, 4]);
    await endedWell(server);
  });

  it.for(LANGUAGES)('in %s: finishes what is open at SIGTERM, and takes nothing more', async (language, context) => {
    await using server = await serving(built.get(context, language), {patience: 60});
    const {running, port} = server;
    const socket = connect(port, '127.0.0.1');
    await new Promise(resolve => socket.on('connect', resolve));
    socket.write('GET /');
    await until(() => socketsOf(server.part('parser')) === 3, 'it is connected');
    running.child.kill('SIGTERM');
    await until(() => socketsOf(running.pid) === 0, 'it listens no more');
    await expect(get(port, '/')).rejects.toThrow('ECONNREFUSED');
    const parts: string[] = [];
    socket.on('data', chunk => parts.push(chunk.toString()));
    socket.end(' HTTP/1.1\r\n\r\n');
    await new Promise((resolve, reject) => socket.on('end', resolve).on('error', reject));
    const {code, stderr} = await running.ended;
    expect([code, stderr, bodyOf(parts.join(''))]).toEqual([0, '', '<p>hello']);
  });

  it.for(LANGUAGES.flatMap(language => ['parser', 'reader', 'logger'].map(victim => ({language, victim}))))(
    'in $language: all of it ends when the $victim dies',
    async ({language, victim}, context) => {
      await using server = await serving(built.get(context, language));
      const parts = ['parser', 'reader', 'logger'].map(server.part);
      process.kill(server.part(victim), 'SIGKILL');
      const {code, stderr} = await server.running.ended;
      expect([code, stderr]).toEqual([1, `web-server: the ${victim} ended with 137\n`]);
      expect(parts.filter(pid => !hasEnded(pid))).toEqual([]);
    },
  );

  it.for(LANGUAGES)('in %s: all of it ends when the listener dies', async (language, context) => {
    await using server = await serving(built.get(context, language));
    const parts = ['parser', 'reader', 'logger'].map(server.part);
    server.running.child.kill('SIGKILL');
    await until(() => parts.every(hasEnded), 'the parts have ended');
  });

  it.for(LANGUAGES)('in %s: it takes no privilege', async (language, context) => {
    await using server = await serving(built.get(context, language), {by: asUser});
    expect(bodyOf(await get(server.port, '/'))).toBe('<p>hello');
    await endedWell(server);
  });

  it.for(LANGUAGES)('in %s: it says what is wrong before it serves', async (language, context) => {
    const program = built.get(context, language);
    const ended = async (...args: string[]) => {
      const {code, stderr} = await outcomeOf(program, ...args);
      return [code, stderr];
    };
    const log = folder.file('log');
    expect(await ended('-l', '127.0.0.1:0', folder.file('none'), log)).toEqual([
      125,
      `web-server: open ${folder.file('none')}: No such file or directory\n`,
    ]);
    expect(await ended('-l', '127.0.0.1:0', folder.file('secret'), log)).toEqual([
      125,
      `web-server: open ${folder.file('secret')}: Not a directory\n`,
    ]);
    expect(await ended('-l', '127.0.0.1:0', site, '/nowhere/log')).toEqual([
      125,
      'web-server: open /nowhere/log: No such file or directory\n',
    ]);
    expect(await ended('-l', '192.0.2.1:0', site, log)).toEqual([125, 'web-server: bind: Cannot assign requested address\n']);
    for (const wrong of [[], [site], [site, log, 'more'], ['-x', site, log], ['-l', '127.0.0.1', site, log], ['-t', '0', site, log]])
      expect(await ended(...wrong)).toEqual([2, 'usage: web-server [-l ADDRESS:PORT] [-t SECONDS] DIRECTORY LOG\n']);
  });

  compareLanguages(built, {
    program: 'web-server',
    ways: [{way: 'with four processes', args: ['-l', '127.0.0.1:0', site, folder.file('log-compared')]}],
    ready: root =>
      childrenOf(root).map(nameOf).toSorted().join(' ') === 'logger parser reader' &&
      Object.values(fdsOf(root)).filter(to => to === '/dev/null').length === 2,
    status: 0,
    defects: [
      {
        language: 'c',
        what: 'mounts left to the parser',
        find: '        (void)path;\n        pivot_to_empty_root();',
        put: '        (void)path;\n        make_mounts_private();',
        found: /^parser \d+ \| parser \d+: .*mounted in B$/m,
      },
      {
        language: 'c',
        what: 'the network left to the listener',
        find: 'unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET | ',
        put: 'unshare(CLONE_NEWUSER | CLONE_NEWNS | ',
        found: /^listener \d+ \| listener \d+: net namespace: its own in A, /m,
      },
      {
        language: 'ocaml',
        what: 'a directory that can be written',
        find: '(mount_attr_rdonly lor mount_attr_noexec)',
        put: 'mount_attr_noexec',
        found: /^reader \d+ \| reader \d+: options of \/files: ro in A, rw in B$/m,
      },
      {
        language: 'ocaml',
        what: 'an fd left',
        find: '      Unix.close ready;\n      part.run',
        put: '      part.run',
        found: /^logger \d+ \| logger \d+: .*pipe.* in B$/m,
      },
    ],
  });

  it('has no fault that ASan or UBSan finds', async () => {
    using programs = temporaryFolder();
    chmodSync(programs.path, 0o755);
    const program = buildProgram(programs.path, 'c', 'web-server', {sanitized: true});
    // LeakSanitizer needs /proc, which is gone at the end of all four.
    process.env.ASAN_OPTIONS = 'detect_leaks=0';
    try {
      await using server = await serving(program);
      for (const [what, bytes, expected] of HOSTILE) expect([what, statusOf(await exchange(server.port, bytes))]).toEqual([what, expected]);
      expect(bodyOf(await get(server.port, '/big.png'))).toBe(BIG.toString('latin1'));
      await endedWell(server);
    } finally {
      delete process.env.ASAN_OPTIONS;
    }
  });
});
