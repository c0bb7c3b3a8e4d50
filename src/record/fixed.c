/* SPDX-License-Identifier: MIT */
/* The fixed format: a line of fields, each as wide as the layout says. See fixed.h. */
#include "record/fixed.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "record/codec.h"
#include "record/typed.h"

static bool begins_character(char c)
{
	return ((unsigned char)c & 0xc0) != 0x80;
}

static size_t characters(const char *text, size_t size)
{
	size_t count = 0;

	for (size_t i = 0; i < size; i++)
		count += begins_character(text[i]);
	return count;
}

/* Bytes of the first `count` characters, of which there are so many. */
static size_t bytes_of(const char *text, size_t size, uint32_t count)
{
	size_t i = 0;

	while (i < size && count > 0) {
		i++;
		while (i < size && !begins_character(text[i]))
			i++;
		count--;
	}
	return i;
}

/* --- reading ------------------------------------------------------------------------------------ */

struct slice {
	const char *text;
	size_t size;
};

static void trim_left(struct slice *s, char c)
{
	while (s->size > 0 && s->text[0] == c) {
		s->text++;
		s->size--;
	}
}

static void trim_right(struct slice *s, char c)
{
	while (s->size > 0 && s->text[s->size - 1] == c)
		s->size--;
}

/* What fills it up goes; of what is no text spaces at both ends do, too. Zeros before a number are part of it. */
static void trim(const struct fixed_field *field, struct slice *s)
{
	bool is_text = field->type == FIXED_TEXT;

	if (is_text || field->pad != '0') {
		if (field->is_right)
			trim_left(s, field->pad);
		else
			trim_right(s, field->pad);
	}
	if (!is_text) {
		trim_left(s, ' ');
		trim_right(s, ' ');
	}
}

/* False: it is not of its type. */
static bool put_field(
	struct sl_writer *w, const struct fixed_field *field, const struct slice *s, bool null)
{
	if (s->size == 0 && (null || field->type != FIXED_TEXT)) {
		sl_put_nil(w);
		return true;
	}
	switch (field->type) {
	case FIXED_INT:
		return typed_put_int(w, s->text, s->size);
	case FIXED_FLOAT:
		return typed_put_double(w, s->text, s->size);
	case FIXED_BOOL:
		return typed_put_bool(w, s->text, s->size);
	case FIXED_INFER:
		typed_put(w, s->text, s->size);
		return true;
	default:
		sl_put_str(w, s->text, s->size);
		return true;
	}
}

static int refuse_field(
	struct sl_decoder *d, const struct fixed_field *field, const char *line, size_t size)
{
	static const char *const names[] = { "text", "int", "float", "bool", "text" };
	char reason[128];

	(void)snprintf(
		reason, sizeof(reason), "field `%.64s` is no %s", field->name, names[field->type]);
	decoder_refuse(d, reason, line, size);
	return 0;
}

static int put_line(struct sl_decoder *d, struct sl_writer *out, const char *line, size_t size)
{
	const struct fixed_layout *layout = d->fixed;
	const char *at = line, *end = line + size;

	sl_put_map(out, layout->named);
	for (uint32_t i = 0; i < layout->count; i++) {
		const struct fixed_field *field = &layout->fields[i];
		struct slice s = { at, bytes_of(at, (size_t)(end - at), field->width) };

		at += s.size;
		if (!field->name)
			continue;
		trim(field, &s);
		sl_put_str(out, field->name, field->name_size);
		if (!put_field(out, field, &s, d->codec.empty_is_null)) {
			sl_record_abandon(out);
			return refuse_field(d, field, line, size);
		}
	}
	return sl_record_done(out);
}

/* Spaces behind the last field are nothing; other characters would be lost. */
static int take_line(struct sl_decoder *d, struct sl_writer *out, const char *line, size_t size)
{
	uint32_t width = d->fixed->width;
	struct slice s = { line, size };
	size_t count;
	char reason[96];

	if (!json_is_utf8(line, size)) {
		decoder_refuse(d, "invalid UTF-8", line, size);
		return 0;
	}
	count = characters(line, size);
	while (count > width && s.text[s.size - 1] == ' ') {
		s.size--;
		count--;
	}
	if (count == width)
		return put_line(d, out, line, s.size);
	(void)snprintf(reason, sizeof(reason), "expected %u characters, found %zu", width, count);
	decoder_refuse(d, reason, line, size);
	return 0;
}

int fixed_eat(struct sl_decoder *d, struct sl_writer *out)
{
	const char *line;
	size_t size, whole;
	int r = 0;

	if (!decoder_line(d, &line, &size, &whole, &r))
		return r;
	r = size > 0 ? take_line(d, out, line, size) : 0;
	decoder_eat(d, whole, 1);
	return r < 0 ? r : EATEN_RECORD;
}

