/* SPDX-License-Identifier: MIT */
/*
 * See status.h: the same as Prometheus reads it, text exposition format 0.0.4. One table row for each family: a counter's
 * name ends in _total, times are seconds, sizes are bytes.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "supervisor/status.h"

struct metric {
	const char *name;
	const char *help;
	bool is_counter;
	bool is_source; /* only of sources */
	/* NAN: not known, and left out. */
	double (*value)(const struct status *status, const struct supervisor_child *child);
	/* Families with one more label: how many values it has, its name, and each; NULL: none. */
	uint32_t count;
	const char *label;
	const char *const *values;
	double (*labelled)(const struct supervisor_child *child, uint32_t i);
};

/* --- values ------------------------------------------------------------------------------------- */

#define COUNTER(field)                                                                             \
	static double get_##field(                                                                 \
		const struct status *status, const struct supervisor_child *child)                 \
	{                                                                                          \
		(void)status;                                                                      \
		return (double)page_get(child->page->field);                                       \
	}
COUNTER(records_in)
COUNTER(records_out)
COUNTER(records_dead)
COUNTER(retried)
COUNTER(batches_in)
COUNTER(batches_again)
COUNTER(queued)
COUNTER(held_bytes)
COUNTER(position)
COUNTER(settled)
COUNTER(progress_done)

#define SUM(field, unit)                                                                           \
	static double get_##field(                                                                 \
		const struct status *status, const struct supervisor_child *child)                 \
	{                                                                                          \
		double sum = 0;                                                                    \
                                                                                                   \
		(void)status;                                                                      \
		for (int i = 0; i < PAGE_WORKERS_MAX; i++)                                         \
			sum += (double)page_get(child->page->workers[i].field);                    \
		return sum / (unit);                                                               \
	}
SUM(cpu_ns, NSEC_PER_SEC)
SUM(in_calls_ns, NSEC_PER_SEC)
SUM(waited_ns, NSEC_PER_SEC)
SUM(paused_ns, NSEC_PER_SEC)
SUM(tasks, 1)
SUM(held, 1)

static double get_up(const struct status *status, const struct supervisor_child *child)
{
	(void)status;
	return child->state == CHILD_RUNNING || child->state == CHILD_LEAVING;
}

static double get_restarts(const struct status *status, const struct supervisor_child *child)
{
	(void)status;
	return child->restarts;
}

static double get_queue(const struct status *status, const struct supervisor_child *child)
{
	return (double)status_queue(status->graph, child->stage);
}

static double get_retain(const struct status *status, const struct supervisor_child *child)
{
	return (double)status_retain(status->graph, child->stage);
}

static double get_total(const struct status *status, const struct supervisor_child *child)
{
	double total = (double)page_get(child->page->progress_total);

	(void)status;
	return total > 0 ? total : NAN;
}

static double get_age(const struct status *status, const struct supervisor_child *child)
{
	return status_age(status, child);
}

static double get_lag(const struct status *status, const struct supervisor_child *child)
{
	int64_t lag = status_lag(child);

	(void)status;
	return lag < 0 ? NAN : (double)lag;
}

#define FILL(name, field)                                                                          \
	static double get_store_##name(                                                            \
		const struct status *status, const struct supervisor_child *child)                 \
	{                                                                                          \
		struct fill fill;                                                                  \
                                                                                                   \
		return status_fill_one(status, child->stage, child->instance, &fill)               \
			       ? (double)fill.field                                                \
			       : NAN;                                                              \
	}
FILL(records, records)
FILL(bytes, bytes)
FILL(max, store.max)

#define USE(field)                                                                                 \
	static double get_##field(                                                                 \
		const struct status *status, const struct supervisor_child *child)                 \
	{                                                                                          \
		const struct group_use *use = &status->uses[child - status->children];             \
                                                                                                   \
		return use->is_there && use->field != UINT64_MAX ? (double)use->field : NAN;       \
	}
USE(memory)
USE(memory_peak)
USE(memory_max)
USE(kills)
USE(tasks_max)

