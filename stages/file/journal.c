/* SPDX-License-Identifier: MIT */
/* See journal.h: a line with its position in the file's begin, then "KIND INODE SIZE PATH" in each. */
#include "journal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEAD_SIZE 21 /* 20 digits and a newline */
#define LONG (UINT64_C(4) << 20)
#define OLD ".old"

static void path_of(struct sl_context *ctx, const char *ending, char *path)
{
	(void)snprintf(path, PATH_MAX, "%s/published.%s.%u%s", sl_state(ctx), sl_stage_name(ctx),
		sl_process(ctx), ending);
}

static int failed(struct sl_context *ctx, int error)
{
	char path[PATH_MAX];

	path_of(ctx, "", path);
	return sl_error(ctx, error, "%s: %s", path, strerrordesc_np(-error));
}

/* The position at which it begins; 0 for one that is new, or whose begin did not last. */
static int open_at(const char *path, int flags, uint64_t *ret_base, uint64_t *ret_size)
{
	int fd = open(path, O_RDWR | O_APPEND | O_CLOEXEC | flags, 0666);
	char head[HEAD_SIZE + 1] = "";
	struct stat st;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		st.st_size = 0;
	*ret_base = pread(fd, head, HEAD_SIZE, 0) == HEAD_SIZE ? strtoull(head, NULL, 10) : 0;
	*ret_size = st.st_size > HEAD_SIZE ? (uint64_t)st.st_size - HEAD_SIZE : 0;
	return fd;
}

static int write_all(int fd, const char *text, size_t size)
{
	ssize_t put = write(fd, text, size);

	return put == (ssize_t)size ? 0 : put < 0 ? -errno : -ENOSPC;
}

static int begin(struct journal *journal, uint64_t base)
{
	char head[HEAD_SIZE + 1];

	(void)snprintf(head, sizeof(head), "%020" PRIu64 "\n", base);
	journal->base = base;
	journal->size = 0;
	if (ftruncate(journal->fd, 0) < 0)
		return -errno;
	return write_all(journal->fd, head, HEAD_SIZE);
}

int journal_begin(struct sl_context *ctx, struct journal *journal)
{
	char old[PATH_MAX];
	int r = begin(journal, journal_position(journal));

	path_of(ctx, OLD, old);
	(void)unlink(old);
	return r < 0 ? failed(ctx, r) : 0;
}

int journal_open(struct sl_context *ctx, struct journal *journal)
{
	char path[PATH_MAX];
	struct stat st;
	int r = 0;

	path_of(ctx, "", path);
	journal->fd = open_at(path, O_CREAT, &journal->base, &journal->size);
	if (journal->fd < 0)
		return failed(ctx, journal->fd);
	if (fstat(journal->fd, &st) == 0 && st.st_size < HEAD_SIZE)
		r = begin(journal, 0);
	return r < 0 ? failed(ctx, r) : 0;
}

void journal_close(struct journal *journal)
{
	if (journal->fd >= 0)
		(void)close(journal->fd);
	journal->fd = -1;
}

uint64_t journal_position(const struct journal *journal)
{
	return journal->base + journal->size;
}

int journal_add(struct sl_context *ctx, struct journal *journal, const struct journal_entry *entry)
{
	char line[PATH_MAX + 64];
	int size = snprintf(line, sizeof(line), "%c %" PRIu64 " %" PRIu64 " %s\n", entry->kind,
		entry->inode, entry->size, entry->path);
	int r = write_all(journal->fd, line, (size_t)size);

	if (r < 0) {
		/* Half a line is none; who cannot cut it off dies with it. */
		if (ftruncate(journal->fd, (off_t)(HEAD_SIZE + journal->size)) < 0)
			r = -errno;
		return failed(ctx, r);
	}
	journal->size += (uint64_t)size;
	return 0;
}

int journal_sync(struct sl_context *ctx, const struct journal *journal)
{
	return fsync(journal->fd) < 0 ? failed(ctx, -errno) : 0;
}

