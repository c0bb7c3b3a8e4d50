/* SPDX-License-Identifier: MIT */
/* From what libconfig parsed to the resolved value of an option. */
#include "config/loader.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"
#include "config/expand.h"
#include "config/suggest.h"

#define VALUE_DEPTH_MAX 32

static const char *expand(struct loader *loader, const config_setting_t *setting)
{
	const char *text = config_setting_get_string(setting);
	struct err err = { "" };
	int r = expand_string(&loader->expand, text, &text, &err);

	if (r == 0)
		return text;
	problems_error(&loader->problems, config_setting_source_line(setting), "%s",
		r == -ENOMEM ? err_name(r) : err.text);
	return NULL;
}

const char *convert_string(struct loader *loader, const char *name, const config_setting_t *setting,
	const char *example)
{
	if (config_setting_type(setting) == CONFIG_TYPE_STRING)
		return expand(loader, setting);
	problems_error(&loader->problems, config_setting_source_line(setting),
		"`%s` takes a string, not %s: write %s = %s;", name, convert_found(loader, setting),
		name, example);
	return NULL;
}

/* --- numbers ---------------------------------------------------------------------------------------- */

static const char *print_quantity(struct loader *loader, const struct sl_option *option, int64_t x)
{
	char text[64];

	if (option->type == SL_TYPE_SIZE && x >= 0)
		(void)units_print_size((uint64_t)x, text, sizeof(text));
	else if (option->type == SL_TYPE_DURATION)
		(void)units_print_duration(x, text, sizeof(text));
	else
		(void)snprintf(text, sizeof(text), "%" PRIi64, x);
	return arena_printf(&loader->arena, "%s", text);
}

static bool check_bounds(struct loader *loader, const struct sl_option *option,
	const config_setting_t *setting, int64_t x)
{
	unsigned line = config_setting_source_line(setting);
	const char *value = print_quantity(loader, option, x);
	bool is_unbounded = option->min == 0 && option->max == 0;

	if (schema_in_bounds(option, x))
		return true;
	/* A number that libconfig cut is out of bounds by accident. */
	if (problems_is_marred(&loader->problems, line))
		return false;
	if (is_unbounded || option->max == INT64_MAX)
		problems_error(&loader->problems, line, "`%s` is %s, and must be at least %s",
			option->name, value, print_quantity(loader, option, option->min));
	else
		problems_error(&loader->problems, line, "`%s` is %s, and may be %s to %s",
			option->name, value, print_quantity(loader, option, option->min),
			print_quantity(loader, option, option->max));
	return false;
}

static bool is_integer(const config_setting_t *setting)
{
	return config_setting_type(setting) == CONFIG_TYPE_INT ||
	       config_setting_type(setting) == CONFIG_TYPE_INT64;
}

/* A number can come from the environment, and then only as a string: threads = "${THREADS:-2}". */
static bool parse_expanded(const config_setting_t *setting, const char *text, int64_t *ret_x)
{
	char *end;

	if (!strstr(config_setting_get_string(setting), "${"))
		return false;
	errno = 0;
	*ret_x = strtoll(text, &end, 10);
	return errno == 0 && end > text && *end == '\0';
}

static bool convert_int(struct loader *loader, const struct sl_option *option,
	const config_setting_t *setting, struct sl_writer *out)
{
	const char *text = NULL;
	int64_t x = config_setting_get_int64(setting);
	int word;

	if (config_setting_type(setting) == CONFIG_TYPE_STRING) {
		text = expand(loader, setting);
		if (!text)
			return false;
	}
	word = text ? schema_choice(option, text) : -ENOENT;
	if (word >= 0)
		x = -1 - (int64_t)word;
	else if (!is_integer(setting) && !(text && parse_expanded(setting, text, &x)))
		return convert_mismatch(loader, option, setting);
	else if (!check_bounds(loader, option, setting, x))
		return false;
	sl_put_int(out, x);
	return true;
}

static bool convert_real(struct loader *loader, const struct sl_option *option,
	const config_setting_t *setting, struct sl_writer *out)
{
	if (is_integer(setting))
		sl_put_double(out, (double)config_setting_get_int64(setting));
	else if (config_setting_type(setting) == CONFIG_TYPE_FLOAT)
		sl_put_double(out, config_setting_get_float(setting));
	else
		return convert_mismatch(loader, option, setting);
	return true;
}

/* The quantity that a string states, in bytes or ns. */
static int parse_quantity(const struct sl_option *option, const char *text, int64_t *ret_x)
{
	uint64_t bytes;
	int r;

	if (option->type == SL_TYPE_DURATION)
		return units_parse_duration(text, ret_x);
	if (option->type == SL_TYPE_RATE)
		return units_parse_rate(text, ret_x);
	r = units_parse_size(text, &bytes);
	if (r == 0 && bytes > INT64_MAX)
		return -ERANGE;
	if (r == 0)
		*ret_x = (int64_t)bytes;
	return r;
}