static double get_threads(const struct status *status, const struct supervisor_child *child)
{
	const struct group_use *use = &status->uses[child - status->children];

	return use->is_there && use->tasks != UINT64_MAX ? (double)use->tasks : NAN;
}

static double get_blocked(const struct supervisor_child *child, uint32_t i)
{
	return (double)page_get(child->page->blocked_ns[i]) / NSEC_PER_SEC;
}

/* --- the table ---------------------------------------------------------------------------------- */

/* clang-format off */
static const struct metric metrics[] = {
	{ "sluice_instance_up",              "1 when the process is ready, else 0.", .value = get_up },
	{ "sluice_restarts_total",           "Processes that were started in place of a dead one.", true, .value = get_restarts },
	{ "sluice_records_in_total",         "Records that came in; a source: that were read.", true, .value = get_records_in },
	{ "sluice_records_out_total",        "Records that went out.", true, .value = get_records_out },
	{ "sluice_records_dead_total",       "Records that were given up.", true, .value = get_records_dead },
	{ "sluice_records_retried_total",    "Tries of a record after its first.", true, .value = get_retried },
	{ "sluice_batches_in_total",         "Batches that came in.", true, .value = get_batches_in },
	{ "sluice_batches_again_total",      "Batches that were given again after a death.", true, .value = get_batches_again },
	{ "sluice_queued_batches",           "Batches at hand and not begun.", .value = get_queued },
	{ "sluice_queue_batches",            "Batches that its upstream may send before it begins them: its credit.", .value = get_queue },
	{ "sluice_held_bytes",               "Bytes that are held because they are not settled.", .value = get_held_bytes },
	{ "sluice_retain_bytes",             "Bytes that may be held: retain, over all outputs.", .value = get_retain },
	{ "sluice_blocked_seconds_total",    "Time in each state: free, or waiting for input, for credit, for room.", true,
	  .count = PAGE_BLOCKED_COUNT, .label = "state", .values = status_blocked, .labelled = get_blocked },
	{ "sluice_worker_cpu_seconds_total", "Processor time of the workers.", true, .value = get_cpu_ns },
	{ "sluice_calls_seconds_total",      "Time inside stage code; with coroutines of all tasks together.", true, .value = get_in_calls_ns },
	{ "sluice_waited_seconds_total",     "The part of it that was waiting.", true, .value = get_waited_ns },
	{ "sluice_paused_seconds_total",     "Time that workers were made to wait by rate or backoff.", true, .value = get_paused_ns },
	{ "sluice_tasks",                    "Coroutines alive.", .value = get_tasks },
	{ "sluice_tasks_slow_total",         "Times that a task kept its worker for over 100 ms.", true, .value = get_held },
	{ "sluice_source_position",          "End of the last batch that was read, in its origin.", .is_source = true, .value = get_position },
	{ "sluice_source_settled",           "Where everything before is settled, in its origin.", .is_source = true, .value = get_settled },
	{ "sluice_source_done",              "How much was read, in the unit of the source.", .is_source = true, .value = get_progress_done },
	{ "sluice_source_size",              "How much there is to read, where that is known.", .is_source = true, .value = get_total },
	{ "sluice_source_lag",               "How much is left to read, where that is known.", .is_source = true, .value = get_lag },
	{ "sluice_source_age_seconds",       "How long the oldest record that is not settled has been on its way.", .is_source = true, .value = get_age },
	{ "sluice_store_records",            "Records in the store that the stage writes into, not settled behind it.", .value = get_store_records },
	{ "sluice_store_bytes",              "Bytes in that store.", .value = get_store_bytes },
	{ "sluice_store_max_bytes",          "The most that it may hold: spill_max.", .value = get_store_max },
	{ "sluice_memory_bytes",             "Memory of the process and its programs; only where it has a cgroup, as those that follow.", .value = get_memory },
	{ "sluice_memory_peak_bytes",        "The most that it was since the process started.", .value = get_memory_peak },
	{ "sluice_memory_max_bytes",         "The most that it may be: memory_max.", .value = get_memory_max },
	{ "sluice_memory_kills",             "Processes that were killed for want of memory since the process started.", .value = get_kills },
	{ "sluice_threads",                  "Threads and programs of the process.", .value = get_threads },
	{ "sluice_threads_max",              "How many there may be: tasks_max.", .value = get_tasks_max },
};
/* clang-format on */