int journal_sync_now(struct sl_context *ctx)
{
	char path[PATH_MAX];
	int fd, r;

	path_of(ctx, "", path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : failed(ctx, -errno);
	r = fsync(fd) < 0 ? failed(ctx, -errno) : 0;
	(void)close(fd);
	return r;
}

int journal_trim(struct sl_context *ctx, struct journal *journal)
{
	char path[PATH_MAX], old[PATH_MAX];
	uint64_t position = journal_position(journal);
	uint64_t base, size;
	int fd, r;

	if (journal->size < LONG)
		return 0;
	path_of(ctx, "", path);
	path_of(ctx, OLD, old);
	r = journal_sync(ctx, journal);
	if (r < 0)
		return r;
	if (rename(path, old) < 0)
		return failed(ctx, -errno);
	fd = open_at(path, O_CREAT | O_TRUNC, &base, &size);
	if (fd < 0)
		return failed(ctx, fd);
	(void)close(journal->fd);
	journal->fd = fd;
	r = begin(journal, position);
	return r < 0 ? failed(ctx, r) : 0;
}

/* --- going back --------------------------------------------------------------------------------- */

/* What is no line did not last, or was not finished. */
static void take_line(char *line, journal_fn *each, void *user)
{
	struct journal_entry entry;
	char kind;
	int used = 0;

	if (sscanf(line, "%c %" SCNu64 " %" SCNu64 "%n", &kind, &entry.inode, &entry.size, &used) <
			3 ||
		used == 0 || line[used] != ' ' ||
		(kind != JOURNAL_MADE && kind != JOURNAL_PUBLISHED))
		return;
	entry.kind = (enum journal_kind)kind;
	entry.path = line + used + 1;
	each(user, &entry);
}

static int walk_file(int fd, uint64_t from, journal_fn *each, void *user)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	FILE *file = copy >= 0 ? fdopen(copy, "r") : NULL;
	char *line = NULL;
	size_t capacity = 0;
	ssize_t size;

	if (!file) {
		if (copy >= 0)
			(void)close(copy);
		return -ENOMEM;
	}
	(void)fseeko(file, (off_t)(HEAD_SIZE + from), SEEK_SET);
	while ((size = getline(&line, &capacity, file)) > 0) {
		if (line[size - 1] != '\n')
			break;
		line[size - 1] = '\0';
		take_line(line, each, user);
	}
	free(line);
	(void)fclose(file);
	return 0;
}

/* In the one that was put aside. */
static int walk_old(
	struct sl_context *ctx, const char *old, uint64_t position, journal_fn *each, void *user)
{
	uint64_t base, size;
	int fd = open_at(old, 0, &base, &size);
	int r = 0;

	if (fd >= 0 && base <= position)
		r = walk_file(fd, position - base, each, user);
	else
		r = sl_error(ctx, -EIO,
			"%s does not reach back to where the run stood: begin a new one with "
			"--from-start",
			old);
	if (fd >= 0)
		(void)close(fd);
	return r;
}

int journal_walk(struct sl_context *ctx, struct journal *journal, uint64_t position,
	journal_fn *each, void *user)
{
	char old[PATH_MAX];
	uint64_t from = position > journal->base ? position - journal->base : 0;
	int r = 0;

	path_of(ctx, OLD, old);
	if (position < journal->base)
		r = walk_old(ctx, old, position, each, user);
	if (r == 0 && from < journal->size)
		r = walk_file(journal->fd, from, each, user);
	return r;
}

int journal_cut(struct sl_context *ctx, struct journal *journal, uint64_t position)
{
	char path[PATH_MAX], old[PATH_MAX];

	if (position < journal->base) {
		path_of(ctx, "", path);
		path_of(ctx, OLD, old);
		if (rename(old, path) < 0)
			return failed(ctx, -errno);
		journal_close(journal);
		if (journal_open(ctx, journal) < 0)
			return -EIO;
	}
	/* Shorter than the mark knew it: its end did not last, and nor did what it said. */
	if (position >= journal_position(journal))
		return position == journal_position(journal) ? 0 : begin(journal, position);
	journal->size = position - journal->base;
	if (ftruncate(journal->fd, (off_t)(HEAD_SIZE + journal->size)) < 0)
		return failed(ctx, -errno);
	return journal_sync(ctx, journal);
}
