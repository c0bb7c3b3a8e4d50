/* SPDX-License-Identifier: MIT */
/* See fill.h. */
#include "supervisor/fill.h"

#include <stdio.h>

#include "base/units.h"

static uint64_t difference(uint64_t more, uint64_t less)
{
	return more > less ? more - less : 0;
}

bool fill_of(const struct graph *graph, uint32_t in, const struct page *put,
	const struct page *taken, struct fill *ret)
{
	struct fill fill;
	uint64_t deleted, settled;

	if (!put || !taken || graph_store(graph, in, &fill.store) < 0)
		return false;
	/* The positions of that source count records; what is settled is deleted a little later. */
	deleted = page_get(taken->store_records);
	settled = page_get(taken->settled);
	fill.records =
		difference(page_get(put->store_records), settled > deleted ? settled : deleted);
	fill.bytes = difference(page_get(put->store_bytes), page_get(taken->store_bytes));
	*ret = fill;
	return true;
}

void fill_add(struct fill *fill, const struct fill *other)
{
	fill->store.max += other->store.max;
	fill->records += other->records;
	fill->bytes += other->bytes;
}

const char *fill_print(const struct fill *fill, char *text, size_t size)
{
	char bytes[32], max[32];

	(void)snprintf(text, size, "%s of %s in the store",
		units_print_size(fill->bytes, bytes, sizeof(bytes)),
		units_print_size(fill->store.max, max, sizeof(max)));
	return text;
}
