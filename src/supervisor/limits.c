/* SPDX-License-Identifier: MIT */
/* See limits.h. */
#include "supervisor/limits.h"

#include <stdio.h>
#include <sys/resource.h>

#define STACK_DEFAULT (UINT64_C(8) << 20)
/* Threads beside the workers: the pump, ZeroMQ's, those of libuv's pool. */
#define THREADS_MORE 8

bool limits_want_cpu(const struct graph *graph)
{
	for (uint32_t i = 0; i < graph->stage_count; i++)
		if (graph->stages[i].cpu_weight > 0)
			return true;
	return false;
}

static uint64_t stack_size(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_STACK, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
		return STACK_DEFAULT;
	return limit.rlim_cur;
}

uint64_t limits_data(const struct groups *groups, const struct graph_stage *stage)
{
	if (groups->has_memory || stage->memory_max == 0)
		return 0;
	return stage->memory_max + (stage->threads + THREADS_MORE) * stack_size() +
	       (uint64_t)stage->threads * stage->coroutines * stage->stack_size;
}

static bool any(const struct graph *graph, bool (*is_asked)(const struct graph_stage *))
{
	for (uint32_t i = 0; i < graph->stage_count; i++)
		if (is_asked(&graph->stages[i]))
			return true;
	return false;
}

static bool wants_memory(const struct graph_stage *stage)
{
	return stage->memory_max > 0;
}

static bool wants_cpu(const struct graph_stage *stage)
{
	return stage->cpu_weight > 0;
}

static bool wants_tasks(const struct graph_stage *stage)
{
	return stage->tasks_max > 0;
}

bool limits_explain(const struct groups *groups, const struct graph *graph, char *text, size_t size)
{
	bool lacks_memory = !groups->has_memory && any(graph, wants_memory);
	bool lacks_cpu = !groups->has_cpu && any(graph, wants_cpu);
	bool lacks_tasks = !groups->has_tasks && any(graph, wants_tasks);

	if (!lacks_memory && !lacks_cpu && !lacks_tasks)
		return false;
	(void)snprintf(text, size, "%s, so%s%s%s%s", groups->why,
		lacks_memory ? " memory_max is held by RLIMIT_DATA: of each process by itself, of "
			       "memory that it has reserved, and who has no more gets an error "
			       "instead of being killed"
			     : "",
		lacks_memory && (lacks_cpu || lacks_tasks) ? ";" : "",
		lacks_cpu ? " cpu_weight is not held" : "",
		lacks_tasks ? (lacks_cpu ? ", nor is tasks_max" : " tasks_max is not held") : "");
	return true;
}
