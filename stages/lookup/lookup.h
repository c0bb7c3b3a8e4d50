/* SPDX-License-Identifier: MIT */
/* What the parts of the stage `lookup` share: its options, and how a part that must not use a `ctx` says what went wrong. */
#ifndef STAGES_LOOKUP_LOOKUP_H
#define STAGES_LOOKUP_LOOKUP_H

#include <sluice/stage.h>

enum missing { MISSING_KEEP, MISSING_NULL, MISSING_DEAD_LETTER, MISSING_DROP };
enum duplicates { DUPLICATES_ERROR, DUPLICATES_FIRST, DUPLICATES_LAST };

struct lookup {
	const char *path;
	int format; /* enum sl_format */
	char delimiter;
	const char *connection;
	const char *table;
	const char *query;
	struct sl_strings on;
	struct sl_pairs key;
	struct sl_strings take;
	struct sl_pairs rename;
	const char *prefix;
	int missing;
	int duplicates;
	bool loose;
	uint64_t table_max;
	int64_t reload; /* 0: never */

	struct keeper *keeper; /* from open to close */
};

/* Where the table stands: the file, a database file, a server. */
enum home { HOME_FILE, HOME_SQLITE, HOME_POSTGRES };

static inline enum home lookup_home(const struct lookup *o)
{
	if (o->connection)
		return HOME_POSTGRES;
	return o->table || o->query ? HOME_SQLITE : HOME_FILE;
}

static inline enum sl_format lookup_format(const struct lookup *o)
{
	return o->format == SL_FORMAT_AUTO ? sl_format_of(o->path) : (enum sl_format)o->format;
}

/* A cell of CSV has no type: it is a text. */
static inline bool lookup_is_loose(const struct lookup *o)
{
	return o->loose || (lookup_home(o) == HOME_FILE && lookup_format(o) == SL_FORMAT_CSV);
}

static inline uint32_t lookup_key_count(const struct lookup *o)
{
	return o->on.count + o->key.count;
}

/* The record's field, and the table's column. */
static inline const char *lookup_field(const struct lookup *o, uint32_t i)
{
	return i < o->on.count ? o->on.items[i] : o->key.names[i - o->on.count];
}

static inline const char *lookup_column(const struct lookup *o, uint32_t i)
{
	return i < o->on.count ? o->on.items[i] : o->key.values[i - o->on.count];
}

/* For people. */
static inline const char *lookup_name(const struct lookup *o)
{
	return lookup_home(o) == HOME_FILE ? o->path : o->table ? o->table : "of the `query`";
}

/* Why a table could not be read. */
struct problem {
	int error;
	char text[512];
};

/* Returns `error`. */
int problem_say(struct problem *problem, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
