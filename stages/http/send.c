/* SPDX-License-Identifier: MIT */
/* See send.h. */
#include "send.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "packed.h"
#include "target.h"

#define HALVES_MAX 33 /* of halves that wait: a batch has less than 2^32 records */
#define LINES_MAX 3
#define CONFLICTS_MAX 5

/* Pieces by their numbers, of which some may be with the server by now: then they are out of it. */
struct bundle {
	uint32_t *items;
	uint32_t count;
};

/* One bundle, tried again and again. */
struct tries {
	int64_t since; /* when it failed first; 0: it has not */
	int64_t wait;
	int64_t not_before;
	unsigned conflicts; /* answers 409 */
	bool may_halve;
	struct reason reason;
};

/* What one request is made of. */
struct letter {
	struct sl_writer url;
	struct sl_writer body;
	struct sl_writer packed;
	uint32_t *records;
	char key[KEY_SIZE];
	char key_line[300];
	struct client_answer answer;
};

static void letter_fini(struct letter *l)
{
	sl_writer_fini(&l->url);
	sl_writer_fini(&l->body);
	sl_writer_fini(&l->packed);
	free(l->records);
	client_answer_fini(&l->answer);
}

/* --- what is sent --------------------------------------------------------------------------------- */

static int put_body(const struct send *s, const struct bundle *b, struct sl_writer *w)
{
	const struct pieces *p = s->pieces;
	bool is_array = s->sink->body == BODY_JSON;

	if (s->sink->body == BODY_CSV)
		text_put(w, p->head.data, p->head.size);
	for (uint32_t i = 0; i < b->count; i++) {
		const struct piece *piece = &p->items[b->items[i]];

		if (is_array)
			text_put(w, i == 0 ? "[" : ",", 1);
		text_put(w, p->text.data + piece->at, piece->size);
	}
	if (is_array)
		text_put(w, "]", 1);
	return w->error;
}

static int name_letter(const struct send *s, const struct bundle *b, struct letter *l)
{
	l->records = calloc(b->count, sizeof(*l->records));
	if (!l->records)
		return -ENOMEM;
	for (uint32_t i = 0; i < b->count; i++)
		l->records[i] = s->pieces->items[b->items[i]].record;
	key_make(l->key, &s->id, s->name, l->records, b->count);
	(void)snprintf(l->key_line, sizeof(l->key_line), "%s: %s", s->sink->key_header, l->key);
	return 0;
}

/* A name that says so itself is that of a file which is stored as it is. */
static bool is_gzip_file(const char *url)
{
	size_t size = strcspn(url, "?#");

	return size > 3 && memcmp(url + size - 3, ".gz", 3) == 0;
}

static int write_letter(const struct send *s, const struct bundle *b,
	const struct template_input *input, struct letter *l, struct reason *reason)
{
	int r = put_body(s, b, &l->body);

	if (r == 0)
		r = target_print(&s->sink->url_template, input, &l->url, reason);
	if (r == 0 && s->sink->compress == COMPRESS_GZIP)
		r = packed_put(&l->packed, l->body.data, l->body.size);
	return r;
}

/* As client_call: 0, CLIENT_REFUSED, CLIENT_LATER, or a negative errno. */
static int post(struct sl_context *ctx, const struct send *s, const struct bundle *b,
	struct sl_value record, struct letter *l)
{
	bool is_packed = s->sink->compress == COMPRESS_GZIP;
	const struct template_input input = { .record = record, .key = l->key };
	const char *lines[LINES_MAX] = { NULL };
	struct client_request request = {
		.method = s->sink->method, .input = input, .lines = lines, .keeps_body = true
	};
	uint32_t count = 0;
	int r = write_letter(s, b, &input, l, &l->answer.reason);

	if (r < 0)
		return r == -EINVAL ? CLIENT_REFUSED : r;
	if (*s->sink->key_header)
		lines[count++] = l->key_line;
	if (is_packed && !is_gzip_file(l->url.data))
		lines[count++] = "Content-Encoding: gzip";
	request.url = l->url.data;
	request.body = is_packed ? l->packed.data : l->body.data;
	request.body_size = is_packed ? l->packed.size : l->body.size;
	return client_call(ctx, &s->sink->http, &request, &l->answer);
}

/* --- what becomes of it --------------------------------------------------------------------------- */

static int refuse(const struct send *s, uint32_t piece, const char *why)
{
	char **at = &s->refused[s->pieces->items[piece].record];

	*at = strdup(why);
	return *at ? 0 : -ENOMEM;
}

static int refuse_all(const struct send *s, const struct bundle *b, const char *why)
{
	int r = 0;

	for (uint32_t i = 0; i < b->count && r == 0; i++)
		r = refuse(s, b->items[i], why);
	return r;
}

/* The answer speaks of each record. What is to be sent again stays in the bundle. */
static int judge_items(const struct send *s, struct bundle *b, struct letter *l, struct tries *t)
{
	struct answer_items items;
	uint32_t left = 0;
	int r = answer_items_begin(&items, s->sink, &l->answer, b->count, &t->reason);

	for (uint32_t i = 0; i < b->count && r == 0; i++) {
		int verdict = answer_items_next(&items, l->url.data, &t->reason);

		if (verdict == CLIENT_LATER)
			b->items[left++] = b->items[i];
		else if (verdict == CLIENT_REFUSED)
			r = refuse(s, b->items[i], t->reason.text);
	}
	answer_items_end(&items);
	if (r == 0)
		b->count = left;
	return r == 0 && left > 0 ? CLIENT_LATER : r;
}

/* Statuses that speak of what is in the body. */
static bool is_about_body(long status)
{
	return status == 400 || status == 409 || status == 413 || status == 422;
}

