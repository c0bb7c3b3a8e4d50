/* SPDX-License-Identifier: MIT */
/* See template.h. */
#include "template.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pointer.h"

#define KEY "!key"

/* --- compiling ------------------------------------------------------------------------------------ */

static int add(struct template *t, enum part_kind kind, const char *text, size_t size)
{
	struct template_part *parts;

	if (size == 0)
		return 0;
	parts = reallocarray(t->parts, t->count + 1, sizeof(*parts));
	if (!parts)
		return -ENOMEM;
	parts[t->count++] = (struct template_part){ .kind = kind, .text = text, .size = size };
	t->parts = parts;
	return 0;
}

/* "a", "a.b": no step is empty. */
static bool is_path(const char *text, size_t size)
{
	if (size == 0 || text[0] == '.' || text[size - 1] == '.')
		return false;
	return !memmem(text, size, "..", 2) && !text_has_control(text, size);
}

/* `brace` opens a field; *ret_end: behind its other brace. */
static int add_field(struct template *t, const char *brace, const char **ret_end)
{
	enum part_kind kind = brace[1] == '+' ? PART_RAW : PART_FIELD;
	const char *name = brace + (kind == PART_RAW ? 2 : 1);
	size_t size = strcspn(name, "{}\"");

	if (name[size] != '}' || !is_path(name, size))
		return -EINVAL;
	*ret_end = name + size + 1;
	if (size == strlen(KEY) && memcmp(name, KEY, size) == 0)
		kind = PART_KEY;
	return add(t, kind, name, size);
}

/* What stands at the first brace of a run of text. */
static int add_brace(struct template *t, const char *text, const char *brace, const char **ret_end,
	struct reason *reason)
{
	int r;

	*ret_end = brace + 2;
	if (brace[1] == brace[0])
		return add(t, PART_TEXT, brace, 1);
	r = brace[0] == '{' ? add_field(t, brace, ret_end) : -EINVAL;
	if (r != -EINVAL)
		return r;
	if (brace[0] == '{')
		return reason_set(reason, r,
			"the { at character %zu opens no field: write {field}, or {{ for a brace "
			"itself",
			(size_t)(brace - text) + 1);
	return reason_set(reason, r,
		"the } at character %zu closes no field: write }} for a brace itself",
		(size_t)(brace - text) + 1);
}

void template_fini(struct template *t)
{
	free(t->parts);
	*t = (struct template){ 0 };
}

static bool has_kind(const struct template *t, enum part_kind kind)
{
	for (uint32_t i = 0; i < t->count; i++)
		if (t->parts[i].kind == kind)
			return true;
	return false;
}

bool template_has_raw(const struct template *t)
{
	return has_kind(t, PART_RAW);
}

bool template_has_key(const struct template *t)
{
	return has_kind(t, PART_KEY);
}

bool template_has_fields(const struct template *t)
{
	return has_kind(t, PART_FIELD) || has_kind(t, PART_RAW);
}

int template_compile(
	struct template *ret_template, const char *text, bool has_key, struct reason *reason)
{
	const char *at = text;
	int r = 0;

	*ret_template = (struct template){ 0 };
	while (r == 0 && *at) {
		size_t size = strcspn(at, "{}");

		r = add(ret_template, PART_TEXT, at, size);
		at += size;
		if (r == 0 && *at)
			r = add_brace(ret_template, text, at, &at, reason);
	}
	if (r == 0 && !has_key && template_has_key(ret_template))
		return reason_set(reason, -EINVAL,
			"{!key} is the name of a request, and only the sink has one");
	return r;
}

/* --- printing ------------------------------------------------------------------------------------- */

/* What RFC 3986 calls reserved, and the percent sign: a piece of an address that is already one keeps them. */
static bool is_kept(unsigned char c, enum part_kind kind)
{
	if (c >= 0x80 || c == '\0')
		return false;
	if (isalnum(c) || strchr("-._~", c))
		return true;
	return kind == PART_RAW && strchr(":/?#[]@!$&'()*+,;=%", c);
}

static void put_encoded(struct sl_writer *w, const char *text, size_t size, enum part_kind kind)
{
	static const char digits[] = "0123456789ABCDEF";

	for (size_t i = 0; i < size; i++) {
		unsigned char c = (unsigned char)text[i];
		char code[3] = { '%', digits[c >> 4], digits[c & 15] };

		if (is_kept(c, kind))
			text_put(w, text + i, 1);
		else
			text_put(w, code, 3);
	}
}

/* The text of a string, number or boolean. `room` holds what is no string. -EINVAL: it is none of these. */
static int scalar_text(struct sl_value value, char *room, size_t room_size, const char **ret_text,
	size_t *ret_size)
{
	if (sl_get_str(value, ret_text, ret_size))
		return 0;
	switch (sl_kind(value)) {
	case SL_BOOL:
	case SL_INT:
	case SL_FLOAT:
		sl_print(value, room, room_size);
		*ret_text = room;
		*ret_size = strlen(room);
		return 0;
	default:
		return -EINVAL;
	}
}

static int put_scalar(const struct template_part *part, enum template_mode mode,
	struct sl_value value, struct sl_writer *w, struct reason *reason)
{
	int name_size = (int)part->size;
	char room[64];
	const char *text;
	size_t size;

	if (scalar_text(value, room, sizeof(room), &text, &size) < 0)
		return reason_set(reason, -EINVAL,
			"the field `%.*s` (%s) has no place there: only a string, a number or a "
			"boolean has",
			name_size, part->text, sl_kind_name(sl_kind(value)));
	if (mode == TEMPLATE_URL) {
		put_encoded(w, text, size, part->kind);
		return 0;
	}
	if (mode == TEMPLATE_HEADER && text_has_control(text, size))
		return reason_set(reason, -EINVAL,
			"the field `%.*s` holds a line break or another control character",
			name_size, part->text);
	text_put(w, text, size);
	return 0;
}

static int put_json(const struct template_part *part, struct sl_value value, struct sl_writer *w,
	struct reason *reason)
{
	const char *why = "";
	int r = sl_json_print(w, value, &why);

	if (r == -EINVAL)
		return reason_set(reason, r, "the field `%.*s` has no form in JSON: %s",
			(int)part->size, part->text, why);
	return r;
}

static int put_field(const struct template_part *part, enum template_mode mode,
	struct sl_value record, struct sl_writer *w, struct reason *reason)
{
	struct sl_value value = field_find(record, part->text, part->size);

	if (!value.data)
		return reason_set(reason, -EINVAL, "the record has no field `%.*s`",
			(int)part->size, part->text);
	if (mode == TEMPLATE_JSON)
		return put_json(part, value, w, reason);
	return put_scalar(part, mode, value, w, reason);
}

int template_print(const struct template *t, enum template_mode mode,
	const struct template_input *input, struct sl_writer *w, struct reason *reason)
{
	int r = 0;

	for (uint32_t i = 0; i < t->count && r == 0; i++) {
		const struct template_part *part = &t->parts[i];

		if (part->kind == PART_TEXT)
			text_put(w, part->text, part->size);
		else if (part->kind == PART_KEY)
			text_put_cstr(w, input->key);
		else
			r = put_field(part, mode, input->record, w, reason);
	}
	return r < 0 ? r : w->error;
}

int template_sample(const struct template *t, const char *sample, struct sl_writer *w)
{
	for (uint32_t i = 0; i < t->count; i++)
		if (t->parts[i].kind == PART_TEXT)
			text_put(w, t->parts[i].text, t->parts[i].size);
		else
			text_put_cstr(w, sample);
	return w->error;
}
