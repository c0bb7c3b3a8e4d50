/* SPDX-License-Identifier: MIT */
/* See status.h: the JSON. */
#include "supervisor/status.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"

/* clang-format off */
const char *const status_states[] = {
	[SUPERVISOR_STARTING] = "starting",
	[SUPERVISOR_RUNNING]  = "running",
	[SUPERVISOR_STOPPING] = "stopping",
	[SUPERVISOR_FAILING]  = "failing",
	NULL,
};
const char *const status_blocked[] = {
	[PAGE_FREE]      = "free",
	[PAGE_NO_INPUT]  = "no_input",
	[PAGE_NO_CREDIT] = "no_credit",
	[PAGE_NO_ROOM]   = "no_room",
	NULL,
};
static const char *const worker_states[] = {
	[PAGE_IDLE]    = "idle",
	[PAGE_BUSY]    = "busy",
	[PAGE_WAITING] = "waiting",
};
/* clang-format on */

/* --- what both show ----------------------------------------------------------------------------- */

enum page_blocked status_blocked_by(const struct supervisor_child *child)
{
	uint32_t blocked = page_get(child->page->blocked);

	if (child->state != CHILD_RUNNING || blocked >= PAGE_BLOCKED_COUNT)
		return PAGE_FREE;
	return (enum page_blocked)blocked;
}

uint64_t status_queue(const struct graph *graph, uint32_t stage)
{
	uint64_t upstream = 0;

	for (uint32_t i = 0; i < graph->stages[stage].input_count; i++)
		upstream += graph->stages[graph->links[graph->stages[stage].inputs[i]].upstream]
				    .processes;
	return upstream * graph->stages[stage].queue;
}

uint64_t status_retain(const struct graph *graph, uint32_t stage)
{
	return graph->stages[stage].retain * graph->stages[stage].port_count;
}

int64_t status_lag(const struct supervisor_child *child)
{
	uint64_t done = page_get(child->page->progress_done);
	uint64_t total = page_get(child->page->progress_total);

	if (total == 0)
		return -1;
	return total > done ? (int64_t)(total - done) : 0;
}

double status_age(const struct status *status, const struct supervisor_child *child)
{
	int64_t oldest = page_get(child->page->oldest_ns);

	return oldest > 0 && oldest < status->at_ns
		       ? (double)(status->at_ns - oldest) / (double)NSEC_PER_SEC
		       : 0;
}

static const struct page *page_of(const struct status *status, uint32_t stage, uint32_t instance)
{
	for (uint32_t i = 0; i < status->child_count; i++)
		if (status->children[i].stage == stage && status->children[i].instance == instance)
			return status->children[i].page;
	return NULL;
}

bool status_fill_one(
	const struct status *status, uint32_t stage, uint32_t instance, struct fill *ret)
{
	int out = graph_find_out(status->graph, stage);

	return out >= 0 && fill_of(status->graph, stage, page_of(status, stage, instance),
				   page_of(status, (uint32_t)out, instance), ret);
}

bool status_fill(const struct status *status, uint32_t stage, struct fill *ret)
{
	struct fill all, one;

	if (!status_fill_one(status, stage, 0, &all))
		return false;
	for (uint32_t i = 1; i < status->graph->stages[stage].processes; i++) {
		if (!status_fill_one(status, stage, i, &one))
			return false;
		fill_add(&all, &one);
	}
	*ret = all;
	return true;
}

const char *status_unit(const struct supervisor_child *child)
{
	return page_get(child->page->progress_is_bytes) ? "bytes" : "records";
}

json_t *status_text(const char *text)
{
	_cleanup_free_ char *copy = NULL;
	json_t *json;

	if (!text)
		return json_null();
	json = json_string(text);
	copy = json ? NULL : strdup(text);
	if (!copy)
		return json;
	for (char *at = copy; *at; at++)
		if ((unsigned char)*at >= 0x80)
			*at = '?';
	return json_string(copy);
}

/* --- numbers ------------------------------------------------------------------------------------ */

/* JSON's integers are signed here; a position may be anything. */
static json_int_t number(uint64_t value)
{
	return value > INT64_MAX ? INT64_MAX : (json_int_t)value;
}

static double rounded(double value)
{
	return round(value * 1000) / 1000;
}

double status_seconds(int64_t ns)
{
	return rounded((double)ns / NSEC_PER_SEC);
}

