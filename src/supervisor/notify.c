/* SPDX-License-Identifier: MIT */
/* See notify.h. */
#include "supervisor/notify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <systemd/sd-daemon.h>

#include "base/clock.h"
#include "base/units.h"

#define NSEC_PER_USEC 1000
#define STATUS_EVERY (2 * NSEC_PER_SEC)
#define EXTENSION "20000000" /* us: ten times what lies between two */
#define BUSY_ENOUGH 0.5      /* of its time: less is no bottleneck */

void notify_init(struct notify *notify)
{
	uint64_t usec = 0;

	*notify = (struct notify){ 0 };
	if (sd_watchdog_enabled(0, &usec) > 0)
		notify->watchdog_ns = (int64_t)(usec / 2) * NSEC_PER_USEC;
}

void notify_fini(struct notify *notify)
{
	free(notify->before);
	notify->before = NULL;
}

void notify_ready(struct notify *notify)
{
	notify->is_reloading = false;
	(void)sd_notify(0, "READY=1\nSTATUS=all stages are ready");
}

void notify_reloading(struct notify *notify, bool is_under_way)
{
	if (!is_under_way) {
		notify_ready(notify);
		return;
	}
	notify->is_reloading = true;
	(void)sd_notifyf(0,
		"RELOADING=1\nMONOTONIC_USEC=%lld\nEXTEND_TIMEOUT_USEC=" EXTENSION
		"\nSTATUS=reloading: what was read is being settled",
		(long long)(clock_now() / NSEC_PER_USEC));
}

void notify_stopping(struct notify *notify)
{
	notify->is_stopping = true;
	(void)sd_notify(0, "STOPPING=1\nEXTEND_TIMEOUT_USEC=" EXTENSION
			   "\nSTATUS=stopping: what was read is being settled");
}

bool notify_stuck(struct notify *notify, const char *reason)
{
	if (notify->watchdog_ns == 0)
		return false;
	(void)sd_notifyf(0, "STATUS=%s\nWATCHDOG=trigger", reason);
	return true;
}

/* --- the status line ---------------------------------------------------------------------------- */

static double busy_share(const struct notify_sample *before, const struct notify_sample *now)
{
	double all = (double)(now->all_ns - before->all_ns);

	return all > 0 ? (double)(now->free_ns - before->free_ns) / all : 0;
}

/* The stage that is held up least by others; of equals the last, since the one before it waits for that. */
static int find_bottleneck(const struct graph *graph, const struct notify_sample *before,
	const struct notify_sample *now, double *ret_share)
{
	int found = -1;

	*ret_share = BUSY_ENOUGH;
	for (uint32_t i = 0; i < graph->stage_count; i++) {
		double share = busy_share(&before[i], &now[i]);

		if (share < *ret_share)
			continue;
		*ret_share = share;
		found = (int)i;
	}
	return found;
}

/* What goes into a store, or comes out of one, was read before and is not saved yet. */
static bool is_of_store(const struct graph *graph, uint32_t stage)
{
	for (uint32_t i = 0; i < graph->stage_count; i++) {
		int out = graph->stages[i].role == SL_SINK ? graph_find_out(graph, i) : -1;

		if (out >= 0 && (i == stage || (uint32_t)out == stage))
			return true;
	}
	return false;
}

static uint64_t since(uint64_t now, uint64_t before)
{
	return now > before ? now - before : 0;
}

const char *notify_describe(const struct graph *graph, const struct notify_sample *before,
	const struct notify_sample *now, double seconds, char *text, size_t size)
{
	uint64_t read = 0, taken = 0;
	char read_text[32], taken_text[32];
	double share;
	int bottleneck;

	for (uint32_t i = 0; i < graph->stage_count; i++) {
		if (is_of_store(graph, i))
			continue;
		if (graph->stages[i].role == SL_SOURCE)
			read += since(now[i].out, before[i].out);
		if (graph->stages[i].role == SL_SINK)
			taken += since(now[i].in, before[i].in);
	}
	if (read == 0 && taken == 0) {
		(void)snprintf(text, size, "nothing to do: waits for input");
		return text;
	}
	(void)units_print_count((uint64_t)((double)read / seconds), read_text, sizeof(read_text));
	(void)units_print_count(
		(uint64_t)((double)taken / seconds), taken_text, sizeof(taken_text));
	bottleneck = find_bottleneck(graph, before, now, &share);
	if (bottleneck < 0)
		(void)snprintf(text, size, "%s records/s read, %s saved; no stage is busy",
			read_text, taken_text);
	else
		(void)snprintf(text, size,
			"%s records/s read, %s saved; bottleneck: %s (busy %.0f %%)", read_text,
			taken_text, graph->stages[bottleneck].name, 100 * share);
	return text;
}

