/* SPDX-License-Identifier: MIT */
/* See audit.h. */
#include "supervisor/audit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "link/tally.h"

/* --- the laws ----------------------------------------------------------------------------------- */

static uint64_t received(const struct graph *graph, const uint64_t *tally, uint32_t stage)
{
	uint64_t in = 0;

	for (uint32_t i = 0; i < graph->stages[stage].input_count; i++)
		in += tally[tally_received(graph->stages[stage].inputs[i])];
	return in;
}

static bool find_leaking_link(
	const struct graph *graph, const uint64_t *tally, char *text, size_t size)
{
	for (uint32_t i = 0; i < graph->link_count; i++) {
		uint64_t sent = tally[tally_sent(i)];
		uint64_t came = tally[tally_received(i)];

		if (sent == came)
			continue;
		(void)snprintf(text, size, "leak: %s sent %llu records to %s, which received %llu",
			graph->stages[graph->links[i].upstream].name, (unsigned long long)sent,
			graph->stages[graph->links[i].downstream].name, (unsigned long long)came);
		return true;
	}
	return false;
}

bool audit_find_leak(const struct graph *graph, const uint64_t *tally, char *text, size_t size)
{
	if (find_leaking_link(graph, tally, text, size))
		return true;
	for (uint32_t i = 0; i < graph->stage_count; i++) {
		uint64_t in = received(graph, tally, i);
		uint64_t out = tally[tally_consumed(graph, i)] + tally[tally_dead(graph, i)];

		if (graph->stages[i].role == SL_SOURCE || in == out)
			continue;
		(void)snprintf(text, size, "leak: %s received %llu records and answered for %llu",
			graph->stages[i].name, (unsigned long long)in, (unsigned long long)out);
		return true;
	}
	return false;
}

/* --- gathering ---------------------------------------------------------------------------------- */

int audit_init(struct audit *audit, const struct graph *graph, uint32_t child_count)
{
	*audit = (struct audit){
		.graph = graph,
		.sum = calloc(tally_size(graph), sizeof(*audit->sum)),
		.children = calloc(child_count, sizeof(*audit->children)),
		.child_count = child_count,
	};
	return audit->sum && audit->children ? 0 : -ENOMEM;
}

void audit_fini(struct audit *audit)
{
	free(audit->sum);
	free(audit->children);
}

void audit_begin(struct audit *audit, const uint64_t *base)
{
	memcpy(audit->sum, base, tally_size(audit->graph) * sizeof(*base));
	for (uint32_t i = 0; i < audit->child_count; i++)
		if (audit->children[i] != AUDIT_FINISHED)
			audit->children[i] = AUDIT_SILENT;
	audit->awaited = 0;
	audit->is_running = true;
}

bool audit_has_finished(const struct audit *audit, uint32_t i)
{
	return audit->children[i] == AUDIT_FINISHED;
}

void audit_await(struct audit *audit, uint32_t i)
{
	audit->children[i] = AUDIT_ASKED;
	audit->awaited++;
}

void audit_hear(struct audit *audit, uint32_t i, bool is_final, const void *payload, size_t size)
{
	uint32_t cells = tally_size(audit->graph);

	if (i >= audit->child_count || size != cells * sizeof(*audit->sum))
		return;
	if (audit->is_running && audit->children[i] == AUDIT_ASKED) {
		tally_add(audit->sum, payload, cells);
		audit->children[i] = AUDIT_ANSWERED;
		audit->awaited--;
	}
	if (is_final)
		audit->children[i] = AUDIT_FINISHED;
}

/* --- telling ------------------------------------------------------------------------------------ */

static json_t *tell_links(const struct audit *audit)
{
	const struct graph *graph = audit->graph;
	json_t *links = json_array();

	for (uint32_t i = 0; i < graph->link_count; i++) {
		const struct graph_link *link = &graph->links[i];
		const struct graph_stage *from = &graph->stages[link->upstream];

		(void)json_array_append_new(links,
			json_pack("{s:s, s:s, s:s, s:I, s:I}", "from", from->name, "port",
				from->ports[link->port], "to", graph->stages[link->downstream].name,
				"sent", (json_int_t)audit->sum[tally_sent(i)], "received",
				(json_int_t)audit->sum[tally_received(i)]));
	}
	return links;
}

static json_t *tell_stages(const struct audit *audit)
{
	const struct graph *graph = audit->graph;
	json_t *stages = json_array();

	for (uint32_t i = 0; i < graph->stage_count; i++) {
		uint64_t consumed = audit->sum[tally_consumed(graph, i)];
		uint64_t dead = audit->sum[tally_dead(graph, i)];
		uint64_t in = graph->stages[i].role == SL_SOURCE ? consumed + dead
								 : received(graph, audit->sum, i);

		(void)json_array_append_new(stages,
			json_pack("{s:s, s:s, s:I, s:I, s:I}", "name", graph->stages[i].name,
				"role", graph_roles[graph->stages[i].role], "in", (json_int_t)in,
				"consumed", (json_int_t)consumed, "dead", (json_int_t)dead));
	}
	return stages;
}

json_t *audit_end(struct audit *audit, json_t *missing)
{
	char leak[512];
	bool has_leak = audit_find_leak(audit->graph, audit->sum, leak, sizeof(leak));

	audit->is_running = false;
	return json_pack("{s:s, s:b, s:O, s:b, s:s?, s:o, s:o}", "pipeline", audit->graph->name,
		"complete", json_array_size(missing) == 0, "missing", missing, "holds", !has_leak,
		"leak", has_leak ? leak : NULL, "links", tell_links(audit), "stages",
		tell_stages(audit));
}
