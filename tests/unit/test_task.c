/* SPDX-License-Identifier: MIT */
/* A task's life: its sleeps, turns, scopes, its stack, what a cancel does, and how a fault of stage code ends. */
#include "tasks.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#ifdef HAVE_VALGRIND
#include <valgrind/valgrind.h>
#else
#define RUNNING_ON_VALGRIND 0
#endif

static bool has_tools(void)
{
	return switch_is_sanitized || RUNNING_ON_VALGRIND;
}

/* --- time --------------------------------------------------------------------------------------- */

#define SLEEPERS 60

static struct sleepers {
	int64_t base;
	int parked;
	int order[SLEEPERS];
	int ended;
} sleepers;

static int sleep_for_number(struct sl_context *ctx, void *arg)
{
	int number = (int)(intptr_t)arg;
	int64_t due = sleepers.base + (number * 37 % SLEEPERS) * MS / 4;

	sleepers.parked++;
	assert_int_equal(sl_sleep_until(ctx, due), 0);
	assert_true(sl_now() >= due);
	sleepers.order[sleepers.ended++] = number * 37 % SLEEPERS;
	return 0;
}

/* True unless the machine stood still for so long that the first was due before the last slept. */
static bool all_sleep_in_time(struct sl_context *ctx)
{
	struct sl_group group;
	bool is_in_time;

	sleepers = (struct sleepers){ .base = in(50 * MS) };
	sl_group_open(ctx, &group, 0);
	for (intptr_t i = 0; i < SLEEPERS; i++)
		assert_int_equal(sl_group_start(&group, sleep_for_number, (void *)i), 0);
	assert_int_equal(sl_yield(ctx), 0);
	is_in_time = sleepers.parked == SLEEPERS && sl_now() < sleepers.base;
	assert_int_equal(sl_group_close(&group), 0);
	return is_in_time;
}

static int sleep_in_order(struct sl_context *ctx, void *arg)
{
	int tries = 20;

	(void)arg;
	while (!all_sleep_in_time(ctx))
		assert_true(--tries > 0);
	assert_int_equal(sleepers.ended, SLEEPERS);
	for (int i = 0; i < SLEEPERS; i++)
		assert_int_equal(sleepers.order[i], i);
	return 0;
}

static void sleepers_wake_in_the_order_of_their_deadlines_and_never_early(void **state)
{
	(void)state;
	both(sleep_in_order, NULL);
}

/* --- turns -------------------------------------------------------------------------------------- */

static int turns[32];
static int turn_count;

static int take_turns(struct sl_context *ctx, void *arg)
{
	for (int i = 0; i < 5; i++) {
		turns[turn_count++] = (int)(intptr_t)arg;
		assert_int_equal(sl_yield(ctx), 0);
	}
	return 0;
}

static int yield_in_turns(struct sl_context *ctx, void *arg)
{
	struct sl_group group;

	(void)arg;
	turn_count = 0;
	sl_group_open(ctx, &group, 0);
	for (intptr_t i = 0; i < 4; i++)
		assert_int_equal(sl_group_start(&group, take_turns, (void *)i), 0);
	assert_int_equal(turn_count, 0);
	assert_int_equal(sl_group_close(&group), 0);
	assert_int_equal(turn_count, 20);
	for (int i = 0; i < 20; i++)
		assert_int_equal(turns[i], i % 4);
	return 0;
}

static void yields_go_round(void **state)
{
	(void)state;
	both(yield_in_turns, NULL);
}

/* What a greedy task may do without ever waiting; all of them are at hand. */
struct greedy {
	struct sl_sem sem;
	struct sl_lock lock;
	struct sl_event event;
	struct sl_channel *channel;
	int zero, null, idle[2], listener;
	struct sockaddr_un address;
	socklen_t address_size;
	int done;
	int yields;
	int64_t late;
};

static int open_unix_listener(struct sockaddr_un *address, socklen_t *ret_size)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	*ret_size = sizeof(address->sun_family);
	/* The kernel chooses an abstract name. */
	assert_int_equal(bind(fd, (struct sockaddr *)address, *ret_size), 0);
	*ret_size = sizeof(*address);
	assert_int_equal(getsockname(fd, (struct sockaddr *)address, ret_size), 0);
	assert_int_equal(listen(fd, 64), 0);
	return fd;
}

typedef void greedy_fn(struct sl_context *ctx, struct greedy *all);

