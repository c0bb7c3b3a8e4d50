/* SPDX-License-Identifier: MIT */
/* Transform "fault": misbehaves at the N-th record that its process sees, or at those that say so, and passes all others on. */
#include <sluice/stage.h>

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum action { ACTION_ERROR, ACTION_REJECT, ACTION_EXIT, ACTION_ABORT, ACTION_SEGV, ACTION_HANG };

static const char *const actions[] = { "error", "reject", "exit", "abort", "segv", "hang", NULL };

struct shared {
	int64_t at;        /* 0: none */
	const char *field; /* or NULL */
	int action;
	const char *once;
	_Atomic int64_t seen; /* records, by all workers */
};

/* With `once` only the first process that comes here misbehaves: whoever makes the file. */
static bool is_first(const struct shared *o)
{
	int fd;

	if (!o->once)
		return true;
	fd = open(o->once, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd < 0)
		return false;
	(void)close(fd);
	return true;
}

static int misbehave(struct sl_context *ctx, const struct shared *o, struct sl_value record)
{
	switch (o->action) {
	case ACTION_ERROR:
		return o->field ? sl_error(ctx, -EIO, "fault: an error, as the record says")
				: sl_error(ctx, -EIO,
					  "fault: an error at record %lld, as the config says",
					  (long long)o->at);
	case ACTION_REJECT:
		return sl_reject(ctx, NULL, record, "fault: rejected, as the config says");
	case ACTION_EXIT:
		_exit(7);
	case ACTION_ABORT:
		abort();
	case ACTION_SEGV:
		return raise(SIGSEGV);
	default:
		for (;;)
			(void)usleep(1000);
	}
}

static bool says_so(const struct shared *o, struct sl_value record)
{
	bool is_true = false;

	return o->field && sl_kind(record) == SL_MAP &&
	       sl_get_bool(sl_find(record, o->field, strlen(o->field)), &is_true) && is_true;
}

static int fault_check(struct sl_context *ctx, const void *shared)
{
	const struct shared *o = shared;

	return (o->at == 0) == (o->field == NULL)
		       ? sl_error(ctx, -EINVAL, "write either `at` or `field`: at = 1000;")
		       : 0;
}

static int fault_transform(struct sl_context *ctx, void *shared, void *worker,
	struct sl_value record, struct sl_writer *const *out)
{
	struct shared *o = shared;

	(void)worker;
	if ((atomic_fetch_add(&o->seen, 1) + 1 == o->at || says_so(o, record)) && is_first(o))
		return misbehave(ctx, o, record);
	sl_put_value(out[0], record);
	return sl_record_done(out[0]);
}

static void fault_files(struct sl_context *ctx, const void *shared, sl_files_fn *tell, void *user)
{
	const struct shared *o = shared;

	(void)ctx;
	if (o->once)
		tell(user, o->once, SL_FILES_WRITE);
}

static const struct sl_option options[];

const struct sl_stage sl_stage_transform_fault = {
	.abi = SL_ABI,
	.name = "fault",
	.role = SL_TRANSFORM,
	.summary = "misbehaves at the N-th record, or where one says so: for tests",
	.flags = SL_RESUMES | SL_TASKS | SL_CONFINED | SL_NEEDS_FILES,
	.shared_size = sizeof(struct shared),
	.check = fault_check,
	.transform = fault_transform,
	.options = options,
	.files = fault_files,
};

/* clang-format off */
static const struct sl_option options[] = {
	{ SL_OPTION("at", INT, struct shared, at), .min = 1, .max = INT64_MAX,
	  .help = "the record, counted from 1 in each process", .example = "1000" },
	{ SL_OPTION("field", STRING, struct shared, field),
	  .help = "instead of `at`: the records in which this field is true", .example = "\"bad\"" },
	{ SL_OPTION("action", CHOICE, struct shared, action), .required = true, .choices = actions,
	  .help = "what happens there: the stage fails, gives up on the record, exits, aborts, dies of SIGSEGV, or never returns",
	  .example = "\"abort\"" },
	{ SL_OPTION("once", STRING, struct shared, once),
	  .help = "a file that is made the first time; while it exists nothing happens", .example = "\"/tmp/fault.mark\"" },
	{ 0 },
};
/* clang-format on */
