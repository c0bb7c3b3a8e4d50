/* SPDX-License-Identifier: MIT */
/* Runs apart from what the pipeline does otherwise: a folder for state and sockets that is removed afterwards, and a run that nothing is remembered of. */
#ifndef CLI_APART_H
#define CLI_APART_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "config/graph.h"

#define APART_FOLDER_SIZE 256

/* What the folder for that command will be called, but for its last letters: as long as it will be, for plan_make. */
void apart_name(const char *command, char folder[APART_FOLDER_SIZE]);
/* Makes it, for this user alone; its last letters are chosen. 0 or negative errno. */
int apart_make(char *folder, struct err *err);
void apart_remove(const char *folder);
/* Writes a file into it. 0 or negative errno. */
int apart_write(
	const char *folder, const char *name, const char *data, size_t size, struct err *err);

struct apart_end {
	bool has_failed;
	bool is_stopped;   /* by a signal */
	bool is_over;      /* the time was over, and it was stopped for that */
	char reason[1200]; /* of has_failed */
};

/*
 * Runs the graph, which stays the caller's, with all its processes. Warnings and errors go to `lines`. When it has not ended within `limit_ns`, what was read by then is
 * settled, if that does not take long. 0; negative errno: it could not even begin.
 */
int apart_run(struct graph *graph, const char *folder, int64_t limit_ns, FILE *lines,
	struct apart_end *ret, struct err *err);

/*
 * Runs sluice-stage with these words (ends with NULL; the first is its name) and waits for it. What it prints goes to the file `path`; NULL: to our standard
 * output. Its exit status; negative: it has none.
 */
int apart_ask(const char *const *words, const char *path);

#endif
