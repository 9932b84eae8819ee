/* SPDX-License-Identifier: MIT */
/* Knows how to read all small files below a folder, by calls of the kernel alone: it may run in a child that shares the memory of others. */
#pragma once

#include <stdint.h>

/* Writes, for each regular file that can be read, its way from the folder and its text, each ended by a NUL; of a text the first 4095 bytes. What
 * cannot be read is left out. Returns the bytes, or -E2BIG where they are more than `size`; `folder` is borrowed. */
int read_folder(int folder, uint8_t *buffer, uint32_t size);
