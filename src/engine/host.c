/* SPDX-License-Identifier: MIT */
/* See host.h: from START to the pump, and back out. */
#include "engine/host.h"

#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/secret.h"
#include "base/word.h"
#include "config/schema.h"
#include "engine/crash.h"
#include "engine/left.h"
#include "engine/pump.h"
#include "engine/registry.h"
#include "engine/sandbox.h"

#define KEPT_BLOCK (4 << 20) /* larger ones are given back to the system at once */
#define KEPT_FREE (16 << 20) /* free bytes at the end of a heap, above which they are */

struct start {
	struct word word;
	char folders[2 * PATH_MAX + 1]; /* runtime, then state */
	int graph_fd;
	int page_fd;
	int shared_fd;
	int listener; /* -1: none */
};

static int receive_start(int words, struct start *start)
{
	struct pollfd poll_words = { .fd = words, .events = POLLIN };
	char *payload = malloc(WORD_PAYLOAD_MAX);
	int fds[WORD_FDS_MAX] = { -1, -1, -1, -1 };
	size_t size = 0;
	int r = payload ? 0 : -ENOMEM;

	while (r == 0) {
		r = poll(&poll_words, 1, -1) < 0 && errno != EINTR ? -errno : 0;
		if (r == 0)
			r = word_receive(words, &start->word, payload, &size, fds);
		if (r == 0)
			r = -EPIPE;
		if (r == -EAGAIN)
			r = 0;
	}
	if (r > 0 &&
		(start->word.type != WORD_START || size >= sizeof(start->folders) || fds[2] < 0))
		r = -EPROTO;
	if (r > 0) {
		memcpy(start->folders, payload, size);
		start->folders[size] = '\0';
		start->graph_fd = fds[0];
		start->page_fd = fds[1];
		start->shared_fd = fds[2];
		start->listener = fds[3];
	}
	free(payload);
	/* Without a supervisor nobody waits for a word. */
	if (r < 0 && r != -EPIPE)
		log_write(LOG_LEVEL_ERROR, "cannot receive what to do: %s", err_name(r));
	return r < 0 ? r : 0;
}

static int host_init(
	struct host *host, const struct start *start, struct graph **ret_graph, struct err *err)
{
	int r = graph_read(start->graph_fd, ret_graph, err);

	if (r < 0)
		return r;
	host->graph = *ret_graph;
	for (uint32_t i = 0; i < host->graph->secret_count && r == 0; i++)
		r = secret_add(host->graph->secrets[i]);
	if (r < 0)
		return err_set(err, r, "no memory for the credentials");
	if (start->word.stage >= host->graph->stage_count)
		return err_set(err, -EPROTO, "no such stage in the graph");
	host->stage_index = start->word.stage;
	host->stage = &host->graph->stages[host->stage_index];
	host->impl = registry_open(host->stage->module, host->stage->role, host->stage->impl, err);
	if (!host->impl)
		return -ENOENT;
	(void)snprintf(host->full_name, sizeof(host->full_name), "%.120s/%.120s", host->graph->name,
		host->stage->name);
	host->instance = start->word.instance;
	host->listener = start->listener;
	host->epoch = start->word.epoch;
	host->run = start->word.run;
	host->series = start->word.series;
	host->term = start->word.term;
	host->accept_mixed = start->word.how;
	if (host->stage->role == SL_SOURCE && !(host->stage->flags & SL_RESUMES))
		arc4random_buf(&host->salt, sizeof(host->salt));
	host->state = start->folders + strlen(start->folders) + 1;
	(void)pthread_mutex_init(&host->dead_lock, NULL);
	host->page = page_map(start->page_fd, &r);
	if (!host->page)
		return err_set(err, r, "cannot map the counters: %s", err_name(r));
	host->shared_page = page_shared_map(start->shared_fd, &r);
	if (!host->shared_page)
		return err_set(err, r, "cannot map the shared page: %s", err_name(r));
	for (int i = 0; i < PAGE_WORKERS_MAX; i++)
		page_set(host->page->workers[i].state, PAGE_IDLE);
	crash_start(host);
	return 0;
}

/* Binds the options and opens the stage. */
static int stage_open(struct host *host, struct callback *callback, struct schema_bound **ret_bound,
	struct err *err)
{
	int r;

	host->shared = calloc(1, host->impl->shared_size + 1);
	if (!host->shared)
		return err_set(err, -ENOMEM, "no memory");
	r = schema_bind(host->impl->options, host->stage->options, host->shared, ret_bound, err);
	if (r < 0)
		return r;
	callback_init(callback, host, NULL);
	if (host->impl->open)
		r = host->impl->open(&callback->context, host->shared);
	if (r < 0)
		(void)err_set(
			err, r, "%s", callback->err.text[0] ? callback->err.text : err_name(r));
	return r;
}

/* What the stage has opened it keeps. */
static int enter_sandbox(
	struct host *host, struct callback *callback, const char *runtime, struct err *err)
{
	int r = sandbox_enter_stage(host, runtime, err);

	if (r < 0 && host->impl->close)
		host->impl->close(&callback->context, host->shared);
	return r;
}

static int say_failed(int words, const struct host *host, int error, const struct err *err)
{
	struct word word = { .type = WORD_FAILED,
		.stage = host->stage_index,
		.instance = host->instance,
		.how = 1,
		.error = (uint32_t)-error };

	(void)word_send(words, &word, err->text, strlen(err->text), NULL, 0);
	return EXIT_FAILURE;
}

static void host_fini(struct host *host, struct schema_bound *bound, struct graph *graph)
{
	schema_free(bound);
	dead_close(host->dead);
	free(host->shared);
	page_unmap(host->page);
	page_shared_unmap(host->shared_page);
	graph_free(graph);
}

/*
 * Batches come and go, a few hundred KiB each. Left to itself malloc gives their pages back each time, and each is cleared and faulted in again for the
 * next: a tenth of all the time that records take.
 */
static void keep_pages(void)
{
	(void)mallopt(M_MMAP_THRESHOLD, KEPT_BLOCK);
	(void)mallopt(M_TRIM_THRESHOLD, KEPT_FREE);
}

int host_main(int words)
{
	struct start start = { 0 };
	struct host host = { 0 };
	struct graph *graph = NULL;
	struct schema_bound *bound = NULL;
	struct callback callback;
	struct err err = { 0 };
	int r, status;

	keep_pages();
	if (receive_start(words, &start) < 0)
		return EXIT_FAILURE;
	r = host_init(&host, &start, &graph, &err);
	if (r == 0)
		r = left_check(&host, &err);
	if (r == 0)
		r = stage_open(&host, &callback, &bound, &err);
	if (r == 0)
		r = enter_sandbox(&host, &callback, start.folders, &err);
	if (r < 0) {
		status = say_failed(words, &host, r, &err);
	} else {
		status = pump_run(&host, words, start.folders);
		if (host.impl->close)
			host.impl->close(&callback.context, host.shared);
		loop_end();
	}
	(void)close(start.graph_fd);
	(void)close(start.page_fd);
	(void)close(start.shared_fd);
	if (start.listener >= 0)
		(void)close(start.listener);
	host_fini(&host, bound, graph);
	return status;
}
