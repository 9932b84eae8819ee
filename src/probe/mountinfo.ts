// Knows mount tables: /proc/PID/mountinfo, line by line.

import type {Mount, Seen} from '../model/fact.ts';
import {isRefusal} from '../model/fact.ts';
import {readBytes} from './proc-file.ts';

/** `\040` and the like: space, tab, newline, backslash and `#` are octal in mountinfo (mangle(), fs/proc_namespace.c). */
export function decodeOctal(text: string): string {
  return text.includes('\\')
    ? text.replaceAll(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)))
    : text;
}

const OPTIONAL: {readonly [tag: string]: 'shared' | 'master' | 'propagateFrom'} = {
  shared: 'shared',
  master: 'master',
  propagate_from: 'propagateFrom',
};

/** A line, or null where it is none: a reader that lags behind a changing kernel skips what it cannot read. */
function decodeLine(line: string): Mount | null {
  const fields = line.split(' ');
  const dash = fields.indexOf('-', 6);
  const [id = '', parent = '', device = '', root = '', point = '', options = ''] = fields;
  if (dash < 0 || !/^[0-9]+$/.test(id) || !/^[0-9]+$/.test(parent)) return null;
  const propagation: {shared?: number; master?: number; propagateFrom?: number; unbindable?: true} = {};
  for (const field of fields.slice(6, dash)) {
    const colon = field.indexOf(':');
    const name = OPTIONAL[colon < 0 ? '' : field.slice(0, colon)];
    const value = Number(field.slice(colon + 1));
    if (name !== undefined && Number.isInteger(value)) propagation[name] = value;
    else if (field === 'unbindable') propagation.unbindable = true;
  }
  const [fsType = '', source = '', superOptions = ''] = fields.slice(dash + 1);
  return {
    id: Number(id),
    parent: Number(parent),
    device,
    root: decodeOctal(root),
    point: decodeOctal(point),
    options: options.split(','),
    propagation,
    fsType: decodeOctal(fsType),
    source: decodeOctal(source),
    superOptions: superOptions.split(',').map(decodeOctal),
  };
}

export function decodeMountinfo(text: string): Mount[] {
  const mounts: Mount[] = [];
  for (const line of text.split('\n')) {
    const mount = line === '' ? null : decodeLine(line);
    if (mount !== null) mounts.push(mount);
  }
  return mounts;
}

/** The raw table, to compare cheaply with an earlier one. */
export function readMountinfo(pid: number | 'self'): Seen<Buffer> {
  return readBytes(`/proc/${pid}/mountinfo`);
}

export function readMounts(pid: number | 'self'): Seen<Mount[]> {
  const bytes = readMountinfo(pid);
  return isRefusal(bytes) ? bytes : decodeMountinfo(bytes.toString());
}
