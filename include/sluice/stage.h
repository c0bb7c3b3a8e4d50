/* SPDX-License-Identifier: MIT */
/*
 * The stage ABI: what a source, a transform or a sink is made of.
 *
 * A stage is one `const struct sl_stage`, its option table the last thing in its file. The engine calls
 *
 *   check      the option values fit together?     any process, also `sluice check`; opens nothing
 *   open       once per process                    pump thread, before any worker
 *   start      once per worker                     that worker's thread
 *   produce | transform | transform_batch | write, commit           that worker's thread
 *   finish     once per worker, after the last record               that worker's thread
 *   stop       once per worker whose start succeeded                that worker's thread
 *   close      once per process whose open succeeded                pump thread, after all workers
 *
 * A stage keeps two structs. `shared`, one per process, zeroed and filled with the option values before check
 * and open: constant after open, or locked by the stage. `worker`, one per worker, zeroed before start: never
 * shared. Either size may be 0. Callbacks that are NULL are skipped.
 *
 * Errors. A callback that returns a negative errno ends its *process*: say why first with sl_error (the text is
 * shown to the user as is: object, action, reason, what to do). What happens then is decided by the stage's
 * `restart` option. A *record* that cannot be handled is not an error: sl_reject it and go on.
 */
#ifndef SLUICE_STAGE_H
#define SLUICE_STAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sluice/record.h>
#include <sluice/task.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SL_ABI 2

enum sl_role { SL_SOURCE, SL_TRANSFORM, SL_SINK };

/* The type of an option, how a user writes it, and the C type of its field in `shared`. */
enum sl_type {
	SL_TYPE_STRING,   /* "text"              const char *, 0-terminated; NULL when absent */
	SL_TYPE_INT,      /* 42                  int64_t within [min, max] */
	SL_TYPE_REAL,     /* 0.5 or 42           double */
	SL_TYPE_BOOL,     /* true                bool */
	SL_TYPE_SIZE,     /* "64KiB" or 512      uint64_t, bytes */
	SL_TYPE_DURATION, /* "1.5s", "200ms"     int64_t, ns */
	SL_TYPE_RATE,     /* "200/s", "10/m"     int64_t, ns from one to the next; 0 when absent */
	SL_TYPE_CHOICE,   /* "append"            int, index into choices */
	SL_TYPE_CHAR,     /* ";" or "\t"         char; 0 when absent */
	SL_TYPE_STRINGS,  /* "a" or ["a", "b"]   struct sl_strings */
	SL_TYPE_VALUES,   /* ( 2, { id = 1; } )  struct sl_value: an array; absent: data == NULL */
	SL_TYPE_PAIRS, /* { big = "a"; } or ( [ "big", "a" ] ): struct sl_pairs, in the order written */
};

struct sl_strings {
	const char *const *items; /* 0-terminated each */
	uint32_t count;
};

struct sl_pairs {
	const char *const *names; /* 0-terminated each, as the values */
	const char *const *values;
	uint32_t count;
};

struct sl_option {
	const char *name;
	enum sl_type type;
	size_t offset; /* of the field in the shared struct */
	bool required; /* then no fallback */
	const char *
		fallback; /* the default as a user would write it, without quotes; NULL: absent, zero */
	const char *help;    /* one sentence, lower case, no full stop */
	const char *example; /* as it stands behind `=` in a config, with quotes: "\"64KiB\"" */
	const char *const *choices; /* CHOICE: NULL-terminated */
	int64_t min,
		max; /* INT, SIZE, DURATION; both 0: no bounds but >= 0 for SIZE and DURATION */
};

