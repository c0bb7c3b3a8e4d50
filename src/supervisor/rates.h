/* SPDX-License-Identifier: MIT */
/*
 * Records a second of one instance over the last seconds: samples of its counters, taken by the supervisor's tick. No I/O.
 * The counters only grow: they outlive a process.
 */
#ifndef SUPERVISOR_RATES_H
#define SUPERVISOR_RATES_H

#include <stdint.h>

#define RATES_SAMPLES 10

struct rates_sample {
	int64_t at_ns; /* monotonic */
	uint64_t in, out;
};

struct rates {
	struct rates_sample
		samples[RATES_SAMPLES]; /* a ring: `next` is the oldest once it is full */
	uint32_t count;
	uint32_t next;
};

/* Takes a sample, unless the last one is younger than half a second. */
void rates_sample(struct rates *rates, struct rates_sample now);
/* Since the oldest sample; 0 while there is none. */
void rates_since(
	const struct rates *rates, struct rates_sample now, double *ret_in, double *ret_out);

#endif
