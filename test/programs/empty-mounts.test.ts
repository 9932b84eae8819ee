import {readdirSync} from 'node:fs';
import {describe, expect, it} from 'vitest';
import {status, until} from '../support/attached.ts';
import {leaveNothingBehind} from '../support/leaks.ts';
import {start, temporaryFolder} from '../support/nsview.ts';
import {isRoot, needsRoot} from '../support/user.ts';
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
  LANGUAGES,
  mountsOf,
  nameOf,
  outcomeOf,
} from './support.ts';

const built = builtBefore('empty-mounts');
leaveNothingBehind();

/** Each way with what sets the program apart from its launcher, and the table of a program that waits for the end of its stdin. */
const WAYS = [
  {way: 'by umount', options: [], apart: ['mnt'], needs: 'make a mount namespace without a user namespace'},
  {way: 'by pivot_root', options: ['--pivot'], apart: ['mnt', 'user'], needs: null},
] as const;
const given = (needs: string | null): void => {
  if (needs !== null) needsRoot(needs);
};
/** The way that whoever runs the tests may go. */
const OPTIONS = isRoot ? [] : ['--pivot'];
const WAITS = ['busybox', 'cat'];
const ROOT_ALONE = ['/ tmpfs ro,nosuid,nodev,noexec,relatime'];

const bothLanguages = LANGUAGES.flatMap(language => WAYS.map(way => ({language, ...way})));

