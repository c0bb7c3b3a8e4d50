/* SPDX-License-Identifier: MIT */
/* See quarantine.h. */
#include "engine/quarantine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"

#define STATE_MASK ((1u << PAGE_SUSPECT_BITS) - 1)

/* --- the cells ---------------------------------------------------------------------------------- */

static bool is_of(
	const struct page_suspect *suspect, const struct host *host, const struct batch_id *id)
{
	return page_get(suspect->stage) == host->stage_index &&
	       page_get(suspect->start) == id->start && page_get(suspect->origin) == id->origin &&
	       page_get(suspect->path) == id->path && page_get(suspect->run) == id->run;
}

/* The next cell from *at that knows something of the batch; NULL: no more. */
static struct page_suspect *next(const struct host *host, const struct batch_id *id, uint32_t *at,
	enum page_suspect_state *ret_state)
{
	struct page_shared *shared = host->shared_page;

	for (; *at < page_get(shared->suspects_used); (*at)++) {
		struct page_suspect *suspect = &shared->suspects[*at];
		uint64_t state = atomic_load_explicit(&suspect->state, memory_order_acquire);

		*ret_state = state & STATE_MASK;
		if ((*ret_state != PAGE_SUSPECT_SUSPECTED && *ret_state != PAGE_SUSPECT_POISON) ||
			!is_of(suspect, host, id))
			continue;
		(*at)++;
		return suspect;
	}
	return NULL;
}

bool quarantine_is_suspected(const struct host *host, const struct batch_id *id)
{
	enum page_suspect_state state;
	uint32_t at = 0;

	while (next(host, id, &at, &state))
		if (state == PAGE_SUSPECT_SUSPECTED)
			return true;
	return false;
}

static void add(struct quarantine *quarantine, const struct page_suspect *suspect,
	enum page_suspect_state state)
{
	struct quarantine_record *record = &quarantine->records[quarantine->count++];

	record->index = page_get(suspect->index);
	record->cause = page_get(suspect->cause);
	record->is_poison = state == PAGE_SUSPECT_POISON;
	quarantine->is_suspected = quarantine->is_suspected || !record->is_poison;
}

int quarantine_look(const struct host *host, const struct batch_id *id, struct quarantine **ret)
{
	struct quarantine *quarantine = NULL;
	const struct page_suspect *suspect;
	enum page_suspect_state state;
	uint32_t at = 0;

	while ((suspect = next(host, id, &at, &state))) {
		uint32_t count = quarantine ? quarantine->count : 0;
		struct quarantine *more = realloc(
			quarantine, sizeof(*more) + (count + 1) * sizeof(struct quarantine_record));

		if (!more) {
			free(quarantine);
			return -ENOMEM;
		}
		if (!quarantine)
			memset(more, 0, sizeof(*more));
		quarantine = more;
		add(quarantine, suspect, state);
	}
	*ret = quarantine;
	return 0;
}

void quarantine_clear(
	const struct host *host, const struct batch_id *id, uint32_t index, bool is_charged)
{
	uint64_t to = is_charged ? PAGE_SUSPECT_EXCUSED : PAGE_SUSPECT_CLEARED;
	struct page_suspect *suspect;
	enum page_suspect_state state;
	uint32_t at = 0;

	while ((suspect = next(host, id, &at, &state))) {
		uint64_t whole = page_get(suspect->state);

		if (index != PAGE_ANY_RECORD && page_get(suspect->index) != index)
			continue;
		if ((whole & STATE_MASK) == PAGE_SUSPECT_SUSPECTED)
			(void)atomic_compare_exchange_strong(
				&suspect->state, &whole, (whole & ~(uint64_t)STATE_MASK) | to);
	}
}

/* --- records ------------------------------------------------------------------------------------ */

const struct quarantine_record *quarantine_poison(
	const struct quarantine *quarantine, uint32_t index)
{
	for (uint32_t i = 0; quarantine && i < quarantine->count; i++)
		if (quarantine->records[i].is_poison && quarantine->records[i].index == index)
			return &quarantine->records[i];
	return NULL;
}

uint32_t quarantine_suspect(const struct quarantine *quarantine, uint32_t n)
{
	for (uint32_t i = 0; quarantine && i < quarantine->count; i++)
		if (!quarantine->records[i].is_poison && n-- == 0)
			return quarantine->records[i].index;
	return PAGE_ANY_RECORD;
}

bool quarantine_suspects(const struct quarantine *quarantine, uint32_t index)
{
	for (uint32_t i = 0; quarantine && i < quarantine->count; i++)
		if (!quarantine->records[i].is_poison && quarantine->records[i].index == index)
			return true;
	return false;
}

void quarantine_reject(
	struct callback *callback, const struct quarantine_record *poison, struct sl_value record)
{
	char reason[128], max[32];

	if (poison->cause == PAGE_CAUSE_HUNG)
		(void)snprintf(
			reason, sizeof(reason), "hung its process for longer than stall_timeout");
	else if (poison->cause == PAGE_CAUSE_NO_MEMORY)
		(void)snprintf(reason, sizeof(reason),
			"killed its process: out of memory (memory_max = %s)",
			units_print_size(callback->host->stage->memory_max, max, sizeof(max)));
	else
		(void)snprintf(reason, sizeof(reason), "killed its process: signal %u (%s)",
			poison->cause, strsignal((int)poison->cause));
	callback->attempts = 2;
	callback_reject(callback, NULL, record, reason);
}

/* --- the slot ----------------------------------------------------------------------------------- */

void quarantine_note(const struct callback *callback)
{
	struct page_work *work;

	if (!callback->slot)
		return;
	work = &callback->slot->work;
	if (callback->kind != PAGE_WORK_NONE && callback->batch) {
		const struct batch_id *id = &callback->batch->head.id;

		page_set(work->run, id->run);
		page_set(work->origin, id->origin);
		page_set(work->start, id->start);
		page_set(work->path, id->path);
	}
	quarantine_note_record(callback);
}

void quarantine_note_end(const struct callback *callback, int64_t r)
{
	struct page_work *culprit = &callback->host->page->culprit;
	const struct batch_id *id;

	if (r != -ENOMEM || callback->host->stage->memory_max == 0 || !callback->batch ||
		callback->kind == PAGE_WORK_NONE || page_get(culprit->kind) != PAGE_WORK_NONE)
		return;
	id = &callback->batch->head.id;
	page_set(culprit->index, callback->index);
	page_set(culprit->run, id->run);
	page_set(culprit->origin, id->origin);
	page_set(culprit->start, id->start);
	page_set(culprit->path, id->path);
	page_set(culprit->kind, callback->kind);
}

void quarantine_note_none(struct callback *callback)
{
	callback->kind = PAGE_WORK_NONE;
	page_set(callback->slot->work.kind, PAGE_WORK_NONE);
}
