/* SPDX-License-Identifier: MIT */
/*
 * One function goes through every kind of wait there is. It is cancelled before the n-th, in the n-th, by a deadline around the
 * n-th and by the failure of another member, for n = 1, 2, ... until it runs through: each time everything is given back.
 */
#include "tasks.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

enum mode { CANCEL_BEFORE, CANCEL_WITHIN, DEADLINE, FAILURE, MODES };

struct run {
	enum mode mode;
	int n;            /* the wait that is disturbed */
	int step;         /* how many have begun */
	int is_at;        /* the n-th is about to begin */
	bool is_held;     /* this wait ends by the disturbance only */
	bool can_be_held; /* the n-th was such a one */
	bool has_scope;
	struct sl_scope scope;
	int acquired, released;
	int r;
};

enum { CAN_BE_HELD = 1 };

/* Just before a wait. */
static void begin_step(struct sl_context *ctx, struct run *run, int flags)
{
	struct sl_scope shield;

	run->is_held = false;
	if (++run->step != run->n)
		return;
	run->can_be_held = flags & CAN_BE_HELD;
	run->is_held = run->mode != CANCEL_BEFORE && run->can_be_held;
	if (run->mode == DEADLINE) {
		run->has_scope = true;
		sl_scope_open(ctx, &run->scope, run->can_be_held ? in(MS) : 0, 0);
		return;
	}
	run->is_at = 1;
	if (run->mode != CANCEL_BEFORE)
		return;
	sl_scope_open(ctx, &shield, in(LONG), SL_SHIELD);
	while (!ctx->task->is_canceled)
		assert_int_equal(sl_yield(ctx), 0);
	assert_int_equal(sl_scope_close(ctx, &shield), 0);
}

/* A wait that ends by itself in any case, and one that need not end. */
#define WAIT(call)                                                                                 \
	do {                                                                                       \
		begin_step(ctx, run, 0);                                                           \
		r = (int)(call);                                                                   \
		if (r < 0)                                                                         \
			goto out;                                                                  \
	} while (0)
#define LONG_WAIT(call)                                                                            \
	do {                                                                                       \
		begin_step(ctx, run, CAN_BE_HELD);                                                 \
		r = (int)(call);                                                                   \
		if (r < 0)                                                                         \
			goto out;                                                                  \
	} while (0)

/* --- those who let it go on ----------------------------------------------------------------------- */

static int wait_some_turns(struct sl_context *ctx)
{
	int r = 0;

	for (int i = 0; i < 3 && r == 0; i++)
		r = sl_yield(ctx);
	return r;
}

static int write_later(struct sl_context *ctx, void *arg)
{
	int r = wait_some_turns(ctx);

	return r < 0 ? r : sl_write(ctx, (int)(intptr_t)arg, "x", 1, SL_NEVER);
}

static int drain_later(struct sl_context *ctx, void *arg)
{
	char data[4096];
	ssize_t r = wait_some_turns(ctx);

	while (r >= 0 && (r = sl_read(ctx, (int)(intptr_t)arg, data, sizeof(data), SL_NEVER)) > 0)
		;
	return (int)r;
}

static int give_later(struct sl_context *ctx, void *arg)
{
	int r = wait_some_turns(ctx);

	if (r == 0)
		sl_sem_give(arg);
	return r;
}

static int set_later(struct sl_context *ctx, void *arg)
{
	int r = wait_some_turns(ctx);

	if (r == 0)
		sl_event_set(arg);
	return r;
}

static int send_later(struct sl_context *ctx, void *arg)
{
	int r = wait_some_turns(ctx);

	return r < 0 ? r : sl_channel_send(ctx, arg, arg, SL_NEVER);
}

static int receive_later(struct sl_context *ctx, void *arg)
{
	void *item = NULL;
	int r = wait_some_turns(ctx);

	return r < 0 ? r : sl_channel_receive(ctx, arg, SL_NEVER, &item);
}

struct holder {
	struct sl_lock lock;
	int has_it;
	bool is_for_ever;
};

static int hold_lock(struct sl_context *ctx, void *arg)
{
	struct holder *holder = arg;
	int r = sl_lock_take(ctx, &holder->lock, SL_NEVER);

	if (r < 0)
		return r;
	holder->has_it = 1;
	r = holder->is_for_ever ? sl_sleep_until(ctx, SL_NEVER) : wait_some_turns(ctx);
	sl_lock_give(ctx, &holder->lock);
	return r;
}

