/* SPDX-License-Identifier: MIT */
/* See control_room.h; the routes, and what each answers. doc/control.md tells users of them. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "supervisor/control_room.h"
#include "supervisor/status.h"

#define AUDIT_WAIT 2000000 /* us: for the tallies of the sources */

/* --- status and metrics -------------------------------------------------------------------------- */

/* Fills `status`; the children and what they use are to be freed. False: no memory. */
static bool look(const struct control *control, struct status *status,
	struct supervisor_child **ret_children, struct group_use **ret_uses)
{
	const struct supervisor *supervisor = control->supervisor;
	uint32_t count = supervisor_child_count(supervisor);
	struct supervisor_child *children = *ret_children = calloc(count, sizeof(*children));
	struct group_use *uses = *ret_uses = calloc(count, sizeof(*uses));

	if (!children || !uses)
		return false;
	for (uint32_t i = 0; i < count; i++) {
		children[i] = supervisor_child(supervisor, i);
		uses[i] = supervisor_use(supervisor, i);
	}
	*status = (struct status){
		.graph = supervisor_graph(supervisor),
		.now = supervisor_now(supervisor),
		.pid = getpid(),
		.started_at = control->started_at,
		.at_ns = clock_now(),
		.children = children,
		.rates = control->rates,
		.uses = uses,
		.child_count = count,
	};
	return true;
}

static enum MHD_Result answer_status(struct request *request)
{
	_cleanup_free_ struct supervisor_child *children = NULL;
	_cleanup_free_ struct group_use *uses = NULL;
	struct status status;

	if (!look(request->control, &status, &children, &uses))
		return MHD_NO;
	return control_send_json(request, MHD_HTTP_OK, status_json(&status));
}

static enum MHD_Result answer_metrics(struct request *request)
{
	_cleanup_free_ struct supervisor_child *children = NULL;
	_cleanup_free_ struct group_use *uses = NULL;
	struct status status;
	size_t size = 0;
	char *text;

	if (!look(request->control, &status, &children, &uses))
		return MHD_NO;
	text = status_metrics(&status, &size);
	return control_send_text(
		request, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8", text, size);
}

/* --- audit --------------------------------------------------------------------------------------- */

static json_t *name_missing(const struct control *control)
{
	const struct graph *graph = supervisor_graph(control->supervisor);
	json_t *names = json_array();
	char name[128];

	for (uint32_t i = 0; i < control->audit.child_count; i++) {
		struct supervisor_child child = supervisor_child(control->supervisor, i);

		if (control->audit.children[i] != AUDIT_ASKED)
			continue;
		(void)snprintf(name, sizeof(name), "%s.%u", graph->stages[child.stage].name,
			child.instance);
		(void)json_array_append_new(names, json_string(name));
	}
	return names;
}

void routes_end_audit(struct control *control)
{
	json_t *missing = name_missing(control);

	(void)sd_event_source_set_enabled(control->audit_timer, SD_EVENT_OFF);
	control_resume(control, WAITS_FOR_TALLIES, audit_end(&control->audit, missing));
	json_decref(missing);
}

static void begin_audit(struct control *control)
{
	audit_begin(&control->audit, supervisor_now(control->supervisor).tally);
	for (uint32_t i = 0; i < control->audit.child_count; i++)
		if (!audit_has_finished(&control->audit, i) &&
			supervisor_ask_tally(control->supervisor, i))
			audit_await(&control->audit, i);
	(void)sd_event_source_set_time_relative(control->audit_timer, AUDIT_WAIT);
	(void)sd_event_source_set_enabled(control->audit_timer, SD_EVENT_ONESHOT);
}

static enum MHD_Result answer_audit(struct request *request)
{
	struct control *control = request->control;
	enum MHD_Result r;

