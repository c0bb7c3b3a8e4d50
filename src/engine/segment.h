/* SPDX-License-Identifier: MIT */
/*
 * The records of one batch, spread over workers and tasks. A *segment* is a run of records that one worker, or one task,
 * has put through the stage, with what came out. Whoever finishes the last record of a batch puts its segments together, in
 * the order of the records; where one worker has done them all, its writers become the batches as they are.
 *
 * A segment belongs to one task until segment_end; the rest of a job's fields named here are under the crew's lock.
 */
#ifndef ENGINE_SEGMENT_H
#define ENGINE_SEGMENT_H

#include "engine/crew.h"

/* What leaves by one port, and where it stood before the record in work. */
struct lane {
	struct sl_writer writer;
	size_t before_size;
	uint32_t before_count;
};

struct segment {
	struct segment *next;
	struct job *job;
	uint32_t first, count;
	uint64_t consumed, dead;
	struct sl_writer **out; /* to the lanes' writers, as a stage wants them */
	struct lane lanes[];
};

/* An empty segment that begins at record `first`. NULL: no memory. */
struct segment *segment_new(const struct host *host, struct job *job, uint32_t first);
void segment_free(const struct host *host, struct segment *segment);
/*
 * Puts the next record through the stage, in that context: 0, also when it was rejected (ctx's callback counts it), or a negative
 * errno after which the process must end.
 */
int segment_run(struct host *host, struct segment *segment, struct sl_context *ctx, void *worker);
/*
 * Gives the segment to its job: 1 when that was the last one and the job's outputs are made; 0; -ENOMEM. Taken in
 * every case. `work_ns`: what it took.
 */
int segment_end(struct crew *crew, struct segment *segment, int64_t work_ns);

#endif
