// Knows how bytes that are UTF-8, as a rule, become a string that loses none of them.

const decoder = new TextDecoder('utf-8', {fatal: true, ignoreBOM: true});

function decode(bytes: Uint8Array): string | null {
  try {
    return decoder.decode(bytes);
  } catch {
    return null;
  }
}

/** By its first byte: how many bytes a character of UTF-8 has. 1 where it is none. */
const characterSize = (first: number): number => (first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 1);

/** A byte that is no UTF-8 becomes the lone surrogate U+DC00 + byte, as in Python (PEP 383): the bytes can be had back from it. */
export function byteText(bytes: Uint8Array): string {
  const whole = decode(bytes);
  if (whole !== null) return whole;
  let text = '';
  for (let at = 0; at < bytes.length; ) {
    const first = bytes[at] ?? 0;
    const size = characterSize(first);
    const character = decode(bytes.subarray(at, at + size));
    text += character ?? String.fromCharCode(0xdc00 + first);
    at += character === null ? 1 : size;
  }
  return text;
}
