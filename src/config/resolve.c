/* SPDX-License-Identifier: MIT */
/*
 * From the parsed text to drafts: each stage's name, role, implementation and options, one by one. What connects them
 * is wire.c's.
 */
#include "config/loader.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "config/graph_room.h"
#include "config/suggest.h"

#define STAGE_NAME_MAX 32

static const char *const roles[] = { "source", "transform", "sink", NULL };

const char *role_name(enum sl_role role)
{
	return roles[role];
}

static int find_role(const char *name)
{
	for (int i = 0; roles[i]; i++)
		if (strcmp(roles[i], name) == 0)
			return i;
	return -ENOENT;
}

unsigned draft_line(const struct draft *draft, const char *option)
{
	const config_setting_t *setting = config_setting_get_member(draft->setting, option);

	return setting ? config_setting_source_line(setting) : draft->line;
}

static const config_setting_t *member(const config_setting_t *group, int i)
{
	return config_setting_get_elem(group, (unsigned)i);
}

/* --- role and implementation ------------------------------------------------------------------------- */

/* An option whose name is nearly a role's: a slip that says which role was meant. */
static const config_setting_t *find_slip(const config_setting_t *group, const char **ret_role)
{
	for (int i = 0; i < config_setting_length(group); i++) {
		const char *name = config_setting_name(member(group, i));
		struct suggest suggest;

		suggest_init(&suggest, name);
		for (int role = 0; roles[role]; role++)
			suggest_offer(&suggest, roles[role]);
		if (!suggest.best || schema_find(schema_common, name))
			continue;
		*ret_role = suggest.best;
		return member(group, i);
	}
	return NULL;
}

static void report_no_role(struct loader *loader, const struct draft *draft)
{
	const char *role;
	const config_setting_t *slip = find_slip(draft->setting, &role);

	if (slip)
		problems_error(&loader->problems, config_setting_source_line(slip),
			"there is no option `%s`: write `%s`", config_setting_name(slip), role);
	else
		problems_error(&loader->problems, draft->line,
			"`%s` has no role: write source = \"...\"; or transform = \"...\"; or sink "
			"= \"...\"; (`sluice list` shows them)",
			draft->name);
}

/* The setting that names the draft's one role; NULL, and reported, when there is none or more than one. */
static const config_setting_t *resolve_role(struct loader *loader, struct draft *draft)
{
	const config_setting_t *chosen = NULL;

	for (int i = 0; i < config_setting_length(draft->setting); i++) {
		const config_setting_t *setting = member(draft->setting, i);
		int role = find_role(config_setting_name(setting));

		if (role < 0)
			continue;
		if (chosen) {
			problems_error(&loader->problems, config_setting_source_line(setting),
				"`%s` is a %s and a %s: it can be one, so make two stages, or "
				"remove one line",
				draft->name, roles[draft->role], roles[role]);
			draft->has_role = false;
			return NULL;
		}
		chosen = setting;
		draft->role = (enum sl_role)role;
		draft->has_role = true;
	}
	if (!chosen)
		report_no_role(loader, draft);
	return chosen;
}

static void report_unknown_impl(
	struct loader *loader, const struct draft *draft, const char *name, unsigned line)
{
	const struct sl_stage *stage;
	struct suggest suggest;

	for (int role = SL_SOURCE; role <= SL_SINK; role++) {
		if (!loader->stages->find((enum sl_role)role, name))
			continue;
		problems_error(&loader->problems, line,
			"`%s` is a %s, not a %s: write %s = \"%s\"; (`sluice list` shows all)",
			name, roles[role], roles[draft->role], roles[role], name);
		return;
	}
	suggest_init(&suggest, name);
	for (unsigned i = 0; (stage = loader->stages->at(i)); i++)
		if (stage->role == draft->role)
			suggest_offer(&suggest, stage->name);
	if (suggest.best)
		problems_error(&loader->problems, line,
			"there is no %s `%s`: write %s = \"%s\"; (`sluice list` shows all)",
			roles[draft->role], name, roles[draft->role], suggest.best);
	else
		problems_error(&loader->problems, line,
			"there is no %s `%s`: `sluice list` shows those there are",
			roles[draft->role], name);
}

static void resolve_impl(struct loader *loader, struct draft *draft)
{
	const config_setting_t *setting = resolve_role(loader, draft);
	const char *name;

	if (!setting)
		return;
	name = convert_string(loader, roles[draft->role], setting, "\"file\"");
	if (!name)
		return;
	draft->impl = loader->stages->find(draft->role, name);
	if (!draft->impl)
		report_unknown_impl(loader, draft, name, config_setting_source_line(setting));
}

