/* SPDX-License-Identifier: MIT */
/* Which entries: the options `unit`, `priority` and `match`, as journalctl(1) has them. All of them must hold. */
#ifndef STAGES_JOURNAL_MATCHES_H
#define STAGES_JOURNAL_MATCHES_H

#include <sluice/stage.h>
#include <systemd/sd-journal.h>

struct matches {
	struct sl_strings unit;
	int priority; /* index into priority_names */
	struct sl_strings match;
};

/* "any", then from the gravest on; NULL behind the last. */
extern const char *const priority_names[];

int matches_check(struct sl_context *ctx, const struct matches *matches);
/* Whether there is one at all. */
bool matches_any(const struct matches *matches);
/* 0 or a negative errno. */
int matches_add(const struct matches *matches, sd_journal *journal);

#endif
