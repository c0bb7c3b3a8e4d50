/* SPDX-License-Identifier: MIT */
/* See control.h. */
#include "supervisor/control.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <utlist.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "supervisor/control_room.h"

#define CONNECTIONS_MAX 128
#define SILENCE_MAX 5           /* seconds */
#define HEADERS_MAX (16u << 10) /* bytes of memory for each connection */
#define BODY_MAX (64u << 10)    /* nobody needs one */
#define CLOSING (NSEC_PER_SEC / 5)
#define USEC_PER_MSEC 1000

/* --- answering ---------------------------------------------------------------------------------- */

enum MHD_Result control_send_text(
	struct request *request, unsigned status, const char *type, char *text, size_t size)
{
	struct MHD_Response *response =
		text ? MHD_create_response_from_buffer(size, text, MHD_RESPMEM_MUST_FREE) : NULL;
	enum MHD_Result r;

	if (!response) {
		free(text);
		return MHD_NO;
	}
	(void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	(void)MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	if (request->allow)
		(void)MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, request->allow);
	r = MHD_queue_response(request->connection, status, response);
	MHD_destroy_response(response);
	return r;
}

enum MHD_Result control_send_json(struct request *request, unsigned status, json_t *json)
{
	char *text = json ? json_dumps(json, JSON_INDENT(2) | JSON_REAL_PRECISION(15)) : NULL;
	size_t size = text ? strlen(text) : 0;

	json_decref(json);
	/* A terminal wants the newline; the 0 makes room for it. */
	if (text)
		text[size++] = '\n';
	return control_send_text(request, status, "application/json", text, size);
}

enum MHD_Result control_suspend(struct request *request, enum waits waits)
{
	request->waits = waits;
	DL_APPEND(request->control->waiting, request);
	MHD_suspend_connection(request->connection);
	return MHD_YES;
}

/* Without a thread of its own libmicrohttpd is told by nobody that a connection was resumed. */
static void turn_soon(struct control *control)
{
	control->has_resumed = true;
	if (!control->timer)
		return;
	(void)sd_event_source_set_time_relative(control->timer, 0);
	(void)sd_event_source_set_enabled(control->timer, SD_EVENT_ONESHOT);
}

static void wake(struct request *request)
{
	DL_DELETE(request->control->waiting, request);
	request->waits = WAITS_NOT;
	MHD_resume_connection(request->connection);
	turn_soon(request->control);
}

/* libmicrohttpd does not look at connections that are suspended. Without a reply they are closed. */
static void drop_who_left(struct control *control)
{
	struct request *request, *next;

	DL_FOREACH_SAFE(control->waiting, request, next)
	{
		struct pollfd peer = { .fd = MHD_get_connection_info(request->connection,
					       MHD_CONNECTION_INFO_CONNECTION_FD)
						     ->connect_fd };

		if (poll(&peer, 1, 0) > 0 && (peer.revents & (POLLHUP | POLLERR)))
			wake(request);
	}
}

void control_resume(struct control *control, enum waits waits, json_t *reply)
{
	struct request *request, *next;

	DL_FOREACH_SAFE(control->waiting, request, next)
	{
		if (request->waits != waits)
			continue;
		request->reply = json_incref(reply);
		wake(request);
	}
	json_decref(reply);
}

/* --- requests ------------------------------------------------------------------------------------ */

/* Called with the headers, with each piece of a body, at its end, and again for one that was resumed. */
static enum MHD_Result on_request(void *user, struct MHD_Connection *connection, const char *path,
	const char *method, const char *version, const char *body, size_t *body_size,
	void **request_state)
{
	struct request *request = *request_state;

	(void)version;
	(void)body;
	if (!request) {
		request = calloc(1, sizeof(*request));
		if (!request)
			return MHD_NO;
		request->control = user;
		request->connection = connection;
		*request_state = request;
		return MHD_YES;
	}
	request->body += *body_size;
	if (*body_size > 0) {
		*body_size = 0;
		return request->body > BODY_MAX ? MHD_NO : MHD_YES;
	}
	if (request->reply)
		return control_send_json(request, MHD_HTTP_OK, take_ptr(request->reply));
	if (request->is_begun)
		return MHD_NO;
	request->is_begun = true;
	request->control->begun++;
	return routes_take(request, path, method);
}

