/* SPDX-License-Identifier: MIT */
/* What is right by itself and wrong together: numbers of processes and threads, shared files, paths of sockets. */
#include "config/loader.h"

#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "base/units.h"

#define RECORD_LEAST                                                                               \
	128 /* bytes: with less room for each, the numbers of a stage promise more than can be in work */

static void check_numbers(struct loader *loader, const struct draft *draft)
{
	if ((draft->impl->flags & SL_ONE_PROCESS) && draft->common.processes != 1)
		problems_error(&loader->problems, draft_line(draft, "processes"),
			"the %s `%s` works in one process only: write processes = 1;",
			role_name(draft->role), draft->impl->name);
	else if (draft->target && draft->role == SL_SINK && draft->common.processes != 1 &&
		 !strstr(draft->target, "{instance}"))
		problems_error(&loader->problems, draft_line(draft, "processes"),
			"several processes of `%s` would write one file: write processes = 1; or "
			"put {instance} into its path",
			draft->name);
	if ((draft->impl->flags & SL_ONE_THREAD) && draft->common.threads != 1)
		problems_error(&loader->problems, draft_line(draft, "threads"),
			"the %s `%s` works in one thread only: write threads = 1;",
			role_name(draft->role), draft->impl->name);
}

static void check_coroutines(struct loader *loader, const struct draft *draft)
{
	unsigned line = draft_line(draft, "coroutines");

	if (draft->common.coroutines == 0 || (draft->impl->flags & SL_TASKS))
		return;
	if (draft->role == SL_SOURCE)
		problems_error(&loader->problems, line,
			"a source reads one batch after another, so `coroutines` cannot help `%s`: "
			"remove it",
			draft->name);
	else if (draft->role == SL_SINK)
		problems_error(&loader->problems, line,
			"a sink writes and commits whole batches, so `coroutines` cannot help "
			"`%s`: write threads or processes",
			draft->name);
	else if (draft->impl->transform_batch)
		problems_error(&loader->problems, line,
			"the transform `%s` computes over whole batches and never waits, so "
			"`coroutines` cannot help `%s`: write threads or processes",
			draft->impl->name, draft->name);
	else
		problems_error(&loader->problems, line,
			"the transform `%s` cannot work on several records of one worker at once: "
			"write threads or processes for `%s`",
			draft->impl->name, draft->name);
}

/* What counts single records needs a stage that is given single records. */
static void check_per_record(struct loader *loader, const struct draft *draft)
{
	static const char *const names[] = { "timeout", "retries" };

	for (size_t i = 0; draft->role == SL_TRANSFORM && !draft->impl->transform && i < 2; i++)
		if (config_setting_get_member(draft->setting, names[i]) &&
			!schema_find(draft->impl->options, names[i]))
			problems_error(&loader->problems, draft_line(draft, names[i]),
				"`%s` is about single records, and the transform `%s` takes whole "
				"batches: remove it",
				names[i], draft->impl->name);
}

static void check_partition(struct loader *loader, const struct draft *draft)
{
	const struct sl_strings *partition = &draft->common.partition;
	bool is_set = config_setting_get_member(draft->setting, "partition");
	unsigned line = draft_line(draft, "processes");

	for (uint32_t i = 0; i < partition->count; i++)
		if (!partition->items[i] || !*partition->items[i])
			problems_error(&loader->problems, draft_line(draft, "partition"),
				"`partition` names no field: write partition = [ \"FIELD\" ];");
	if (draft->role == SL_SOURCE)
		return;
	if (is_set && draft->common.processes == 1)
		problems_warning(&loader->problems, draft_line(draft, "partition"),
			"`partition` changes nothing with one process: set `processes`, or remove "
			"it");
	else if (!is_set && draft->role == SL_SINK && draft->common.processes != 1 &&
		 draft->common.order == GRAPH_ORDER_KEEP && !(draft->impl->flags & SL_ONE_PROCESS))
		problems_warning(&loader->problems, line,
			"several processes of the sink `%s` cannot keep the order among them: "
			"write order = \"any\"; or set `partition`",
			draft->name);
}

