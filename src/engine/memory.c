/* SPDX-License-Identifier: MIT */
/* See memory.h. */
#include "engine/memory.h"

#include <stdlib.h>
#include <string.h>

/* --- what the stage says -------------------------------------------------------------------------- */

static void copy_mark(struct memory *memory, const void *data, size_t size)
{
	void *copy = realloc(memory->mark, size + 1);

	if (copy) {
		memory->mark = memcpy(copy, data, size);
		memory->mark_size = size;
		memory->has_mark = true;
	} else {
		task_misuse(loop_of_thread(), "sl_remember: no memory for %zu bytes", size);
	}
}

void sl_remember(struct sl_context *ctx, const void *data, size_t size)
{
	const struct callback *callback = ctx->user;

	if (callback->memory)
		copy_mark(callback->memory, data, size);
	else
		task_misuse(loop_of_thread(),
			"sl_remember wants the flag SL_REMEMBERED, and is for start and commit");
}

bool sl_recall(struct sl_context *ctx, const void **ret_data, size_t *ret_size)
{
	const struct callback *callback = ctx->user;
	const struct memory *memory = callback->memory;

	if (!memory || !memory->recalled)
		return false;
	*ret_data = memory->recalled;
	*ret_size = memory->recalled_size;
	return true;
}

/* --- what the engine does with it ----------------------------------------------------------------- */

int memory_open(struct memory *memory, struct callback *callback)
{
	const struct host *host = callback->host;
	struct err *err = &callback->err;
	int r = committed_open(host->state, host->stage->name, &memory->store, err);

	callback->memory = memory;
	if (r == 0)
		r = committed_recall(memory->store, host->run, host->instance, &memory->recalled,
			&memory->recalled_size, err);
	return r < 0 ? r : 0;
}

int memory_keep(struct callback *callback, const struct job *uncommitted)
{
	const struct host *host = callback->host;
	struct memory *memory = callback->memory;
	struct err *err = &callback->err;
	int r = committed_begin(memory->store, err);

	for (const struct job *job = uncommitted; job && r == 0; job = job->next_in_list)
		r = committed_add(memory->store, &job->delivery->batch->head, job->dead,
			!job->is_known && job->delivery->batch->head.count > 0, err);
	if (r == 0)
		r = committed_end(memory->store, host->run, host->instance, memory->mark,
			memory->mark_size, err);
	memory->has_mark = memory->has_mark && r < 0;
	memory->has_repeats = memory->has_repeats && r < 0;
	return r;
}

int memory_started(struct callback *callback)
{
	struct memory *memory = callback->memory;
	bool is_first = !memory->recalled;
	int r;

	free(memory->recalled);
	memory->recalled = NULL;
	if (!memory->has_mark)
		return 0;
	r = memory_keep(callback, NULL);
	return r == 0 && is_first ? committed_sync(memory->store, &callback->err) : r;
}

static bool is_same(const struct batch_id *a, const struct batch_id *b)
{
	return a->run == b->run && a->origin == b->origin && a->path == b->path &&
	       a->start == b->start;
}

/* The same batch among them. The copy that is marked as given again may be the first to come. */
static const struct job *find_written(
	struct memory *memory, const struct job *job, const struct batch_head *head)
{
	memory->has_repeats = memory->has_repeats || head->again;
	job = memory->has_repeats ? job : NULL;
	while (job && !is_same(&job->delivery->batch->head.id, &head->id))
		job = job->next_in_list;
	return job;
}

int memory_recognise(struct callback *callback, const struct job *uncommitted, struct job *job)
{
	const struct batch_head *head = &job->delivery->batch->head;
	const struct job *written = find_written(callback->memory, uncommitted, head);
	uint64_t dead = written ? written->dead : 0;
	int r = written ? 0
			: committed_has(callback->memory->store, &head->id, &dead, &callback->err);

	if (r < 0 || (r == 0 && !written))
		return r;
	job->is_known = true;
	job->dead = dead;
	job->consumed = head->count - dead;
	return written ? MEMORY_WRITTEN : MEMORY_COMMITTED;
}

void memory_fini(struct memory *memory)
{
	committed_close(memory->store);
	free(memory->mark);
	free(memory->recalled);
}
