/* SPDX-License-Identifier: MIT */
/* See load.h. Drives the passes of loader.h and makes a graph of what they found. */
#include "config/load.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/units.h"
#include "config/loader.h"
#include "config/suggest.h"
#include "config/syntax.h"
#include "config/tests.h"

/* libconfig 1.5 loses the string that it was reading when it meets a syntax error. */
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#define LEAKS_EXPECTED(statement)                                                                  \
	do {                                                                                       \
		__lsan_disable();                                                                  \
		statement;                                                                         \
		__lsan_enable();                                                                   \
	} while (0)
#else
#define LEAKS_EXPECTED(statement) statement
#endif

/* --- the top of the file ----------------------------------------------------------------------------- */

static const char *const keys[] = { "stages", "name", "drain_timeout", "sync_interval", "tests",
	NULL };

static bool is_key(const char *name)
{
	for (size_t k = 0; keys[k]; k++)
		if (strcmp(keys[k], name) == 0)
			return true;
	return false;
}

static void check_keys(struct loader *loader)
{
	const config_setting_t *root = config_root_setting(&loader->config);

	for (int i = 0; i < config_setting_length(root); i++) {
		const config_setting_t *setting = config_setting_get_elem(root, (unsigned)i);
		const char *key = config_setting_name(setting);
		struct suggest suggest;

		if (is_key(key))
			continue;
		suggest_init(&suggest, key);
		for (size_t k = 0; keys[k]; k++)
			suggest_offer(&suggest, keys[k]);
		loader->has_slip =
			loader->has_slip || (suggest.best && strcmp(suggest.best, "stages") == 0);
		if (suggest.best)
			problems_error(&loader->problems, config_setting_source_line(setting),
				"there is no `%s` here: write `%s`", key, suggest.best);
		else
			problems_error(&loader->problems, config_setting_source_line(setting),
				"there is no `%s` here: a file has `stages` and maybe a `name`; "
				"what describes a stage stands in its { }",
				key);
	}
}

static const char *name_of_file(struct loader *loader, const char *path)
{
	char name[PIPELINE_NAME_SIZE];

	graph_name_of_file(path, name);
	return arena_copy(&loader->arena, name, strlen(name));
}

static void resolve_name(struct loader *loader)
{
	const config_setting_t *setting = config_lookup(&loader->config, "name");
	const char *name;
	bool is_right;

	loader->name = name_of_file(loader, loader->text.path);
	if (!setting)
		return;
	name = convert_string(loader, "name", setting, "\"orders\"");
	if (!name)
		return;
	is_right = isalnum((unsigned char)name[0]) && strlen(name) < PIPELINE_NAME_SIZE;
	for (const char *at = name; *at; at++)
		is_right = is_right && graph_is_name_char(*at);
	if (!is_right)
		problems_error(&loader->problems, config_setting_source_line(setting),
			"`name` is \"%.60s\", and names a folder: write 1 to %d letters, digits, "
			"`-` and `_`",
			name, PIPELINE_NAME_SIZE - 1);
	loader->name = name;
}

/* Of the whole pipeline, into the loader. */
static const struct sl_option durations[] = {
	{ .name = "drain_timeout",
		.type = SL_TYPE_DURATION,
		.offset = offsetof(struct loader, drain_timeout_ns),
		.fallback = "30s",
		.example = "\"10s\"",
		.min = NSEC_PER_MSEC,
		.max = 365 * 24 * 3600 * NSEC_PER_SEC },
	/* 0: never. */
	{ .name = "sync_interval",
		.type = SL_TYPE_DURATION,
		.offset = offsetof(struct loader, sync_interval_ns),
		.fallback = "5s",
		.example = "\"1s\"",
		.min = 0,
		.max = 24 * 3600 * NSEC_PER_SEC },
};

static void resolve_duration(struct loader *loader, const struct sl_option *option)
{
	const config_setting_t *setting = config_lookup(&loader->config, option->name);
	int64_t *duration = (int64_t *)(void *)((char *)loader + option->offset);
	struct sl_writer value;

	(void)units_parse_duration(option->fallback, duration);
	if (!setting)
		return;
	sl_writer_init(&value);
	if (convert_option(loader, option, setting, &value))
		(void)sl_get_int((struct sl_value){ value.data, value.size }, duration);
	sl_writer_fini(&value);
}

/* --- the graph --------------------------------------------------------------------------------------- */

static unsigned flags_of(const struct draft *draft)
{
	unsigned flags = draft->impl->flags;

	return draft->is_live && !(flags & SL_TAKES_OVER) ? flags & ~(unsigned)SL_RESUMES : flags;
}

