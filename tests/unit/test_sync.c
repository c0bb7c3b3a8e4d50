/* SPDX-License-Identifier: MIT */
/* Semaphore, lock, event, channel between tasks of one thread and between threads: in order, and nothing is lost or made up. */
#include "tasks.h"

#include <pthread.h>

#define WAITERS 20
#define THREADS 4
#define TASKS 8 /* of each thread */

/* One object of each kind; what a test uses is made anew by open_all. */
static struct sl_sem sem;
static struct sl_lock lock;
static struct sl_event event;
static struct sl_channel *channel;

static void open_all(uint32_t capacity)
{
	sl_sem_init(&sem, 0);
	sl_lock_init(&lock);
	sl_event_init(&event);
	channel = sl_channel_new(capacity);
	assert_non_null(channel);
}

static void close_all(void)
{
	assert_null(sem.waiters.first);
	assert_null(lock.waiters.first);
	assert_null(lock.owner);
	assert_null(event.waiters.first);
	sl_channel_free(channel);
}

static int yield_some(struct sl_context *ctx, int times)
{
	int r = 0;

	for (int i = 0; i < times && r == 0; i++)
		r = sl_yield(ctx);
	return r;
}

/* --- first come, first served --------------------------------------------------------------------- */

static int served[WAITERS];
static int served_count;
static int waiting_count;

static int wait_for_sem(struct sl_context *ctx, void *arg)
{
	waiting_count++;
	assert_int_equal(sl_sem_take(ctx, &sem, SL_NEVER), 0);
	served[served_count++] = (int)(intptr_t)arg;
	return 0;
}

static int wait_for_lock(struct sl_context *ctx, void *arg)
{
	waiting_count++;
	assert_int_equal(sl_lock_take(ctx, &lock, SL_NEVER), 0);
	served[served_count++] = (int)(intptr_t)arg;
	assert_int_equal(sl_yield(ctx), 0);
	sl_lock_give(ctx, &lock);
	return 0;
}

static int wait_to_receive(struct sl_context *ctx, void *arg)
{
	void *item = NULL;

	waiting_count++;
	assert_int_equal(sl_channel_receive(ctx, channel, SL_NEVER, &item), 0);
	/* The n-th who waits has the n-th that was sent. */
	assert_ptr_equal(item, arg);
	served[served_count++] = (int)(intptr_t)arg;
	return 0;
}

static int wait_to_send(struct sl_context *ctx, void *arg)
{
	waiting_count++;
	assert_int_equal(sl_channel_send(ctx, channel, arg, SL_NEVER), 0);
	return 0;
}

static void all_wait(struct sl_context *ctx, struct sl_group *group, sl_member_fn *fn)
{
	waiting_count = served_count = 0;
	for (intptr_t i = 0; i < WAITERS; i++)
		assert_int_equal(sl_group_start(group, fn, (void *)i), 0);
	assert_int_equal(sl_yield(ctx), 0);
	assert_int_equal(waiting_count, WAITERS);
	assert_int_equal(served_count, 0);
}

static void were_served_in_order(void)
{
	assert_int_equal(served_count, WAITERS);
	for (int i = 0; i < WAITERS; i++)
		assert_int_equal(served[i], i);
}

