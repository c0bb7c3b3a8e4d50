/* SPDX-License-Identifier: MIT */
/* A body as gzip: the same bytes for the same text. */
#ifndef STAGES_HTTP_PACKED_H
#define STAGES_HTTP_PACKED_H

#include "text.h"

/* Appends to `out`. 0 or -ENOMEM. */
int packed_put(struct sl_writer *out, const char *text, size_t size);

#endif
