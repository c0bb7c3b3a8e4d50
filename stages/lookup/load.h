/* SPDX-License-Identifier: MIT */
/*
 * Reading the table, from where it stands. All of this runs on the keeper's own thread: it blocks there, uses no `ctx`, and ends early when `stop_fd` can be read.
 */
#ifndef STAGES_LOOKUP_LOAD_H
#define STAGES_LOOKUP_LOAD_H

#include <sqlite3.h>
#include <sys/stat.h>

#include "build.h"

/* What is kept from one reading to the next, to see whether there is something new. Zeroed: nothing was read. */
struct load {
	const struct lookup *options;
	int stop_fd;
	struct stat seen; /* the file that was read */
	bool is_seen;
	sqlite3 *db;
	int64_t version; /* of its data */
};

bool load_is_stopped(const struct load *load);

/*
 * Whether the table may have changed since load_table read it. Of a server nobody knows: true.
 */
bool load_has_changed(struct load *load);
/*
 * Reads all of it. 0 or an error that `problem` says: -EAGAIN: it is being written just now; -ENOTCONN: the server is not there; -ECANCELED.
 */
int load_table(struct load *load, struct problem *problem, struct table **ret);
void load_fini(struct load *load);

int load_file(struct load *load, struct build *build);
int load_sqlite(struct load *load, struct build *build);
bool load_sqlite_has_changed(struct load *load);
/* In server.c, or where there is no libpq in server_none.c: -ENOSYS. */
int load_postgres(struct load *load, struct build *build);

#endif
