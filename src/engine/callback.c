/* SPDX-License-Identifier: MIT */
/* The functions of include/sluice/stage.h that stage code calls. Any worker's thread. */
#include "engine/host.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/log.h"

#define EXCERPT_SIZE 200

void callback_init(struct callback *callback, struct host *host, struct page_worker *slot)
{
	callback->context = (struct sl_context){ .user = callback };
	callback->host = host;
	callback->slot = slot;
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

void sl_log(struct sl_context *ctx, enum sl_level level, const char *format, ...)
{
	va_list args;

	(void)ctx; /* the supervisor adds who we are */
	va_start(args, format);
	log_vwrite((enum log_level)level, format, args);
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

void callback_reject(
	struct callback *callback, const char *where, struct sl_value record, const char *reason)
{
	char excerpt[EXCERPT_SIZE] = "";

	if (record.data)
		sl_print(record, excerpt, sizeof(excerpt));
	callback->dead++;
	(void)page_add(callback->host->page->records_dead, 1);
	log_write(LOG_LEVEL_WARNING, "%s%srefused: %s%s%s", where ? where : "", where ? ": " : "",
		reason, *excerpt ? ": " : "", excerpt);
	if (callback->host->stage->on_error == GRAPH_ON_ERROR_STOP) {
		callback->must_stop = true;
		(void)err_set(&callback->err, -EINVAL,
			"%s%sa record was refused and on_error is \"stop\": %s", where ? where : "",
			where ? ": " : "", reason);
	}
}

/* Of its own, so that a task that never rejects needs no stack for the text. */
static __attribute__((noinline)) void reject(struct callback *callback, const char *where,
	struct sl_value record, const char *format, va_list args)
{
	char reason[512];

	(void)vsnprintf(reason, sizeof(reason), format, args);
	callback_reject(callback, where, record, reason);
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

void sl_progress(struct sl_context *ctx, uint64_t done, uint64_t total, const char *unit)
{
	struct page *page = callback_of(ctx)->host->page;

	page_set(page->progress_done, done);
	page_set(page->progress_total, total);
	page_set(page->progress_is_bytes, unit[0] == 'b');
}

bool sl_is_stopping(struct sl_context *ctx)
{
	return atomic_load_explicit(&callback_of(ctx)->host->stopping, memory_order_acquire);
}
