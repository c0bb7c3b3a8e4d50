/* SPDX-License-Identifier: MIT */
/* The functions of include/sluice/stage.h that stage code calls. Any worker's thread. */
#include "engine/host.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "engine/keeper.h"

void callback_init(struct callback *callback, struct host *host, struct page_worker *slot)
{
	callback->context = (struct sl_context){ .user = callback };
	callback->host = host;
	callback->slot = slot;
	callback->memory = NULL;
	callback->batch = NULL;
	callback->cut = NULL;
	callback->repeat = NULL;
	callback->index = 0;
	callback->kind = PAGE_WORK_NONE;
	callback->part = NULL;
	callback->places = NULL;
	callback->attempts = 1;
	callback->dead = 0;
	callback->owed = NULL;
	callback->owed_tail = &callback->owed;
	callback->must_stop = false;
	callback->retry_at = 0;
	callback->err.text[0] = '\0';
}

static struct callback *callback_of(const struct sl_context *ctx)
{
	return ctx->user;
}

uint32_t sl_process(const struct sl_context *ctx)
{
	return callback_of(ctx)->host->instance;
}

uint32_t sl_process_count(const struct sl_context *ctx)
{
	return callback_of(ctx)->host->stage->processes;
}

const char *sl_stage_name(const struct sl_context *ctx)
{
	return callback_of(ctx)->host->stage->name;
}

const char *sl_full_name(const struct sl_context *ctx)
{
	return callback_of(ctx)->host->full_name;
}

bool sl_goes_on(const struct sl_context *ctx)
{
	const struct host *host = callback_of(ctx)->host;

	return host->run != host->series;
}

const char *sl_state(const struct sl_context *ctx)
{
	return callback_of(ctx)->host->state;
}

uint64_t sl_run(const struct sl_context *ctx)
{
	return callback_of(ctx)->host->run;
}

uint64_t sl_series(const struct sl_context *ctx)
{
	return callback_of(ctx)->host->series;
}

uint64_t sl_term(const struct sl_context *ctx)
{
	return callback_of(ctx)->host->term;
}

struct sl_identity sl_batch_identity(const struct sl_batch *batch)
{
	const struct batch_head *head = &batch->head;

	return (struct sl_identity){
		.run = head->id.run,
		.origin = head->id.origin,
		.path = head->id.path,
		.start = head->id.start,
		.end = head->id.end,
		.floor = head->floor,
	};
}

void sl_rejected_before(struct sl_context *ctx, uint64_t count)
{
	callback_of(ctx)->dead += count;
}

void sl_waited(struct sl_context *ctx, int64_t ns)
{
	callback_of(ctx)->waited_ns += ns;
}

void sl_drop(struct sl_context *ctx, uint64_t count)
{
	struct callback *callback = callback_of(ctx);

	callback->dead += count;
	(void)page_add(callback->host->page->records_dead, count);
}

int sl_listener(const struct sl_context *ctx)
{
	return callback_of(ctx)->host->listener;
}

void sl_log(struct sl_context *ctx, enum sl_level level, const char *format, ...)
{
	va_list args;

	(void)ctx; /* the supervisor adds who we are */
	va_start(args, format);
	log_vwrite(LOG_EVENT_NONE, (enum log_level)level, format, args);
	va_end(args);
}

void sl_log_about(
	struct sl_context *ctx, enum sl_about about, enum sl_level level, const char *format, ...)
{
	static const enum log_event events[] = {
		[SL_ABOUT_DISK_FULL] = LOG_EVENT_DISK_FULL,
		[SL_ABOUT_DISK_AGAIN] = LOG_EVENT_DISK_AGAIN,
		[SL_ABOUT_STORE_FULL] = LOG_EVENT_STORE_FULL,
		[SL_ABOUT_DROPPED] = LOG_EVENT_DROPPED,
		[SL_ABOUT_MISSED] = LOG_EVENT_MISSED,
		[SL_ABOUT_LIMIT] = LOG_EVENT_LIMIT,
	};
	va_list args;

