/* SPDX-License-Identifier: MIT */
/*
 * From what a stage wrote to what an outlet takes: the batch of one port, named after its input, and its lanes for
 * every downstream stage that is partitioned by key. Runs on workers; reads the graph only.
 */
#ifndef ENGINE_OUTPUT_H
#define ENGINE_OUTPUT_H

#include "engine/crew.h"
#include "link/outlet.h"

/*
 * Makes `ret` from the complete records of `w` (which is left empty). `head` is the input's, or the cut's. 0 or -ENOMEM.
 */
int output_make(const struct host *host, uint32_t port, const struct batch_head *head,
	struct sl_writer *w, struct outlet_output *ret);

/* The outputs of all ports of a job, from the writers of a stage. 0 or -ENOMEM. */
int output_make_all(const struct host *host, struct job *job, const struct batch_head *head,
	struct sl_writer *const *writers);

#endif
