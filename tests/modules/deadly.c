/* SPDX-License-Identifier: MIT */
/*
 * Stages that die of what a record says: its field `kills` is a signal ("SEGV", "ABRT", "FPE", "BUS", "ILL", "KILL"), or "HANG" or
 * "START". A transform of single records, one of whole batches, and two sinks that are exactly-once: `deadly_marked` by the
 * engine's memory (sl_remember), `deadly_named` by names of batches that it keeps itself, as a database would.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sluice/stage.h>
#include <sluice/task.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct shared {
	const char *path;
	const char *start; /* while this file exists the process dies in start */
	bool offload;
	bool reject;
};

static void divide(volatile int by)
{
	volatile int of = 7;
	volatile int result = of / by;

	(void)result;
}

static int die(void *arg)
{
	const char *how = arg;
	volatile int *nowhere = NULL;

	if (strcmp(how, "SEGV") == 0)
		*nowhere = 1;
	if (strcmp(how, "ABRT") == 0)
		abort();
	if (strcmp(how, "FPE") == 0)
		divide(0);
	if (strcmp(how, "ILL") == 0)
		__builtin_trap();
	if (strcmp(how, "BUS") == 0)
		(void)raise(SIGBUS);
	if (strcmp(how, "RAISE") == 0)
		(void)raise(SIGSEGV);
	if (strcmp(how, "KILL") == 0)
		(void)kill(getpid(), SIGKILL);
	while (strcmp(how, "HANG") == 0)
		(void)pause();
	return 0;
}

static void how_to_die(struct sl_value record, char how[16])
{
	const char *text = "";
	size_t size = 0;

	(void)sl_get_str(sl_find(record, "kills", 5), &text, &size);
	(void)snprintf(how, 16, "%.*s", (int)size, text);
}

static void look_at(struct sl_value record)
{
	char how[16];

	how_to_die(record, how);
	(void)die(how);
}

static bool is_refused(struct sl_value record)
{
	bool is_true = false;

	return sl_get_bool(sl_find(record, "reject", 6), &is_true) && is_true;
}

static int start(struct sl_context *ctx, void *shared, void *worker)
{
	const struct shared *o = shared;

	(void)ctx;
	(void)worker;
	if (o->start && access(o->start, F_OK) == 0)
		abort();
	return 0;
}

/* --- transforms --------------------------------------------------------------------------------- */

static int one(struct sl_context *ctx, void *shared, void *worker, struct sl_value record,
	struct sl_writer *const *out)
{
	const struct shared *o = shared;
	int64_t ms = 0;
	char how[16];

	(void)worker;
	if (sl_get_int(sl_find(record, "wait", 4), &ms))
		(void)sl_sleep_until(ctx, sl_now() + ms * SL_MILLISECOND);
	how_to_die(record, how);
	if (o->offload)
		(void)sl_offload(ctx, die, how, SL_NEVER);
	else
		(void)die(how);
	if (is_refused(record))
		return sl_reject(ctx, NULL, record, "as it says");
	sl_put_value(out[0], record);
	return sl_record_done(out[0]);
}

static int64_t batch(struct sl_context *ctx, void *shared, void *worker, const struct sl_batch *in,
	struct sl_writer *const *out)
{
	int64_t consumed = 0;

	(void)shared;
	(void)worker;
	for (uint32_t i = 0; i < sl_batch_count(in); i++) {
		struct sl_value record = sl_batch_record(in, i);

		look_at(record);
		if (is_refused(record)) {
			(void)sl_reject(ctx, NULL, record, "as it says");
			continue;
		}
		sl_put_value(out[0], record);
		if (sl_record_done(out[0]) < 0)
			return -ENOMEM;
		consumed++;
	}
	return consumed;
}

/* --- sinks -------------------------------------------------------------------------------------- */

struct file {
	int fd;
	struct sl_writer text;
	uint64_t length;
};

static int64_t write_lines(struct sl_context *ctx, struct file *file, const struct sl_batch *in)
{
	const char *why;
	int64_t consumed = 0;

	for (uint32_t i = 0; i < sl_batch_count(in); i++) {
		struct sl_value record = sl_batch_record(in, i);
		char *end;

		look_at(record);
		if (is_refused(record)) {
			(void)sl_reject(ctx, NULL, record, "as it says");
			continue;
		}
		if (sl_json_print(&file->text, record, &why) < 0)
			return sl_error(ctx, -EINVAL, "%s", why);
		end = sl_writer_reserve(&file->text, 1);
		if (!end)
			return -ENOMEM;
		*end = '\n';
		file->text.size++;
		consumed++;
	}
	return consumed;
}

static int put_out(struct sl_context *ctx, struct file *file)
{
	size_t size = file->text.size;

	if (size > 0 && write(file->fd, file->text.data, size) != (ssize_t)size)
		return sl_error(ctx, -EIO, "cannot write");
	file->length += size;
	sl_writer_reset(&file->text);
	return 0;
}

