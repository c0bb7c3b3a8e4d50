/* SPDX-License-Identifier: MIT */
/*
 * Quarantine, as an instance sees it: which batches are suspected of having ended a process of this stage, and which records
 * are known to do it (supervisor/suspects.h writes that down). A suspected batch is worked on *alone*: no other is in work in this
 * process. Where the record is known that the process died at it goes first, and the others of the batch wait for it; where it is not,
 * since the stage takes whole batches, each goes by itself (alone.h). What the worker's slot then names as ALONE is what it was.
 * A record that is known is a dead letter without being given to the stage.
 *
 * quarantine_look, _is_suspected, _clear: any thread. The others: the worker whose callback or job it is.
 */
#ifndef ENGINE_QUARANTINE_H
#define ENGINE_QUARANTINE_H

#include "engine/host.h"

struct quarantine_record {
	uint32_t index;
	uint32_t cause; /* PAGE_CAUSE_HUNG, _NO_MEMORY, or the signal */
	bool is_poison; /* else suspected */
};

/* What is known of one batch; constant. */
struct quarantine {
	bool is_suspected;
	uint32_t count;
	struct quarantine_record records[];
};

/* Anything known of the batch: *ret, to be freed, else NULL. 0 or -ENOMEM. */
int quarantine_look(const struct host *host, const struct batch_id *id, struct quarantine **ret);
bool quarantine_is_suspected(const struct host *host, const struct batch_id *id);
/*
 * The suspected record went through; PAGE_ANY_RECORD: the batch did. `is_charged`: the death that it was suspected of is accounted
 * for by other means.
 */
void quarantine_clear(
	const struct host *host, const struct batch_id *id, uint32_t index, bool is_charged);

/* Of all that follow `quarantine` may be NULL. The record, when it is poison; NULL. */
const struct quarantine_record *quarantine_poison(
	const struct quarantine *quarantine, uint32_t index);
/* The n-th of its records that is suspected, PAGE_ANY_RECORD when there are not so many; and whether a record is. */
uint32_t quarantine_suspect(const struct quarantine *quarantine, uint32_t n);
bool quarantine_suspects(const struct quarantine *quarantine, uint32_t index);
/* Makes it a dead letter, or what `on_error` says. */
void quarantine_reject(
	struct callback *callback, const struct quarantine_record *poison, struct sl_value record);

/* What the callback is given now: into its worker's slot. */
void quarantine_note(const struct callback *callback);
/* The same when only the record is another. */
static inline void quarantine_note_record(const struct callback *callback)
{
	page_set(callback->slot->work.index, callback->index);
	page_set(callback->slot->work.kind, callback->kind);
}
/* The stage has returned `r`. Had it no memory for what it was given, and may its process not have more: that is what the process will end of. */
void quarantine_note_end(const struct callback *callback, int64_t r);
/* It is given nothing now. */
void quarantine_note_none(struct callback *callback);

#endif
