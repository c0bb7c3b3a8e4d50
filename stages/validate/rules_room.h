/* SPDX-License-Identifier: MIT */
/* What rules.c makes of the options, and offences.c holds against records. */
#ifndef STAGES_VALIDATE_RULES_ROOM_H
#define STAGES_VALIDATE_RULES_ROOM_H

#include <uthash.h>

#include "rules.h"

struct pattern;

enum kind_bit {
	KIND_NULL = 1 << 0,
	KIND_BOOL = 1 << 1,
	KIND_INT = 1 << 2,
	KIND_FLOAT = 1 << 3,
	KIND_STRING = 1 << 4,
	KIND_BINARY = 1 << 5,
	KIND_ARRAY = 1 << 6,
	KIND_MAP = 1 << 7,
};

struct bounds {
	bool is_set, has_min, has_max;
	long double min, max;
	const char *text; /* as the option has it */
};

/* What is asked of the fields of one name. */
struct rule {
	const char *name;
	bool is_required;
	unsigned kinds; /* bits of enum kind_bit; 0: any */
	const char *kinds_text;
	struct bounds range, length;
	struct pattern *pattern;
	const char *values;    /* with | between them */
	struct sl_value value; /* of the record at hand; absent: data == NULL */
	bool is_twice;
	struct rule *next; /* in the order in which they were written */
	UT_hash_handle hh;
};

struct rules {
	struct rule *by_name;
	struct rule *first, **last;
	struct sl_writer text; /* plain bytes */
	uint32_t more;         /* reasons that have no room */
};

#endif