/* `holder` keeps what `draft` works on, before or behind it. */
static void check_retain(
	struct loader *loader, const struct draft *holder, const struct draft *draft)
{
	uint64_t tasks = draft->common.coroutines > 0 ? (uint64_t)draft->common.coroutines : 1;
	uint64_t at_once = tasks * (uint64_t)draft->common.threads * draft->processes;
	uint64_t room = holder->common.retain * holder->processes;
	uint64_t needed = (at_once * RECORD_LEAST + holder->processes - 1) / holder->processes;
	char count[32], is[32];

	if (!holder->impl || at_once * RECORD_LEAST <= room)
		return;
	problems_warning(&loader->problems, draft_line(holder, "retain"),
		"`%s` would work on %s records at once, but the `retain` of `%s`, %s, leaves %u B "
		"for each: write retain = \"%uMiB\"; or more, or lower the numbers of `%s`",
		draft->name, units_print_count(at_once, count, sizeof(count)), holder->name,
		units_print_size(holder->common.retain, is, sizeof(is)), (unsigned)(room / at_once),
		(unsigned)(needed >> 20) + 1, draft->name);
}

static void check_room(struct loader *loader, uint32_t i)
{
	const struct draft *draft = &loader->drafts[i];

	if (draft->role == SL_TRANSFORM)
		check_retain(loader, draft, draft);
	for (uint32_t k = 0; k < loader->link_count; k++)
		if (loader->links[k].downstream == i)
			check_retain(loader, &loader->drafts[loader->links[k].upstream], draft);
}

static const char *print_mebibytes(uint64_t bytes, char *text, size_t size)
{
	(void)snprintf(text, size, "%lluMiB", (unsigned long long)((bytes + (1 << 20) - 1) >> 20));
	return text;
}

#define STAGE_LEAST (UINT64_C(8) << 20) /* bytes that a process has without any record */
#define STAGE_THREADS 8                 /* that it may have beside its workers */

/* Below this it is killed for what it was told it may hold. */
static void check_memory(struct loader *loader, const struct draft *draft)
{
	uint64_t held = draft->role == SL_SINK ? 0 : draft->common.retain * draft_port_count(draft);
	char max[32], retain[32], needed[32];

	if (draft->common.memory_max == 0 || draft->common.memory_max >= held + STAGE_LEAST)
		return;
	problems_warning(&loader->problems, draft_line(draft, "memory_max"),
		"each process of `%s` may hold %s (`retain`), and its `memory_max` is %s: write "
		"memory_max = \"%s\"; or more, or lower its `retain`",
		draft->name, units_print_size(held, retain, sizeof(retain)),
		units_print_size(draft->common.memory_max, max, sizeof(max)),
		print_mebibytes(held + STAGE_LEAST, needed, sizeof(needed)));
}

/* A thread that cannot be made ends the process. */
static void check_tasks(struct loader *loader, const struct draft *draft)
{
	int64_t least = draft->common.threads + STAGE_THREADS;

	if (draft->common.tasks_max > 0 && draft->common.tasks_max < least)
		problems_error(&loader->problems, draft_line(draft, "tasks_max"),
			"a process of `%s` with `threads` = %d needs up to %d threads, and its "
			"`tasks_max` is %d: write tasks_max = %d; or more",
			draft->name, (int)draft->common.threads, (int)least,
			(int)draft->common.tasks_max, (int)least);
}

/* Two sinks that write one file would destroy each other's work; of two sources at one address the second finds it taken. */
static void check_targets(struct loader *loader, uint32_t i)
{
	const struct draft *draft = &loader->drafts[i];

	for (uint32_t k = 0; k < i && draft->target; k++) {
		const struct draft *other = &loader->drafts[k];

		if (!other->target || strcmp(other->target, draft->target) != 0)
			continue;
		problems_error(&loader->problems,
			draft_line(draft, draft->role == SL_SOURCE ? "address" : "path"),
			"`%s` and `%s` %s, %s: give each its own", other->name, draft->name,
			draft->role == SL_SOURCE ? "listen at one address" : "write one file",
			draft->written);
		return;
	}
}

/* ZeroMQ binds RUNTIME/STAGE.PORT.N, and the kernel takes 107 bytes of a socket's path. */
static void check_sockets(struct loader *loader, const struct draft *draft)
{
	const int max = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;

	for (uint32_t port = 0; port < draft_port_count(draft); port++) {
		int size = snprintf(NULL, 0, "%s/%s.%s.%u", loader->runtime, draft->name,
			draft_port(draft, port), draft->processes - 1);

		if (size <= max)
			continue;
		problems_error(&loader->problems, draft->line,
			"the socket %s/%s.%s.%u has %d bytes in its path, and %d are the most: "
			"give a shorter folder with --runtime",
			loader->runtime, draft->name, draft_port(draft, port), draft->processes - 1,
			size, max);
		return;
	}
}

