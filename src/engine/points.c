/* SPDX-License-Identifier: MIT */
/* See points.h. */
#include "engine/points.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/schema.h"
#include "engine/host.h"
#include "engine/registry.h"
#include "engine/sandbox.h"
#include "state/point.h"

struct telling;

struct points {
	struct graph *graph;
	const char *state;
	uint64_t run;
	uint64_t series;
	bool is_restore;
	struct point_bounds *bounds;
	const struct telling *telling;
	struct err err;
};

/* --- sinks, through their options alone ------------------------------------------------------------ */

typedef int sink_fn(struct points *points, struct callback *callback);

static int add_bound(void *user, uint64_t origin, uint64_t position)
{
	struct points *points = user;

	return point_add_bound(points->bounds, origin, position, &points->err);
}

static int sync_sink(struct points *points, struct callback *callback)
{
	(void)points;
	return callback->host->impl->sync(&callback->context, callback->host->shared);
}

static int ask_sink(struct points *points, struct callback *callback)
{
	return callback->host->impl->known(
		&callback->context, callback->host->shared, add_bound, points);
}

/* A sink's process as far as its options and names go. */
static int with_sink(struct points *points, struct host *host, sink_fn *call)
{
	struct schema_bound *bound = NULL;
	struct callback callback;
	int r;

	host->shared = calloc(1, host->impl->shared_size + 1);
	if (!host->shared)
		return err_set(&points->err, -ENOMEM, "no memory");
	r = schema_bind(
		host->impl->options, host->stage->options, host->shared, &bound, &points->err);
	if (r == 0) {
		callback_init(&callback, host, NULL);
		r = call(points, &callback);
		if (r < 0 && !points->err.text[0])
			(void)err_set(&points->err, r, "%s: %s", host->stage->name,
				callback.err.text[0] ? callback.err.text : err_name(r));
	}
	schema_free(bound);
	free(host->shared);
	return r;
}

static struct host host_of(const struct points *points, const struct graph_stage *stage)
{
	struct host host = {
		.graph = points->graph,
		.stage = stage,
		.stage_index = (uint32_t)(stage - points->graph->stages),
		.run = points->run,
		.series = points->series,
		.state = points->state,
	};

	(void)snprintf(host.full_name, sizeof(host.full_name), "%.120s/%.120s", points->graph->name,
		stage->name);
	return host;
}

/* Calls for one process of the sink, or for each. */
static int for_sink(struct points *points, const struct graph_stage *stage, uint32_t processes,
	const struct sl_stage *impl, sink_fn *call)
{
	struct host host = host_of(points, stage);
	int r = 0;

	host.impl = impl;
	for (host.instance = 0; host.instance < processes && r == 0; host.instance++)
		r = with_sink(points, &host, call);
	return r;
}

/* NULL: not a sink. Without a sink's code (a module that is another by now) nobody knows what it holds: 0 or negative errno. */
static int sink_of(
	struct points *points, const struct graph_stage *stage, const struct sl_stage **ret)
{
	*ret = stage->role == SL_SINK
		       ? registry_open(stage->module, stage->role, stage->impl, &points->err)
		       : NULL;
	return stage->role == SL_SINK && !*ret ? -ENOENT : 0;
}

/* --- what it gives up ------------------------------------------------------------------------------- */

/* One that this process asks something of. */
static bool is_asked(const struct points *points, const struct sl_stage *impl)
{
	return impl && (points->is_restore ? impl->known != NULL : impl->sync != NULL);
}

struct telling {
	sl_files_fn *tell;
	void *user;
};

static int tell_sink(struct points *points, struct callback *callback)
{
	const struct telling *telling = points->telling;
	const struct host *host = callback->host;

	host->impl->files(&callback->context, host->shared, telling->tell, telling->user);
	return 0;
}

static void tell_files(void *of, sl_files_fn *tell, void *user)
{
	struct points *points = of;
	struct telling telling = { .tell = tell, .user = user };

	points->telling = &telling;
	for (uint32_t i = 0; i < points->graph->stage_count; i++) {
		const struct graph_stage *stage = &points->graph->stages[i];
		const struct sl_stage *impl;

		if (sink_of(points, stage, &impl) == 0 && is_asked(points, impl) &&
			(impl->flags & SL_NEEDS_FILES))
			(void)for_sink(points, stage, stage->processes, impl, tell_sink);
	}
	points->telling = NULL;
}