static int sleep_for(struct sl_context *ctx, void *arg)
{
	const struct run *run = arg;

	return sl_sleep_until(ctx, run->is_held ? SL_NEVER : in(MS / 4));
}

static int block_shortly(void *arg)
{
	(void)poll(NULL, 0, 1);
	++*(int *)arg;
	return 0;
}

union address {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_un un;
};

struct listener {
	union address address;
	socklen_t size;
	int fd;
};

static int open_listener(struct listener *listener, int family, int backlog)
{
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	memset(&listener->address, 0, sizeof(listener->address));
	listener->address.any.sa_family = (sa_family_t)family;
	if (family == AF_INET)
		listener->address.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	listener->size = family == AF_UNIX ? sizeof(sa_family_t) : sizeof(listener->address.in);
	assert_int_equal(bind(fd, &listener->address.any, listener->size), 0);
	listener->size = sizeof(listener->address);
	assert_int_equal(getsockname(fd, &listener->address.any, &listener->size), 0);
	assert_int_equal(listen(fd, backlog), 0);
	listener->fd = fd;
	return fd;
}

static int connect_later(struct sl_context *ctx, void *arg)
{
	const struct listener *listener = arg;
	int fd = wait_some_turns(ctx);

	if (fd == 0)
		fd = sl_connect(ctx, &listener->address.any, listener->size, SL_NEVER);
	if (fd >= 0)
		(void)close(fd);
	return fd < 0 ? fd : 0;
}

static int answer_request(struct sl_context *ctx, void *arg)
{
	static const char answer[] =
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
	const struct listener *listener = arg;
	char text[4096];
	int fd = sl_accept(ctx, listener->fd, SL_NEVER);
	ssize_t r;

	if (fd < 0)
		return fd;
	r = sl_read(ctx, fd, text, sizeof(text), SL_NEVER);
	if (r > 0)
		r = sl_write(ctx, fd, answer, sizeof(answer) - 1, SL_NEVER);
	(void)close(fd);
	return (int)r;
}

/* --- all waits ---------------------------------------------------------------------------------------- */

enum { PIPE_READ, PIPE_WRITE, PAIR_ONE, PAIR_TWO, LISTENER, FULL, SERVER, TAKEN, FDS };
enum { FILLERS = 8 };

struct things {
	int fds[FDS];
	int fillers[FILLERS];
	struct listener listener, full, server;
	struct sl_group helpers;
	struct sl_sem sem;
	struct holder holder;
	struct sl_event event;
	struct sl_channel *channel;
	struct sl_child child;
	struct addrinfo *list;
	struct sl_http_response response;
	char *data;
	size_t size;
};

static void acquire(struct sl_context *ctx, struct things *things, struct run *run)
{
	*things = (struct things){ .child = { .pidfd = -1 }, .size = 1u << 20 };
	for (int i = 0; i < FILLERS; i++)
		things->fillers[i] = -1;
	assert_int_equal(pipe2(&things->fds[PIPE_READ], O_NONBLOCK | O_CLOEXEC), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
				 &things->fds[PAIR_ONE]),
		0);
	things->fds[LISTENER] = open_listener(&things->listener, AF_INET, 8);
	things->fds[FULL] = open_listener(&things->full, AF_UNIX, 0);
	things->fds[SERVER] = open_listener(&things->server, AF_INET, 8);
	things->fds[TAKEN] = -1;
	sl_sem_init(&things->sem, 0);
	sl_lock_init(&things->holder.lock);
	sl_event_init(&things->event);
	things->channel = sl_channel_new(1);
	things->data = calloc(1, things->size);
	assert_true(things->channel && things->data);
	sl_group_open(ctx, &things->helpers, 0);
	run->acquired++;
}

static void close_taken(struct things *things)
{
	if (things->fds[TAKEN] >= 0)
		(void)close(things->fds[TAKEN]);
	things->fds[TAKEN] = -1;
}

