/* SPDX-License-Identifier: MIT */
/* CSV written: a header from the first record or the codec, then a line for each record; a field is quoted when it must be. */
#include "record/codec.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of the record at hand: a column's name is as long as this, and this is what stands under it. */
struct csv_slot {
	size_t size;
	struct sl_value value;
};

static int columns_from(struct sl_encoder *e, struct sl_value record)
{
	struct sl_cursor cursor = sl_walk(record);
	struct sl_value key, value;
	uint32_t count = e->codec.columns ? e->codec.column_count : sl_count(record);

	e->columns = calloc(count ? count : 1, sizeof(char *));
	if (!e->columns)
		return -ENOMEM;
	while (e->column_count < count) {
		const char *text = e->codec.columns ? e->codec.columns[e->column_count] : "";
		size_t size = strlen(text);

		if (!e->codec.columns &&
			(!sl_next(&cursor, &key, &value) || !sl_get_str(key, &text, &size))) {
			e->reason = "a map has a key that is no string";
			return -EINVAL;
		}
		e->columns[e->column_count] = strndup(text, size);
		if (!e->columns[e->column_count++])
			return -ENOMEM;
	}
	return 0;
}

void csv_encoder_fini(struct sl_encoder *e)
{
	for (uint32_t i = 0; e->columns && i < e->column_count; i++)
		free(e->columns[i]);
	free(e->columns);
	free(e->slots);
	e->columns = NULL;
	e->slots = NULL;
	e->column_count = 0;
}

static int make_slots(struct sl_encoder *e)
{
	e->slots = calloc(e->column_count + 1, sizeof(*e->slots));
	if (!e->slots)
		return -ENOMEM;
	for (uint32_t i = 0; i < e->column_count; i++)
		e->slots[i].size = strlen(e->columns[i]);
	return 0;
}

static bool must_be_quoted(const char *text, size_t size, char quote, char delimiter)
{
	for (size_t i = 0; i < size; i++)
		if (text[i] == quote || text[i] == delimiter || text[i] == '\n' || text[i] == '\r')
			return true;
	return false;
}

static int put_quoted(struct sl_encoder *e, const char *text, size_t size, char quote)
{
	char *at;

	if (!json_text_reserve(&e->text, 2 * size + 2))
		return -ENOMEM;
	at = e->text.data + e->text.size;
	*at++ = quote;
	for (size_t i = 0; i < size; i++) {
		if (text[i] == quote)
			*at++ = quote;
		*at++ = text[i];
	}
	*at++ = quote;
	e->text.size = (size_t)(at - e->text.data);
	return 0;
}

/* Appends `text` as a field, quoted when it must be. */
static int put_field(struct sl_encoder *e, const char *text, size_t size)
{
	char quote = e->codec.quote ? e->codec.quote : '"';
	char delimiter = e->codec.delimiter ? e->codec.delimiter : ',';

	if (must_be_quoted(text, size, quote, delimiter)) {
		if (!e->codec.no_quoting)
			return put_quoted(e, text, size, quote);
		e->reason = "a field holds the delimiter or a newline, and quoting is off";
		return -EINVAL;
	}
	if (!json_text_reserve(&e->text, size))
		return -ENOMEM;
	memcpy(e->text.data + e->text.size, text, size);
	e->text.size += size;
	return 0;
}

/* Numbers and what has parts: as JSON, which is written in its place and taken out again only to be quoted. */
static int put_json(struct sl_encoder *e, struct sl_value value)
{
	size_t before = e->text.size, size;
	char *text;
	int r = json_write(&e->text, value, &e->reason);

	size = e->text.size - before;
	if (r < 0 ||
		!must_be_quoted(e->text.data + before, size, e->codec.quote ? e->codec.quote : '"',
			e->codec.delimiter ? e->codec.delimiter : ','))
		return r;
	text = malloc(size);
	if (!text)
		return -ENOMEM;
	memcpy(text, e->text.data + before, size);
	e->text.size = before;
	r = put_field(e, text, size);
	free(text);
	return r;
}

