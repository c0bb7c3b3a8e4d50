/* SPDX-License-Identifier: MIT */
/* See left.h. */
#include "engine/left.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "state/left.h"

/* "spill.STAGE.db", "intake.STAGE.db" or "state.STAGE.db", see config/stores.c. */
static bool is_store(const char *name)
{
	size_t size = strlen(name);

	return (strncmp(name, "spill.", 6) == 0 || strncmp(name, "intake.", 7) == 0 ||
		       strncmp(name, "state.", 6) == 0) &&
	       size > 3 && strcmp(name + size - 3, ".db") == 0;
}

/* Has one of its processes that store? The first has the name, the others their number before the ending. */
static bool is_store_of(const struct graph_store *store, uint32_t processes, const char *name)
{
	char other[NAME_MAX + 1];

	for (uint32_t i = 0; i < processes; i++) {
		if (i == 0)
			(void)snprintf(
				other, sizeof(other), "%.*s", (int)store->name_size, store->name);
		else
			(void)snprintf(other, sizeof(other), "%.*s.%u.db",
				(int)store->name_size - 3, store->name, i);
		if (strcmp(other, name) == 0)
			return true;
	}
	return false;
}

static bool is_used(const struct graph *graph, const char *name)
{
	for (uint32_t i = 0; i < graph->stage_count; i++) {
		struct graph_store store;

		if (graph_store(graph, i, &store) == 0 &&
			is_store_of(&store, graph->stages[i].processes, name))
			return true;
	}
	return false;
}

/* What the stage had, as `give STAGE ...`. */
static const char *what_of(const char *name)
{
	switch (name[1]) {
	case 'p':
		return "its when_full = \"spill\"";
	case 'n':
		return "its intake = \"durable\"";
	default:
		return "what it was";
	}
}

static int check_file(const struct host *host, const char *name, struct err *err)
{
	const char *stage = strchr(name, '.') + 1;
	int stage_size = (int)strcspn(stage, ".");
	char path[PATH_MAX];
	uint64_t count;

	if (snprintf(path, sizeof(path), "%s/%s", host->state, name) >= PATH_MAX)
		return 0;
	count = left_count(path, host->series);
	if (count == 0)
		return 0;
	return err_set(err, -EUCLEAN,
		"%s holds %llu records of this run, and no stage reads it now: give `%.*s` %s; "
		"again until the run has ended, or begin anew with --from-start",
		path, (unsigned long long)count, stage_size, stage, what_of(name));
}

int left_check(const struct host *host, struct err *err)
{
	const struct dirent *entry;
	DIR *folder;
	int r = 0;

	if (host->stage_index > 0 || host->instance > 0)
		return 0;
	folder = opendir(host->state);
	while (r == 0 && folder && (entry = readdir(folder)))
		if (is_store(entry->d_name) && !is_used(host->graph, entry->d_name))
			r = check_file(host, entry->d_name, err);
	if (folder)
		(void)closedir(folder);
	return r;
}
