// Knows what keeps a mount or a namespace as text: each holder with the command that makes it let go.

import {lineText, plain} from '../model/line.ts';
import {mountHolderLines} from '../model/mount-holder-lines.ts';
import type {MountHolders} from '../model/mount-holders.ts';
import type {NamespaceHolders} from '../model/ownership.ts';
import {holderText} from '../model/ownership-lines.ts';

/** Lines are cut to `columns` cells; 0 leaves them whole. */
export function mountPinsText(seen: MountHolders, columns: number): string {
  const lines = mountHolderLines(seen, columns > 0 ? columns : 100_000, inode => plain(`mnt:[${inode}]`));
  return `${lines.map(lineText).join('\n')}\n`;
}

export function namespacePinsText({type, inode, holders, more, processes}: NamespaceHolders): string {
  const lines = [`${type}:[${inode}]`];
  for (const holder of holders) {
    const {who, release} = holderText(holder);
    lines.push(`  ${who}`, ...(release === '' ? [] : [`    ${release}`]));
  }
  if (holders.length === 0) lines.push(`  nothing that nsview may see among ${processes} processes and their mounts holds it`);
  if (more > 0) lines.push(`  and ${more} more`);
  return `${lines.join('\n')}\n`;
}