/* --- options ----------------------------------------------------------------------------------------- */

/* The names of a table in a row, when they are few enough to be read. */
static const char *list_options(struct loader *loader, const struct sl_option *table)
{
	const char *text = "";

	for (int i = 0; table && table[i].name && text; i++)
		text = i < 10 ? arena_printf(&loader->arena, "%s%s`%s`", text, i > 0 ? ", " : "",
					table[i].name)
			      : arena_printf(&loader->arena, "%s%s", text, i == 10 ? ", ..." : "");
	return text && *text ? arena_printf(&loader->arena, "%s and ", text) : "";
}

/* The option that was meant by a name that there is not, or NULL. */
static const char *meant_option(const struct draft *draft, const char *name)
{
	struct suggest suggest;

	suggest_init(&suggest, name);
	for (const struct sl_option *option = draft->impl->options; option && option->name;
		option++)
		suggest_offer(&suggest, option->name);
	for (const struct sl_option *option = schema_common; option->name; option++)
		if (schema_common_fits(option, draft->role))
			suggest_offer(&suggest, option->name);
	if (draft->role != SL_SOURCE)
		suggest_offer(&suggest, "from");
	return suggest.best;
}

static void report_unknown_option(
	struct loader *loader, const struct draft *draft, const config_setting_t *setting)
{
	const char *name = config_setting_name(setting);
	unsigned line = config_setting_source_line(setting);
	const char *meant = meant_option(draft, name);

	if (meant)
		problems_error(&loader->problems, line,
			"the %s `%s` has no option `%s`: write `%s`", roles[draft->role],
			draft->impl->name, name, meant);
	else
		problems_error(&loader->problems, line,
			"the %s `%s` has no option `%s`: it has %sthose of every %s (`sluice "
			"describe %s` shows them)",
			roles[draft->role], draft->impl->name, name,
			list_options(loader, draft->impl->options), roles[draft->role],
			draft->impl->name);
}

static void report_unfit_option(
	struct loader *loader, const struct draft *draft, const char *name, unsigned line)
{
	if (draft->role == SL_SOURCE)
		problems_error(&loader->problems, line,
			"`%s` is about records that come in, and a source has no input: set it on "
			"a stage that takes from `%s`",
			name, draft->name);
	else
		problems_error(&loader->problems, line,
			"`%s` is about records that go out, and a sink has no output: set it on a "
			"stage that `%s` takes from",
			name, draft->name);
}

/* A map of resolved options that grows: pairs first, their number at the end. */
struct pairs {
	struct sl_writer bytes;
	uint32_t count;
};

static void convert_pair(struct loader *loader, const struct sl_option *option,
	const config_setting_t *setting, struct pairs *pairs)
{
	struct sl_writer value;

	sl_writer_init(&value);
	if (convert_option(loader, option, setting, &value) && sl_record_done(&value) == 0) {
		sl_put_cstr(&pairs->bytes, option->name);
		(void)sl_record_done(&pairs->bytes);
		sl_put_value(
			&pairs->bytes, (struct sl_value){ .data = value.data, .size = value.mark });
		(void)sl_record_done(&pairs->bytes);
		pairs->count++;
	}
	sl_writer_fini(&value);
}

/* Frees the pairs. */
static struct sl_value take_map(struct loader *loader, struct pairs *pairs)
{
	struct sl_writer head;
	struct sl_value map = { 0 };
	char *data;

	sl_writer_init(&head);
	sl_put_map(&head, pairs->count);
	data = head.error || pairs->bytes.error
		       ? NULL
		       : arena_alloc(&loader->arena, head.size + pairs->bytes.size);
	if (data) {
		memcpy(data, head.data, head.size);
		if (pairs->bytes.size > 0)
			memcpy(data + head.size, pairs->bytes.data, pairs->bytes.size);
		map = (struct sl_value){ .data = data, .size = head.size + pairs->bytes.size };
	} else {
		loader->arena.error = -ENOMEM;
	}
	sl_writer_fini(&head);
	sl_writer_fini(&pairs->bytes);
	return map;
}

struct options {
	struct pairs own;
	struct pairs common;
};

