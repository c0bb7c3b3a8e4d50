/* SPDX-License-Identifier: MIT */
/*
 * A tally: the counts of conservation, for one batch and all that became of it below, or summed over a run. Dense
 * cells, two for each link (sent, received) and two for each stage (consumed, dead). It travels upwards with
 * SETTLED, so that every settled identity is counted once, however often it was worked on.
 *
 * Laws: on each link sent = received; in each stage with inputs received = consumed + dead.
 */
#ifndef LINK_TALLY_H
#define LINK_TALLY_H

#include <stdint.h>
#include <stdlib.h>

#include "config/graph.h"

static inline uint32_t tally_size(const struct graph *graph)
{
	return 2 * (graph->link_count + graph->stage_count);
}

static inline uint32_t tally_sent(uint32_t link)
{
	return 2 * link;
}

static inline uint32_t tally_received(uint32_t link)
{
	return 2 * link + 1;
}

static inline uint32_t tally_consumed(const struct graph *graph, uint32_t stage)
{
	return 2 * (graph->link_count + stage);
}

static inline uint32_t tally_dead(const struct graph *graph, uint32_t stage)
{
	return 2 * (graph->link_count + stage) + 1;
}

static inline void tally_subtract(uint64_t *sum, const uint64_t *less, uint32_t size)
{
	for (uint32_t i = 0; i < size; i++)
		sum[i] -= less[i];
}

static inline void tally_add(uint64_t *sum, const uint64_t *more, uint32_t size)
{
	for (uint32_t i = 0; i < size; i++)
		sum[i] += more[i];
}

#endif
