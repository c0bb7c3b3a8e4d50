/* SPDX-License-Identifier: MIT */
/*
 * The transform "exec" with a program that runs on. Each record adds its line to `questions` and waits for its turn in
 * `answering`; between the two it does not wait for anything else, so the order of the turns is the order of the lines.
 * Whose turn it is moves bytes both ways until its answer is there: a program that writes while it reads is never stuck.
 *
 * A record that gives up waiting (its timeout) leaves its line behind; whoever comes next passes over that answer. When
 * the program ends, the record whose answer was due is held responsible; the others ask the next program.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "transform.h"

#define ASK_AGAIN                                                                                  \
	100 /* beside SL_REJECTED and SL_RETRY: the program has gone, and it was not this record's fault */
#define MOVED_OUT                                                                                  \
	(256u << 10) /* so many written bytes at the front of `questions` are worth moving the rest */

void stream_init(struct stream *s)
{
	sl_lock_init(&s->starting);
	sl_lock_init(&s->answering);
	sl_writer_init(&s->questions);
	sl_writer_init(&s->row);
}

/* --- the program's life ------------------------------------------------------------------------------ */

static int end_program(struct sl_context *ctx, const struct transform *o, struct stream *s)
{
	int status = program_end(ctx, &s->program, s->is_hung ? 0 : o->plan.grace);

	s->is_running = false;
	s->is_broken = false;
	s->is_hung = false;
	if (s->program.discarded > 0)
		sl_log(ctx, SL_LOG_WARNING, "%s wrote %llu bytes more than it was asked for",
			o->plan.name, (unsigned long long)s->program.discarded);
	return status;
}

static int start_program(struct sl_context *ctx, const struct transform *o, struct stream *s)
{
	int r = program_start(ctx, &s->program, &o->plan, NULL, SL_PIPE_IN | SL_PIPE_OUT);

	if (r == -EAGAIN || r == -ENOMEM)
		return sl_retry(ctx, 0, "cannot start %s: %s", o->plan.name, strerrordesc_np(-r));
	if (r == -ECANCELED || r == -ETIMEDOUT)
		return r;
	if (r < 0)
		return sl_error(ctx, r, "cannot start %s: %s", o->plan.name, strerrordesc_np(-r));
	s->is_running = true;
	s->generation++;
	s->sent = s->answered = 0;
	s->written = 0;
	sl_writer_reset(&s->questions);
	lines_reset(&s->answers);
	return 0;
}

/*
 * When nothing is asked, nothing may come. A program that has ended after its last answer did nothing wrong to the next record;
 * one that has never answered is asked, so that its failure is counted.
 */
static int check_idle(struct sl_context *ctx, const struct transform *o, struct stream *s)
{
	struct pollfd fds[2] = {
		{ .fd = s->program.child.out, .events = POLLIN },
		{ .fd = s->program.child.pidfd, .events = POLLIN },
	};

	if (s->sent != s->answered || s->answered == 0)
		return 0;
	(void)poll(fds, 2, 0);
	if (lines_unread(&s->answers) > 0 || (fds[0].revents & POLLIN))
		return sl_error(ctx, -EPROTO,
			"%s answers more than it is asked: it must write one line of JSON for each "
			"record, and nothing else to its standard output",
			o->plan.name);
	s->is_broken = fds[0].revents != 0 || fds[1].revents != 0;
	return 0;
}

static int make_ready(struct sl_context *ctx, const struct transform *o, struct stream *s)
{
	int r = sl_lock_take(ctx, &s->starting, SL_NEVER);

	if (r < 0)
		return r;
	if (s->is_running && !s->is_broken)
		r = check_idle(ctx, o, s);
	if (r == 0 && s->is_running && s->is_broken)
		(void)end_program(ctx, o, s);
	if (r == 0 && !s->is_running)
		r = start_program(ctx, o, s);
	sl_lock_give(ctx, &s->starting);
	return r;
}

/* --- asking ------------------------------------------------------------------------------------------- */

static void write_questions(struct stream *s)
{
	struct sl_writer *q = &s->questions;

	/* When it reads no more its end is seen where its answers are read. */
	if (program_send(&s->program, q->data, q->size, &s->written) == -EPIPE)
		s->written = q->size;
	if (s->written == q->size) {
		sl_writer_reset(q);
		s->written = 0;
	} else if (s->written > MOVED_OUT && s->written > q->size / 2) {
		q->size -= s->written;
		memmove(q->data, q->data + s->written, q->size);
		s->written = 0;
	}
}

static int ask(
	struct sl_context *ctx, const struct transform *o, struct stream *s, struct sl_value record)
{
	const char *reason = "";
	size_t before = s->questions.size;
	int r = sl_json_print(&s->questions, record, &reason);
	char *end;

	if (r == -EINVAL)
		return sl_reject(ctx, NULL, record, "%s cannot be asked: %s", o->plan.name, reason);
	end = r == 0 ? sl_writer_reserve(&s->questions, 1) : NULL;
	if (!end) {
		s->questions.size = before;
		return -ENOMEM;
	}
	*end = '\n';
	s->questions.size++;
	s->sent++;
	write_questions(s);
	return 0;
}