static void yield_greedily(struct sl_context *ctx, struct greedy *all)
{
	(void)all;
	assert_int_equal(sl_yield(ctx), 0);
}

static void sleep_greedily(struct sl_context *ctx, struct greedy *all)
{
	(void)all;
	assert_int_equal(sl_sleep_until(ctx, 0), 0);
}

static void take_greedily(struct sl_context *ctx, struct greedy *all)
{
	assert_int_equal(sl_sem_take(ctx, &all->sem, SL_NEVER), 0);
	sl_sem_give(&all->sem);
}

static void lock_greedily(struct sl_context *ctx, struct greedy *all)
{
	assert_int_equal(sl_lock_take(ctx, &all->lock, SL_NEVER), 0);
	sl_lock_give(ctx, &all->lock);
}

static void see_event_greedily(struct sl_context *ctx, struct greedy *all)
{
	assert_int_equal(sl_event_wait(ctx, &all->event, SL_NEVER), 0);
}

static void send_greedily(struct sl_context *ctx, struct greedy *all)
{
	void *item;

	assert_int_equal(sl_channel_send(ctx, all->channel, all, SL_NEVER), 0);
	assert_int_equal(sl_channel_receive(ctx, all->channel, SL_NEVER, &item), 0);
}

static void receive_from_closed_greedily(struct sl_context *ctx, struct greedy *all)
{
	void *item;

	sl_channel_close(all->channel);
	assert_int_equal(sl_channel_receive(ctx, all->channel, SL_NEVER, &item), -EPIPE);
}

static void read_greedily(struct sl_context *ctx, struct greedy *all)
{
	char text[64];

	assert_int_equal(sl_read(ctx, all->zero, text, sizeof(text), SL_NEVER), sizeof(text));
}

static void write_greedily(struct sl_context *ctx, struct greedy *all)
{
	assert_int_equal(sl_write(ctx, all->null, "text", 4, SL_NEVER), 0);
}

static void wait_fd_greedily(struct sl_context *ctx, struct greedy *all)
{
	assert_int_equal(sl_wait_fd(ctx, all->zero, POLLIN, SL_NEVER), 0);
}

static void time_out_greedily(struct sl_context *ctx, struct greedy *all)
{
	assert_int_equal(sl_wait_fd(ctx, all->idle[0], POLLIN, 0), -ETIMEDOUT);
}

static void accept_greedily(struct sl_context *ctx, struct greedy *all)
{
	int fd = sl_connect(
		ctx, (struct sockaddr *)&all->address, (uint32_t)all->address_size, SL_NEVER);
	int accepted = sl_accept(ctx, all->listener, SL_NEVER);

	assert_true(fd >= 0 && accepted >= 0);
	(void)close(fd);
	(void)close(accepted);
}

static greedy_fn *const greedy_kinds[] = { yield_greedily, sleep_greedily, take_greedily,
	lock_greedily, see_event_greedily, send_greedily, receive_from_closed_greedily,
	read_greedily, write_greedily, wait_fd_greedily, time_out_greedily, accept_greedily };

struct greed {
	struct greedy *all;
	greedy_fn *fn;
};

static int be_greedy(struct sl_context *ctx, void *arg)
{
	const struct greed *greed = arg;

	while (greed->all->done < 3) {
		greed->fn(ctx, greed->all);
		if (sl_now() > greed->all->late)
			fail_msg("greedy kind %p: only %d of 3 others went on", (void *)greed->fn,
				greed->all->done);
	}
	return 0;
}

static int sleep_beside(struct sl_context *ctx, void *arg)
{
	struct greedy *all = arg;

	assert_int_equal(sl_sleep_until(ctx, in(2 * MS)), 0);
	all->done++;
	return 0;
}

static int wait_beside(struct sl_context *ctx, void *arg)
{
	struct greedy *all = arg;
	char byte;

	assert_int_equal(sl_read(ctx, all->idle[0], &byte, 1, SL_NEVER), 1);
	all->done++;
	return 0;
}

static int run_beside(struct sl_context *ctx, void *arg)
{
	struct greedy *all = arg;

	for (int i = 0; i < 20; i++)
		assert_int_equal(sl_yield(ctx), 0);
	/* Another kind of descriptor than the loop's own: only a look at the descriptors sees it. */
	assert_int_equal(write(all->idle[1], "x", 1), 1);
	all->done++;
	return 0;
}

