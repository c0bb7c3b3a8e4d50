/* SPDX-License-Identifier: MIT */
/* See sequences.h. */
#include "sequences.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define NAME "journal "
#define END_OF_DAYS ((UINT64_C(1) << 55) - 1) /* the latest time that systemd takes for one */

void sequences_fini(struct sequences *s)
{
	free(s->place.cursor);
	free(s->items);
}

static int failed(struct sl_context *ctx, int error)
{
	return sl_error(ctx, error, "the journal: %s", strerrordesc_np(-error));
}

/* --- where the journal stands ------------------------------------------------------------------- */

static void leave(struct sequences *s)
{
	free(s->place.cursor);
	s->place.cursor = NULL;
}

/* What the cursor of the entry says: s=SEQUENCE;i=NUMBER;... */
static int read_place(struct sequences *s)
{
	char id[SD_ID128_STRING_MAX];
	int r;

	leave(s);
	r = sd_journal_get_cursor(s->journal, &s->place.cursor);
	if (r < 0)
		return r;
	if (sscanf(s->place.cursor, "s=%32[0-9a-f];i=%" SCNx64, id, &s->place.number) != 2)
		return -EPROTONOSUPPORT;
	return sd_id128_from_string(id, &s->place.sequence);
}

/* 1: at an entry; 0: there is none. */
static int step(struct sequences *s)
{
	int r = sd_journal_next(s->journal);

	if (r <= 0) {
		leave(s);
		return r;
	}
	r = read_place(s);
	return r < 0 ? r : 1;
}

/* The next step comes to its first entry with that number or a higher one. */
static int seek(struct sequences *s, const struct sequence *sequence, uint64_t number)
{
	char id[SD_ID128_STRING_MAX], cursor[128];

	leave(s);
	(void)snprintf(cursor, sizeof(cursor), "s=%s;i=%" PRIx64 ";t=%" PRIx64,
		sd_id128_to_string(sequence->id, id), number, END_OF_DAYS);
	return sd_journal_seek_cursor(s->journal, cursor);
}

static bool is_at(const struct sequences *s, const struct sequence *sequence)
{
	return sd_id128_equal(s->place.sequence, sequence->id);
}

/* To its first entry with that number or a higher one: 1, 0: there is none. */
static int go_to(struct sequences *s, const struct sequence *sequence, uint64_t number)
{
	int r = seek(s, sequence, number);

	s->current = sequence;
	if (r == 0)
		r = step(s);
	return r;
}

/* --- what is there ------------------------------------------------------------------------------ */

/* The lowest number of an entry that is not older than `since`; by halves: times grow, but for a clock that was set back. */
static int find_since(struct sequences *s, const struct sequence *sequence, uint64_t *ret)
{
	uint64_t low = 1, high = sequence->last + 1;

	while (s->since > 0 && low < high) {
		uint64_t middle = low + (high - low) / 2, time = 0;
		int r = go_to(s, sequence, middle);

		if (r > 0)
			r = sd_journal_get_realtime_usec(s->journal, &time) < 0 ? 0 : 1;
		if (r < 0)
			return r;
		if (r == 0 || time >= s->since)
			high = middle;
		else
			low = s->place.number + 1;
	}
	*ret = low;
	return 0;
}

static int begin(struct sl_context *ctx, struct sequences *s, struct sequence *sequence)
{
	struct sl_origin origin = { .origin = sequence->origin }, kept;
	int r = sl_checkpoint_begin(ctx, &origin, &kept);

	if (r == 0) {
		r = find_since(s, sequence, &origin.place.position);
		if (r < 0)
			return failed(ctx, r);
		origin.name = sequence->name;
		r = sl_checkpoint_begin(ctx, &origin, &kept);
	}
	if (r < 0)
		return r;
	sequence->position = kept.place.position;
	sequence->mark = kept.place.mark;
	return 0;
}

static void name_it(struct sl_context *ctx, struct sequence *sequence)
{
	char id[SD_ID128_STRING_MAX];
	const char *stage = sl_stage_name(ctx);

	(void)snprintf(sequence->name, sizeof(sequence->name), NAME "%s",
		sd_id128_to_string(sequence->id, id));
	sequence->origin = XXH3_64bits_withSeed(stage, strlen(stage), 6);
	sequence->origin =
		XXH3_64bits_withSeed(sequence->name, strlen(sequence->name), sequence->origin);
}

static struct sequence *add(struct sequences *s)
{
	uint32_t capacity = s->capacity ? 2 * s->capacity : 4;
	struct sequence *items;

	if (s->count < s->capacity)
		return &s->items[s->count];
	items = reallocarray(s->items, capacity, sizeof(*items));
	if (!items)
		return NULL;
	s->items = items;
	s->capacity = capacity;
	s->current = NULL;
	return &s->items[s->count];
}

struct seen {
	struct sl_context *ctx;
	struct sequences *sequences;
};

/* The scan needs all files of a sequence before it begins it: where it begins may be in any. */
static int see(void *user, sd_id128_t id, uint64_t last, uint64_t entries)
{
	struct seen *seen = user;
	struct sequences *s = seen->sequences;
	struct sequence *sequence;

	for (uint32_t i = 0; i < s->count; i++) {
		sequence = &s->items[i];
		if (!sd_id128_equal(sequence->id, id))
			continue;
		sequence->entries_seen += entries;
		sequence->last = last > sequence->last ? last : sequence->last;
		return 0;
	}
	sequence = add(s);
	if (!sequence)
		return -ENOMEM;
	*sequence = (struct sequence){
		.id = id, .last = last, .entries_seen = entries, .must_seek = true
	};
	name_it(seen->ctx, sequence);
	s->count++;
	return 0;
}