/* Nothing came back, for a reason that may go: a certificate has run out, something else answers at the port. */
static bool is_outage(const struct client_answer *answer)
{
	return answer->error == -EPROTO;
}

/* A server that is still busy with a predecessor's request of this name says so; but a conflict may also be for good. */
static bool is_under_way(const struct send *s, const struct client_answer *answer, struct tries *t)
{
	return answer->response.status == 409 && *s->sink->key_header &&
	       t->conflicts++ < CONFLICTS_MAX;
}

static int judge(const struct send *s, struct bundle *b, struct letter *l, struct tries *t, int r)
{
	t->not_before = 0;
	t->may_halve = is_about_body(l->answer.response.status);
	if (r == 0 && s->sink->items)
		return judge_items(s, b, l, t);
	if (r == 0) {
		b->count = 0;
		return 0;
	}
	t->reason = l->answer.reason;
	t->not_before = l->answer.not_before;
	if (r == CLIENT_REFUSED && (is_outage(&l->answer) || is_under_way(s, &l->answer, t)))
		return CLIENT_LATER;
	return r;
}

static int try_once(struct sl_context *ctx, const struct send *s, struct bundle *b, struct tries *t)
{
	struct letter *l = calloc(1, sizeof(*l));
	int r = l ? name_letter(s, b, l) : -ENOMEM;

	if (r == 0) {
		r = post(ctx, s, b, sl_batch_record(s->batch, l->records[0]), l);
		r = r < 0 ? r : judge(s, b, l, t, r);
	}
	if (l)
		letter_fini(l);
	free(l);
	return r;
}

/* --- waiting -------------------------------------------------------------------------------------- */

/* From half to the whole of it, so that those that failed together do not come back together. */
static int64_t with_jitter(int64_t wait)
{
	int64_t half = wait / 2;

	return half + (int64_t)((double)half * arc4random() / UINT32_MAX);
}

/* 0; CLIENT_REFUSED: it was tried for long enough; -ECANCELED. An outage is said once, however long it is. */
static int wait_again(struct sl_context *ctx, const struct send *s, struct tries *t)
{
	const struct sink *sink = s->sink;
	int64_t now = sl_now();
	int64_t at;

	if (t->since == 0)
		t->since = now;
	if (sink->give_up > 0 && now - t->since >= sink->give_up)
		return CLIENT_REFUSED;
	if (!*s->is_away)
		sl_log(ctx, SL_LOG_WARNING, "%s: trying until it works", t->reason.text);
	*s->is_away = true;
	t->wait = t->wait == 0 ? sink->retry_wait : 2 * t->wait;
	t->wait = t->wait < sink->retry_wait_max ? t->wait : sink->retry_wait_max;
	at = now + with_jitter(t->wait);
	return sl_sleep_until(ctx, at > t->not_before ? at : t->not_before);
}

static void note_recovery(struct sl_context *ctx, const struct send *s, const struct tries *t)
{
	if (t->since == 0 || !*s->is_away)
		return;
	*s->is_away = false;
	sl_log(ctx, SL_LOG_INFO, "%s works again", s->name);
}

/* --- parts ---------------------------------------------------------------------------------------- */

/* 0: each record of it is with the server, or refused; CLIENT_REFUSED: those in the bundle are, together. */
static int settle(struct sl_context *ctx, const struct send *s, struct bundle *b, struct tries *t)
{
	int r = 0;

	while (r == 0 && b->count > 0) {
		r = try_once(ctx, s, b, t);
		if (r == CLIENT_LATER)
			r = wait_again(ctx, s, t);
		else if (r >= 0)
			note_recovery(ctx, s, t);
	}
	return r;
}

static bool is_halved(const struct send *s, const struct bundle *b, const struct tries *t)
{
	return b->count > 1 && t->may_halve && s->sink->on_refused == REFUSED_BISECT;
}

static int send_bundle(
	struct sl_context *ctx, const struct send *s, uint32_t *items, uint32_t count)
{
	struct bundle halves[HALVES_MAX] = { { .items = items, .count = count } };
	uint32_t left = 1;
	int r = 0;

	while (r == 0 && left > 0) {
		struct bundle b = halves[--left];
		struct tries t = { 0 };

		r = settle(ctx, s, &b, &t);
		if (r == CLIENT_REFUSED && is_halved(s, &b, &t)) {
			uint32_t half = b.count / 2;

			halves[left++] = (struct bundle){ b.items + half, b.count - half };
			halves[left++] = (struct bundle){ b.items, half };
			r = 0;
		} else if (r == CLIENT_REFUSED) {
			r = refuse_all(s, &b, t.reason.text);
		}
	}
	return r;
}

/* --- all of them ---------------------------------------------------------------------------------- */

static int send_next(struct sl_context *ctx, void *arg)
{
	struct send *s = arg;
	int r = 0;

	while (r == 0 && s->next < s->pieces->part_count) {
		const struct part *part = &s->pieces->parts[s->next++];

		r = send_bundle(ctx, s, s->pieces->order + part->from, part->to - part->from);
	}
	return r;
}

/* The tasks share what they are to do: they run on one thread, and none waits between looking and taking. */
int send_parts(struct sl_context *ctx, struct send *s)
{
	uint64_t members = (uint64_t)s->sink->requests;
	struct sl_group group;
	int r = 0, closed;

	if (members > s->pieces->part_count)
		members = s->pieces->part_count;
	if (members <= 1)
		return send_next(ctx, s);
	sl_group_open(ctx, &group, 0);
	for (uint64_t i = 0; i < members && r == 0; i++)
		r = sl_group_start(&group, send_next, s);
	closed = sl_group_close(&group);
	return r < 0 ? r : closed;
}
