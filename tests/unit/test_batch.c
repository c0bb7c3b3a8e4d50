/* SPDX-License-Identifier: MIT */
/* Batches: a payload is exactly its records, or it is refused; the writer's memory moves into the batch. */
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "record/batch.h"

static void release_nothing(void *owner)
{
	(*(int *)owner)++;
}

static struct sl_batch *over(const char *data, size_t size, uint32_t count, int *released)
{
	struct batch_head head = { .count = count };

	return batch_over(&head, data, size, release_nothing, released);
}

static void takes_what_was_written(void **state)
{
	struct batch_head head = { .id.start = 4 };
	struct sl_writer w;
	struct sl_batch *batch;
	int64_t x;

	(void)state;
	sl_writer_init(&w);
	for (int64_t i = -3; i < 300; i++) {
		sl_put_int(&w, i);
		assert_int_equal(sl_record_done(&w), 0);
	}
	sl_put_cstr(&w, "not ended");
	sl_record_abandon(&w);
	batch = batch_from_writer(&w, &head);
	assert_non_null(batch);
	assert_null(w.data);
	assert_int_equal(batch_check(batch), 0);
	assert_int_equal(sl_batch_count(batch), 303);
	assert_true(sl_get_int(sl_batch_record(batch, 302), &x));
	assert_int_equal(x, 299);
	batch_unref(batch_ref(batch));
	batch_unref(batch);
}

static void refuses_what_is_not_its_records(void **state)
{
	static const char three[] = { 1, 2, 3 };
	static const char broken[] = { (char)0x92, 1 };
	int released = 0;
	struct sl_batch *batch;

	(void)state;
	batch = over(three, 3, 3, &released);
	assert_int_equal(batch_check(batch), 0);
	batch_unref(batch);
	for (uint32_t count = 0; count < 10; count++) {
		if (count == 3)
			continue;
		batch = over(three, 3, count, &released);
		assert_int_equal(batch_check(batch), -EBADMSG);
		batch_unref(batch);
	}
	batch = over(broken, 2, 1, &released);
	assert_int_equal(batch_check(batch), -EBADMSG);
	batch_unref(batch);
	/* A container with 2^32 - 16 members that are not there. */
	batch = over("\xdd\xff\xff\xff\xf0", 5, 1, &released);
	assert_int_equal(batch_check(batch), -EBADMSG);
	batch_unref(batch);
	/* An absurd count must not become an absurd allocation. */
	batch = over(three, 3, UINT32_MAX, &released);
	assert_int_equal(batch_check(batch), -EBADMSG);
	batch_unref(batch);
	assert_int_equal(released, 13);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_what_was_written),
		cmocka_unit_test(refuses_what_is_not_its_records),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
