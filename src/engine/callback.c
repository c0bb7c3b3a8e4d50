/* SPDX-License-Identifier: MIT */
/* The functions of include/sluice/stage.h that stage code calls. Any worker's thread. */
#include "engine/host.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/secret.h"
#include "base/utf8.h"
#include "engine/keeper.h"

#define EXCERPT_SIZE 200

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

/* --- giving up on records ------------------------------------------------------------------------ */

static void must_stop(struct callback *callback, const char *where, const char *why)
{
	callback->must_stop = true;
	(void)err_set(
		&callback->err, -EINVAL, "%s%s%s", where ? where : "", where ? ": " : "", why);
}

/* With the lock. 0 and host->dead; -ENOENT: there is no store, and it was not to be made; callback->err says why else not. */
static int open_dead(struct callback *callback, bool may_make)
{
	struct host *host = callback->host;

	return host->dead ? 0 : dead_open(host->state, may_make, &host->dead, &callback->err);
}

/* Of a record in the batch; of a copy, or of none, how many were refused before it, beyond all records. */
static uint32_t find_index(const struct callback *callback, struct sl_value record)
{
	const struct sl_batch *batch = callback->part ? callback->part : callback->batch;
	uint32_t low = 0, high = batch->head.count;

	if (callback->host->impl->transform)
		return callback->index;
	while (record.data && low < high) {
		uint32_t middle = low + (high - low) / 2;
		const char *at = batch->data + batch->index[middle];

		if (at == record.data)
			return callback->places ? callback->places[middle] : middle;
		if (at < record.data)
			low = middle + 1;
		else
			high = middle;
	}
	return callback->batch->head.count + (uint32_t)callback->dead;
}

static void name_letter(
	const struct callback *callback, struct sl_value record, struct dead_letter *letter)
{
	letter->stage = callback->host->stage->name;
	if (callback->batch) {
		letter->in = callback->batch->head.id;
		letter->index = find_index(callback, record);
	} else {
		letter->in.run = callback->host->run;
		letter->in.origin =
			callback->cut ? host_origin(callback->host, callback->cut->origin) : 0;
		letter->in.start = callback->cut ? callback->cut->start : 0;
		letter->index = (uint32_t)callback->dead;
		/* Cuts may be made otherwise the next time, if none of this one was sent; its place is the same. */
		if (letter->where) {
			letter->in.start = XXH3_64bits(letter->where, strlen(letter->where));
			letter->index = 0;
		}
	}
}

/* Before its batch is settled: the letter is in the store, or the stage ends here. */
static void keep_letter(
	struct callback *callback, const char *where, struct sl_value record, const char *reason)
{
	struct timespec now;
	struct dead_letter letter = { .attempts = callback->attempts,
		.where = where,
		.reason = reason,
		.record = record.data,
		.record_size = record.size };

	(void)clock_gettime(CLOCK_REALTIME, &now);
	letter.time = now.tv_sec * NSEC_PER_SEC + now.tv_nsec;
	name_letter(callback, record, &letter);
	(void)pthread_mutex_lock(&callback->host->dead_lock);
	if (open_dead(callback, true) < 0 ||
		dead_put(callback->host->dead, &letter, &callback->err) < 0)
		callback->must_stop = true;
	(void)pthread_mutex_unlock(&callback->host->dead_lock);
}

int callback_is_dead(struct callback *callback)
{
	int r;

	(void)pthread_mutex_lock(&callback->host->dead_lock);
	r = open_dead(callback, false);
	if (r == 0)
		r = dead_has(callback->host->dead, &callback->batch->head.id,
			callback->host->stage->name, callback->index, &callback->err);
	(void)pthread_mutex_unlock(&callback->host->dead_lock);
	if (r == -ENOENT)
		callback->err.text[0] = '\0';
	return r == -ENOENT ? 0 : r;
}

/* Is a disk to be filled with what is wrong? */
static void check_limit(struct callback *callback)
{
	const struct host *host = callback->host;
	char text[160];

	if (host->stage->dead_max == 0 || callback->must_stop ||
		page_get(host->page->records_dead) <= host->stage->dead_max)
		return;
	(void)snprintf(text, sizeof(text),
		"more than %llu records were refused, which is `dead_max`: see to what is wrong, "
		"or write a larger one",
		(unsigned long long)host->stage->dead_max);
	must_stop(callback, NULL, text);
}

void callback_reject(
	struct callback *callback, const char *where, struct sl_value record, const char *reason)
{
	const struct host *host = callback->host;
	char excerpt[EXCERPT_SIZE] = "";

	/* It was said when the cut was made first, and is counted. */
	if (callback->repeat && callback->repeat->is_settled)
		return;
	if (record.data)
		sl_print(record, excerpt, sizeof(excerpt));
	log_event(LOG_EVENT_REFUSED, LOG_LEVEL_WARNING, "%s%srefused: %s%s%s", where ? where : "",
		where ? ": " : "", reason, *excerpt ? ": " : "", excerpt);
	if (host->stage->on_error == GRAPH_ON_ERROR_DEAD_LETTER)
		keep_letter(callback, where, record, reason);
	callback->dead++;
	(void)page_add(host->page->records_dead, 1);
	check_limit(callback);
	if (host->stage->on_error == GRAPH_ON_ERROR_STOP) {
		char text[600];

		(void)snprintf(text, sizeof(text),
			"a record was refused and on_error is \"stop\": %s", reason);
		must_stop(callback, where, text);
	}
}

/* Of its own, so that a task that never rejects needs no stack for the text. */
static __attribute__((noinline)) void reject(struct callback *callback, const char *where,
	struct sl_value record, const char *format, va_list args)
{
	char reason[1024];

	(void)vsnprintf(reason, sizeof(reason), format, args);
	(void)secret_hide(reason);
	callback_reject(callback, where, record, utf8_mend(reason));
}

int sl_reject(
	struct sl_context *ctx, const char *where, struct sl_value record, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	reject(callback_of(ctx), where, record, format, args);
	va_end(args);
	return SL_REJECTED;
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
