/* SPDX-License-Identifier: MIT */
/*
 * What of a stage's options belongs to the shape of the graph, where credentials are in them: their names. A credential that was renewed opens the same
 * doors, and changes no record.
 */
#include "config/loader.h"

#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "config/expand.h"

static bool holds_credential(const config_setting_t *setting)
{
	if (config_setting_type(setting) == CONFIG_TYPE_STRING)
		return expand_is_secret(config_setting_get_string(setting));
	for (int i = 0; config_setting_is_aggregate(setting) && i < config_setting_length(setting);
		i++)
		if (holds_credential(config_setting_get_elem(setting, (unsigned)i)))
			return true;
	return false;
}

static uint64_t fold(uint64_t hash, const char *text)
{
	return XXH3_64bits_withSeed(text, strlen(text) + 1, hash);
}

/* It has been expanded before, so it can be. */
static uint64_t fold_string(struct loader *loader, const config_setting_t *setting, uint64_t hash)
{
	const char *text = config_setting_get_string(setting);
	struct expand expand = loader->expand;
	struct err err = { "" };

	expand.names_credentials = true;
	(void)expand_string(&expand, text, &text, &err);
	return fold(hash, text);
}

static uint64_t fold_setting(struct loader *loader, const config_setting_t *setting, uint64_t hash)
{
	int64_t integer = config_setting_get_int64(setting);
	double real = config_setting_get_float(setting);
	int type = config_setting_type(setting);

	hash = XXH3_64bits_withSeed(&type, sizeof(type), hash);
	if (type == CONFIG_TYPE_STRING)
		return fold_string(loader, setting, hash);
	if (type == CONFIG_TYPE_FLOAT)
		return XXH3_64bits_withSeed(&real, sizeof(real), hash);
	if (type == CONFIG_TYPE_BOOL)
		integer = config_setting_get_bool(setting);
	if (!config_setting_is_aggregate(setting))
		return XXH3_64bits_withSeed(&integer, sizeof(integer), hash);
	for (int i = 0; i < config_setting_length(setting); i++) {
		const config_setting_t *member = config_setting_get_elem(setting, (unsigned)i);

		if (config_setting_name(member))
			hash = fold(hash, config_setting_name(member));
		hash = fold_setting(loader, member, hash);
	}
	return fold(hash, "end");
}

uint64_t shape_of_options(struct loader *loader, const struct draft *draft)
{
	struct sl_cursor c = sl_walk(draft->options);
	struct sl_value key, value;
	uint64_t hash = 1;

	if (!holds_credential(draft->setting))
		return 0;
	while (sl_next(&c, &key, &value)) {
		const char *text = "", *name;
		size_t size = 0;
		const config_setting_t *setting;

		(void)sl_get_str(key, &text, &size);
		name = arena_copy(&loader->arena, text, size);
		setting = name ? config_setting_get_member(draft->setting, name) : NULL;
		hash = XXH3_64bits_withSeed(text, size, hash);
		hash = setting && holds_credential(setting)
			       ? fold_setting(loader, setting, hash)
			       : XXH3_64bits_withSeed(value.data, value.size, hash);
	}
	return hash ? hash : 1;
}
