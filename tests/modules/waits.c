/* SPDX-License-Identifier: MIT */
/*
 * Transform "waits": goes through every kind of wait there is for each record, and at the n-th of them, once, is killed, or
 * runs out of time, or is cancelled because another member of its group fails. It keeps count of what it holds: what is
 * left at the end, and descriptors that are left, are errors in the log.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sluice/stage.h>
#include <sluice/task.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum how { HOW_NONE, HOW_KILL, HOW_DEADLINE, HOW_FAILURE };

static const char *const hows[] = { "none", "kill", "deadline", "failure", NULL };

struct shared {
	int64_t at;
	int how;
	const char *mark;
	const char *url;
	struct sl_sem sem;
	struct sl_lock lock;
	atomic_int held; /* things */
	atomic_int steps_max;
	atomic_int interrupted;
	int descriptors;
};

/* One record's way through. */
struct way {
	struct shared *o;
	bool is_marked;
	bool must_fail;
	int step;
	int64_t deadline; /* of the scope around it */
	struct sl_event *trigger;
};

static int count_descriptors(void)
{
	DIR *folder = opendir("/proc/self/fd");
	int count = 0;

	while (folder && readdir(folder))
		count++;
	if (folder)
		(void)closedir(folder);
	return count;
}

static bool is_first(const struct shared *o)
{
	int fd = open(o->mark, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);

	if (fd >= 0)
		(void)close(fd);
	return fd >= 0;
}

/* Before every wait. */
static void step(struct way *w)
{
	struct shared *o = w->o;

	w->step++;
	if (w->step > atomic_load(&o->steps_max))
		atomic_store(&o->steps_max, w->step);
	if (w->step != o->at || !w->is_marked)
		return;
	switch (o->how) {
	case HOW_KILL:
		(void)kill(getpid(), SIGKILL);
		break;
	case HOW_DEADLINE:
		while (sl_now() < w->deadline)
			(void)usleep(1000);
		break;
	case HOW_FAILURE:
		w->must_fail = true;
		sl_event_set(w->trigger);
		break;
	default:
		break;
	}
}

#define WAIT(call)                                                                                 \
	do {                                                                                       \
		step(w);                                                                           \
		r = (int)(call);                                                                   \
		if (r < 0)                                                                         \
			goto end;                                                                  \
	} while (0)

static void hold(struct way *w)
{
	(void)atomic_fetch_add(&w->o->held, 1);
}

static void let_go(struct way *w)
{
	(void)atomic_fetch_sub(&w->o->held, 1);
}

/* --- members ---------------------------------------------------------------------------------------- */

static int sleep_a_little(struct sl_context *ctx, void *arg)
{
	(void)arg;
	return sl_sleep_until(ctx, sl_now() + SL_MILLISECOND);
}

static int write_later(struct sl_context *ctx, void *arg)
{
	int fd = *(int *)arg;
	int r = sl_sleep_until(ctx, sl_now() + SL_MILLISECOND);

	return r < 0 ? r : sl_write(ctx, fd, "hello", 5, SL_NEVER);
}

static int connect_to(struct sl_context *ctx, void *arg)
{
	const struct sockaddr_in *address = arg;
	int fd = sl_connect(ctx, (const struct sockaddr *)address, sizeof(*address), SL_NEVER);

	if (fd < 0)
		return fd;
	(void)close(fd);
	return 0;
}

static int set_event(struct sl_context *ctx, void *arg)
{
	int r = sl_yield(ctx);

	sl_event_set(arg);
	return r;
}

static int send_two(struct sl_context *ctx, void *arg)
{
	static int item;
	int r = sl_channel_send(ctx, arg, &item, SL_NEVER);

	return r < 0 ? r : sl_channel_send(ctx, arg, &item, SL_NEVER);
}

static int block_a_little(void *arg)
{
	(void)arg;
	return usleep(1000);
}

/* --- every kind of wait --------------------------------------------------------------------------------- */

static int time_and_pipes(struct sl_context *ctx, struct way *w)
{
	struct sl_group group;
	char text[8];
	int ends[2], r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	hold(w);
	sl_group_open(ctx, &group, 0);
	WAIT(sl_sleep_until(ctx, sl_now() + SL_MILLISECOND));
	WAIT(sl_yield(ctx));
	r = sl_group_start(&group, write_later, &ends[1]);
	if (r < 0)
		goto end;
	WAIT(sl_wait_fd(ctx, ends[0], POLLIN, SL_NEVER));
	WAIT(sl_read(ctx, ends[0], text, sizeof(text), SL_NEVER));
	WAIT(sl_write(ctx, ends[0], "hello", 5, SL_NEVER));
end:
	if (r < 0)
		sl_group_cancel(&group);
	(void)sl_group_close(&group);
	(void)close(ends[0]);
	(void)close(ends[1]);
	let_go(w);
	return r < 0 ? r : 0;
}

