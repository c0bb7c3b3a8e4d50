/* SPDX-License-Identifier: MIT */
/* See registry.h. A new stage is one line in each of the two lists. */
#include "engine/registry.h"

#include <errno.h>
#include <string.h>

#include "engine/host.h"
#include "engine/letters.h"
#include "engine/modules.h"
#include "engine/tap.h"

/* Not for modules: what a module calls by such a name is its own. */
#pragma GCC visibility push(hidden)
extern const struct sl_stage sl_stage_source_exec, sl_stage_transform_exec, sl_stage_sink_exec;
extern const struct sl_stage sl_stage_source_file, sl_stage_source_http, sl_stage_source_inline,
	sl_stage_source_listen, sl_stage_source_sequence, sl_stage_source_sqlite;
extern const struct sl_stage sl_stage_transform_cpu, sl_stage_transform_delay,
	sl_stage_transform_fault, sl_stage_transform_http, sl_stage_filter, sl_stage_map,
	sl_stage_route, sl_stage_sql, sl_stage_aggregate, sl_stage_dedupe;
extern const struct sl_stage sl_stage_sink_file, sl_stage_sink_http, sl_stage_sink_null,
	sl_stage_sink_sqlite, sl_stage_sink_stdout;
extern const struct sl_stage sl_stage_sink_spill, sl_stage_source_spill;
extern const struct sl_stage sl_stage_flatten;
extern const struct sl_stage sl_stage_unnest;
extern const struct sl_stage sl_stage_sample;
extern const struct sl_stage sl_stage_sink_aggregate, sl_stage_sink_dedupe;
#pragma GCC visibility pop

static const struct sl_stage *const all[] = {
	&sl_stage_source_exec,
	&sl_stage_source_file,
	&sl_stage_source_http,
	&sl_stage_source_inline,
	&sl_stage_source_listen,
	&sl_stage_source_sequence,
	&sl_stage_source_sqlite,
	&sl_stage_aggregate,
	&sl_stage_transform_cpu,
	&sl_stage_dedupe,
	&sl_stage_transform_delay,
	&sl_stage_transform_exec,
	&sl_stage_transform_fault,
	&sl_stage_filter,
	&sl_stage_map,
	&sl_stage_flatten,
	&sl_stage_unnest,
	&sl_stage_route,
	&sl_stage_sample,
	&sl_stage_transform_http,
	&sl_stage_sql,
	&sl_stage_sink_exec,
	&sl_stage_sink_file,
	&sl_stage_sink_http,
	&sl_stage_sink_null,
	&sl_stage_sink_sqlite,
	&sl_stage_sink_stdout,
};

/* What a transform with state is, where it takes records: no config names these. */
static const struct sl_stage *const states[] = {
	&sl_stage_sink_aggregate,
	&sl_stage_sink_dedupe,
};

#define BUILT_IN_COUNT (sizeof(all) / sizeof(all[0]))

const struct sl_stage *registry_at(unsigned i)
{
	return i < BUILT_IN_COUNT ? all[i] : modules_at(i - BUILT_IN_COUNT);
}

static const struct sl_stage *find_built_in(enum sl_role role, const char *name)
{
	for (unsigned i = 0; i < BUILT_IN_COUNT; i++)
		if (all[i]->role == role && strcmp(all[i]->name, name) == 0)
			return all[i];
	return NULL;
}

const struct sl_stage *registry_find(enum sl_role role, const char *name)
{
	const struct sl_stage *stage;

	for (unsigned i = 0; (stage = registry_at(i)); i++)
		if (stage->role == role && strcmp(stage->name, name) == 0)
			return stage;
	return NULL;
}

const struct sl_stage *registry_open(
	const char *module, enum sl_role role, const char *name, struct err *err)
{
	const struct sl_stage *stage;

	if (module)
		return modules_open(module, role, name, err);
	/* Not in the list: only a replay has it, a peek or a test, and what `when_full` and `intake` add. */
	if (strcmp(name, GRAPH_DEAD_LETTERS) == 0)
		return &letters_source;
	if (strcmp(name, GRAPH_SPILL) == 0)
		return role == SL_SINK ? &sl_stage_sink_spill : &sl_stage_source_spill;
	if (strcmp(name, GRAPH_TAP) == 0)
		return &tap_sink;
	stage = find_built_in(role, name);
	for (size_t i = 0; !stage && role == SL_SINK && i < sizeof(states) / sizeof(states[0]); i++)
		if (strcmp(states[i]->name, name) == 0)
			stage = states[i];
	if (!stage)
		(void)err_set(err, -ENOENT, "no stage \"%s\" in this sluice-stage", name);
	return stage;
}

void registry_read_modules(FILE *warnings)
{
	modules_read(find_built_in, warnings);
}

/* The stage's own check, with a context that knows no more than the stage's name. */
static int check(
	const struct sl_stage *stage, const char *name, const void *shared, struct err *err)
{
	struct graph_stage node = { .name = name, .processes = 1, .threads = 1 };
	struct host host = { .stage = &node, .impl = stage };
	struct callback callback;
	int r;

	if (!stage->check)
		return 0;
	callback_init(&callback, &host, NULL);
	r = stage->check(&callback.context, shared);
	if (r < 0)
		(void)err_set(err, r, "%s", callback.err.text[0] ? callback.err.text : err_name(r));
	return r;
}

const struct load_stages registry_stages = {
	.find = registry_find,
	.at = registry_at,
	.check = check,
	.module = modules_file,
	.refusal = modules_refusal,
};