static bool convert_quantity(struct loader *loader, const struct sl_option *option,
	const config_setting_t *setting, struct sl_writer *out)
{
	const char *text;
	int64_t x = 0;
	int r = 0;

	if (config_setting_type(setting) == CONFIG_TYPE_STRING) {
		text = expand(loader, setting);
		if (!text)
			return false;
		r = parse_quantity(option, text, &x);
	} else if (is_integer(setting) && option->type != SL_TYPE_RATE &&
		   (option->type == SL_TYPE_SIZE || config_setting_get_int64(setting) == 0)) {
		x = config_setting_get_int64(setting);
	} else {
		return convert_mismatch(loader, option, setting);
	}
	if (r == -ERANGE && option->type == SL_TYPE_RATE)
		problems_error(&loader->problems, config_setting_source_line(setting),
			"`%s` must be more than 0 and at most 1000000000/s: write %s = %s;",
			option->name, option->name, option->example);
	else if (r == -ERANGE)
		problems_error(&loader->problems, config_setting_source_line(setting),
			"`%s` is more than fits into 64 bits: write %s = %s;", option->name,
			option->name, option->example);
	if (r == -EINVAL)
		(void)convert_mismatch(loader, option, setting);
	if (r < 0 || !check_bounds(loader, option, setting, x))
		return false;
	sl_put_int(out, x);
	return true;
}

/* --- text ------------------------------------------------------------------------------------------- */

static bool convert_choice(struct loader *loader, const struct sl_option *option,
	const config_setting_t *setting, struct sl_writer *out)
{
	struct suggest suggest;
	const char *hint = "";
	const char *text;
	int i;

	if (config_setting_type(setting) != CONFIG_TYPE_STRING)
		return convert_mismatch(loader, option, setting);
	text = expand(loader, setting);
	if (!text)
		return false;
	i = schema_choice(option, text);
	if (i >= 0) {
		sl_put_int(out, i);
		return true;
	}
	suggest_init(&suggest, text);
	for (i = 0; option->choices[i]; i++)
		suggest_offer(&suggest, option->choices[i]);
	if (suggest.best)
		hint = arena_printf(
			&loader->arena, ": write %s = \"%s\";", option->name, suggest.best);
	problems_error(&loader->problems, config_setting_source_line(setting),
		"`%s` is one of %s, not \"%.60s\"%s", option->name,
		loader_list(loader, option->choices, " and "),
		expand_is_secret(config_setting_get_string(setting))
			? config_setting_get_string(setting)
			: text,
		hint);
	return false;
}

static bool convert_text(struct loader *loader, const struct sl_option *option,
	const config_setting_t *setting, struct sl_writer *out)
{
	const char *text;

	if (config_setting_type(setting) != CONFIG_TYPE_STRING)
		return convert_mismatch(loader, option, setting);
	text = expand(loader, setting);
	if (!text)
		return false;
	if (option->type == SL_TYPE_CHAR && strlen(text) != 1)
		return convert_mismatch(loader, option, setting);
	sl_put_cstr(out, text);
	return true;
}

/* An argument is seen by everybody who may list processes. */
static bool is_shown_secret(
	struct loader *loader, const struct sl_option *option, const config_setting_t *item)
{
	if (strcmp(option->name, "command") != 0 ||
		!expand_is_secret(config_setting_get_string(item)))
		return false;
	problems_error(&loader->problems, config_setting_source_line(item),
		"`command` is seen by everybody who lists processes: give a credential as "
		"environment = [ \"NAME=${credential:...}\" ], or let the program read its file in "
		"$CREDENTIALS_DIRECTORY");
	return true;
}

static bool convert_strings(struct loader *loader, const struct sl_option *option,
	const config_setting_t *setting, struct sl_writer *out)
{
	int type = config_setting_type(setting);
	int count = type == CONFIG_TYPE_STRING ? 1 : config_setting_length(setting);
	bool is_right = true;

	if (type != CONFIG_TYPE_STRING && type != CONFIG_TYPE_ARRAY && type != CONFIG_TYPE_LIST)
		return convert_mismatch(loader, option, setting);
	sl_put_array(out, (uint32_t)count);
	for (int i = 0; i < count; i++) {
		const config_setting_t *item =
			type == CONFIG_TYPE_STRING ? setting
						   : config_setting_get_elem(setting, (unsigned)i);
		const char *text = NULL;

		if (config_setting_type(item) == CONFIG_TYPE_STRING)
			text = is_shown_secret(loader, option, item) ? NULL : expand(loader, item);
		else
			(void)convert_mismatch(loader, option, item);
		sl_put_cstr(out, text ? text : "");
		is_right = is_right && text;
	}
	return is_right;
}