static int open_file(struct sl_context *ctx, const struct shared *o, struct file *file)
{
	file->fd = open(o->path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	sl_writer_init(&file->text);
	return file->fd < 0 ? sl_error(ctx, -errno, "cannot open %s", o->path) : 0;
}

static int marked_start(struct sl_context *ctx, void *shared, void *worker)
{
	struct file *file = worker;
	const void *mark;
	size_t size;
	int r = open_file(ctx, shared, file);

	if (r == 0 && sl_recall(ctx, &mark, &size))
		memcpy(&file->length, mark, sizeof(file->length));
	if (r == 0 && ftruncate(file->fd, (off_t)file->length) < 0)
		return -errno;
	return r;
}

/* What is not committed is in the file already: a successor has to cut it off. */
static int64_t marked_write(
	struct sl_context *ctx, void *shared, void *worker, const struct sl_batch *in)
{
	int64_t consumed = write_lines(ctx, worker, in);
	int r = consumed < 0 ? 0 : put_out(ctx, worker);

	(void)shared;
	return r < 0 ? r : consumed;
}

static int marked_commit(struct sl_context *ctx, void *shared, void *worker)
{
	struct file *file = worker;

	(void)shared;
	sl_remember(ctx, &file->length, sizeof(file->length));
	return 0;
}

/* The names stand in the file, a line for each batch; a commit is one write. */
static bool is_known(struct file *file, const char *name)
{
	off_t size = lseek(file->fd, 0, SEEK_END);
	char *all = calloc(1, (size_t)size + 1);
	bool is_there = all && pread(file->fd, all, (size_t)size, 0) == size && strstr(all, name);

	free(all);
	return is_there || (file->text.size > 0 &&
				   memmem(file->text.data, file->text.size, name, strlen(name)));
}

static int64_t named_write(
	struct sl_context *ctx, void *shared, void *worker, const struct sl_batch *in)
{
	struct sl_identity id = sl_batch_identity(in);
	struct file *file = worker;
	char name[128];
	char *to;

	(void)shared;
	(void)snprintf(name, sizeof(name), "{\"batch\": \"%llx %llx %llx %llx\"}\n",
		(unsigned long long)id.run, (unsigned long long)id.origin,
		(unsigned long long)id.path, (unsigned long long)id.start);
	if (is_known(file, name))
		return sl_batch_count(in);
	to = sl_writer_reserve(&file->text, strlen(name));
	if (!to)
		return -ENOMEM;
	memcpy(to, name, strlen(name));
	file->text.size += strlen(name);
	return write_lines(ctx, file, in);
}

static int named_start(struct sl_context *ctx, void *shared, void *worker)
{
	return open_file(ctx, shared, worker);
}

static int named_commit(struct sl_context *ctx, void *shared, void *worker)
{
	(void)shared;
	return put_out(ctx, worker);
}

static void stop(struct sl_context *ctx, void *shared, void *worker)
{
	struct file *file = worker;

	(void)ctx;
	(void)shared;
	sl_writer_fini(&file->text);
	(void)close(file->fd);
}

static const struct sl_option transform_options[] = {
	{ SL_OPTION("start", STRING, struct shared, start), .help = "while it exists start dies",
		.example = "\"/tmp/mark\"" },
	{ SL_OPTION("offload", BOOL, struct shared, offload), .fallback = "false",
		.help = "die in sl_offload", .example = "true" },
	{ 0 },
};

static const struct sl_option sink_options[] = {
	{ SL_OPTION("path", STRING, struct shared, path), .required = true, .help = "the file",
		.example = "\"out.ndjson\"" },
	{ 0 },
};

#define TRANSFORM                                                                                  \
	.abi = SL_ABI, .role = SL_TRANSFORM, .summary = "dies of what each record says",           \
	.shared_size = sizeof(struct shared), .start = start, .options = transform_options
#define SINK                                                                                       \
	.abi = SL_ABI, .role = SL_SINK, .summary = "dies of what each record says",                \
	.shared_size = sizeof(struct shared), .worker_size = sizeof(struct file), .stop = stop,    \
	.options = sink_options

static const struct sl_stage deadly = { TRANSFORM, .name = "deadly", .flags = SL_RESUMES | SL_TASKS,
	.transform = one };
static const struct sl_stage deadly_batch = { TRANSFORM, .name = "deadly_batch",
	.flags = SL_RESUMES, .transform_batch = batch };
static const struct sl_stage deadly_marked = { SINK, .name = "deadly_marked",
	.flags = SL_RESUMES | SL_ONE_THREAD | SL_REMEMBERED, .start = marked_start,
	.write = marked_write, .commit = marked_commit };
static const struct sl_stage deadly_named = { SINK, .name = "deadly_named",
	.flags = SL_RESUMES | SL_ONE_THREAD, .start = named_start, .write = named_write,
	.commit = named_commit };

SL_MODULE(&deadly, &deadly_batch, &deadly_marked, &deadly_named);
