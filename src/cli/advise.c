/* SPDX-License-Identifier: MIT */
/* advise: runs a pipeline for a while and says which three numbers its stages should have. */
#include "cli/cli.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/cores.h"
#include "base/units.h"
#include "cli/advice.h"
#include "cli/apart.h"
#include "cli/sample.h"
#include "cli/show.h"

#define HELD_BACK 0.5 /* a larger share of the time explains a bottleneck */
#define FOR_DEFAULT (10 * NSEC_PER_SEC)
#define PATIENCE (2 * NSEC_PER_SEC) /* for what is in work when the time is over */

static const char help[] =
	"Runs the pipeline on its real input, measures what each stage computes and what it waits "
	"for, and\n"
	"says which stage holds up the others and which numbers (processes, threads, coroutines) "
	"to set.\n"
	"Transforms run, with all their effects. Sinks do not: what reaches them is discarded. "
	"Nothing is\n"
	"remembered: it works in a state folder of its own.\n"
	"\n"
	"--for DURATION  how long, when the input does not end before (default: 10s)\n"
	"--with-sinks    sinks run, too, and write for real\n"
	"\n"
	"Exit status: 0 advice was given; 1 failed; 2 wrong command line; 78 bad config.\n";

struct sampling {
	struct show show;
	int64_t wanted_ns;
	int64_t ready_ns;
	int64_t taken_ns; /* the time is over: what was seen then counts */
	int64_t seen_ns;
	bool was_cut; /* stopped at once, by us */
	struct sample_process *processes;
	struct advice_measured *measured;
};

/* --- the run -------------------------------------------------------------------------------------- */

static void on_line(void *user, const struct log_line *line)
{
	struct sampling *sampling = user;

	show_line(&sampling->show, line);
}

static void on_ready(void *user)
{
	((struct sampling *)user)->ready_ns = clock_now();
}

static void on_tick(void *user, const struct supervisor *supervisor)
{
	struct sampling *sampling = user;
	int64_t now = clock_now();

	if (sampling->taken_ns == 0) {
		sample_look(supervisor, sampling->processes);
		sample_sum(supervisor, sampling->processes, sampling->measured);
		sampling->seen_ns = now;
		if (sampling->ready_ns > 0 && now - sampling->ready_ns >= sampling->wanted_ns) {
			sampling->taken_ns = now;
			(void)kill(getpid(), SIGTERM);
		}
	} else if (!sampling->was_cut && now - sampling->taken_ns > PATIENCE) {
		sampling->was_cut = true;
		(void)kill(getpid(), SIGTERM);
	}
}

static void leave_out_sinks(struct graph *graph)
{
	static char none[] = "\x80"; /* an empty map */

	for (uint32_t i = 0; i < graph->stage_count; i++) {
		struct graph_stage *stage = &graph->stages[i];

		if (stage->role != SL_SINK || (stage->flags & SL_HAS_STATE))
			continue;
		stage->impl = "null";
		stage->module = NULL;
		stage->options = (struct sl_value){ .data = none, .size = 1 };
		stage->rate_ns = 0;
	}
}

static int count_processes(const struct graph *graph)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < graph->stage_count; i++)
		count += graph->stages[i].processes;
	return (int)count;
}

/* 0, or 1 with the reason said. */
static int take_sample(struct plan *plan, struct sampling *sampling)
{
	struct supervisor_view view = {
		.line = on_line, .ready = on_ready, .tick = on_tick, .user = sampling
	};
	struct supervisor_result result;
	struct supervisor *supervisor;
	struct err err = { 0 };
	int r = plan_lock(plan, &err);

	show_init(&sampling->show, true);
	if (r == 0)
		r = supervisor_run(plan, (struct supervisor_start){ .mode = RESUME_APART }, &view,
			&supervisor, &err);
	if (r < 0) {
		(void)fprintf(stderr, "sluice advise: %s\n", err.text);
		return 1;
	}
	supervisor_result(supervisor, &result);
	if (result.end == SUPERVISOR_FAILED && !sampling->was_cut) {
		(void)fprintf(stderr, "sluice advise: the pipeline failed: %s\n", result.reason);
		r = 1;
	}
	supervisor_free(supervisor);
	return r;
}

/* --- what it says --------------------------------------------------------------------------------- */

