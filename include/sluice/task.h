/* SPDX-License-Identifier: MIT */
/*
 * What stage code may wait for.
 *
 * A stage is written once. With `coroutines = N` its callback runs as one of up to N *tasks* of a worker, and every call
 * here that waits suspends that task only: the others go on. Without, the same call blocks the worker's thread. Nothing in
 * the stage's code changes. (While a plain thread waits it runs the members of its groups, so those work there too.)
 *
 *     asyncio                        here
 *     sleep, wait_for                sl_sleep_until, a deadline on every call
 *     streams                        sl_wait_fd, sl_read, sl_write, sl_connect, sl_accept, sl_resolve
 *     aiohttp                        sl_http
 *     create_subprocess_exec         sl_spawn, sl_child_wait, sl_child_end
 *     to_thread                      sl_offload
 *     Semaphore Lock Event Queue     sl_sem sl_lock sl_event sl_channel
 *     TaskGroup, gather              sl_group_*, sl_gather
 *     as_completed                   sl_group_next
 *     timeout                        sl_scope_*
 *
 * Rules for all of them:
 *
 *  - `ctx` is the context that the callback, or the member of a group, was given; it is good there and nowhere else.
 *    A call from another thread or another task than the one it belongs to aborts and says so.
 *  - A deadline is *absolute*, in nanoseconds of sl_now(); SL_NEVER: none. sl_now() + 5 * SL_SECOND is in five seconds.
 *    A deadline in the past still tries once: what can be had without waiting is had.
 *  - Answers: 0 or a count; -ETIMEDOUT: the deadline of the call, or of a scope around it, has passed; -ECANCELED: the task
 *    was cancelled (its group failed, the source was told to stop), and every later wait answers the same at once.
 *    Undo what must be undone and return that value: cancelling is a return code, not a jump. Any other negative errno is
 *    the error of the system call. The error is the *value*: `errno` means nothing after a wait.
 *  - Nothing here may be called with a pthread mutex held: whoever wants it next may run on this very thread.
 *  - Between two waits a task has its thread for itself: what the tasks of one worker share needs a lock only where it
 *    must stay as it is over a wait. A task that computes for longer than 100 ms holds all others up: it is named in the
 *    log. Give such work `threads` or `processes`, or sl_offload.
 *  - What a task can use of its stack is `stack_size` (64KiB); an overflow ends the process with a message that says so.
 */
#ifndef SLUICE_TASK_H
#define SLUICE_TASK_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct addrinfo;
struct sockaddr;
struct sl_context;

#define SL_NEVER INT64_MAX
#define SL_MILLISECOND INT64_C(1000000)
#define SL_SECOND INT64_C(1000000000)

/* The monotonic clock, ns. */
int64_t sl_now(void);

/* --- time, descriptors ---------------------------------------------------------------------------- */

/* Waits until `deadline`. 0; -ECANCELED; -ETIMEDOUT only when a scope around it ends earlier. */
int sl_sleep_until(struct sl_context *ctx, int64_t deadline);

/* Lets every other ready task of this worker run once. 0 or -ECANCELED. */
int sl_yield(struct sl_context *ctx);

/*
 * Waits until `fd` is ready for `events` (POLLIN, POLLOUT; errors and hang-up count as ready). 0; -ETIMEDOUT; -ECANCELED; -EBADF.
 * A regular file is always ready. In a source also -ECANCELED when a stop was asked for (Ctrl-C, SIGTERM): a source has
 * nothing to finish. Several tasks may wait for one descriptor; close it only when none does.
 */
int sl_wait_fd(struct sl_context *ctx, int fd, short events, int64_t deadline);

/* True once a stop was asked for. A source need not look: it is not called again then. */
bool sl_is_stopping(struct sl_context *ctx);

/*
 * `fd` must be non-blocking (what sl_connect, sl_accept and sl_spawn give is). sl_read: what is there, at least one byte; 0: the
 * end. sl_write: all of it, 0; after an error some of it may have gone. No SIGPIPE comes: -EPIPE does.
 */
ssize_t sl_read(struct sl_context *ctx, int fd, void *data, size_t size, int64_t deadline);
int sl_write(struct sl_context *ctx, int fd, const void *data, size_t size, int64_t deadline);

/* A connected or accepted stream socket, non-blocking and close-on-exec; the caller closes it. Or a negative errno. */
int sl_connect(
	struct sl_context *ctx, const struct sockaddr *address, uint32_t size, int64_t deadline);
int sl_accept(struct sl_context *ctx, int listener, int64_t deadline);

/*
 * getaddrinfo(3) on a thread of its own. 0 and a list for freeaddrinfo(3); -ENOENT: there is no such name; -EAGAIN: the
 * name server did not answer; another negative errno. `hints` may be NULL.
 */
int sl_resolve(struct sl_context *ctx, const char *host, const char *service,
	const struct addrinfo *hints, int64_t deadline, struct addrinfo **ret_list);

/* --- HTTP ------------------------------------------------------------------------------------------ */