/* Flags of a stage. */
enum {
	SL_ONE_PROCESS = 1 << 0, /* `processes` must be 1 */
	SL_ONE_THREAD = 1 << 1,  /* `threads` must be 1 */
	/*
	 * A successor process can take over where a dead one stood. A source: it asks sl_checkpoint for each origin, goes on there,
	 * and makes cuts again that have `until`; it has one worker.
	 */
	SL_RESUMES = 1 << 2,
	SL_WAITS = 1 << 3, /* produce may have nothing for long (a pipe, a socket) */
	SL_TASKS =
		1
		<< 4, /* transform may run several times at once in one worker: `coroutines` may be set */
	SL_REMEMBERED =
		1
		<< 5, /* a sink with one worker: the engine remembers what it has committed, see sl_remember */
	/*
	 * A source with SL_RESUMES that cannot read again, but whose successor can read on: a cut that has `until` is made without records. When
	 * told to stop or to pause it is asked on until produce answers -ECANCELED, so that it gives what it has read by then.
	 */
	SL_TAKES_OVER = 1 << 6,
	/*
	 * The stage needs nothing of the machine but memory, the sockets of its links and the pipeline's state, and what the flags below name: once it is
	 * open the rest is taken from its process, see `files`. Without this flag a stage keeps all but the right to gain more rights.
	 */
	SL_CONFINED = 1 << 7,
	SL_NEEDS_NETWORK = 1 << 8, /* it opens sockets that lead to other machines */
	/* It starts programs, of which nobody knows what they need: they and it may do all. */
	SL_NEEDS_EXEC = 1 << 9,
	SL_NEEDS_FILES = 1 << 10, /* those that `files` tells */
	/*
	 * A transform with state, of sluice's own: it has no callback for records, and stands for a sink of the same name, STAGE~in, and the source STAGE~out
	 * behind it, with a store between them (stages/spill/keep.h).
	 */
	SL_HAS_STATE = 1 << 11,
};

struct sl_context; /* one per worker; in check and open one of the process */
struct sl_batch;   /* the records that travel together; borrowed while the callback runs */

uint32_t sl_batch_count(const struct sl_batch *batch);
/* The records lie one behind the other, in this order. */
struct sl_value sl_batch_record(const struct sl_batch *batch, uint32_t index);

/*
 * What names a batch, for a sink that remembers what it has committed: (run, origin, path, start). The same name is the same records, to the
 * byte, however often they are given. What ends at or below `floor` of its origin will not be given again.
 */
struct sl_identity {
	uint64_t run;
	uint64_t origin;
	uint64_t path;
	uint64_t start;
	uint64_t end;
	uint64_t floor;
};
struct sl_identity sl_batch_identity(const struct sl_batch *batch);

/*
 * What a source fills in. A batch holds records of one origin: [start, end) in that origin's own positions, and
 * the next batch of the same origin begins where this one ended. A position must read the same again.
 */
struct sl_cut {
	struct sl_writer *out;
	uint32_t want;   /* at most so many records */
	size_t size_max; /* stop when `out` holds so many bytes */
	uint64_t origin; /* what the positions count, e.g. a hash of device and inode */
	uint64_t start;
	uint64_t end;
	bool origin_done; /* this batch is the last of its origin, as far as is known */

	/* Of a source with SL_RESUMES. */
	/* given; not 0: the cut was made before, in `origin`, up to here: go on in that one, and end exactly there */
	uint64_t until;
	const char *
		name; /* of the origin, for people: "/var/log/app.log"; borrowed until the next call */
	uint64_t line; /* of the record at `end`, for people; 0: none */
	uint64_t
		mark; /* kept with `end`, to know the place again: a hash of what stands before it, say; 0: none */
	/*
	 * The origin stands beside the others: its cuts may alternate with theirs, it may go on after it was done, and nothing of another one
	 * waits for its end. Else a source reads one origin after the other, and order = "keep" keeps them in that order.
	 */
	bool is_apart;
	/* Of an origin that is apart: its first records come behind all that was cut of this one so far; 0: of none. */
	uint64_t after;
	struct sl_writer *const *outs; /* one for each output; `out` is the first */
};

/*
 * Where a source with SL_RESUMES goes on in an origin: all below `position` is settled. To be asked in produce, when it opens the
 * origin. False: nothing is known of it; begin at its begin.
 */
struct sl_place {
	uint64_t position;
	uint64_t line;
	bool is_done;  /* with `position` it had come to the origin's end */
	uint64_t mark; /* as the cut that ended there gave it */
};
bool sl_checkpoint(struct sl_context *ctx, uint64_t origin, struct sl_place *ret);

