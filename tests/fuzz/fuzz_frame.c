/* SPDX-License-Identifier: MIT */
/* Any bytes as a frame: refused, or every part of it can be read. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "link/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk_lists(const uint8_t *data, size_t size)
{
	struct frame_settled settled;
	struct frame_ping ping;
	struct frame_failed failed;
	volatile uint64_t sum = 0;

	if (frame_get_settled(data, size, &settled) == 0)
		for (uint32_t i = 0; i < settled.cell_count; i++)
			sum += frame_cell_at(&settled, i).value;
	if (frame_get_ping(data, size, &ping) == 0)
		for (uint32_t i = 0; i < ping.floor_count; i++)
			sum += frame_floor_at(&ping, i).floor;
	if (frame_get_failed(data, size, &failed) == 0)
		for (uint32_t i = 0; i < failed.reason_size; i++)
			sum += (unsigned char)failed.reason[i];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct frame_hello hello;
	struct frame_grant grant;
	struct batch_head head;
	uint64_t payload;
	uint32_t how;

	(void)frame_type(data, size);
	(void)frame_get_hello(data, size, &hello);
	(void)frame_get_grant(data, size, &grant);
	(void)frame_get_sentinel(data, size, &how);
	if (frame_get_batch(data, size, &head, &payload) == 0 &&
		(head.id.start > head.id.end || head.count > payload))
		abort();
	walk_lists(data, size);
	return 0;
}