static void resolve_option(struct loader *loader, const struct draft *draft,
	const config_setting_t *setting, struct options *options)
{
	const char *name = config_setting_name(setting);
	const struct sl_option *own = draft->impl ? schema_find(draft->impl->options, name) : NULL;
	const struct sl_option *common = schema_find(schema_common, name);

	if (find_role(name) >= 0 || strcmp(name, "from") == 0)
		return;
	if (own)
		convert_pair(loader, own, setting, &options->own);
	else if (common && draft->has_role && !schema_common_fits(common, draft->role))
		report_unfit_option(loader, draft, name, config_setting_source_line(setting));
	else if (common)
		convert_pair(loader, common, setting, &options->common);
	else if (draft->impl)
		report_unknown_option(loader, draft, setting);
}

static bool is_known(const struct draft *draft, const char *name)
{
	return find_role(name) >= 0 || strcmp(name, "from") == 0 ||
	       schema_find(draft->impl->options, name) || schema_find(schema_common, name);
}

/* Is it there under a name that is nearly right? Then that is the mistake. */
static bool is_misspelt(const struct draft *draft, const char *option)
{
	for (int i = 0; i < config_setting_length(draft->setting); i++) {
		const char *name = config_setting_name(member(draft->setting, i));
		const char *meant = is_known(draft, name) ? NULL : meant_option(draft, name);

		if (meant && strcmp(meant, option) == 0)
			return true;
	}
	return false;
}

static void check_required(struct loader *loader, const struct draft *draft)
{
	const struct sl_option *option = draft->impl->options;

	for (; option && option->name; option++)
		if (option->required && !config_setting_get_member(draft->setting, option->name) &&
			!is_misspelt(draft, option->name))
			problems_error(&loader->problems, draft->line,
				"`%s` lacks `%s` (%s): write %s = %s;", draft->name, option->name,
				option->help, option->name,
				option->example ? option->example : "...");
}

/* --- the stage's own say ------------------------------------------------------------------------------- */

/*
 * The file behind a path, so that two ways to write one are equal: links resolved as far as there is something, the
 * rest as it stands. NULL: no regular file.
 */
static const char *normalise(struct arena *arena, const char *path)
{
	char resolved[PATH_MAX];
	struct stat st;
	char *folder;
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;

	/* Any number may write to /dev/null. */
	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
		return NULL;
	if (realpath(path, resolved))
		return arena_printf(arena, "%s", resolved);
	folder = slash ? arena_copy(arena, path, (size_t)(slash + 1 - path))
		       : arena_copy(arena, ".", 1);
	if (folder && realpath(folder, resolved))
		return arena_printf(
			arena, "%s/%s", strcmp(resolved, "/") == 0 ? "" : resolved, name);
	return arena_copy(arena, path, strlen(path));
}

/* The line of the first option that a stage's complaint names in `backticks`, else of the stage. */
static unsigned blamed_line(const struct draft *draft, const char *text)
{
	const char *start = strchr(text, '`');
	const char *end = start ? strchr(start + 1, '`') : NULL;
	char name[64];

	if (!end || end - start > (ptrdiff_t)sizeof(name))
		return draft->line;
	(void)snprintf(name, sizeof(name), "%.*s", (int)(end - start - 1), start + 1);
	return draft_line(draft, name);
}

static void ask_impl(struct loader *loader, struct draft *draft, void *shared)
{
	struct schema_bound *bound = NULL;
	struct err err = { "" };
	const char *target;
	int r = schema_bind(draft->impl->options, draft->options, shared, &bound, &err);

	if (r == 0 && loader->stages->check)
		r = loader->stages->check(draft->impl, draft->name, shared, &err);
	if (r < 0)
		problems_error(&loader->problems, blamed_line(draft, err.text), "%s", err.text);
	target = r == 0 && draft->impl->target ? draft->impl->target(shared) : NULL;
	if (target) {
		draft->target = normalise(&loader->arena, target);
		draft->written = arena_copy(&loader->arena, target, strlen(target));
	}
	schema_free(bound);
}

/* Binds the options and asks the implementation whether they fit together. */
static void check_impl(struct loader *loader, struct draft *draft)
{
	void *shared = calloc(1, draft->impl->shared_size + 1);

	if (!shared) {
		loader->arena.error = -ENOMEM;
		return;
	}
	ask_impl(loader, draft, shared);
	free(shared);
}

static uint32_t core_count(void)
{
	cpu_set_t cores;

	if (sched_getaffinity(0, sizeof(cores), &cores) < 0)
		return 1;
	return (uint32_t)CPU_COUNT(&cores);
}