/* What is kept of an origin. */
struct sl_origin {
	uint64_t origin;
	struct sl_place place;
	const char *name; /* as sl_cut gave it; borrowed until the next of the two calls below */
	int64_t changed;  /* when its place last moved: seconds since 1970 */
};
/*
 * A source whose origins may be renamed or removed makes them known before their first cut, so that a successor can look for them: 1, and *ret is
 * what is kept from now on: `origin`, or what was kept before, by whichever process of the stage came first. With `origin->name` NULL it
 * only asks: 0: nothing is kept. -EAGAIN: the disk is full or busy: later. In produce.
 */
int sl_checkpoint_begin(
	struct sl_context *ctx, const struct sl_origin *origin, struct sl_origin *ret);
/* The origins of the stage, those that are done, too, in no order: the one behind `after`, NULL: the first. False: there is none. In produce. */
bool sl_checkpoint_next(
	struct sl_context *ctx, const struct sl_origin *after, struct sl_origin *ret);

/*
 * No cut that begins at `position` may reach over this place; 0: there is none. After a power cut what was cut before is cut again from an earlier
 * place, and where a sink kept some of it, nothing may begin inside that and end behind it. To be asked before each cut, in produce, when
 * `until` is 0.
 */
uint64_t sl_bound(struct sl_context *ctx, uint64_t origin, uint64_t position);

/*
 * A source that keeps what it gives: no power cut goes back to before this place of the origin, so what stands there need not be kept. UINT64_MAX:
 * to the checkpoint at most. Where it cannot be known now: 0. In produce and finish.
 */
uint64_t sl_safe(struct sl_context *ctx, uint64_t origin);

/*
 * What a stage with SL_NEEDS_FILES does with files. SL_FILES_EXACT beside one of these: this file alone, as it is now; not what takes its place, nor the folder
 * that it is in.
 */
enum { SL_FILES_READ = 1 << 0, SL_FILES_WRITE = 1 << 1, SL_FILES_EXACT = 1 << 2 };
/* A file stands for the folder that it is in; one that is not there yet for the first folder above it that is, but for the root. */
typedef void sl_files_fn(void *user, const char *path, unsigned how);

/* 0, or what the sink's `known` shall return. */
typedef int sl_known_fn(void *user, uint64_t origin, uint64_t position);

/* Outcomes of produce. */
enum { SL_MORE = 0, SL_END = 1 };

struct sl_stage {
	unsigned abi; /* SL_ABI */
	const char *name;
	enum sl_role role;
	const char *summary; /* one line for `sluice list` */
	unsigned flags;
	size_t shared_size;
	size_t worker_size;
	const char *const *ports; /* outputs, NULL-terminated; NULL: one, "out"; see also `port` */

	int (*check)(struct sl_context *ctx, const void *shared);
	/*
	 * What nobody else may have: of a sink the file that it will write; of a source the address at which it listens, see sl_listener. Two
	 * stages with an equal one are refused. NULL: none. Borrowed from shared.
	 */
	const char *(*target)(const void *shared);
	/* Options with which what it reads (standard input) cannot be read again: they take SL_RESUMES from it, without SL_TAKES_OVER. NULL: none. */
	bool (*is_live)(const void *shared);
	int (*open)(struct sl_context *ctx, void *shared);
	int (*start)(struct sl_context *ctx, void *shared, void *worker);

