/* SPDX-License-Identifier: MIT */
/*
 * Structured data of RFC 5424: [id name="value" name="value"][id]. It is walked twice: once to see that it is right, then to put it; the second
 * walk believes the first.
 */
#include "syslog_room.h"

#include <string.h>

#define NAME_MAX_SIZE 32

/* An id or a parameter's name: printable ASCII but = ] " and space. */
static bool take_name(struct cursor *c, struct slice *ret)
{
	const char *begin = c->at;

	while (c->at<c->end && * c->at> 32 && *c->at < 127 && !strchr("=]\"", *c->at))
		c->at++;
	*ret = (struct slice){ begin, (size_t)(c->at - begin) };
	return ret->size > 0 && ret->size <= NAME_MAX_SIZE;
}

/* Up to the closing quote, which is eaten: \" \\ \] stand for what is behind the backslash. */
static bool take_value(struct cursor *c, struct slice *ret)
{
	const char *begin = c->at;

	for (; c->at < c->end && *c->at != '"'; c->at++)
		if (*c->at == '\\' && c->at + 1 < c->end)
			c->at++;
	if (c->at >= c->end)
		return false;
	*ret = (struct slice){ begin, (size_t)(c->at - begin) };
	c->at++;
	return true;
}

/* ` name="value"`; false, and nothing is eaten: there is none. */
static bool take_parameter(struct cursor *c, struct slice *ret_name, struct slice *ret_value)
{
	struct cursor ahead = *c;

	if (cursor_left(&ahead) < 2 || *ahead.at++ != ' ' || !take_name(&ahead, ret_name))
		return false;
	if (cursor_left(&ahead) < 2 || memcmp(ahead.at, "=\"", 2) != 0)
		return false;
	ahead.at += 2;
	if (!take_value(&ahead, ret_value))
		return false;
	*c = ahead;
	return true;
}

static bool is_same(struct slice a, struct slice b)
{
	return a.size == b.size && memcmp(a.at, b.at, a.size) == 0;
}

/* --- is it right? ----------------------------------------------------------------------------------- */

/* Behind "["; eats the "]". How many parameters; -1: it is none. */
static int check_element(struct cursor *c, struct slice *ret_id)
{
	struct slice name, value;
	int count = 0;

	if (!take_name(c, ret_id))
		return -1;
	while (take_parameter(c, &name, &value))
		if (++count > SYSLOG_DATA_MAX)
			return -1;
	if (cursor_left(c) == 0 || *c->at != ']')
		return -1;
	c->at++;
	return count;
}

static bool is_known(const struct slice *ids, uint32_t count, struct slice id)
{
	for (uint32_t i = 0; i < count; i++)
		if (is_same(ids[i], id))
			return true;
	return false;
}

const char *data_parse(struct cursor *c, struct syslog *m)
{
	struct slice ids[SYSLOG_DATA_MAX];
	const char *begin = c->at;
	uint32_t parts = 0;

	if (cursor_left(c) > 0 && *c->at == '-') {
		c->at++;
		return NULL;
	}
	while (cursor_left(c) > 0 && *c->at == '[') {
		int count;

		c->at++;
		if (m->elements == SYSLOG_DATA_MAX)
			return "its structured data have more than 256 parts";
		count = check_element(c, &ids[m->elements]);
		if (count < 0)
			return "its structured data are not [id name=\"value\" ...]";
		parts += (uint32_t)count + 1;
		if (parts > SYSLOG_DATA_MAX)
			return "its structured data have more than 256 parts";
		if (is_known(ids, m->elements, ids[m->elements]))
			return "an id stands twice in its structured data";
		m->elements++;
	}
	if (c->at == begin)
		return "it has neither structured data nor the \"-\" for none";
	m->data = (struct slice){ begin, (size_t)(c->at - begin) };
	return NULL;
}

/* --- putting it --------------------------------------------------------------------------------------- */

static void put_value(struct sl_writer *out, struct slice value, struct sl_writer *scratch)
{
	char *to;

	if (!memchr(value.at, '\\', value.size)) {
		string_put(out, value.at, value.size);
		return;
	}
	sl_writer_reset(scratch);
	to = sl_writer_reserve(scratch, value.size);
	if (!to) {
		out->error = scratch->error;
		return;
	}
	for (size_t i = 0; i < value.size; i++) {
		/* A backslash before anything else is itself. */
		if (value.at[i] == '\\' && i + 1 < value.size && strchr("\"\\]", value.at[i + 1]))
			i++;
		*to++ = value.at[i];
	}
	string_put(out, scratch->data, (size_t)(to - scratch->data));
}

/* All values of the parameter that is next at `c`, which does not stand before. */
static void put_parameter(struct sl_writer *out, struct cursor c, struct sl_writer *scratch)
{
	struct cursor ahead = c;
	struct slice name, wanted, value;
	uint32_t count = 0;

	(void)take_parameter(&ahead, &wanted, &value);
	string_put(out, wanted.at, wanted.size);
	for (ahead = c; take_parameter(&ahead, &name, &value);)
		count += is_same(name, wanted);
	if (count > 1)
		sl_put_array(out, count);
	while (take_parameter(&c, &name, &value))
		if (is_same(name, wanted))
			put_value(out, value, scratch);
}

/* Does the parameter at `c` stand in front, too? */
static bool is_repeated(struct cursor begin, struct cursor c, struct slice wanted)
{
	struct slice name, value;

	while (begin.at < c.at && take_parameter(&begin, &name, &value))
		if (is_same(name, wanted))
			return true;
	return false;
}

static void put_element(struct sl_writer *out, struct cursor *c, struct sl_writer *scratch)
{
	struct slice id, name, value;
	struct cursor begin, at;
	uint32_t count = 0;

	c->at++;
	(void)take_name(c, &id);
	string_put(out, id.at, id.size);
	begin = *c;
	for (at = *c; take_parameter(c, &name, &value); at = *c)
		count += !is_repeated(begin, at, name);
	c->at++;
	sl_put_map(out, count);
	for (at = begin;;) {
		struct cursor next = at;

		if (!take_parameter(&next, &name, &value))
			break;
		if (!is_repeated(begin, at, name))
			put_parameter(out, at, scratch);
		at = next;
	}
}

void data_put(struct sl_writer *out, const struct syslog *m, struct sl_writer *scratch)
{
	struct cursor c = { m->data.at, m->data.at + m->data.size };

	if (!m->data.at) {
		sl_put_nil(out);
		return;
	}
	sl_put_map(out, m->elements);
	for (uint32_t i = 0; i < m->elements; i++)
		put_element(out, &c, scratch);
}
