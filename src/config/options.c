/* SPDX-License-Identifier: MIT */
/*
 * The options of one draft: those of its implementation and those that every stage has, converted, bound to see that
 * they can be, and shown to the implementation's own check.
 */
#include "config/loader.h"

#include <errno.h>
#include <limits.h>

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/address.h"
#include "base/cores.h"
#include "config/peers.h"
#include "config/suggest.h"

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

/* What others call so, where the stage has it; or NULL. */
static const char *peers_meant(const struct draft *draft, const char *name)
{
	const char *option;

	for (unsigned i = 0; (option = peers_option(name, i)); i++) {
		const struct sl_option *common = schema_find(schema_common, option);

		if (schema_find(draft->impl->options, option) ||
			(common && schema_common_fits(common, draft->role)) ||
			(strcmp(option, "from") == 0 && draft->role != SL_SOURCE))
			return option;
	}
	return NULL;
}

/* The option that was meant by a name that there is not, or NULL. */
static const char *meant_option(const struct draft *draft, const char *name)
{
	const char *option = peers_meant(draft, name);
	struct suggest suggest;

	if (option)
		return option;
	suggest_init(&suggest, name);
	for (const struct sl_option *own = draft->impl->options; own && own->name; own++)
		suggest_offer(&suggest, own->name);
	for (const struct sl_option *common = schema_common; common->name; common++)
		if (schema_common_fits(common, draft->role))
			suggest_offer(&suggest, common->name);
	if (draft->role != SL_SOURCE)
		suggest_offer(&suggest, "from");
	return suggest.best;
}

static void report_unknown_option(
	struct loader *loader, struct draft *draft, const config_setting_t *setting)
{
	const char *name = config_setting_name(setting);
	unsigned line = config_setting_source_line(setting);
	const char *meant = meant_option(draft, name);

	/* Wired as it was meant, so that nothing else is said to be loose. */
	if (meant && strcmp(meant, "from") == 0 && !draft->from)
		draft->from = setting;
	if (meant)
		problems_error(&loader->problems, line,
			"the %s `%s` has no option `%s`: write `%s`", role_name(draft->role),
			draft->impl->name, name, meant);
	else
		problems_error(&loader->problems, line,
			"the %s `%s` has no option `%s`: it has %sthose of every %s (`sluice "
			"describe %s` shows them)",
			role_name(draft->role), draft->impl->name, name,
			list_options(loader, draft->impl->options), role_name(draft->role),
			draft->impl->name);
}

