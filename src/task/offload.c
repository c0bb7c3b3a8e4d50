/* SPDX-License-Identifier: MIT */
/* Blocking calls, on libuv's pool: sl_offload and sl_resolve. */
#include <sluice/task.h>

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>

#include "task/loop.h"

/* --- sl_offload: the request lies on the waiter's stack, so it is waited for in any case ----------- */

struct offload {
	uv_work_t work;
	struct sl_task *task;
	sl_offload_fn *fn;
	void *arg;
	int result;
	bool is_done;
	bool is_taken_back;
};

static void run_offload(uv_work_t *work)
{
	struct offload *offload = work->data;
	const struct loop_setup *setup = offload->task->loop->setup;

	if (setup->on_away)
		setup->on_away(offload->task);
	offload->result = offload->fn(offload->arg);
	if (setup->on_away)
		setup->on_away(NULL);
}

static void end_offload(uv_work_t *work, int status)
{
	struct offload *offload = work->data;

	offload->task->loop->pending--;
	offload->is_done = true;
	offload->is_taken_back = status == UV_ECANCELED;
	if (offload->task->state == TASK_PARKED)
		task_wake(offload->task, 0);
}

int sl_offload(struct sl_context *ctx, sl_offload_fn *fn, void *arg, int64_t deadline)
{
	struct sl_task *task = task_self(ctx);
	struct offload offload = { .task = task, .fn = fn, .arg = arg };
	int r;

	if (task_is_canceled(task))
		return -ECANCELED;
	offload.work.data = &offload;
	r = uv_queue_work(&task->loop->uv, &offload.work, run_offload, end_offload);
	if (r < 0)
		return r;
	task->loop->pending++;
	r = task_park(task, deadline);
	if (!offload.is_done)
		(void)uv_cancel((uv_req_t *)&offload.work);
	while (!offload.is_done)
		(void)task_park_shielded(task);
	return offload.is_taken_back ? r : offload.result;
}

/* --- sl_resolve: a request that nobody waits for any more ends by itself ---------------------------- */

struct resolve {
	uv_getaddrinfo_t request;
	struct loop *loop;
	struct sl_task *task; /* NULL: it gave up */
	int status;
	struct addrinfo *list;
	bool is_done;
};

static void end_resolve(uv_getaddrinfo_t *request, int status, struct addrinfo *list)
{
	struct resolve *resolve = request->data;

	resolve->loop->pending--;
	resolve->is_done = true;
	resolve->status = status;
	resolve->list = list;
	if (!resolve->task) {
		uv_freeaddrinfo(list);
		free(resolve);
	} else if (resolve->task->state == TASK_PARKED) {
		task_wake(resolve->task, 0);
	}
}

static int resolve_error(int status)
{
	switch (status) {
	case UV_EAI_NONAME:
	case UV_EAI_NODATA:
	case UV_EAI_ADDRFAMILY:
		return -ENOENT;
	case UV_EAI_AGAIN:
		return -EAGAIN;
	case UV_EAI_MEMORY:
		return -ENOMEM;
	default:
		return status > UV_EAI_ADDRFAMILY ? status : -EIO;
	}
}

static int start_resolve(struct resolve *resolve, struct sl_task *task, const char *host,
	const char *service, const struct addrinfo *hints)
{
	int r;

	resolve->loop = task->loop;
	resolve->task = task;
	resolve->request.data = resolve;
	r = uv_getaddrinfo(&task->loop->uv, &resolve->request, end_resolve, host, service, hints);
	if (r == 0)
		task->loop->pending++;
	return r;
}

int sl_resolve(struct sl_context *ctx, const char *host, const char *service,
	const struct addrinfo *hints, int64_t deadline, struct addrinfo **ret_list)
{
	struct sl_task *task = task_self(ctx);
	struct resolve *resolve;
	int r;

	if (task_is_canceled(task))
		return -ECANCELED;
	resolve = calloc(1, sizeof(*resolve));
	if (!resolve)
		return -ENOMEM;
	r = start_resolve(resolve, task, host, service, hints);
	if (r < 0) {
		free(resolve);
		/* libuv does not ask for a name that cannot be. */
		return host && (r == UV_ENAMETOOLONG || r == UV_EINVAL) ? -ENOENT : r;
	}
	r = task_park(task, deadline);
	if (!resolve->is_done) {
		resolve->task = NULL;
		(void)uv_cancel((uv_req_t *)&resolve->request);
		return r;
	}
	r = resolve->status;
	if (r == 0)
		*ret_list = resolve->list;
	free(resolve);
	return r == 0 ? 0 : resolve_error(r);
}
