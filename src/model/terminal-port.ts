// Knows the shape of a program's terminal as nsview holds it: the master side of a pty, without saying how it is read.

export type TerminalPort = {
  /** The program's name, for the pane's title. */
  readonly title: string;
  /** Bytes that the program wrote. One listener. */
  readonly onData: (listener: (bytes: Uint8Array) => void) => void;
  /** The last process closed the terminal: all that was written has been delivered before. */
  readonly onEnd: (listener: () => void) => void;
  /** Flow control: after pause() at most what was already read is delivered. */
  readonly pause: () => void;
  readonly resume: () => void;
  /** Bytes for the program, unaltered. Never blocks; queued while the program does not read. */
  readonly write: (bytes: Uint8Array) => void;
  /** TIOCSWINSZ: the kernel sends SIGWINCH to the foreground process group. */
  readonly resize: (columns: number, rows: number) => void;
};
