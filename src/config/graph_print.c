/* SPDX-License-Identifier: MIT */
/* See graph_print.h. */
#include "config/graph_print.h"

#include <inttypes.h>
#include <string.h>

#include "base/units.h"

/* "1 process", "2 processes" */
static void print_number(FILE *out, uint64_t count, const char *one, const char *many)
{
	(void)fprintf(out, "%" PRIu64 " %s", count, count == 1 ? one : many);
}

static int name_width(const struct graph *graph)
{
	size_t width = 0;

	for (uint32_t i = 0; i < graph->stage_count; i++)
		if (strlen(graph->stages[i].name) > width)
			width = strlen(graph->stages[i].name);
	return (int)width;
}

static void print_numbers(const struct graph_stage *stage, FILE *out)
{
	char text[32];

	print_number(out, stage->processes, "process", "processes");
	(void)fputs(", ", out);
	print_number(out, stage->threads, "thread", "threads");
	if (stage->coroutines > 0) {
		(void)fputs(", ", out);
		print_number(out, stage->coroutines, "coroutine", "coroutines");
	}
	if (stage->processes > 1)
		(void)fputs(" each", out);
	if (stage->role != SL_SOURCE)
		(void)fprintf(out, ", order %s", stage->order == GRAPH_ORDER_KEEP ? "kept" : "any");
	for (uint32_t i = 0; i < stage->partition_count; i++)
		(void)fprintf(out, "%s%s", i == 0 ? ", by " : " and ", stage->partition[i]);
	if (stage->port_count > 0)
		(void)fprintf(out, ", holds at most %s",
			units_print_size(stage->retain * stage->processes * stage->port_count, text,
				sizeof(text)));
	if (stage->memory_max > 0)
		(void)fprintf(out, ", memory at most %s",
			units_print_size(stage->memory_max, text, sizeof(text)));
	if (stage->cpu_weight > 0)
		(void)fprintf(out, ", cpu weight %u", stage->cpu_weight);
	if (stage->tasks_max > 0)
		(void)fprintf(out, ", at most %u threads and programs", stage->tasks_max);
}

static void print_outputs(
	const struct graph *graph, const struct graph_stage *stage, int width, FILE *out)
{
	for (uint32_t i = 0; i < stage->output_count; i++) {
		const struct graph_link *link = &graph->links[stage->outputs[i]];

		(void)fprintf(out, "  %*s  ", width, "");
		if (stage->port_count > 1)
			(void)fprintf(out, "%s ", stage->ports[link->port]);
		(void)fprintf(out, "-> %s\n", graph->stages[link->downstream].name);
	}
}

/* What the first half of a store leads to. */
static void print_store(
	const struct graph *graph, const struct graph_stage *stage, int width, FILE *out)
{
	struct graph_store store;
	char text[32];

	if (graph_store(graph, (uint32_t)(stage - graph->stages), &store) < 0)
		return;
	(void)fprintf(out, "  %*s  => %s, through the store %.*s; with %s in it %s\n", width, "",
		graph->stages[store.out].name, (int)store.name_size, store.name,
		units_print_size(store.max, text, sizeof(text)),
		store.drops ? "what comes is dropped" : "what comes waits");
}

void graph_print_text(const struct graph *graph, FILE *out)
{
	int width = name_width(graph);
	char text[32];

	(void)fprintf(out, "%s (%s)\n", graph->name, graph->file);
	print_number(out, graph->stage_count, "stage", "stages");
	(void)fputs(", ", out);
	print_number(out, graph->link_count, "link", "links");
	(void)fprintf(out, ", at most %s of records between them\n",
		units_print_size(graph_memory(graph), text, sizeof(text)));
	for (uint32_t i = 0; i < graph->stage_count; i++) {
		const struct graph_stage *stage = &graph->stages[i];

		(void)fprintf(out, "\n  %-*s  %s %s\n  %*s  ", width, stage->name,
			graph_roles[stage->role], stage->impl, width, "");
		print_numbers(stage, out);
		(void)fputc('\n', out);
		print_outputs(graph, stage, width, out);
		print_store(graph, stage, width, out);
	}
}

/* Inside of double quotes. */
static void print_quoted(const char *text, FILE *out)
{
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			(void)fputc('\\', out);
		(void)fputc(*text, out);
	}
}

static void print_dot_stage(const struct graph_stage *stage, FILE *out)
{
	static const char *const shapes[] = {
		[SL_SOURCE] = "invhouse", [SL_TRANSFORM] = "box", [SL_SINK] = "house"
	};

	(void)fprintf(out, "\t\"%s\" [shape=%s, label=\"%s\\n%s %s", stage->name,
		shapes[stage->role], stage->name, graph_roles[stage->role], stage->impl);
	if (stage->coroutines > 0)
		(void)fprintf(out, "\\n%u x %u x %u", stage->processes, stage->threads,
			stage->coroutines);
	else if (stage->processes > 1 || stage->threads > 1)
		(void)fprintf(out, "\\n%u x %u", stage->processes, stage->threads);
	(void)fputs("\"];\n", out);
}

void graph_print_dot(const struct graph *graph, FILE *out)
{
	(void)fputs("digraph \"", out);
	print_quoted(graph->name, out);
	(void)fputs("\" {\n\trankdir=LR;\n", out);
	for (uint32_t i = 0; i < graph->stage_count; i++)
		print_dot_stage(&graph->stages[i], out);
	for (uint32_t i = 0; i < graph->link_count; i++) {
		const struct graph_link *link = &graph->links[i];
		const struct graph_stage *upstream = &graph->stages[link->upstream];

		(void)fprintf(out, "\t\"%s\" -> \"%s\"", upstream->name,
			graph->stages[link->downstream].name);
		if (upstream->port_count > 1)
			(void)fprintf(out, " [label=\"%s\"]", upstream->ports[link->port]);
		(void)fputs(";\n", out);
	}
	for (uint32_t i = 0; i < graph->stage_count; i++)
		if (graph_find_out(graph, i) >= 0)
			(void)fprintf(out, "\t\"%s\" -> \"%s\" [style=dashed, label=\"store\"];\n",
				graph->stages[i].name,
				graph->stages[graph_find_out(graph, i)].name);
	(void)fputs("}\n", out);
}