/* --- the text ----------------------------------------------------------------------------------- */

/* A label's value, escaped. */
static void put_label(FILE *file, const char *name, const char *value, const char *after)
{
	(void)fprintf(file, "%s=\"", name);
	for (; *value; value++) {
		if (*value == '\n')
			(void)fputs("\\n", file);
		else if (*value == '"' || *value == '\\')
			(void)fprintf(file, "\\%c", *value);
		else
			(void)fputc(*value, file);
	}
	(void)fprintf(file, "\"%s", after);
}

static void put_head(FILE *file, const char *name, const char *help, bool is_counter)
{
	(void)fprintf(file, "# HELP %s %s\n# TYPE %s %s\n", name, help, name,
		is_counter ? "counter" : "gauge");
}

static void put_pipeline(FILE *file, const struct status *status)
{
	const char *name = status->graph->name;

	put_head(file, "sluice_info", "1; what runs.", false);
	(void)fputs("sluice_info{", file);
	put_label(file, "pipeline", name, ",");
	put_label(file, "version", SLUICE_VERSION, ",");
	(void)fprintf(file, "run=\"%016" PRIx64 "\"} 1\n", status->now.run);
	put_head(file, "sluice_state", "1 for the state that the pipeline is in.", false);
	for (uint32_t i = 0; status_states[i]; i++) {
		(void)fputs("sluice_state{", file);
		put_label(file, "pipeline", name, ",");
		put_label(file, "state", status_states[i], "");
		(void)fprintf(file, "} %d\n", i == (uint32_t)status->now.state);
	}
	put_head(file, "sluice_start_time_seconds", "When it started, in seconds since 1970.",
		false);
	(void)fputs("sluice_start_time_seconds{", file);
	put_label(file, "pipeline", name, "");
	(void)fprintf(file, "} %.3f\n", (double)status->started_at / NSEC_PER_SEC);
}

static void put_sample(FILE *file, const struct status *status, const struct metric *metric,
	const struct supervisor_child *child, uint32_t i)
{
	double value = metric->label ? metric->labelled(child, i) : metric->value(status, child);

	if (isnan(value))
		return;
	(void)fprintf(file, "%s{", metric->name);
	put_label(file, "pipeline", status->graph->name, ",");
	put_label(file, "stage", status->graph->stages[child->stage].name, ",");
	(void)fprintf(file, "instance=\"%u\"", child->instance);
	if (metric->label) {
		(void)fputc(',', file);
		put_label(file, metric->label, metric->values[i], "");
	}
	(void)fprintf(file, "} %.15g\n", value);
}

static void put_metric(FILE *file, const struct status *status, const struct metric *metric)
{
	put_head(file, metric->name, metric->help, metric->is_counter);
	for (uint32_t i = 0; i < status->child_count; i++) {
		const struct supervisor_child *child = &status->children[i];

		if (metric->is_source && status->graph->stages[child->stage].role != SL_SOURCE)
			continue;
		for (uint32_t k = 0; k < (metric->label ? metric->count : 1); k++)
			put_sample(file, status, metric, child, k);
	}
}

char *status_metrics(const struct status *status, size_t *ret_size)
{
	char *text = NULL;
	FILE *file = open_memstream(&text, ret_size);
	bool is_whole;

	if (!file)
		return NULL;
	put_pipeline(file, status);
	for (size_t i = 0; i < sizeof(metrics) / sizeof(metrics[0]); i++)
		put_metric(file, status, &metrics[i]);
	is_whole = !ferror(file);
	if (fclose(file) == 0 && is_whole)
		return text;
	free(text);
	return NULL;
}