static int serve_in_order(struct sl_context *ctx, void *arg)
{
	struct sl_group group;
	void *item = NULL;

	(void)arg;
	open_all(1);
	sl_group_open(ctx, &group, 0);
	all_wait(ctx, &group, wait_for_sem);
	for (int i = 0; i < WAITERS; i++) {
		sl_sem_give(&sem);
		/* Who comes later does not overtake: the token is given already. */
		assert_int_equal(sl_sem_take(ctx, &sem, 0), -ETIMEDOUT);
	}
	assert_int_equal(sl_group_close(&group), 0);
	were_served_in_order();
	assert_int_equal(sem.value, 0);

	assert_int_equal(sl_lock_take(ctx, &lock, SL_NEVER), 0);
	sl_group_open(ctx, &group, 0);
	all_wait(ctx, &group, wait_for_lock);
	sl_lock_give(ctx, &lock);
	assert_int_equal(sl_lock_take(ctx, &lock, 0), -ETIMEDOUT);
	assert_int_equal(sl_group_close(&group), 0);
	were_served_in_order();

	sl_group_open(ctx, &group, 0);
	all_wait(ctx, &group, wait_to_receive);
	for (intptr_t i = 0; i < WAITERS; i++)
		assert_int_equal(sl_channel_send(ctx, channel, (void *)i, SL_NEVER), 0);
	assert_int_equal(sl_group_close(&group), 0);
	were_served_in_order();

	assert_int_equal(sl_channel_send(ctx, channel, channel, SL_NEVER), 0);
	sl_group_open(ctx, &group, 0);
	all_wait(ctx, &group, wait_to_send);
	assert_int_equal(sl_channel_receive(ctx, channel, SL_NEVER, &item), 0);
	assert_ptr_equal(item, channel);
	for (intptr_t i = 0; i < WAITERS; i++) {
		assert_int_equal(sl_channel_receive(ctx, channel, SL_NEVER, &item), 0);
		assert_ptr_equal(item, (void *)i);
	}
	assert_int_equal(sl_group_close(&group), 0);
	assert_int_equal(sl_channel_receive(ctx, channel, 0, &item), -ETIMEDOUT);
	close_all();
	return 0;
}

static void who_waits_first_is_served_first(void **state)
{
	(void)state;
	both(serve_in_order, NULL);
}

static int wait_for_event(struct sl_context *ctx, void *arg)
{
	waiting_count++;
	assert_int_equal(sl_event_wait(ctx, &event, SL_NEVER), 0);
	served[served_count++] = (int)(intptr_t)arg;
	return 0;
}

static int set_and_clear(struct sl_context *ctx, void *arg)
{
	struct sl_group group;

	(void)arg;
	open_all(1);
	for (int round = 0; round < 3; round++) {
		assert_int_equal(sl_event_wait(ctx, &event, 0), -ETIMEDOUT);
		sl_group_open(ctx, &group, 0);
		all_wait(ctx, &group, wait_for_event);
		/* All that waited are woken, even when it is cleared at once. */
		sl_event_set(&event);
		sl_event_set(&event);
		if (round == 1)
			sl_event_clear(&event);
		assert_int_equal(sl_event_wait(ctx, &event, 0), round == 1 ? -ETIMEDOUT : 0);
		assert_int_equal(sl_group_close(&group), 0);
		were_served_in_order();
		sl_event_clear(&event);
	}
	close_all();
	return 0;
}

static void an_event_wakes_all_who_wait(void **state)
{
	(void)state;
	both(set_and_clear, NULL);
}

/* A bounded one: a fast sender is held up, everything arrives once and in order. */
#define ITEMS 500

static int send_items(struct sl_context *ctx, void *arg)
{
	for (intptr_t i = 1; i <= ITEMS; i++) {
		assert_int_equal(sl_channel_send(ctx, channel, (void *)i, SL_NEVER), 0);
		*(int *)arg = (int)i;
	}
	sl_channel_close(channel);
	assert_int_equal(sl_channel_send(ctx, channel, arg, SL_NEVER), -EPIPE);
	return 0;
}

static int receive_items(struct sl_context *ctx, void *arg)
{
	static const uint32_t capacities[] = { 1, 2, 7, 1000 };

	(void)arg;
	for (size_t c = 0; c < 4; c++) {
		struct sl_group group;
		void *item = NULL;
		int sent = 0;
		intptr_t i;
		int r;

		open_all(capacities[c]);
		sl_group_open(ctx, &group, 0);
		assert_int_equal(sl_group_start(&group, send_items, &sent), 0);
		assert_int_equal(yield_some(ctx, 3), 0);
		assert_int_equal(sent, capacities[c] < ITEMS ? (int)capacities[c] : ITEMS);
		for (i = 0; (r = sl_channel_receive(ctx, channel, SL_NEVER, &item)) == 0; i++) {
			assert_ptr_equal(item, (void *)(i + 1));
			assert_true(sent <= i + 1 + (int)capacities[c]);
		}
		assert_int_equal(r, -EPIPE);
		assert_int_equal(i, ITEMS);
		assert_int_equal(sl_group_close(&group), 0);
		close_all();
	}
	return 0;
}

