/* SPDX-License-Identifier: MIT */
/*
 * From what was measured of each stage to the three numbers that it should have. Pure arithmetic: Little's law and the
 * utilisation law, and nothing of a particular stage.
 *
 * The pipeline could run s times as fast as it did until one of these holds: the processors are busy; a stage that takes
 * one worker only is busy; a stage's `rate`. At that speed each stage has so many records in work at once, and keeps so many
 * processors busy: these are its numbers.
 */
#ifndef CLI_ADVICE_H
#define CLI_ADVICE_H

#include "config/graph.h"

/* One stage over the time of the sample, summed over its instances and workers; seconds. */
struct advice_measured {
	double in;        /* records that came in; a source: that it read */
	double records;   /* those whose work is in the sums below */
	double computing; /* processor time, its child processes' included */
	double calls;     /* in stage code; with coroutines of all tasks together */
	double waited;    /* the part of `calls` in waits of sluice/task.h */
	double paused;    /* the part of `calls` in which the engine held it back: rate, retries */
	double preempted; /* ready to compute, and no processor was free */
	double no_input;  /* of the wall time of its instances */
	double no_credit; /* the same: downstream could take no more */
};

enum advice_limit {
	ADVICE_PROCESSORS, /* all of them are busy */
	ADVICE_STAGE,      /* `limit_stage` takes no second worker and is busy */
	ADVICE_RATE,       /* the `rate` of `limit_stage` */
	ADVICE_HANDS, /* of what was measured, none: the most hands that are suggested for `limit_stage` */
};

struct advice_stage {
	double rate;      /* records a second */
	double compute;   /* seconds for one record */
	double wait;      /* the same */
	double busy;      /* 0 to 1: of what its numbers allow it to do */
	double held_back; /* 0 to 1: of the time of its hands, by its rate or before another try */
	bool is_measured;
	bool waits_in_tasks; /* what it waits for lets other tasks run */
	bool should_change;
	uint32_t processes, threads, coroutines;
};

struct advice {
	int bottleneck; /* its stage; -1: none was busy */
	double gain;    /* times as fast as it was */
	enum advice_limit limit;
	uint32_t limit_stage;
	struct advice_stage *stages; /* the caller's, one per stage */
};

#define ADVICE_COROUTINES_MAX 1000 /* more is for who knows what the other side bears */
#define ADVICE_THREADS_MAX 64

/* `seconds` of wall time, `cores` processors. */
void advice_make(const struct graph *graph, const struct advice_measured *measured, double seconds,
	unsigned cores, struct advice *advice);

#endif
