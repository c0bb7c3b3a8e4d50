/* SPDX-License-Identifier: MIT */
/* Frames: what is put is got back; what is cut, stretched or of another version is refused. */
#include <stdarg.h>
#include <errno.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "link/frame.h"

static const struct batch_head head = {
	.id = { .run = 1, .origin = 2, .start = 3, .end = 40, .path = UINT64_MAX },
	.floor = 3,
	.after_origin = 7,
	.after_end = 8,
	.count = 5,
	.attempt = 2,
	.again = true,
	.origin_done = true,
};

static void batch_round_trip(void **state)
{
	uint8_t data[FRAME_FIXED_MAX];
	size_t size = frame_put_batch(data, &head, 99);
	struct batch_head got;
	uint64_t payload = 0;

	(void)state;
	assert_true(size <= sizeof(data));
	assert_int_equal(frame_type(data, size), FRAME_BATCH);
	assert_int_equal(frame_get_batch(data, size, &got, &payload), 0);
	assert_int_equal(payload, 99);
	assert_memory_equal(&got.id, &head.id, sizeof(head.id));
	assert_int_equal(got.floor, head.floor);
	assert_int_equal(got.after_origin, 7);
	assert_int_equal(got.after_end, 8);
	assert_int_equal(got.count, 5);
	assert_int_equal(got.attempt, 2);
	assert_true(got.again && got.origin_done);
}

/* Every shorter one, and one byte more, is refused and leaves the result alone. */
static void batch_of_any_other_size(void **state)
{
	uint8_t data[FRAME_FIXED_MAX + 1] = { 0 };
	size_t size = frame_put_batch(data, &head, 99);
	struct batch_head got = { .count = 77 };
	uint64_t payload = 66;

	(void)state;
	for (size_t cut = 0; cut < size; cut++)
		assert_int_equal(frame_get_batch(data, cut, &got, &payload), -EBADMSG);
	assert_int_equal(frame_get_batch(data, size + 1, &got, &payload), -EBADMSG);
	assert_int_equal(got.count, 77);
	assert_int_equal(payload, 66);
}

static void batch_that_cannot_be(void **state)
{
	uint8_t data[FRAME_FIXED_MAX];
	struct batch_head bad = head;
	struct batch_head got;
	uint64_t payload;
	size_t size;

	(void)state;
	bad.id.start = 41;
	size = frame_put_batch(data, &bad, 99);
	assert_int_equal(frame_get_batch(data, size, &got, &payload), -EBADMSG);
	/* More records than bytes. */
	size = frame_put_batch(data, &head, 4);
	assert_int_equal(frame_get_batch(data, size, &got, &payload), -EBADMSG);
	size = frame_put_batch(data, &head, 99);
	data[0] = FRAME_VERSION + 1;
	assert_int_equal(frame_type(data, size), -EBADMSG);
	assert_int_equal(frame_get_batch(data, size, &got, &payload), -EBADMSG);
}

static void settled_round_trip(void **state)
{
	uint64_t tally[6] = { 0, 5, 0, 0, 9, 0 };
	uint8_t data[FRAME_FIXED_MAX + 6 * FRAME_CELL_SIZE];
	size_t size = frame_put_settled(data, &head.id, 11, tally, 6);
	struct frame_settled got;
	struct frame_cell cell;

	(void)state;
	assert_true(size <= frame_settled_size(6));
	assert_int_equal(frame_get_settled(data, size, &got), 0);
	assert_int_equal(got.received, 11);
	assert_int_equal(got.cell_count, 2);
	cell = frame_cell_at(&got, 1);
	assert_int_equal(cell.index, 4);
	assert_int_equal(cell.value, 9);
	for (size_t cut = 0; cut < size; cut++)
		assert_int_equal(frame_get_settled(data, cut, &got), -EBADMSG);
}

static void small_ones_round_trip(void **state)
{
	uint8_t data[FRAME_FIXED_MAX + FRAME_REASON_MAX];
	struct frame_hello hello = { 1, 2, 3, 4 }, hello2;
	struct frame_grant grant = { 1, 500 }, grant2;
	struct frame_failed failed;
	struct frame_floor floors[2] = { { 1, 10 }, { 2, 20 } };
	struct frame_ping ping;
	uint32_t how = 9;
	size_t size;

	(void)state;
	size = frame_put_hello(data, &hello);
	assert_int_equal(frame_get_hello(data, size, &hello2), 0);
	assert_memory_equal(&hello, &hello2, sizeof(hello));
	size = frame_put_grant(data, &grant);
	assert_int_equal(frame_get_grant(data, size, &grant2), 0);
	assert_memory_equal(&grant, &grant2, sizeof(grant));
	grant.wish = 0; /* nobody can wish for no record */
	size = frame_put_grant(data, &grant);
	assert_int_equal(frame_get_grant(data, size, &grant2), -EBADMSG);
	size = frame_put_failed(data, &head.id, "why");
	assert_int_equal(frame_get_failed(data, size, &failed), 0);
	assert_int_equal(failed.reason_size, 3);
	assert_memory_equal(failed.reason, "why", 3);
	size = frame_put_sentinel(data, 1);
	assert_int_equal(frame_get_sentinel(data, size, &how), 0);
	assert_int_equal(how, 1);
	size = frame_put_sentinel(data, 2);
	assert_int_equal(frame_get_sentinel(data, size, &how), -EBADMSG);
	size = frame_put_ping(data, floors, 2);
	assert_int_equal(frame_get_ping(data, size, &ping), 0);
	assert_int_equal(ping.floor_count, 2);
	assert_int_equal(frame_floor_at(&ping, 1).floor, 20);
	assert_int_equal(frame_get_ping(data, size - 1, &ping), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(batch_round_trip),
		cmocka_unit_test(batch_of_any_other_size),
		cmocka_unit_test(batch_that_cannot_be),
		cmocka_unit_test(settled_round_trip),
		cmocka_unit_test(small_ones_round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