/*
 * One request, by libcurl: connections of a worker are pooled and kept alive, HTTP/2 where the server speaks it, TLS
 * verified against the system's authorities. http and https only, also after a redirect. Everything is borrowed until
 * the call returns.
 */
struct sl_http_request {
	const char *method; /* NULL: GET */
	const char *url;
	const char *const *headers; /* "Name: value"; NULL-terminated list, or NULL */
	const void *body;           /* NULL: none */
	size_t body_size;
	size_t body_max;        /* of the answer; 0: 16 MiB; a larger one is -EMSGSIZE */
	unsigned redirects_max; /* 0: a redirect is an answer like any other */
	unsigned
		connections_max; /* to one host, for this worker; 0: no limit. The last one said holds */
	const char *ca_file;   /* PEM; NULL: the system's */
	const char *cert_file; /* PEM, the client's own; NULL: none */
	const char *key_file;  /* PEM; NULL: in cert_file */
	bool insecure;         /* do not verify the server's certificate */
	bool keeps_body; /* a redirect is followed with the method and the body, whatever its status */
	/* "provider1:provider2:region:service": the request is signed (AWS signature, version 4) with the two below; NULL: it is not */
	const char *sigv4;
	const char *access_key;
	const char *secret_key;
};

struct sl_http_response {
	long status; /* 200, 404, ... */
	char *body;  /* 0-terminated behind body_size; "" when empty */
	size_t body_size;
	char *headers; /* of the last answer: "Name: value\n" ..., 0-terminated */
	char *url;     /* where the answer came from, after redirects */
	/* After an error: what went wrong, for people; never holds what `headers` or the URL's user part said. */
	char reason[256];
};

/*
 * 0: there is an answer, whatever its status. -EINVAL: the request can never work (URL, method); -EMSGSIZE; -EPROTO: the server does
 * not speak HTTP or its certificate is not good; -ECONNREFUSED, -ENOENT (no such host), -EIO (the connection broke): later it
 * may work; -ETIMEDOUT; -ECANCELED. `response` must be given to sl_http_response_fini in every case.
 */
int sl_http(struct sl_context *ctx, const struct sl_http_request *request, int64_t deadline,
	struct sl_http_response *response);
void sl_http_response_fini(struct sl_http_response *response);
/* The value of the header `name` (in any case), 0-terminated into `text`; false: there is none. */
bool sl_http_header(
	const struct sl_http_response *response, const char *name, char *text, size_t size);

/* --- other programs --------------------------------------------------------------------------------- */

enum { SL_PIPE_IN = 1, SL_PIPE_OUT = 2, SL_PIPE_ERR = 4 };

struct sl_program {
	const char *const
		*argv; /* NULL-terminated; argv[0] is found on PATH; no shell in between */
	const char *const *environment; /* "NAME=value", added to ours; NULL: none */
	const char *folder;             /* working directory; NULL: ours */
	unsigned pipes; /* SL_PIPE_*: what is not a pipe is /dev/null, errors go to ours */
};

/* Its ends of the pipes are non-blocking; -1: no pipe. Close `in` to say the end. It dies when our process dies. */
struct sl_child {
	pid_t pid;
	int pidfd;
	int in, out, err;
};

/* 0; -ENOENT: no such program; another negative errno. What it gives must be given to sl_child_end. */
int sl_spawn(struct sl_context *ctx, const struct sl_program *program, struct sl_child *ret_child);
/* Waits until it has ended. 0 and its status as waitpid(2) gives it; it may be asked for again. */
int sl_child_wait(
	struct sl_context *ctx, struct sl_child *child, int64_t deadline, int *ret_status);
/*
 * Closes the pipes, and when it has not ended `grace` ns later sends SIGTERM, then SIGKILL; waits for it, also when cancelled.
 * Its status.
 */
int sl_child_end(struct sl_context *ctx, struct sl_child *child, int64_t grace);

/* --- blocking calls ---------------------------------------------------------------------------------- */

typedef int sl_offload_fn(void *arg);

/*
 * Calls fn(arg) on a thread of a small pool (4) and gives what it returns: for calls that block or compute long. A call that
 * has begun is waited for, whatever the deadline says; one that has not is taken back: -ETIMEDOUT or -ECANCELED, and fn was
 * not called. fn must not use any `ctx`.
 */
int sl_offload(struct sl_context *ctx, sl_offload_fn *fn, void *arg, int64_t deadline);

/* --- between tasks ------------------------------------------------------------------------------------- */

/*
 * These four may be shared by all tasks and threads of a process: put them into the stage's `shared` struct, init them in
 * open. Whoever waits first is served first. Their fields are private. They hold no memory but sl_channel.
 */
struct sl_waiter;
struct sl_waiters {
	struct sl_waiter *first, *last;
};

struct sl_sem {
	pthread_mutex_t guard;
	uint64_t value;
	struct sl_waiters waiters;
};
void sl_sem_init(struct sl_sem *sem, uint64_t value);
int sl_sem_take(struct sl_context *ctx, struct sl_sem *sem, int64_t deadline);
void sl_sem_give(struct sl_sem *sem);

