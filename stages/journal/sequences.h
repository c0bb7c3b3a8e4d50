/* SPDX-License-Identifier: MIT */
/*
 * Reading the journal sequence by sequence. An origin is a sequence, a position the number behind the last entry read: it means the same whatever files are
 * rotated, removed or added, and whatever clock was set. libsystemd merges all sequences by time, and passes over in silence what comes to one of them
 * late; so each is read apart: a cursor that names a number of one sequence, and a time at the end of days for the others, stands there alone.
 */
#ifndef STAGES_JOURNAL_SEQUENCES_H
#define STAGES_JOURNAL_SEQUENCES_H

#include "entry.h"
#include "files.h"
#include "matches.h"

struct sequence {
	sd_id128_t id;
	uint64_t origin;
	char name[48]; /* of the origin */
	uint64_t position;
	uint64_t mark; /* the entry before the position was there at that time; 0: none was */
	uint64_t last; /* number up to which its files go; that entry may still be written */
	uint64_t entries, entries_seen; /* in its files; in this scan */
	bool is_ended;                  /* its files are not there any more */
	bool is_done;                   /* that was said */
	bool must_seek;                 /* files may have gone: look whether something was missed */
	bool is_read;                   /* all that was there */
};

struct sequences {
	/* given */
	sd_journal *journal;
	const struct files *files;
	const struct matches *matches;
	uint64_t since; /* microseconds, for sequences of which nothing is known; 0: all */

	struct sequence *items;
	uint32_t count, capacity;
	uint32_t turn;
	const struct sequence *current; /* at which the journal stands */
	struct entry_place place; /* of the entry at which it stands; its cursor NULL: at none */
	bool has_complained;
};

void sequences_fini(struct sequences *sequences);
/* Looks which there are. 0; -EAGAIN: the state folder's disk is full or busy; negative errno, said. */
int sequences_scan(struct sl_context *ctx, struct sequences *sequences);
/* Also those that a process before this one knew, and whose files are not there any more. */
void sequences_recall(struct sl_context *ctx, struct sequences *sequences);
/* Something has come; or (`has_changed`) files were added or removed. */
void sequences_wake(struct sequences *sequences, bool has_changed);
/* The one of that origin, which a process before this one may have known; NULL: none. */
struct sequence *sequences_find(
	struct sl_context *ctx, struct sequences *sequences, uint64_t origin);

/*
 * Goes to the next entry of the sequence at its position or behind it: 1, and `place` says which; 0: there is none; negative errno, said. What is
 * not there any more is said.
 */
int sequences_next(struct sl_context *ctx, struct sequences *sequences, struct sequence *sequence);

#endif
