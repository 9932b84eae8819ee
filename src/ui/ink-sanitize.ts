// Knows which of Ink's texts it has made harmless before, in place of Ink's own sanitizeAnsi: most rows of a frame were in the last one.

import sanitize from '../../node_modules/ink/build/sanitize-ansi.js';

const KEPT = 4096;
const known = new Map<string, string>();

export default function sanitizeAnsi(text: string): string {
  let made = known.get(text);
  if (made === undefined) {
    made = sanitize(text);
    if (known.size >= KEPT) known.clear();
    known.set(text, made);
  }
  return made;
}