/* What must be undone, in any state; it waits too, whatever has happened. */
static void release(struct sl_context *ctx, struct things *things, struct run *run)
{
	if (things->child.pidfd >= 0)
		(void)sl_child_end(ctx, &things->child, MS);
	sl_group_cancel(&things->helpers);
	(void)sl_group_close(&things->helpers);
	if (run->has_scope)
		assert_int_equal(sl_scope_close(ctx, &run->scope), -ETIMEDOUT);
	sl_http_response_fini(&things->response);
	if (things->list)
		freeaddrinfo(things->list);
	sl_channel_free(things->channel);
	free(things->data);
	for (int i = 0; i < FDS; i++)
		if (things->fds[i] >= 0)
			(void)close(things->fds[i]);
	for (int i = 0; i < FILLERS; i++)
		if (things->fillers[i] >= 0)
			(void)close(things->fillers[i]);
	assert_null(things->holder.lock.owner);
	assert_null(things->holder.lock.waiters.first);
	assert_null(things->sem.waiters.first);
	assert_null(things->event.waiters.first);
	run->released++;
}

/* So that the next wait can end; not when it is held. */
static void help(struct run *run, struct things *things, sl_member_fn *fn, void *arg)
{
	if (!run->is_held)
		(void)sl_group_start(&things->helpers, fn, arg);
}

static int wait_for_fds(struct sl_context *ctx, struct run *run, struct things *things)
{
	void *read_end = (void *)(intptr_t)things->fds[PAIR_TWO];
	void *write_end = (void *)(intptr_t)things->fds[PIPE_WRITE];
	char byte;
	int r;

	LONG_WAIT(sl_sleep_until(ctx, run->is_held ? SL_NEVER : in(MS / 4)));
	WAIT(sl_yield(ctx));
	LONG_WAIT((help(run, things, write_later, write_end),
		sl_wait_fd(ctx, things->fds[PIPE_READ], POLLIN, SL_NEVER)));
	WAIT(sl_read(ctx, things->fds[PIPE_READ], &byte, 1, SL_NEVER));
	LONG_WAIT((help(run, things, write_later, write_end),
		sl_read(ctx, things->fds[PIPE_READ], &byte, 1, SL_NEVER)));
	LONG_WAIT((help(run, things, drain_later, read_end),
		sl_write(ctx, things->fds[PAIR_ONE], things->data, things->size, SL_NEVER)));
out:
	return r;
}

static void fill(struct things *things)
{
	for (int i = 0; i < FILLERS; i++) {
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

		if (connect(fd, &things->full.address.any, things->full.size) < 0) {
			(void)close(fd);
			return;
		}
		things->fillers[i] = fd;
	}
	fail_msg("a listener with a backlog of 0 took %d connections", FILLERS);
}

static int connect_and_fill(struct sl_context *ctx, struct run *run, struct things *things)
{
	if (run->is_held)
		fill(things);
	things->fds[TAKEN] =
		sl_connect(ctx, &things->full.address.any, things->full.size, SL_NEVER);
	return things->fds[TAKEN];
}

static int wait_for_peers(struct sl_context *ctx, struct run *run, struct things *things)
{
	char url[64];
	const struct sl_http_request request = { .url = url };
	int r;

	LONG_WAIT((help(run, things, connect_later, &things->listener),
		things->fds[TAKEN] = sl_accept(ctx, things->fds[LISTENER], SL_NEVER)));
	close_taken(things);
	LONG_WAIT(connect_and_fill(ctx, run, things));
	close_taken(things);
	WAIT(sl_resolve(ctx, "localhost", NULL, NULL, SL_NEVER, &things->list));
	assert_non_null(things->list);
	(void)snprintf(url, sizeof(url), "http://127.0.0.1:%u/",
		ntohs(things->server.address.in.sin_port));
	LONG_WAIT((help(run, things, answer_request, &things->server),
		sl_http(ctx, &request, SL_NEVER, &things->response)));
	assert_int_equal(things->response.status, 200);
	assert_string_equal(things->response.body, "ok");
out:
	return r;
}

static int wait_for_programs(struct sl_context *ctx, struct run *run, struct things *things)
{
	static const char *const argv[] = { "cat", NULL };
	static const struct sl_program program = { .argv = argv,
		.pipes = SL_PIPE_IN | SL_PIPE_OUT };
	int called = 0, status = -1;
	char byte;
	int r;

	begin_step(ctx, run, 0);
	r = sl_offload(ctx, block_shortly, &called, SL_NEVER);
	/* It was called, or it says that it was not. */
	assert_int_equal(called, r == 0);
	if (r < 0)
		goto out;
	WAIT(sl_spawn(ctx, &program, &things->child));
	LONG_WAIT((run->is_held ? 0 : (int)write(things->child.in, "x", 1)) < 0
			  ? -errno
			  : sl_read(ctx, things->child.out, &byte, 1, SL_NEVER));
	begin_step(ctx, run, CAN_BE_HELD);
	if (!run->is_held) {
		(void)close(things->child.in);
		things->child.in = -1;
	}
	r = sl_child_wait(ctx, &things->child, SL_NEVER, &status);
	if (r < 0)
		goto out;
	assert_int_equal(status, 0);
	assert_int_equal(sl_child_end(ctx, &things->child, LONG), 0);
out:
	return r;
}