static void on_completed(void *user, struct MHD_Connection *connection, void **request_state,
	enum MHD_RequestTerminationCode code)
{
	struct control *control = user;
	struct request *request = *request_state;

	(void)connection;
	(void)code;
	if (!request)
		return;
	if (request->waits != WAITS_NOT)
		DL_DELETE(control->waiting, request);
	control->begun -= request->is_begun;
	json_decref(request->reply);
	free(request);
	*request_state = NULL;
}

/* --- the loop ------------------------------------------------------------------------------------ */

static void turn(struct control *control)
{
	MHD_UNSIGNED_LONG_LONG wait_ms;

	control->has_resumed = false;
	(void)MHD_run(control->daemon);
	if (control->has_resumed) {
		turn_soon(control);
	} else if (MHD_get_timeout(control->daemon, &wait_ms) == MHD_YES) {
		(void)sd_event_source_set_time_relative(control->timer, wait_ms * USEC_PER_MSEC);
		(void)sd_event_source_set_enabled(control->timer, SD_EVENT_ONESHOT);
	} else {
		(void)sd_event_source_set_enabled(control->timer, SD_EVENT_OFF);
	}
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *user)
{
	(void)source;
	(void)fd;
	(void)events;
	turn(user);
	return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *user)
{
	(void)source;
	(void)usec;
	turn(user);
	return 0;
}

static int on_audit_timer(sd_event_source *source, uint64_t usec, void *user)
{
	struct control *control = user;

	(void)source;
	(void)usec;
	if (control->audit.is_running)
		routes_end_audit(control);
	return 0;
}

static int epoll_of(struct MHD_Daemon *daemon)
{
	return MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
}

void control_tick(struct control *control)
{
	int64_t now = clock_now();

	if (!control)
		return;
	for (uint32_t i = 0; i < control->audit.child_count; i++) {
		const struct page *page = supervisor_child(control->supervisor, i).page;

		rates_sample(
			&control->rates[i], (struct rates_sample){ now, page_get(page->records_in),
						    page_get(page->records_out) });
	}
	drop_who_left(control);
	/* After too many connections libmicrohttpd listens again only when it is run once more. */
	turn_soon(control);
}

void control_hear_tally(
	struct control *control, uint32_t child, bool is_final, const void *payload, size_t size)
{
	if (!control)
		return;
	audit_hear(&control->audit, child, is_final, payload, size);
	if (control->audit.is_running && control->audit.awaited == 0)
		routes_end_audit(control);
}

/* --- beginning and end --------------------------------------------------------------------------- */

/* The mode is set before there is a name that somebody could connect to. */
static int listen_in(struct control *control, const char *runtime, struct err *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int size =
		snprintf(control->path, sizeof(control->path), "%s/" PLAN_CONTROL_SOCKET, runtime);

	if (size < 0 || (size_t)size >= sizeof(control->path))
		return err_set(
			err, -ENAMETOOLONG, "the path of %s is too long for a socket", runtime);
	memcpy(address.sun_path, control->path, sizeof(address.sun_path));
	control->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (control->listener < 0)
		return err_set(err, -errno, "no socket: %s", err_name(errno));
	(void)unlink(control->path);
	if (fchmod(control->listener, 0600) < 0 ||
		bind(control->listener, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
		chmod(control->path, 0600) < 0 || listen(control->listener, SOMAXCONN) < 0)
		return err_set(err, -errno, "%s: %s", control->path, err_name(errno));
	control->is_bound = true;
	return 0;
}

static int start_daemon(struct control *control, struct err *err)
{
	int r = mhd_load(err);

	if (r < 0)
		return r;
	control->daemon = MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_SUSPEND_RESUME, 0, NULL, NULL,
		on_request, control, MHD_OPTION_LISTEN_SOCKET, control->listener,
		MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
		MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)SILENCE_MAX,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEADERS_MAX,
		MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_NOTIFY_COMPLETED, on_completed,
		control, MHD_OPTION_END);
	if (!control->daemon)
		return err_set(err, -EIO, "libmicrohttpd does not start: %s", err_name(errno));
	control->listener = -1;
	return 0;
}

