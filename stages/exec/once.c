/* SPDX-License-Identifier: MIT */
/* The transform "exec" with one run of the program for each record. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "transform.h"

struct once {
	struct program program;
	struct sl_writer arguments; /* the text of argv */
	const char **argv;
	struct sl_writer question;
	size_t written;
	struct lines answer;
	struct sl_writer row;
	int status;
};

static int prepare(struct sl_context *ctx, const struct transform *o, struct sl_value record,
	struct once *once)
{
	const char *reason = "";
	int r = arguments_fill(ctx, o->plan.argv, record, &once->arguments, &once->argv);

	if (r != 0 || o->input == INPUT_NONE)
		return r;
	r = sl_json_print(&once->question, record, &reason);
	return r == -EINVAL ? sl_reject(ctx, NULL, record, "%s: %s", o->plan.name, reason) : r;
}

static int start(struct sl_context *ctx, const struct transform *o, struct once *once)
{
	unsigned pipes = (o->input == INPUT_JSON ? SL_PIPE_IN : 0) |
			 (o->output != OUTPUT_NONE ? SL_PIPE_OUT : 0);
	int r = program_start(ctx, &once->program, &o->plan, once->argv, pipes);

	if (r == -EAGAIN || r == -ENOMEM || r == -E2BIG)
		return sl_retry(ctx, 0, "cannot start %s: %s", o->plan.name, strerrordesc_np(-r));
	if (r < 0 && r != -ECANCELED && r != -ETIMEDOUT)
		return sl_error(ctx, r, "cannot start %s: %s", o->plan.name, strerrordesc_np(-r));
	return r;
}

static void feed(struct once *once)
{
	struct program *p = &once->program;

	/* That it does not read all is its own business: what counts is how it ends. */
	if (p->child.in >= 0 && program_send(p, once->question.data, once->question.size,
					&once->written) != -EAGAIN)
		program_close_in(p);
}

static int read_answer(const struct transform *o, struct once *once)
{
	struct program *p = &once->program;
	ssize_t n = 1;

	while (n > 0 && p->child.out >= 0) {
		n = lines_read(&once->answer, p->child.out);
		if (n == 0)
			program_close_out(p);
		if (lines_unread(&once->answer) > o->line_max)
			return -EMSGSIZE;
	}
	return n == -EAGAIN || n >= 0 ? 0 : (int)n;
}

/* Until it has ended. What is behind it, if it left anything running, is not waited for. */
static int converse(struct sl_context *ctx, const struct transform *o, struct once *once)
{
	int ready, r;

	do {
		feed(once);
		ready = program_wait(
			ctx, &once->program, PROGRAM_IN | PROGRAM_OUT | PROGRAM_ENDED, SL_NEVER);
		if (ready < 0)
			return ready;
		r = read_answer(o, once);
	} while (r == 0 && !(ready & PROGRAM_ENDED));
	return r;
}

static int run(struct sl_context *ctx, const struct transform *o, struct once *once)
{
	int r = start(ctx, o, once);

	if (r != 0)
		return r;
	r = converse(ctx, o, once);
	once->status = program_end(ctx, &once->program, 0);
	return r;
}

/* Programs end their text with a newline that is not part of it. */
static int put_text(struct sl_context *ctx, const struct transform *o, struct sl_value record,
	struct once *once, struct sl_writer *out)
{
	const char *text = lines_text(&once->answer);
	size_t size = lines_unread(&once->answer);
	const char *reason = "";
	struct sl_value value;
	int r;

	if (size > 0 && text[size - 1] == '\n')
		size--;
	if (size > 0 && text[size - 1] == '\r')
		size--;
	sl_put_str(&once->row, text, size);
	if (once->row.error)
		return once->row.error;
	value = (struct sl_value){ once->row.data, once->row.size };
	/* Only to see whether it is text at all. */
	sl_writer_reset(&once->question);
	r = sl_json_print(&once->question, value, &reason);
	if (r == -EINVAL)
		return sl_reject(
			ctx, NULL, record, "what %s wrote is no text: %s", o->plan.name, reason);
	return r == 0 ? answer_put_field(out, record, o->into, value) : r;
}

static int put_json(struct sl_context *ctx, const struct transform *o, struct sl_value record,
	struct once *once, struct sl_writer *out)
{
	struct sl_value value;
	int r = answer_parse(ctx, o->plan.name, record, lines_text(&once->answer),
		lines_unread(&once->answer), &once->row, &value);

	if (r != 0)
		return r;
	return o->into ? answer_put_field(out, record, o->into, value) : answer_put(out, value);
}

static int put(struct sl_context *ctx, const struct transform *o, struct sl_value record,
	struct once *once, struct sl_writer *out)
{
	switch (o->output) {
	case OUTPUT_JSON:
		return put_json(ctx, o, record, once, out);
	case OUTPUT_TEXT:
		return put_text(ctx, o, record, once, out);
	default:
		sl_put_value(out, record);
		return sl_record_done(out);
	}
}

static int judge(struct sl_context *ctx, const struct transform *o, struct sl_value record,
	struct once *once, struct sl_writer *out)
{
	char obituary[400];
	int meaning = EXIT_RETRY;

	if (once->status >= 0 && WIFEXITED(once->status))
		meaning = o->exits[WEXITSTATUS(once->status)];
	if (meaning == EXIT_OK)
		return put(ctx, o, record, once, out);
	program_obituary(&once->program, once->status, obituary, sizeof(obituary));
	if (meaning == EXIT_REJECT)
		return sl_reject(ctx, NULL, record, "%s", obituary);
	return sl_retry(ctx, 0, "%s", obituary);
}

int once_record(struct sl_context *ctx, const struct transform *o, struct sl_value record,
	struct sl_writer *out)
{
	struct once once = { 0 };
	int r = prepare(ctx, o, record, &once);

	if (r == 0)
		r = run(ctx, o, &once);
	if (r == 0)
		r = judge(ctx, o, record, &once, out);
	else if (r == -EMSGSIZE)
		r = sl_reject(ctx, NULL, record, "%s wrote more than line_max, %llu bytes",
			o->plan.name, (unsigned long long)o->line_max);
	sl_writer_fini(&once.arguments);
	sl_writer_fini(&once.question);
	sl_writer_fini(&once.row);
	lines_fini(&once.answer);
	free(once.argv);
	return r;
}
