// Knows a comparison of two trees as text: one line a difference, or one that says that there is none.

import type {Compared, Comparison, Difference} from '../model/comparison.ts';
import {counted} from '../model/line.ts';
import {printable} from '../model/printable.ts';

const name = (who: Compared | null): string =>
  who === null ? '–' : `${printable(who.comm)} ${who.tid === undefined ? who.pid : `${who.tid} of ${who.pid}`}`;

const line = ({a, b, what, inA, inB}: Difference): string =>
  `${name(a)} | ${name(b)}: ${printable(what)}: ${printable(inA)} in A, ${printable(inB)} in B`;

export function diffText({equal, differences, compared, notCompared}: Comparison): string {
  const {processes, threads, namespaces, mounts, facts} = compared;
  const amount = [
    counted(processes, 'process', 'processes'),
    ...(threads > 0 ? [counted(threads, 'thread')] : []),
    counted(namespaces, 'namespace'),
    counted(mounts, 'mount'),
    counted(facts, 'fact'),
  ].join(', ');
  const lines = differences.map(line);
  lines.push(
    equal ? `equal up to renaming of ids: ${amount} compared` : `${counted(differences.length, 'difference')}; ${amount} compared`,
  );
  if (notCompared.length > 0) lines.push(`not compared: ${notCompared.map(printable).join('; ')}`);
  return `${lines.join('\n')}\n`;
}