static int take_and_give_lock(struct sl_context *ctx, struct run *run, struct things *things)
{
	int r;

	things->holder.is_for_ever = run->is_held;
	if (ctx->task->is_canceled)
		return sl_lock_take(ctx, &things->holder.lock, SL_NEVER);
	/* The holder is given its first turn by this one. */
	assert_int_equal(sl_group_start(&things->helpers, hold_lock, &things->holder), 0);
	while (!things->holder.has_it) {
		r = sl_yield(ctx);
		if (r < 0)
			return r;
	}
	r = sl_lock_take(ctx, &things->holder.lock, SL_NEVER);
	if (r == 0)
		sl_lock_give(ctx, &things->holder.lock);
	return r;
}

static int wait_for_tasks(struct sl_context *ctx, struct run *run, struct things *things)
{
	void *item = NULL;
	int r;

	LONG_WAIT((help(run, things, give_later, &things->sem),
		sl_sem_take(ctx, &things->sem, SL_NEVER)));
	LONG_WAIT(take_and_give_lock(ctx, run, things));
	LONG_WAIT((help(run, things, set_later, &things->event),
		sl_event_wait(ctx, &things->event, SL_NEVER)));
	LONG_WAIT((help(run, things, send_later, things->channel),
		sl_channel_receive(ctx, things->channel, SL_NEVER, &item)));
	WAIT(sl_channel_send(ctx, things->channel, run, SL_NEVER));
	LONG_WAIT((help(run, things, receive_later, things->channel),
		sl_channel_send(ctx, things->channel, run, SL_NEVER)));
out:
	return r;
}

static int collect(struct sl_context *ctx, struct run *run)
{
	struct sl_group group;
	int result = 0;
	int r, closed;

	sl_group_open(ctx, &group, SL_COLLECT);
	r = sl_group_start(&group, sleep_for, run);
	if (r == 0)
		r = sl_group_start(&group, sleep_for, run);
	if (r == 0)
		r = sl_group_next(&group, SL_NEVER, NULL, &result);
	if (r > 0)
		r = result;
	closed = sl_group_close(&group);
	return r < 0 ? r : closed;
}

static int close_group(struct sl_context *ctx, struct run *run)
{
	struct sl_group group;
	int r = 0, closed;

	sl_group_open(ctx, &group, 0);
	for (int i = 0; i < 3 && r == 0; i++)
		r = sl_group_start(&group, sleep_for, run);
	closed = sl_group_close(&group);
	return r < 0 ? r : closed;
}

static int gather(struct sl_context *ctx, struct run *run)
{
	int results[5];
	int r = sl_gather(ctx, sleep_for, run, 0, 5, 2, results);

	return r > 0 ? results[0] : r;
}

static int sleep_in_a_scope(struct sl_context *ctx, struct run *run)
{
	struct sl_scope scope;
	int r;

	sl_scope_open(ctx, &scope, in(LONG), 0);
	r = sleep_for(ctx, run);
	assert_int_equal(sl_scope_close(ctx, &scope), 0);
	return r;
}

static int wait_for_members(struct sl_context *ctx, struct run *run)
{
	int r;

	LONG_WAIT(collect(ctx, run));
	LONG_WAIT(close_group(ctx, run));
	LONG_WAIT(gather(ctx, run));
	LONG_WAIT(sleep_in_a_scope(ctx, run));
out:
	return r;
}

static int everything(struct sl_context *ctx, void *state)
{
	struct run *run = state;
	struct things things;
	int r;

	acquire(ctx, &things, run);
	r = wait_for_fds(ctx, run, &things);
	if (r >= 0)
		r = wait_for_peers(ctx, run, &things);
	if (r >= 0)
		r = wait_for_programs(ctx, run, &things);
	if (r >= 0)
		r = wait_for_tasks(ctx, run, &things);
	if (r >= 0)
		r = wait_for_members(ctx, run);
	release(ctx, &things, run);
	run->r = r < 0 ? r : 0;
	return run->r;
}