static void a_channel_is_bounded_and_in_order(void **state)
{
	(void)state;
	both(receive_items, NULL);
}

static int ended_with[2];

static int expect_pipe_to_send(struct sl_context *ctx, void *arg)
{
	waiting_count++;
	assert_int_equal(sl_channel_send(ctx, channel, arg, SL_NEVER), -EPIPE);
	ended_with[0]++;
	return 0;
}

static int expect_pipe_to_receive(struct sl_context *ctx, void *arg)
{
	waiting_count++;
	assert_int_equal(sl_channel_receive(ctx, channel, SL_NEVER, &arg), -EPIPE);
	ended_with[1]++;
	return 0;
}

static int close_channel(struct sl_context *ctx, void *arg)
{
	struct sl_group group;
	void *item = NULL;

	(void)arg;
	ended_with[0] = ended_with[1] = 0;
	open_all(2);
	sl_group_open(ctx, &group, 0);
	all_wait(ctx, &group, expect_pipe_to_receive);
	sl_channel_close(channel);
	sl_channel_close(channel);
	assert_int_equal(sl_group_close(&group), 0);
	close_all();

	open_all(2);
	assert_int_equal(sl_channel_send(ctx, channel, &sem, SL_NEVER), 0);
	assert_int_equal(sl_channel_send(ctx, channel, &lock, SL_NEVER), 0);
	sl_group_open(ctx, &group, 0);
	all_wait(ctx, &group, expect_pipe_to_send);
	sl_channel_close(channel);
	assert_int_equal(sl_group_close(&group), 0);
	/* What is in it can be received, what was refused is not. */
	assert_int_equal(sl_channel_receive(ctx, channel, SL_NEVER, &item), 0);
	assert_ptr_equal(item, &sem);
	assert_int_equal(sl_channel_receive(ctx, channel, SL_NEVER, &item), 0);
	assert_ptr_equal(item, &lock);
	assert_int_equal(sl_channel_receive(ctx, channel, SL_NEVER, &item), -EPIPE);
	close_all();
	assert_int_equal(ended_with[0], WAITERS);
	assert_int_equal(ended_with[1], WAITERS);
	return 0;
}

static void close_of_a_channel_wakes_both_ends(void **state)
{
	(void)state;
	both(close_channel, NULL);
}

/* --- deadline and cancel lose nothing ---------------------------------------------------------------- */

/* Waits for one of the four; what it got is counted. */
struct seeker {
	int kind;
	int64_t deadline;
	bool has_begun;
	int got, r;
};

enum { SEM, LOCK, EVENT, RECEIVE, SEND, KINDS };

static int seek_once(struct sl_context *ctx, struct seeker *seeker)
{
	void *item = NULL;
	int r;

	switch (seeker->kind) {
	case SEM:
		return sl_sem_take(ctx, &sem, seeker->deadline);
	case LOCK:
		r = sl_lock_take(ctx, &lock, seeker->deadline);
		if (r == 0)
			sl_lock_give(ctx, &lock);
		return r;
	case EVENT:
		return sl_event_wait(ctx, &event, seeker->deadline);
	case RECEIVE:
		r = sl_channel_receive(ctx, channel, seeker->deadline, &item);
		assert_int_equal(item == &sem, r == 0);
		return r;
	default:
		return sl_channel_send(ctx, channel, &sem, seeker->deadline);
	}
}

static int seek(struct sl_context *ctx, void *arg)
{
	struct seeker *seeker = arg;

	seeker->has_begun = true;
	seeker->r = seek_once(ctx, seeker);
	seeker->got += seeker->r == 0;
	return 0;
}

/* So that nobody can have it yet. */
static void withhold(struct sl_context *ctx, int kind)
{
	if (kind == LOCK)
		assert_int_equal(sl_lock_take(ctx, &lock, SL_NEVER), 0);
	if (kind == SEND)
		assert_int_equal(sl_channel_send(ctx, channel, &lock, SL_NEVER), 0);
}

