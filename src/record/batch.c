/* SPDX-License-Identifier: MIT */
/* See batch.h. */
#include "record/batch.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "record/value.h"

struct sl_batch *batch_over(const struct batch_head *head, const char *data, size_t size,
	void (*release)(void *), void *owner)
{
	struct sl_batch *batch = malloc(sizeof(*batch));

	if (!batch)
		return NULL;
	*batch = (struct sl_batch){
		.head = *head,
		.data = data,
		.size = size,
		.release = release,
		.owner = owner,
	};
	atomic_init(&batch->references, 1);
	return batch;
}

struct sl_batch *batch_from_writer(struct sl_writer *w, const struct batch_head *head)
{
	struct sl_batch *batch = batch_over(head, w->data, w->mark, free, w->data);

	if (!batch)
		return NULL;
	batch->head.count = w->count;
	sl_writer_init(w);
	return batch;
}

struct sl_batch *batch_ref(struct sl_batch *batch)
{
	atomic_fetch_add_explicit(&batch->references, 1, memory_order_relaxed);
	return batch;
}

void batch_unref(struct sl_batch *batch)
{
	if (!batch || atomic_fetch_sub_explicit(&batch->references, 1, memory_order_acq_rel) != 1)
		return;
	batch->release(batch->owner);
	free(batch->index);
	free(batch);
}

int batch_check(struct sl_batch *batch)
{
	const char *at = batch->data;
	const char *end = batch->data + batch->size;
	uint32_t count = batch->head.count;

	/* A record is at least one byte: an absurd count must not become an absurd allocation. */
	if (count > batch->size || batch->size > UINT32_MAX)
		return -EBADMSG;
	if (batch->index)
		return 0;
	uint32_t *index = malloc(((size_t)count + 1) * sizeof(*index));

	if (!index)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++) {
		index[i] = (uint32_t)(at - batch->data);
		if (!value_check(&at, end)) {
			free(index);
			return -EBADMSG;
		}
	}
	index[count] = (uint32_t)batch->size;
	if (at != end) {
		free(index);
		return -EBADMSG;
	}
	batch->index = index;
	return 0;
}

uint32_t sl_batch_count(const struct sl_batch *batch)
{
	return batch->head.count;
}

struct sl_value sl_batch_record(const struct sl_batch *batch, uint32_t i)
{
	assert(batch->index && i < batch->head.count);
	return (struct sl_value){
		.data = batch->data + batch->index[i],
		.size = batch->index[i + 1] - batch->index[i],
	};
}

uint64_t batch_path(uint64_t path, const char *step)
{
	return XXH3_64bits_withSeed(step, strlen(step), path);
}
