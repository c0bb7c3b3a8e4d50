/* SPDX-License-Identifier: MIT */
/*
 * A batch: records that travel and are settled together, and what names them. The payload is written once, by the
 * worker that made it, and read in place ever after; where it lives (a heap buffer here, message memory after a
 * hop) is hidden. Constant once made, but for the index; so it is shared by reference between threads.
 *
 * References are atomic. batch_check writes the index and must be called by one thread before sl_batch_record.
 */
#ifndef RECORD_BATCH_H
#define RECORD_BATCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <sluice/stage.h>

/* What names a batch, everywhere and for ever: see DESIGN "Identity" in doc/architecture.md. */
struct batch_id {
	uint64_t run;
	uint64_t origin;
	uint64_t start;
	uint64_t end;
	uint64_t path;
};

/* What travels beside the records. */
struct batch_head {
	struct batch_id id;
	uint64_t floor; /* of the origin: nothing below will be sent again */
	uint64_t
		after_origin; /* first batch of its origin: comes behind [.., after_end) of that one; 0: of none */
	uint64_t after_end;
	uint32_t count; /* records */
	uint16_t attempt;
	bool again; /* it, or what it was made from, was given out before */
	bool origin_done;
};

struct sl_batch {
	struct batch_head head;
	const char *data;
	size_t size;
	atomic_uint references;
	uint32_t *index; /* count + 1 offsets, after batch_check */
	void (*release)(void *owner);
	void *owner;
};

/* Takes the content of `w` (which is left empty, without memory): its complete records. NULL: no memory, w untouched. */
struct sl_batch *batch_from_writer(struct sl_writer *w, const struct batch_head *head);
/*
 * A batch over foreign memory; release(owner) is called, on any thread, when the last reference goes. NULL: no memory,
 * nothing taken.
 */
struct sl_batch *batch_over(const struct batch_head *head, const char *data, size_t size,
	void (*release)(void *), void *owner);
struct sl_batch *batch_ref(struct sl_batch *batch);
void batch_unref(struct sl_batch *batch); /* NULL is fine */

/*
 * Checks every record of a payload that came from another process, and makes the index. 0; -EBADMSG: not `count`
 * well-formed values; -ENOMEM.
 */
int batch_check(struct sl_batch *batch);

/* The path of a link: the path before it, folded with one more step such as "vat.out" or a partition's lane. */
uint64_t batch_path(uint64_t path, const char *step);

#endif