/* --- writing ------------------------------------------------------------------------------------ */

static int refuse(struct sl_encoder *e, const char *name, size_t size, const char *what)
{
	(void)snprintf(e->reason_text, sizeof(e->reason_text), "field `%.*s` %s",
		(int)(size < 64 ? size : 64), name, what);
	e->reason = e->reason_text;
	return -EINVAL;
}

/* Of two fields of one name the last one holds. */
static int fill_values(struct sl_encoder *e, struct sl_value record)
{
	struct fixed_layout *layout = e->fixed;
	struct sl_cursor cursor = sl_walk(record);
	struct sl_value key, value;
	uint32_t hint = 0;

	memset(layout->values, 0, layout->count * sizeof(*layout->values));
	while (sl_next(&cursor, &key, &value)) {
		const char *name = "";
		size_t size = 0;
		uint32_t n = 0, i = 0;

		(void)sl_get_str(key, &name, &size);
		for (; n < layout->count; n++) {
			i = (hint + n) % layout->count;
			if (layout->fields[i].name && layout->fields[i].name_size == size &&
				memcmp(layout->fields[i].name, name, size) == 0)
				break;
		}
		if (n == layout->count)
			return refuse(
				e, name, size, "has no place in the line: name it in `fields`");
		layout->values[i] = value;
		hint = i + 1;
	}
	return 0;
}

static bool is_of(const struct fixed_field *field, struct sl_value value)
{
	enum sl_kind kind = sl_kind(value);

	switch (field->type) {
	case FIXED_INT:
		return kind == SL_INT;
	case FIXED_FLOAT:
		return kind == SL_INT || kind == SL_FLOAT;
	case FIXED_BOOL:
		return kind == SL_BOOL;
	default:
		return kind != SL_MAP && kind != SL_ARRAY;
	}
}

static int fill_up(struct sl_encoder *e, char c, size_t count)
{
	if (!json_text_reserve(&e->text, count))
		return -ENOMEM;
	memset(e->text.data + e->text.size, c, count);
	e->text.size += count;
	return 0;
}

/* The value's text at the end of e->text, without what fills it up. */
static int put_bare(struct sl_encoder *e, const struct fixed_field *field, struct sl_value value)
{
	const char *text;
	size_t size;

	if (!value.data || sl_kind(value) == SL_NIL)
		return 0;
	if (!is_of(field, value))
		return refuse(e, field->name, field->name_size, "is not of its type");
	if (!sl_get_str(value, &text, &size))
		return json_write(&e->text, value, &e->reason);
	if (memchr(text, '\n', size) || memchr(text, '\r', size))
		return refuse(e, field->name, field->name_size, "holds a newline");
	if (!json_text_reserve(&e->text, size))
		return -ENOMEM;
	memcpy(e->text.data + e->text.size, text, size);
	e->text.size += size;
	return 0;
}

/* Moves what stands from `begin` on to the end of the field; a sign stays before zeros. */
static int align_right(struct sl_encoder *e, size_t begin, char pad, size_t count)
{
	size_t size = e->text.size - begin;
	bool has_sign = pad == '0' && size > 0 && e->text.data[begin] == '-';

	begin += has_sign;
	size -= has_sign;
	if (fill_up(e, pad, count) < 0)
		return -ENOMEM;
	memmove(e->text.data + begin + count, e->text.data + begin, size);
	memset(e->text.data + begin, pad, count);
	return 0;
}

static int write_field(struct sl_encoder *e, const struct fixed_field *field, struct sl_value value)
{
	size_t begin = e->text.size, count;
	int r = put_bare(e, field, value);
	char pad = field->pad;

	if (r < 0)
		return r;
	count = characters(e->text.data + begin, e->text.size - begin);
	if (count > field->width)
		return refuse(e, field->name, field->name_size, "is longer than its width");
	/* Nothing is not 0. */
	if (count == 0 && field->type != FIXED_TEXT)
		pad = ' ';
	count = field->width - count;
	return field->is_right ? align_right(e, begin, pad, count) : fill_up(e, pad, count);
}

int fixed_encode(struct sl_encoder *e, struct sl_value record)
{
	size_t before = e->text.size;
	int r = 0;

	if (sl_kind(record) != SL_MAP) {
		e->reason = "fixed takes maps";
		return -EINVAL;
	}
	r = fill_values(e, record);
	for (uint32_t i = 0; i < e->fixed->count && r == 0; i++)
		r = write_field(e, &e->fixed->fields[i], e->fixed->values[i]);
	if (r == 0)
		r = fill_up(e, '\n', 1);
	if (r < 0)
		e->text.size = before;
	return r;
}