static int be_greedy_beside_others(struct sl_context *ctx, void *arg)
{
	struct greed *greed = arg;
	struct sl_group group;

	greed->all->done = 0;
	greed->all->late = in(5 * SL_SECOND);
	sl_group_open(ctx, &group, 0);
	assert_int_equal(sl_group_start(&group, be_greedy, greed), 0);
	assert_int_equal(sl_group_start(&group, sleep_beside, greed->all), 0);
	if (greed->fn == time_out_greedily) /* its descriptor must stay idle */
		greed->all->done++;
	else
		assert_int_equal(sl_group_start(&group, wait_beside, greed->all), 0);
	if (greed->fn == time_out_greedily)
		assert_int_equal(sl_group_start(&group, sleep_beside, greed->all), 0);
	else
		assert_int_equal(sl_group_start(&group, run_beside, greed->all), 0);
	assert_int_equal(sl_group_close(&group), 0);
	return 0;
}

static void who_never_waits_starves_nobody(void **state)
{
	struct greedy all = { .zero = open("/dev/zero", O_RDONLY | O_CLOEXEC),
		.null = open("/dev/null", O_WRONLY | O_CLOEXEC) };

	(void)state;
	assert_true(all.zero >= 0 && all.null >= 0);
	assert_int_equal(pipe2(all.idle, O_NONBLOCK | O_CLOEXEC), 0);
	sl_sem_init(&all.sem, 1);
	sl_lock_init(&all.lock);
	sl_event_init(&all.event);
	sl_event_set(&all.event);
	all.listener = open_unix_listener(&all.address, &all.address_size);
	for (size_t i = 0; i < sizeof(greedy_kinds) / sizeof(greedy_kinds[0]); i++) {
		struct greed greed = { &all, greedy_kinds[i] };

		all.channel = sl_channel_new(1);
		assert_non_null(all.channel);
		both(be_greedy_beside_others, &greed);
		sl_channel_free(all.channel);
	}
	(void)close(all.zero);
	(void)close(all.null);
	(void)close(all.idle[0]);
	(void)close(all.idle[1]);
	(void)close(all.listener);
}

/* --- deadlines and scopes ----------------------------------------------------------------------- */