/* What can read again needs no store. Whether it can is not known of one whose options are wrong. */
static void check_intake(struct loader *loader, const struct draft *draft)
{
	if (draft->role != SL_SOURCE || !config_setting_get_member(draft->setting, "intake") ||
		schema_find(draft->impl->options, "intake") || !(draft->impl->flags & SL_RESUMES) ||
		(draft->impl->flags & SL_TAKES_OVER) || draft->is_live ||
		(draft->impl->is_live && loader->problems.error_count > 0))
		return;
	problems_error(&loader->problems, draft_line(draft, "intake"),
		"`%s` goes on where it stood, whoever dies, so `intake` is not needed: remove it",
		draft->name);
}

/* Is it one of the fields by which the stage tells records apart? Whole records have all of them. */
static bool is_key(const struct draft *draft, const char *field)
{
	struct sl_value by = sl_find(draft->options, "by", 2);
	struct sl_value key = sl_find(draft->options, "key", 3);
	struct sl_cursor fields = sl_walk(by.data ? by : key);
	struct sl_value none, value;
	const char *text;
	size_t size;

	if (!by.data && !key.data)
		return strcmp(draft->impl->name, "dedupe") == 0;
	while (sl_next(&fields, &none, &value))
		if (sl_get_str(value, &text, &size) && size == strlen(field) &&
			memcmp(text, field, size) == 0)
			return true;
	return false;
}

/* Each process knows what it was given: the same key must always come to the same one. */
static void check_shares(struct loader *loader, const struct draft *draft)
{
	const struct sl_strings *partition = &draft->common.partition;

	if (draft->common.processes == 1)
		return;
	if (partition->count == 0)
		problems_error(&loader->problems, draft_line(draft, "processes"),
			"several processes of `%s` would each know a part of every key: write "
			"partition = [ \"FIELD\" ]; with fields of its key, or processes = 1;",
			draft->name);
	for (uint32_t i = 0; i < partition->count; i++)
		if (!is_key(draft, partition->items[i]))
			problems_error(&loader->problems, draft_line(draft, "partition"),
				"`partition` has the field `%s`, which is not of the key of `%s`: "
				"records "
				"of one key would come to several processes; write fields of the "
				"key",
				partition->items[i], draft->name);
}

/* What it is given is in its store before it counts as settled. */
static void check_state(struct loader *loader, const struct draft *draft)
{
	if (draft->impl->flags & SL_HAS_STATE)
		check_shares(loader, draft);
	if ((draft->impl->flags & SL_HAS_STATE) && draft->common.when_full != SCHEMA_BLOCK)
		problems_error(&loader->problems, draft_line(draft, "when_full"),
			"`%s` keeps what it gives in a store, and takes what comes at once: remove "
			"`when_full`",
			draft->name);
}

static void check_spill_max(struct loader *loader, const struct draft *draft)
{
	bool is_source = draft->role == SL_SOURCE;

	if (draft->common.spill_max == 0 || (draft->impl->flags & SL_HAS_STATE) ||
		draft->common.when_full != SCHEMA_BLOCK || draft->common.intake == SCHEMA_DURABLE)
		return;
	problems_error(&loader->problems, draft_line(draft, "spill_max"),
		"`spill_max` bounds a store on disk, and `%s` has none: remove it, or write %s;",
		draft->name, is_source ? "intake = \"durable\"" : "when_full = \"spill\"");
}

void rules_check(struct loader *loader)
{
	for (uint32_t i = 0; i < loader->draft_count; i++) {
		const struct draft *draft = &loader->drafts[i];

		if (!draft->impl)
			continue;
		check_numbers(loader, draft);
		check_coroutines(loader, draft);
		check_per_record(loader, draft);
		check_partition(loader, draft);
		check_room(loader, i);
		check_memory(loader, draft);
		check_tasks(loader, draft);
		check_targets(loader, i);
		check_intake(loader, draft);
		check_spill_max(loader, draft);
		check_state(loader, draft);
		if (loader->runtime)
			check_sockets(loader, draft);
	}
}
