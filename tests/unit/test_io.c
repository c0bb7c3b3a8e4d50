/* SPDX-License-Identifier: MIT */
/* Descriptors, sockets, names, blocking calls, other programs: real ones; after each test as many descriptors as before. */
#include "tasks.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

static void make_pipe(int ends[2])
{
	assert_int_equal(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
}

static void make_pair(int ends[2])
{
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
}

static void close_both(const int ends[2])
{
	assert_int_equal(close(ends[0]), 0);
	assert_int_equal(close(ends[1]), 0);
}

/* --- readiness -------------------------------------------------------------------------------------- */

struct waiting {
	int fd;
	short events;
	int64_t deadline;
	int expected;
	int begun, woken;
};

static int wait_for_fd(struct sl_context *ctx, void *arg)
{
	struct waiting *waiting = arg;

	waiting->begun++;
	assert_int_equal(sl_wait_fd(ctx, waiting->fd, waiting->events, waiting->deadline),
		waiting->expected);
	waiting->woken++;
	return 0;
}

static int wait_for_one(struct sl_context *ctx, void *arg)
{
	struct waiting waiting = { .events = POLLIN, .deadline = SL_NEVER };
	struct sl_group group;
	int64_t soon;
	int ends[2];

	void (*make)(int[2]) = *(void (**)(int[2]))arg;

	make(ends);
	waiting.fd = ends[0];
	assert_int_equal(sl_wait_fd(ctx, ends[1], POLLOUT, SL_NEVER), 0);
	soon = in(2 * MS);
	assert_int_equal(sl_wait_fd(ctx, ends[0], POLLIN, soon), -ETIMEDOUT);
	assert_true(sl_now() >= soon);
	sl_group_open(ctx, &group, 0);
	assert_int_equal(sl_group_start(&group, wait_for_fd, &waiting), 0);
	yield_until(ctx, &waiting.begun, 1);
	assert_int_equal(sl_yield(ctx), 0);
	assert_int_equal(waiting.woken, 0);
	assert_int_equal(sl_write(ctx, ends[1], "x", 1, SL_NEVER), 0);
	yield_until(ctx, &waiting.woken, 1);
	/* Nobody has read it: still ready, for the next and for a second round of waits. */
	assert_int_equal(sl_wait_fd(ctx, ends[0], POLLIN, SL_NEVER), 0);
	assert_int_equal(sl_group_close(&group), 0);
	close_both(ends);
	return 0;
}

static void a_wait_ends_when_its_descriptor_is_ready(void **state)
{
	void (*make[2])(int[2]) = { make_pipe, make_pair };

	(void)state;
	both(wait_for_one, &make[0]);
	both(wait_for_one, &make[1]);
}

/* Readers, writers and one that gives up, all for one descriptor. */
static int wait_together(struct sl_context *ctx, void *arg)
{
	struct waiting impatient = { .events = POLLIN, .expected = -ETIMEDOUT };
	struct waiting readers = { .events = POLLIN, .deadline = SL_NEVER };
	struct waiting writers = { .events = POLLOUT, .deadline = SL_NEVER };
	struct waiting all = { .events = POLLIN | POLLOUT, .deadline = SL_NEVER };
	static char data[65536];
	struct sl_group group;
	int ends[2];

	(void)arg;
	make_pair(ends);
	impatient.fd = readers.fd = writers.fd = all.fd = ends[0];
	impatient.deadline = in(2 * MS);
	while (write(ends[0], data, sizeof(data)) > 0)
		; /* full: it cannot be written to */
	sl_group_open(ctx, &group, 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(sl_group_start(&group, wait_for_fd, &writers), 0);
	assert_int_equal(sl_group_start(&group, wait_for_fd, &impatient), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(sl_group_start(&group, wait_for_fd, &readers), 0);
	assert_int_equal(sl_group_start(&group, wait_for_fd, &all), 0);
	yield_until(ctx, &impatient.woken, 1);
	assert_int_equal(writers.woken + readers.woken + all.woken, 0);
	assert_int_equal(sl_write(ctx, ends[1], "x", 1, SL_NEVER), 0);
	yield_until(ctx, &readers.woken, 3);
	yield_until(ctx, &all.woken, 1);
	for (int i = 0; i < 5; i++)
		assert_int_equal(sl_yield(ctx), 0);
	assert_int_equal(writers.woken, 0);
	while (read(ends[1], data, sizeof(data)) > 0)
		;
	yield_until(ctx, &writers.woken, 3);
	assert_int_equal(sl_group_close(&group), 0);
	close_both(ends);
	return 0;
}

static void several_tasks_may_wait_for_one_descriptor(void **state)
{
	(void)state;
	both(wait_together, NULL);
}

static int wait_for_hang_up(struct sl_context *ctx, void *arg)
{
	struct waiting waiting = { .events = POLLIN, .deadline = SL_NEVER };
	struct sl_group group;
	char byte;
	int ends[2];

	(void)arg;
	for (int i = 0; i < 2; i++) {
		if (i == 0)
			make_pipe(ends);
		else
			make_pair(ends);
		waiting = (struct waiting){ .fd = ends[0], .events = POLLIN, .deadline = SL_NEVER };
		sl_group_open(ctx, &group, 0);
		assert_int_equal(sl_group_start(&group, wait_for_fd, &waiting), 0);
		yield_until(ctx, &waiting.begun, 1);
		assert_int_equal(sl_yield(ctx), 0);
		assert_int_equal(waiting.woken, 0);
		(void)close(ends[1]);
		yield_until(ctx, &waiting.woken, 1);
		assert_int_equal(sl_group_close(&group), 0);
		assert_int_equal(sl_wait_fd(ctx, ends[0], POLLIN, SL_NEVER), 0);
		assert_int_equal(sl_read(ctx, ends[0], &byte, 1, SL_NEVER), 0);
		(void)close(ends[0]);
	}
	/* Whoever waits to write hears of it too; no SIGPIPE comes. */
	make_pair(ends);
	while (write(ends[1], "0123456789", 10) > 0)
		;
	waiting = (struct waiting){ .fd = ends[1], .events = POLLOUT, .deadline = SL_NEVER };
	sl_group_open(ctx, &group, 0);
	assert_int_equal(sl_group_start(&group, wait_for_fd, &waiting), 0);
	yield_until(ctx, &waiting.begun, 1);
	(void)close(ends[0]);
	assert_int_equal(sl_group_close(&group), 0);
	assert_int_equal(waiting.woken, 1);
	assert_int_equal(sl_write(ctx, ends[1], "x", 1, SL_NEVER), -EPIPE);
	(void)close(ends[1]);
	return 0;
}

static void a_hang_up_is_ready(void **state)
{
	(void)state;
	both(wait_for_hang_up, NULL);
}

static int wait_for_odd_ones(struct sl_context *ctx, void *arg)
{
	char name[] = "/tmp/sluice-test-io-XXXXXX";
	char text[16] = "";
	int file = mkostemp(name, O_CLOEXEC);
	int ends[2];
	int fd;

	(void)arg;
	assert_true(file >= 0);
	(void)unlink(name);
	assert_int_equal(sl_wait_fd(ctx, file, POLLIN, SL_NEVER), 0);
	assert_int_equal(sl_wait_fd(ctx, file, POLLOUT, SL_NEVER), 0);
	assert_int_equal(sl_write(ctx, file, "on disk", 7, SL_NEVER), 0);
	assert_int_equal(lseek(file, 0, SEEK_SET), 0);
	assert_int_equal(sl_read(ctx, file, text, sizeof(text), SL_NEVER), 7);
	assert_string_equal(text, "on disk");
	assert_int_equal(sl_read(ctx, file, text, sizeof(text), SL_NEVER), 0);
	(void)close(file);

	assert_int_equal(sl_wait_fd(ctx, file, POLLIN, SL_NEVER), -EBADF);
	assert_int_equal(sl_read(ctx, file, text, 1, SL_NEVER), -EBADF);
	assert_int_equal(sl_write(ctx, file, text, 1, SL_NEVER), -EBADF);
	assert_int_equal(sl_accept(ctx, file, SL_NEVER), -EBADF);

	/* A number that was waited for, closed and given to another file is that other file. */
	make_pipe(ends);
	assert_int_equal(sl_wait_fd(ctx, ends[0], POLLIN, in(MS)), -ETIMEDOUT);
	fd = ends[0];
	close_both(ends);
	make_pair(ends);
	assert_true(ends[0] == fd || ends[1] == fd);
	assert_int_equal(sl_wait_fd(ctx, fd, POLLIN, in(MS)), -ETIMEDOUT);
	assert_int_equal(write(ends[fd == ends[0]], "x", 1), 1);
	assert_int_equal(sl_wait_fd(ctx, fd, POLLIN, in(LONG)), 0);
	close_both(ends);
	return 0;
}

static void files_closed_descriptors_and_numbers_used_again(void **state)
{
	(void)state;
	both(wait_for_odd_ones, NULL);
}

/* --- data -------------------------------------------------------------------------------------------- */

#define BULK (10u << 20)

struct bulk {
	int fd;
	unsigned char *data;
	size_t size;
	int64_t delays; /* the reader sleeps that often */
};

static unsigned char byte_at(size_t i)
{
	return (unsigned char)(i * 131 + (i >> 8) * 31 + (i >> 16));
}

static int write_bulk(struct sl_context *ctx, void *arg)
{
	const struct bulk *bulk = arg;
	int r = sl_write(ctx, bulk->fd, bulk->data, bulk->size, SL_NEVER);

	assert_int_equal(shutdown(bulk->fd, SHUT_WR), 0);
	return r;
}

static int read_bulk(struct sl_context *ctx, void *arg)
{
	struct bulk *bulk = arg;
	static unsigned char part[100000];
	size_t size = 0;
	ssize_t n;

	while ((n = sl_read(ctx, bulk->fd, part, sizeof(part), SL_NEVER)) > 0) {
		for (size_t i = 0; i < (size_t)n; i++)
			if (part[i] != byte_at(size + i))
				fail_msg("byte %zu is wrong", size + i);
		size += (size_t)n;
		if (bulk->delays > 0 && bulk->delays--)
			assert_int_equal(sl_sleep_until(ctx, in(MS / 10)), 0);
	}
	assert_int_equal(n, 0);
	assert_int_equal(size, BULK);
	return 0;
}

static int pass_bulk(struct sl_context *ctx, void *arg)
{
	unsigned char *data = malloc(BULK);
	struct bulk reader = { .delays = 10 };
	struct bulk writer = { .data = data, .size = BULK };
	struct sl_group group;
	int ends[2];

	(void)arg;
	assert_non_null(data);
	for (size_t i = 0; i < BULK; i++)
		data[i] = byte_at(i);
	make_pair(ends);
	writer.fd = ends[0];
	reader.fd = ends[1];
	sl_group_open(ctx, &group, 0);
	assert_int_equal(sl_group_start(&group, write_bulk, &writer), 0);
	assert_int_equal(sl_group_start(&group, read_bulk, &reader), 0);
	assert_int_equal(sl_group_close(&group), 0);
	close_both(ends);
	free(data);
	return 0;
}

static void ten_megabytes_go_through_a_socket_unchanged(void **state)
{
	(void)state;
	both(pass_bulk, NULL);
}

static int write_too_much(struct sl_context *ctx, void *arg)
{
	char *data = calloc(1, BULK);
	int64_t soon = in(3 * MS);
	int ends[2];

	(void)arg;
	assert_non_null(data);
	make_pair(ends);
	assert_int_equal(sl_write(ctx, ends[0], data, BULK, soon), -ETIMEDOUT);
	assert_true(sl_now() >= soon);
	close_both(ends);
	free(data);
	return 0;
}

static void a_write_that_nobody_reads_times_out(void **state)
{
	(void)state;
	both(write_too_much, NULL);
}

/* --- connections --------------------------------------------------------------------------------------- */

union address {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_un un;
};

static int listen_at(int family, int backlog, union address *address, socklen_t *ret_size)
{
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	memset(address, 0, sizeof(*address));
	address->any.sa_family = (sa_family_t)family;
	address->in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	*ret_size = family == AF_UNIX ? sizeof(sa_family_t) : sizeof(address->in);
	assert_int_equal(bind(fd, &address->any, *ret_size), 0);
	*ret_size = sizeof(*address);
	assert_int_equal(getsockname(fd, &address->any, ret_size), 0);
	assert_int_equal(listen(fd, backlog), 0);
	return fd;
}

#define CLIENTS 20

struct service {
	union address address;
	socklen_t size;
	int listener;
	int answered;
};

static int answer_one(struct sl_context *ctx, void *arg)
{
	int fd = (int)(intptr_t)arg;
	char text[32];
	ssize_t n;

	while ((n = sl_read(ctx, fd, text, sizeof(text), SL_NEVER)) > 0)
		assert_int_equal(sl_write(ctx, fd, text, (size_t)n, SL_NEVER), 0);
	assert_int_equal(n, 0);
	(void)close(fd);
	return 0;
}

static int serve(struct sl_context *ctx, void *arg)
{
	const struct service *service = arg;
	struct sl_group group;

	sl_group_open(ctx, &group, 0);
	for (int i = 0; i < CLIENTS; i++) {
		int fd = sl_accept(ctx, service->listener, SL_NEVER);

		assert_true(fd >= 0);
		assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
		assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
		assert_int_equal(sl_group_start(&group, answer_one, (void *)(intptr_t)fd), 0);
	}
	return sl_group_close(&group);
}

static int ask(struct sl_context *ctx, void *arg)
{
	struct service *service = arg;
	int fd = sl_connect(ctx, &service->address.any, service->size, SL_NEVER);
	char text[32] = "";

	assert_true(fd >= 0);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(sl_write(ctx, fd, "hello", 5, SL_NEVER), 0);
		for (size_t n = 0; n < 5;) {
			ssize_t r = sl_read(ctx, fd, text + n, 5 - n, SL_NEVER);

			assert_true(r > 0);
			n += (size_t)r;
		}
		assert_string_equal(text, "hello");
	}
	(void)close(fd);
	service->answered++;
	return 0;
}

static int serve_clients(struct sl_context *ctx, void *arg)
{
	int family = *(const int *)arg;
	struct service service = { 0 };
	struct sl_group group;

	/* A short line on a Unix socket: some must come again. (TCP would take seconds for that.) */
	service.listener =
		listen_at(family, family == AF_UNIX ? 2 : CLIENTS, &service.address, &service.size);
	assert_int_equal(sl_accept(ctx, service.listener, in(MS)), -ETIMEDOUT);
	sl_group_open(ctx, &group, 0);
	for (int i = 0; i < CLIENTS; i++)
		assert_int_equal(sl_group_start(&group, ask, &service), 0);
	assert_int_equal(sl_group_start(&group, serve, &service), 0);
	assert_int_equal(sl_group_close(&group), 0);
	assert_int_equal(service.answered, CLIENTS);
	(void)close(service.listener);
	/* Nobody listens any more. */
	assert_int_equal(
		sl_connect(ctx, &service.address.any, service.size, SL_NEVER), -ECONNREFUSED);
	return 0;
}

static void connect_and_accept_over_tcp_and_unix_sockets(void **state)
{
	int families[2] = { AF_INET, AF_UNIX };

	(void)state;
	both(serve_clients, &families[0]);
	both(serve_clients, &families[1]);
}

static int connect_to_a_full_one(struct sl_context *ctx, void *arg)
{
	union address address;
	socklen_t size;
	int listener = listen_at(AF_UNIX, 0, &address, &size);
	int fds[8];
	int count = 0, fd = 0;
	int64_t soon;

	(void)arg;
	while (count < 8 && (fd = sl_connect(ctx, &address.any, size, 0)) >= 0)
		fds[count++] = fd;
	assert_in_range(count, 1, 7);
	assert_int_equal(fd, -ETIMEDOUT);
	soon = in(2 * MS);
	assert_int_equal(sl_connect(ctx, &address.any, size, soon), -ETIMEDOUT);
	assert_true(sl_now() >= soon);
	while (count > 0)
		(void)close(fds[--count]);
	(void)close(listener);
	return 0;
}

static void a_listener_that_does_not_accept_lets_connect_time_out(void **state)
{
	(void)state;
	both(connect_to_a_full_one, NULL);
}

/* --- names --------------------------------------------------------------------------------------------- */

static int resolve_names(struct sl_context *ctx, void *arg)
{
	const struct addrinfo hints = { .ai_family = AF_INET, .ai_socktype = SOCK_STREAM };
	struct addrinfo *list = NULL;
	char too_long[2000];
	int r;

	(void)arg;
	r = sl_resolve(ctx, "localhost", "80", &hints, SL_NEVER, &list);
	assert_int_equal(r, 0);
	assert_non_null(list);
	assert_int_equal(list->ai_family, AF_INET);
	assert_int_equal(
		((struct sockaddr_in *)list->ai_addr)->sin_addr.s_addr, htonl(INADDR_LOOPBACK));
	assert_int_equal(((struct sockaddr_in *)list->ai_addr)->sin_port, htons(80));
	freeaddrinfo(list);
	list = NULL;
	r = sl_resolve(ctx, "127.0.0.1", NULL, NULL, SL_NEVER, &list);
	assert_int_equal(r, 0);
	assert_non_null(list);
	freeaddrinfo(list);

	/* Names that cannot be, so that no name server is asked. */
	list = NULL;
	memset(too_long, 'a', sizeof(too_long) - 1);
	too_long[sizeof(too_long) - 1] = '\0';
	assert_int_equal(sl_resolve(ctx, too_long, NULL, &hints, SL_NEVER, &list), -ENOENT);
	assert_int_equal(sl_resolve(ctx, "256.1.1.1.", NULL,
				 &(struct addrinfo){ .ai_flags = AI_NUMERICHOST }, SL_NEVER, &list),
		-ENOENT);
	assert_null(list);
	return 0;
}

static int give_up_resolving(struct sl_context *ctx, void *arg)
{
	struct addrinfo *list = NULL;

	(void)arg;
	for (int i = 0; i < 10; i++) {
		int r = sl_resolve(ctx, "localhost", NULL, NULL, 0, &list);

		/* It was so fast that the one look saw the answer, or it goes on alone. */
		assert_true(r == -ETIMEDOUT || r == 0);
		if (r == 0)
			freeaddrinfo(list);
	}
	return 0;
}

static void names_are_resolved_or_not(void **state)
{
	(void)state;
	both(resolve_names, NULL);
	both(give_up_resolving, NULL);
}

/* --- blocking calls -------------------------------------------------------------------------------------- */

#define POOL 4

struct call {
	pid_t thread;
	int number;
	atomic_int *running, *most, *called;
	struct hold *hold;
	int64_t deadline;
	int r;
};

/* Calls that have begun wait here until they are told to go on. */
struct hold {
	pthread_mutex_t guard;
	pthread_cond_t changed;
	bool is_open;
	int begun;
};

static int be_held(void *arg)
{
	struct hold *hold = arg;

	(void)pthread_mutex_lock(&hold->guard);
	hold->begun++;
	while (!hold->is_open)
		(void)pthread_cond_wait(&hold->changed, &hold->guard);
	(void)pthread_mutex_unlock(&hold->guard);
	return 42;
}

static int begun_of(struct hold *hold)
{
	int begun;

	(void)pthread_mutex_lock(&hold->guard);
	begun = hold->begun;
	(void)pthread_mutex_unlock(&hold->guard);
	return begun;
}

static void let_go(struct hold *hold)
{
	(void)pthread_mutex_lock(&hold->guard);
	hold->is_open = true;
	(void)pthread_cond_broadcast(&hold->changed);
	(void)pthread_mutex_unlock(&hold->guard);
}

static int note_thread(void *arg)
{
	struct call *call = arg;
	int running = atomic_fetch_add(call->running, 1) + 1;
	int most = atomic_load(call->most);

	while (most < running && !atomic_compare_exchange_weak(call->most, &most, running))
		;
	call->thread = (pid_t)syscall(SYS_gettid);
	(void)poll(NULL, 0, 1); /* a call that blocks */
	(void)atomic_fetch_sub(call->running, 1);
	(void)atomic_fetch_add(call->called, 1);
	return call->number % 2 ? -call->number : call->number;
}

static int offload_one(struct sl_context *ctx, void *arg)
{
	struct call *call = arg;

	call->r = sl_offload(ctx, note_thread, call, SL_NEVER);
	return 0;
}

static int offload_many(struct sl_context *ctx, void *arg)
{
	struct call calls[10 * POOL] = { { 0 } };
	atomic_int running = 0, most = 0, called = 0;
	struct sl_group group;
	pid_t own = (pid_t)syscall(SYS_gettid);

	(void)arg;
	sl_group_open(ctx, &group, 0);
	for (int i = 0; i < 10 * POOL; i++) {
		calls[i] = (struct call){
			.number = i, .running = &running, .most = &most, .called = &called
		};
		assert_int_equal(sl_group_start(&group, offload_one, &calls[i]), 0);
	}
	assert_int_equal(sl_group_close(&group), 0);
	assert_int_equal(atomic_load(&called), 10 * POOL);
	assert_in_range(atomic_load(&most), 1, POOL);
	for (int i = 0; i < 10 * POOL; i++) {
		assert_int_equal(calls[i].r, i % 2 ? -i : i);
		assert_int_not_equal(calls[i].thread, own);
		assert_int_not_equal(calls[i].thread, 0);
	}
	return 0;
}

static void blocking_calls_run_on_other_threads(void **state)
{
	(void)state;
	both(offload_many, NULL);
}

static int offload_held(struct sl_context *ctx, void *arg)
{
	struct call *call = arg;

	call->r = sl_offload(ctx, be_held, call->hold, call->deadline);
	return 0;
}

static atomic_int never;

static int count_never(void *arg)
{
	(void)atomic_fetch_add(&never, 1);
	return *(const int *)arg;
}

static int offload_never(struct sl_context *ctx, void *arg)
{
	struct call *call = arg;

	call->r = sl_offload(ctx, count_never, &call->number, call->deadline);
	return 0;
}

/* All threads of the pool are held; then some calls are taken back by a deadline, others by a cancel. */
static int take_back(struct sl_context *ctx, void *arg)
{
	struct hold hold = { .guard = PTHREAD_MUTEX_INITIALIZER,
		.changed = PTHREAD_COND_INITIALIZER };
	struct call held[POOL], late[3], canceled[3];
	struct sl_group outer, inner;
	int64_t limit = in(LONG);

	(void)arg;
	atomic_store(&never, 0);
	sl_group_open(ctx, &outer, 0);
	for (int i = 0; i < POOL; i++) {
		/* These have begun, so their deadline does not matter. */
		held[i] = (struct call){ .hold = &hold, .deadline = in(MS), .r = 1 };
		assert_int_equal(sl_group_start(&outer, offload_held, &held[i]), 0);
	}
	while (begun_of(&hold) < POOL) {
		assert_int_equal(sl_sleep_until(ctx, in(MS / 2)), 0);
		assert_true(sl_now() < limit);
		/* On a slow machine one may have been taken back before it began: then another one is held. */
		for (int i = 0; i < POOL; i++) {
			if (held[i].r != -ETIMEDOUT)
				continue;
			held[i] = (struct call){ .hold = &hold, .deadline = in(50 * MS), .r = 1 };
			assert_int_equal(sl_group_start(&outer, offload_held, &held[i]), 0);
		}
	}
	sl_group_open(ctx, &inner, 0);
	for (int i = 0; i < 3; i++) {
		canceled[i] = (struct call){ .deadline = SL_NEVER, .r = 1 };
		assert_int_equal(sl_group_start(&inner, offload_never, &canceled[i]), 0);
		late[i] = (struct call){ .deadline = i == 0 ? 0 : in(2 * MS), .r = 1 };
		assert_int_equal(sl_group_start(&outer, offload_never, &late[i]), 0);
	}
	assert_int_equal(sl_yield(ctx), 0);
	sl_group_cancel(&inner);
	assert_int_equal(sl_group_close(&inner), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(canceled[i].r, -ECANCELED);
	for (int i = 0; i < 3; i++)
		while (late[i].r == 1) {
			assert_int_equal(sl_sleep_until(ctx, in(MS)), 0);
			assert_true(sl_now() < limit);
		}
	for (int i = 0; i < POOL; i++)
		assert_int_equal(held[i].r, 1);
	let_go(&hold);
	assert_int_equal(sl_group_close(&outer), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(late[i].r, -ETIMEDOUT);
	for (int i = 0; i < POOL; i++)
		assert_int_equal(held[i].r, 42);
	assert_int_equal(atomic_load(&never), 0);
	return 0;
}

static void a_call_that_has_not_begun_is_taken_back(void **state)
{
	(void)state;
	both(take_back, NULL);
}

/* --- other programs ------------------------------------------------------------------------------------------ */

static void has_no_child(void)
{
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

static struct sl_child spawn(struct sl_context *ctx, const char *script, unsigned pipes)
{
	const char *const argv[] = { "sh", "-c", script, NULL };
	const struct sl_program program = { .argv = argv, .pipes = pipes };
	struct sl_child child;

	assert_int_equal(sl_spawn(ctx, &program, &child), 0);
	assert_true(child.pid > 0 && child.pidfd >= 0);
	assert_int_equal(child.in >= 0, (pipes & SL_PIPE_IN) != 0);
	assert_int_equal(child.out >= 0, (pipes & SL_PIPE_OUT) != 0);
	assert_int_equal(child.err >= 0, (pipes & SL_PIPE_ERR) != 0);
	return child;
}

/* All that comes until the end, as a string. */
static size_t read_all(struct sl_context *ctx, int fd, char *text, size_t room)
{
	size_t size = 0;
	ssize_t n;

	while (size < room - 1 &&
		(n = sl_read(ctx, fd, text + size, room - 1 - size, SL_NEVER)) > 0)
		size += (size_t)n;
	text[size] = '\0';
	return size;
}

static int run_programs(struct sl_context *ctx, void *arg)
{
	struct sl_child child;
	char text[256];
	int status = -1;

	(void)arg;
	child = spawn(ctx, "cat; echo to err >&2; exit 3", SL_PIPE_IN | SL_PIPE_OUT | SL_PIPE_ERR);
	assert_int_equal(sl_child_wait(ctx, &child, in(2 * MS), &status), -ETIMEDOUT);
	assert_int_equal(sl_write(ctx, child.in, "to in", 5, SL_NEVER), 0);
	(void)close(child.in);
	child.in = -1;
	(void)read_all(ctx, child.out, text, sizeof(text));
	assert_string_equal(text, "to in");
	(void)read_all(ctx, child.err, text, sizeof(text));
	assert_string_equal(text, "to err\n");
	for (int i = 0; i < 2; i++) {
		assert_int_equal(sl_child_wait(ctx, &child, SL_NEVER, &status), 0);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), 3);
	}
	assert_int_equal(sl_child_end(ctx, &child, 0), status);
	has_no_child();

	child = spawn(ctx, "kill -USR1 $$", 0);
	assert_int_equal(sl_child_wait(ctx, &child, SL_NEVER, &status), 0);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGUSR1);
	assert_int_equal(sl_child_end(ctx, &child, 0), status);

	/* No pipe: /dev/null. */
	child = spawn(ctx, "test -z \"$(cat)\" && test -c /proc/self/fd/1 && exit 5", 0);
	assert_int_equal(WEXITSTATUS(sl_child_end(ctx, &child, LONG)), 5);
	has_no_child();
	return 0;
}

static void a_program_has_pipes_and_a_status(void **state)
{
	(void)state;
	skip_without_pidfds();
	both(run_programs, NULL);
}

static int give_folder_and_environment(struct sl_context *ctx, void *arg)
{
	const char *const argv[] = { "sh", "-c", "pwd; echo $SLUICE_A-$SLUICE_B", NULL };
	const char *const environment[] = { "SLUICE_A=new", NULL };
	const struct sl_program program = {
		.argv = argv, .environment = environment, .folder = "/", .pipes = SL_PIPE_OUT
	};
	struct sl_child child;
	char text[256];

	(void)arg;
	assert_int_equal(setenv("SLUICE_A", "old", 1), 0);
	assert_int_equal(setenv("SLUICE_B", "kept", 1), 0);
	assert_int_equal(sl_spawn(ctx, &program, &child), 0);
	(void)read_all(ctx, child.out, text, sizeof(text));
	assert_string_equal(text, "/\nnew-kept\n");
	assert_int_equal(sl_child_end(ctx, &child, LONG), 0);
	return 0;
}

static void a_program_has_a_folder_and_an_environment(void **state)
{
	(void)state;
	skip_without_pidfds();
	both(give_folder_and_environment, NULL);
}

static int spawn_nothing(struct sl_context *ctx, void *arg)
{
	const char *const argv[] = { "no-such-program-anywhere", NULL };
	const char *const folder[] = { "/", NULL };
	const char *const good[] = { "true", NULL };
	struct sl_program program = { .argv = argv,
		.pipes = SL_PIPE_IN | SL_PIPE_OUT | SL_PIPE_ERR };
	struct sl_child child;

	(void)arg;
	assert_int_equal(sl_spawn(ctx, &program, &child), -ENOENT);
	program.argv = folder;
	assert_int_equal(sl_spawn(ctx, &program, &child), -EACCES);
	program.argv = good;
	program.folder = "/no/such/folder";
	assert_int_equal(sl_spawn(ctx, &program, &child), -ENOENT);
	has_no_child();
	return 0;
}

static void a_program_that_is_not_there_is_enoent(void **state)
{
	(void)state;
	skip_without_pidfds();
	both(spawn_nothing, NULL);
}

#define ECHOED (1u << 20)

struct echo {
	struct sl_child child;
	unsigned char *data;
};

static int feed(struct sl_context *ctx, void *arg)
{
	struct echo *echo = arg;
	int r = sl_write(ctx, echo->child.in, echo->data, ECHOED, SL_NEVER);

	(void)close(echo->child.in);
	echo->child.in = -1;
	return r;
}

static int echo_a_megabyte(struct sl_context *ctx, void *arg)
{
	struct echo echo = { .data = malloc(ECHOED) };
	char *back = malloc(ECHOED + 2);
	struct sl_group group;

	(void)arg;
	assert_true(echo.data && back);
	for (size_t i = 0; i < ECHOED; i++)
		echo.data[i] = byte_at(i);
	echo.child = spawn(ctx, "exec cat", SL_PIPE_IN | SL_PIPE_OUT);
	sl_group_open(ctx, &group, 0);
	assert_int_equal(sl_group_start(&group, feed, &echo), 0);
	assert_int_equal(read_all(ctx, echo.child.out, back, ECHOED + 2), ECHOED);
	assert_int_equal(sl_group_close(&group), 0);
	assert_memory_equal(echo.data, back, ECHOED);
	assert_int_equal(sl_child_end(ctx, &echo.child, LONG), 0);
	free(echo.data);
	free(back);
	return 0;
}

static void cat_echoes_a_megabyte(void **state)
{
	(void)state;
	skip_without_pidfds();
	both(echo_a_megabyte, NULL);
}

/* It has said that it ignores SIGTERM before it is ended; what it started itself ends with it. */
static int end_the_stubborn(struct sl_context *ctx, void *arg)
{
	struct sl_child child = spawn(ctx,
		"trap '' TERM; sleep 1000 </dev/null >/dev/null 2>&1 & echo $!; while :; do sleep "
		"1000; done",
		SL_PIPE_OUT);
	int64_t begin;
	char text[32] = "";
	pid_t grandchild;
	int status;

	(void)arg;
	assert_true(sl_read(ctx, child.out, text, sizeof(text) - 1, SL_NEVER) > 1);
	grandchild = (pid_t)strtol(text, NULL, 10);
	assert_true(grandchild > 1);
	begin = sl_now();
	status = sl_child_end(ctx, &child, 5 * MS);
	assert_true(sl_now() - begin >= 10 * MS);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGKILL);
	/* It is not ours to reap; a zombie of init's at most. */
	begin = sl_now();
	for (;;) {
		char path[64], line[256] = "";
		FILE *file;
		const char *end;

		(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)grandchild);
		file = fopen(path, "re");
		if (!file)
			break;
		(void)!fread(line, 1, sizeof(line) - 1, file);
		(void)fclose(file);
		end = strrchr(line, ')');
		if (!end || end[2] == 'Z' || end[2] == 'X')
			break;
		assert_true(sl_now() - begin < LONG);
		assert_int_equal(sl_sleep_until(ctx, in(MS)), 0);
	}

	/* One that hears SIGTERM has time to say goodbye. */
	child = spawn(ctx,
		"exec 2>/dev/null; trap 'exit 9' TERM; echo ready; while :; do sleep 0.01; done",
		SL_PIPE_OUT | SL_PIPE_IN);
	assert_true(sl_read(ctx, child.out, text, sizeof(text), SL_NEVER) > 1);
	(void)close(child.out);
	child.out = -1;
	begin = sl_now();
	{
		/* Its grace before SIGTERM is short, and behind it long: a scope may not cut it. */
		struct sl_scope scope;

		sl_scope_open(ctx, &scope, 0, 0);
		status = sl_child_end(ctx, &child, 500 * MS);
		assert_int_equal(sl_scope_close(ctx, &scope), -ETIMEDOUT);
	}
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 9);
	has_no_child();
	return 0;
}

