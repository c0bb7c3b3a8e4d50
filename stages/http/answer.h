/* SPDX-License-Identifier: MIT */
/* An answer that speaks of each record of the request: an array, at `items`, of {"status": 201} or {"index": {"status": 400, "error": ...}}. */
#ifndef STAGES_HTTP_ANSWER_H
#define STAGES_HTTP_ANSWER_H

#include "sink.h"

struct answer_items {
	const struct sink *sink;
	const struct client_answer *answer;
	struct sl_writer value;
	struct sl_cursor at;
};

/*
 * `count`: how many records the request had. 0; CLIENT_REFUSED with the reason: it does not speak of each; -ENOMEM. To be given to
 * answer_items_end in any case. `answer` is borrowed until then.
 */
int answer_items_begin(struct answer_items *items, const struct sink *sink,
	const struct client_answer *answer, uint32_t count, struct reason *reason);
/* The next one: 0: it is there; CLIENT_REFUSED or CLIENT_LATER with the reason. `url`: where, for people. */
int answer_items_next(struct answer_items *items, const char *url, struct reason *reason);
void answer_items_end(struct answer_items *items);

#endif