/* --- disturbed ------------------------------------------------------------------------------------------- */

static int fail_when_it_is_there(struct sl_context *ctx, void *arg)
{
	const struct run *run = arg;

	while (!run->is_at && !run->released) {
		int r = sl_yield(ctx);

		if (r < 0)
			return r;
	}
	return run->is_at ? -EXDEV : 0;
}

static int disturb(struct sl_context *ctx, void *arg)
{
	struct run *run = arg;
	struct sl_group group;
	int64_t late = in(LONG);
	int r;

	sl_group_open(ctx, &group, 0);
	assert_int_equal(sl_group_start(&group, everything, run), 0);
	if (run->mode == FAILURE)
		assert_int_equal(sl_group_start(&group, fail_when_it_is_there, run), 0);
	while ((run->mode == CANCEL_BEFORE || run->mode == CANCEL_WITHIN) && !run->is_at &&
		!run->released) {
		assert_int_equal(sl_yield(ctx), 0);
		assert_true(sl_now() < late);
	}
	if (run->is_at && run->mode != FAILURE)
		sl_group_cancel(&group);
	r = sl_group_close(&group);
	assert_int_equal(r, run->mode == FAILURE && run->is_at ? -EXDEV : run->r);
	return 0;
}

static void is_as_it_should_be(const struct run *run)
{
	int expected = run->mode == DEADLINE ? -ETIMEDOUT : -ECANCELED;

	assert_int_equal(run->acquired, 1);
	assert_int_equal(run->released, 1);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	if (run->step < run->n) { /* there is no n-th any more */
		assert_int_equal(run->r, 0);
		return;
	}
	/* Those that end by themselves may be over before, and a later one hears of it. */
	if (run->can_be_held || run->mode == CANCEL_BEFORE) {
		assert_int_equal(run->r, expected);
		assert_int_equal(run->step, run->n);
	} else {
		assert_int_equal(run->r, expected);
		assert_in_range(run->step, run->n, run->n + 5);
	}
}

/* How many waits it has. */
static int disturb_each(enum mode mode, bool is_in_a_task)
{
	struct run run = { .n = 0 };

	do {
		struct sl_context ctx = { 0 };
		int descriptors = count_descriptors();

		run = (struct run){ .mode = mode, .n = run.n + 1, .r = 1 };
		if (is_in_a_task)
			in_a_task(disturb, &run);
		else
			assert_int_equal(disturb(&ctx, &run), 0);
		end_clean();
		is_as_it_should_be(&run);
		assert_int_equal(count_descriptors(), descriptors);
	} while (run.step >= run.n);
	return run.step;
}

#define WAITS 24

static void disturb_all(enum mode mode)
{
	skip_without_pidfds();
	assert_int_equal(disturb_each(mode, false), WAITS);
	assert_int_equal(disturb_each(mode, true), WAITS);
}

static void cancelled_before_any_wait_it_gives_everything_back(void **state)
{
	(void)state;
	disturb_all(CANCEL_BEFORE);
}

static void cancelled_in_any_wait_it_gives_everything_back(void **state)
{
	(void)state;
	disturb_all(CANCEL_WITHIN);
}

static void late_in_any_wait_it_gives_everything_back(void **state)
{
	(void)state;
	disturb_all(DEADLINE);
}

static void failed_by_another_in_any_wait_it_gives_everything_back(void **state)
{
	(void)state;
	disturb_all(FAILURE);
}

/* What the first loop, name and request open for good. */
static int warm_up(void **state)
{
	struct run run = { .mode = FAILURE };
	struct sl_context ctx = { 0 };

	(void)state;
	if (has_pidfds() && (disturb(&ctx, &run) < 0 || run.r < 0))
		return -1;
	loop_end();
	return 0;
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(cancelled_before_any_wait_it_gives_everything_back),
		cmocka_unit_test(cancelled_in_any_wait_it_gives_everything_back),
		cmocka_unit_test(late_in_any_wait_it_gives_everything_back),
		cmocka_unit_test(failed_by_another_in_any_wait_it_gives_everything_back),
	};

	return cmocka_run_group_tests(tests, warm_up, NULL);
}
