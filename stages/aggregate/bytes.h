/* SPDX-License-Identifier: MIT */
/* Bytes that are no MessagePack, for a store, behind what is in the writer. */
#ifndef AGGREGATE_BYTES_H
#define AGGREGATE_BYTES_H

#include <string.h>

#include <sluice/record.h>

/* Without memory the writer's error says so. */
static inline void bytes_put(struct sl_writer *w, const void *data, size_t size)
{
	char *to = sl_writer_reserve(w, size);

	if (!to)
		return;
	memcpy(to, data, size);
	w->size += size;
}

#endif