static void report_unfit_option(
	struct loader *loader, const struct draft *draft, const char *name, unsigned line)
{
	if (strcmp(name, "intake") == 0)
		problems_error(&loader->problems, line,
			"`intake` is about what a source reads: for the %s `%s` write when_full = "
			"\"spill\";",
			role_name(draft->role), draft->name);
	else if (draft->role == SL_SOURCE)
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
	if (!convert_option(loader, option, setting, &value)) {
		/* It has said why. */
	} else if (sl_record_done(&value) < 0) {
		loader->arena.error = -ENOMEM;
	} else {
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

static void resolve_option(struct loader *loader, struct draft *draft,
	const config_setting_t *setting, struct options *options)
{
	const char *name = config_setting_name(setting);
	const struct sl_option *own = draft->impl ? schema_find(draft->impl->options, name) : NULL;
	const struct sl_option *common = schema_find(schema_common, name);

	if (strcmp(name, "from") == 0)
		draft->from = setting;
	if (role_find(name) >= 0 || strcmp(name, "from") == 0)
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
	return role_find(name) >= 0 || strcmp(name, "from") == 0 ||
	       schema_find(draft->impl->options, name) || schema_find(schema_common, name);
}

/* Is it there under a name that is nearly right? Then that is the mistake. */
static bool is_misspelt(const struct draft *draft, const char *option)
{
	for (int i = 0; i < config_setting_length(draft->setting); i++) {
		const char *name =
			config_setting_name(config_setting_get_elem(draft->setting, (unsigned)i));
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

/* The line of the option, or of `OPTION.MEMBER` in its group; else of the stage. */
static unsigned option_line(const struct draft *draft, char *name)
{
	char *dot = strchr(name, '.');
	const config_setting_t *group, *member;

	if (dot)
		*dot = '\0';
	group = dot ? config_setting_get_member(draft->setting, name) : NULL;
	member = group && config_setting_is_group(group) ? config_setting_get_member(group, dot + 1)
							 : NULL;
	return member ? config_setting_source_line(member) : draft_line(draft, name);
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
	return option_line(draft, name);
}

/* What a source listens at is opened for it, by who has no stage's code. */
static void check_address(struct loader *loader, struct draft *draft, const char *text)
{
	struct address address;
	struct err err = { "" };

	if (address_parse(text, &address, &err) < 0)
		problems_error(&loader->problems, blamed_line(draft, err.text), "%s", err.text);
	else
		draft->target = arena_copy(&loader->arena, text, strlen(text));
}

/* False: said, also that there is no memory, which is said once, of all. */
static bool bind_options(struct loader *loader, const struct draft *draft,
	const struct sl_option *table, struct sl_value map, void *shared,
	struct schema_bound **ret_bound)
{
	struct err err = { "" };
	int r = schema_bind(table, map, shared, ret_bound, &err);

	if (r == -ENOMEM)
		loader->arena.error = r;
	else if (r < 0)
		problems_error(&loader->problems, blamed_line(draft, err.text), "%s", err.text);
	return r == 0;
}

/* `is_whole` false: it lacks a credential, and what it says cannot be judged. */
static void ask_impl(struct loader *loader, struct draft *draft, void *shared, bool is_whole)
{
	struct schema_bound *bound = NULL;
	struct err err = { "" };
	const char *target;
	int r = 0;

	if (!bind_options(loader, draft, draft->impl->options, draft->options, shared, &bound))
		return;
	if (loader->stages->check && is_whole)
		r = loader->stages->check(draft->impl, draft->name, shared, &err);
	if (r < 0)
		problems_error(&loader->problems, blamed_line(draft, err.text), "%s", err.text);
	draft->is_live = r == 0 && draft->impl->is_live && draft->impl->is_live(shared);
	target = r == 0 && is_whole && draft->impl->target ? draft->impl->target(shared) : NULL;
	if (target && draft->role == SL_SOURCE)
		check_address(loader, draft, target);
	else if (target)
		draft->target = normalise(&loader->arena, target);
	if (target)
		draft->written = arena_copy(&loader->arena, target, strlen(target));
	if (r == 0 && draft->impl->port)
		outputs_keep(loader, draft, shared);
	schema_free(bound);
}

/* Binds the options and asks the implementation whether they fit together. */
static void check_impl(struct loader *loader, struct draft *draft, bool is_whole)
{
	void *shared = calloc(1, draft->impl->shared_size + 1);

	if (!shared) {
		loader->arena.error = -ENOMEM;
		return;
	}
	ask_impl(loader, draft, shared, is_whole);
	free(shared);
}

static void bind_common(struct loader *loader, struct draft *draft, struct sl_value map)
{
	struct schema_bound *bound = NULL;
	struct sl_strings *partition = &draft->common.partition;
	const char **fields;

	if (!bind_options(loader, draft, schema_common, map, &draft->common, &bound))
		return;
	draft->processes = draft->common.processes == SCHEMA_AUTO
				   ? cores_count()
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
			    config_setting_source_line(
				    config_setting_get_elem(draft->setting, (unsigned)i))))
			return true;
	return false;
}

void options_resolve(struct loader *loader, struct draft *draft)
{
	unsigned errors = loader->problems.error_count;
	unsigned missing = loader->expand.missing;
	struct options options = { 0 };

	sl_writer_init(&options.own.bytes);
	sl_writer_init(&options.common.bytes);
	for (int i = 0; i < config_setting_length(draft->setting); i++)
		resolve_option(loader, draft, config_setting_get_elem(draft->setting, (unsigned)i),
			&options);
	draft->options = take_map(loader, &options.own);
	bind_common(loader, draft, take_map(loader, &options.common));
	if (!draft->impl)
		return;
	check_required(loader, draft);
	if (loader->problems.error_count == errors && !is_marred(loader, draft) &&
		!loader->arena.error)
		check_impl(loader, draft, loader->expand.missing == missing);
}
