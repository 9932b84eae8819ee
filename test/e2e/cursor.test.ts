import {readFileSync} from 'node:fs';
import {describe, expect, it} from 'vitest';
import {leaveNothingBehind} from '../support/leaks.ts';
import {start} from '../support/nsview.ts';
import {fixture} from '../support/paths.ts';
import {patient} from '../support/patience.ts';
import {MIDDLE, nsviewScreen, type Screen} from '../support/screen.ts';

leaveNothingBehind();

/** The selected row: where it stands on the screen, and whose it is. */
function selected(screen: Screen): {y: number; pid: number} | null {
  const lines = screen.lines();
  const y = lines.findIndex(line => line[1] === '▌');
  const pid = /[▾▸·] \S+ (\d+)/.exec(lines[y] ?? '')?.[1];
  return pid === undefined ? null : {y, pid: Number(pid)};
}
/** How many rows the tree has. */
const count = (text: string): number => Number(/–\d+ of (\d+) ─╯/.exec(text)?.[1] ?? 0);

const childrenOf = (pid: number): number[] => readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').map(Number);

describe('while processes are born above and below', () => {
  it('the same process stays under the cursor, in the same row of the screen', async () => {
    await using target = start(fixture('bears-children'), '60', '200');
    await target.says(/ready/);
    await using screen = nsviewScreen(MIDDLE, '-p', String(target.pid));
    await screen.until(text => count(text) > 62);
    // The second of the two that bear, behind all children of the first.
    const second = childrenOf(target.pid)[1] ?? 0;
    screen.send(`/${second}\r`);
    await screen.until(() => selected(screen)?.pid === second);
    screen.send('jjj');
    // Those that wait come first; above them is perhaps a row of those that have ended.
    await screen.until(() =>
      childrenOf(second)
        .slice(1, 3)
        .includes(selected(screen)?.pid ?? 0),
    );
    await new Promise(resolve => setTimeout(resolve, 300));
    const chosen = selected(screen);
    if (chosen === null) throw new Error(screen.screen());
    const screens = new Set<string>();
    const rows = new Set<string>();
    for (const until = Date.now() + patient(2500); Date.now() < until; await new Promise(resolve => setTimeout(resolve, 15))) {
      rows.add(JSON.stringify(selected(screen)));
      screens.add(screen.screen());
    }
    expect([...rows]).toEqual([JSON.stringify(chosen)]);
    // It did change around it.
    expect(screens.size).toBeGreaterThan(1);
    screen.send('q');
    target.release();
    await target.ended;
  });
});
