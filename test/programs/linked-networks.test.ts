import {execFileSync, spawnSync} from 'node:child_process';
import {describe, expect, it, type TestContext} from 'vitest';
import {until} from '../support/attached.ts';
import {leaveNothingBehind} from '../support/leaks.ts';
import {type Running, start, temporaryFolder} from '../support/nsview.ts';
import {isRoot, needsRoot, ownUser} from '../support/user.ts';
import {
  apartIn,
  asUser,
  buildProgram,
  builtBefore,
  childrenOf,
  compareLanguages,
  fdsFromTheStart,
  fdsOf,
  hasEnded,
  LANGUAGES,
  type Language,
  outcomeOf,
  treeOf,
} from './support.ts';

const NAME = 'linked-networks';
const built = builtBefore(NAME);
leaveNothingBehind();

const vethIsThere =
  spawnSync('unshare', [...ownUser, '--net', 'ip', 'link', 'add', 'a0', 'type', 'veth', 'peer', 'name', 'a1']).status === 0;

function programIn(context: TestContext, language: Language): string {
  if (!vethIsThere) context.skip('kernel lacks veth');
  return built.get(context, language);
}

type Places = {readonly left: number; readonly right: number; readonly router: number};

/** Once all is there, the pids as /proc has them. */
async function placesOf(running: Running): Promise<Places> {
  await running.says(/^ready /m);
  const pids = new Map(treeOf(running.pid).map(({pid, name}) => [name, pid]));
  const [left, right, router] = ['left', 'right', 'router'].map(name => pids.get(name) ?? -1);
  return {left: left ?? -1, right: right ?? -1, router: router ?? -1};
}

/** Options of nsenter(1): who is not root comes into the network by the user namespace that owns it. */
const ENTER = isRoot ? ['--net'] : ['--user', '--preserve-credentials', '--net'];

/** ip-address(8) and ip-route(8), in few words. */
const ask = (pid: number, ...words: string[]): string[] =>
  execFileSync('nsenter', [...ENTER, `--target=${pid}`, 'ip', '-4', ...words], {encoding: 'utf8'})
    .trimEnd()
    .split('\n')
    .map(line => line.replaceAll(/@\S+|\s+$/g, '').replaceAll(/\s+/g, ' '))
    .sort();

const readInNetworkOf = (pid: number, path: string): string =>
  execFileSync('nsenter', [...ENTER, `--target=${pid}`, 'cat', path], {encoding: 'utf8'}).trimEnd();

const WHO = [
  {who: 'as root', run: start, apart: ['net']},
  {who: 'as an ordinary user', run: asUser, apart: ['net', 'user']},
] as const;
const each = LANGUAGES.flatMap(language => WHO.map(one => ({language, ...one})));

