/* SPDX-License-Identifier: MIT */
/*
 * One program that runs beside a stage: what the three stages "exec" share. Its pipes, its end and its errors are waited for
 * together, by one epoll descriptor, so that a task that waits for an answer also writes on, and takes what the
 * program complains about into the log. Only one task may be in program_wait or program_end at a time.
 */
#ifndef STAGES_EXEC_PROGRAM_H
#define STAGES_EXEC_PROGRAM_H

#include <sluice/stage.h>

struct program_options {
	struct sl_strings command;
	struct sl_strings environment;
	const char *folder;
	int64_t grace;
};

/* clang-format off */
#define PROGRAM_OPTIONS(struct_) \
	{ SL_OPTION("command", STRINGS, struct_, program.command), .required = true, \
	  .help = "the program and its arguments; no shell is in between; a string alone is a program without arguments", \
	  .example = "[ \"jq\", \"-c\", \"--unbuffered\", \".total = .price * .count\" ]" }, \
	{ SL_OPTION("folder", STRING, struct_, program.folder), \
	  .help = "where the program runs; default: where sluice does", .example = "\"/srv/pictures\"" }, \
	{ SL_OPTION("environment", STRINGS, struct_, program.environment), \
	  .help = "added to the environment, NAME=value", .example = "[ \"LC_ALL=C\" ]" }, \
	{ SL_OPTION("grace", DURATION, struct_, program.grace), .fallback = "5s", \
	  .help = "how long a program may take to end by itself before it is ended by a signal", .example = "\"30s\"" }
/* clang-format on */

/* The options as sl_spawn takes them. Constant after init; the strings are those of the options. */
struct program_plan {
	const char **argv;        /* NULL-terminated */
	const char **environment; /* the same, or NULL */
	const char *folder;
	const char *name; /* for messages */
	int64_t grace;
};

/* A program there is and may be run; a folder; a sane environment. 0 or a negative errno, said. */
int program_check(struct sl_context *ctx, const struct program_options *options);
int program_plan_init(struct program_plan *plan, const struct program_options *options);
void program_plan_fini(struct program_plan *plan);

#define PROGRAM_LINE_MAX 1000 /* of what it writes to its standard error: a longer line is cut */

struct program {
	const struct program_plan *plan;
	struct sl_child child;
	int poll_fd;
	bool wants_in;  /* `in` is waited for */
	bool has_ended; /* it can be waited for without waiting */
	uint64_t discarded;
	size_t line_size;
	char line[PROGRAM_LINE_MAX + 1]; /* the begin of a line of its standard error */
	char last[200];                  /* the last whole one */
};

enum { PROGRAM_IN = 1, PROGRAM_OUT = 2, PROGRAM_ENDED = 4 };

/* `argv`: NULL: that of the plan. 0; -EAGAIN, -ENOMEM: later it may work; another negative errno. */
int program_start(struct sl_context *ctx, struct program *p, const struct program_plan *plan,
	const char *const *argv, unsigned pipes);
/*
 * Waits for one of `events`; what of them is ready, or a negative errno as sl_wait_fd. `in` is ready only when program_send
 * answered -EAGAIN before, and once when the program reads no more.
 */
int program_wait(struct sl_context *ctx, struct program *p, int events, int64_t deadline);
/* Writes what the pipe takes; *sent counts on. 0: all [0, size) is sent; -EAGAIN; -EPIPE: it reads no more. */
int program_send(struct program *p, const char *data, size_t size, size_t *sent);
void program_close_in(struct program *p);
void program_close_out(struct program *p);
void program_signal(struct program *p, int signal);
/* Says the end on its standard input, gives it `grace` ns, takes its last words into the log; its status. */
int program_end(struct sl_context *ctx, struct program *p, int64_t grace);

/* "ended with exit status 3: what it said last" into `text`. */
void program_obituary(const struct program *p, int status, char *text, size_t size);

/* "3" or "1-255" each: sets table[status] = meaning. 0, or -EINVAL, said. */
int program_statuses(struct sl_context *ctx, const char *option, const struct sl_strings *from,
	uint8_t meaning, uint8_t table[256]);

#endif
