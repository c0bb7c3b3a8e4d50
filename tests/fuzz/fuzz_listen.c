/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as what is sent over a connection: the first says how it is framed and in which pieces it comes. Nothing of it gets lost or comes twice, memory
 * stays bounded, and what is a syslog message becomes a well-formed record.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../stages/listen/frame.h"
#include "../../stages/listen/syslog.h"

#define MAX 200
#define NOW 1780000000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_message(const char *text, size_t size)
{
	/* A copy of its own, so that reading beyond it is found. */
	char *copy = malloc(size + (size == 0));
	struct sl_writer w, scratch;
	struct syslog message;

	if (!copy)
		abort();
	memcpy(copy, text, size);
	sl_writer_init(&w);
	sl_writer_init(&scratch);
	if (!syslog_parse(copy, size, NOW, &message)) {
		sl_put_map(&w, SYSLOG_FIELDS);
		syslog_put(&w, &message, &scratch);
		if (sl_record_done(&w) < 0 || !sl_check(w.data, w.mark))
			abort();
	}
	sl_writer_fini(&w);
	sl_writer_fini(&scratch);
	free(copy);
}

static size_t drain(struct frames *frames, const struct frame_rules *rules)
{
	enum frame_outcome outcome;
	const char *text;
	size_t size, sum = 0;

	while ((outcome = frames_next(frames, rules, &text, &size)) != FRAME_NONE) {
		if (outcome == FRAME_WHOLE && size > rules->max)
			abort();
		if (outcome == FRAME_WHOLE)
			check_message(text, size);
		sum += size;
	}
	return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct frames frames = { 0 };
	struct frame_rules rules = { .max = MAX };
	size_t step, sum = 0;

	if (size == 0)
		return 0;
	rules.framing = (enum framing)(data[0] % 3);
	step = 1 + data[0] / 3;
	for (size_t at = 1; at < size; at += step) {
		size_t piece = size - at < step ? size - at : step;
		char *room = frames_room(&frames, piece);

		if (!room)
			abort();
		memcpy(room, data + at, piece);
		frames_added(&frames, piece);
		sum += drain(&frames, &rules);
		frames_shrink(&frames);
		if (frames.size - frames.begin > MAX + step + 16 && !frames.has_trouble)
			abort();
	}
	frames_end(&frames);
	sum += drain(&frames, &rules);
	if (sum > size)
		abort();
	if (frames.begin != frames.size && !frames.has_trouble)
		abort();
	frames_fini(&frames);
	check_message((const char *)data + 1, size - 1);
	return 0;
}
