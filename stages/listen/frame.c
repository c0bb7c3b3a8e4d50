/* SPDX-License-Identifier: MIT */
/* See frame.h. */
#include "frame.h"

#include <stdlib.h>
#include <string.h>

#define DIGITS_MAX 9

static size_t left(const struct frames *f)
{
	return f->size - f->begin;
}

char *frames_room(struct frames *f, size_t size)
{
	size_t capacity;
	char *data;

	if (f->begin > 0) {
		memmove(f->data, f->data + f->begin, left(f));
		f->size -= f->begin;
		f->scanned -= f->begin < f->scanned ? f->begin : f->scanned;
		f->begin = 0;
	}
	if (f->capacity - f->size >= size)
		return f->data + f->size;
	capacity = f->size + size;
	data = realloc(f->data, capacity);
	if (!data)
		return NULL;
	f->data = data;
	f->capacity = capacity;
	return f->data + f->size;
}

void frames_added(struct frames *f, size_t size)
{
	f->size += size;
}

void frames_end(struct frames *f)
{
	f->is_at_end = true;
}

bool frames_has_part(const struct frames *f)
{
	return left(f) > 0 || f->skips_line || f->skip > 0;
}

void frames_shrink(struct frames *f)
{
	char *data;

	if (left(f) == 0) {
		free(f->data);
		f->data = NULL;
		f->begin = f->size = f->capacity = f->scanned = 0;
		return;
	}
	if (f->capacity / 2 <= left(f))
		return;
	(void)frames_room(f, 0);
	data = realloc(f->data, f->size);
	if (data) {
		f->data = data;
		f->capacity = f->size;
	}
}

void frames_fini(struct frames *f)
{
	free(f->data);
	*f = (struct frames){ 0 };
}

/* --- cutting -------------------------------------------------------------------------------------- */

static enum frame_outcome give(struct frames *f, enum frame_outcome outcome, size_t size,
	size_t whole, const char **ret_text, size_t *ret_size)
{
	*ret_text = f->data + f->begin;
	*ret_size = size;
	f->begin += whole;
	if (f->scanned < f->begin)
		f->scanned = f->begin;
	return outcome;
}

/* Up to the next newline, or what is there; *ret_has_end: the newline is. */
static size_t line_size(struct frames *f, bool *ret_has_end)
{
	const char *end = NULL;

	if (f->scanned < f->begin)
		f->scanned = f->begin;
	if (f->scanned < f->size)
		end = memchr(f->data + f->scanned, '\n', f->size - f->scanned);
	f->scanned = f->size;
	*ret_has_end = end != NULL;
	return end ? (size_t)(end - (f->data + f->begin)) : left(f);
}

static size_t trimmed(const char *text, size_t size)
{
	while (size > 0 && (text[size - 1] == '\r' || text[size - 1] == '\0'))
		size--;
	return size;
}

static enum frame_outcome next_line(
	struct frames *f, const struct frame_rules *rules, const char **ret_text, size_t *ret_size)
{
	bool has_end;
	size_t size = line_size(f, &has_end);
	enum frame_outcome outcome = size > rules->max ? FRAME_TOO_LONG : FRAME_WHOLE;

	if (has_end)
		f->scanned = f->begin + size + 1;
	if (f->skips_line) {
		f->begin += size + has_end;
		f->skips_line = !has_end;
		return has_end ? frames_next(f, rules, ret_text, ret_size) : FRAME_NONE;
	}
	if (has_end)
		return give(f, outcome, trimmed(f->data + f->begin, size), size + 1, ret_text,
			ret_size);
	if (outcome == FRAME_WHOLE && !(f->is_at_end && size > 0))
		return FRAME_NONE;
	f->skips_line = outcome == FRAME_TOO_LONG;
	return give(f, outcome,
		outcome == FRAME_TOO_LONG ? size : trimmed(f->data + f->begin, size), size,
		ret_text, ret_size);
}

static enum frame_outcome broken(struct frames *f, const char **ret_text, size_t *ret_size)
{
	f->has_trouble = true;
	return give(f, FRAME_BROKEN, left(f), left(f), ret_text, ret_size);
}

/* "LENGTH " in front: bytes of the head, 0: it is not whole yet, -1: it is none. */
static int parse_head(const struct frames *f, size_t *ret_size)
{
	const char *text = f->data + f->begin;
	size_t size = 0;
	int at = 0;

	while ((size_t)at < left(f) && text[at] >= '0' && text[at] <= '9') {
		size = size * 10 + (size_t)(text[at++] - '0');
		if (at > DIGITS_MAX)
			return -1;
	}
	if ((size_t)at == left(f))
		return at > 0 && text[0] == '0' ? -1 : 0;
	if (at == 0 || text[0] == '0' || text[at] != ' ')
		return -1;
	*ret_size = size;
	return at + 1;
}

static enum frame_outcome next_counted(
	struct frames *f, const struct frame_rules *rules, const char **ret_text, size_t *ret_size)
{
	size_t size = 0, there;
	int head = parse_head(f, &size);

	if (head < 0)
		return broken(f, ret_text, ret_size);
	there = left(f) - (size_t)head;
	if (head == 0)
		return f->is_at_end ? give(f, FRAME_CUT, left(f), left(f), ret_text, ret_size)
				    : FRAME_NONE;
	if (size <= rules->max && there < size && !f->is_at_end)
		return FRAME_NONE;
	f->begin += (size_t)head;
	if (size <= rules->max && there >= size)
		return give(f, FRAME_WHOLE, trimmed(f->data + f->begin, size), size, ret_text,
			ret_size);
	if (size <= rules->max)
		return give(f, FRAME_CUT, there, there, ret_text, ret_size);
	there = there < size ? there : size;
	f->skip = size - there;
	return give(f, FRAME_TOO_LONG, there, there, ret_text, ret_size);
}

/* What belongs to a counted message that was too long. */
static void pass_over(struct frames *f)
{
	size_t here = f->skip < left(f) ? (size_t)f->skip : left(f);

	f->begin += here;
	f->skip -= here;
}

static bool is_counted(const struct frames *f, const struct frame_rules *rules)
{
	size_t size;

	/* What begins with a digit and is no count is some line. */
	if (rules->framing == FRAMING_AUTO && !f->skips_line)
		return f->data[f->begin] >= '0' && f->data[f->begin] <= '9' &&
		       parse_head(f, &size) >= 0;
	return rules->framing == FRAMING_OCTETS;
}

enum frame_outcome frames_next(
	struct frames *f, const struct frame_rules *rules, const char **ret_text, size_t *ret_size)
{
	pass_over(f);
	/* Between counted messages some senders put a newline all the same. */
	while (rules->framing == FRAMING_OCTETS && left(f) > 0 && f->data[f->begin] == '\n')
		f->begin++;
	if (left(f) == 0 || f->has_trouble)
		return FRAME_NONE;
	if (rules->is_datagram)
		return give(f, left(f) > rules->max ? FRAME_TOO_LONG : FRAME_WHOLE, left(f),
			left(f), ret_text, ret_size);
	return is_counted(f, rules) ? next_counted(f, rules, ret_text, ret_size)
				    : next_line(f, rules, ret_text, ret_size);
}
