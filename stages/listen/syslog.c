/* SPDX-License-Identifier: MIT */
/* See syslog.h: the heads, and the record. */
#include "syslog_room.h"

#include <stdio.h>
#include <string.h>

#define PRIORITY_MAX 191

/* --- RFC 5424 --------------------------------------------------------------------------------------- */

/* Up to the next space, which is eaten; "-" is none. False: there is no field. */
static bool take_field(struct cursor *c, size_t max, struct slice *ret)
{
	const char *space = memchr(c->at, ' ', cursor_left(c));
	size_t size = space ? (size_t)(space - c->at) : cursor_left(c);

	if (size == 0 || size > max)
		return false;
	for (size_t i = 0; i < size; i++)
		if (c->at[i] < 33 || c->at[i] > 126)
			return false;
	*ret = size == 1 && *c->at == '-' ? (struct slice){ 0 } : (struct slice){ c->at, size };
	c->at += size + (space != NULL);
	return true;
}

static const char *parse_head(struct cursor *c, struct syslog *m)
{
	if (!take_field(c, 64, &m->time) || (m->time.at && !time_is_rfc3339(m->time)))
		return "the time of an RFC 5424 head is none";
	if (!take_field(c, 255, &m->host))
		return "the host name of an RFC 5424 head is missing, longer than 255 bytes or not "
		       "ASCII";
	if (!take_field(c, 48, &m->app))
		return "the program of an RFC 5424 head is missing, longer than 48 bytes or not "
		       "ASCII";
	if (!take_field(c, 128, &m->procid))
		return "the process of an RFC 5424 head is missing, longer than 128 bytes or not "
		       "ASCII";
	if (!take_field(c, 32, &m->msgid))
		return "the message's type in an RFC 5424 head is missing, longer than 32 bytes or "
		       "not ASCII";
	return NULL;
}

static const char *parse_5424(struct cursor *c, struct syslog *m)
{
	const char *reason = parse_head(c, m);

	if (!reason)
		reason = data_parse(c, m);
	if (reason)
		return reason;
	if (cursor_left(c) > 0 && *c->at++ != ' ')
		return "structured data and message are not parted by a space";
	if (cursor_left(c) >= 3 && memcmp(c->at, "\xef\xbb\xbf", 3) == 0)
		c->at += 3;
	m->message = (struct slice){ c->at, cursor_left(c) };
	return NULL;
}

/* --- RFC 3164 --------------------------------------------------------------------------------------- */

static bool is_tag(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c != '\0' && strchr("-_./@()+", c));
}

/* "su[17]: " or "su: ". False, and nothing is eaten: the text begins otherwise. */
static bool take_tag(struct cursor *c, struct syslog *m)
{
	const char *at = c->at, *end;

	while (at < c->end && is_tag(*at))
		at++;
	if (at == c->at || at == c->end || (*at != ':' && *at != '['))
		return false;
	m->app = (struct slice){ c->at, (size_t)(at - c->at) };
	if (*at == '[') {
		end = memchr(at, ']', (size_t)(c->end - at));
		if (!end || end == at + 1)
			return m->app = (struct slice){ 0 }, false;
		m->procid = (struct slice){ at + 1, (size_t)(end - at) - 1 };
		at = end + 1;
	}
	if (at < c->end && *at == ':')
		at++;
	if (at < c->end && *at == ' ')
		at++;
	c->at = at;
	return true;
}

/* A word and a space, unless it is what a tag looks like. */
static void take_host(struct cursor *c, struct syslog *m)
{
	const char *space = memchr(c->at, ' ', cursor_left(c));
	size_t size = space ? (size_t)(space - c->at) : 0;

	if (size == 0 || size > 255 || space[-1] == ':' || memchr(c->at, '[', size))
		return;
	for (size_t i = 0; i < size; i++)
		if (c->at[i] < 33 || c->at[i] > 126)
			return;
	m->host = (struct slice){ c->at, size };
	c->at = space + 1;
}

static void parse_3164(struct cursor *c, time_t now, struct syslog *m)
{
	if (time_take(c, now, m))
		take_host(c, m);
	(void)take_tag(c, m);
	m->message = (struct slice){ c->at, cursor_left(c) };
}

/* --- both ------------------------------------------------------------------------------------------- */

static bool take_priority(struct cursor *c, struct syslog *m)
{
	unsigned priority = 0;
	const char *at = c->at + 1;

	if (cursor_left(c) < 3 || *c->at != '<')
		return false;
	while (at < c->end && at < c->at + 4 && *at >= '0' && *at <= '9')
		priority = priority * 10 + (unsigned)(*at++ - '0');
	if (at == c->at + 1 || at == c->end || *at != '>' || priority > PRIORITY_MAX)
		return false;
	m->facility = priority / 8;
	m->severity = priority % 8;
	c->at = at + 1;
	return true;
}

const char *syslog_parse(const char *text, size_t size, time_t now, struct syslog *ret)
{
	struct cursor c = { text, text + size };

	*ret = (struct syslog){ 0 };
	if (!take_priority(&c, ret))
		return "it does not begin with a priority, <0> to <191>";
	if (cursor_left(&c) >= 2 && c.at[0] == '1' && c.at[1] == ' ') {
		c.at += 2;
		return parse_5424(&c, ret);
	}
	parse_3164(&c, now, ret);
	return NULL;
}

static void put_slice(struct sl_writer *out, const char *name, struct slice slice)
{
	sl_put_cstr(out, name);
	if (slice.at)
		string_put(out, slice.at, slice.size);
	else
		sl_put_nil(out);
}

void syslog_put(struct sl_writer *out, const struct syslog *m, struct sl_writer *scratch)
{
	sl_put_cstr(out, "facility");
	sl_put_uint(out, m->facility);
	sl_put_cstr(out, "severity");
	sl_put_uint(out, m->severity);
	put_slice(out, "timestamp", m->time);
	put_slice(out, "host", m->host);
	put_slice(out, "app", m->app);
	put_slice(out, "procid", m->procid);
	put_slice(out, "msgid", m->msgid);
	sl_put_cstr(out, "structured_data");
	data_put(out, m, scratch);
	put_slice(out, "message", m->message);
}
