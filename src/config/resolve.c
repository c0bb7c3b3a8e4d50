/* SPDX-License-Identifier: MIT */
/*
 * From the parsed text to drafts: each stage's name, role and implementation, one by one. Its options are options.c's,
 * what connects stages is wire.c's.
 */
#include "config/loader.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "config/graph_room.h"
#include "config/peers.h"
#include "config/suggest.h"

#define STAGE_NAME_MAX 32

const char *role_name(enum sl_role role)
{
	return graph_roles[role];
}

int role_find(const char *name)
{
	for (int i = 0; graph_roles[i]; i++)
		if (strcmp(graph_roles[i], name) == 0)
			return i;
	return -ENOENT;
}

unsigned draft_line(const struct draft *draft, const char *option)
{
	const config_setting_t *setting = config_setting_get_member(draft->setting, option);

	return setting ? config_setting_source_line(setting) : draft->line;
}

/* --- role and implementation ------------------------------------------------------------------------- */

/* An option whose name is nearly a role's: a slip that says which role was meant. */
static const config_setting_t *find_slip(const config_setting_t *group, const char **ret_role)
{
	for (int i = 0; i < config_setting_length(group); i++) {
		const char *name = config_setting_name(config_setting_get_elem(group, (unsigned)i));
		struct suggest suggest;

		suggest_init(&suggest, name);
		for (int role = 0; graph_roles[role]; role++)
			suggest_offer(&suggest, graph_roles[role]);
		if (!suggest.best || schema_find(schema_common, name))
			continue;
		*ret_role = suggest.best;
		return config_setting_get_elem(group, (unsigned)i);
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
		const config_setting_t *setting =
			config_setting_get_elem(draft->setting, (unsigned)i);
		int role = role_find(config_setting_name(setting));

		if (role < 0)
			continue;
		if (chosen) {
			problems_error(&loader->problems, config_setting_source_line(setting),
				"`%s` is a %s and a %s: it can be one, so make two stages, or "
				"remove one line",
				draft->name, graph_roles[draft->role], graph_roles[role]);
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

/* There is one, of another role: reported. */
static bool report_other_role(
	struct loader *loader, const struct draft *draft, const char *name, unsigned line)
{
	for (int role = SL_SOURCE; role <= SL_SINK; role++) {
		if (!loader->stages->find((enum sl_role)role, name))
			continue;
		problems_error(&loader->problems, line,
			"`%s` is a %s, not a %s: write %s = \"%s\"; (`sluice list` shows all)",
			name, graph_roles[role], graph_roles[draft->role], graph_roles[role], name);
		return true;
	}
	return false;
}

static void report_unknown_impl(
	struct loader *loader, const struct draft *draft, const char *name, unsigned line)
{
	const struct load_stages *stages = loader->stages;
	const char *refusal = stages->refusal ? stages->refusal(draft->role, name) : NULL;
	const char *peers = peers_stage(draft->role, name);
	const struct sl_stage *stage;
	struct suggest suggest;

	if (refusal || peers) {
		problems_error(&loader->problems, line, "there is no %s `%s`: %s",
			graph_roles[draft->role], name, refusal ? refusal : peers);
		return;
	}
	if (report_other_role(loader, draft, name, line))
		return;
	suggest_init(&suggest, name);
	for (unsigned i = 0; (stage = loader->stages->at(i)); i++)
		if (stage->role == draft->role)
			suggest_offer(&suggest, stage->name);
	if (suggest.best)
		problems_error(&loader->problems, line,
			"there is no %s `%s`: write %s = \"%s\"; (`sluice list` shows all)",
			graph_roles[draft->role], name, graph_roles[draft->role], suggest.best);
	else
		problems_error(&loader->problems, line,
			"there is no %s `%s`: `sluice list` shows those there are; if a module "
			"has it, set SLUICE_STAGE_PATH to the module's folder",
			graph_roles[draft->role], name);
}

static void resolve_impl(struct loader *loader, struct draft *draft)
{
	const config_setting_t *setting = resolve_role(loader, draft);
	const char *name;

	if (!setting)
		return;
	name = convert_string(loader, graph_roles[draft->role], setting, "\"file\"");
	if (!name)
		return;
	draft->impl = loader->stages->find(draft->role, name);
	if (!draft->impl)
		report_unknown_impl(loader, draft, name, config_setting_source_line(setting));
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
	options_resolve(loader, draft);
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

		draft->setting = config_setting_get_elem(stages, i);
		draft->name = config_setting_name(draft->setting);
		draft->line = config_setting_source_line(draft->setting);
		draft->processes = 1;
		resolve_stage(loader, draft);
	}
}