describe(NAME, () => {
  it.for(each)('in $language, $who: left reaches right through the router, which alone forwards', async (one, context) => {
    if (one.run === start) needsRoot('be root');
    await using running = one.run(programIn(context, one.language));
    const {left, right, router} = await placesOf(running);
    expect(await running.says(/^left reached right$/m)).not.toBeNull();
    for (const pid of [left, right, router]) expect(apartIn(pid, process.pid)).toEqual(one.apart);
    for (const [pid, other] of [
      [left, right],
      [right, router],
      [router, left],
    ] as const)
      expect(apartIn(pid, other)).toEqual(['net']);

    const addresses = () => [left, router, right].map(pid => ask(pid, '-brief', 'address'));
    // The kernel tells of a carrier up to a second later (net/core/link_watch.c).
    await until(
      () =>
        !addresses()
          .flat()
          .join()
          .match(/DOWN|UNKNOWN/),
      'all links are up',
    );
    expect(addresses()).toEqual([
      ['to-router UP 10.1.0.2/24'],
      ['to-left UP 10.1.0.1/24', 'to-right UP 10.2.0.1/24'],
      ['to-router UP 10.2.0.2/24'],
    ]);
    expect(ask(left, 'route')).toContain('10.2.0.0/24 via 10.1.0.1 dev to-router proto static');
    expect(ask(right, 'route')).toContain('10.1.0.0/24 via 10.2.0.1 dev to-router proto static');

    const forwards = (pid: number) => readInNetworkOf(pid, '/proc/sys/net/ipv4/ip_forward');
    expect([left, router, right].map(forwards)).toEqual(['0', '1', '0']);
    // The second line has the numbers of IP, ForwDatagrams is the sixth of them.
    const forwarded = (pid: number) => Number(readInNetworkOf(pid, '/proc/net/snmp').split('\n')[1]?.split(' ')[6]);
    const told = await running.says(/^the router forwarded (\d+) packets$/m);
    // There and back: a connection, a question and an answer.
    expect(Number(told[1])).toBeGreaterThanOrEqual(6);
    expect(forwarded(router)).toBeGreaterThanOrEqual(Number(told[1]));
    expect([left, right].map(forwarded)).toEqual([0, 0]);

    running.child.kill('SIGTERM');
    expect(await running.ended).toMatchObject({code: 0, signal: null, stderr: ''});
    for (const pid of [left, right, router]) expect(hasEnded(pid)).toBe(true);
  });

  it.for(LANGUAGES)('in %s: while it holds, each has only its own ends of pipes open', async (language, context) => {
    await using running = start(programIn(context, language));
    const {left, right, router} = await placesOf(running);
    const fromTheStart = await fdsFromTheStart();
    const more = (pid: number) => Object.keys(fdsOf(pid)).length - fromTheStart;
    // Right sees later than left that the connection is over.
    await until(() => more(right) === 3, 'right has two pipes and the socket on which it listens');
    expect([left, router].map(more)).toEqual([2, 2]);
    // Of each of the three two pipes and the network namespace, and the fd of signals.
    expect(more(running.pid)).toBe(10);
    running.child.kill('SIGINT');
    expect((await running.ended).code).toBe(0);
  });

  it.for(LANGUAGES)('in %s: a command runs in the left network, and its end is the end of all', async (language, context) => {
    const program = programIn(context, language);
    const seen = await outcomeOf(program, '--', 'sh', '-c', 'cat /proc/net/dev | grep -c to-router; kill -0 $PPID; exit 7');
    expect(seen).toMatchObject({code: 7, signal: null, stderr: ''});
    expect(seen.stdout).toMatch(/^1$/m);
    const killed = await outcomeOf(program, '--', 'sh', '-c', 'kill -TERM $$');
    expect(killed.code).toBe(128 + 15);
    // Which asks the command to end, not the manager.
    await using held = start(program, '--', 'sleep', '60');
    await held.says(/^ready /m);
    held.child.kill('SIGTERM');
    expect((await held.ended).code).toBe(128 + 15);
    expect(await outcomeOf(program, '--', 'nowhere-to-be-found')).toMatchObject({
      code: 127,
      stderr: expect.stringContaining('execvp nowhere-to-be-found: No such file or directory'),
    });
    expect((await outcomeOf(program, '--', '/etc/passwd')).code).toBe(126);
    for (const wrong of [['--'], ['sh'], ['--other', 'sh']])
      expect(await outcomeOf(program, ...wrong)).toEqual({code: 2, signal: null, stdout: '', stderr: `usage: ${NAME} [-- CMD ARG...]\n`});
  });

  it.for(LANGUAGES)('in %s: all end with the manager, and the manager when one does', async (language, context) => {
    const program = programIn(context, language);
    {
      await using running = start(program);
      const places = await placesOf(running);
      running.child.kill('SIGKILL');
      for (const pid of Object.values(places)) await until(() => hasEnded(pid), `${pid} has ended`);
    }
    await using running = start(program);
    const {right} = await placesOf(running);
    process.kill(right, 'SIGKILL');
    expect(await running.ended).toMatchObject({code: 1, stderr: `${NAME}: right ended before its time\n`});
    expect(childrenOf(running.pid)).toEqual([]);
  });

  it('has no fault that ASan or UBSan finds', async context => {
    if (!vethIsThere) context.skip('kernel lacks veth');
    using folder = temporaryFolder();
    const program = buildProgram(folder.path, 'c', NAME, {sanitized: true});
    expect(await outcomeOf(program, '--', 'true')).toMatchObject({code: 0, stderr: ''});
  });
});

compareLanguages(
  {...built, get: programIn},
  {
    program: NAME,
    ways: [{way: 'by itself', args: []}],
    ready: (_root, stdout) => /^ready /m.test(stdout),
    status: stdout => (stdout.includes('did not reach') ? 1 : 0),
    defects: [
      {
        language: 'c',
        what: 'the way from left to the other network is missing',
        find: '        add_route("10.2.0.0", "10.1.0.1");\n',
        put: '',
        found: /routes/,
      },
      {
        language: 'ocaml',
        what: 'the way from left to the other network is missing',
        find: '  add_route "10.2.0.0" "10.1.0.1";\n',
        put: '',
        found: /routes/,
      },
      {
        language: 'c',
        what: 'networks are twice as large as they should be',
        find: '#define PREFIX 24',
        put: '#define PREFIX 23',
        found: /10\.1\.0\.2\/23/,
      },
      {
        language: 'ocaml',
        what: 'networks are twice as large as they should be',
        find: 'let prefix = 24',
        put: 'let prefix = 23',
        found: /10\.1\.0\.2\/23/,
      },
    ],
  },
);
