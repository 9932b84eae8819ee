import {execFileSync} from 'node:child_process';
import {chmodSync, readdirSync, writeFileSync} from 'node:fs';
import {connect, createServer} from 'node:net';
import {join} from 'node:path';
import {afterAll, beforeAll, describe, expect, it} from 'vitest';
import {status, until} from '../support/attached.ts';
import {leaveNothingBehind} from '../support/leaks.ts';
import {start, temporaryFolder} from '../support/nsview.ts';
import {ROOT} from '../support/paths.ts';
import {isRoot} from '../support/user.ts';
import {
  apartIn,
  asUser,
  buildProgram,
  builtBefore,
  childrenOf,
  childThatRuns,
  compareLanguages,
  fdsFromTheStart,
  fdsOf,
  hasEnded,
  KINDS,
  LANGUAGES,
  mountsOf,
  nameOf,
  outcomeOf,
} from './support.ts';

const built = builtBefore('void-process');
leaveNothingBehind();

const granting = (...grants: string[]): string[] => grants.flatMap(grant => ['-g', grant]);

/** Linked statically, as what is to run without a file has to be. */
const folder = temporaryFolder();
chmodSync(folder.path, 0o755);
const answers = folder.file('answers');
beforeAll(() => {
  execFileSync(process.env.CC ?? 'cc', ['-static', '-o', answers, join(ROOT, 'fixtures', 'answers-on-socket.c')]);
});
afterAll(() => folder[Symbol.dispose]());

/** A port on which nobody listens at the moment. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise(resolve => server.close(resolve));
  return typeof address === 'object' && address !== null ? address.port : 0;
}

/** All that comes from there until it is closed. */
const received = (port: number): Promise<string> =>
  new Promise((resolve, reject) => {
    let got = '';
    connect(port, '127.0.0.1')
      .on('data', chunk => {
        got += chunk.toString();
      })
      .on('error', reject)
      .on('close', () => resolve(got));
  });