static void complain(struct sl_context *ctx, struct sequences *s, const struct files_found *found)
{
	if (found->forbidden == 0 || s->has_complained)
		return;
	s->has_complained = true;
	sl_log(ctx, SL_LOG_WARNING,
		"%" PRIu32
		" files or folders of the journal may not be read by this user, and what is in "
		"them is left out: the group systemd-journal may; a service has it by "
		"SupplementaryGroups=systemd-journal",
		found->forbidden);
}

/* All its files were seen. */
static int conclude(struct sl_context *ctx, struct sequences *s, struct sequence *sequence)
{
	sequence->is_read = sequence->is_read && sequence->entries_seen == sequence->entries;
	sequence->entries = sequence->entries_seen;
	sequence->is_ended = sequence->entries == 0;
	sequence->is_done = sequence->is_done && sequence->is_ended;
	return sequence->position == 0 ? begin(ctx, s, sequence) : 0;
}

int sequences_scan(struct sl_context *ctx, struct sequences *s)
{
	struct seen seen = { ctx, s };
	struct files_found found;
	int r;

	for (uint32_t i = 0; i < s->count; i++)
		s->items[i].entries_seen = 0;
	r = files_scan(s->files, see, &seen, &found);
	if (r < 0)
		return failed(ctx, r);
	complain(ctx, s, &found);
	for (uint32_t i = 0; i < s->count && r == 0; i++)
		r = conclude(ctx, s, &s->items[i]);
	return r;
}

void sequences_wake(struct sequences *s, bool has_changed)
{
	leave(s);
	for (uint32_t i = 0; i < s->count && has_changed; i++)
		s->items[i].must_seek = true;
}

struct sequence *sequences_find(struct sl_context *ctx, struct sequences *s, uint64_t origin)
{
	struct sl_origin kept;
	struct sequence *sequence;
	sd_id128_t id;

	for (uint32_t i = 0; i < s->count; i++)
		if (s->items[i].origin == origin)
			return &s->items[i];
	if (sl_checkpoint_begin(ctx, &(struct sl_origin){ .origin = origin }, &kept) <= 0 ||
		!kept.name || strncmp(kept.name, NAME, sizeof(NAME) - 1) != 0 ||
		sd_id128_from_string(kept.name + sizeof(NAME) - 1, &id) < 0)
		return NULL;
	sequence = add(s);
	if (!sequence)
		return NULL;
	*sequence =
		(struct sequence){ .id = id, .position = kept.place.position, .is_ended = true };
	name_it(ctx, sequence);
	s->count++;
	return sequence;
}

void sequences_recall(struct sl_context *ctx, struct sequences *s)
{
	struct sl_origin kept;

	for (bool is_more = sl_checkpoint_next(ctx, NULL, &kept); is_more;
		is_more = sl_checkpoint_next(ctx, &kept, &kept))
		if (!kept.place.is_done)
			(void)sequences_find(ctx, s, kept.origin);
}

/* --- reading ------------------------------------------------------------------------------------ */

static const char *print_time(uint64_t usec, char *text, size_t size)
{
	time_t seconds = (time_t)(usec / 1000000);
	struct tm tm;

	if (!gmtime_r(&seconds, &tm) || strftime(text, size, "%Y-%m-%d %H:%M:%S UTC", &tm) == 0)
		text[0] = '\0';
	return text;
}

/* The entry before the position is not there any more, so what came behind it may not be either. */
static void say_missed(
	struct sl_context *ctx, const struct sequences *s, struct sequence *sequence, uint64_t next)
{
	uint64_t count = next > sequence->position ? next - sequence->position : 0;
	char time[40];

	if (count > 0)
		sl_log_about(ctx, SL_ABOUT_MISSED, SL_LOG_WARNING,
			"%s: what came after %s was removed before it was read: up to %" PRIu64
			" entries%s; goes on with %s",
			sequence->name, print_time(sequence->mark, time, sizeof(time)), count,
			matches_any(s->matches) ? ", whether they match or not" : "",
			s->place.cursor ? s->place.cursor : "what will come");
	if (count > 0 && !matches_any(s->matches))
		sl_drop(ctx, count);
	sequence->mark = 0;
}

/* Looks, among all entries, for the one before the position. */
static int look_for_missed(struct sl_context *ctx, struct sequences *s, struct sequence *sequence)
{
	int r;

	sequence->must_seek = false;
	if (sequence->mark == 0)
		return 0;
	sd_journal_flush_matches(s->journal);
	r = go_to(s, sequence, sequence->position - 1);
	if (r == 0)
		say_missed(ctx, s, sequence, sequence->last + 1);
	else if (r > 0 && s->place.number >= sequence->position)
		say_missed(ctx, s, sequence, s->place.number);
	return r < 0 ? r : matches_add(s->matches, s->journal);
}

/* 1: at its next entry. */
static int come_back(struct sl_context *ctx, struct sequences *s, struct sequence *sequence)
{
	int r = sequence->must_seek ? look_for_missed(ctx, s, sequence) : 0;

	return r < 0 ? r : go_to(s, sequence, sequence->position);
}

static bool is_there(const struct sequences *s, const struct sequence *sequence)
{
	return s->place.cursor && is_at(s, sequence) && s->place.number >= sequence->position;
}

int sequences_next(struct sl_context *ctx, struct sequences *s, struct sequence *sequence)
{
	bool must_come = s->current != sequence || sequence->must_seek;
	int r = must_come ? come_back(ctx, s, sequence) : 1;

	/* Once an entry of another sequence is newer than where we stand, it has its turn. */
	while (r > 0 && !is_there(s, sequence)) {
		r = step(s);
		if (r > 0 && !is_at(s, sequence))
			r = come_back(ctx, s, sequence);
	}
	return r < 0 ? failed(ctx, r) : r;
}