/* A name and its text, of a group or of a list of arrays: [ "Order ID", "id" ], where the name is none that libconfig allows. */
static bool convert_pair(struct loader *loader, const struct sl_option *option,
	const config_setting_t *item, struct sl_writer *out)
{
	const char *name = config_setting_name(item);
	const char *text = NULL;

	if (name) {
		text = convert_string(loader, name, item, "\"...\"");
	} else if (config_setting_type(item) == CONFIG_TYPE_ARRAY &&
		   config_setting_length(item) == 2 &&
		   config_setting_type(config_setting_get_elem(item, 0)) == CONFIG_TYPE_STRING) {
		name = expand(loader, config_setting_get_elem(item, 0));
		text = expand(loader, config_setting_get_elem(item, 1));
	} else {
		(void)convert_mismatch(loader, option, item);
	}
	sl_put_cstr(out, name ? name : "");
	sl_put_cstr(out, text ? text : "");
	return name && text;
}

/* In the order in which they are written. */
static bool convert_pairs(struct loader *loader, const struct sl_option *option,
	const config_setting_t *setting, struct sl_writer *out)
{
	bool is_right = true;

	if (!config_setting_is_group(setting) && !config_setting_is_list(setting))
		return convert_mismatch(loader, option, setting);
	sl_put_map(out, (uint32_t)config_setting_length(setting));
	for (int i = 0; i < config_setting_length(setting); i++)
		is_right = convert_pair(loader, option,
				   config_setting_get_elem(setting, (unsigned)i), out) &&
			   is_right;
	return is_right;
}

/* --- any value -------------------------------------------------------------------------------------- */

static bool convert_any(struct loader *loader, const config_setting_t *setting, unsigned depth,
	struct sl_writer *out);

static bool convert_members(struct loader *loader, const config_setting_t *setting, unsigned depth,
	struct sl_writer *out)
{
	int count = config_setting_length(setting);
	bool is_group = config_setting_is_group(setting);
	bool is_right = true;

	if (depth > VALUE_DEPTH_MAX) {
		problems_error(&loader->problems, config_setting_source_line(setting),
			"groups and lists inside each other, more than %d deep: a record is not "
			"that deep",
			VALUE_DEPTH_MAX);
		return false;
	}
	if (is_group)
		sl_put_map(out, (uint32_t)count);
	else
		sl_put_array(out, (uint32_t)count);
	for (int i = 0; i < count; i++) {
		const config_setting_t *member = config_setting_get_elem(setting, (unsigned)i);

		if (is_group)
			sl_put_cstr(out, config_setting_name(member));
		is_right = convert_any(loader, member, depth + 1, out) && is_right;
	}
	return is_right;
}

static bool convert_any(struct loader *loader, const config_setting_t *setting, unsigned depth,
	struct sl_writer *out)
{
	const char *text;

	switch (config_setting_type(setting)) {
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_INT64:
		sl_put_int(out, config_setting_get_int64(setting));
		return true;
	case CONFIG_TYPE_FLOAT:
		sl_put_double(out, config_setting_get_float(setting));
		return true;
	case CONFIG_TYPE_BOOL:
		sl_put_bool(out, config_setting_get_bool(setting));
		return true;
	case CONFIG_TYPE_STRING:
		text = expand(loader, setting);
		sl_put_cstr(out, text ? text : "");
		return text != NULL;
	default:
		return convert_members(loader, setting, depth, out);
	}
}

bool convert_value(struct loader *loader, const config_setting_t *setting, struct sl_writer *out)
{
	return convert_any(loader, setting, 0, out);
}

bool convert_option(struct loader *loader, const struct sl_option *option,
	const config_setting_t *setting, struct sl_writer *out)
{
	switch (option->type) {
	case SL_TYPE_STRING:
	case SL_TYPE_CHAR:
		return convert_text(loader, option, setting, out);
	case SL_TYPE_INT:
		return convert_int(loader, option, setting, out);
	case SL_TYPE_REAL:
		return convert_real(loader, option, setting, out);
	case SL_TYPE_BOOL:
		if (config_setting_type(setting) != CONFIG_TYPE_BOOL)
			return convert_mismatch(loader, option, setting);
		sl_put_bool(out, config_setting_get_bool(setting));
		return true;
	case SL_TYPE_SIZE:
	case SL_TYPE_DURATION:
	case SL_TYPE_RATE:
		return convert_quantity(loader, option, setting, out);
	case SL_TYPE_CHOICE:
		return convert_choice(loader, option, setting, out);
	case SL_TYPE_STRINGS:
		return convert_strings(loader, option, setting, out);
	case SL_TYPE_VALUES:
		if (!config_setting_is_list(setting) && !config_setting_is_array(setting))
			return convert_mismatch(loader, option, setting);
		return convert_value(loader, setting, out);
	case SL_TYPE_PAIRS:
		return convert_pairs(loader, option, setting, out);
	}
	return false;
}