static int put_value(struct sl_encoder *e, struct sl_value value)
{
	const char *text;
	size_t size;

	if (!value.data || sl_kind(value) == SL_NIL)
		return 0;
	if (sl_get_str(value, &text, &size))
		return put_field(e, text, size);
	return put_json(e, value);
}

static int put_char(struct sl_encoder *e, char c)
{
	if (!json_text_reserve(&e->text, 1))
		return -ENOMEM;
	e->text.data[e->text.size++] = c;
	return 0;
}

static int put_header(struct sl_encoder *e)
{
	int r = 0;

	for (uint32_t i = 0; i < e->column_count && r == 0; i++) {
		if (i > 0)
			r = put_char(e, e->codec.delimiter ? e->codec.delimiter : ',');
		if (r == 0)
			r = put_field(e, e->columns[i], strlen(e->columns[i]));
	}
	return r < 0 ? r : put_char(e, '\n');
}

/* Most records have their fields in the order of the columns: `hint` is where the next one should be. */
static uint32_t find_column(
	const struct sl_encoder *e, const char *name, size_t size, uint32_t hint)
{
	for (uint32_t n = 0; n < e->column_count; n++) {
		uint32_t i = hint + n < e->column_count ? hint + n : hint + n - e->column_count;

		if (e->slots[i].size == size && memcmp(e->columns[i], name, size) == 0)
			return i;
	}
	return UINT32_MAX;
}

/* A column that the header does not have would be lost. */
static int refuse_column(struct sl_encoder *e, struct sl_value key)
{
	const char *name = "";
	size_t size = 0;

	(void)sl_get_str(key, &name, &size);
	(void)snprintf(e->reason_text, sizeof(e->reason_text),
		"field `%.*s` is no column: name all `columns` of the file", (int)size, name);
	e->reason = e->reason_text;
	return -EINVAL;
}

/* Of two fields of one name the last one holds. */
static int fill_slots(struct sl_encoder *e, struct sl_value record)
{
	struct sl_cursor cursor = sl_walk(record);
	struct sl_value key, value;
	uint32_t at = UINT32_MAX;

	for (uint32_t i = 0; i < e->column_count; i++)
		e->slots[i].value = (struct sl_value){ 0 };
	while (sl_next(&cursor, &key, &value)) {
		const char *name;
		size_t size;

		at = sl_get_str(key, &name, &size) ? find_column(e, name, size, at + 1)
						   : UINT32_MAX;
		if (at == UINT32_MAX)
			return refuse_column(e, key);
		e->slots[at].value = value;
	}
	return 0;
}

static int put_row(struct sl_encoder *e)
{
	int r = 0;

	for (uint32_t i = 0; i < e->column_count && r == 0; i++) {
		if (i > 0)
			r = put_char(e, e->codec.delimiter ? e->codec.delimiter : ',');
		if (r == 0)
			r = put_value(e, e->slots[i].value);
	}
	return r < 0 ? r : put_char(e, '\n');
}

int csv_encode(struct sl_encoder *e, struct sl_value record)
{
	size_t before = e->text.size;
	int r = 0;

	if (sl_kind(record) != SL_MAP || sl_count(record) == 0) {
		e->reason = "csv takes maps with at least one field";
		return -EINVAL;
	}
	if (!e->columns)
		r = columns_from(e, record);
	if (r == 0 && !e->slots)
		r = make_slots(e);
	if (r == 0)
		r = fill_slots(e, record);
	if (r == 0 && e->count == 0 && !e->codec.no_header && e->codec.header != SL_HEADER_ABSENT)
		r = put_header(e);
	if (r == 0)
		r = put_row(e);
	if (r < 0)
		e->text.size = before;
	if (r < 0 && e->count == 0)
		csv_encoder_fini(e);
	return r;
}