describe('empty-mounts', () => {
  it.for(bothLanguages)(
    'in $language, $way: the program sees no mount but an empty root',
    async ({language, options, apart, needs}, context) => {
      given(needs);
      await using launcher = start(built.get(context, language), ...options, ...WAITS);
      const program = await childThatRuns(launcher.pid, 'busybox');
      expect(mountsOf(program)).toEqual(ROOT_ALONE);
      expect(readdirSync(`/proc/${program}/root/`)).toEqual([]);
      expect(apartIn(program, launcher.pid)).toEqual(apart);
      // What lies under the old root is not to be had from the working directory either.
      expect(readdirSync(`/proc/${program}/cwd/../..`)).toEqual([]);
      launcher.release();
      expect(await launcher.ended).toEqual({code: 0, signal: null, stdout: '', stderr: ''});
    },
  );

  it.for(bothLanguages)('in $language, $way: launcher and program alone are left, with fds that were granted', async (each, context) => {
    given(each.needs);
    await using launcher = start(built.get(context, each.language), ...each.options, ...WAITS);
    const program = await childThatRuns(launcher.pid, 'busybox');
    // The emptier has ended, and the launcher has waited for it.
    await until(() => childrenOf(launcher.pid).length === 1, 'the emptier is gone');
    expect(Object.keys(fdsOf(program))).toEqual(['0', '1', '2']);
    // One of its own: the end of the pipe by which the program would have seen that it had gone.
    const allowed = (await fdsFromTheStart()) + 1;
    await until(() => Object.keys(fdsOf(launcher.pid)).length === allowed, 'the launcher has closed what it opened');
    expect(['CapPrm', 'CapEff', 'CapBnd', 'CapInh', 'CapAmb'].map(set => Number(`0x${status(program, set)}`))).toEqual([0, 0, 0, 0, 0]);
    expect([status(program, 'NoNewPrivs'), status(launcher.pid, 'Threads')]).toEqual(['1', '1']);
    launcher.release();
    expect((await launcher.ended).code).toBe(0);
  });

  it.for(bothLanguages)('in $language, $way: the program dies with its launcher', async ({language, options, needs}, context) => {
    given(needs);
    await using launcher = start(built.get(context, language), ...options, 'busybox', 'sleep', '60');
    const program = await childThatRuns(launcher.pid, 'busybox');
    launcher.child.kill('SIGKILL');
    await until(() => hasEnded(program), 'the program has ended');
  });

  it.for(LANGUAGES)('in %s: it ends as the program does, and says what failed', async (language, context) => {
    const program = built.get(context, language);
    const outcome = async (...args: string[]) => {
      const {code, stderr} = await outcomeOf(program, ...args);
      return [code, stderr];
    };
    const ended = (...args: string[]) => outcome(...OPTIONS, ...args);
    expect(await ended('busybox', 'sh', '-c', 'exit 7')).toEqual([7, '']);
    expect(await ended('--', 'busybox', 'sh', '-c', 'kill -TERM $$')).toEqual([128 + 15, '']);
    expect(await ended('nowhere-to-be-found')).toEqual([127, 'empty-mounts: open nowhere-to-be-found: No such file or directory\n']);
    expect(await ended('/etc/passwd')).toEqual([126, 'empty-mounts: execveat /etc/passwd: Permission denied\n']);
    expect(await ended('ls')).toEqual([
      126,
      'empty-mounts: execveat ls: it asks for an interpreter, which is not there: link it statically, or grant its files\n',
    ]);
    for (const wrong of [[], ['--pivot'], ['--'], ['--other', 'busybox']])
      expect(await outcome(...wrong)).toEqual([2, 'usage: empty-mounts [--pivot] [--] PROGRAM [ARG...]\n']);
  });

  it.for(LANGUAGES)('in %s: without privilege it is refused, and --pivot does without', async (language, context) => {
    const program = built.get(context, language);
    await using refused = asUser(program, 'busybox', 'true');
    const {code, stderr} = await refused.ended;
    expect([code, stderr]).toEqual([
      125,
      'empty-mounts: clone3 CLONE_NEWNS takes CAP_SYS_ADMIN; --pivot does without: Operation not permitted\n',
    ]);
    await using running = asUser(program, '--pivot', 'busybox', 'sh', '-c', 'id -u; echo /*');
    expect(await running.ended).toEqual({code: 0, signal: null, stdout: '1000\n/*\n', stderr: ''});
  });

  compareLanguages(built, {
    program: 'empty-mounts',
    ways: WAYS.map(({way, options, needs}) => ({way, args: [...options, ...WAITS], needs})),
    ready: root => childrenOf(root).length === 1 && childrenOf(root).every(child => nameOf(child) === 'busybox'),
    status: 128 + 15,
    defects: [
      {
        language: 'c',
        what: 'a mount left',
        find: 'seal_root();',
        put: 'mkdir("/left", 0755); (void)!mount("left", "/left", "tmpfs", 0, NULL); seal_root();',
        found: /^busybox \d+ \| busybox \d+: tmpfs left on \/left: not mounted in A, mounted in B$/m,
      },
      {
        language: 'c',
        what: 'an fd left',
        find: 'keep_only((int[]){plan->program}, 1);\n        execute(3,',
        put: 'fcntl(plan->program, F_SETFD, 0);\n        execute(plan->program,',
        found: /^busybox \d+ \| busybox \d+: .*busybox.* in B$/m,
      },
      {
        language: 'ocaml',
        what: 'a root that is not sealed',
        find: 'seal_root ();',
        put: '',
        found: /^busybox \d+ \| busybox \d+: options of \/: .*ro.* in A, .*rw.* in B$/m,
      },
      {
        language: 'ocaml',
        what: 'privileges kept',
        find: '  drop_privileges ();\n',
        put: '',
        // Who is not root loses the others by execve(2).
        found: /^busybox \d+ \| busybox \d+: (effective|bounding) capabilities: without in A, also .* in B$/m,
      },
    ],
  });

  it('has no fault that ASan or UBSan finds', async () => {
    using folder = temporaryFolder();
    const program = buildProgram(folder.path, 'c', 'empty-mounts', {sanitized: true});
    for (const {options} of WAYS.filter(({needs}) => isRoot || needs === null))
      expect(await outcomeOf(program, ...options, 'busybox', 'echo', 'there')).toEqual({
        code: 0,
        signal: null,
        stdout: 'there\n',
        stderr: '',
      });
    expect((await outcomeOf(program, ...OPTIONS, 'nowhere-to-be-found')).code).toBe(127);
  });
});