static void hand_out(struct sl_context *ctx, int kind)
{
	void *item = NULL;

	switch (kind) {
	case SEM:
		sl_sem_give(&sem);
		break;
	case LOCK:
		sl_lock_give(ctx, &lock);
		break;
	case EVENT:
		sl_event_set(&event);
		break;
	case RECEIVE:
		assert_int_equal(sl_channel_send(ctx, channel, &sem, SL_NEVER), 0);
		break;
	default:
		assert_int_equal(sl_channel_receive(ctx, channel, SL_NEVER, &item), 0);
		assert_ptr_equal(item, &lock);
	}
}

/* What was handed out once and not `got` is still to be had, and once only. */
static void is_there_unless(struct sl_context *ctx, int kind, bool got)
{
	struct seeker seeker = { .kind = kind };
	void *item = NULL;

	if (kind == SEND) {
		assert_int_equal(sl_channel_receive(ctx, channel, 0, &item), got ? 0 : -ETIMEDOUT);
		return;
	}
	(void)seek(ctx, &seeker);
	if (kind == SEM || kind == RECEIVE) {
		assert_int_equal(seeker.r, got ? -ETIMEDOUT : 0);
		(void)seek(ctx, &seeker);
		assert_int_equal(seeker.r, -ETIMEDOUT);
	} else {
		assert_int_equal(seeker.r, 0);
	}
}

/* Holds the thread for so long that the next call gives way, as on a machine that is busy. */
static void compute(void)
{
	int64_t end = in(3 * MS);

	while (sl_now() < end)
		;
}

static int give_and_cancel(struct sl_context *ctx, void *arg)
{
	(void)arg;
	for (int kind = 0; kind < KINDS; kind++) {
		/*
		 * 0: cancelled before it is given one; 1: after, in the same turn; 2: the other is still to be run; 3: the same, but the
		 * call that hands it out may give way.
		 */
		for (int when = 0; when < 4; when++) {
			struct seeker seeker = { .kind = kind, .deadline = SL_NEVER };
			struct sl_group group;
			bool has_begun;

			open_all(1);
			withhold(ctx, kind);
			sl_group_open(ctx, &group, 0);
			assert_int_equal(sl_group_start(&group, seek, &seeker), 0);
			if (when < 2)
				assert_int_equal(yield_some(ctx, 2), 0);
			if (when == 0)
				sl_group_cancel(&group);
			if (when == 3)
				compute();
			hand_out(ctx, kind);
			has_begun = seeker.has_begun;
			if (when > 0)
				sl_group_cancel(&group);
			assert_int_equal(sl_group_close(&group), 0);
			assert_int_equal(seeker.got, seeker.r == 0);
			assert_true(seeker.r == 0 || seeker.r == -ECANCELED);
			/* Cancelled and then given, before it ran: it may have it or not, as long as it says so. */
			if (when > 0)
				assert_int_equal(seeker.r, has_begun ? 0 : -ECANCELED);
			is_there_unless(ctx, kind, seeker.got);
			close_all();
		}
	}
	return 0;
}

static void a_cancel_loses_nothing_that_was_given(void **state)
{
	(void)state;
	both(give_and_cancel, NULL);
}

static int time_out_in_line(struct sl_context *ctx, void *arg)
{
	(void)arg;
	for (int kind = 0; kind < KINDS; kind++) {
		struct seeker patient = { .kind = kind, .deadline = SL_NEVER };
		struct seeker seekers[3];
		struct sl_group group;
		int64_t soon = in(2 * MS);

		open_all(1);
		withhold(ctx, kind);
		sl_group_open(ctx, &group, 0);
		for (int i = 0; i < 3; i++) {
			seekers[i] = (struct seeker){ .kind = kind, .deadline = soon };
			assert_int_equal(sl_group_start(&group, seek, &seekers[i]), 0);
			if (i == 1) /* behind two, before one that give up */
				assert_int_equal(sl_group_start(&group, seek, &patient), 0);
		}
		assert_int_equal(sl_sleep_until(ctx, soon + MS), 0);
		assert_int_equal(yield_some(ctx, 3), 0);
		for (int i = 0; i < 3; i++)
			assert_int_equal(seekers[i].r, -ETIMEDOUT);
		assert_true(sl_now() >= soon);
		assert_int_equal(patient.got, 0);
		hand_out(ctx, kind);
		assert_int_equal(sl_group_close(&group), 0);
		assert_int_equal(patient.r, 0);
		assert_int_equal(patient.got, 1);
		is_there_unless(ctx, kind, true);
		close_all();
	}
	return 0;
}

