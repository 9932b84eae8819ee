// Knows the modes that nsview sets in a person's terminal, and how each of them is undone.

const set = (modes: readonly number[]): string => modes.map(mode => `\x1b[?${mode}h`).join('');
const reset = (modes: readonly number[]): string => modes.map(mode => `\x1b[?${mode}l`).join('');

/** Buttons, motion with a button held, SGR coordinates, bracketed paste (xterm, ctlseqs). */
const INPUT_MODES = [1000, 1002, 1006, 2004];

/** Written before Ink enters the alternate screen: it draws from where the cursor is, and that may be behind what was typed ahead. */
export const enterScreen = '\x1b[?1049h\x1b[H';

/** Written once the alternate screen is on. */
export const enterModes = set(INPUT_MODES);

/**
 * Undoes all that nsview ever sets, whatever was set: an open synchronized update, input modes, wrapping, scroll region, attributes, the
 * hidden cursor, the alternate screen. Leaving the alternate screen comes last, so that nothing of it shows on the main one. May be
 * written by anyone at any time.
 */
export const restoreTerminal = `\x1b[?2026l${reset([1003, ...INPUT_MODES, 1004])}\x1b[?7h\x1b[r\x1b[0m\x1b[?1049l\x1b[?25h`;
