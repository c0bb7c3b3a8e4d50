/* SPDX-License-Identifier: MIT */
/* See server.h: there is no libpq. */
#include "server.h"

#include <errno.h>

#include "load.h"

int server_check(struct sl_context *ctx, const char *connection)
{
	(void)connection;
	return sl_error(ctx, -EINVAL,
		"`connection` wants a sluice that was built with libpq, and this one was not");
}

void server_files(const char *connection, sl_files_fn *tell, void *user)
{
	(void)connection;
	(void)tell;
	(void)user;
}

int load_postgres(struct load *load, struct build *build)
{
	(void)load;
	return problem_say(build->problem, -ENOSYS, "this sluice was built without libpq");
}