/* Only who took it may give it back, and must before its callback returns: anything else aborts. */
struct sl_lock {
	pthread_mutex_t guard;
	const void *owner;
	struct sl_waiters waiters;
};
void sl_lock_init(struct sl_lock *lock);
int sl_lock_take(struct sl_context *ctx, struct sl_lock *lock, int64_t deadline);
void sl_lock_give(struct sl_context *ctx, struct sl_lock *lock);

struct sl_event {
	pthread_mutex_t guard;
	bool is_set;
	struct sl_waiters waiters;
};
void sl_event_init(struct sl_event *event);
void sl_event_set(
	struct sl_event *event); /* wakes all who wait, and who comes later does not wait */
void sl_event_clear(struct sl_event *event);
int sl_event_wait(struct sl_context *ctx, struct sl_event *event, int64_t deadline);

/* A bounded queue of pointers: who sends into a full one waits. What a pointer points to is the business of the two ends. */
struct sl_channel;
struct sl_channel *sl_channel_new(uint32_t capacity); /* >= 1; NULL: no memory */
void sl_channel_free(struct sl_channel *channel);     /* nobody may wait in it */
/* 0; -EPIPE: it is closed; -ETIMEDOUT; -ECANCELED: then it was not sent. */
int sl_channel_send(
	struct sl_context *ctx, struct sl_channel *channel, void *item, int64_t deadline);
/* 0 and the item; -EPIPE: closed and empty; -ETIMEDOUT; -ECANCELED. */
int sl_channel_receive(
	struct sl_context *ctx, struct sl_channel *channel, int64_t deadline, void **ret_item);
void sl_channel_close(
	struct sl_channel *channel); /* nothing more will be sent; what is in it can be received */

/* --- groups --------------------------------------------------------------------------------------------- */

/* A member of a group. 0 or a positive outcome of its own; a negative errno: it failed. */
typedef int sl_member_fn(struct sl_context *ctx, void *arg);

enum {
	SL_COLLECT =
		1, /* results are kept for sl_group_next; a failure is one of them and cancels nobody */
};

/*
 * Tasks that belong together: none outlives the group, and the group must be closed in the callback, or member, that opened it
 * (left open: abort, with the place). The first member that fails cancels all others. Members inherit the deadline scopes
 * around sl_group_open; cancelling the task that opened it cancels them. Groups nest. The struct is the caller's,
 * its fields are private.
 */
struct sl_task;
struct sl_group {
	struct sl_context *opener;
	struct sl_group *outer;
	struct sl_task *members;
	struct sl_task *waiting;
	struct sl_task *ended, **ended_tail;
	uint32_t running, unread;
	unsigned flags;
	int failure;
	bool is_canceled;
	int64_t deadline;
	const char *file;
	int line;
};

#define sl_group_open(ctx, group, flags) sl_group_open_at(ctx, group, flags, __FILE__, __LINE__)
void sl_group_open_at(
	struct sl_context *ctx, struct sl_group *group, unsigned flags, const char *file, int line);
/* The member runs as soon as the caller waits. 0; -ENOMEM; -ECANCELED: the group is, and fn will not be called. */
int sl_group_start(struct sl_group *group, sl_member_fn *fn, void *arg);
/*
 * With SL_COLLECT: the members as they end: 1, its arg and what it returned (either may be NULL); 0: all have been given;
 * -ETIMEDOUT; -ECANCELED. A result that was not read keeps its stack until the group is closed.
 */
int sl_group_next(struct sl_group *group, int64_t deadline, void **ret_arg, int *ret_result);
void sl_group_cancel(struct sl_group *group);
/*
 * Waits until every member has ended, also when cancelled itself (then it cancels them first). 0; the first failure
 * (not with SL_COLLECT); -ECANCELED: the caller was cancelled.
 */
int sl_group_close(struct sl_group *group);

/*
 * fn(ctx, args + i * arg_size) for i in [0, count), at most `limit` at once (0: all); ret_results[i] is what the i-th
 * returned. How many failed; -ECANCELED (those that did not end by themselves say -ECANCELED); -ENOMEM.
 */
int sl_gather(struct sl_context *ctx, sl_member_fn *fn, void *args, size_t arg_size, uint32_t count,
	uint32_t limit, int *ret_results);

/* --- scopes ------------------------------------------------------------------------------------------------ */

enum {
	SL_SHIELD =
		1, /* cancel and outer deadlines do not reach inside: for cleanup that must wait. Give it a deadline */
};

/* A deadline for everything between open and close. Scopes nest like brackets: the earliest deadline holds. */
struct sl_scope {
	struct sl_scope *outer;
	int64_t deadline;
	unsigned flags;
};

void sl_scope_open(
	struct sl_context *ctx, struct sl_scope *scope, int64_t deadline, unsigned flags);
/* 0; -ETIMEDOUT: its deadline has passed. */
int sl_scope_close(struct sl_context *ctx, struct sl_scope *scope);

#ifdef __cplusplus
}
#endif
#endif
