/* SPDX-License-Identifier: MIT */
/* See output.h. */
#include "engine/output.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define STEP_MAX 160

/* Same key, same lane: the hash of the key fields' bytes. An absent field counts as nothing. */
static uint32_t lane_of(const struct graph_stage *to, struct sl_value record)
{
	uint64_t hash = 0;

	for (uint32_t i = 0; i < to->partition_count; i++) {
		struct sl_value v = { 0 };

		if (sl_kind(record) == SL_MAP)
			v = sl_find(record, to->partition[i], strlen(to->partition[i]));
		hash = XXH3_64bits_withSeed(v.data ? v.data : "", v.size, hash);
	}
	return (uint32_t)(hash % to->processes);
}

/* Cuts `whole` into one batch per downstream instance, empty ones too: every lane travels. */
static int make_lanes(const struct graph_stage *to, struct sl_batch *whole, struct sl_batch **lanes)
{
	struct sl_writer *writers = calloc(to->processes, sizeof(*writers));
	int r = writers ? batch_check(whole) : -ENOMEM;

	for (uint32_t i = 0; i < whole->head.count && r == 0; i++) {
		struct sl_value record = sl_batch_record(whole, i);
		struct sl_writer *w = &writers[lane_of(to, record)];

		sl_put_value(w, record);
		r = sl_record_done(w);
	}
	for (uint32_t i = 0; i < to->processes && r == 0; i++) {
		struct batch_head head = whole->head;
		char step[STEP_MAX];

		(void)snprintf(step, sizeof(step), "%s/%u of %u", to->name, i, to->processes);
		head.id.path = batch_path(head.id.path, step);
		lanes[i] = batch_from_writer(&writers[i], &head);
		r = lanes[i] ? 0 : -ENOMEM;
	}
	for (uint32_t i = 0; writers && i < to->processes; i++)
		sl_writer_fini(&writers[i]);
	free(writers);
	return r;
}

static const struct graph_stage *partitioned_output(
	const struct host *host, uint32_t output, uint32_t port)
{
	const struct graph_link *link = &host->graph->links[host->stage->outputs[output]];
	const struct graph_stage *to = &host->graph->stages[link->downstream];

	return link->port == port && to->partition_count > 0 ? to : NULL;
}

static int add_lanes(const struct host *host, uint32_t port, struct outlet_output *output)
{
	uint32_t count = 0;
	int r = 0;

	for (uint32_t i = 0; i < host->stage->output_count; i++) {
		const struct graph_stage *to = partitioned_output(host, i, port);

		count += to ? to->processes : 0;
	}
	if (count == 0)
		return 0;
	output->lanes = calloc(count, sizeof(struct sl_batch *));
	if (!output->lanes)
		return -ENOMEM;
	for (uint32_t i = 0; i < host->stage->output_count && r == 0; i++) {
		const struct graph_stage *to = partitioned_output(host, i, port);

		if (!to)
			continue;
		r = make_lanes(to, output->whole, output->lanes + output->lane_count);
		output->lane_count += to->processes;
	}
	return r;
}

int output_make(const struct host *host, uint32_t port, const struct batch_head *head,
	struct sl_writer *w, struct outlet_output *ret)
{
	struct batch_head own = *head;
	struct outlet_output output = { 0 };
	char step[STEP_MAX];
	int r;

	(void)snprintf(step, sizeof(step), "%s.%s", host->stage->name, host->stage->ports[port]);
	own.id.path = batch_path(head->id.path, step);
	own.attempt = 0;
	sl_record_abandon(w);
	output.whole = batch_from_writer(w, &own);
	if (!output.whole)
		return -ENOMEM;
	r = add_lanes(host, port, &output);
	if (r < 0) {
		outlet_output_fini(&output);
		return r;
	}
	*ret = output;
	return 0;
}

int output_make_all(const struct host *host, struct job *job, const struct batch_head *head,
	struct sl_writer *const *writers)
{
	int r = 0;

	job->outputs = calloc(host->stage->port_count, sizeof(*job->outputs));
	if (!job->outputs)
		return -ENOMEM;
	job->port_count = host->stage->port_count;
	for (uint32_t i = 0; i < job->port_count && r == 0; i++) {
		(void)page_add(host->page->records_out, writers[i]->count);
		r = output_make(host, i, head, writers[i], &job->outputs[i]);
	}
	return r;
}
