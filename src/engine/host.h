/* SPDX-License-Identifier: MIT */
/*
 * An instance: one process of a stage. The *pump* thread owns every ZeroMQ socket, the ledger and the words to the
 * supervisor; *workers* run stage code. They meet in the crew (crew.h) and nowhere else.
 *
 *      words ---+                    +--> worker 0 --+
 *   inlets -----+--> pump --- jobs --+--> worker 1 --+--- done jobs --> pump --> outlets
 *                                    +--> ...       -+
 *
 * struct host is constant once the workers run, but for what is marked.
 */
#ifndef ENGINE_HOST_H
#define ENGINE_HOST_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/err.h"
#include "config/graph.h"
#include "stats/page.h"
#include <sluice/stage.h>

struct host {
	const struct graph *graph;
	const struct graph_stage *stage;
	const struct sl_stage *impl;
	uint32_t stage_index;
	uint32_t instance;
	uint32_t epoch;
	uint64_t run;
	void *shared; /* the stage's shared struct */
	struct page *page;
	int stop_fd;          /* eventfd, readable for ever once a stop was asked for */
	atomic_bool stopping; /* a source reads no more */
};

/* What a callback is given: which host, which worker, and room for its error. One thread. */
struct sl_context {
	struct host *host;
	struct page_worker *slot; /* NULL: not a worker */
	uint64_t dead;            /* records rejected since it was last taken back to 0 */
	bool must_stop;           /* a record was rejected under on_error = "stop" */
	struct err err;           /* what sl_error said last */
};

void context_init(struct sl_context *ctx, struct host *host, struct page_worker *slot);

/* The life of a stage process, from START to its exit status. `words` is the socket to the supervisor. */
int host_main(int words);

#endif