/* Behind what is due for the pipeline. */
static int watch(struct control *control, sd_event *event, struct err *err)
{
	int r = sd_event_add_io(
		event, &control->io, epoll_of(control->daemon), EPOLLIN, on_io, control);

	if (r >= 0)
		r = sd_event_add_time_relative(event, &control->timer, CLOCK_MONOTONIC, UINT32_MAX,
			USEC_PER_MSEC, on_timer, control);
	if (r >= 0)
		r = sd_event_add_time_relative(event, &control->audit_timer, CLOCK_MONOTONIC,
			UINT32_MAX, USEC_PER_MSEC, on_audit_timer, control);
	if (r >= 0)
		r = sd_event_source_set_priority(control->io, SD_EVENT_PRIORITY_IDLE);
	if (r >= 0)
		r = sd_event_source_set_priority(control->timer, SD_EVENT_PRIORITY_IDLE);
	if (r >= 0)
		r = sd_event_source_set_enabled(control->timer, SD_EVENT_OFF);
	if (r >= 0)
		r = sd_event_source_set_enabled(control->audit_timer, SD_EVENT_OFF);
	return r < 0 ? err_set(err, r, "cannot watch it: %s", err_name(r)) : 0;
}

static int make_counts(struct control *control, struct err *err)
{
	uint32_t count = supervisor_child_count(control->supervisor);

	control->rates = calloc(count, sizeof(*control->rates));
	if (!control->rates ||
		audit_init(&control->audit, supervisor_graph(control->supervisor), count) < 0)
		return err_set(err, -ENOMEM, "no memory");
	return 0;
}

int control_resize(struct control *control)
{
	struct err err;

	if (!control)
		return 0;
	if (control->audit.is_running)
		routes_end_audit(control);
	free(control->rates);
	control->rates = NULL;
	audit_fini(&control->audit);
	return make_counts(control, &err);
}

void control_reloaded(struct control *control, bool is_done, const char *text)
{
	if (control)
		control_resume(
			control, WAITS_FOR_RELOAD, routes_tell_reload(control, is_done, text));
}

int control_open(struct supervisor *supervisor, const struct plan *plan, sd_event *event,
	struct control **ret_control, struct err *err)
{
	struct control *control = calloc(1, sizeof(*control));
	struct timespec now;
	int r;

	if (!control)
		return err_set(err, -ENOMEM, "no memory");
	(void)clock_gettime(CLOCK_REALTIME, &now);
	control->supervisor = supervisor;
	control->listener = -1;
	control->started_at = (int64_t)now.tv_sec * NSEC_PER_SEC + now.tv_nsec;
	r = make_counts(control, err);
	if (r == 0)
		r = listen_in(control, plan->runtime, err);
	if (r == 0)
		r = start_daemon(control, err);
	if (r == 0)
		r = watch(control, event, err);
	if (r < 0) {
		control_close(control, NULL);
		return r;
	}
	*ret_control = control;
	return 0;
}

/* What is under way goes out, unless somebody does not read. */
static void flush(struct control *control)
{
	int64_t deadline = clock_now() + CLOSING;
	struct pollfd poll_daemon = { .fd = epoll_of(control->daemon), .events = POLLIN };

	(void)MHD_run(control->daemon);
	while (control->begun > 0 && clock_now() < deadline) {
		(void)poll(&poll_daemon, 1, 10);
		(void)MHD_run(control->daemon);
	}
}

static void stop_daemon(struct control *control, const struct supervisor_result *result)
{
	int listener = MHD_quiesce_daemon(control->daemon);

	if (listener >= 0)
		(void)close(listener);
	control->is_closing = true;
	if (control->audit.is_running)
		routes_end_audit(control);
	control_resume(control, WAITS_FOR_END, routes_tell_end(control, result));
	flush(control);
	MHD_stop_daemon(control->daemon);
}

void control_close(struct control *control, const struct supervisor_result *result)
{
	if (!control)
		return;
	if (control->is_bound)
		(void)unlink(control->path);
	control->io = sd_event_source_unref(control->io);
	control->timer = sd_event_source_unref(control->timer);
	if (control->daemon)
		stop_daemon(control, result);
	control->audit_timer = sd_event_source_unref(control->audit_timer);
	if (control->listener >= 0)
		(void)close(control->listener);
	audit_fini(&control->audit);
	free(control->rates);
	free(control);
}