static json_t *number_or_null(int64_t value)
{
	return value < 0 ? json_null() : json_integer(value);
}

/* One instance, or all of a stage. */
struct sums {
	uint64_t in, out, dead, retried, queued, held;
	double in_rate, out_rate;
	uint32_t running, restarts;
};

static void add_child(const struct status *status, uint32_t i, struct sums *sums)
{
	const struct supervisor_child *child = &status->children[i];
	struct rates_sample now = { status->at_ns, page_get(child->page->records_in),
		page_get(child->page->records_out) };
	double in_rate, out_rate;

	rates_since(&status->rates[i], now, &in_rate, &out_rate);
	sums->in += now.in;
	sums->out += now.out;
	sums->dead += page_get(child->page->records_dead);
	sums->retried += page_get(child->page->retried);
	sums->queued += page_get(child->page->queued);
	sums->held += page_get(child->page->held_bytes);
	sums->in_rate += in_rate;
	sums->out_rate += out_rate;
	sums->running += child->pid > 0;
	sums->restarts += child->restarts;
}

static json_t *tell_sums(const struct sums *sums)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:I, s:I}", "restarts",
		(json_int_t)sums->restarts, "records_in", number(sums->in), "records_out",
		number(sums->out), "records_dead", number(sums->dead), "retried",
		number(sums->retried), "in_per_second", rounded(sums->in_rate), "out_per_second",
		rounded(sums->out_rate), "queued", number(sums->queued), "held_bytes",
		number(sums->held));
}

/* --- instances ---------------------------------------------------------------------------------- */

static bool has_finished(const struct status *status, uint32_t stage)
{
	for (uint32_t i = 0; i < status->child_count; i++)
		if (status->children[i].stage == stage &&
			status->children[i].state != CHILD_FINISHED)
			return false;
	return true;
}

static bool holds_name(const json_t *names, const char *name)
{
	for (size_t i = 0; i < json_array_size(names); i++)
		if (strcmp(json_string_value(json_array_get(names, i)), name) == 0)
			return true;
	return false;
}

/* The stages that can end its wait: those above for input, those below for credit and room. */
static json_t *waits_for(const struct status *status, const struct supervisor_child *child)
{
	const struct graph *graph = status->graph;
	enum page_blocked blocked = status_blocked_by(child);
	json_t *names = json_array();

	for (uint32_t i = 0; i < graph->link_count && blocked != PAGE_FREE; i++) {
		const struct graph_link *link = &graph->links[i];
		uint32_t own = blocked == PAGE_NO_INPUT ? link->downstream : link->upstream;
		uint32_t other = blocked == PAGE_NO_INPUT ? link->upstream : link->downstream;
		const char *name = graph->stages[other].name;

		if (own == child->stage && !has_finished(status, other) && !holds_name(names, name))
			(void)json_array_append_new(names, json_string(name));
	}
	return names;
}

static json_t *tell_workers(const struct graph_stage *stage, const struct page *page)
{
	json_t *workers = json_array();

	for (uint32_t i = 0; i < stage->threads && i < PAGE_WORKERS_MAX; i++) {
		const struct page_worker *worker = &page->workers[i];
		uint32_t state = page_get(worker->state);

		(void)json_array_append_new(
			workers, json_pack("{s:s, s:I, s:I}", "state",
					 worker_states[state <= PAGE_WAITING ? state : PAGE_IDLE],
					 "calls", number(page_get(worker->calls)), "tasks",
					 number(page_get(worker->tasks))));
	}
	return workers;
}

static json_t *tell_source(const struct status *status, const struct supervisor_child *child)
{
	uint64_t total = page_get(child->page->progress_total);

	return json_pack("{s:I, s:I, s:I, s:o, s:s, s:o, s:f}", "position",
		number(page_get(child->page->position)), "settled",
		number(page_get(child->page->settled)), "done",
		number(page_get(child->page->progress_done)), "total",
		total ? json_integer(number(total)) : json_null(), "unit", status_unit(child),
		"lag", number_or_null(status_lag(child)), "age", status_age(status, child));
}

static json_t *number_or_none(uint64_t value)
{
	return value == UINT64_MAX ? json_null() : json_integer(number(value));
}

