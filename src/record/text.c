/* SPDX-License-Identifier: MIT */
/* The formats of one record a line (lines, ndjson), and msgpack. See codec.h. */
#include "record/codec.h"

#include <errno.h>
#include <string.h>

#include "record/value.h"

size_t decoder_line_size(struct sl_decoder *d)
{
	size_t left = d->end - d->begin;
	const char *newline = left > 0 ? memchr(d->data + d->begin, '\n', left) : NULL;

	if (newline)
		return (size_t)(newline - (d->data + d->begin)) + 1;
	return d->at_end ? left : 0;
}

/* The line without its newline and the carriage return before it. */
static size_t trimmed(const char *text, size_t size)
{
	if (size > 0 && text[size - 1] == '\n')
		size--;
	if (size > 0 && text[size - 1] == '\r')
		size--;
	return size;
}

/* A line that grows beyond what a record may be is refused once, and its rest skipped. */
static int line_too_long(struct sl_decoder *d)
{
	size_t left = d->end - d->begin;

	if (left <= decoder_record_max(d))
		return EATEN_NOTHING;
	if (!d->is_skipping)
		decoder_refuse(d, "longer than record_max", d->data + d->begin, left);
	d->is_skipping = true;
	decoder_eat(d, left, 0);
	return EATEN_RECORD;
}

int decoder_line(struct sl_decoder *d, const char **ret_text, size_t *ret_size, size_t *ret_whole,
	int *ret_eaten)
{
	size_t whole = decoder_line_size(d);

	if (whole == 0) {
		*ret_eaten = d->at_end ? EATEN_END : line_too_long(d);
		return 0;
	}
	*ret_eaten = EATEN_RECORD;
	if (d->is_skipping || whole > decoder_record_max(d)) {
		if (!d->is_skipping)
			decoder_refuse(d, "longer than record_max", d->data + d->begin, whole);
		d->is_skipping = false;
		decoder_eat(d, whole, 1);
		return 0;
	}
	*ret_text = d->data + d->begin;
	*ret_size = trimmed(*ret_text, whole);
	*ret_whole = whole;
	return 1;
}

int lines_eat(struct sl_decoder *d, struct sl_writer *out)
{
	const char *text;
	size_t size, whole;
	int r = 0;

	if (!decoder_line(d, &text, &size, &whole, &r))
		return r;
	if (json_is_utf8(text, size)) {
		sl_put_str(out, text, size);
		r = sl_record_done(out);
	} else {
		decoder_refuse(d, "invalid UTF-8", text, size);
	}
	decoder_eat(d, whole, 1);
	return r < 0 ? r : EATEN_RECORD;
}

static bool is_blank(const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (text[i] != ' ' && text[i] != '\t')
			return false;
	return true;
}

int ndjson_eat(struct sl_decoder *d, struct sl_writer *out)
{
	const char *text, *reason;
	size_t size, whole;
	int r = 0;

	if (!decoder_line(d, &text, &size, &whole, &r))
		return r;
	r = 0;
	if (!is_blank(text, size)) {
		r = json_read(d->json, text, size, out, &reason);
		if (r == 0)
			r = sl_record_done(out);
		else if (r == -EINVAL)
			decoder_refuse(d, reason, text, size);
	}
	decoder_eat(d, whole, 1);
	return r == -ENOMEM ? r : EATEN_RECORD;
}

int msgpack_eat(struct sl_decoder *d, struct sl_writer *out)
{
	const char *begin = d->data + d->begin;
	const char *at = begin;
	size_t left = d->end - d->begin;
	int r;

	if (left == 0)
		return d->at_end ? EATEN_END : EATEN_NOTHING;
	if (!value_check(&at, d->data + d->end)) {
		if (!d->at_end && left <= decoder_record_max(d))
			return EATEN_NOTHING;
		return decoder_broken(d,
			"record %llu is no complete MessagePack value at most 64 deep, and where "
			"the next begins cannot be known",
			(unsigned long long)d->line);
	}
	sl_put_value(out, (struct sl_value){ begin, (size_t)(at - begin) });
	r = sl_record_done(out);
	decoder_eat(d, (size_t)(at - begin), 1);
	return r < 0 ? r : EATEN_RECORD;
}