static const char *count_text(double number, char *text, size_t size)
{
	if (number < 100)
		(void)snprintf(text, size, number < 10 ? "%.2f" : "%.1f", number);
	else
		(void)units_print_count((uint64_t)number, text, size);
	return text;
}

static const char *time_text(double seconds, char *text, size_t size)
{
	return units_print_duration((int64_t)(seconds * 1e9), text, size);
}

static void print_measured(const struct graph *graph, const struct sampling *sampling,
	const struct advice *advice, double seconds, bool with_sinks)
{
	(void)printf(
		"%-16s %12s  %-28s %6s %10s %12s\n", "", "", "one record", "", "held up by", "");
	(void)printf("%-16s %12s  %13s %14s %6s %10s %12s\n", "stage", "records/s", "computes",
		"waits", "busy", "input", "downstream");
	for (uint32_t i = 0; i < graph->stage_count; i++) {
		const struct graph_stage *stage = &graph->stages[i];
		const struct advice_stage *a = &advice->stages[i];
		double wall = seconds * stage->processes;
		char rate[32], compute[32], wait[32];

		(void)printf(
			"%-16.16s %12s  ", stage->name, count_text(a->rate, rate, sizeof(rate)));
		if (stage->role == SL_SINK && !with_sinks)
			(void)printf("%13s %14s\n", "-", "not run");
		else if (!a->is_measured)
			(void)printf("%13s %14s\n", "-", "none was done");
		else
			(void)printf("%13s %14s %4.0f %% %8.0f %% %10.0f %%\n",
				time_text(a->compute, compute, sizeof(compute)),
				time_text(a->wait, wait, sizeof(wait)), 100 * a->busy,
				100 * sampling->measured[i].no_input / wall,
				100 * sampling->measured[i].no_credit / wall);
	}
}

static void print_bottleneck(const struct graph *graph, const struct advice *advice)
{
	const struct advice_stage *a;
	const char *name;
	char compute[32], wait[32];

	if (advice->bottleneck < 0) {
		(void)printf("\nNo stage is busy: the input does not come faster.\n");
		return;
	}
	a = &advice->stages[advice->bottleneck];
	name = graph->stages[advice->bottleneck].name;
	(void)time_text(a->compute, compute, sizeof(compute));
	(void)time_text(a->wait, wait, sizeof(wait));
	if (a->held_back > HELD_BACK) {
		(void)printf("\nThe bottleneck is `%s`: its `rate`, or that it tries again, holds "
			     "it back "
			     "for %.0f %% of the time.\n",
			name, 100 * a->held_back);
		return;
	}
	(void)printf("\nThe bottleneck is `%s`: it is busy %.0f %% of the time, and it ", name,
		100 * a->busy);
	if (a->wait > 2 * a->compute)
		(void)printf("waits: for each record %s, and computes for %s.\n", wait, compute);
	else if (a->compute > 2 * a->wait)
		(void)printf("computes: for each record %s, and waits for %s.\n", compute, wait);
	else
		(void)printf("does both: for each record it computes for %s and waits for %s.\n",
			compute, wait);
}

/* What stands in the way of more. */
static void print_limit(const struct graph *graph, const struct advice *advice, unsigned cores)
{
	const char *name = graph->stages[advice->limit_stage].name;

	switch (advice->limit) {
	case ADVICE_PROCESSORS:
		(void)printf("the %u processor%s here %s busy.\n", cores, cores > 1 ? "s" : "",
			cores > 1 ? "are" : "is");
		break;
	case ADVICE_STAGE:
		(void)printf("`%s` is busy, which has one worker only.\n", name);
		break;
	case ADVICE_RATE:
		(void)printf("the `rate` of `%s` is reached.\n", name);
		break;
	case ADVICE_HANDS:
		(void)printf(
			"only more workers for `%s` do more, if what it waits for bears them.\n",
			name);
		break;
	}
}

