/* SPDX-License-Identifier: MIT */
/* SQL put together in a writer, which is a plain buffer here. Its errors are sticky: text_end says whether all of it is there. */
#ifndef STAGES_POSTGRES_TEXT_H
#define STAGES_POSTGRES_TEXT_H

#include <string.h>

#include <sluice/record.h>

static inline void text_bytes(struct sl_writer *w, const char *bytes, size_t size)
{
	char *at = sl_writer_reserve(w, size);

	if (!at)
		return;
	memcpy(at, bytes, size);
	w->size += size;
}

static inline void text_add(struct sl_writer *w, const char *text)
{
	text_bytes(w, text, strlen(text));
}

/* Ends it with a 0; NULL: no memory. The writer's. */
static inline const char *text_end(struct sl_writer *w)
{
	text_bytes(w, "", 1);
	return w->error ? NULL : w->data;
}

#endif
