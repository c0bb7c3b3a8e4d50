/* SPDX-License-Identifier: MIT */
/* See attempt.h. */
#include "engine/attempt.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/secret.h"
#include "base/utf8.h"

#define RATE_BURST (100 * NSEC_PER_MSEC)
#define BACKOFF_FACTOR_MAX 30

/* A wait that is the engine's doing, not the stage's. */
static int pause_until(struct sl_context *ctx, int64_t at)
{
	const struct callback *callback = ctx->user;
	int64_t begin = clock_now();
	int r = sl_sleep_until(ctx, at);

	(void)page_add(callback->slot->paused_ns, clock_now() - begin);
	return r;
}

/* --- rate --------------------------------------------------------------------------------------- */

/*
 * A bucket of tokens as one number that all instances share: the time from which the next record may begin. It may lie
 * RATE_BURST ahead of the clock before anybody waits.
 */
int attempt_rate(struct host *host, struct sl_context *ctx, uint32_t count)
{
	_Atomic int64_t *next = &host->shared_page->next_ns[host->stage_index];
	int64_t cost = host->stage->rate_ns * (int64_t)count;
	int64_t before = page_get(*next);
	int64_t begin;

	if (cost == 0)
		return 0;
	do {
		int64_t now = clock_now();

		begin = before > now ? before : now;
	} while (!atomic_compare_exchange_weak(next, &before, begin + cost));
	if (begin - RATE_BURST <= clock_now())
		return 0;
	return pause_until(ctx, begin - RATE_BURST);
}

/* --- trying again ------------------------------------------------------------------------------- */

static void remember(const struct host *host, struct segment *segment)
{
	for (uint32_t i = 0; i < host->stage->port_count; i++) {
		segment->lanes[i].before_size = segment->out[i]->mark;
		segment->lanes[i].before_count = segment->out[i]->count;
	}
}

static void take_back(const struct host *host, struct segment *segment)
{
	for (uint32_t i = 0; i < host->stage->port_count; i++) {
		struct sl_writer *writer = segment->out[i];

		writer->size = writer->mark = segment->lanes[i].before_size;
		writer->count = segment->lanes[i].before_count;
	}
}

/* From half to the whole of the backoff, so that those that failed together do not come back together. */
static int64_t backoff(const struct host *host, uint32_t failures)
{
	int64_t first = host->stage->restart_backoff_ns;
	int64_t longest = first * BACKOFF_FACTOR_MAX;
	int64_t wait = failures < 5 ? first << failures : longest;
	int64_t half = (wait < longest ? wait : longest) / 2;

	return half + (int64_t)((double)half * arc4random() / UINT32_MAX);
}

static int wait_to_retry(struct host *host, struct sl_context *ctx, uint32_t failures)
{
	struct callback *callback = ctx->user;
	int64_t at = clock_now() + backoff(host, failures);

	(void)page_add(host->page->retried, 1);
	return pause_until(ctx, callback->retry_at > at ? callback->retry_at : at);
}

/* One call into the stage. What is left of a record that was not ended goes, of one that was not consumed all. */
static int call(struct host *host, struct sl_context *ctx, void *worker, struct segment *segment,
	struct sl_value record)
{
	int r = host->impl->transform(ctx, host->shared, worker, record, segment->out);

	if (r == 0)
		for (uint32_t i = 0; i < host->stage->port_count; i++)
			sl_record_abandon(segment->out[i]);
	else
		take_back(host, segment);
	return r;
}

static int call_in_time(struct host *host, struct sl_context *ctx, void *worker,
	struct segment *segment, struct sl_value record)
{
	struct sl_scope scope;
	int r;

	if (host->stage->timeout_ns == 0)
		return call(host, ctx, worker, segment, record);
	sl_scope_open(ctx, &scope, clock_now() + host->stage->timeout_ns, 0);
	r = call(host, ctx, worker, segment, record);
	if (sl_scope_close(ctx, &scope) < 0 && (r == -ETIMEDOUT || r == -ECANCELED))
		r = sl_retry(ctx, 0, "it took longer than `timeout`");
	return r;
}

static __attribute__((noinline)) int give_up(
	struct callback *callback, struct sl_value record, uint32_t failures)
{
	char reason[512];

	(void)snprintf(reason, sizeof(reason), "%.440s (tried %u time%s)", callback->err.text,
		failures, failures == 1 ? "" : "s");
	(void)secret_hide(reason);
	callback->err.text[0] = '\0';
	callback_reject(callback, NULL, record, utf8_mend(reason));
	return SL_REJECTED;
}

int attempt_record(struct host *host, struct sl_context *ctx, void *worker, struct segment *segment,
	struct sl_value record)
{
	uint32_t failures = 0;
	int r;

	remember(host, segment);
	for (;;) {
		((struct callback *)ctx->user)->attempts = failures + 1;
		r = attempt_rate(host, ctx, 1);
		if (r == 0)
			r = call_in_time(host, ctx, worker, segment, record);
		if (r != SL_RETRY)
			return r;
		failures++;
		if (host->stage->retries >= 0 && failures > (uint64_t)host->stage->retries)
			return give_up(ctx->user, record, failures);
		r = wait_to_retry(host, ctx, failures - 1);
		if (r < 0)
			return r;
	}
}
