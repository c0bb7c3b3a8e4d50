/* SPDX-License-Identifier: MIT */
/* See repeats.h. */
#include "supervisor/repeats.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"

#define WINDOW (REPEATS_SECONDS * NSEC_PER_SEC)

/* FNV-1a */
static void mix(uint64_t *key, unsigned char byte)
{
	*key = (*key ^ byte) * UINT64_C(0x100000001b3);
}

static const char *skip_quoted(const char *at)
{
	const char *end = strchr(at + 1, *at);

	return end ? end : at;
}

/* "t.csv:5: refused: expected 2 fields, found 1: the line": where the reason ends; names in quotes may stand before it. */
static const char *reason_end(const char *text)
{
	static const char mark[] = "refused: ";
	const char *at = strstr(text, mark);
	const char *end;

	if (!at)
		return text + strlen(text);
	for (at += sizeof(mark) - 1; *at == '"' || *at == '`';
		at += strncmp(at, ": ", 2) == 0 ? 2 : 0)
		at = skip_quoted(at) + 1;
	end = strstr(at, ": ");
	return end ? end : at + strlen(at);
}

/* Up to the record, if it ends with one. */
static void mix_text(uint64_t *key, const char *text, const char *end)
{
	for (const char *at = text; at < end && *at != '{' && *at != '['; at++) {
		if (*at == '"' || *at == '`')
			at = skip_quoted(at);
		if (!isdigit((unsigned char)*at) || at == text || !isdigit((unsigned char)at[-1]))
			mix(key, isdigit((unsigned char)*at) ? '0' : (unsigned char)*at);
	}
}

static uint64_t key_of(const struct log_line *line)
{
	uint64_t key = UINT64_C(0xcbf29ce484222325);

	mix(&key, (unsigned char)line->level);
	mix(&key, (unsigned char)line->event);
	for (const char *at = line->stage ? line->stage : ""; *at; at++)
		mix(&key, (unsigned char)*at);
	mix(&key, '.');
	mix_text(&key, line->text,
		line->event == LOG_EVENT_REFUSED ? reason_end(line->text)
						 : line->text + strlen(line->text));
	return key ? key : 1;
}

/* The kind, or room for it: a free one, or one that has hidden nothing. NULL: there is none. */
static struct repeat *find(struct repeats *repeats, uint64_t key)
{
	struct repeat *room = NULL;

	for (int i = 0; i < REPEATS_KINDS; i++) {
		struct repeat *kind = &repeats->kinds[i];

		if (kind->key == key)
			return kind;
		if (kind->hidden == 0 && (!room || kind->since_ns < room->since_ns))
			room = kind;
	}
	if (room)
		*room = (struct repeat){ 0 };
	return room;
}

bool repeats_take(struct repeats *repeats, const struct log_line *line, int64_t now)
{
	uint64_t key = key_of(line);
	struct repeat *kind = find(repeats, key);

	if (!kind)
		return true;
	if (kind->key == 0 || (now - kind->since_ns >= WINDOW && kind->hidden == 0)) {
		kind->key = key;
		kind->since_ns = now;
		kind->shown = 0;
	}
	if (kind->shown < REPEATS_SHOWN) {
		kind->shown++;
		return true;
	}
	kind->hidden++;
	kind->line = *line;
	(void)snprintf(kind->stage, sizeof(kind->stage), "%s", line->stage ? line->stage : "");
	(void)snprintf(kind->text, sizeof(kind->text), "%s", line->text);
	return false;
}

bool repeats_due(struct repeats *repeats, int64_t now, bool is_end, struct log_line *ret,
	uint32_t *ret_count)
{
	for (int i = 0; i < REPEATS_KINDS; i++) {
		struct repeat *kind = &repeats->kinds[i];

		if (kind->hidden == 0 || (now - kind->since_ns < WINDOW && !is_end))
			continue;
		*ret = kind->line;
		ret->stage = kind->stage[0] ? kind->stage : NULL;
		ret->text = kind->text;
		*ret_count = kind->hidden;
		kind->hidden = 0;
		kind->shown = 0;
		kind->since_ns = now;
		return true;
	}
	return false;
}
