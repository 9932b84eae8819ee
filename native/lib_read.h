/* SPDX-License-Identifier: MIT */
/* Knows how to read one file, and the namespace links, of a folder in /proc. */
#pragma once

#include <stdint.h>

#include "nsview.h"

/* Bytes read, at most `max`; what is longer is -EFBIG. -(errno | NSV_READ_BY_READ) where it was not open(2) that refused. */
int32_t read_file(int folder, const char *name, void *bytes, uint32_t max);
/* Inodes, or -errno of readlink. */
void read_links(int folder, int64_t ret[NSV_LINK_COUNT]);