static void who_ignores_sigterm_is_killed(void **state)
{
	(void)state;
	skip_without_pidfds();
	both(end_the_stubborn, NULL);
}

struct nanny {
	int is_waiting, is_over;
	int status;
};

static int mind_a_child(struct sl_context *ctx, void *arg)
{
	struct nanny *nanny = arg;
	struct sl_child child = spawn(ctx, "exec sleep 1000", SL_PIPE_IN | SL_PIPE_OUT);
	int r;

	nanny->is_waiting = 1;
	r = sl_child_wait(ctx, &child, SL_NEVER, &nanny->status);
	assert_int_equal(r, -ECANCELED);
	assert_int_equal(sl_read(ctx, child.out, &nanny->status, 1, SL_NEVER), -ECANCELED);
	nanny->status = sl_child_end(ctx, &child, 2 * MS);
	nanny->is_over = 1;
	assert_int_equal(child.pidfd, -1);
	return r;
}

static int cancel_a_nanny(struct sl_context *ctx, void *arg)
{
	struct nanny nanny = { 0 };
	struct sl_group group;

	(void)arg;
	sl_group_open(ctx, &group, 0);
	assert_int_equal(sl_group_start(&group, mind_a_child, &nanny), 0);
	yield_until(ctx, &nanny.is_waiting, 1);
	assert_int_equal(sl_yield(ctx), 0);
	sl_group_cancel(&group);
	assert_int_equal(sl_group_close(&group), -ECANCELED);
	assert_int_equal(nanny.is_over, 1);
	assert_true(WIFSIGNALED(nanny.status));
	assert_int_equal(WTERMSIG(nanny.status), SIGTERM);
	has_no_child();
	return 0;
}