static void who_gives_up_leaves_the_line_and_the_rest_in_order(void **state)
{
	(void)state;
	both(time_out_in_line, NULL);
}

/* --- threads ----------------------------------------------------------------------------------------- */

struct crew {
	pthread_t thread;
	sl_member_fn *fn;
	int number;
	uint64_t seed;
	uint64_t count, sum, times; /* what its tasks did */
};

static struct crew crews[THREADS];

static uint64_t draw(struct crew *crew, uint64_t below)
{
	crew->seed ^= crew->seed << 13;
	crew->seed ^= crew->seed >> 7;
	crew->seed ^= crew->seed << 17;
	return crew->seed % below;
}

/* A loop of its own, TASKS tasks on it. */
static void *run_crew(void *arg)
{
	struct crew *crew = arg;
	struct sl_context ctx = { 0 };
	struct sl_group group;

	sl_group_open(&ctx, &group, 0);
	for (int i = 0; i < TASKS; i++)
		assert_int_equal(sl_group_start(&group, crew->fn, crew), 0);
	assert_int_equal(sl_group_close(&group), 0);
	end_clean();
	return NULL;
}

/* Plain threads, which wait themselves. */
static void *run_alone(void *arg)
{
	struct crew *crew = arg;
	struct sl_context ctx = { 0 };

	for (int i = 0; i < TASKS; i++)
		assert_int_equal(crew->fn(&ctx, crew), 0);
	end_clean();
	return NULL;
}

static void run_threads(sl_member_fn *fn, void *(*run)(void *))
{
	for (int i = 0; i < THREADS; i++) {
		crews[i] = (struct crew){ .fn = fn, .number = i, .seed = (uint64_t)i + 4711 };
		assert_int_equal(pthread_create(&crews[i].thread, NULL, run, &crews[i]), 0);
	}
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(crews[i].thread, NULL), 0);
}

#define ROUNDS (switch_is_sanitized ? 60 : 300)

static atomic_int inside;

/* Some give up after some microseconds, or at once: so that grants and deadlines meet. */
static int64_t some_deadline(struct crew *crew)
{
	uint64_t kind = draw(crew, 4);

	return kind == 0 ? 0 : kind == 1 ? in((int64_t)draw(crew, 200000)) : SL_NEVER;
}

static int take_and_give(struct sl_context *ctx, void *arg)
{
	struct crew *crew = arg;

	for (int i = 0; i < ROUNDS; i++) {
		int r = sl_sem_take(ctx, &sem, some_deadline(crew));

		if (r < 0) {
			assert_int_equal(r, -ETIMEDOUT);
			continue;
		}
		assert_in_range(atomic_fetch_add(&inside, 1), 0, 2);
		crew->count++;
		if (draw(crew, 4) == 0)
			assert_int_equal(sl_yield(ctx), 0);
		(void)atomic_fetch_sub(&inside, 1);
		sl_sem_give(&sem);
	}
	return 0;
}

static uint64_t sum_of_counts(void)
{
	uint64_t sum = 0;

	for (int i = 0; i < THREADS; i++)
		sum += crews[i].count;
	return sum;
}

static void no_token_is_lost_between_threads(void **state)
{
	(void)state;
	open_all(1);
	for (int i = 0; i < 3; i++)
		sl_sem_give(&sem);
	run_threads(take_and_give, run_crew);
	assert_int_equal(sem.value, 3);
	assert_int_equal(atomic_load(&inside), 0);
	assert_true(sum_of_counts() > 0);
	run_threads(take_and_give, run_alone);
	assert_int_equal(sem.value, 3);
	close_all();
}

static uint64_t guarded; /* by lock, not atomic */

static int count_under_lock(struct sl_context *ctx, void *arg)
{
	struct crew *crew = arg;

	for (int i = 0; i < ROUNDS; i++) {
		int r = sl_lock_take(ctx, &lock, some_deadline(crew));
		uint64_t before;

		if (r < 0) {
			assert_int_equal(r, -ETIMEDOUT);
			continue;
		}
		before = guarded;
		if (draw(crew, 8) == 0)
			assert_int_equal(sl_yield(ctx), 0);
		guarded = before + 1;
		crew->count++;
		sl_lock_give(ctx, &lock);
	}
	return 0;
}

