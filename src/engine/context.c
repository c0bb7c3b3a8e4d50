/* SPDX-License-Identifier: MIT */
/* The functions of include/sluice/stage.h and task.h that stage code calls. Any worker's thread. */
#include "engine/host.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"

#define EXCERPT_SIZE 200

void context_init(struct sl_context *ctx, struct host *host, struct page_worker *slot)
{
	*ctx = (struct sl_context){ .host = host, .slot = slot };
}

uint32_t sl_process(const struct sl_context *ctx)
{
	return ctx->host->instance;
}

uint32_t sl_process_count(const struct sl_context *ctx)
{
	return ctx->host->stage->processes;
}

const char *sl_stage_name(const struct sl_context *ctx)
{
	return ctx->host->stage->name;
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
	error = err_vset(&ctx->err, error, format, args);
	va_end(args);
	return error;
}

int sl_reject(
	struct sl_context *ctx, const char *where, struct sl_value record, const char *format, ...)
{
	char reason[512], excerpt[EXCERPT_SIZE] = "";
	va_list args;

	va_start(args, format);
	(void)vsnprintf(reason, sizeof(reason), format, args);
	va_end(args);
	if (record.data)
		sl_print(record, excerpt, sizeof(excerpt));
	ctx->dead++;
	(void)page_add(ctx->host->page->records_dead, 1);
	log_write(LOG_LEVEL_WARNING, "%s%srefused: %s%s%s", where ? where : "", where ? ": " : "",
		reason, *excerpt ? ": " : "", excerpt);
	if (ctx->host->stage->on_error == GRAPH_ON_ERROR_STOP) {
		ctx->must_stop = true;
		(void)err_set(&ctx->err, -EINVAL,
			"%s%sa record was refused and on_error is \"stop\": %s", where ? where : "",
			where ? ": " : "", reason);
	}
	return SL_REJECTED;
}

void sl_progress(struct sl_context *ctx, uint64_t done, uint64_t total, const char *unit)
{
	struct page *page = ctx->host->page;

	page_set(page->progress_done, done);
	page_set(page->progress_total, total);
	page_set(page->progress_is_bytes, unit[0] == 'b');
}

int64_t sl_now(void)
{
	return clock_now();
}

bool sl_is_stopping(struct sl_context *ctx)
{
	return atomic_load_explicit(&ctx->host->stopping, memory_order_acquire);
}

static void slot_set(struct sl_context *ctx, enum page_worker_state state)
{
	if (ctx->slot)
		page_set(ctx->slot->state, state);
}

/* poll() until a deadline; a source is also woken by a stop. */
static int wait_for(struct sl_context *ctx, int fd, short events, int64_t deadline)
{
	bool is_source = ctx->host->impl->role == SL_SOURCE;
	struct pollfd fds[2] = {
		{ .fd = fd, .events = events },
		{ .fd = is_source ? ctx->host->stop_fd : -1, .events = POLLIN },
	};

	for (;;) {
		int64_t left = deadline - clock_now();
		struct timespec timeout = { .tv_sec = left / NSEC_PER_SEC,
			.tv_nsec = left % NSEC_PER_SEC };
		int r;

		if (is_source && sl_is_stopping(ctx))
			return -ECANCELED;
		if (left <= 0)
			return -ETIMEDOUT;
		r = ppoll(fds, 2, deadline == SL_NEVER ? NULL : &timeout, NULL);
		if (r < 0 && errno != EINTR)
			return -errno;
		if (r > 0 && fds[0].revents)
			return 0;
	}
}

int sl_sleep_until(struct sl_context *ctx, int64_t deadline)
{
	int r;

	slot_set(ctx, PAGE_WAITING);
	r = wait_for(ctx, -1, 0, deadline);
	slot_set(ctx, PAGE_BUSY);
	return r == -ETIMEDOUT ? 0 : r;
}

int sl_wait_fd(struct sl_context *ctx, int fd, short events, int64_t deadline)
{
	int r;

	slot_set(ctx, PAGE_WAITING);
	r = wait_for(ctx, fd, events, deadline);
	slot_set(ctx, PAGE_BUSY);
	return r;
}
