// Knows when two texts are the same but for ids: pids of partners, numbers of terminals, and names that a person maps.

/** Text of A in which FROM stands, as a whole part of a path or of a name, becomes TO. */
export type Mapping = {readonly from: string; readonly to: string};

export type Renaming = {
  /** Whether a text of A and one of B say the same. */
  readonly same: (a: string, b: string) => boolean;
  /** Tells that these two numbers are the same process, or the same terminal, on the two sides. */
  readonly learn: (a: number, b: number) => void;
};

const DIGITS = /(\d+)/;
/** What surely has an id in it: terminals are numbered as they are opened (devpts). */
const TERMINAL = /^\/dev\/pts\/\d+$/;

function mapped(text: string, maps: readonly Mapping[]): string {
  let result = text;
  for (const {from, to} of maps) result = result.replaceAll(from, to);
  return result;
}

/** Texts are compared run by run: a run of digits may be a pid of A where the same place of B has the pid of its partner. */
export function createRenaming(maps: readonly Mapping[]): Renaming {
  const partners = new Map<string, Set<string>>();
  return {
    learn: (a, b) => {
      const known = partners.get(String(a));
      if (known === undefined) partners.set(String(a), new Set([String(b)]));
      else known.add(String(b));
    },
    same: (first, b) => {
      const a = mapped(first, maps);
      if (a === b || (TERMINAL.test(a) && TERMINAL.test(b))) return true;
      const [one, other] = [a.split(DIGITS), b.split(DIGITS)];
      return (
        one.length === other.length &&
        one.every((run, index) => run === other[index] || partners.get(run)?.has(other[index] ?? '') === true)
      );
    },
  };
}

/** The same for all texts that may be the same: what processes are matched by before it is known who is whose partner. */
export const withoutNumbers = (text: string, maps: readonly Mapping[]): string => mapped(text, maps).replaceAll(/\d+/g, '#');
