// Knows how meanings look: the terminal's own sixteen colours on its own background, or attributes alone under NO_COLOR.

import type {Line, Tone} from '../model/line.ts';

export type Theme = {
  /** A line as text with SGR; `chosen` draws it as the selected row, in the pane that has the keys or in another. */
  readonly paint: (line: Line, chosen?: 'focused' | 'elsewhere') => string;
  readonly border: (text: string, focused: boolean) => string;
  readonly title: (text: string, look: 'focused' | 'active' | 'other') => string;
};

type Look = {readonly on: string; readonly off: string};

const look = (on: string, off: string): Look => ({on: `\x1b[${on}m`, off: `\x1b[${off}m`});
const NOTHING: Look = {on: '', off: ''};

// Never black, white or their bright forms: one of them is the background of somebody.
const NAMESPACE_COLOURS = [36, 35, 32, 33, 34];

function lookOf(tone: Tone, colours: boolean): Look {
  switch (tone) {
    case 'plain':
      return NOTHING;
    case 'dim':
      return look('2', '22');
    case 'strong':
    case 'key':
      return look('1', '22');
    case 'accent':
      return colours ? look('36', '39') : NOTHING;
    case 'good':
      return colours ? look('32', '39') : NOTHING;
    case 'warn':
      return colours ? look('33', '39') : look('1', '22');
    case 'bad':
      return colours ? look('31', '39') : look('1', '22');
    case 'match':
      return look('1;4', '22;24');
    case 'chosen':
      return look('7', '27');
    default: {
      // nsview's own namespaces are the ground on which the others stand out.
      const index = Number(tone.slice(2));
      if (index === 0) return look('2', '22');
      return colours ? look(String(NAMESPACE_COLOURS[(index - 1) % NAMESPACE_COLOURS.length]), '39') : NOTHING;
    }
  }
}

export function createTheme(colours: boolean): Theme {
  const looks = new Map<Tone, Look>();
  const get = (tone: Tone): Look => {
    const known = looks.get(tone);
    if (known !== undefined) return known;
    const made = lookOf(tone, colours);
    looks.set(tone, made);
    return made;
  };
  const wrap = (text: string, {on, off}: Look): string => (on === '' ? text : `${on}${text}${off}`);
  const reversed = look('7', '27');
  const accent = colours ? look('36', '39') : look('1', '22');
  return {
    // The first piece of a chosen row is its mark.
    paint: (line, chosen) => {
      // Reversed colours differ from terminal to terminal; one plain bar does not.
      if (chosen === 'focused') return wrap(line.map(piece => piece.text).join(''), reversed);
      const [mark, ...rest] = line;
      const paint = (pieces: Line, base: Look) =>
        pieces.map(piece => wrap(piece.text, piece.tone === 'plain' ? base : get(piece.tone))).join('');
      return chosen === 'elsewhere' ? wrap(mark?.text ?? '', accent) + paint(rest, get('strong')) : paint(line, NOTHING);
    },
    border: (text, focused) => wrap(text, focused ? accent : look('2', '22')),
    title: (text, how) =>
      how === 'focused' ? wrap(text, look('1;7', '22;27')) : how === 'active' ? wrap(text, look('1;4', '22;24')) : text,
  };
}