static int try_once(struct sl_context *ctx, void *arg)
{
	struct sockaddr_un address;
	socklen_t size;
	int listener = open_unix_listener(&address, &size);
	struct sl_channel *channel = sl_channel_new(1);
	struct sl_sem sem;
	struct sl_lock lock;
	struct sl_event event;
	int ends[2], client, server;
	char byte;
	void *item = NULL;

	(void)arg;
	assert_int_equal(sl_sleep_until(ctx, 0), 0);

	sl_sem_init(&sem, 1);
	assert_int_equal(sl_sem_take(ctx, &sem, 0), 0);
	assert_int_equal(sl_sem_take(ctx, &sem, 0), -ETIMEDOUT);
	sl_sem_give(&sem);
	assert_int_equal(sl_sem_take(ctx, &sem, in(-SL_SECOND)), 0);

	sl_lock_init(&lock);
	assert_int_equal(sl_lock_take(ctx, &lock, 0), 0);
	sl_lock_give(ctx, &lock);

	sl_event_init(&event);
	assert_int_equal(sl_event_wait(ctx, &event, 0), -ETIMEDOUT);
	sl_event_set(&event);
	assert_int_equal(sl_event_wait(ctx, &event, 0), 0);

	assert_int_equal(sl_channel_receive(ctx, channel, 0, &item), -ETIMEDOUT);
	assert_int_equal(sl_channel_send(ctx, channel, &sem, 0), 0);
	assert_int_equal(sl_channel_send(ctx, channel, &lock, 0), -ETIMEDOUT);
	assert_int_equal(sl_channel_receive(ctx, channel, 0, &item), 0);
	assert_ptr_equal(item, &sem);
	assert_int_equal(sl_channel_receive(ctx, channel, 0, &item), -ETIMEDOUT);
	sl_channel_free(channel);

	assert_int_equal(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
	assert_int_equal(sl_wait_fd(ctx, ends[0], POLLIN, 0), -ETIMEDOUT);
	assert_int_equal(sl_read(ctx, ends[0], &byte, 1, 0), -ETIMEDOUT);
	assert_int_equal(sl_write(ctx, ends[1], "x", 1, 0), 0);
	assert_int_equal(sl_wait_fd(ctx, ends[0], POLLIN, 0), 0);
	assert_int_equal(sl_read(ctx, ends[0], &byte, 1, 0), 1);
	(void)close(ends[0]);
	(void)close(ends[1]);

	assert_int_equal(sl_accept(ctx, listener, 0), -ETIMEDOUT);
	client = sl_connect(ctx, (struct sockaddr *)&address, size, 0);
	assert_true(client >= 0);
	server = sl_accept(ctx, listener, 0);
	assert_true(server >= 0);
	(void)close(client);
	(void)close(server);
	(void)close(listener);
	return 0;
}

static void a_deadline_in_the_past_tries_once(void **state)
{
	(void)state;
	both(try_once, NULL);
}

static int nest_scopes(struct sl_context *ctx, void *arg)
{
	struct sl_scope outer, inner;
	int64_t soon;

	(void)arg;
	/* The inner one is earlier. */
	sl_scope_open(ctx, &outer, in(LONG), 0);
	soon = in(3 * MS);
	sl_scope_open(ctx, &inner, soon, 0);
	assert_int_equal(sl_sleep_until(ctx, in(LONG)), -ETIMEDOUT);
	assert_true(sl_now() >= soon);
	assert_int_equal(sl_scope_close(ctx, &inner), -ETIMEDOUT);
	assert_int_equal(sl_sleep_until(ctx, in(MS)), 0);
	assert_int_equal(sl_scope_close(ctx, &outer), 0);

	/* The outer one is. */
	soon = in(3 * MS);
	sl_scope_open(ctx, &outer, soon, 0);
	sl_scope_open(ctx, &inner, in(LONG), 0);
	assert_int_equal(sl_sleep_until(ctx, SL_NEVER), -ETIMEDOUT);
	assert_true(sl_now() >= soon);
	assert_int_equal(sl_scope_close(ctx, &inner), 0);
	assert_int_equal(sl_sleep_until(ctx, SL_NEVER), -ETIMEDOUT);
	assert_int_equal(sl_scope_close(ctx, &outer), -ETIMEDOUT);

	/* A call's own deadline within both. */
	sl_scope_open(ctx, &outer, in(LONG), 0);
	assert_int_equal(sl_sleep_until(ctx, in(MS)), 0);
	assert_int_equal(sl_scope_close(ctx, &outer), 0);
	return 0;
}

static void of_scopes_the_earliest_deadline_holds(void **state)
{
	(void)state;
	both(nest_scopes, NULL);
}

static int shield_from_deadlines(struct sl_context *ctx, void *arg)
{
	struct sl_scope outer, shield, inner;

	(void)arg;
	sl_scope_open(ctx, &outer, 0, 0);
	assert_int_equal(sl_sleep_until(ctx, in(LONG)), -ETIMEDOUT);
	sl_scope_open(ctx, &shield, in(LONG), SL_SHIELD);
	assert_int_equal(sl_sleep_until(ctx, in(2 * MS)), 0);
	/* A scope inside of the shield counts, as does the shield's own deadline. */
	sl_scope_open(ctx, &inner, in(2 * MS), 0);
	assert_int_equal(sl_sleep_until(ctx, in(LONG)), -ETIMEDOUT);
	assert_int_equal(sl_scope_close(ctx, &inner), -ETIMEDOUT);
	assert_int_equal(sl_scope_close(ctx, &shield), 0);
	sl_scope_open(ctx, &shield, in(2 * MS), SL_SHIELD);
	assert_int_equal(sl_sleep_until(ctx, in(LONG)), -ETIMEDOUT);
	assert_int_equal(sl_scope_close(ctx, &shield), -ETIMEDOUT);
	assert_int_equal(sl_sleep_until(ctx, in(LONG)), -ETIMEDOUT);
	assert_int_equal(sl_scope_close(ctx, &outer), -ETIMEDOUT);
	return 0;
}

static void a_shield_keeps_outer_deadlines_out(void **state)
{
	(void)state;
	both(shield_from_deadlines, NULL);
}

struct shielded {
	struct sl_sem go;
	int is_inside, has_slept;
};

static int sleep_in_a_shield(struct sl_context *ctx, void *arg)
{
	struct shielded *shielded = arg;
	struct sl_scope shield, inner;

	sl_scope_open(ctx, &shield, in(LONG), SL_SHIELD);
	sl_scope_open(ctx, &inner, in(LONG), 0);
	shielded->is_inside = 1;
	/* It is cancelled during this wait. */
	assert_int_equal(sl_sem_take(ctx, &shielded->go, SL_NEVER), 0);
	assert_int_equal(sl_sleep_until(ctx, in(2 * MS)), 0);
	assert_int_equal(sl_yield(ctx), 0);
	shielded->has_slept = 1;
	assert_int_equal(sl_scope_close(ctx, &inner), 0);
	assert_int_equal(sl_scope_close(ctx, &shield), 0);
	assert_int_equal(sl_sleep_until(ctx, in(LONG)), -ECANCELED);
	return 0;
}

static int cancel_a_shielded_one(struct sl_context *ctx, void *arg)
{
	struct shielded shielded = { 0 };
	struct sl_group group;

	(void)arg;
	sl_sem_init(&shielded.go, 0);
	sl_group_open(ctx, &group, 0);
	assert_int_equal(sl_group_start(&group, sleep_in_a_shield, &shielded), 0);
	yield_until(ctx, &shielded.is_inside, 1);
	sl_group_cancel(&group);
	for (int i = 0; i < 5; i++)
		assert_int_equal(sl_yield(ctx), 0);
	assert_int_equal(shielded.has_slept, 0);
	sl_sem_give(&shielded.go);
	assert_int_equal(sl_group_close(&group), 0);
	assert_int_equal(shielded.has_slept, 1);
	return 0;
}

static void a_shield_keeps_cancel_out(void **state)
{
	(void)state;
	both(cancel_a_shielded_one, NULL);
}

/* --- cancelled ---------------------------------------------------------------------------------- */

static int fail_if_called(void *arg)
{
	(void)arg;
	fail_msg("called though cancelled");
	return 0;
}

static int fail_if_run(struct sl_context *ctx, void *arg)
{
	(void)ctx;
	return fail_if_called(arg);
}

/* Everything could be had at once, and none of it is. */
static int wait_when_cancelled(struct sl_context *ctx, void *arg)
{
	static const char *const argv[] = { "true", NULL };
	const struct sl_program program = { .argv = argv };
	const struct sl_http_request request = { .url = "http://127.0.0.1:9/" };
	struct sl_http_response response;
	struct sockaddr_un address;
	socklen_t size;
	int listener = open_unix_listener(&address, &size);
	int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sl_channel *channel = sl_channel_new(2);
	struct sl_group group;
	struct sl_child child;
	struct addrinfo *list;
	struct sl_sem sem;
	struct sl_lock lock;
	struct sl_event event;
	char byte;
	void *item;
	int result = 1;

	assert_int_equal(connect(client, (struct sockaddr *)&address, size), 0);
	assert_int_equal(sl_channel_send(ctx, channel, &sem, SL_NEVER), 0);
	sl_sem_init(&sem, 1);
	sl_lock_init(&lock);
	sl_event_init(&event);
	sl_event_set(&event);
	*(int *)arg = 1;
	assert_int_equal(sl_sleep_until(ctx, SL_NEVER), -ECANCELED);

	for (int i = 0; i < 2; i++) {
		assert_int_equal(sl_sleep_until(ctx, 0), -ECANCELED);
		assert_int_equal(sl_sleep_until(ctx, SL_NEVER), -ECANCELED);
		assert_int_equal(sl_yield(ctx), -ECANCELED);
		assert_int_equal(sl_wait_fd(ctx, listener, POLLIN, SL_NEVER), -ECANCELED);
		assert_int_equal(sl_read(ctx, client, &byte, 1, SL_NEVER), -ECANCELED);
		assert_int_equal(sl_write(ctx, client, "x", 1, SL_NEVER), -ECANCELED);
		assert_int_equal(
			sl_connect(ctx, (struct sockaddr *)&address, size, SL_NEVER), -ECANCELED);
		assert_int_equal(sl_accept(ctx, listener, SL_NEVER), -ECANCELED);
		assert_int_equal(
			sl_resolve(ctx, "127.0.0.1", NULL, NULL, SL_NEVER, &list), -ECANCELED);
		assert_int_equal(sl_http(ctx, &request, SL_NEVER, &response), -ECANCELED);
		sl_http_response_fini(&response);
		assert_int_equal(sl_spawn(ctx, &program, &child), -ECANCELED);
		assert_int_equal(sl_offload(ctx, fail_if_called, NULL, SL_NEVER), -ECANCELED);
		assert_int_equal(sl_sem_take(ctx, &sem, SL_NEVER), -ECANCELED);
		assert_int_equal(sl_lock_take(ctx, &lock, SL_NEVER), -ECANCELED);
		assert_int_equal(sl_event_wait(ctx, &event, SL_NEVER), -ECANCELED);
		assert_int_equal(sl_channel_send(ctx, channel, &sem, SL_NEVER), -ECANCELED);
		assert_int_equal(sl_channel_receive(ctx, channel, SL_NEVER, &item), -ECANCELED);
		assert_int_equal(sl_gather(ctx, fail_if_run, &byte, 1, 1, 0, &result), -ECANCELED);
		assert_int_equal(result, -ECANCELED);
		sl_group_open(ctx, &group, 0);
		assert_int_equal(sl_group_start(&group, fail_if_run, NULL), -ECANCELED);
		assert_int_equal(sl_group_close(&group), -ECANCELED);
	}
	/* Nothing was taken. */
	assert_int_equal(sem.value, 1);
	assert_null(lock.owner);
	sl_channel_free(channel);
	(void)close(client);
	(void)close(listener);
	return 0;
}

static int cancel_and_wait(struct sl_context *ctx, void *arg)
{
	struct sl_group group;
	int is_waiting = 0;

	(void)arg;
	sl_group_open(ctx, &group, 0);
	assert_int_equal(sl_group_start(&group, wait_when_cancelled, &is_waiting), 0);
	yield_until(ctx, &is_waiting, 1);
	sl_group_cancel(&group);
	assert_int_equal(sl_group_start(&group, fail_if_run, NULL), -ECANCELED);
	assert_int_equal(sl_group_close(&group), 0);
	return 0;
}

static void once_cancelled_every_wait_says_so(void **state)
{
	(void)state;
	both(cancel_and_wait, NULL);
}

/* --- many, deep, long --------------------------------------------------------------------------- */

struct crowd {
	int asleep, awake;
	struct sl_event all_asleep;
	int64_t due;
	int count;
};

static int sleep_in_a_crowd(struct sl_context *ctx, void *arg)
{
	struct crowd *crowd = arg;

	if (++crowd->asleep == crowd->count)
		sl_event_set(&crowd->all_asleep);
	/* All sleep at once: nobody's time begins before the last is here. */
	assert_int_equal(sl_event_wait(ctx, &crowd->all_asleep, SL_NEVER), 0);
	assert_int_equal(sl_sleep_until(ctx, crowd->due), 0);
	crowd->awake++;
	return 0;
}

static void run_crowd(struct sl_context *ctx, int count)
{
	struct crowd crowd = { .count = count };
	struct sl_group group;

	sl_event_init(&crowd.all_asleep);
	crowd.due = in(5 * MS);
	sl_group_open(ctx, &group, 0);
	for (int i = 0; i < count; i++)
		assert_int_equal(sl_group_start(&group, sleep_in_a_crowd, &crowd), 0);
	assert_int_equal(loop_get()->counts.tasks, (uint64_t)count);
	assert_int_equal(loop_get()->stacks.used, (uint32_t)count);
	assert_int_equal(sl_group_close(&group), 0);
	assert_int_equal(crowd.awake, count);
	assert_int_equal(loop_get()->stacks.used, 0);
}

static void twenty_thousand_sleep_and_their_stacks_are_used_again(void **state)
{
	int count = has_tools() ? 500 : 20000;
	struct sl_context ctx = { 0 };
	const struct stack_pool *pool = &loop_get()->stacks;
	struct stack_slab *slabs;
	size_t fresh_count;

	(void)state;
	run_crowd(&ctx, count);
	slabs = pool->slabs;
	fresh_count = pool->fresh_count;
	assert_non_null(slabs);
	for (int i = 0; i < 3; i++) {
		run_crowd(&ctx, count);
		assert_ptr_equal(pool->slabs, slabs);
		assert_int_equal(pool->fresh_count, fresh_count);
	}
	assert_int_equal(loop_get()->counts.tasks_max, (uint64_t)count);
	end_clean();
}

#define DEEP (40u << 10)

/* Touches `size` bytes of its stack, downwards, as functions that call each other do. */
static __attribute__((noinline)) unsigned dig(size_t size)
{
	volatile unsigned char frame[512];

	memset((void *)frame, (int)size, sizeof(frame));
	if (size <= sizeof(frame))
		return frame[0];
	return dig(size - sizeof(frame)) + frame[size % sizeof(frame)];
}

static int dig_a_hole(struct sl_context *ctx, void *arg)
{
	unsigned sum = dig((size_t)(uintptr_t)arg);

	assert_int_equal(sl_yield(ctx), 0);
	return (int)(sum & 1);
}

/* More than the sample is small. */
static void dig_holes(struct sl_context *ctx, size_t depth)
{
	struct sl_group group;

	sl_group_open(ctx, &group, 0);
	for (int i = 0; i < 128; i++)
		assert_int_equal(sl_group_start(&group, dig_a_hole, (void *)(uintptr_t)depth), 0);
	assert_int_equal(sl_group_close(&group), 0);
}

static void a_deeper_stack_raises_the_high_water_mark(void **state)
{
	struct sl_context ctx = { 0 };
	const struct stack_pool *pool = &loop_get()->stacks;
	size_t shallow;

	(void)state;
	dig_holes(&ctx, 0);
	shallow = pool->deepest;
	assert_in_range(shallow, 1, 16384 * switch_stack_factor);
	dig_holes(&ctx, DEEP);
	assert_in_range(pool->deepest, DEEP, pool->size);
	assert_true(pool->deepest > shallow);
	end_clean();
}

static int held_calls;
static int64_t held_ns;

static void on_held(struct loop *loop, const struct sl_task *task, int64_t ns)
{
	assert_ptr_equal(loop, loop_of_thread());
	assert_int_equal(task->number, 1);
	held_calls++;
	held_ns = ns;
}

static int compute(struct sl_context *ctx, void *arg)
{
	int64_t end = in((int64_t)(intptr_t)arg * MS);

	(void)ctx;
	while (sl_now() < end)
		;
	return 0;
}

static void a_task_that_holds_its_thread_is_counted(void **state)
{
	static const struct loop_setup setup = { .name = "busy", .on_held = on_held };
	struct loop *loop;

	(void)state;
	loop_set_up(&setup);
	held_calls = 0;
	in_a_task(compute, (void *)150);
	loop = loop_of_thread();
	assert_int_equal(held_calls, 1);
	assert_int_equal(loop->counts.held, 1);
	assert_true(held_ns >= 150 * MS);
	assert_int_equal(loop->counts.held_max_ns, held_ns);
	end_clean();
}

/* --- faults of stage code ----------------------------------------------------------------------- */

static const struct loop_setup named = { .name = "faulty" };

static void run_named(sl_member_fn *fn)
{
	loop_set_up(&named);
	in_a_task(fn, NULL);
}

static int leave_a_group(struct sl_context *ctx, void *arg)
{
	struct sl_group group;

	(void)arg;
	sl_group_open(ctx, &group, 0);
	return 0;
}

static int leave_a_lock(struct sl_context *ctx, void *arg)
{
	static struct sl_lock lock;

	(void)arg;
	sl_lock_init(&lock);
	return sl_lock_take(ctx, &lock, SL_NEVER);
}

static int leave_a_scope(struct sl_context *ctx, void *arg)
{
	static struct sl_scope scope;

	(void)arg;
	sl_scope_open(ctx, &scope, SL_NEVER, 0);
	return 0;
}

static int use_another_ctx(struct sl_context *ctx, void *arg)
{
	(void)ctx;
	return sl_yield(arg);
}

static int lend_ctx(struct sl_context *ctx, void *arg)
{
	struct sl_group group;

	(void)arg;
	sl_group_open(ctx, &group, 0);
	(void)sl_group_start(&group, use_another_ctx, ctx);
	return sl_group_close(&group);
}

static int use_the_threads_ctx(struct sl_context *ctx, void *arg)
{
	struct sl_context root = { 0 };

	(void)ctx, (void)arg;
	return sl_yield(&root);
}

static void *wait_elsewhere(void *arg)
{
	(void)sl_yield(arg);
	return NULL;
}

static int use_another_thread(struct sl_context *ctx, void *arg)
{
	pthread_t thread;

	(void)arg;
	(void)pthread_create(&thread, NULL, wait_elsewhere, ctx);
	(void)pthread_join(thread, NULL);
	return 0;
}

static int give_what_is_not_ours(struct sl_context *ctx, void *arg)
{
	sl_lock_give(ctx, arg);
	return 0;
}

static int give_anothers_lock(struct sl_context *ctx, void *arg)
{
	struct sl_lock lock;
	struct sl_group group;

	(void)arg;
	sl_lock_init(&lock);
	(void)sl_lock_take(ctx, &lock, SL_NEVER);
	sl_group_open(ctx, &group, 0);
	(void)sl_group_start(&group, give_what_is_not_ours, &lock);
	return sl_group_close(&group);
}

static int give_a_free_lock(struct sl_context *ctx, void *arg)
{
	struct sl_lock lock;

	(void)arg;
	sl_lock_init(&lock);
	sl_lock_give(ctx, &lock);
	return 0;
}

static int take_a_lock_twice(struct sl_context *ctx, void *arg)
{
	struct sl_lock lock;

	(void)arg;
	sl_lock_init(&lock);
	(void)sl_lock_take(ctx, &lock, SL_NEVER);
	return sl_lock_take(ctx, &lock, SL_NEVER);
}

static int cross_groups(struct sl_context *ctx, void *arg)
{
	struct sl_group first, second;

	(void)arg;
	sl_group_open(ctx, &first, 0);
	sl_group_open(ctx, &second, 0);
	(void)sl_group_close(&first);
	return sl_group_close(&second);
}

static int cross_scopes(struct sl_context *ctx, void *arg)
{
	struct sl_scope first, second;

	(void)arg;
	sl_scope_open(ctx, &first, SL_NEVER, 0);
	sl_scope_open(ctx, &second, SL_NEVER, 0);
	(void)sl_scope_close(ctx, &first);
	return 0;
}

static int next_without_collect(struct sl_context *ctx, void *arg)
{
	struct sl_group group;

	(void)arg;
	sl_group_open(ctx, &group, 0);
	return sl_group_next(&group, SL_NEVER, NULL, NULL);
}

static const struct fault {
	sl_member_fn *fn;
	const char *text;
} faults[] = {
	{ leave_a_group, "stage `faulty`: a member of a group left the group open that it opened "
			 "at " __FILE__ ":" },
	{ leave_a_lock, "a member of a group ended with 1 lock taken" },
	{ leave_a_scope, "a member of a group left a scope open" },
	{ lend_ctx, "a call for one task was made by another" },
	{ use_the_threads_ctx, "a call for one task was made by another" },
	{ use_another_thread, "a task was used from another thread than its own" },
	{ give_anothers_lock, "a task gives back a lock that it has not taken" },
	{ give_a_free_lock, "a task gives back a lock that it has not taken" },
	{ take_a_lock_twice, "a task takes a lock that it has already" },
	{ cross_groups, "groups must be closed in the opposite order" },
	{ cross_scopes, "scopes must be closed in the opposite order" },
	{ next_without_collect, "sl_group_next needs SL_COLLECT" },
};

static const struct fault *fault;

static void run_fault(void)
{
	run_named(fault->fn);
}

static void a_fault_of_stage_code_aborts_and_is_named(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		fault = &faults[i];
		dies_saying(run_fault, SIGABRT, fault->text);
	}
}

