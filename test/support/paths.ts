// Knows where things are.

import {dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';

export const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
export const FIXTURES = join(ROOT, 'build', 'fixtures');
export const NSVIEW = join(ROOT, 'bin', 'nsview');

export const fixture = (name: string): string => join(FIXTURES, name);
