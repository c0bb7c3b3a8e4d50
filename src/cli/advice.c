/* SPDX-License-Identifier: MIT */
/* See advice.h. */
#include "cli/advice.h"

#include <math.h>

#define BUSY 0.7     /* from here on a stage holds up the others */
#define WAITS 0.3    /* from here on a share of waiting makes workers that wait together worth it */
#define HEADROOM 1.1 /* so that a stage whose neighbours vary does not become the next limit */
#define PROCESSORS_USED 0.95 /* of all, by a pipeline that is limited by them */
#define GAIN_LEAST 1.1       /* less is within what a second measurement would say */

static double least(double a, double b)
{
	return a < b ? a : b;
}

static double most(double a, double b)
{
	return a > b ? a : b;
}

static bool is_single(const struct graph_stage *stage)
{
	return (stage->flags & SL_ONE_PROCESS) && (stage->flags & SL_ONE_THREAD);
}

/* The time in which it had a record in hand and the engine did not hold it back. */
static double worked(const struct advice_measured *m)
{
	return most(m->calls - m->paused - m->preempted, m->computing);
}

/* --- what was ------------------------------------------------------------------------------------- */

static void describe(const struct graph_stage *stage, const struct advice_measured *m,
	double seconds, struct advice_stage *a)
{
	double workers = (double)stage->processes * stage->threads;
	double waiting = most(worked(m) - m->computing, 0);

	*a = (struct advice_stage){
		.rate = m->in / seconds,
		.is_measured = m->records > 0,
		.waits_in_tasks = m->waited - m->paused >= waiting / 2,
		.processes = stage->processes,
		.threads = stage->threads,
		.coroutines = stage->coroutines,
	};
	if (m->records > 0) {
		a->compute = m->computing / m->records;
		a->wait = waiting / m->records;
	}
	a->busy = least(
		1, m->calls / (seconds * (double)graph_concurrency(stage) * stage->processes));
	a->held_back = a->busy * m->paused / most(m->calls, 1e-12);
	/* Of coroutines few may be in work while their loop has no time for more. */
	a->busy = most(a->busy, least(1, m->computing / (seconds * workers)));
}

/* The busiest; of several that are, the one that the others wait for most. */
static int find_bottleneck(const struct graph *graph, const struct advice_measured *measured,
	const struct advice *advice)
{
	int found = -1;
	double highest = BUSY;

	for (uint32_t i = 0; i < graph->stage_count; i++) {
		double held_up = measured[i].no_credit + measured[i].no_input;
		double score = advice->stages[i].busy - 1e-6 * held_up;

		if (score <= highest)
			continue;
		highest = score;
		found = (int)i;
	}
	return found;
}

/* --- what could be -------------------------------------------------------------------------------- */

static void limit_to(struct advice *advice, double gain, enum advice_limit limit, uint32_t stage)
{
	if (gain >= advice->gain)
		return;
	advice->gain = gain;
	advice->limit = limit;
	advice->limit_stage = stage;
}

/* How many hands a stage may get at most: tasks where waits let others run, else threads. */
static double hands_max(const struct graph_stage *stage, const struct advice_stage *a)
{
	double now = (double)graph_concurrency(stage) * stage->processes;

	if (is_single(stage))
		return 1;
	if (a->waits_in_tasks && (stage->flags & SL_TASKS))
		return most(now, ADVICE_COROUTINES_MAX);
	return most(now, ADVICE_THREADS_MAX);
}

static void find_gain(const struct graph *graph, const struct advice_measured *measured,
	double seconds, unsigned cores, struct advice *advice)
{
	double computing = 0;

	advice->gain = INFINITY;
	for (uint32_t i = 0; i < graph->stage_count; i++) {
		const struct graph_stage *stage = &graph->stages[i];
		double hands = worked(&measured[i]) / seconds;

		computing += measured[i].computing / seconds;
		if (hands > 0)
			limit_to(advice, hands_max(stage, &advice->stages[i]) / hands,
				is_single(stage) ? ADVICE_STAGE : ADVICE_HANDS, i);
		if (stage->rate_ns > 0 && measured[i].in > 0)
			limit_to(advice, 1e9 / (double)stage->rate_ns / advice->stages[i].rate,
				ADVICE_RATE, i);
	}
	if (computing > 0)
		limit_to(advice, PROCESSORS_USED * cores / computing, ADVICE_PROCESSORS, 0);
	if (!isfinite(advice->gain))
		advice->gain = 1;
	advice->gain = most(advice->gain, 1);
}

static uint32_t round_up(double number)
{
	return number > 1 ? (uint32_t)ceil(number - 0.05) : 1;
}

/* 137 tasks say more than was measured: two digits. */
static uint32_t round_tasks(double number)
{
	double unit = number >= 100 ? pow(10, floor(log10(number)) - 1) : 1;

	return (uint32_t)(ceil(number / unit - 0.05) * unit);
}

static void set_workers(const struct graph_stage *stage, uint32_t workers, struct advice_stage *a)
{
	a->processes = 1;
	a->threads = 1;
	if (!(stage->flags & SL_ONE_THREAD))
		a->threads = workers < ADVICE_THREADS_MAX ? workers : ADVICE_THREADS_MAX;
	else if (!(stage->flags & SL_ONE_PROCESS))
		a->processes = workers;
}

/* The numbers with which it can have `hands` records in work, computing on `computing` processors. */
static void choose(const struct graph_stage *stage, double hands, double computing, unsigned cores,
	struct advice_stage *a)
{
	double share = a->wait / most(a->wait + a->compute, 1e-12);

	a->coroutines = 0;
	if (share < WAITS) {
		/* More workers than processors would wait for each other. */
		set_workers(stage, round_up(least(hands, cores)), a);
	} else if (a->waits_in_tasks && (stage->flags & SL_TASKS)) {
		set_workers(stage, round_up(computing), a);
		a->coroutines = round_tasks(least(hands * HEADROOM, ADVICE_COROUTINES_MAX) /
					    (a->threads * a->processes));
	} else {
		set_workers(stage, round_up(hands), a);
	}
}

static bool is_enough(const struct graph_stage *stage, const struct advice_stage *a)
{
	uint64_t now = graph_concurrency(stage) * stage->processes;
	uint64_t then =
		(uint64_t)a->processes * a->threads * (a->coroutines > 0 ? a->coroutines : 1);

	return stage->processes * stage->threads >= a->processes * a->threads && now >= then;
}

static void advise_stage(const struct graph_stage *stage, const struct advice_measured *m,
	double seconds, unsigned cores, double gain, struct advice_stage *a)
{
	struct advice_stage now = *a;

	if (m->records <= 0 || is_single(stage))
		return;
	choose(stage, gain * worked(m) / seconds, gain * m->computing / seconds, cores, a);
	a->should_change = !is_enough(stage, a);
	if (a->should_change)
		return;
	a->processes = now.processes;
	a->threads = now.threads;
	a->coroutines = now.coroutines;
}

void advice_make(const struct graph *graph, const struct advice_measured *measured, double seconds,
	unsigned cores, struct advice *advice)
{
	for (uint32_t i = 0; i < graph->stage_count; i++)
		describe(&graph->stages[i], &measured[i], seconds, &advice->stages[i]);
	advice->bottleneck = find_bottleneck(graph, measured, advice);
	find_gain(graph, measured, seconds, cores, advice);
	if (advice->gain < GAIN_LEAST)
		return;
	for (uint32_t i = 0; i < graph->stage_count; i++)
		advise_stage(&graph->stages[i], &measured[i], seconds, cores, advice->gain,
			&advice->stages[i]);
}
