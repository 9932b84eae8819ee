// Knows the doctor's findings as text.

import {printable} from '../model/printable.ts';

type Finding = {readonly what: string; readonly verdict: 'ok' | 'limited' | 'missing'; readonly means: string; readonly remedy?: string};

export function doctorText(findings: readonly Finding[]): string {
  const width = Math.max(...findings.map(finding => finding.what.length));
  return findings
    .map(({what, verdict, means, remedy}) => {
      const head = `${verdict.padEnd(7)}  ${what.padEnd(width)}  ${printable(means)}\n`;
      return remedy === undefined ? head : `${head}${' '.repeat(width + 11)}→ ${printable(remedy)}\n`;
    })
    .join('');
}
