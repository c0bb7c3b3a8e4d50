/* SPDX-License-Identifier: MIT */
/*
 * An outlet over a real socket, and a downstream instance that says frame by frame what the test wants: credit that comes back once and
 * only once, the answer to a hole that is not the answer to the batch of that name, and what comes before the sentinel.
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>
#include <zmq.h>

#include "link/frame.h"
#include "link/outlet.h"
#include "link/tally.h"

#define QUEUE 2
#define ORIGIN 5
#define DEADLINE_MS 5000

static const char *const ports[] = { "out" };
static const uint32_t links[] = { 0 };
static struct graph_stage stages[] = {
	{ .name = "a",
		.role = SL_SOURCE,
		.processes = 1,
		.threads = 1,
		.retain = 1 << 20,
		.ports = ports,
		.port_count = 1,
		.outputs = links,
		.output_count = 1 },
	{ .name = "b",
		.role = SL_SINK,
		.processes = 1,
		.threads = 1,
		.queue = QUEUE,
		.inputs = links,
		.input_count = 1 },
};
static struct graph_link link_of_both = { .upstream = 0, .downstream = 1 };
static const struct graph graph = {
	.stages = stages, .stage_count = 2, .links = &link_of_both, .link_count = 1
};

struct fixture {
	struct link_env env;
	struct outlet *outlet;
	void *peer;
	uint32_t epoch; /* of the peer */
	char folder[32];
	uint32_t settled;
	uint64_t tally[6];
};

static void read_no_words(void *user)
{
	(void)user;
}

static void not_silent(void *user, uint32_t stage, uint32_t instance, uint32_t epoch)
{
	(void)user;
	fail_msg("%u.%u.%u is silent", stage, instance, epoch);
}

static void on_settled(void *user, void *cookie, const uint64_t *tally)
{
	struct fixture *f = user;

	(void)cookie;
	f->settled++;
	tally_add(f->tally, tally, tally_size(&graph));
}

