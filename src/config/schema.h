/* SPDX-License-Identifier: MIT */
/*
 * Option tables put to work. A table row (struct sl_option) is the only place where an option exists; this turns
 * what a config says into a typed value and a typed value into a field of a stage's shared struct.
 *
 * The resolved form of an option is MessagePack: STRING, CHAR str; INT, SIZE, DURATION and RATE (ns) integer; REAL
 * float; BOOL; CHOICE the index, an integer; STRINGS array of str; VALUES array; PAIRS map of str to str. Absent options have no entry.
 * An INT row may list words in `choices` that stand for a number only known later ("auto"); the i-th word is -1 - i.
 */
#ifndef CONFIG_SCHEMA_H
#define CONFIG_SCHEMA_H

#include "base/err.h"
#include <sluice/stage.h>

/* What every stage has, as schema_bind fills it from schema_common. */
struct schema_values {
	int64_t processes; /* SCHEMA_AUTO: one per core */
	int64_t threads;
	int64_t coroutines;
	uint64_t stack_size;
	int64_t queue;
	uint64_t retain;
	int order;    /* enum graph_order */
	int64_t rate; /* ns from one record to the next; 0: no limit */
	int64_t timeout;
	int64_t retries; /* SCHEMA_FOREVER: without end */
	int on_error;    /* enum graph_on_error */
	int64_t dead_max;
	struct sl_strings partition;
	int64_t restart;
	int64_t restart_within;
	int64_t backoff;
	int64_t stall_timeout;
	int when_full;       /* enum schema_when_full */
	int intake;          /* enum schema_intake */
	uint64_t spill_max;  /* bytes; 0: not said */
	uint64_t memory_max; /* bytes; 0: no limit */
	int64_t cpu_weight;  /* 0: not said */
	int64_t tasks_max;   /* 0: no limit */
	bool sandbox;
};

enum schema_when_full { SCHEMA_BLOCK, SCHEMA_SPILL, SCHEMA_DROP };
enum schema_intake { SCHEMA_MEMORY, SCHEMA_DURABLE };

#define SCHEMA_AUTO (-1)
#define SCHEMA_FOREVER (-1)

/* Options that every stage has: processes, threads, queue ... A NULL name ends it. Offsets are of schema_values. */
extern const struct sl_option schema_common[];
/* Does that row of schema_common mean anything to a stage of that role? */
bool schema_common_fits(const struct sl_option *option, enum sl_role role);

/* The row named `name`, or NULL. */
const struct sl_option *schema_find(const struct sl_option *table, const char *name);
/* The index of `text` among an option's choices, or -ENOENT. */
int schema_choice(const struct sl_option *option, const char *text);
/* Is x within the bounds of an INT, SIZE or DURATION? */
bool schema_in_bounds(const struct sl_option *option, int64_t x);

/*
 * Fills the fields of `shared` (zeroed by the caller) from a resolved map, then defaults for what is absent. Strings
 * and lists are copied into memory that schema_free releases; values borrow from `options`.
 */
struct schema_bound;
int schema_bind(const struct sl_option *table, struct sl_value options, void *shared,
	struct schema_bound **ret_bound, struct err *err);
void schema_free(struct schema_bound *bound);

/* "string", "duration", ...: as `describe` and messages name the type. */
const char *schema_type_name(enum sl_type type);

#endif