describe('void-process', () => {
  it.for(LANGUAGES)('in %s: without a grant there is nothing', async (language, context) => {
    await using launcher = start(built.get(context, language), 'busybox', 'sleep', '60');
    const program = await childThatRuns(launcher.pid, 'busybox');
    expect(apartIn(program, launcher.pid)).toEqual(KINDS);
    expect(mountsOf(program)).toEqual(['/ tmpfs ro,nosuid,nodev,noexec,relatime']);
    expect(readdirSync(`/proc/${program}/root/`)).toEqual([]);
    expect(fdsOf(program)).toEqual({});
    expect(['CapPrm', 'CapEff', 'CapBnd', 'CapInh', 'CapAmb'].map(set => Number(`0x${status(program, set)}`))).toEqual([0, 0, 0, 0, 0]);
    // Who is not root cannot give groups up: user_namespaces(7), "setgroups".
    const groups = isRoot ? '' : status(process.pid, 'Groups').trim();
    expect([status(program, 'NoNewPrivs'), status(program, 'Groups').trim()]).toEqual(['1', groups]);
    // The first of its pid namespace, the leader of a session.
    expect([status(program, 'NSpid').split('\t').at(-1), status(program, 'NSsid').split('\t').at(-1)]).toEqual(['1', '1']);
    const allowed = (await fdsFromTheStart()) + 1;
    await until(() => Object.keys(fdsOf(launcher.pid)).length === allowed, 'the launcher has closed what it opened');
    expect([childrenOf(launcher.pid), status(launcher.pid, 'Threads')]).toEqual([[program], '1']);
    launcher.child.kill('SIGKILL');
    await until(() => hasEnded(program), 'the program has ended');
  });

  it.for(LANGUAGES)('in %s: what it has besides is what a file of grants says', async (language, context) => {
    using folder = temporaryFolder();
    writeFileSync(folder.file('page'), 'read me');
    writeFileSync(folder.file('log'), '');
    writeFileSync(folder.file('unasked'), '');
    const spec = [
      '# for a test',
      `file ${folder.file('page')}`,
      `\tfile  ${folder.file('log')} rw # to be written`,
      'hostname web',
      'proc',
      'env COLOUR=green',
      'stdout',
      'stderr',
      '',
    ];
    writeFileSync(folder.file('spec'), spec.join('\n'));
    const script = [
      `cat ${folder.file('page')}; echo`,
      `(echo x >${folder.file('page')}) 2>&1`,
      `echo x >${folder.file('log')} && cat ${folder.file('log')}`,
      `ls ${folder.path}`,
      'hostname',
      'echo $COLOUR $HOME',
      'ls -d /proc/[0-9]*',
      'cat /proc/net/dev | grep -c :',
    ].join('; ');
    const {code, stdout, stderr} = await outcomeOf(
      built.get(context, language),
      '-f',
      folder.file('spec'),
      '--',
      'busybox',
      'sh',
      '-c',
      script,
    );
    expect([code, stderr]).toEqual([0, '']);
    const lines = stdout.split('\n');
    expect(lines.slice(0, 3)).toEqual(['read me', `sh: can't create ${folder.file('page')}: Read-only file system`, 'x']);
    expect(lines.slice(3, 7)).toEqual(['log', 'page', 'web', 'green']);
    // One process, one interface.
    expect(lines.slice(7)).toEqual(['/proc/1', '1', '']);
  });

  it.for(LANGUAGES)('in %s: a granted socket answers outside, from a process without a network', async (language, context) => {
    const port = await freePort();
    await using launcher = start(built.get(context, language), ...granting(`socket tcp 127.0.0.1:${port}`), answers);
    const program = await childThatRuns(launcher.pid, answers);
    expect(Object.keys(fdsOf(program))).toEqual(['3']);
    expect(apartIn(program, launcher.pid)).toEqual(KINDS);
    const allowed = (await fdsFromTheStart()) + 1;
    await until(() => Object.keys(fdsOf(launcher.pid)).length === allowed, 'the launcher has closed its socket');
    expect(await received(port)).toBe('LISTEN_FDS=1 LISTEN_PID=1 pid 1\n');
    expect(await launcher.ended).toEqual({code: 0, signal: null, stdout: '', stderr: ''});
  });

  it.for(LANGUAGES)('in %s: it takes no privilege', async (language, context) => {
    const grants = granting('stdout', 'proc', 'file /etc/passwd');
    await using running = asUser(
      built.get(context, language),
      ...grants,
      'busybox',
      'sh',
      '-c',
      'id -u; echo /*; readlink /proc/self/fd/1 | wc -l',
    );
    const {code, stdout, stderr} = await running.ended;
    expect([code, stdout, stderr]).toEqual([0, '1000\n/etc /proc\n1\n', '']);
  });

  it.for(LANGUAGES)('in %s: it ends as the program does, and says which grant is wrong', async (language, context) => {
    const program = built.get(context, language);
    const ended = async (...args: string[]) => {
      const {code, stderr} = await outcomeOf(program, ...args);
      return [code, stderr];
    };
    using folder = temporaryFolder();
    writeFileSync(folder.file('spec'), 'proc\n\nfile etc/passwd\n');
    expect(await ended('busybox', 'sh', '-c', 'exit 7')).toEqual([7, '']);
    expect(await ended('nowhere-to-be-found')).toEqual([127, 'void-process: open nowhere-to-be-found: No such file or directory\n']);
    expect(await ended('ls')).toEqual([
      126,
      'void-process: execveat ls: it asks for an interpreter, which is not there: link it statically, or grant its files\n',
    ]);
    expect(await ended('-f', folder.file('spec'), 'busybox')).toEqual([
      2,
      `void-process: ${folder.file('spec')}:3: not an absolute path: etc/passwd\n`,
    ]);
    expect(await ended('-f', folder.file('none'), 'busybox')).toEqual([
      125,
      `void-process: open ${folder.file('none')}: No such file or directory\n`,
    ]);
    expect(await ended(...granting('file /nowhere'), 'busybox')).toEqual([
      125,
      'void-process: open_tree /nowhere: No such file or directory\n',
    ]);
    for (const [grant, what] of [
      ['network', 'no such grant: network'],
      ['file', 'no such grant: file'],
      ['socket tcp 127.0.0.1', 'not ADDRESS:PORT: 127.0.0.1'],
      ['socket tcp 127.0.0.1:65536', 'not ADDRESS:PORT: 127.0.0.1:65536'],
      ['socket tcp localhost:80', 'not ADDRESS:PORT: localhost:80'],
      ['env COLOUR', 'no such grant: env'],
    ])
      expect(await ended(...granting('proc', grant ?? ''), 'busybox')).toEqual([2, `void-process: -g:2: ${what}\n`]);
    for (const wrong of [[], ['-g'], ['-x', 'busybox'], ['--']])
      expect(await ended(...wrong)).toEqual([2, 'usage: void-process [-f FILE] [-g GRANT]... [--] PROGRAM [ARG...]\n']);
  });

  compareLanguages(built, {
    program: 'void-process',
    ways: [
      {
        way: 'with grants of each kind',
        args: [
          ...granting('file /etc/passwd', 'file /etc/ssl', 'socket tcp 127.0.0.1:0', 'hostname web', 'proc', 'stderr'),
          'busybox',
          'sleep',
          '60',
        ],
      },
      {way: 'without a grant', args: ['busybox', 'sleep', '60']},
    ],
    ready: root => childrenOf(root).some(child => nameOf(child) === 'busybox'),
    status: 128 + 15,
    defects: [
      {
        language: 'c',
        what: 'a flag dropped',
        find: 'sys_clone3(EVERY_NAMESPACE, -1)',
        put: 'sys_clone3(EVERY_NAMESPACE & ~CLONE_NEWIPC, -1)',
        found: /^busybox \d+ \| busybox \d+: ipc namespace: its own in A, /m,
      },
      {
        language: 'c',
        what: 'an fd left',
        find: 'if (!spec->streams[fd] && fcntl',
        put: 'if (fd != 0 && !spec->streams[fd] && fcntl',
        found: /^busybox \d+ \| busybox \d+: .* in B$/m,
      },
      {
        language: 'ocaml',
        what: 'a file that can be written',
        find: '(if writable then 0 else mount_attr_rdonly)',
        put: '(if writable then mount_attr_rdonly else 0)',
        found: /^busybox \d+ \| busybox \d+: options of \/etc\/passwd: ro in A, rw in B$/m,
      },
      {
        language: 'ocaml',
        what: 'a flag dropped',
        find: 'clone3 every_namespace',
        put: 'clone3 (every_namespace lxor clone_newtime)',
        found: /^busybox \d+ \| busybox \d+: time namespace: its own in A, /m,
      },
    ],
  });

  it('has no fault that ASan or UBSan finds', async () => {
    using folder = temporaryFolder();
    const program = buildProgram(folder.path, 'c', 'void-process', {sanitized: true});
    const grants = granting('stdout', 'stderr', 'proc', 'env A=b', 'hostname web', 'file /etc/passwd', 'socket tcp 127.0.0.1:0');
    const {code, stdout, stderr} = await outcomeOf(program, ...grants, 'busybox', 'hostname');
    expect([code, stdout, stderr]).toEqual([0, 'web\n', '']);
    expect((await outcomeOf(program, ...granting('env A=b', 'nothing'), 'busybox')).code).toBe(2);
  });
});
