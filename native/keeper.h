/* SPDX-License-Identifier: MIT */
/* Knows how a launched program that is left running keeps its terminal: when the last fd of a pty's master closes, the kernel hangs up
 * the session (drivers/tty/pty.c, pty_close). A process of its own, nsview-keeper, holds it, and reads and forgets what is written to it,
 * so that nobody ever waits for room. */
#pragma once

/* Start it, if anybody has the terminal. */
void keeper_start(int master);