	/*
	 * Source: fill `cut` and return SL_MORE, or SL_END with what was last (0 records are allowed in both). May
	 * wait, through task.h only; -ECANCELED when told so, with nothing put.
	 */
	int (*produce)(struct sl_context *ctx, void *shared, void *worker, struct sl_cut *cut);
	/*
	 * Transform: one record in, any number out (`out[p]` is the writer of port p; a record put must be ended by
	 * sl_record_done). 0 = consumed; SL_REJECTED = sl_reject was called; SL_RETRY = sl_retry was called: what was put is
	 * taken back; negative errno. -ETIMEDOUT and -ECANCELED count as SL_RETRY once the record's `timeout` has passed.
	 *
	 * With SL_TASKS it may run as several tasks of one worker, each with its own record, `ctx` and writers; `worker` is
	 * theirs together, and another task may have changed it after every wait (task.h).
	 */
	int (*transform)(struct sl_context *ctx, void *shared, void *worker, struct sl_value record,
		struct sl_writer *const *out);
	/* Instead of transform: a whole batch. Returns how many of its records were consumed (the rest were rejected). */
	int64_t (*transform_batch)(struct sl_context *ctx, void *shared, void *worker,
		const struct sl_batch *in, struct sl_writer *const *out);
	/* Sink: takes a batch; returns how many of its records were consumed (the rest were rejected). */
	int64_t (*write)(
		struct sl_context *ctx, void *shared, void *worker, const struct sl_batch *in);
	/* Sink: makes all that was written since the last commit lasting. 0 or negative errno. */
	int (*commit)(struct sl_context *ctx, void *shared, void *worker);
	/* After the last record. complete: the input is exhausted, publish; else it was stopped: publish nothing. */
	int (*finish)(struct sl_context *ctx, void *shared, void *worker, bool complete);
	void (*stop)(struct sl_context *ctx, void *shared, void *worker);
	void (*close)(struct sl_context *ctx, void *shared);

	/*
	 * Sink: what any process of the stage has committed by now is on the disk when it returns. Called from another process, with nothing but
	 * the options, while the stage writes on. NULL: what is committed is on the disk. 0 or negative errno.
	 */
	int (*sync)(struct sl_context *ctx, const void *shared);
	/*
	 * Sink that keeps the identities itself: tells where what it has of this run (sl_run) begins and ends, in each origin, after a power cut. As
	 * sync, while nobody writes.
	 */
	int (*known)(struct sl_context *ctx, const void *shared, sl_known_fn *tell, void *user);

	const struct sl_option *options; /* ends with a row whose name is NULL */

	/*
	 * Instead of `ports`, where they come from options that `check` has found right: the name of an output, borrowed from shared; NULL behind
	 * the last. Lower-case letters, digits, - and _, a letter first; there is at least one. No sink.
	 */
	const char *(*port)(const void *shared, uint32_t i);

	/*
	 * With SL_NEEDS_FILES: tells each file and folder that it will read or write after `open`, by its options. SL_FILES_WRITE: beside it other files
	 * may be made, renamed and removed (a temporary name, a journal). Is not looked at without the flag.
	 */
	void (*files)(struct sl_context *ctx, const void *shared, sl_files_fn *tell, void *user);
	/* Sink with one worker: called now and then while there is nothing to write; nothing is uncommitted. 0 or negative errno. */
	int (*tick)(struct sl_context *ctx, void *shared, void *worker);
};

enum { SL_REJECTED = 1, SL_RETRY = 2 };

/* Which process of the stage this is: 0 .. sl_process_count() - 1. */
uint32_t sl_process(const struct sl_context *ctx);
uint32_t sl_process_count(const struct sl_context *ctx);
const char *sl_stage_name(const struct sl_context *ctx);
/* "PIPELINE/STAGE": the stage's name among all that may write to one place. */
const char *sl_full_name(const struct sl_context *ctx);
/* The folder in which this pipeline keeps its state; for built-in stages. */
const char *sl_state(const struct sl_context *ctx);
/*
 * Which run this is, in numbers at random that are never 0. The run: from a start to the end of the input, over restarts of anything; the series:
 * that run and those that go on behind it where it ended; the term: from one start of the pipeline, or reload, to the next stop.
 */
uint64_t sl_run(const struct sl_context *ctx);
uint64_t sl_series(const struct sl_context *ctx);
uint64_t sl_term(const struct sl_context *ctx);

/* The run reads only what has come since the one before, which came to its end. */
bool sl_goes_on(const struct sl_context *ctx);