static void print_advice(const struct graph *graph, const struct advice *advice, unsigned cores)
{
	bool has_any = false;
	char gain[32];

	for (uint32_t i = 0; i < graph->stage_count; i++)
		has_any = has_any || advice->stages[i].should_change;
	if (!has_any && advice->bottleneck < 0 && advice->limit != ADVICE_RATE) {
		(void)printf("\nNothing to change: more workers would have nothing to do.\n");
		return;
	}
	(void)printf(has_any ? "\nSet\n" : "\nNothing to change: ");
	for (uint32_t i = 0; i < graph->stage_count; i++) {
		const struct advice_stage *a = &advice->stages[i];

		if (a->should_change)
			(void)printf("  %-16s processes = %u; threads = %u; coroutines = %u;\n",
				graph->stages[i].name, a->processes, a->threads, a->coroutines);
	}
	if (has_any)
		(void)printf("for up to %s times as many records a second; then ",
			count_text(advice->gain, gain, sizeof(gain)));
	print_limit(graph, advice, cores);
}

static void say(const struct graph *graph, const struct sampling *sampling, bool with_sinks)
{
	double seconds = (double)(sampling->seen_ns - sampling->ready_ns) / NSEC_PER_SEC;
	struct advice advice = { .stages = calloc(graph->stage_count, sizeof(*advice.stages)) };
	unsigned cores = cores_count();
	char text[32];

	if (!advice.stages)
		return;
	advice_make(graph, sampling->measured, seconds, cores, &advice);
	(void)printf("%s of `%s` on %u processor%s\n\n", time_text(seconds, text, sizeof(text)),
		graph->name, cores, cores > 1 ? "s" : "");
	print_measured(graph, sampling, &advice, seconds, with_sinks);
	print_bottleneck(graph, &advice);
	print_advice(graph, &advice, cores);
	free(advice.stages);
}

/* --- the command ---------------------------------------------------------------------------------- */

/* A store would show how fast a disk is, and hide who waits for whom. */
static int leave_out_stores(struct plan *plan)
{
	struct graph *joined;
	struct err err = { 0 };

	if (graph_join(plan->graph, &joined, &err) < 0) {
		(void)fprintf(stderr, "sluice advise: %s\n", err.text);
		return 1;
	}
	graph_free(plan->graph);
	plan->graph = joined;
	return 0;
}

static int run_plan(struct plan *plan, const struct cli_options *options)
{
	struct sampling sampling = { .wanted_ns = options->duration_ns ? options->duration_ns
								       : FOR_DEFAULT };
	int r;

	if (leave_out_stores(plan) != 0)
		return CLI_FAILED;
	if (!options->with_sinks)
		leave_out_sinks(plan->graph);
	sampling.processes =
		calloc((size_t)count_processes(plan->graph), sizeof(*sampling.processes));
	sampling.measured = calloc(plan->graph->stage_count, sizeof(*sampling.measured));
	r = sampling.processes && sampling.measured ? take_sample(plan, &sampling) : 1;
	if (r == 0 && sampling.ready_ns == 0) {
		(void)fprintf(stderr, "sluice advise: stopped before all stages were ready\n");
		r = 1;
	}
	if (r == 0)
		say(plan->graph, &sampling, options->with_sinks);
	free(sampling.processes);
	free(sampling.measured);
	return r == 0 ? CLI_OK : CLI_FAILED;
}

static int run_advise(const struct cli_command *command, int argc, char **argv)
{
	struct cli_options options;
	char folder[APART_FOLDER_SIZE];
	struct plan plan;
	struct err err = { 0 };
	int r = cli_parse(command, argc, argv, "FILE", &options);

	if (r != 0)
		return r == 1 ? CLI_OK : CLI_USAGE;
	apart_name(command->name, folder);
	if (apart_make(folder, &err) < 0) {
		(void)fprintf(stderr, "sluice advise: %s\n", err.text);
		return CLI_FAILED;
	}
	r = plan_make(options.file, options.sets.items, folder, folder, &plan, &err);
	if (r < 0 && r != -EINVAL)
		(void)fprintf(stderr, "sluice advise: %s\n", err.text);
	if (r < 0) {
		r = cli_plan_status(r);
	} else {
		r = run_plan(&plan, &options);
		plan_fini(&plan);
	}
	apart_remove(folder);
	return r;
}

const struct cli_command cli_advise = {
	.name = "advise",
	.arguments = "FILE [--set NAME=VALUE] [--for DURATION] [--with-sinks]",
	.summary = "measures, and says which numbers to set",
	.help = help,
	.run = run_advise,
};
