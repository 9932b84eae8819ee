// Knows how to make a long look over the machine in slices that nobody feels.

/** Milliseconds of one slice, between two, between two where another thread works, between the end of one look at all and the next, and after which nobody wants it any more. */
const SLICE = 4;
const SLICE_PAUSE = 30;
const ASIDE_PAUSE = 10;
const LOOK_PAUSE = 1500;
const WANTED = 5000;
/** The first may take so long in one go: on most machines that is all of it. */
const FIRST = 12;

export type Look = {
  /** Goes on for so many milliseconds, at most to the end of a look at all; past it a new one begins. */
  advance(milliseconds: number): void;
  /** Whether it is at the end of a look. */
  isWhole(): boolean;
  /** Goes on a little where another thread does the work; instead of slices, where it is there. */
  aside?(): Promise<void>;
};

/** To be called as often as somebody wants the look: it goes on by itself then, and stops when nobody does any more. */
export function paced(look: Look): () => void {
  let wanted = 0;
  let first = true;
  let going = false;
  const goOn = () => {
    going = performance.now() - wanted < WANTED;
    if (!going) return;
    if (look.aside === undefined) {
      look.advance(SLICE);
      pause();
    } else void look.aside().finally(pause);
  };
  // It must not keep nsview from ending.
  const pause = () => setTimeout(goOn, look.isWhole() ? LOOK_PAUSE : look.aside === undefined ? SLICE_PAUSE : ASIDE_PAUSE).unref();
  return () => {
    wanted = performance.now();
    if (first) look.advance(FIRST);
    first = false;
    if (going) return;
    going = true;
    pause();
  };
}