static void a_lock_keeps_threads_apart(void **state)
{
	(void)state;
	open_all(1);
	guarded = 0;
	run_threads(count_under_lock, run_crew);
	assert_int_equal(guarded, sum_of_counts());
	assert_true(guarded > 0);
	guarded = 0;
	run_threads(count_under_lock, run_alone);
	assert_int_equal(guarded, sum_of_counts());
	close_all();
}

/* Even threads send, odd ones receive; some calls give up and are made again. */
static int pass_items(struct sl_context *ctx, void *arg)
{
	struct crew *crew = arg;
	int r = 0;

	for (int i = 0; i < ROUNDS && crew->number % 2 == 0; i++) {
		uintptr_t value = (uintptr_t)draw(crew, 1000000) + 1;

		while ((r = sl_channel_send(ctx, channel, (void *)value, some_deadline(crew))) ==
			-ETIMEDOUT)
			assert_int_equal(sl_yield(ctx), 0);
		assert_int_equal(r, 0);
		crew->count++;
		crew->sum += value;
	}
	while (crew->number % 2 == 1) {
		void *item = NULL;

		r = sl_channel_receive(ctx, channel, some_deadline(crew), &item);
		if (r == -EPIPE)
			break;
		if (r == -ETIMEDOUT) {
			assert_int_equal(sl_yield(ctx), 0);
			continue;
		}
		assert_int_equal(r, 0);
		crew->count++;
		crew->sum += (uintptr_t)item;
	}
	return 0;
}

static void *close_behind_the_senders(void *arg)
{
	for (int i = 0; i < THREADS; i += 2)
		assert_int_equal(pthread_join(crews[i].thread, NULL), 0);
	sl_channel_close(channel);
	return arg;
}

static void pass_between_threads(void *(*run)(void *))
{
	uint64_t count[2] = { 0 }, sum[2] = { 0 };

	open_all(3);
	for (int i = 0; i < THREADS; i++) {
		crews[i] = (struct crew){ .fn = pass_items, .number = i, .seed = (uint64_t)i + 99 };
		assert_int_equal(pthread_create(&crews[i].thread, NULL, run, &crews[i]), 0);
	}
	(void)close_behind_the_senders(NULL);
	for (int i = 1; i < THREADS; i += 2)
		assert_int_equal(pthread_join(crews[i].thread, NULL), 0);
	for (int i = 0; i < THREADS; i++) {
		count[i % 2] += crews[i].count;
		sum[i % 2] += crews[i].sum;
	}
	assert_int_equal(count[0], THREADS / 2 * TASKS * ROUNDS);
	assert_int_equal(count[0], count[1]);
	assert_int_equal(sum[0], sum[1]);
	close_all();
}

static void no_item_is_lost_between_threads(void **state)
{
	(void)state;
	pass_between_threads(run_crew);
	pass_between_threads(run_alone);
}

/* Members of a group that is cancelled while another thread sends: each item is received once or still there. */
static int receive_until_cancelled(struct sl_context *ctx, void *arg)
{
	struct crew *crew = arg;
	void *item = NULL;
	int r;

	while ((r = sl_channel_receive(ctx, channel, SL_NEVER, &item)) == 0) {
		crew->count++;
		crew->sum += (uintptr_t)item;
	}
	assert_true(r == -ECANCELED || r == -EPIPE);
	return r == -EPIPE ? 0 : r;
}

static int cancel_receivers(struct sl_context *ctx, void *arg)
{
	struct crew *crew = arg;

	if (crew->number == 0) {
		for (uintptr_t i = 1; i <= (uintptr_t)ROUNDS; i++) {
			assert_int_equal(sl_channel_send(ctx, channel, (void *)i, SL_NEVER), 0);
			crew->count++;
			crew->sum += i;
		}
		return 0;
	}
	for (;;) {
		struct sl_group group;
		bool is_closed;

		sl_group_open(ctx, &group, 0);
		for (int i = 0; i < 3; i++)
			(void)sl_group_start(&group, receive_until_cancelled, crew);
		(void)sl_sleep_until(ctx, in((int64_t)draw(crew, 50000)));
		is_closed = group.running == 0;
		sl_group_cancel(&group);
		(void)sl_group_close(&group);
		crew->times++;
		if (is_closed)
			return 0;
	}
}

