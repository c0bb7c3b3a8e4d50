/* SPDX-License-Identifier: MIT */
/*
 * What a person sees of a run, on stderr: on a terminal a block that is drawn again in place, below the lines that scroll;
 * elsewhere plain lines, now and then. At the end a table.
 */
#ifndef CLI_SHOW_H
#define CLI_SHOW_H

#include "cli/again.h"
#include "supervisor/journal.h"
#include "supervisor/repeats.h"
#include "supervisor/supervisor.h"

#define SHOW_STAGES_MAX 256

struct show {
	struct journal *journal; /* that lines go to; NULL: to stderr */
	struct repeats *repeats; /* of records that are refused, on stderr; NULL: all are shown */
	bool is_terminal;
	bool is_quiet;
	unsigned drawn; /* lines of the block on screen */
	int64_t started_ns;
	int64_t last_ns;    /* plain: of the last progress line */
	int64_t sampled_ns; /* of `before` */
	uint64_t before[SHOW_STAGES_MAX];
	double rate[SHOW_STAGES_MAX]; /* records a second */
};

void show_init(struct show *show, bool is_quiet);
/* Callbacks for struct supervisor_view; user is the struct show. */
void show_line(void *user, const struct log_line *line);
void show_stopping(void *user);
void show_tick(void *user, const struct supervisor *supervisor);
/* The closing table and line, and how to go on: by commands as `again` says. */
void show_end(struct show *show, const struct supervisor *supervisor,
	const struct supervisor_result *result, const struct again *again);

#endif