static void fill_stage(struct loader *loader, const struct draft *draft, struct graph_stage *stage)
{
	struct text_place place = text_place(&loader->text, draft->line);
	const struct schema_values *common = &draft->common;
	const struct load_stages *stages = loader->stages;

	*stage = (struct graph_stage){
		.name = draft->name,
		.impl = draft->impl->name,
		.module = stages->module ? stages->module(draft->impl) : NULL,
		.role = draft->role,
		.flags = flags_of(draft) |
			 (draft->impl->transform_batch || draft->impl->write ? GRAPH_WHOLE_BATCHES
									     : 0) |
			 (common->intake == SCHEMA_DURABLE ? GRAPH_DURABLE : 0),
		.file = place.file,
		.line = place.line,
		.processes = draft->processes,
		.threads = (uint32_t)common->threads,
		.coroutines = (uint32_t)common->coroutines,
		.stack_size = common->stack_size,
		.rate_ns = common->rate,
		.timeout_ns = common->timeout,
		.retries = common->retries,
		.queue = (uint32_t)common->queue,
		.retain = common->retain,
		.order = (enum graph_order)common->order,
		.on_error = (enum graph_on_error)common->on_error,
		.dead_max = (uint64_t)common->dead_max,
		.partition = common->partition.items,
		.partition_count = common->partition.count,
		.restart_max = (uint32_t)common->restart,
		.restart_within_ns = common->restart_within,
		.restart_backoff_ns = common->backoff,
		.stall_timeout_ns = common->stall_timeout,
		.sandbox = common->sandbox,
		.memory_max = common->memory_max,
		.cpu_weight = (uint32_t)common->cpu_weight,
		.tasks_max = (uint32_t)common->tasks_max,
		.port_count = draft_port_count(draft),
		.listen = draft->role == SL_SOURCE ? draft->target : NULL,
		.options = draft->options,
		.options_shape = shape_of_options(loader, draft),
	};
}

static const char *const *list_ports(struct loader *loader, const struct draft *draft)
{
	uint32_t count = draft_port_count(draft);
	const char **ports = arena_alloc_array(&loader->arena, count, sizeof(*ports));

	for (uint32_t i = 0; ports && i < count; i++)
		ports[i] = draft_port(draft, i);
	return ports;
}

static void fill_stages(struct loader *loader, struct graph *graph)
{
	for (uint32_t i = 0; i < loader->draft_count; i++) {
		struct draft *draft = &loader->drafts[loader->order[i]];

		draft->position = i;
		fill_stage(loader, draft, &graph->stages[i]);
		graph->stages[i].ports = list_ports(loader, draft);
	}
}

static void fill_links(struct loader *loader, struct graph *graph)
{
	for (uint32_t i = 0; i < loader->link_count; i++)
		graph->links[i] = (struct graph_link){
			.upstream = loader->drafts[loader->links[i].upstream].position,
			.port = loader->links[i].port,
			.downstream = loader->drafts[loader->links[i].downstream].position,
		};
}

/* Through the serialised form, so that the graph owns all that it holds. */
static int own(const struct graph *graph, struct graph **ret_graph, struct err *err)
{
	struct sl_writer bytes;
	int r;

	sl_writer_init(&bytes);
	r = graph_encode(graph, &bytes);
	if (r == 0)
		r = graph_decode(bytes.data, bytes.mark, ret_graph, err);
	sl_writer_fini(&bytes);
	return r;
}

static const char *const *list_secrets(struct loader *loader, uint32_t *ret_count)
{
	const char **secrets;
	uint32_t count = 0;

	for (const struct expand_word *word = loader->expand.secrets; word; word = word->next)
		count++;
	*ret_count = count;
	secrets = arena_alloc_array(&loader->arena, count, sizeof(*secrets));
	for (const struct expand_word *word = loader->expand.secrets; secrets && word;
		word = word->next)
		secrets[--count] = word->text;
	return secrets;
}

static int make_graph(struct loader *loader, struct graph **ret_graph, struct err *err)
{
	char *file = realpath(loader->text.path, NULL);
	struct graph graph = {
		.name = loader->name,
		.drain_timeout_ns = loader->drain_timeout_ns,
		.sync_interval_ns = loader->sync_interval_ns,
		.file = file ? arena_copy(&loader->arena, file, strlen(file)) : loader->text.path,
		.stages = arena_alloc_array(
			&loader->arena, loader->draft_count, sizeof(*graph.stages)),
		.stage_count = loader->draft_count,
		.links =
			arena_alloc_array(&loader->arena, loader->link_count, sizeof(*graph.links)),
		.link_count = loader->link_count,
	};

	free(file);
	if (!graph.stages || !graph.links)
		return -ENOMEM;
	fill_stages(loader, &graph);
	fill_links(loader, &graph);
	graph.secrets = list_secrets(loader, &graph.secret_count);
	if (!loader->arena.error && !stores_insert(loader, &graph))
		return -EINVAL;
	return loader->arena.error ? loader->arena.error : own(&graph, ret_graph, err);
}