	(void)ctx;
	va_start(args, format);
	log_vwrite(events[about], (enum log_level)level, format, args);
	va_end(args);
}

int sl_error(struct sl_context *ctx, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	error = err_vset(&callback_of(ctx)->err, error, format, args);
	va_end(args);
	return error;
}

int sl_retry(struct sl_context *ctx, int64_t not_before, const char *format, ...)
{
	struct callback *callback = callback_of(ctx);
	va_list args;

	va_start(args, format);
	(void)err_vset(&callback->err, 0, format, args);
	va_end(args);
	callback->retry_at = not_before;
	return SL_RETRY;
}

/* A failure ends the source with the callback: what it does without knowing is not used. */
uint64_t sl_bound(struct sl_context *ctx, uint64_t origin, uint64_t position)
{
	struct callback *callback = callback_of(ctx);
	uint64_t bound = 0;

	if (callback->host->keeper &&
		keeper_bound(callback->host->keeper, origin, position, &bound, &callback->err) < 0)
		callback->must_stop = true;
	return bound;
}

/* As above. */
bool sl_checkpoint(struct sl_context *ctx, uint64_t origin, struct sl_place *ret)
{
	struct callback *callback = callback_of(ctx);
	const struct keeper_repeat *repeat = callback->repeat;
	struct sl_place place = { 0 };
	int r = 0;

	if (callback->host->keeper)
		r = keeper_place(callback->host->keeper, origin, &place, &callback->err);
	if (r < 0)
		callback->must_stop = true;
	/* The checkpoint may be ahead already: of what is to be made again some was settled. */
	if (repeat && repeat->cut.origin == origin && place.position != repeat->cut.start)
		place = (struct sl_place){ .position = repeat->cut.start };
	/* What cannot be read again goes on behind all that a sink has: another record must not have its name. */
	if (r >= 0 && (callback->host->impl->flags & SL_TAKES_OVER) && !repeat) {
		uint64_t last = sl_bound(ctx, origin, UINT64_MAX);

		place.position = last > place.position ? last : place.position;
	}
	*ret = place;
	return r > 0 || place.position > 0;
}

/* As above. */
uint64_t sl_safe(struct sl_context *ctx, uint64_t origin)
{
	struct callback *callback = callback_of(ctx);
	uint64_t safe = UINT64_MAX;

	if (callback->host->keeper &&
		keeper_safe(callback->host->keeper, origin, &safe, &callback->err) < 0)
		callback->must_stop = true;
	return safe;
}

int sl_checkpoint_begin(
	struct sl_context *ctx, const struct sl_origin *origin, struct sl_origin *ret)
{
	struct callback *callback = callback_of(ctx);
	int r;

	/* Nobody will go on from here: then nothing needs to be kept. */
	if (!callback->host->keeper) {
		*ret = *origin;
		return origin->name != NULL;
	}
	r = keeper_begin(callback->host->keeper, origin, ret, &callback->err);
	if (r < 0 && r != -EAGAIN)
		callback->must_stop = true;
	return r;
}

bool sl_checkpoint_next(
	struct sl_context *ctx, const struct sl_origin *after, struct sl_origin *ret)
{
	struct callback *callback = callback_of(ctx);
	int r = 0;

	if (callback->host->keeper)
		r = keeper_next(callback->host->keeper, after, ret, &callback->err);
	if (r < 0)
		callback->must_stop = true;
	return r > 0;
}

void sl_progress(struct sl_context *ctx, uint64_t done, uint64_t total, const char *unit)
{
	struct page *page = callback_of(ctx)->host->page;

	page_set(page->progress_done, done);
	page_set(page->progress_total, total);
	page_set(page->progress_is_bytes, unit[0] == 'b');
}

void sl_stored(struct sl_context *ctx, uint64_t records, uint64_t bytes)
{
	struct page *page = callback_of(ctx)->host->page;

	page_set(page->store_records, records);
	page_set(page->store_bytes, bytes);
}

bool sl_is_stopping(struct sl_context *ctx)
{
	return atomic_load_explicit(&callback_of(ctx)->host->stopping, memory_order_acquire);
}