/* It keeps what its sinks need together; all, when one of them may keep all. */
static int enter_sandbox(struct points *points)
{
	struct sandbox sandbox = {
		.needs = SL_CONFINED, .state = points->state, .files = tell_files, .of = points
	};

	for (uint32_t i = 0; i < points->graph->stage_count; i++) {
		const struct graph_stage *stage = &points->graph->stages[i];
		const struct sl_stage *impl;
		int r = sink_of(points, stage, &impl);

		if (r < 0)
			return r;
		if (!is_asked(points, impl))
			continue;
		sandbox.is_off = sandbox.is_off || !stage->sandbox;
		sandbox.needs |= impl->flags & (SL_NEEDS_NETWORK | SL_NEEDS_FILES | SL_NEEDS_EXEC);
		if (!(impl->flags & SL_CONFINED))
			sandbox.needs |= SL_NEEDS_EXEC;
	}
	return sandbox_enter(&sandbox, &points->err);
}

/* --- making --------------------------------------------------------------------------------------- */

/* The order is that of state/point.h. */
static int make(struct points *points)
{
	const struct graph *graph = points->graph;
	struct point_place next;
	int r = point_last(points->state, &next, &points->err);

	next.number++;
	next.series = points->series;
	if (r == 0)
		r = point_save_sources(points->state, next.number, &points->err);
	for (uint32_t i = 0; i < graph->stage_count && r == 0; i++)
		if (graph->stages[i].flags & SL_REMEMBERED)
			r = point_save_sink(
				points->state, graph->stages[i].name, next.number, &points->err);
	for (uint32_t i = 0; i < graph->stage_count && r == 0; i++) {
		const struct graph_stage *stage = &graph->stages[i];
		const struct sl_stage *impl;

		r = sink_of(points, stage, &impl);
		if (r == 0 && impl && impl->sync)
			r = for_sink(points, stage, stage->processes, impl, sync_sink);
	}
	return r == 0 ? point_seal(points->state, &next, &points->err) : r;
}

/* --- going back ----------------------------------------------------------------------------------- */

/* After a power cut they say nothing. */
static int remove_cuts(struct points *points)
{
	char path[PATH_MAX];
	DIR *folder = opendir(points->state);
	struct dirent *entry;
	int r = 0;

	if (!folder)
		return err_set(
			&points->err, -errno, "cannot read %s: %s", points->state, err_name(errno));
	while (r == 0 && (entry = readdir(folder))) {
		if (strncmp(entry->d_name, "cuts.", 5) != 0)
			continue;
		(void)snprintf(path, sizeof(path), "%s/%s", points->state, entry->d_name);
		if (unlink(path) < 0)
			r = err_set(&points->err, -errno, "cannot remove %s: %s", path,
				err_name(errno));
	}
	(void)closedir(folder);
	return r;
}

static int restore_sink(struct points *points, const struct graph_stage *stage, uint64_t number)
{
	int r = point_restore_sink(points->state, stage->name, number, points->run, &points->err);

	return r == 0 ? point_add_names(points->bounds, points->state, stage->name, &points->err)
		      : r;
}

static int restore_sinks(struct points *points, uint64_t number)
{
	const struct graph *graph = points->graph;
	int r = 0;

	for (uint32_t i = 0; i < graph->stage_count && r == 0; i++) {
		const struct graph_stage *stage = &graph->stages[i];
		const struct sl_stage *impl;

		r = sink_of(points, stage, &impl);
		if (r == 0 && (stage->flags & SL_REMEMBERED))
			r = restore_sink(points, stage, number);
		if (r == 0 && impl && impl->known)
			r = for_sink(points, stage,
				stage->flags & SL_HAS_STATE ? stage->processes : 1, impl, ask_sink);
	}
	return r;
}

static int restore(struct points *points)
{
	struct point_place last;
	uint64_t number;
	int r = point_last(points->state, &last, &points->err);

	if (r < 0)
		return r;
	number = last.series == points->series ? last.number : 0;
	r = remove_cuts(points);
	if (r == 0)
		r = point_restore_sources(points->state, number, points->series, &points->err);
	if (r == 0)
		r = point_begin_bounds(points->state, &points->bounds, &points->err);
	if (r < 0)
		return r;
	r = restore_sinks(points, number);
	return r == 0 ? point_end_bounds(points->bounds, true, &points->err)
		      : (point_end_bounds(points->bounds, false, NULL), r);
}

/* --- the process ---------------------------------------------------------------------------------- */

static int answer(struct points *points, const char *action)
{
	int r;

	points->is_restore = strcmp(action, "restore") == 0;
	if (!points->is_restore && strcmp(action, "make") != 0)
		return err_set(&points->err, -EINVAL, "make or restore, not \"%s\"", action);
	r = enter_sandbox(points);
	if (r < 0)
		return r;
	return points->is_restore ? restore(points) : make(points);
}

int points_answer(
	const char *action, const char *state, uint64_t run, uint64_t series, int graph_fd)
{
	struct points points = { .state = state, .run = run, .series = series };
	int r = graph_read(graph_fd, &points.graph, &points.err);

	if (r == 0)
		r = answer(&points, action);
	if (r < 0)
		(void)fprintf(stderr, "%s\n", points.err.text);
	graph_free(points.graph);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
