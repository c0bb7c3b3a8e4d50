/* SPDX-License-Identifier: MIT */
/*
 * The words for a value that is not what its option takes: what was found, what the option takes, and what to write, which
 * is what the user most likely meant, else the option's example.
 */
#include "config/loader.h"

#include <string.h>
#include <strings.h>

const char *loader_list(struct loader *loader, const char *const *names, const char *last_word)
{
	const char *text = "";

	for (size_t i = 0; names && names[i] && text; i++) {
		const char *glue = i == 0 ? "" : names[i + 1] ? ", " : last_word;

		text = arena_printf(&loader->arena, "%s%s\"%s\"", text, glue, names[i]);
	}
	return text ? text : "";
}

const char *convert_found(struct loader *loader, const config_setting_t *setting)
{
	switch (config_setting_type(setting)) {
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_INT64:
		return arena_printf(
			&loader->arena, "the integer %lld", config_setting_get_int64(setting));
	case CONFIG_TYPE_FLOAT:
		return arena_printf(
			&loader->arena, "the number %g", config_setting_get_float(setting));
	case CONFIG_TYPE_STRING:
		return arena_printf(
			&loader->arena, "the string \"%.60s\"", config_setting_get_string(setting));
	case CONFIG_TYPE_BOOL:
		return config_setting_get_bool(setting) ? "true" : "false";
	case CONFIG_TYPE_ARRAY:
		return "an array [ ]";
	case CONFIG_TYPE_LIST:
		return "a list ( )";
	default:
		return "a group { }";
	}
}

static const char *takes(struct loader *loader, const struct sl_option *option)
{
	switch (option->type) {
	case SL_TYPE_STRING:
		return "a string";
	case SL_TYPE_INT:
		if (!option->choices)
			return "an integer";
		return arena_printf(&loader->arena, "an integer or %s",
			loader_list(loader, option->choices, " or "));
	case SL_TYPE_REAL:
		return "a number";
	case SL_TYPE_BOOL:
		return "true or false";
	case SL_TYPE_SIZE:
		return "a size with its unit (B, KiB, MiB, GiB)";
	case SL_TYPE_DURATION:
		return "a duration with its unit (us, ms, s, m, h, d)";
	case SL_TYPE_RATE:
		return "a rate with its unit (/s, /m, /h, /d)";
	case SL_TYPE_CHOICE:
		return arena_printf(
			&loader->arena, "one of %s", loader_list(loader, option->choices, " and "));
	case SL_TYPE_CHAR:
		return "one character";
	case SL_TYPE_STRINGS:
		return "a string or an array of strings";
	case SL_TYPE_VALUES:
		return "a list of values";
	case SL_TYPE_PAIRS:
		return "a group of strings, or a list of pairs ([ \"a\", \"b\" ], ...)";
	}
	return "";
}

/* "yes", 1 and the like, as the boolean that was meant; NULL when it does not look like one. */
static const char *meant_bool(const config_setting_t *setting)
{
	static const char *const words[] = { "true", "yes", "on", "1", "false", "no", "off", "0" };
	const char *text = config_setting_get_string(setting);

	if (config_setting_type(setting) == CONFIG_TYPE_INT)
		return config_setting_get_int(setting) ? "true" : "false";
	for (size_t i = 0; text && i < 8; i++)
		if (strcasecmp(text, words[i]) == 0)
			return i < 4 ? "true" : "false";
	return NULL;
}

/* The digits of a string that is a number, or of a number, without a unit; NULL when there is none. */
static const char *meant_number(struct loader *loader, const config_setting_t *setting)
{
	const char *text = config_setting_get_string(setting);
	int type = config_setting_type(setting);

	if (type == CONFIG_TYPE_INT || type == CONFIG_TYPE_INT64)
		return arena_printf(&loader->arena, "%lld", config_setting_get_int64(setting));
	if (type == CONFIG_TYPE_FLOAT)
		return arena_printf(&loader->arena, "%g", config_setting_get_float(setting));
	return text && *text && strspn(text, "0123456789") == strlen(text) ? text : NULL;
}

/* What the user most likely meant, as it stands behind `=`; else the option's example. */
static const char *meant(
	struct loader *loader, const struct sl_option *option, const config_setting_t *setting)
{
	const char *number = meant_number(loader, setting);
	const char *text = NULL;
	bool is_float = config_setting_type(setting) == CONFIG_TYPE_FLOAT;

	if (option->type == SL_TYPE_BOOL)
		text = meant_bool(setting);
	else if (!number || number[0] == '-')
		text = NULL;
	else if (option->type == SL_TYPE_INT || option->type == SL_TYPE_REAL)
		text = is_float ? NULL : number;
	else if (option->type == SL_TYPE_STRING || option->type == SL_TYPE_STRINGS)
		text = arena_printf(&loader->arena, "\"%s\"", number);
	else if (option->type == SL_TYPE_DURATION)
		text = arena_printf(&loader->arena, "\"%ss\"", number);
	else if (option->type == SL_TYPE_RATE)
		text = arena_printf(&loader->arena, "\"%s/s\"", number);
	else if (option->type == SL_TYPE_SIZE)
		text = arena_printf(&loader->arena, "\"%sMiB\"", number);
	return text ? text : option->example;
}

bool convert_mismatch(
	struct loader *loader, const struct sl_option *option, const config_setting_t *setting)
{
	unsigned line = config_setting_source_line(setting);
	const char *example = meant(loader, option, setting);

	if (example)
		problems_error(&loader->problems, line, "`%s` takes %s, not %s: write %s = %s;",
			option->name, takes(loader, option), convert_found(loader, setting),
			option->name, example);
	else
		problems_error(&loader->problems, line, "`%s` takes %s, not %s", option->name,
			takes(loader, option), convert_found(loader, setting));
	return false;
}
