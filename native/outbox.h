/* SPDX-License-Identifier: MIT */
/* Knows the records that are on their way to the pipe. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nsview.h"

struct outbox {
        int fd;      /* non-blocking */
        int peer_fd; /* hangs up when nobody wants the records any more, even if the pipe is still open */
        unsigned char *bytes;
        size_t used, sent, room;
        bool urgent; /* somebody waits for what is in it */
};

struct text {
        const char *bytes;
        size_t size;
};

/* Queue a record with its texts. `size`, `text_count` and `text_size` are filled in; `at`, too, where it is 0.
 * -ENOMEM, or an error of the pipe. When more than 256 MB wait, it blocks: nothing is ever dropped. */
int outbox_put(struct outbox *outbox, struct nsv_record *record, const struct text *texts, unsigned count);
/* Write what the pipe takes. 0, or -errno: -EPIPE when nobody reads any more. */
int outbox_flush(struct outbox *outbox);
static inline bool outbox_pending(const struct outbox *outbox)
{
        return outbox->sent < outbox->used;
}
static inline size_t outbox_size(const struct outbox *outbox)
{
        return outbox->used - outbox->sent;
}