static int dig_without_end(struct sl_context *ctx, void *arg)
{
	(void)ctx, (void)arg;
	return (int)dig(SIZE_MAX / 2);
}

/* A process of its own: cmocka takes SIGSEGV for itself. */
static void overflow(void)
{
	(void)execl("/proc/self/exe", "test_task", "overflow", (char *)NULL);
}

static void an_overflow_names_the_stage_the_task_and_the_size(void **state)
{
	(void)state;
	if (has_tools()) {
		print_message("skipped: a sanitizer or Valgrind has its own handler\n");
		skip();
	}
	dies_saying(overflow, SIGSEGV, "stage `faulty`: task 1, a member of the group opened at ");
	dies_saying(
		overflow, SIGSEGV, ", overflowed its stack of 64 KiB: write a larger `stack_size`");
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(sleepers_wake_in_the_order_of_their_deadlines_and_never_early),
		cmocka_unit_test(yields_go_round),
		cmocka_unit_test(who_never_waits_starves_nobody),
		cmocka_unit_test(a_deadline_in_the_past_tries_once),
		cmocka_unit_test(of_scopes_the_earliest_deadline_holds),
		cmocka_unit_test(a_shield_keeps_outer_deadlines_out),
		cmocka_unit_test(a_shield_keeps_cancel_out),
		cmocka_unit_test(once_cancelled_every_wait_says_so),
		cmocka_unit_test(twenty_thousand_sleep_and_their_stacks_are_used_again),
		cmocka_unit_test(a_deeper_stack_raises_the_high_water_mark),
		cmocka_unit_test(a_task_that_holds_its_thread_is_counted),
		cmocka_unit_test(a_fault_of_stage_code_aborts_and_is_named),
		cmocka_unit_test(an_overflow_names_the_stage_the_task_and_the_size),
	};

	if (argc > 1 && strcmp(argv[1], "overflow") == 0) {
		run_named(dig_without_end);
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
