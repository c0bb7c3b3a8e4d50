/* SPDX-License-Identifier: MIT */
/* See text.h. */
#include "text.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

void text_put(struct sl_writer *out, const char *text, size_t size, bool numbers)
{
	const char *reason;

	if (numbers && size > 0 && (isdigit((unsigned char)text[0]) || text[0] == '-') &&
		isdigit((unsigned char)text[size - 1]) &&
		sl_json_parse(out, text, size, &reason) == 0)
		return;
	sl_put_str(out, text, size);
}

/* --- key=value ---------------------------------------------------------------------------------- */

static bool is_separator(const struct logfmt *logfmt, char c)
{
	return c == logfmt->separator || (logfmt->separator == ' ' && c == '\t');
}

/* Behind the quote that closes the one at `at`; NULL: there is none. */
static const char *skip_quoted(const char *at, const char *end)
{
	for (at++; at < end; at++) {
		if (*at == '"')
			return at + 1;
		at += *at == '\\';
	}
	return NULL;
}

/* The pair that begins at `at`: behind it, or NULL with *ret_reason. */
static const char *read_pair(const struct logfmt *logfmt, const char *at, const char *end,
	struct pair *pair, const char **ret_reason)
{
	*pair = (struct pair){ .key = at };
	while (at < end && *at != logfmt->assign && !is_separator(logfmt, *at))
		at++;
	pair->key_size = (size_t)(at - pair->key);
	if (pair->key_size == 0) {
		*ret_reason = "a value without a key";
		return NULL;
	}
	if (at == end || *at != logfmt->assign)
		return at;
	pair->value = ++at;
	pair->is_quoted = at < end && *at == '"';
	if (pair->is_quoted) {
		at = skip_quoted(at, end);
		*ret_reason =
			!at ? "a quote that is not closed" : "something behind a closing quote";
		if (!at || (at < end && !is_separator(logfmt, *at)))
			return NULL;
	}
	while (at < end && !is_separator(logfmt, *at))
		at++;
	pair->value_size = (size_t)(at - pair->value);
	return at;
}

/* How many; -EINVAL with *ret_reason. */
static int read_pairs(
	const struct logfmt *logfmt, const char *text, size_t size, const char **ret_reason)
{
	const char *at = text;
	const char *end = text + size;
	int count = 0;

	while (at < end) {
		if (is_separator(logfmt, *at)) {
			at++;
			continue;
		}
		*ret_reason = "more than 1000 pairs";
		if (count == PAIRS_MAX)
			return -EINVAL;
		at = read_pair(logfmt, at, end, &logfmt->pairs[count++], ret_reason);
		if (!at)
			return -EINVAL;
	}
	return count;
}

static bool is_last(const struct pair *pair, const struct pair *end)
{
	for (const struct pair *other = pair + 1; other < end; other++)
		if (other->key_size == pair->key_size &&
			memcmp(other->key, pair->key, pair->key_size) == 0)
			return false;
	return true;
}

static int put_pair(const struct logfmt *logfmt, struct sl_writer *out, const struct pair *pair,
	const char **ret_reason)
{
	sl_put_str(out, pair->key, pair->key_size);
	if (!pair->value)
		sl_put_bool(out, true);
	else if (!pair->is_quoted)
		text_put(out, pair->value, pair->value_size, logfmt->numbers);
	else if (!memchr(pair->value, '\\', pair->value_size))
		sl_put_str(out, pair->value + 1, pair->value_size - 2);
	else
		return sl_json_parse(out, pair->value, pair->value_size, ret_reason);
	return 0;
}

int logfmt_put(const struct logfmt *logfmt, struct sl_writer *out, const char *text, size_t size,
	const char **ret_reason)
{
	int count = read_pairs(logfmt, text, size, ret_reason);
	const struct pair *end = logfmt->pairs + count;
	uint32_t distinct = 0;
	int r = 0;

	if (count < 0)
		return count;
	for (const struct pair *pair = logfmt->pairs; pair < end; pair++)
		distinct += is_last(pair, end);
	sl_put_map(out, distinct);
	for (const struct pair *pair = logfmt->pairs; pair < end && r == 0; pair++)
		if (is_last(pair, end))
			r = put_pair(logfmt, out, pair, ret_reason);
	return r;
}
