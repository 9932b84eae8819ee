// Knows how test files run side by side on one machine: each in a pid and a mount namespace, and with a folder for temporary files, of its
// own. What a test looks for on the whole machine (test/support/leaks.ts) is then its own, and nothing outlives its file.

import {ChildProcess, spawn, spawnSync} from 'node:child_process';
import {chmodSync, mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {ForksPoolWorker, type PoolOptions, type PoolRunnerInitializer} from 'vitest/node';

/** unshare(1): with the namespaces, everybody in them ends when it is killed. */
const APART = ['--fork', '--pid', '--mount', '--mount-proc', '--kill-child'];

/** Null, or why files have to run one after the other. */
export function refusedApart(): string | null {
  const {status, stderr, error} = spawnSync('unshare', [...APART, 'true']);
  return status === 0 ? null : (error?.message ?? stderr.toString().trim());
}

/**
 * Pids of the namespaces must differ from each other, since tests name after theirs what the whole machine has in common, such as cgroups:
 * each namespace begins to count at another thousand (proc_sys_kernel(5), ns_last_pid). There are 32768 at least. A shell is the first
 * process, so that somebody reaps who lost their parents, and signals do to Node what they do elsewhere.
 */
const FIRST = 'echo "$NSVIEW_TEST_PIDS" >/proc/sys/kernel/ns_last_pid; "$@"; exit $?';
let namespaces = 0;

class AloneWorker extends ForksPoolWorker {
  override readonly name = 'alone';
  // Short: screens of tests show it.
  private readonly folder = mkdtempSync(join(tmpdir(), 'a-'));

  constructor(options: PoolOptions) {
    super(options);
    // As /tmp has it: other users write there, too.
    chmodSync(this.folder, 0o1777);
  }

  override async start(): Promise<void> {
    namespaces = (namespaces % 30) + 1;
    const child = spawn('unshare', [...APART, 'sh', '-c', FIRST, 'sh', process.execPath, ...this.execArgv, this.entrypoint], {
      env: {...this.env, TMPDIR: this.folder, NSVIEW_TEST_PIDS: String(namespaces * 1000)},
      stdio: ['pipe', 'pipe', 'pipe', 'ipc'],
      serialization: 'advanced',
    });
    // Vitest asks Node to end when it has no more work; unshare(1) blocks that signal.
    child.kill = () => ChildProcess.prototype.kill.call(child, 'SIGKILL');
    // Which would fork Node otherwise.
    Object.assign(this, {_fork: child});
    await super.start();
  }

  override async stop(): Promise<void> {
    await super.stop();
    rmSync(this.folder, {recursive: true, force: true});
  }
}

export const alone: PoolRunnerInitializer = {name: 'alone', createPoolWorker: options => new AloneWorker(options)};
