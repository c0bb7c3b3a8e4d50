/* SPDX-License-Identifier: MIT */
/*
 * inotify as a hint that something is worth a look: what is true is asked of the files themselves. Where it has come to its limits, `polls`
 * says that looking now and then must do instead; that is said once.
 */
#ifndef STAGES_FILE_WATCH_H
#define STAGES_FILE_WATCH_H

#include <sys/inotify.h>

#include <sluice/stage.h>

struct watch {
	int fd; /* -1: there is none */
	bool polls;
};

void watch_open(struct sl_context *ctx, struct watch *watch);
void watch_close(struct watch *watch);
/* What happens to the names in a folder; again for the same folder answers the same. Its number, -1: it is not watched. */
int watch_folder(struct sl_context *ctx, struct watch *watch, const char *path);
/* What happens to the open file. As above. */
int watch_file(struct sl_context *ctx, struct watch *watch, int fd);
void watch_remove(struct watch *watch, int number);

/* Called with a number and an inotify mask; -1 and IN_Q_OVERFLOW: anything may have happened. */
typedef void watch_fn(void *user, int number, uint32_t mask);
/* Reads what is there, without waiting. */
void watch_read(const struct watch *watch, watch_fn *each, void *user);

#endif
