// Knows claims about the kernel as text: the sentence, whether it holds here, and where to read on.

import type {ClaimCounts, ToldClaim} from '../model/claim.ts';
import {cells, printable} from '../model/printable.ts';

const WORDS = {held: 'holds  ', broken: 'BROKEN ', skipped: 'skipped'} as const;
const INDENT = ' '.repeat(10);

/** Broken between words into lines of so many cells. */
function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && cells(last) + 1 + cells(word) <= width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}

/** One claim; under a heading where it is the first of its flag, and under the link of its page where it is the first of that. */
export function claimText(claim: ToldClaim, before: ToldClaim | undefined, columns: number): string {
  const width = Math.max(columns - INDENT.length, 20);
  const heading = before?.flag === claim.flag ? '' : `${before === undefined ? '' : '\n'}${printable(claim.flag)}\n`;
  const sentence = wrap(printable(claim.sentence), width).join(`\n${INDENT}`);
  const reason = claim.reason === undefined ? '' : `${INDENT}${wrap(printable(`→ ${claim.reason}`), width).join(`\n${INDENT}`)}\n`;
  const isSame = heading === '' && before?.link === claim.link;
  const page = isSame ? '' : `  ${printable(claim.link)}\n`;
  return `${heading}${page}  ${WORDS[claim.verdict]} ${sentence}\n${reason}`;
}

export function claimsSummary({held, broken, skipped}: ClaimCounts): string {
  const lines = [`\n${held} held, ${broken} broken, ${[...skipped.values()].reduce((sum, count) => sum + count, 0)} skipped`];
  for (const [reason, count] of skipped) lines.push(`  ${count} skipped: ${printable(reason)}`);
  return `${lines.join('\n')}\n`;
}