static void a_cancel_loses_no_item_between_threads(void **state)
{
	uint64_t sum = 0, count = 0;

	(void)state;
	open_all(2);
	for (int i = 0; i < THREADS; i++) {
		crews[i] = (struct crew){
			.fn = cancel_receivers, .number = i, .seed = (uint64_t)i + 7
		};
		assert_int_equal(pthread_create(&crews[i].thread, NULL, run_crew, &crews[i]), 0);
	}
	assert_int_equal(pthread_join(crews[0].thread, NULL), 0);
	sl_channel_close(channel);
	for (int i = 1; i < THREADS; i++) {
		assert_int_equal(pthread_join(crews[i].thread, NULL), 0);
		assert_true(crews[i].times > 0);
		sum += crews[i].sum;
		count += crews[i].count;
	}
	assert_int_equal(count, TASKS * ROUNDS);
	assert_int_equal(crews[0].count, count);
	assert_int_equal(crews[0].sum, sum);
	close_all();
}

static atomic_int passed;

/* All threads meet at each of the events in turn, which the last to come sets. */
static struct sl_event gates[50];
static atomic_int arrived[50];

static int go_through_gates(struct sl_context *ctx, void *arg)
{
	(void)arg;
	for (int i = 0; i < 50; i++) {
		if (atomic_fetch_add(&arrived[i], 1) + 1 == THREADS * TASKS)
			sl_event_set(&gates[i]);
		assert_int_equal(sl_event_wait(ctx, &gates[i], SL_NEVER), 0);
		assert_int_equal(atomic_load(&arrived[i]), THREADS * TASKS);
		(void)atomic_fetch_add(&passed, 1);
	}
	return 0;
}

static void an_event_wakes_tasks_of_all_threads(void **state)
{
	(void)state;
	for (int i = 0; i < 50; i++) {
		sl_event_init(&gates[i]);
		atomic_store(&arrived[i], 0);
	}
	atomic_store(&passed, 0);
	run_threads(go_through_gates, run_crew);
	assert_int_equal(atomic_load(&passed), 50 * THREADS * TASKS);
}

/* Woken from two other threads at once, and gone the moment after: who wakes must not need the loop any more. */
#define LOOPS (switch_is_sanitized ? 200 : 2000)

static struct brief {
	struct sl_sem is_waiting, token;
} briefs[2];

static int wait_briefly(struct sl_context *ctx, void *arg)
{
	struct brief *brief = arg;

	return sl_sem_take(ctx, &brief->token, SL_NEVER);
}

static void *end_when_woken(void *arg)
{
	struct sl_context ctx = { 0 };
	struct sl_group group;

	sl_group_open(&ctx, &group, 0);
	assert_int_equal(sl_group_start(&group, wait_briefly, &briefs[0]), 0);
	assert_int_equal(sl_group_start(&group, wait_briefly, &briefs[1]), 0);
	assert_int_equal(sl_yield(&ctx), 0);
	sl_sem_give(&briefs[0].is_waiting);
	sl_sem_give(&briefs[1].is_waiting);
	assert_int_equal(sl_group_close(&group), 0);
	end_clean();
	return arg;
}

static void *wake_each(void *arg)
{
	struct sl_context ctx = { 0 };
	struct brief *brief = arg;

	for (int i = 0; i < LOOPS; i++) {
		assert_int_equal(sl_sem_take(&ctx, &brief->is_waiting, SL_NEVER), 0);
		sl_sem_give(&brief->token);
	}
	end_clean();
	return NULL;
}

