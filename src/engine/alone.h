/* SPDX-License-Identifier: MIT */
/*
 * A batch of which something is known (quarantine.h), through a stage that takes whole batches: without the records that are poison;
 * when it is suspected, in batches of one record each.
 *
 * A transform's results of those go together: they are what the whole batch gives. A sink's may not be committed, for a sink
 * that knows batches by their name must be given each of them once, and whole. So they are given to it under names of their own, and
 * then the process ends in any case, which takes them back as every death does: in the one that finds the record, or else with
 * an error. The successor is given the whole batch, without the record.
 */
#ifndef ENGINE_ALONE_H
#define ENGINE_ALONE_H

#include "engine/worker.h"

/* As transform_batch and write: how many of its records were consumed, or a negative errno. */
int64_t alone_transform(struct worker *worker, struct job *job);
int64_t alone_write(struct worker *worker, struct job *job);

#endif
