/* SPDX-License-Identifier: MIT */
/* What is counted of a group: one cell for each function of `set`. NULL and what is absent count for count(*) only. */
#ifndef AGGREGATE_FUNCTION_H
#define AGGREGATE_FUNCTION_H

#include <sluice/stage.h>

enum function {
	COUNT_ALL,
	COUNT_OF,
	SUM,
	AVG,
	MIN,
	MAX,
	FIRST,
	LAST,
};

/* Of COUNT_ALL to AVG. Whole numbers are added as such while they are and their sum has 63 bits, else as floats, with what rounding loses beside. */
struct number {
	int64_t whole;
	double real, rest;
	uint64_t count : 63;
	uint64_t is_real : 1;
};

/* Of MIN to LAST: a MessagePack value, or NULL. */
struct held {
	char *data;
	uint32_t size, room;
};

union cell {
	struct number number;
	struct held held;
};

/* A record's operand of one function. */
struct operand {
	struct sl_value value; /* absent: NULL */
	int64_t whole;         /* of SUM and AVG */
	double real;
	bool is_real;
};

/* Fills in the numbers from the value. False: it is none, and text that is no number. */
bool function_read(enum function function, struct operand *operand);
/* 0 or -ENOMEM. */
int function_add(enum function function, union cell *cell, const struct operand *operand);
void function_put(enum function function, const union cell *cell, struct sl_writer *w);
void function_free(enum function function, union cell *cell);

/* To and from bytes, for a store. `*at` goes on; false: it would go behind `end`, or there is no memory. */
void function_save(enum function function, const union cell *cell, struct sl_writer *w);
bool function_load(enum function function, union cell *cell, const char **at, const char *end);

#endif
