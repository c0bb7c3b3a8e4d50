/* SPDX-License-Identifier: MIT */
/*
 * libmicrohttpd, loaded by whoever opens a control socket: it brings GnuTLS along, with which every `sluice` command would
 * start twice as slowly. These are the functions of microhttpd.h that are used, under their own names; a new one is one line
 * in the list and its body below. One thread.
 */
#include "supervisor/mhd.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>

#define LIBRARY "libmicrohttpd.so.12"

/* clang-format off */
#define FUNCTIONS(X)                                                                                  \
	X(add_response_header) X(create_response_from_buffer) X(destroy_response)                     \
	X(get_connection_info) X(get_daemon_info) X(get_timeout) X(lookup_connection_value)           \
	X(queue_response) X(quiesce_daemon) X(resume_connection) X(run) X(start_daemon_va)            \
	X(stop_daemon) X(suspend_connection)
/* clang-format on */

static struct {
#define POINTER(name) __typeof__(&MHD_##name) name;
	FUNCTIONS(POINTER)
} real;

int mhd_load(struct err *err)
{
	static bool is_there;
	void *library;
	bool has_all;

	if (is_there)
		return 0;
	library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
	has_all = library != NULL;
#define LOOK_UP(name)                                                                              \
	if (has_all)                                                                               \
		has_all = (real.name = (__typeof__(&MHD_##name))dlsym(library, "MHD_" #name));
	FUNCTIONS(LOOK_UP)
	if (!has_all)
		return err_set(err, -ENOENT,
			"install %s, 0.9.73 or newer (package libmicrohttpd12): %s", LIBRARY,
			dlerror());
	is_there = true;
	return 0;
}

struct MHD_Daemon *MHD_start_daemon(unsigned flags, uint16_t port, MHD_AcceptPolicyCallback accept,
	void *accept_user, MHD_AccessHandlerCallback handle, void *user, ...)
{
	struct MHD_Daemon *daemon;
	va_list options;

	va_start(options, user);
	daemon = real.start_daemon_va(flags, port, accept, accept_user, handle, user, options);
	va_end(options);
	return daemon;
}

void MHD_stop_daemon(struct MHD_Daemon *daemon)
{
	real.stop_daemon(daemon);
}

MHD_socket MHD_quiesce_daemon(struct MHD_Daemon *daemon)
{
	return real.quiesce_daemon(daemon);
}

enum MHD_Result MHD_run(struct MHD_Daemon *daemon)
{
	return real.run(daemon);
}

enum MHD_Result MHD_get_timeout(struct MHD_Daemon *daemon, MHD_UNSIGNED_LONG_LONG *timeout)
{
	return real.get_timeout(daemon, timeout);
}

/* Without the further arguments that some kinds of information take. */
const union MHD_DaemonInfo *MHD_get_daemon_info(
	struct MHD_Daemon *daemon, enum MHD_DaemonInfoType type, ...)
{
	return real.get_daemon_info(daemon, type);
}

const union MHD_ConnectionInfo *MHD_get_connection_info(
	struct MHD_Connection *connection, enum MHD_ConnectionInfoType type, ...)
{
	return real.get_connection_info(connection, type);
}

void MHD_suspend_connection(struct MHD_Connection *connection)
{
	real.suspend_connection(connection);
}

void MHD_resume_connection(struct MHD_Connection *connection)
{
	real.resume_connection(connection);
}

const char *MHD_lookup_connection_value(
	struct MHD_Connection *connection, enum MHD_ValueKind kind, const char *key)
{
	return real.lookup_connection_value(connection, kind, key);
}

struct MHD_Response *MHD_create_response_from_buffer(
	size_t size, void *buffer, enum MHD_ResponseMemoryMode mode)
{
	return real.create_response_from_buffer(size, buffer, mode);
}

enum MHD_Result MHD_add_response_header(
	struct MHD_Response *response, const char *header, const char *content)
{
	return real.add_response_header(response, header, content);
}

enum MHD_Result MHD_queue_response(
	struct MHD_Connection *connection, unsigned status, struct MHD_Response *response)
{
	return real.queue_response(connection, status, response);
}

void MHD_destroy_response(struct MHD_Response *response)
{
	real.destroy_response(response);
}
