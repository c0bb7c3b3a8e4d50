/* SPDX-License-Identifier: MIT */
/*
 * Which files a sink of many files has made and published, in the state folder: a line for each, written before it happens. A mark holds how long
 * the journal was; when a successor goes on from that mark, what stands behind it is undone. Positions only grow; when a
 * journal has become long it is put aside, and the one put aside before it is dropped.
 */
#ifndef STAGES_FILE_JOURNAL_H
#define STAGES_FILE_JOURNAL_H

#include <sluice/stage.h>

struct journal {
	int fd;
	uint64_t base; /* position of its begin */
	uint64_t size;
};

enum journal_kind { JOURNAL_MADE = 'M', JOURNAL_PUBLISHED = 'P' };

struct journal_entry {
	enum journal_kind kind;
	uint64_t inode; /* when it was published, as the size */
	uint64_t size;
	const char *path;
};

/* 0, or what sl_error was told, as all. */
int journal_open(struct sl_context *ctx, struct journal *journal);
void journal_close(struct journal *journal);
uint64_t journal_position(const struct journal *journal);
int journal_add(struct sl_context *ctx, struct journal *journal, const struct journal_entry *entry);
/* On the disk when it returns. */
int journal_sync(struct sl_context *ctx, const struct journal *journal);
/* The same from another process. */
int journal_sync_now(struct sl_context *ctx);
/* Puts it aside when it is long. */
int journal_trim(struct sl_context *ctx, struct journal *journal);

typedef void journal_fn(void *user, const struct journal_entry *entry);
/* Nothing before it will be asked for. */
int journal_begin(struct sl_context *ctx, struct journal *journal);
/* What was added behind `position`, in order. */
int journal_walk(struct sl_context *ctx, struct journal *journal, uint64_t position,
	journal_fn *each, void *user);
/* Ends at `position` from now on. */
int journal_cut(struct sl_context *ctx, struct journal *journal, uint64_t position);

#endif