static int sockets(struct sl_context *ctx, struct way *w)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	struct addrinfo *list = NULL;
	struct sl_group group;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), fd = -1,
	    r = 0;

	if (listener < 0 || bind(listener, (struct sockaddr *)&address, size) < 0 ||
		listen(listener, 4) < 0 ||
		getsockname(listener, (struct sockaddr *)&address, &size) < 0)
		return -errno;
	hold(w);
	sl_group_open(ctx, &group, 0);
	r = sl_group_start(&group, connect_to, &address);
	if (r < 0)
		goto end;
	WAIT(fd = sl_accept(ctx, listener, SL_NEVER));
	WAIT(sl_resolve(ctx, "localhost", "80", NULL, SL_NEVER, &list));
end:
	if (r < 0)
		sl_group_cancel(&group);
	(void)sl_group_close(&group);
	if (list)
		freeaddrinfo(list);
	if (fd >= 0)
		(void)close(fd);
	(void)close(listener);
	let_go(w);
	return r < 0 ? r : 0;
}

static int http(struct sl_context *ctx, struct way *w)
{
	struct sl_http_request request = { .url = w->o->url };
	struct sl_http_response response;
	int r;

	step(w);
	hold(w);
	r = sl_http(ctx, &request, SL_NEVER, &response);
	if (r == 0 && (response.status != 200 || strcmp(response.body, "hello") != 0))
		r = -EPROTO;
	sl_http_response_fini(&response);
	let_go(w);
	return r;
}

static int programs(struct sl_context *ctx, struct way *w)
{
	const char *const words[] = { "cat", NULL };
	struct sl_program program = { .argv = words, .pipes = SL_PIPE_IN | SL_PIPE_OUT };
	struct sl_child child;
	char text[8];
	int status, r;

	step(w);
	r = sl_spawn(ctx, &program, &child);
	if (r < 0)
		return r;
	hold(w);
	WAIT(sl_write(ctx, child.in, "hello", 5, SL_NEVER));
	WAIT(sl_read(ctx, child.out, text, sizeof(text), SL_NEVER));
	(void)close(child.in);
	child.in = -1;
	WAIT(sl_child_wait(ctx, &child, SL_NEVER, &status));
	r = status == 0 ? 0 : -EPROTO;
end:
	(void)sl_child_end(ctx, &child, 0);
	let_go(w);
	return r < 0 ? r : 0;
}

static int offload(struct sl_context *ctx, struct way *w)
{
	step(w);
	return sl_offload(ctx, block_a_little, NULL, SL_NEVER);
}

static int between_tasks(struct sl_context *ctx, struct way *w)
{
	struct sl_channel *channel = sl_channel_new(1);
	bool has_sem = false, has_lock = false;
	struct sl_event event;
	struct sl_group group;
	void *item;
	int r;

	if (!channel)
		return -ENOMEM;
	hold(w);
	sl_event_init(&event);
	sl_group_open(ctx, &group, 0);
	WAIT(sl_sem_take(ctx, &w->o->sem, SL_NEVER));
	has_sem = true;
	WAIT(sl_lock_take(ctx, &w->o->lock, SL_NEVER));
	has_lock = true;
	WAIT(sl_sleep_until(ctx, sl_now() + SL_MILLISECOND));
	r = sl_group_start(&group, set_event, &event);
	if (r == 0)
		r = sl_group_start(&group, send_two, channel);
	if (r < 0)
		goto end;
	WAIT(sl_event_wait(ctx, &event, SL_NEVER));
	WAIT(sl_channel_receive(ctx, channel, SL_NEVER, &item));
	WAIT(sl_channel_receive(ctx, channel, SL_NEVER, &item));
end:
	if (has_lock)
		sl_lock_give(ctx, &w->o->lock);
	if (has_sem)
		sl_sem_give(&w->o->sem);
	if (r < 0)
		sl_group_cancel(&group);
	(void)sl_group_close(&group);
	sl_channel_free(channel);
	let_go(w);
	return r < 0 ? r : 0;
}

static int groups(struct sl_context *ctx, struct way *w)
{
	struct sl_scope shield;
	struct sl_group group;
	int results[3], r;

	hold(w);
	sl_group_open(ctx, &group, SL_COLLECT);
	(void)sl_group_start(&group, sleep_a_little, NULL);
	(void)sl_group_start(&group, sleep_a_little, NULL);
	WAIT(sl_group_next(&group, SL_NEVER, NULL, NULL));
	WAIT(sl_gather(ctx, sleep_a_little, results, sizeof(int), 3, 2, results));
end:
	/* Cleanup that must wait. */
	sl_scope_open(ctx, &shield, sl_now() + SL_SECOND, SL_SHIELD);
	if (sl_sleep_until(ctx, sl_now() + SL_MILLISECOND) == 0)
		let_go(w);
	(void)sl_scope_close(ctx, &shield);
	if (r < 0)
		sl_group_cancel(&group);
	step(w);
	(void)sl_group_close(&group);
	return r < 0 ? r : 0;
}

