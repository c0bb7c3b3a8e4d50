/* SPDX-License-Identifier: MIT */
/*
 * Giving up on records: see sl_reject. A letter is in the store before its batch is settled. For one that finds no space on the disk the worker
 * waits, but not where it was given up: the stage is in the middle of something. The letter is *owed* until the callback has returned.
 */
#include "engine/host.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
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
#define DISK_WAIT (200 * NSEC_PER_MSEC)
#define DISK_QUIET (60 * NSEC_PER_SEC)

struct owed_letter {
	struct owed_letter *next;
	struct dead_letter letter;
	char bytes[]; /* what it points to */
};

/* --- names of letters ----------------------------------------------------------------------------- */

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

/* --- letters -------------------------------------------------------------------------------------- */

/* The text behind `to`, moved on; NULL stays NULL. */
static const char *copy(char **to, const char *from, size_t size)
{
	const char *at = *to;

	if (!from)
		return NULL;
	memcpy(*to, from, size);
	*to += size;
	return at;
}

static int owe(struct callback *callback, const struct dead_letter *letter)
{
	size_t where = letter->where ? strlen(letter->where) + 1 : 0;
	size_t reason = strlen(letter->reason) + 1;
	struct owed_letter *owed = malloc(sizeof(*owed) + where + reason + letter->record_size);
	char *at;

	if (!owed)
		return err_set(&callback->err, -ENOMEM, "no memory for a dead letter");
	at = owed->bytes;
	owed->next = NULL;
	owed->letter = *letter;
	owed->letter.where = copy(&at, letter->where, where);
	owed->letter.reason = copy(&at, letter->reason, reason);
	owed->letter.record = copy(&at, letter->record, letter->record_size);
	*callback->owed_tail = owed;
	callback->owed_tail = &owed->next;
	return 0;
}

/* With the lock. 0 and host->dead; -ENOENT: there is no store, and it was not to be made; callback->err says why else not. */
static int open_dead(struct callback *callback, bool may_make)
{
	struct host *host = callback->host;

	return host->dead ? 0 : dead_open(host->state, may_make, &host->dead, &callback->err);
}

/* With the lock. */
static void say_full(struct host *host, const struct err *err, bool is_full)
{
	int64_t now = is_full ? clock_now() : 0;

	if (is_full && !host->dead_waits && now >= host->dead_quiet_until) {
		log_event(LOG_EVENT_DISK_FULL, LOG_LEVEL_WARNING,
			"a dead letter waits for space: %s", err->text);
		host->dead_waits = true;
		host->dead_quiet_until = now + DISK_QUIET;
	} else if (!is_full && host->dead_waits) {
		log_event(
			LOG_EVENT_DISK_AGAIN, LOG_LEVEL_WARNING, "dead letters are written again");
		host->dead_waits = false;
	}
}

/* 0: it is in the store; -ENOSPC: there is no space now; another negative errno: callback->err says why. */
static int put_letter(struct callback *callback, const struct dead_letter *letter)
{
	struct host *host = callback->host;
	int r;

	(void)pthread_mutex_lock(&host->dead_lock);
	r = open_dead(callback, true);
	if (r == 0)
		r = dead_put(host->dead, letter, &callback->err);
	if (r == -EDQUOT)
		r = -ENOSPC;
	if (r == -ENOSPC || r >= 0)
		say_full(host, &callback->err, r < 0);
	(void)pthread_mutex_unlock(&host->dead_lock);
	if (r == -ENOSPC)
		callback->err.text[0] = '\0';
	return r < 0 ? r : 0;
}

static void keep_letter(
	struct callback *callback, const char *where, struct sl_value record, const char *reason)
{
	struct timespec now;
	struct dead_letter letter = { .attempts = callback->attempts,
		.where = where,
		.reason = reason,
		.record = record.data,
		.record_size = record.size };
	int r = -ENOSPC;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	letter.time = now.tv_sec * NSEC_PER_SEC + now.tv_nsec;
	name_letter(callback, record, &letter);
	if (!callback->owed)
		r = put_letter(callback, &letter);
	if (r == -ENOSPC)
		r = owe(callback, &letter);
	if (r < 0)
		callback->must_stop = true;
}

/* All that there is space for. */
static int put_owed(struct callback *callback)
{
	int r = 0;

	while (callback->owed && r == 0) {
		struct owed_letter *first = callback->owed;

		r = put_letter(callback, &first->letter);
		if (r < 0)
			break;
		callback->owed = first->next;
		free(first);
	}
	if (!callback->owed)
		callback->owed_tail = &callback->owed;
	return r;
}

int callback_keep_owed(struct callback *callback, struct sl_context *ctx)
{
	int64_t begin = clock_now();
	struct sl_scope shield;
	int r;

	if (!callback->owed)
		return 0;
	/* Neither `timeout` nor a stop ends this: the batch is not settled without. */
	sl_scope_open(ctx, &shield, SL_NEVER, SL_SHIELD);
	while ((r = put_owed(callback)) == -ENOSPC) {
		(void)page_add(callback->slot->calls, 1); /* it does not hang */
		r = sl_sleep_until(ctx, clock_now() + DISK_WAIT);
		if (r < 0)
			break;
	}
	(void)sl_scope_close(ctx, &shield);
	(void)page_add(callback->slot->paused_ns, clock_now() - begin);
	if (r < 0)
		callback->must_stop = true;
	return r;
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

/* --- what a refusal does ------------------------------------------------------------------------- */

static void must_stop(struct callback *callback, const char *where, const char *why)
{
	callback->must_stop = true;
	(void)err_set(
		&callback->err, -EINVAL, "%s%s%s", where ? where : "", where ? ": " : "", why);
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
	reject(ctx->user, where, record, format, args);
	va_end(args);
	return SL_REJECTED;
}
