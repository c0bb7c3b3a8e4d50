/* SPDX-License-Identifier: MIT */
/* See fixed.h: the layout, out of `( { name = "id"; width = 8; type = "int"; }, ... )`. */
#include "record/fixed.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WIDTH_MAX (1u << 20)

static const char *const type_names[] = { "text", "int", "float", "bool", "infer", NULL };
static const char *const align_names[] = { "left", "right", NULL };

struct said {
	char *text;
	size_t size;
};

static int wrong(const struct said *said, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static int wrong(const struct said *said, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(said->text, said->size, format, args);
	va_end(args);
	return -EINVAL;
}

static int index_of(const char *const *names, const char *text, size_t size)
{
	for (int i = 0; names[i]; i++)
		if (strlen(names[i]) == size && memcmp(names[i], text, size) == 0)
			return i;
	return -ENOENT;
}

static int set_name(struct fixed_field *field, const char *text, size_t size)
{
	free(field->name);
	field->name = strndup(text, size);
	field->name_size = size;
	return field->name ? 0 : -ENOMEM;
}

static int set_text(struct fixed_field *field, const struct said *said, const char *key,
	const char *text, size_t size)
{
	int i;

	if (strcmp(key, "name") == 0)
		return set_name(field, text, size);
	if (strcmp(key, "type") == 0) {
		i = index_of(type_names, text, size);
		if (i < 0)
			return wrong(said,
				"`fields`: there is no type \"%.*s\": write text, int, float, bool "
				"or "
				"infer",
				(int)size, text);
		field->type = (enum fixed_type)i;
		return 0;
	}
	if (strcmp(key, "align") == 0) {
		i = index_of(align_names, text, size);
		field->is_right = i == 1;
		return i >= 0 ? 0 : wrong(said, "`fields`: align is \"left\" or \"right\"");
	}
	if (strcmp(key, "pad") == 0 && size == 1 && *text > 0 && *text != '\n') {
		field->pad = *text;
		return 0;
	}
	return wrong(said,
		"`fields`: `%s` is not understood: a field has name, width, type, align, and pad "
		"(one "
		"character)",
		key);
}

static int set_one(struct fixed_field *field, const struct said *said, struct sl_value key,
	struct sl_value value)
{
	const char *name, *text;
	char copy[32];
	size_t size;
	int64_t width;

	if (!sl_get_str(key, &name, &size))
		return wrong(said, "`fields`: a field is a group");
	(void)snprintf(copy, sizeof(copy), "%.*s", (int)size, name);
	if (strcmp(copy, "width") == 0) {
		if (!sl_get_int(value, &width) || width < 1 || width > WIDTH_MAX)
			return wrong(said, "`fields`: a width is a number of characters from 1");
		field->width = (uint32_t)width;
		return 0;
	}
	if (!sl_get_str(value, &text, &size))
		return wrong(said, "`fields`: `%s` is not understood, or no string", copy);
	return set_text(field, said, copy, text, size);
}

static int set_field(struct fixed_field *field, const struct said *said, struct sl_value map)
{
	struct sl_cursor cursor = sl_walk(map);
	struct sl_value key, value;
	int r = 0;

	field->pad = ' ';
	if (sl_kind(map) != SL_MAP)
		return wrong(said,
			"`fields` is a list of groups: write ( { name = \"id\"; width = 8; }, "
			"... )");
	while (r == 0 && sl_next(&cursor, &key, &value))
		r = set_one(field, said, key, value);
	if (r < 0)
		return r;
	if (field->width == 0)
		return wrong(said, "`fields`: `%s` has no width: write width = 8;",
			field->name ? field->name : "a field without name");
	if (!sl_find(map, "align", strlen("align")).data)
		field->is_right = field->type == FIXED_INT || field->type == FIXED_FLOAT;
	return 0;
}

static int check_names(const struct fixed_layout *layout, const struct said *said)
{
	for (uint32_t i = 0; i < layout->count; i++)
		for (uint32_t k = 0; layout->fields[i].name && k < i; k++)
			if (layout->fields[k].name &&
				strcmp(layout->fields[i].name, layout->fields[k].name) == 0)
				return wrong(
					said, "`fields` has `%s` twice", layout->fields[i].name);
	return layout->named > 0 ? 0 : wrong(said, "`fields` has no field with a name");
}

static int fill(struct fixed_layout *layout, const struct said *said, struct sl_value fields)
{
	struct sl_cursor cursor = sl_walk(fields);
	struct sl_value key, map;
	int r = 0;

	while (r == 0 && sl_next(&cursor, &key, &map)) {
		struct fixed_field *field = &layout->fields[layout->count++];

		r = set_field(field, said, map);
		layout->named += field->name != NULL;
		layout->width += field->width;
	}
	return r < 0 ? r : check_names(layout, said);
}

int fixed_layout_new(
	struct sl_value fields, struct fixed_layout **ret, char *text, size_t text_size)
{
	const struct said said = { text, text_size };
	struct fixed_layout *layout;
	uint32_t count;
	int r;

	if (!fields.data || sl_kind(fields) != SL_ARRAY || sl_count(fields) == 0)
		return wrong(&said,
			"format = \"fixed\" needs `fields`: write fields = ( { name = \"id\"; "
			"width = 8; type = \"int\"; }, ... );");
	count = sl_count(fields);
	layout = calloc(1, sizeof(*layout));
	if (!layout)
		return -ENOMEM;
	layout->fields = calloc(count, sizeof(*layout->fields));
	layout->values = calloc(count, sizeof(*layout->values));
	r = layout->fields && layout->values ? fill(layout, &said, fields) : -ENOMEM;
	if (r < 0)
		fixed_layout_free(layout);
	else
		*ret = layout;
	return r;
}

void fixed_layout_free(struct fixed_layout *layout)
{
	if (!layout)
		return;
	for (uint32_t i = 0; layout->fields && i < layout->count; i++)
		free(layout->fields[i].name);
	free(layout->fields);
	free(layout->values);
	free(layout);
}

int sl_fields_check(struct sl_value fields, char *text, size_t text_size)
{
	struct fixed_layout *layout = NULL;
	int r = fixed_layout_new(fields, &layout, text, text_size);

	fixed_layout_free(layout);
	return r;
}
