/* SPDX-License-Identifier: MIT */
/*
 * The parts of a batch on their way to the server: each a request, tried until there is an answer that will not change. What is refused together is
 * found by halving, what the answer refuses of it by itself is taken at its word. One batch of one worker at a time; of that up to `requests`
 * requests at once, as tasks of its thread.
 */
#ifndef STAGES_HTTP_SEND_H
#define STAGES_HTTP_SEND_H

#include "pieces.h"

struct send {
	const struct sink *sink;
	struct pieces *pieces;
	const struct sl_batch *batch;
	struct sl_identity id;
	const char *name; /* of the stage among all */
	char **refused;   /* why, for each record of the batch; NULL: it is there */
	bool *is_away;    /* the server, since it was said */
	uint32_t next;    /* part */
};

/* 0, and all that is not in `refused` is with the server; or a negative errno. */
int send_parts(struct sl_context *ctx, struct send *s);

#endif
