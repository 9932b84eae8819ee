/* SPDX-License-Identifier: MIT */
#include "outbox.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sys.h"

#define OUTBOX_MAX ((size_t)256 << 20)

int outbox_flush(struct outbox *outbox)
{
        while (outbox_pending(outbox)) {
                ssize_t n = write(outbox->fd, outbox->bytes + outbox->sent, outbox->used - outbox->sent);
                if (n < 0) {
                        if (errno == EINTR)
                                continue;
                        return errno == EAGAIN ? 0 : -errno;
                }
                outbox->sent += (size_t)n;
        }
        outbox->used = outbox->sent = 0;
        outbox->urgent = false;
        return 0;
}

/* Room for `size` more bytes. What was sent is forgotten first, so that a slow reader does not make the buffer grow for ever. */
static int outbox_reserve(struct outbox *outbox, size_t size)
{
        if (outbox->sent > 0 && outbox->used + size > outbox->room) {
                memmove(outbox->bytes, outbox->bytes + outbox->sent, outbox->used - outbox->sent);
                outbox->used -= outbox->sent;
                outbox->sent = 0;
        }
        while (outbox->used - outbox->sent > OUTBOX_MAX) {
                struct pollfd wait[] = {{.fd = outbox->fd, .events = POLLOUT}, {.fd = outbox->peer_fd, .events = POLLRDHUP}};
                if (poll(wait, 2, -1) < 0 && errno != EINTR)
                        return -errno;
                if (wait[1].revents)
                        return -EPIPE;
                int r = outbox_flush(outbox);
                if (r < 0)
                        return r;
        }
        if (outbox->used + size <= outbox->room)
                return 0;
        size_t room = outbox->room ? outbox->room : 65536;
        while (room < outbox->used + size)
                room *= 2;
        unsigned char *bytes = realloc(outbox->bytes, room);
        if (!bytes)
                return -ENOMEM;
        outbox->bytes = bytes;
        outbox->room = room;
        return 0;
}

int outbox_put(struct outbox *outbox, struct nsv_record *record, const struct text *texts, unsigned count)
{
        size_t size = sizeof(*record);
        record->text_count = (uint16_t)count;
        for (unsigned i = 0; i < count; i++) {
                record->text_size[i] = (uint32_t)texts[i].size;
                size += texts[i].size;
        }
        size_t padded = (size + 7) & ~(size_t)7;
        record->size = (uint32_t)padded;
        if (record->at == 0)
                record->at = monotonic_ns();

        int r = outbox_reserve(outbox, padded);
        if (r < 0)
                return r;
        unsigned char *to = outbox->bytes + outbox->used;
        memcpy(to, record, sizeof(*record));
        to += sizeof(*record);
        for (unsigned i = 0; i < count; i++) {
                if (texts[i].size > 0)
                        memcpy(to, texts[i].bytes, texts[i].size);
                to += texts[i].size;
        }
        memset(to, 0, padded - size);
        outbox->used += padded;
        if (record->kind == NSV_RECORD_REPLY || record->kind == NSV_RECORD_HELLO)
                outbox->urgent = true;
        return 0;
}