/* --- being answered ------------------------------------------------------------------------------------- */

/* Waits, and moves what can be moved. 0; -EPIPE: nothing more will come; another negative errno. */
static int exchange(struct sl_context *ctx, const struct transform *o, struct stream *s)
{
	struct program *p = &s->program;
	bool is_deaf = p->child.in < 0;
	int64_t deadline = is_deaf ? sl_now() + o->plan.grace : SL_NEVER;
	int ready = program_wait(ctx, p, PROGRAM_IN | PROGRAM_OUT | PROGRAM_ENDED, deadline);
	ssize_t n;

	if (is_deaf && ready == -ETIMEDOUT && sl_now() >= deadline)
		return -EPIPE;
	if (ready < 0)
		return ready;
	if (ready & PROGRAM_IN)
		write_questions(s);
	if (!(ready & (PROGRAM_OUT | PROGRAM_ENDED)))
		return 0;
	n = lines_read(&s->answers, p->child.out);
	if (n == -EAGAIN)
		return ready & PROGRAM_ENDED ? -EPIPE : 0;
	return n == 0 ? -EPIPE : n < 0 ? (int)n : 0;
}

/* It has ended while an answer was due. */
static int give_up(
	struct sl_context *ctx, const struct transform *o, struct stream *s, bool is_ours)
{
	uint64_t generation = s->generation;
	char obituary[400];
	int status = -EPIPE;
	int r;

	s->is_broken = true;
	r = sl_lock_take(ctx, &s->starting, SL_NEVER);
	if (r < 0)
		return r;
	/* Somebody else may have done it meanwhile. */
	if (s->is_running && s->generation == generation)
		status = end_program(ctx, o, s);
	program_obituary(&s->program, status, obituary, sizeof(obituary));
	sl_lock_give(ctx, &s->starting);
	if (!is_ours)
		return ASK_AGAIN;
	return sl_retry(ctx, 0, "%s, and this record was not answered", obituary);
}

static int too_long(struct sl_context *ctx, const struct transform *o, struct sl_value record)
{
	return sl_reject(ctx, NULL, record, "the answer of %s is longer than line_max, %llu bytes",
		o->plan.name, (unsigned long long)o->line_max);
}

static int put_answer(struct sl_context *ctx, const struct transform *o, struct stream *s,
	struct sl_value record, const char *text, size_t size, struct sl_writer *out)
{
	struct sl_value answer;
	int r;

	if (size > o->line_max)
		return too_long(ctx, o, record);
	r = answer_parse(ctx, o->plan.name, record, text, size, &s->row, &answer);
	return r == 0 ? answer_put(out, answer) : r;
}

/* The answer to come is that to our record, and not to one that has given up waiting. */
static bool is_due(const struct stream *s, uint64_t number)
{
	return s->answered + 1 == number;
}

/* It is our turn: answer number `number` is ours, and those before it nobody's. */
static int await_answer(struct sl_context *ctx, const struct transform *o, struct stream *s,
	uint64_t number, struct sl_value record, struct sl_writer *out)
{
	for (;;) {
		const char *text;
		size_t size;
		int r;

		while (lines_next(&s->answers, &text, &size))
			if (++s->answered == number)
				return put_answer(ctx, o, s, record, text, size, out);
		if (lines_unread(&s->answers) > o->line_max) {
			/* Its end may never come. */
			s->is_broken = s->is_hung = true;
			return is_due(s, number) ? too_long(ctx, o, record) : ASK_AGAIN;
		}
		r = exchange(ctx, o, s);
		if (r == -EPIPE)
			return give_up(ctx, o, s, is_due(s, number));
		if (r < 0) {
			/* It had all the time that this record has. */
			s->is_broken = s->is_hung = true;
			return r;
		}
	}
}

static int ask_once(struct sl_context *ctx, const struct transform *o, struct stream *s,
	struct sl_value record, struct sl_writer *out)
{
	uint64_t generation, number;
	int r = make_ready(ctx, o, s);

	if (r == 0)
		r = ask(ctx, o, s, record);
	if (r != 0)
		return r;
	generation = s->generation;
	number = s->sent;
	r = sl_lock_take(ctx, &s->answering, SL_NEVER);
	if (r < 0)
		return r;
	if (s->is_running && !s->is_broken && s->generation == generation)
		r = await_answer(ctx, o, s, number, record, out);
	else
		r = ASK_AGAIN;
	sl_lock_give(ctx, &s->answering);
	return r;
}

int stream_record(struct sl_context *ctx, const struct transform *o, struct stream *s,
	struct sl_value record, struct sl_writer *out)
{
	int r;

	do
		r = ask_once(ctx, o, s, record, out);
	while (r == ASK_AGAIN);
	return r;
}

void stream_fini(struct sl_context *ctx, const struct transform *o, struct stream *s)
{
	if (s->is_running)
		(void)end_program(ctx, o, s);
	sl_writer_fini(&s->questions);
	sl_writer_fini(&s->row);
	lines_fini(&s->answers);
}
