/* SPDX-License-Identifier: MIT */
/* See registry.h. A new stage is one line in each of the two lists. */
#include "engine/registry.h"

#include <string.h>

#include "engine/host.h"

extern const struct sl_stage sl_stage_source_file, sl_stage_source_inline, sl_stage_source_sequence;
extern const struct sl_stage sl_stage_transform_cpu, sl_stage_transform_delay,
	sl_stage_transform_fault, sl_stage_sql;
extern const struct sl_stage sl_stage_sink_file, sl_stage_sink_null, sl_stage_sink_stdout;

static const struct sl_stage *const all[] = {
	&sl_stage_source_file,
	&sl_stage_source_inline,
	&sl_stage_source_sequence,
	&sl_stage_transform_cpu,
	&sl_stage_transform_delay,
	&sl_stage_transform_fault,
	&sl_stage_sql,
	&sl_stage_sink_file,
	&sl_stage_sink_null,
	&sl_stage_sink_stdout,
};

const struct sl_stage *registry_at(unsigned i)
{
	return i < sizeof(all) / sizeof(all[0]) ? all[i] : NULL;
}

const struct sl_stage *registry_find(enum sl_role role, const char *name)
{
	for (unsigned i = 0; registry_at(i); i++)
		if (all[i]->role == role && strcmp(all[i]->name, name) == 0)
			return all[i];
	return NULL;
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
};