static int everything(struct sl_context *ctx, void *arg)
{
	struct way *w = arg;
	int r = time_and_pipes(ctx, w);

	if (r == 0)
		r = sockets(ctx, w);
	if (r == 0)
		r = http(ctx, w);
	if (r == 0)
		r = programs(ctx, w);
	if (r == 0)
		r = offload(ctx, w);
	if (r == 0)
		r = between_tasks(ctx, w);
	if (r == 0)
		r = groups(ctx, w);
	sl_event_set(w->trigger);
	return r;
}

/* Fails when the way says so, or ends with it. */
static int fail_when_told(struct sl_context *ctx, void *arg)
{
	struct way *w = arg;
	int r = sl_event_wait(ctx, w->trigger, SL_NEVER);

	return r == 0 && w->must_fail ? -EIO : r;
}

static int waits(struct sl_context *ctx, void *shared, void *worker, struct sl_value record,
	struct sl_writer *const *out)
{
	struct shared *o = shared;
	struct way w = {
		.o = o, .is_marked = o->how != HOW_NONE && is_first(o), .deadline = SL_NEVER
	};
	struct sl_event trigger;
	struct sl_group group;
	struct sl_scope scope;
	int r;

	(void)worker;
	sl_event_init(&trigger);
	w.trigger = &trigger;
	if (w.is_marked && o->how == HOW_DEADLINE)
		w.deadline = sl_now() + 100 * SL_MILLISECOND;
	sl_scope_open(ctx, &scope, w.deadline, 0);
	sl_group_open(ctx, &group, 0);
	r = sl_group_start(&group, everything, &w);
	if (r == 0)
		r = sl_group_start(&group, fail_when_told, &w);
	if (r == 0)
		r = sl_group_close(&group);
	else
		(void)sl_group_close(&group);
	(void)sl_scope_close(ctx, &scope);
	if (r < 0 && w.is_marked) {
		(void)atomic_fetch_add(&o->interrupted, 1);
		return sl_retry(ctx, 0, "interrupted at wait %d: %s", w.step, strerror(-r));
	}
	if (r < 0)
		return sl_error(
			ctx, r, "not interrupted, but at wait %d: %s", w.step, strerror(-r));
	sl_put_value(out[0], record);
	return sl_record_done(out[0]);
}

static int waits_open(struct sl_context *ctx, void *shared)
{
	struct shared *o = shared;

	/* The first wait of a process opens what stays open until its end. */
	(void)sl_yield(ctx);
	sl_sem_init(&o->sem, 2);
	sl_lock_init(&o->lock);
	o->descriptors = count_descriptors();
	return 0;
}

static void waits_close(struct sl_context *ctx, void *shared)
{
	struct shared *o = shared;
	int descriptors = count_descriptors();

	if (atomic_load(&o->held) != 0)
		sl_log(ctx, SL_LOG_ERROR, "leak: %d things are held", atomic_load(&o->held));
	if (descriptors != o->descriptors)
		sl_log(ctx, SL_LOG_ERROR, "leak: %d descriptors, were %d", descriptors,
			o->descriptors);
	sl_log(ctx, SL_LOG_WARNING, "steps %d interrupted %d", atomic_load(&o->steps_max),
		atomic_load(&o->interrupted));
}

static const struct sl_option options[] = {
	{ SL_OPTION("at", INT, struct shared, at), .fallback = "0", .max = 1000, .help = "the wait",
		.example = "1" },
	{ SL_OPTION("how", CHOICE, struct shared, how), .fallback = "none", .choices = hows,
		.help = "what happens there", .example = "\"kill\"" },
	{ SL_OPTION("mark", STRING, struct shared, mark), .fallback = "mark",
		.help = "a file, once it has happened", .example = "\"mark\"" },
	{ SL_OPTION("url", STRING, struct shared, url), .required = true, .help = "answers hello",
		.example = "\"http://localhost/\"" },
	{ 0 },
};

static const struct sl_stage stage = {
	.abi = SL_ABI,
	.name = "waits",
	.role = SL_TRANSFORM,
	.summary = "waits for everything",
	.flags = SL_RESUMES | SL_TASKS,
	.shared_size = sizeof(struct shared),
	.open = waits_open,
	.transform = waits,
	.close = waits_close,
	.options = options,
};

SL_MODULE(&stage);