/* --- the whole --------------------------------------------------------------------------------------- */

static int parse(struct loader *loader)
{
	bool is_parsed;

	LEAKS_EXPECTED(is_parsed = config_read_string(&loader->config, loader->text.data));
	if (is_parsed)
		return 0;
	syntax_explain(&loader->text, &loader->problems,
		(unsigned)config_error_line(&loader->config), config_error_text(&loader->config));
	return -EINVAL;
}

/* A slip of the pen must not leave the default in force. */
static void check_parameters(struct loader *loader)
{
	const char *meant = NULL;
	const char *name = expand_unused(&loader->expand, &meant);

	if (!name)
		return;
	if (meant)
		problems_error(&loader->problems, 0,
			"--set %s=...: no string of the config has ${%s}: write --set %s=...", name,
			name, meant);
	else
		problems_error(&loader->problems, 0,
			"--set %s=...: no string of the config has ${%s}: write ${%s} where its "
			"value belongs, or leave it out",
			name, name, name);
}

static int load(struct loader *loader, const char *path, struct sl_writer *tests,
	struct graph **ret_graph, struct err *err)
{
	int r = text_load(&loader->text, &loader->arena, &loader->problems, path);

	if (r < 0)
		return r;
	text_check(&loader->text, &loader->problems);
	loader->problems.raw_count = loader->problems.count;
	r = parse(loader);
	if (r < 0)
		return r;
	check_keys(loader);
	resolve_name(loader);
	for (size_t i = 0; i < sizeof(durations) / sizeof(durations[0]); i++)
		resolve_duration(loader, &durations[i]);
	resolve_stages(loader);
	wire_stages(loader);
	rules_check(loader);
	tests_resolve(loader, tests);
	if (loader->problems.error_count == 0)
		check_parameters(loader);
	if (loader->arena.error)
		return loader->arena.error;
	return loader->problems.error_count > 0 ? -EINVAL : make_graph(loader, ret_graph, err);
}

static void loader_init(struct loader *loader, const char *const *parameters)
{
	loader->expand = (struct expand){ .arena = &loader->arena, .parameters = parameters };
	problems_init(&loader->problems, &loader->arena);
	config_init(&loader->config);
}

/* Reports what was found, or `err` when nothing was and yet `r` is an error. */
static void loader_fini(
	struct loader *loader, int r, const struct err *err, load_problem_fn *report, void *user)
{
	if (r < 0 && loader->problems.error_count == 0)
		problems_error(&loader->problems, 0, "%s", err->text[0] ? err->text : err_name(r));
	problems_report(&loader->problems, &loader->text, report, user);
	config_destroy(&loader->config);
	problems_fini(&loader->problems);
	text_fini(&loader->text);
	arena_fini(&loader->arena);
}

int load_config(const char *path, const char *const *parameters, const char *runtime,
	const struct load_stages *stages, load_problem_fn *report, void *user,
	struct graph **ret_graph)
{
	struct sl_writer tests;
	int r;

	sl_writer_init(&tests);
	r = load_tests(path, parameters, runtime, stages, report, user, ret_graph, &tests);
	sl_writer_fini(&tests);
	return r;
}

int load_tests(const char *path, const char *const *parameters, const char *runtime,
	const struct load_stages *stages, load_problem_fn *report, void *user,
	struct graph **ret_graph, struct sl_writer *tests)
{
	struct loader loader = { .stages = stages, .runtime = runtime };
	struct err err = { "" };
	int r;

	loader_init(&loader, parameters);
	r = load(&loader, path, tests, ret_graph, &err);
	loader_fini(&loader, r, &err, report, user);
	return r;
}

int load_name(const char *path, const char *const *parameters, load_problem_fn *report, void *user,
	char *ret_name, size_t size)
{
	struct loader loader = { 0 };
	struct err err = { "" };
	int r;

	loader_init(&loader, parameters);
	r = text_load(&loader.text, &loader.arena, &loader.problems, path);
	if (r == 0)
		r = parse(&loader);
	if (r == 0) {
		resolve_name(&loader);
		r = loader.arena.error;
	}
	if (r == 0 && loader.problems.error_count > 0)
		r = -EINVAL;
	if (r == 0)
		(void)snprintf(ret_name, size, "%s", loader.name);
	loader_fini(&loader, r, &err, report, user);
	return r;
}
