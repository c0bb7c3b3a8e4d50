/* SPDX-License-Identifier: MIT */
/* See crew.h: the pump's side. */
#include "engine/crew.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "engine/worker.h"

void job_free(struct job *job)
{
	if (!job)
		return;
	for (uint32_t i = 0; i < job->port_count; i++)
		outlet_output_fini(&job->outputs[i]);
	free(job->outputs);
	free(job->origin_name);
	delivery_free(job->delivery);
	free(job->quarantine);
	free(job);
}

int crew_start(struct host *host, struct crew *crew, struct err *err)
{
	pthread_condattr_t attributes;
	int r;

	*crew = (struct crew){ .host = host, .worker_count = host->stage->threads };
	crew->todo.tail = &crew->todo.head;
	crew->done.tail = &crew->done.head;
	crew->begun.tail = &crew->begun.head;
	crew->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (crew->wake_fd < 0)
		return err_set(err, -errno, "no eventfd: %s", err_name(errno));
	(void)pthread_mutex_init(&crew->lock, NULL);
	(void)pthread_condattr_init(&attributes);
	(void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&crew->wake, &attributes);
	(void)pthread_condattr_destroy(&attributes);
	crew->workers = calloc(crew->worker_count, sizeof(*crew->workers));
	if (!crew->workers)
		return err_set(err, -ENOMEM, "no memory for workers");
	for (uint32_t i = 0; i < crew->worker_count; i++) {
		r = worker_start(&crew->workers[i], crew, i);
		if (r < 0)
			return err_set(err, r, "cannot start worker %u: %s", i, err_name(r));
	}
	return 0;
}

/* Under the lock, without which the worker does not end its loop. */
static void nudge(struct worker *worker)
{
	struct loop *loop = atomic_load(&worker->loop);

	if (loop)
		loop_nudge(loop);
}

void crew_rouse(struct crew *crew)
{
	if (crew->host->stage->coroutines == 0) {
		(void)pthread_cond_signal(&crew->wake);
		return;
	}
	for (uint32_t i = 0; i < crew->worker_count; i++) {
		if (!crew->workers[i].is_hungry)
			continue;
		crew->workers[i].is_hungry = false;
		nudge(&crew->workers[i]);
	}
}

void crew_cancel(struct crew *crew)
{
	(void)pthread_mutex_lock(&crew->lock);
	for (uint32_t i = 0; i < crew->worker_count; i++)
		nudge(&crew->workers[i]);
	(void)pthread_mutex_unlock(&crew->lock);
}

void crew_put_back(struct crew *crew, struct job *job)
{
	job->next_in_list = crew->todo.head;
	if (!crew->todo.head)
		crew->todo.tail = &job->next_in_list;
	crew->todo.head = job;
}

void crew_give(struct crew *crew, struct job *job)
{
	(void)pthread_mutex_lock(&crew->lock);
	job->next_in_list = NULL;
	*crew->todo.tail = job;
	crew->todo.tail = &job->next_in_list;
	crew_rouse(crew);
	(void)pthread_mutex_unlock(&crew->lock);
}

static struct job *list_take(struct job_list *list)
{
	struct job *head = list->head;

	list->head = NULL;
	list->tail = &list->head;
	return head;
}

void crew_collect(struct crew *crew, struct job **ret_begun, struct job **ret_done)
{
	uint64_t count;

	(void)!read(crew->wake_fd, &count, sizeof(count));
	(void)pthread_mutex_lock(&crew->lock);
	*ret_begun = list_take(&crew->begun);
	*ret_done = list_take(&crew->done);
	(void)pthread_mutex_unlock(&crew->lock);
}

bool crew_has_started(struct crew *crew)
{
	bool has_started;

	(void)pthread_mutex_lock(&crew->lock);
	has_started = crew->started == crew->worker_count;
	(void)pthread_mutex_unlock(&crew->lock);
	return has_started;
}

int crew_has_failed(struct crew *crew, struct err *err, int *ret_error, bool *ret_final)
{
	bool has_failed;

	(void)pthread_mutex_lock(&crew->lock);
	has_failed = crew->has_failed;
	if (has_failed) {
		*err = crew->err;
		*ret_final = crew->is_final;
		*ret_error = crew->error;
	}
	(void)pthread_mutex_unlock(&crew->lock);
	return has_failed;
}

void crew_finish(struct crew *crew, bool is_complete)
{
	(void)pthread_mutex_lock(&crew->lock);
	crew->is_finishing = true;
	crew->is_complete = is_complete;
	(void)pthread_cond_broadcast(&crew->wake);
	for (uint32_t i = 0; i < crew->worker_count; i++)
		nudge(&crew->workers[i]);
	(void)pthread_mutex_unlock(&crew->lock);
}

bool crew_has_stopped(struct crew *crew)
{
	bool has_stopped;

	(void)pthread_mutex_lock(&crew->lock);
	has_stopped = crew->stopped == crew->worker_count;
	(void)pthread_mutex_unlock(&crew->lock);
	return has_stopped;
}

void crew_show_cpu(struct crew *crew)
{
	(void)pthread_mutex_lock(&crew->lock);
	for (uint32_t i = 0; i < crew->worker_count; i++)
		worker_show_cpu(&crew->workers[i]);
	(void)pthread_mutex_unlock(&crew->lock);
}

void crew_join(struct crew *crew)
{
	for (uint32_t i = 0; i < crew->worker_count; i++)
		worker_join(&crew->workers[i]);
	free(crew->workers);
	(void)close(crew->wake_fd);
	(void)pthread_cond_destroy(&crew->wake);
	(void)pthread_mutex_destroy(&crew->lock);
}
