/* SPDX-License-Identifier: MIT */
/* See marks.h. */
#include "marks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "moment.h"

struct saved {
	uint64_t path;
	int64_t latest;
};

void marks_fini(struct marks *marks)
{
	free(marks->inputs);
	marks->inputs = NULL;
	marks->count = 0;
}

struct marks_input *marks_input(struct marks *marks, uint64_t path, int64_t now)
{
	struct marks_input *grown;

	for (uint32_t i = 0; i < marks->count; i++)
		if (marks->inputs[i].path == path) {
			marks->inputs[i].heard = now;
			return &marks->inputs[i];
		}
	grown = realloc(marks->inputs, (marks->count + 1) * sizeof(*grown));
	if (!grown)
		return NULL;
	marks->inputs = grown;
	grown[marks->count] = (struct marks_input){ path, MOMENT_NONE, now };
	return &grown[marks->count++];
}

/* Is one that says nothing waited for no more? */
static bool is_idle(const struct marks *marks, int64_t heard, int64_t now)
{
	return marks->idle > 0 && now - heard > marks->idle;
}

void marks_look(struct marks *marks, int64_t now)
{
	int64_t least = INT64_MAX;

	if (marks->count < marks->wanted && !is_idle(marks, marks->begun, now))
		return;
	for (uint32_t i = 0; i < marks->count; i++) {
		const struct marks_input *input = &marks->inputs[i];

		if (input->latest < least && !is_idle(marks, input->heard, now))
			least = input->latest;
	}
	if (least == INT64_MAX)
		least = marks->latest;
	if (least != MOMENT_NONE && least - marks->lateness > marks->mark)
		marks->mark = least - marks->lateness;
}

void marks_move(struct marks *marks, struct marks_input *input, int64_t time, int64_t now)
{
	if (time <= input->latest)
		return;
	input->latest = time;
	if (time > marks->latest)
		marks->latest = time;
	marks_look(marks, now);
}

/* --- bytes -------------------------------------------------------------------------------------- */

void marks_save(const struct marks *marks, struct sl_writer *w)
{
	int64_t both[] = { marks->mark, marks->latest };

	bytes_put(w, both, sizeof(both));
	for (uint32_t i = 0; i < marks->count; i++) {
		struct saved saved = { marks->inputs[i].path, marks->inputs[i].latest };

		bytes_put(w, &saved, sizeof(saved));
	}
}

int marks_load(struct marks *marks, const char *bytes, size_t size, int64_t now)
{
	int64_t both[2];
	struct saved saved;

	if (size < sizeof(both) || (size - sizeof(both)) % sizeof(saved) != 0)
		return -EBADMSG;
	memcpy(both, bytes, sizeof(both));
	marks->mark = both[0];
	marks->latest = both[1];
	for (size_t at = sizeof(both); at < size; at += sizeof(saved)) {
		struct marks_input *input;

		memcpy(&saved, bytes + at, sizeof(saved));
		input = marks_input(marks, saved.path, now);
		if (!input)
			return -ENOMEM;
		input->latest = saved.latest;
	}
	return 0;
}