static void take_samples(const struct supervisor *supervisor, struct notify_sample *samples)
{
	for (uint32_t i = 0; i < supervisor_child_count(supervisor); i++) {
		struct supervisor_child child = supervisor_child(supervisor, i);
		struct notify_sample *sample = &samples[child.stage];

		sample->in += page_get(child.page->records_in);
		sample->out += page_get(child.page->records_out);
		sample->free_ns += page_get(child.page->blocked_ns[PAGE_FREE]);
		for (int k = 0; k < PAGE_BLOCKED_COUNT; k++)
			sample->all_ns += page_get(child.page->blocked_ns[k]);
	}
}

/* How often something went wrong, or "". */
static const char *troubles(const struct supervisor *supervisor, char *text, size_t size)
{
	uint64_t dead = 0, restarts = 0;
	char count[32];
	int at = 0;

	text[0] = '\0';
	for (uint32_t i = 0; i < supervisor_child_count(supervisor); i++) {
		struct supervisor_child child = supervisor_child(supervisor, i);

		dead += page_get(child.page->records_dead);
		restarts += child.restarts;
	}
	if (dead > 0)
		at = snprintf(text, size, "; given up: %s",
			units_print_count(dead, count, sizeof(count)));
	if (restarts > 0)
		(void)snprintf(text + at, size - (size_t)at, "; restarts: %s",
			units_print_count(restarts, count, sizeof(count)));
	return text;
}

static void tell_starting(const struct supervisor *supervisor)
{
	uint32_t ready = 0, count = supervisor_child_count(supervisor);

	for (uint32_t i = 0; i < count; i++)
		ready += supervisor_child(supervisor, i).state == CHILD_RUNNING;
	(void)sd_notifyf(0, "STATUS=starting: %u of %u processes are ready", ready, count);
}

static void tell_rates(struct notify *notify, const struct supervisor *supervisor, double seconds)
{
	const struct graph *graph = supervisor_graph(supervisor);
	struct notify_sample *now = calloc(graph->stage_count, sizeof(*now));
	char text[256], more[96];

	if (!now)
		return;
	take_samples(supervisor, now);
	if (notify->before && notify->stage_count == graph->stage_count)
		(void)sd_notifyf(0, "STATUS=%s%s%s",
			notify->is_stopping    ? "stopping: "
			: notify->is_reloading ? "reloading: "
					       : "",
			notify_describe(graph, notify->before, now, seconds, text, sizeof(text)),
			troubles(supervisor, more, sizeof(more)));
	free(notify->before);
	notify->before = now;
	notify->stage_count = graph->stage_count;
}

void notify_tick(struct notify *notify, const struct supervisor *supervisor)
{
	int64_t now = clock_now();
	int64_t passed = now - notify->status_ns;

	if (notify->watchdog_ns > 0 && now - notify->fed_ns >= notify->watchdog_ns / 2 &&
		supervisor_is_moving(supervisor)) {
		notify->fed_ns = now;
		(void)sd_notify(0, "WATCHDOG=1");
	}
	if (passed < STATUS_EVERY)
		return;
	if (notify->is_stopping || notify->is_reloading || supervisor_is_on_disk(supervisor))
		(void)sd_notify(0, "EXTEND_TIMEOUT_USEC=" EXTENSION);
	if (supervisor_now(supervisor).state == SUPERVISOR_STARTING && !notify->is_reloading)
		tell_starting(supervisor);
	else
		tell_rates(notify, supervisor, (double)passed / NSEC_PER_SEC);
	notify->status_ns = now;
}
