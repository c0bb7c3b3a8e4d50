/* SPDX-License-Identifier: MIT */
/* See keeper.h. */
#include "keeper.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "load.h"

#define AGAIN_MS 50
#define AGAIN_MAX 600 /* so often at first: half a minute */

struct version {
	struct table *table;
	unsigned refs; /* the keeper's own among them */
};

struct keeper {
	struct load load; /* the thread's */
	int stop_fd;
	pthread_t thread;
	pthread_mutex_t guard; /* of what follows */
	bool is_started;
	struct version *version;
	struct problem problem; /* of the first reading */
	struct message message;
	atomic_bool has_message;
};

/* --- versions ----------------------------------------------------------------------------------- */

const struct table *version_table(const struct version *version)
{
	return version->table;
}

struct version *keeper_take(struct keeper *keeper)
{
	struct version *version;

	(void)pthread_mutex_lock(&keeper->guard);
	version = keeper->version;
	version->refs++;
	(void)pthread_mutex_unlock(&keeper->guard);
	return version;
}

void keeper_give(struct keeper *keeper, struct version *version)
{
	bool is_last;

	(void)pthread_mutex_lock(&keeper->guard);
	is_last = --version->refs == 0;
	(void)pthread_mutex_unlock(&keeper->guard);
	if (!is_last)
		return;
	table_free(version->table);
	free(version);
}

/* Takes the table. */
static int publish(struct keeper *keeper, struct table *table)
{
	struct version *version = malloc(sizeof(*version));
	struct version *old;

	if (!version) {
		table_free(table);
		return -ENOMEM;
	}
	*version = (struct version){ table, 1 };
	(void)pthread_mutex_lock(&keeper->guard);
	old = keeper->version;
	keeper->version = version;
	(void)pthread_mutex_unlock(&keeper->guard);
	if (old)
		keeper_give(keeper, old);
	return 0;
}

/* --- saying ------------------------------------------------------------------------------------- */

static void say(struct keeper *keeper, enum sl_level level, const char *what, const char *reason)
{
	(void)pthread_mutex_lock(&keeper->guard);
	keeper->message.level = level;
	(void)snprintf(keeper->message.text, sizeof(keeper->message.text), "the table %s %s%s",
		lookup_name(keeper->load.options), what, reason);
	atomic_store(&keeper->has_message, true);
	(void)pthread_mutex_unlock(&keeper->guard);
}

bool keeper_hear(struct keeper *keeper, struct message *ret)
{
	if (!atomic_load_explicit(&keeper->has_message, memory_order_relaxed))
		return false;
	(void)pthread_mutex_lock(&keeper->guard);
	*ret = keeper->message;
	(void)pthread_mutex_unlock(&keeper->guard);
	return atomic_exchange(&keeper->has_message, false);
}

/* --- the thread --------------------------------------------------------------------------------- */

/* False: it is to stop. */
static bool wait_ms(struct keeper *keeper, int64_t ms)
{
	struct pollfd fd = { .fd = keeper->stop_fd, .events = POLLIN };

	return poll(&fd, 1, ms < INT32_MAX ? (int)ms : INT32_MAX) <= 0;
}

static int read_first(struct keeper *keeper, struct problem *problem)
{
	struct table *table = NULL;
	int r, tries = 0;

	while ((r = load_table(&keeper->load, problem, &table)) == -EAGAIN && tries++ < AGAIN_MAX)
		if (!wait_ms(keeper, AGAIN_MS))
			return -ECANCELED;
	return r == 0 ? publish(keeper, table) : r;
}

static void fail_first(struct keeper *keeper, const struct problem *problem, int error)
{
	(void)pthread_mutex_lock(&keeper->guard);
	keeper->problem = *problem;
	keeper->problem.error = error;
	(void)pthread_mutex_unlock(&keeper->guard);
}

/* `said`: what was said last of a table that cannot be read. */
static void read_again(struct keeper *keeper, struct problem *said)
{
	struct table *table = NULL;
	struct problem problem;
	char rows[32];
	bool is_new;
	int r = load_table(&keeper->load, &problem, &table);

	if (r == -ECANCELED || r == -EAGAIN)
		return;
	if (r < 0) {
		if (strcmp(said->text, problem.text) != 0)
			say(keeper, SL_LOG_WARNING,
				"cannot be read again, and stays as it was: ", problem.text);
		*said = problem;
		return;
	}
	*said = (struct problem){ 0 };
	is_new = table_fingerprint(table) != table_fingerprint(keeper->version->table);
	(void)snprintf(rows, sizeof(rows), "%u rows", table_count(table));
	if (!is_new)
		table_free(table);
	else if (publish(keeper, table) == 0)
		say(keeper, SL_LOG_INFO, "was read again: ", rows);
}

static void *keeper_main(void *arg)
{
	struct keeper *keeper = arg;
	const struct lookup *o = keeper->load.options;
	struct problem problem = { 0 }, said = { 0 };
	int r = read_first(keeper, &problem);

	if (r < 0) {
		fail_first(keeper, &problem, r);
		return NULL;
	}
	while (o->reload > 0 && wait_ms(keeper, o->reload / SL_MILLISECOND))
		if (said.error < 0 || load_has_changed(&keeper->load))
			read_again(keeper, &said);
	return NULL;
}

/* --- beginning and end -------------------------------------------------------------------------- */

struct keeper *keeper_new(const struct lookup *options)
{
	struct keeper *keeper = calloc(1, sizeof(*keeper));

	if (!keeper)
		return NULL;
	keeper->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (keeper->stop_fd < 0) {
		free(keeper);
		return NULL;
	}
	keeper->load.options = options;
	keeper->load.stop_fd = keeper->stop_fd;
	(void)pthread_mutex_init(&keeper->guard, NULL);
	return keeper;
}

/* Signals are the pump's. */
static int start_thread(struct keeper *keeper)
{
	sigset_t all, before;
	int r;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&keeper->thread, NULL, keeper_main, keeper);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -r;
}

int keeper_start(struct keeper *keeper)
{
	int r = 0;

	(void)pthread_mutex_lock(&keeper->guard);
	if (!keeper->is_started)
		r = start_thread(keeper);
	keeper->is_started = keeper->is_started || r == 0;
	(void)pthread_mutex_unlock(&keeper->guard);
	return r;
}

int keeper_look(struct keeper *keeper, struct problem *ret)
{
	int r;

	(void)pthread_mutex_lock(&keeper->guard);
	r = keeper->version ? 1 : keeper->problem.error;
	*ret = keeper->problem;
	(void)pthread_mutex_unlock(&keeper->guard);
	return r;
}

void keeper_free(struct keeper *keeper)
{
	const uint64_t one = 1;

	if (!keeper)
		return;
	/* A counter that is full would do as well. */
	if (keeper->is_started && write(keeper->stop_fd, &one, sizeof(one)) <= 0)
		abort();
	if (keeper->is_started)
		(void)pthread_join(keeper->thread, NULL);
	if (keeper->version)
		keeper_give(keeper, keeper->version);
	load_fini(&keeper->load);
	(void)close(keeper->stop_fd);
	(void)pthread_mutex_destroy(&keeper->guard);
	free(keeper);
}
