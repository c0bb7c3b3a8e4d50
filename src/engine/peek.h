/* SPDX-License-Identifier: MIT */
/* What `sluice peek` prints, when the part of the pipeline has run: sluice-stage does that, since the command line reads no records. */
#ifndef ENGINE_PEEK_H
#define ENGINE_PEEK_H

#include <stdbool.h>
#include <stdint.h>

struct peek {
	const char
		*folder;  /* the state folder: PEEK_TITLES, and a file tap.N for each line of it */
	uint64_t records; /* at most so many of each are shown */
	bool is_json;     /* lines of JSON: bare records where there is one title only */
	unsigned width;   /* of the terminal; 0: no limit */
};

#define PEEK_TITLES "titles" /* where was looked, a line each */

/* The exit status. */
int peek_answer(const struct peek *peek);

#endif
