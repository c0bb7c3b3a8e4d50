/* SPDX-License-Identifier: MIT */
/*
 * A store: one SQLite file (WAL) that outlives processes, to be read with sqlite3 as well. Its layout has a version, and an
 * older one is brought up to date when it is opened. Several processes may have it open; a connection is one thread's at a
 * time. Commits are safe against the death of any process; against a power cut with store_sync, or the next checkpoint of the WAL.
 */
#ifndef STATE_STORE_H
#define STATE_STORE_H

#include <sqlite3.h>
#include <stdbool.h>

#include "base/err.h"

/* What a file holds: steps[i] brings version i to version i + 1. */
struct store_kind {
	const char *name; /* of the file: "dead.db" */
	const char *what; /* for messages: "dead letters" */
	const char *const *steps;
	int step_count;
};

/*
 * Opens FOLDER/NAME, made if need be (`may_make`). 0; -ENOENT: there is none, and it may not be made; -EPROTO: it is from a newer
 * sluice; -EBADMSG: it is damaged, or none of ours; another negative errno. The reason, and the way out, in `err`.
 */
int store_open(const char *folder, const struct store_kind *kind, bool may_make, sqlite3 **ret_db,
	struct err *err);
/* What was committed by now is on the disk. Beside any connection; 0, also when there is no such store; negative errno. */
int store_sync(const char *folder, const char *name, struct err *err);
/* What SQLite said last, as a negative errno with a text that names the file. */
int store_error(sqlite3 *db, const struct store_kind *kind, struct err *err);

#endif
