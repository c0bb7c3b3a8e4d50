/* SPDX-License-Identifier: MIT */
/* See tap.h. The file grows by whole batches; a successor cuts it back to what was committed. */
#include "engine/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "record/value.h"

struct shared {
	const char *file;
};

struct worker {
	int fd;
	uint64_t size;
};

static int tap_start(struct sl_context *ctx, void *shared, void *worker)
{
	const struct shared *o = shared;
	struct worker *w = worker;
	char path[PATH_MAX];
	const void *mark;
	size_t size;

	if (sl_recall(ctx, &mark, &size) && size == sizeof(w->size))
		memcpy(&w->size, mark, size);
	(void)snprintf(path, sizeof(path), "%s/%s", sl_state(ctx), o->file);
	w->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (w->fd < 0)
		return sl_error(ctx, -errno, "cannot make %s: %s", path, err_name(errno));
	if (ftruncate(w->fd, (off_t)w->size) < 0)
		return sl_error(ctx, -errno, "cannot cut %s: %s", path, err_name(errno));
	return 0;
}

static int write_all(int fd, const char *data, size_t size)
{
	while (size > 0) {
		ssize_t n = write(fd, data, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		data += n;
		size -= (size_t)n;
	}
	return 0;
}

static int64_t tap_write(
	struct sl_context *ctx, void *shared, void *worker, const struct sl_batch *in)
{
	const struct shared *o = shared;
	uint32_t count = sl_batch_count(in);
	struct sl_value last = sl_batch_record(in, count - 1);
	const char *first = sl_batch_record(in, 0).data;
	size_t size = (size_t)(last.data + last.size - first);
	struct worker *w = worker;
	int r = write_all(w->fd, first, size);

	w->size += size;
	if (r < 0)
		return sl_error(
			ctx, r, "cannot write %s/%s: %s", sl_state(ctx), o->file, err_name(r));
	return count;
}

static int tap_commit(struct sl_context *ctx, void *shared, void *worker)
{
	struct worker *w = worker;

	(void)shared;
	sl_remember(ctx, &w->size, sizeof(w->size));
	return 0;
}

static void tap_stop(struct sl_context *ctx, void *shared, void *worker)
{
	struct worker *w = worker;

	(void)ctx;
	(void)shared;
	(void)close(w->fd);
}

static const struct sl_option options[] = {
	{ SL_OPTION("file", STRING, struct shared, file), .required = true },
	{ 0 },
};

const struct sl_stage tap_sink = {
	.abi = SL_ABI,
	.name = "tap",
	.role = SL_SINK,
	.summary = "keeps what comes, for who looks at a part of a pipeline",
	.flags = SL_ONE_PROCESS | SL_ONE_THREAD | SL_REMEMBERED | SL_CONFINED,
	.shared_size = sizeof(struct shared),
	.worker_size = sizeof(struct worker),
	.start = tap_start,
	.write = tap_write,
	.commit = tap_commit,
	.stop = tap_stop,
	.options = options,
};

/* --- reading -------------------------------------------------------------------------------------- */

static int split(struct tap_records *records, size_t size)
{
	const char *at = records->data, *end = records->data + size;
	size_t room = 0;

	while (at < end) {
		const char *begin = at;

		if (!value_check(&at, end))
			return -EBADMSG;
		if (records->count == room) {
			struct sl_value *items;

			room = 2 * room + 64;
			items = realloc(records->items, room * sizeof(*items));
			if (!items)
				return -ENOMEM;
			records->items = items;
		}
		records->items[records->count++] = (struct sl_value){ begin, (size_t)(at - begin) };
	}
	return 0;
}

static int read_whole(int fd, char **ret_data, size_t *ret_size)
{
	struct stat st;
	char *data;
	size_t size = 0;
	ssize_t n = 1;

	if (fstat(fd, &st) < 0)
		return -errno;
	data = malloc((size_t)st.st_size + 1);
	if (!data)
		return -ENOMEM;
	while (size < (size_t)st.st_size && n > 0) {
		n = read(fd, data + size, (size_t)st.st_size - size);
		size += n > 0 ? (size_t)n : 0;
	}
	if (n < 0) {
		free(data);
		return -errno;
	}
	*ret_data = data;
	*ret_size = size;
	return 0;
}

int tap_read(const char *folder, const char *name, struct tap_records *ret, struct err *err)
{
	struct tap_records records = { 0 };
	_cleanup_close_ int fd = -1;
	char path[PATH_MAX];
	size_t size = 0;
	int r = 0;

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno != ENOENT)
		return err_set(err, -errno, "cannot open %s: %s", path, err_name(errno));
	if (fd >= 0)
		r = read_whole(fd, &records.data, &size);
	if (r == 0)
		r = split(&records, size);
	if (r < 0) {
		tap_free(&records);
		return err_set(err, r, "cannot read %s: %s", path, err_name(r));
	}
	*ret = records;
	return 0;
}

void tap_free(struct tap_records *records)
{
	free(records->items);
	free(records->data);
}