static void a_loop_may_end_as_soon_as_its_tasks_are_woken(void **state)
{
	pthread_t wakers[2], thread;

	(void)state;
	for (int i = 0; i < 2; i++) {
		sl_sem_init(&briefs[i].is_waiting, 0);
		sl_sem_init(&briefs[i].token, 0);
		assert_int_equal(pthread_create(&wakers[i], NULL, wake_each, &briefs[i]), 0);
	}
	for (int i = 0; i < LOOPS; i++) {
		assert_int_equal(pthread_create(&thread, NULL, end_when_woken, NULL), 0);
		assert_int_equal(pthread_join(thread, NULL), 0);
	}
	for (int i = 0; i < 2; i++) {
		assert_int_equal(pthread_join(wakers[i], NULL), 0);
		assert_int_equal(briefs[i].is_waiting.value + briefs[i].token.value, 0);
	}
}

/* --- the bank -------------------------------------------------------------------------------------------- */

static struct bank {
	int64_t balance;
	bool has_lock;
	struct sl_lock lock;
	/* Without the lock all four read before any writes, however the machine runs them. */
	atomic_int readers;
	struct sl_event all_have_read;
} bank;

static int withdraw(struct sl_context *ctx, void *arg)
{
	int64_t balance;

	(void)arg;
	if (bank.has_lock)
		assert_int_equal(sl_lock_take(ctx, &bank.lock, SL_NEVER), 0);
	balance = __atomic_load_n(&bank.balance, __ATOMIC_RELAXED);
	if (!bank.has_lock) {
		if (atomic_fetch_add(&bank.readers, 1) == 3)
			sl_event_set(&bank.all_have_read);
		assert_int_equal(sl_event_wait(ctx, &bank.all_have_read, SL_NEVER), 0);
	}
	assert_int_equal(sl_sleep_until(ctx, in(2 * MS)), 0);
	__atomic_store_n(&bank.balance, balance - 50, __ATOMIC_RELAXED);
	if (bank.has_lock)
		sl_lock_give(ctx, &bank.lock);
	return 0;
}

static void open_bank(bool has_lock)
{
	bank = (struct bank){ .balance = 1000, .has_lock = has_lock };
	sl_lock_init(&bank.lock);
	sl_event_init(&bank.all_have_read);
}

static int withdraw_four_times(struct sl_context *ctx, void *arg)
{
	struct sl_group group;

	open_bank(*(const bool *)arg);
	sl_group_open(ctx, &group, 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(sl_group_start(&group, withdraw, NULL), 0);
	assert_int_equal(sl_group_close(&group), 0);
	assert_int_equal(bank.balance, bank.has_lock ? 800 : 950);
	return 0;
}

static void *withdraw_in_a_thread(void *arg)
{
	struct sl_context ctx = { 0 };

	assert_int_equal(withdraw(&ctx, NULL), 0);
	end_clean();
	return arg;
}

static void withdraw_in_four_threads(bool has_lock)
{
	pthread_t threads[4];

	open_bank(has_lock);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, withdraw_in_a_thread, NULL), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(bank.balance, has_lock ? 800 : 950);
}

static void without_a_lock_the_bank_loses_withdrawals(void **state)
{
	bool has_lock = false;

	(void)state;
	both(withdraw_four_times, &has_lock);
	withdraw_in_four_threads(false);
}

static void with_a_lock_the_balance_is_right(void **state)
{
	bool has_lock = true;

	(void)state;
	for (int i = 0; i < 5; i++) {
		both(withdraw_four_times, &has_lock);
		withdraw_in_four_threads(true);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_waits_first_is_served_first),
		cmocka_unit_test(an_event_wakes_all_who_wait),
		cmocka_unit_test(a_channel_is_bounded_and_in_order),
		cmocka_unit_test(close_of_a_channel_wakes_both_ends),
		cmocka_unit_test(a_cancel_loses_nothing_that_was_given),
		cmocka_unit_test(who_gives_up_leaves_the_line_and_the_rest_in_order),
		cmocka_unit_test(no_token_is_lost_between_threads),
		cmocka_unit_test(a_lock_keeps_threads_apart),
		cmocka_unit_test(no_item_is_lost_between_threads),
		cmocka_unit_test(a_cancel_loses_no_item_between_threads),
		cmocka_unit_test(an_event_wakes_tasks_of_all_threads),
		cmocka_unit_test(a_loop_may_end_as_soon_as_its_tasks_are_woken),
		cmocka_unit_test(without_a_lock_the_bank_loses_withdrawals),
		cmocka_unit_test(with_a_lock_the_balance_is_right),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