static void a_cancel_takes_the_child_along(void **state)
{
	(void)state;
	skip_without_pidfds();
	both(cancel_a_nanny, NULL);
}

/* --- every test here leaves as many descriptors as it found ---------------------------------------------------- */

static int descriptors;

static int count_before(void **state)
{
	(void)state;
	descriptors = count_descriptors();
	return 0;
}

static int count_after(void **state)
{
	int now = count_descriptors();

	(void)state;
	if (now != descriptors)
		print_error("descriptors: %d before, %d after\n", descriptors, now);
	return now == descriptors ? 0 : -1;
}

/* What a first loop and a first name open for good. */
static int warm_up(void **state)
{
	struct sl_context ctx = { 0 };
	struct addrinfo *list;

	(void)state;
	if (sl_resolve(&ctx, "localhost", NULL, NULL, SL_NEVER, &list) == 0)
		freeaddrinfo(list);
	loop_end();
	return 0;
}

#define COUNTED(name) cmocka_unit_test_setup_teardown(name, count_before, count_after)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		COUNTED(a_wait_ends_when_its_descriptor_is_ready),
		COUNTED(several_tasks_may_wait_for_one_descriptor),
		COUNTED(a_hang_up_is_ready),
		COUNTED(files_closed_descriptors_and_numbers_used_again),
		COUNTED(ten_megabytes_go_through_a_socket_unchanged),
		COUNTED(a_write_that_nobody_reads_times_out),
		COUNTED(connect_and_accept_over_tcp_and_unix_sockets),
		COUNTED(a_listener_that_does_not_accept_lets_connect_time_out),
		COUNTED(names_are_resolved_or_not),
		COUNTED(blocking_calls_run_on_other_threads),
		COUNTED(a_call_that_has_not_begun_is_taken_back),
		COUNTED(a_program_has_pipes_and_a_status),
		COUNTED(a_program_has_a_folder_and_an_environment),
		COUNTED(a_program_that_is_not_there_is_enoent),
		COUNTED(cat_echoes_a_megabyte),
		COUNTED(who_ignores_sigterm_is_killed),
		COUNTED(a_cancel_takes_the_child_along),
	};

	return cmocka_run_group_tests(tests, warm_up, NULL);
}
