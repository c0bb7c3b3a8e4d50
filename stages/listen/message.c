/* SPDX-License-Identifier: MIT */
/* A message becomes a record. See listen.h. */
#include "listen.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "syslog.h"
#include "string_put.h"

/* The text is kept with the letter, as a string where it can be one. */
static struct sl_value as_value(struct listener *l, const char *text, size_t size)
{
	sl_writer_reset(&l->row);
	if (text_is_utf8(text, size))
		sl_put_str(&l->row, text, size);
	else
		sl_put_bin(&l->row, text, size);
	return l->row.error ? (struct sl_value){ 0 }
			    : (struct sl_value){ l->row.data, l->row.size };
}

void message_refuse(
	struct listener *l, const char *peer, const char *reason, const char *text, size_t size)
{
	char where[PEER_SIZE + 40];

	/* Its number makes it another one than what the same peer sends later. */
	(void)snprintf(
		where, sizeof(where), "%s, message %llu", peer, (unsigned long long)l->position);
	(void)sl_reject(l->ctx, where, as_value(l, text, size), "%s", reason);
	l->position++;
}

static int done(struct listener *l)
{
	l->position++;
	return sl_record_done(l->cut->out);
}

static void put_peer(struct listener *l, const char *peer)
{
	if (!l->options->peer_field)
		return;
	sl_put_cstr(l->cut->out, l->options->peer_field);
	sl_put_cstr(l->cut->out, peer);
}

static int take_line(struct listener *l, const char *peer, const char *text, size_t size)
{
	struct sl_writer *out = l->cut->out;

	if (!text_is_utf8(text, size)) {
		message_refuse(l, peer, "invalid UTF-8", text, size);
		return 0;
	}
	if (l->options->peer_field) {
		sl_put_map(out, 2);
		sl_put_cstr(out, "value");
	}
	sl_put_str(out, text, size);
	put_peer(l, peer);
	return done(l);
}

static bool is_named(struct sl_value key, const char *name)
{
	const char *text;
	size_t size;

	return sl_get_str(key, &text, &size) && size == strlen(name) &&
	       memcmp(text, name, size) == 0;
}

/* With who sent it: the sender cannot say that. */
static void put_with_peer(struct listener *l, struct sl_value record, const char *peer)
{
	const char *field = l->options->peer_field;
	struct sl_writer *out = l->cut->out;
	struct sl_cursor c = sl_walk(record);
	struct sl_value key, value;
	uint32_t others = 0;

	while (sl_next(&c, &key, &value))
		others += !is_named(key, field);
	sl_put_map(out, others + 1);
	for (c = sl_walk(record); sl_next(&c, &key, &value);) {
		if (is_named(key, field))
			continue;
		sl_put_value(out, key);
		sl_put_value(out, value);
	}
	put_peer(l, peer);
}

static int take_json(struct listener *l, const char *peer, const char *text, size_t size)
{
	struct sl_writer *out = l->cut->out;
	struct sl_value record;
	const char *reason = "";
	int r;

	if (string_is_blank(text, size))
		return 0;
	sl_writer_reset(&l->scratch);
	r = sl_json_parse(&l->scratch, text, size, &reason);
	if (r == -EINVAL) {
		message_refuse(l, peer, reason, text, size);
		return 0;
	}
	if (r < 0)
		return r;
	record = (struct sl_value){ l->scratch.data, l->scratch.size };
	if (!l->options->peer_field) {
		sl_put_value(out, record);
	} else if (sl_kind(record) == SL_MAP) {
		put_with_peer(l, record, peer);
	} else {
		sl_put_map(out, 2);
		sl_put_cstr(out, "value");
		sl_put_value(out, record);
		put_peer(l, peer);
	}
	return done(l);
}

static int take_syslog(struct listener *l, const char *peer, const char *text, size_t size)
{
	struct syslog message;
	const char *reason;

	/* A datagram may have the newline that a connection needs. */
	while (size > 0 && (text[size - 1] == '\n' || text[size - 1] == '\0'))
		size--;
	if (string_is_blank(text, size))
		return 0;
	reason = syslog_parse(text, size, l->now, &message);
	if (reason) {
		message_refuse(l, peer, reason, text, size);
		return 0;
	}
	sl_put_map(l->cut->out, SYSLOG_FIELDS + (l->options->peer_field != NULL));
	syslog_put(l->cut->out, &message, &l->scratch);
	put_peer(l, peer);
	return done(l);
}

int message_take(struct listener *l, const char *peer, const char *text, size_t size)
{
	switch (l->options->format) {
	case FORMAT_LINES:
		return take_line(l, peer, text, size);
	case FORMAT_NDJSON:
		return take_json(l, peer, text, size);
	default:
		return take_syslog(l, peer, text, size);
	}
}