static void bind_common(struct loader *loader, struct draft *draft, struct sl_value map)
{
	struct schema_bound *bound = NULL;
	struct sl_strings *partition = &draft->common.partition;
	struct err err = { "" };
	const char **fields;

	if (schema_bind(schema_common, map, &draft->common, &bound, &err) < 0) {
		problems_error(&loader->problems, draft->line, "%s", err.text);
		return;
	}
	draft->processes = draft->common.processes == SCHEMA_AUTO
				   ? core_count()
				   : (uint32_t)draft->common.processes;
	/* The list goes with `bound`; the draft keeps its own. */
	fields = arena_alloc_array(&loader->arena, partition->count, sizeof(*fields));
	for (uint32_t i = 0; fields && i < partition->count; i++)
		fields[i] = arena_copy(
			&loader->arena, partition->items[i], strlen(partition->items[i]));
	partition->items = fields;
	schema_free(bound);
}

/* Has the stage a number that libconfig cut? */
static bool is_marred(const struct loader *loader, const struct draft *draft)
{
	for (int i = 0; i < config_setting_length(draft->setting); i++)
		if (problems_is_marred(&loader->problems,
			    config_setting_source_line(member(draft->setting, i))))
			return true;
	return false;
}

static void resolve_options(struct loader *loader, struct draft *draft)
{
	unsigned errors = loader->problems.error_count;
	struct options options = { 0 };

	sl_writer_init(&options.own.bytes);
	sl_writer_init(&options.common.bytes);
	for (int i = 0; i < config_setting_length(draft->setting); i++)
		resolve_option(loader, draft, member(draft->setting, i), &options);
	draft->options = take_map(loader, &options.own);
	bind_common(loader, draft, take_map(loader, &options.common));
	if (!draft->impl)
		return;
	check_required(loader, draft);
	if (loader->problems.error_count == errors && !is_marred(loader, draft) &&
		!loader->arena.error)
		check_impl(loader, draft);
}

/* --- stages ------------------------------------------------------------------------------------------ */

static void check_name(struct loader *loader, const struct draft *draft)
{
	const char *name = draft->name;
	bool is_right = islower((unsigned char)name[0]);

	for (const char *at = name; *at; at++)
		is_right =
			is_right && (islower((unsigned char)*at) || isdigit((unsigned char)*at) ||
					    *at == '-' || *at == '_');
	if (!is_right)
		problems_error(&loader->problems, draft->line,
			"`%.64s` cannot name a stage: write a lower-case letter first, then "
			"lower-case letters, digits, `-` and `_`",
			name);
	else if (strlen(name) > STAGE_NAME_MAX)
		problems_error(&loader->problems, draft->line,
			"the name `%.64s` is too long: %d characters are the most", name,
			STAGE_NAME_MAX);
}

static void resolve_stage(struct loader *loader, struct draft *draft)
{
	check_name(loader, draft);
	if (!config_setting_is_group(draft->setting)) {
		problems_error(&loader->problems, draft->line,
			"`%s` is no group: write %s = { source = \"...\"; ... };", draft->name,
			draft->name);
		draft->is_mentioned = true;
		return;
	}
	resolve_impl(loader, draft);
	resolve_options(loader, draft);
}

void resolve_stages(struct loader *loader)
{
	static const char shape[] = "stages = { NAME = { source = \"...\"; ... }; ... };";
	const config_setting_t *stages = config_lookup(&loader->config, "stages");
	uint32_t count;

	if (!stages && loader->has_slip)
		return;
	if (!stages) {
		problems_error(&loader->problems, 0, "there are no `stages`: write %s", shape);
		return;
	}
	if (!config_setting_is_group(stages)) {
		problems_error(&loader->problems, config_setting_source_line(stages),
			"`stages` is no group: write %s", shape);
		return;
	}
	count = (uint32_t)config_setting_length(stages);
	if (count == 0)
		problems_error(&loader->problems, config_setting_source_line(stages),
			"`stages` is empty: write %s", shape);
	if (count > GRAPH_STAGES_MAX) {
		problems_error(&loader->problems, config_setting_source_line(stages),
			"%u stages are too many: %d are the most", count, GRAPH_STAGES_MAX);
		return;
	}
	loader->drafts = arena_alloc_array(&loader->arena, count, sizeof(*loader->drafts));
	for (uint32_t i = 0; loader->drafts && i < count; i++) {
		struct draft *draft = &loader->drafts[loader->draft_count++];

		draft->setting = member(stages, (int)i);
		draft->name = config_setting_name(draft->setting);
		draft->line = config_setting_source_line(draft->setting);
		draft->processes = 1;
		resolve_stage(loader, draft);
	}
}