enum sl_level { SL_LOG_ERROR = 3, SL_LOG_WARNING = 4, SL_LOG_INFO = 6, SL_LOG_DEBUG = 7 };
void sl_log(struct sl_context *ctx, enum sl_level level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * A line that tells something an operator waits for: in the journal it has an identifier (MESSAGE_ID=) and an explanation.
 */
enum sl_about {
	SL_ABOUT_DISK_FULL,  /* writing waits for space */
	SL_ABOUT_DISK_AGAIN, /* and goes on */
	SL_ABOUT_STORE_FULL, /* what comes waits */
	SL_ABOUT_DROPPED,    /* records were given up, see sl_drop */
	SL_ABOUT_MISSED,     /* something was gone before it was read */
	SL_ABOUT_LIMIT,      /* an option allows no more now */
};
void sl_log_about(struct sl_context *ctx, enum sl_about about, enum sl_level level,
	const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Says why a callback is about to return `error` (a negative errno); returns it. */
int sl_error(struct sl_context *ctx, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * Gives up on one record, for good: counted, logged with its reason. `where` says where it came from if the stage
 * knows ("data.csv:17"), else NULL. `record` may be absent. Returns SL_REJECTED.
 */
int sl_reject(struct sl_context *ctx, const char *where, struct sl_value record, const char *format,
	...) __attribute__((format(printf, 4, 5)));

/*
 * A sink that cannot keep names of batches in what it writes (a file) has the flag SL_REMEMBERED: the engine keeps the names of
 * all batches that a `commit` covered, in one step with what that commit gave to sl_remember, and gives no batch twice. When a process dies
 * between the sink's write and that step, its successor is given the batches again: its `start` takes back what was written after the
 * mark that sl_recall gives. In start or commit; `data` is copied.
 */
void sl_remember(struct sl_context *ctx, const void *data, size_t size);
/* In start: what this process of the stage remembered last in this run. False: nothing; it begins anew. Valid until start returns. */
bool sl_recall(struct sl_context *ctx, const void **ret_data, size_t *ret_size);

/*
 * In a sink's `write`: the batch is one that is committed already, and so many of its records were rejected then. They count, and nothing
 * is said or kept of them again.
 */
void sl_rejected_before(struct sl_context *ctx, uint64_t count);

/*
 * In `write` and `transform_batch`: for so long it waited for something that costs the same for one record as for many (an answer to a request that
 * holds the whole batch). It does not count as work on its records, or batches would be made ever smaller, which helps nobody.
 */
void sl_waited(struct sl_context *ctx, int64_t ns);

/*
 * So many records are lost, and it is the stage who says so, in the log; they are not kept. In a source's `produce`: before it could read them. In
 * a sink's `write`: records of the batch, given up for good.
 */
void sl_drop(struct sl_context *ctx, uint64_t count);

/*
 * Gives up on one record for now, in transform only: it is tried again after a backoff, and not before `not_before` (ns of
 * sl_now(); 0: as the backoff says); after `retries` times it is rejected with this reason. Returns SL_RETRY.
 */
int sl_retry(struct sl_context *ctx, int64_t not_before, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * A source whose `target` is an address (tcp://127.0.0.1:5514, udp://..., unix:///run/x.sock, unixgram:///..., fd:NAME): the socket, bound,
 * and of a stream listening; non-blocking. The supervisor has opened it, or was given it by systemd, and keeps it open while processes of
 * the stage die and begin: nobody is refused meanwhile. All processes of the stage have the same one. Borrowed.
 */
int sl_listener(const struct sl_context *ctx);

/*
 * A source: how much of how much it has read, in `unit` ("bytes", "records"); total 0: unknown. For people only. Cheap.
 */
void sl_progress(struct sl_context *ctx, uint64_t done, uint64_t total, const char *unit);
/* Of a built-in stage that is one end of a store: how much was ever put into it; or taken out of it. */
void sl_stored(struct sl_context *ctx, uint64_t records, uint64_t bytes);

/*
 * What a module (a shared object on SLUICE_STAGE_PATH) exports: its stages, once.
 *
 *     SL_MODULE(&my_stage, &my_other_stage);
 */
#define SL_MODULE(...)                                                                             \
	__attribute__((visibility("default")))                                                     \
	const struct sl_stage *const sl_module[] = { __VA_ARGS__, NULL }

/* The shape of an option row without optional columns: { SL_OPTION("path", STRING, struct x, path), .help = ... } */
#define SL_OPTION(name_, type_, struct_, field_)                                                   \
	.name = name_, .type = SL_TYPE_##type_, .offset = offsetof(struct_, field_)

#ifdef __cplusplus
}
#endif
#endif
