/* SPDX-License-Identifier: MIT */
/*
 * What control.c (the server in the event loop) and routes.c (what each route answers) share. A request is answered at once, or
 * suspended and answered when what it waits for has come. A new route is a row of the table in routes.c.
 */
#ifndef SUPERVISOR_CONTROL_ROOM_H
#define SUPERVISOR_CONTROL_ROOM_H

#include <jansson.h>
#include <sys/un.h>

#include "supervisor/audit.h"
#include "supervisor/control.h"
#include "supervisor/mhd.h"
#include "supervisor/rates.h"

enum waits { WAITS_NOT, WAITS_FOR_TALLIES, WAITS_FOR_END, WAITS_FOR_RELOAD };

struct request {
	struct control *control;
	struct MHD_Connection *connection;
	size_t body; /* bytes that came */
	bool is_begun;
	enum waits waits;
	json_t *reply;     /* what it waited for */
	const char *allow; /* of a refused method: the one that is taken */
	struct request *prev, *next;
};

struct control {
	struct supervisor *supervisor;
	struct MHD_Daemon *daemon;
	int listener;  /* until the daemon has it; -1 */
	bool is_bound; /* `path` is ours */
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	sd_event_source *io, *timer, *audit_timer;
	int64_t started_at;
	struct rates *rates; /* one per child */
	struct audit audit;
	struct request *waiting; /* suspended */
	bool has_resumed;        /* since the last turn began */
	bool is_closing;         /* nothing new is taken */
	uint32_t begun;          /* requests whose answer is not with the kernel yet */
};

/* --- control.c ---------------------------------------------------------------------------------- */

/* Both take what they send; MHD_NO, which closes the connection, when that is NULL. */
enum MHD_Result control_send_text(
	struct request *request, unsigned status, const char *type, char *text, size_t size);
enum MHD_Result control_send_json(struct request *request, unsigned status, json_t *json);
/* Its answer comes when somebody resumes those who wait for that. */
enum MHD_Result control_suspend(struct request *request, enum waits waits);
/* Those who wait for that get `reply`, which is taken. */
void control_resume(struct control *control, enum waits waits, json_t *reply);

/* --- routes.c ----------------------------------------------------------------------------------- */

/* A whole request. MHD_NO: no memory. Suspends none while it is closing: libmicrohttpd cannot end with one. */
enum MHD_Result routes_take(struct request *request, const char *path, const char *method);
/* The audit that runs has all it will get. */
void routes_end_audit(struct control *control);
json_t *routes_tell_reload(const struct control *control, bool is_done, const char *text);
/* What those get who wait for the end; `result` may be NULL. */
json_t *routes_tell_end(const struct control *control, const struct supervisor_result *result);

#endif
