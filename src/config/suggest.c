/* SPDX-License-Identifier: MIT */
/* See suggest.h. */
#include "config/suggest.h"

#include <stddef.h>
#include <ctype.h>
#include <string.h>

#define NAME_MAX_SIZE 40

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* Optimal string alignment, over three rows; upper and lower case are the same. */
static unsigned distance(const char *a, size_t a_size, const char *b, size_t b_size)
{
	unsigned rows[3][NAME_MAX_SIZE + 1];
	unsigned *before = rows[0], *last = rows[1], *row = rows[2];

	for (unsigned j = 0; j <= b_size; j++)
		last[j] = j;
	for (unsigned i = 1; i <= a_size; i++) {
		row[0] = i;
		for (unsigned j = 1; j <= b_size; j++) {
			int x = tolower((unsigned char)a[i - 1]),
			    y = tolower((unsigned char)b[j - 1]);

			row[j] = least(last[j - 1] + (x != y), least(last[j], row[j - 1]) + 1);
			if (i > 1 && j > 1 && x == tolower((unsigned char)b[j - 2]) &&
				y == tolower((unsigned char)a[i - 2]))
				row[j] = least(row[j], before[j - 2] + 1);
		}
		unsigned *oldest = before;

		before = last;
		last = row;
		row = oldest;
	}
	return last[b_size];
}

void suggest_init(struct suggest *suggest, const char *written)
{
	size_t size = strlen(written);

	/* One mistake in a short name, one in three letters of a long one; of a single letter nothing is near. */
	*suggest = (struct suggest){ .written = written,
		.distance = size < 6 ? 1 + (size > 1) : (unsigned)size / 3 + 1 };
}

void suggest_offer(struct suggest *suggest, const char *name)
{
	size_t written_size = strlen(suggest->written), name_size = strlen(name);
	unsigned d;

	if (written_size > NAME_MAX_SIZE || name_size > NAME_MAX_SIZE)
		return;
	d = distance(suggest->written, written_size, name, name_size);
	if (d < suggest->distance) {
		suggest->distance = d;
		suggest->best = name;
	}
}