	/* Who comes while one is running shares it. */
	if (!control->audit.is_running)
		begin_audit(control);
	r = control_suspend(request, WAITS_FOR_TALLIES);
	if (control->audit.awaited == 0)
		routes_end_audit(control);
	return r;
}

/* --- drain and stop ------------------------------------------------------------------------------ */

static bool wants_to_wait(const struct request *request)
{
	const char *value =
		MHD_lookup_connection_value(request->connection, MHD_GET_ARGUMENT_KIND, "wait");

	return value && strcmp(value, "0") != 0;
}

static json_t *tell_state(const struct control *control)
{
	struct supervisor_now now = supervisor_now(control->supervisor);

	return json_pack("{s:s, s:I, s:s}", "pipeline", supervisor_graph(control->supervisor)->name,
		"pid", (json_int_t)getpid(), "state", status_states[now.state]);
}

static enum MHD_Result answer_end(struct request *request)
{
	if (wants_to_wait(request))
		return control_suspend(request, WAITS_FOR_END);
	return control_send_json(request, MHD_HTTP_ACCEPTED, tell_state(request->control));
}

static enum MHD_Result answer_drain(struct request *request)
{
	supervisor_drain(request->control->supervisor);
	return answer_end(request);
}

static enum MHD_Result answer_stop(struct request *request)
{
	supervisor_stop(request->control->supervisor, "`sluice stop`");
	return answer_end(request);
}

/* Also for who stands in another folder than the supervisor. */
static json_t *tell_folder(const char *path)
{
	char whole[PATH_MAX];

	return status_text(realpath(path, whole) ? whole : path);
}

static json_t *tell_parameters(const char *const *parameters)
{
	json_t *list = json_array();

	for (; parameters && *parameters; parameters++)
		(void)json_array_append_new(list, status_text(*parameters));
	return list;
}

json_t *routes_tell_end(const struct control *control, const struct supervisor_result *result)
{
	static const char *const ends[] = {
		[SUPERVISOR_SETTLED] = "settled",
		[SUPERVISOR_FAILED] = "failed",
		[SUPERVISOR_DEAD] = "dead_letters",
	};
	const struct plan *plan = supervisor_plan(control->supervisor);

	if (!result)
		return json_pack("{s:s, s:s, s:i, s:s}", "pipeline",
			supervisor_graph(control->supervisor)->name, "end", ends[SUPERVISOR_FAILED],
			"status", SUPERVISOR_FAILED, "reason", "the supervisor failed");
	return json_pack("{s:s, s:s, s:i, s:b, s:f, s:I, s:I, s:o, s:o, s:o}", "pipeline",
		supervisor_graph(control->supervisor)->name, "end", ends[result->end], "status",
		(int)result->end, "stopped", result->is_stopped, "elapsed_seconds",
		status_seconds(result->elapsed_ns), "given_up", (json_int_t)result->given_up,
		"dead_letters", (json_int_t)result->letters, "reason",
		status_text(result->end == SUPERVISOR_FAILED ? result->reason : NULL),
		"state_folder", tell_folder(plan->state), "parameters",
		tell_parameters(plan->parameters));
}

/* --- reload ---------------------------------------------------------------------------------------- */

json_t *routes_tell_reload(const struct control *control, bool is_done, const char *text)
{
	return json_pack("{s:s, s:b, s:s}", "pipeline", supervisor_graph(control->supervisor)->name,
		"reloaded", is_done, "text", text);
}

/* Waits for the outcome; what cannot even begin is a conflict. */
static enum MHD_Result answer_reload(struct request *request)
{
	struct err err = { 0 };

	if (supervisor_reload(request->control->supervisor, &err) < 0)
		return control_send_json(request, MHD_HTTP_CONFLICT,
			json_pack("{s:s, s:b, s:s, s:s}", "pipeline",
				supervisor_graph(request->control->supervisor)->name, "reloaded", 0,
				"text", err.text, "error", err.text));
	return control_suspend(request, WAITS_FOR_RELOAD);
}

/* --- routes -------------------------------------------------------------------------------------- */

struct route {
	const char *method;
	const char *path;
	enum MHD_Result (*answer)(struct request *request);
};

/* clang-format off */
static const struct route routes[] = {
	{ "GET",  "/v1/status",  answer_status },
	{ "GET",  "/v1/metrics", answer_metrics },
	{ "GET",  "/v1/audit",   answer_audit },
	{ "POST", "/v1/drain",   answer_drain },
	{ "POST", "/v1/stop",    answer_stop },
	{ "POST", "/v1/reload",  answer_reload },
};
/* clang-format on */
#define ROUTE_COUNT (sizeof(routes) / sizeof(routes[0]))

static enum MHD_Result refuse(struct request *request, unsigned status, const char *error)
{
	json_t *list = json_array();
	char text[64];

	for (size_t i = 0; i < ROUTE_COUNT; i++) {
		(void)snprintf(text, sizeof(text), "%s %s", routes[i].method, routes[i].path);
		(void)json_array_append_new(list, json_string(text));
	}
	return control_send_json(request, status,
		json_pack("{s:o, s:o}", "error", status_text(error), "routes", list));
}

enum MHD_Result routes_take(struct request *request, const char *path, const char *method)
{
	char error[512];

	if (request->control->is_closing)
		return refuse(request, MHD_HTTP_SERVICE_UNAVAILABLE, "the pipeline has ended");
	/* The answer to HEAD is that to GET, and libmicrohttpd leaves out its body. */
	if (strcmp(method, MHD_HTTP_METHOD_HEAD) == 0)
		method = MHD_HTTP_METHOD_GET;
	for (size_t i = 0; i < ROUTE_COUNT; i++) {
		if (strcmp(path, routes[i].path) != 0)
			continue;
		if (strcmp(method, routes[i].method) == 0)
			return routes[i].answer(request);
		(void)snprintf(error, sizeof(error), "%s takes %s only", path, routes[i].method);
		request->allow = routes[i].method;
		return refuse(request, MHD_HTTP_METHOD_NOT_ALLOWED, error);
	}
	(void)snprintf(error, sizeof(error), "there is no %.400s here", path);
	return refuse(request, MHD_HTTP_NOT_FOUND, error);
}
