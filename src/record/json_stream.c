/* SPDX-License-Identifier: MIT */
/*
 * The json format: one array, read as a stream. A scan finds where an element ends (it knows strings and nesting, nothing
 * else); the element then goes through json_read as a document of its own.
 *
 *   START -- [ --> FIRST -- element --> SEPARATOR -- , --> ELEMENT -- element --> SEPARATOR -- ] --> TAIL
 *      `---- anything else: the whole file is one record -------------------------------------------> TAIL
 */
#include "record/codec.h"

#include <errno.h>
#include <string.h>

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Skips white space: the first byte behind it, or 0 with *ret_eaten. */
static char peek(struct sl_decoder *d)
{
	while (d->begin < d->end && is_space(d->data[d->begin]))
		decoder_eat(d, 1, d->data[d->begin] == '\n');
	return d->begin < d->end ? d->data[d->begin] : '\0';
}

/* One byte of an element: true when the element ends *before* it. */
static bool scan_byte(struct sl_decoder *d, char c)
{
	if (d->in_string) {
		if (d->is_escaped)
			d->is_escaped = false;
		else if (c == '\\')
			d->is_escaped = true;
		else if (c == '"')
			d->in_string = false;
		return false;
	}
	if (d->depth == 0 && d->scanned > 0 && (c == ',' || c == ']' || c == '}' || is_space(c)))
		return true;
	if (c == '"')
		d->in_string = true;
	else if (c == '{' || c == '[')
		d->depth++;
	else if ((c == '}' || c == ']') && d->depth > 0)
		d->depth--;
	return false;
}

/* Has the window the whole element? Then its size is `scanned`. */
static bool scan_element(struct sl_decoder *d)
{
	size_t left = d->end - d->begin;

	while (d->scanned < left) {
		if (scan_byte(d, d->data[d->begin + d->scanned]))
			return true;
		d->scanned++;
	}
	return d->at_end && d->depth == 0 && !d->in_string;
}

static uint64_t count_lines(const char *text, size_t size)
{
	uint64_t lines = 0;

	for (size_t i = 0; i < size; i++)
		lines += text[i] == '\n';
	return lines;
}

static int put_element(struct sl_decoder *d, struct sl_writer *out, size_t size)
{
	const char *text = d->data + d->begin;
	const char *reason;
	int r = json_read(d->json, text, size, out, &reason);

	if (r == 0)
		r = sl_record_done(out);
	else if (r == -EINVAL)
		decoder_refuse(d, reason, text, size);
	decoder_eat(d, size, count_lines(text, size));
	d->scanned = 0;
	d->depth = 0;
	return r == -ENOMEM ? r : EATEN_RECORD;
}

static int eat_element(struct sl_decoder *d, struct sl_writer *out)
{
	int r;

	if (!scan_element(d)) {
		if (d->at_end)
			return decoder_broken(d, "line %llu: the file ends inside a value",
				(unsigned long long)d->line);
		if (d->end - d->begin > decoder_record_max(d))
			return decoder_broken(d,
				"line %llu: an element of the array is longer than record_max",
				(unsigned long long)d->line);
		return EATEN_NOTHING;
	}
	r = put_element(d, out, d->scanned);
	d->json_state = JSON_SEPARATOR;
	return r;
}

/* No array: the whole stream is one value. */
static int eat_whole(struct sl_decoder *d, struct sl_writer *out)
{
	if (d->end - d->begin > decoder_record_max(d))
		return decoder_broken(d, "a file that is no array is one record, and this one is "
					 "longer than record_max");
	if (!d->at_end)
		return EATEN_NOTHING;
	d->json_state = JSON_TAIL;
	return put_element(d, out, d->end - d->begin);
}

static int eat_separator(struct sl_decoder *d, char c)
{
	if (c != ',' && c != ']')
		return decoder_broken(d,
			"line %llu: expected `,` or `]` between the elements of the array, found "
			"`%c`",
			(unsigned long long)d->line, c);
	decoder_eat(d, 1, 0);
	d->json_state = c == ',' ? JSON_ELEMENT : JSON_TAIL;
	return EATEN_RECORD;
}

static int eat_begin(struct sl_decoder *d, struct sl_writer *out, char c)
{
	if (c != '[')
		return eat_whole(d, out);
	decoder_eat(d, 1, 0);
	d->json_state = JSON_FIRST;
	return EATEN_RECORD;
}

int json_eat(struct sl_decoder *d, struct sl_writer *out)
{
	char c = d->scanned > 0 ? d->data[d->begin] : peek(d);

	if (c == '\0' && d->begin == d->end) {
		if (!d->at_end)
			return EATEN_NOTHING;
		if (d->json_state == JSON_TAIL || d->json_state == JSON_START)
			return EATEN_END;
		return decoder_broken(d, "line %llu: the file ends before the array does",
			(unsigned long long)d->line);
	}
	switch (d->json_state) {
	case JSON_START:
		return eat_begin(d, out, c);
	case JSON_FIRST:
		if (c == ']') {
			decoder_eat(d, 1, 0);
			d->json_state = JSON_TAIL;
			return EATEN_RECORD;
		}
		return eat_element(d, out);
	case JSON_ELEMENT:
		return eat_element(d, out);
	case JSON_SEPARATOR:
		return eat_separator(d, c);
	default:
		return decoder_broken(d, "line %llu: something follows the end of the array",
			(unsigned long long)d->line);
	}
}