static json_t *tell_group(const struct group_use *use)
{
	if (!use->is_there)
		return json_null();
	return json_pack("{s:o, s:o, s:o, s:I, s:o, s:o, s:o}", "memory_bytes",
		number_or_none(use->memory), "memory_peak_bytes", number_or_none(use->memory_peak),
		"memory_max_bytes", number_or_none(use->memory_max), "memory_kills",
		number(use->kills), "tasks", number_or_none(use->tasks), "tasks_max",
		number_or_none(use->tasks_max), "cpu_weight", number_or_none(use->cpu_weight));
}

static json_t *tell_instance(const struct status *status, uint32_t i)
{
	const struct supervisor_child *child = &status->children[i];
	const struct graph_stage *stage = &status->graph->stages[child->stage];
	struct sums sums = { 0 };
	char name[128];
	json_t *json;

	(void)snprintf(name, sizeof(name), "%s.%u", stage->name, child->instance);
	add_child(status, i, &sums);
	json = json_pack("{s:s, s:I, s:s, s:o, s:I, s:I, s:s, s:o, s:o}", "name", name, "instance",
		(json_int_t)child->instance, "state", child_state_names[child->state], "pid",
		child->pid > 0 ? json_integer(child->pid) : json_null(), "queue",
		number(status_queue(status->graph, child->stage)), "retain_bytes",
		number(status_retain(status->graph, child->stage)), "blocked",
		status_blocked[status_blocked_by(child)], "waits_for", waits_for(status, child),
		"workers", tell_workers(stage, child->page));
	(void)json_object_update_new(json, tell_sums(&sums));
	(void)json_object_set_new(json, "group", tell_group(&status->uses[i]));
	if (stage->role == SL_SOURCE)
		(void)json_object_set_new(json, "source", tell_source(status, child));
	return json;
}

static json_t *tell_store(const struct fill *fill)
{
	return json_pack("{s:s%, s:s, s:I, s:I, s:I}", "file", fill->store.name,
		fill->store.name_size, "when_full", fill->store.drops ? "drop" : "spill", "records",
		number(fill->records), "bytes", number(fill->bytes), "max",
		number(fill->store.max));
}

/* --- stages and the whole ------------------------------------------------------------------------ */

static json_t *tell_stage(const struct status *status, uint32_t index)
{
	const struct graph_stage *stage = &status->graph->stages[index];
	json_t *instances = json_array();
	struct sums sums = { 0 };
	struct fill fill;
	json_t *json;

	for (uint32_t i = 0; i < status->child_count; i++) {
		if (status->children[i].stage != index)
			continue;
		add_child(status, i, &sums);
		(void)json_array_append_new(instances, tell_instance(status, i));
	}
	json = json_pack("{s:s, s:s, s:s, s:I, s:I}", "name", stage->name, "role",
		graph_roles[stage->role], "impl", stage->impl, "processes",
		(json_int_t)stage->processes, "running", (json_int_t)sums.running);
	(void)json_object_update_new(json, tell_sums(&sums));
	if (status_fill(status, index, &fill))
		(void)json_object_set_new(json, "store", tell_store(&fill));
	(void)json_object_set_new(json, "instances", instances);
	return json;
}

static json_t *tell_since(int64_t ns)
{
	time_t seconds = (time_t)(ns / NSEC_PER_SEC);
	struct tm utc;
	char text[32];

	if (!gmtime_r(&seconds, &utc) || strftime(text, sizeof(text), "%FT%TZ", &utc) == 0)
		return json_null();
	return json_string(text);
}

json_t *status_json(const struct status *status)
{
	json_t *stages = json_array();
	char run[24];

	for (uint32_t i = 0; i < status->graph->stage_count; i++)
		(void)json_array_append_new(stages, tell_stage(status, i));
	(void)snprintf(run, sizeof(run), "%016" PRIx64, status->now.run);
	return json_pack("{s:s, s:o, s:s, s:I, s:s, s:s, s:o, s:o, s:f, s:o}", "pipeline",
		status->graph->name, "file", status_text(status->graph->file), "version",
		SLUICE_VERSION, "pid", (json_int_t)status->pid, "run", run, "state",
		status_states[status->now.state], "reason",
		status_text(status->now.state == SUPERVISOR_FAILING ? status->now.reason : NULL),
		"since", tell_since(status->started_at), "elapsed_seconds",
		status_seconds(status->at_ns - status->now.started_ns), "stages", stages);
}
