/* SPDX-License-Identifier: MIT */
/*
 * The records of a batch as text, a piece for each, put in order: those that go to one address with the same headers together, in the order of
 * the batch; and cut into parts. All of it depends on the batch and the options alone.
 */
#ifndef STAGES_HTTP_PIECES_H
#define STAGES_HTTP_PIECES_H

#include "key.h"
#include "sink.h"

struct piece {
	uint32_t record; /* its place in the batch */
	uint32_t group;
	size_t at, size; /* of its text */
};

/* One request, unless it is refused: so many of `order`. */
struct part {
	uint32_t from, to;
};

/* Of one worker, used again for each batch. */
struct pieces {
	struct sl_writer text;
	struct sl_writer target; /* address and headers of the record at hand */
	struct sl_writer head;   /* csv: the line with the names */
	struct piece *items;
	uint32_t count;
	uint32_t *order; /* numbers of pieces */
	struct part *parts;
	uint32_t part_count;
	uint32_t *begins; /* of the groups: in `order` */
	struct hash *groups;
	uint32_t group_count;
	uint32_t capacity; /* of the arrays */
	int memory;        /* csv: what the encoder writes to */
	uint64_t rejected;
};

/* 0 or a negative errno after sl_error. To be given to pieces_fini in any case. */
int pieces_init(struct sl_context *ctx, struct pieces *p);
void pieces_fini(struct pieces *p);
/* What has no form in the body, or no address, is rejected, and counted. 0 or a negative errno. */
int pieces_make(struct sl_context *ctx, struct pieces *p, const struct sink *sink,
	const struct sl_batch *in);

#endif