static void on_failed(void *user, const char *reason)
{
	(void)user;
	fail_msg("failed: %s", reason);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct err err = { 0 };

	assert_non_null(f);
	(void)snprintf(f->folder, sizeof(f->folder), "/tmp/slXXXXXX");
	assert_non_null(mkdtemp(f->folder));
	f->env = (struct link_env){
		.zmq = zmq_ctx_new(),
		.graph = &graph,
		.runtime = f->folder,
		.epoch = 1,
		.run = 1,
		.read_words = read_no_words,
		.silent = not_silent,
		.settled = on_settled,
		.failed = on_failed,
		.user = f,
	};
	assert_int_equal(outlet_open(&f->env, 0, &f->outlet, &err), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char path[64];

	outlet_close(f->outlet);
	(void)zmq_close(f->peer);
	(void)zmq_ctx_term(f->env.zmq);
	floors_free(&f->env.floors);
	(void)snprintf(path, sizeof(path), "%s/a.out.0", f->folder);
	(void)unlink(path);
	(void)rmdir(f->folder);
	free(f);
	return 0;
}

/* --- the peer ----------------------------------------------------------------------------------- */

static void say(struct fixture *f, const uint8_t *frame, size_t size)
{
	assert_int_equal(zmq_send(f->peer, frame, size, 0), size);
}

/* Lets the outlet read what was said: until it has heard something. */
static void hear(struct fixture *f)
{
	zmq_pollitem_t item = { .socket = outlet_socket(f->outlet), .events = ZMQ_POLLIN };

	assert_int_equal(zmq_poll(&item, 1, DEADLINE_MS), 1);
	outlet_receive(f->outlet);
}

/* A process takes the place of the one before it, if any. */
static void connect_peer(struct fixture *f)
{
	struct frame_hello hello = { .stage = 1, .epoch = ++f->epoch, .outlet_epoch = 1 };
	uint8_t frame[FRAME_FIXED_MAX];
	char text[64];
	int timeout = DEADLINE_MS;
	int size = snprintf(text, sizeof(text), "b.0.%u", f->epoch);

	if (f->peer) {
		outlet_peer_gone(f->outlet, 1, 0, f->epoch - 1);
		(void)zmq_close(f->peer);
	}
	f->peer = zmq_socket(f->env.zmq, ZMQ_DEALER);
	(void)zmq_setsockopt(f->peer, ZMQ_ROUTING_ID, text, (size_t)size);
	(void)zmq_setsockopt(f->peer, ZMQ_RCVTIMEO, &timeout, sizeof(timeout));
	(void)snprintf(text, sizeof(text), "ipc://%s/a.out.0", f->folder);
	assert_int_equal(zmq_connect(f->peer, text), 0);
	say(f, frame, frame_put_hello(frame, &hello));
	hear(f);
}

/* The next frame, of that type; of a batch also its head. */
static struct batch_head expect(struct fixture *f, enum frame_type type)
{
	struct batch_head head = { 0 };
	uint8_t frame[1024], payload[1024];
	uint64_t payload_size;
	int size = zmq_recv(f->peer, frame, sizeof(frame), 0);

	assert_true(size > 0);
	assert_int_equal(frame_type(frame, (size_t)size), type);
	if (type == FRAME_BATCH) {
		assert_int_equal(frame_get_batch(frame, (size_t)size, &head, &payload_size), 0);
		assert_int_equal(zmq_recv(f->peer, payload, sizeof(payload), 0), payload_size);
	}
	return head;
}

static void say_begun(struct fixture *f)
{
	const struct frame_grant grant = { .count = 1, .wish = 1 };
	uint8_t frame[FRAME_FIXED_MAX];

	say(f, frame, frame_put_grant(frame, &grant));
	hear(f);
}

static void say_settled(struct fixture *f, const struct batch_head *head)
{
	const uint64_t tally[6] = { 0 };
	uint8_t frame[1024];

	say(f, frame, frame_put_settled(frame, &head->id, head->count, tally, 6));
	hear(f);
}

/* --- batches ------------------------------------------------------------------------------------ */

static void release_nothing(void *owner)
{
	(void)owner;
}

static void take_some(struct fixture *f, uint64_t start, uint32_t count)
{
	struct batch_head head = {
		.id = { .run = 1, .origin = ORIGIN, .start = start, .end = start + 1 },
		.count = count
	};
	struct outlet_output output = { .whole = batch_over(
						&head, "12345", count, release_nothing, NULL) };

	assert_non_null(output.whole);
	assert_int_equal(outlet_take(f->outlet, &output, NULL), 0);
}

/* One of five records, at that position. */
static void take(struct fixture *f, uint64_t start)
{
	take_some(f, start, 5);
}

static void check_credit(struct fixture *f, uint32_t credit)
{
	assert_true(credit == 0 || outlet_has_credit(f->outlet, credit - 1));
	assert_false(outlet_has_credit(f->outlet, credit));
}

/* Takes a batch above the floor, and has it settled by a peer that is reaped then; its successor is there. */
static struct batch_head make_hole(struct fixture *f)
{
	struct batch_head head;

	assert_true(floors_raise(&f->env.floors, ORIGIN, 0, 0) >= 0);
	connect_peer(f);
	(void)expect(f, FRAME_PING);
	take(f, 10);
	head = expect(f, FRAME_BATCH);
	say_settled(f, &head);
	assert_int_equal(f->settled, 1);
	connect_peer(f);
	(void)expect(f, FRAME_PING);
	head = expect(f, FRAME_BATCH);
	assert_int_equal(head.id.start, 10);
	assert_int_equal(head.count, 0);
	return head;
}

/* --- tests -------------------------------------------------------------------------------------- */

static void a_hole_takes_credit_and_gives_it_back(void **state)
{
	struct fixture *f = *state;
	struct batch_head hole = make_hole(f);

	check_credit(f, QUEUE - 1);
	say_begun(f);
	check_credit(f, QUEUE);
	say_settled(f, &hole);
	check_credit(f, QUEUE);
}

/* It is made again after a death upstream, while the hole is on its way. */
static void a_holes_answer_is_not_the_batchs(void **state)
{
	struct fixture *f = *state;
	struct batch_head hole = make_hole(f);
	struct batch_head again;

	take(f, 10);
	again = expect(f, FRAME_BATCH);
	assert_int_equal(again.count, 5);
	say_settled(f, &hole);
	assert_int_equal(f->settled, 1);
	say_settled(f, &again);
	assert_int_equal(f->settled, 2);
	assert_int_equal(f->tally[tally_sent(0)], 10);
	assert_int_equal(f->tally[tally_received(0)], 10);
}

/* Above, a hole was filled for a successor: what it makes of that has the name of the batch that its predecessor sent, and both are on their way. */
static void settle_both(struct fixture *f, bool is_empty_last)
{
	struct batch_head heads[2];

	connect_peer(f);
	(void)expect(f, FRAME_PING);
	take_some(f, 10, is_empty_last ? 5 : 0);
	take_some(f, 10, is_empty_last ? 0 : 5);
	heads[0] = expect(f, FRAME_BATCH);
	heads[1] = expect(f, FRAME_BATCH);
	say_settled(f, &heads[0]);
	assert_int_equal(f->settled, 1);
	say_settled(f, &heads[1]);
	assert_int_equal(f->settled, 2);
	assert_true(outlet_is_settled(f->outlet));
	assert_int_equal(f->tally[tally_sent(0)], 5);
	assert_int_equal(f->tally[tally_received(0)], 5);
}

static void an_empty_one_behind_a_batch_of_its_name_is_settled(void **state)
{
	settle_both(*state, true);
}

static void a_batch_behind_an_empty_one_of_its_name_is_settled(void **state)
{
	settle_both(*state, false);
}

static void a_refused_batch_gives_credit_back_once(void **state)
{
	struct fixture *f = *state;
	struct batch_head head;
	uint8_t frame[FRAME_FIXED_MAX + FRAME_REASON_MAX];

	connect_peer(f);
	(void)expect(f, FRAME_PING);
	take(f, 10);
	head = expect(f, FRAME_BATCH);
	say_begun(f);
	say(f, frame, frame_put_failed(frame, &head.id, "no"));
	hear(f);
	/* Given again at once, to whoever is there. */
	head = expect(f, FRAME_BATCH);
	assert_true(head.again);
	check_credit(f, QUEUE - 1);
}

/* What is settled now is known below, whoever dies next. */
static void the_last_floors_come_before_the_sentinel(void **state)
{
	struct fixture *f = *state;

	connect_peer(f);
	(void)expect(f, FRAME_PING);
	assert_true(floors_raise(&f->env.floors, ORIGIN, 20, 0) > 0);
	outlet_end(f->outlet, WORD_HOW_END);
	(void)expect(f, FRAME_PING);
	(void)expect(f, FRAME_SENTINEL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_hole_takes_credit_and_gives_it_back, setup, teardown),
		cmocka_unit_test_setup_teardown(a_holes_answer_is_not_the_batchs, setup, teardown),
		cmocka_unit_test_setup_teardown(
			an_empty_one_behind_a_batch_of_its_name_is_settled, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_batch_behind_an_empty_one_of_its_name_is_settled, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_refused_batch_gives_credit_back_once, setup, teardown),
		cmocka_unit_test_setup_teardown(
			the_last_floors_come_before_the_sentinel, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
