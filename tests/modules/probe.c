/* SPDX-License-Identifier: MIT */
/*
 * Transform "probe": does to each record what the record says, and writes down what happened: so a test sees from outside
 * who worked on what, when, and how often. Fields of a record, all optional: `wait` (ms), `block` (ms, holding the thread),
 * `fails` (so many attempts are given back by sl_retry), `reject`.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sluice/stage.h>
#include <sluice/task.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define RECORDS_MAX 1000000

struct shared {
	const char *gate; /* waited for, before the first record is passed on */
	const char
		*fail_once; /* made, with an error, by whoever comes first once the gate is open */
	_Atomic unsigned char attempts[RECORDS_MAX]; /* by `id` */
};

static int64_t field(struct sl_value record, const char *name, size_t size)
{
	struct sl_value found = sl_find(record, name, size);
	int64_t value = 0;
	bool is_true;

	if (sl_get_bool(found, &is_true))
		return is_true;
	(void)sl_get_int(found, &value);
	return value;
}

#define FIELD(record, name) field(record, name, sizeof(name) - 1)

static int wait_for_gate(struct sl_context *ctx, const struct shared *o)
{
	int fd, r = 0;

	while (r == 0 && o->gate && access(o->gate, F_OK) != 0)
		r = sl_sleep_until(ctx, sl_now() + 5 * SL_MILLISECOND);
	if (r < 0 || !o->fail_once)
		return r;
	fd = open(o->fail_once, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd < 0)
		return 0;
	(void)close(fd);
	return sl_error(ctx, -EIO, "probe: an error, as the config says");
}

static void block(int64_t ms)
{
	struct timespec time = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &time, NULL);
}

static void put_note(struct sl_writer *out, const char *name, int64_t value)
{
	sl_put_cstr(out, name);
	sl_put_int(out, value);
}

static int put(struct sl_writer *out, struct sl_value record, int64_t begin, int attempts)
{
	struct sl_cursor c = sl_walk(record);
	struct sl_value key, value;

	sl_put_map(out, sl_count(record) + 5);
	while (sl_next(&c, &key, &value)) {
		sl_put_value(out, key);
		sl_put_value(out, value);
	}
	put_note(out, "began", begin);
	put_note(out, "ended", sl_now());
	put_note(out, "attempts", attempts);
	put_note(out, "process", getpid());
	put_note(out, "thread", (int64_t)syscall(SYS_gettid));
	return sl_record_done(out);
}

static int probe(struct sl_context *ctx, void *shared, void *worker, struct sl_value record,
	struct sl_writer *const *out)
{
	struct shared *o = shared;
	int64_t begin = sl_now();
	int64_t id = FIELD(record, "id");
	int attempts = atomic_fetch_add(&o->attempts[id % RECORDS_MAX], 1) + 1;
	int r = wait_for_gate(ctx, o);

	(void)worker;
	if (r < 0)
		return r;
	if (FIELD(record, "wait") > 0)
		r = sl_sleep_until(ctx, begin + FIELD(record, "wait") * SL_MILLISECOND);
	if (r < 0)
		return r;
	block(FIELD(record, "block"));
	if (attempts <= FIELD(record, "fails")) {
		/* What an attempt that failed has put goes. */
		put(out[0], record, begin, -1);
		return sl_retry(ctx, 0, "attempt %d of %lld", attempts, (long long)id);
	}
	if (FIELD(record, "reject"))
		return sl_reject(ctx, NULL, record, "as it says");
	return put(out[0], record, begin, attempts);
}

static const struct sl_option options[] = {
	{ SL_OPTION("gate", STRING, struct shared, gate), .help = "a file that is waited for",
		.example = "\"/tmp/gate\"" },
	{ SL_OPTION("fail_once", STRING, struct shared, fail_once),
		.help = "a file that marks that it has failed", .example = "\"/tmp/mark\"" },
	{ 0 },
};

static const struct sl_stage stage = {
	.abi = SL_ABI,
	.name = "probe",
	.role = SL_TRANSFORM,
	.summary = "does what each record says",
	.flags = SL_RESUMES | SL_TASKS,
	.shared_size = sizeof(struct shared),
	.transform = probe,
	.options = options,
};

SL_MODULE(&stage);
