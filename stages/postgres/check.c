/* SPDX-License-Identifier: MIT */
/* See check.h. */
#include "check.h"

#include <errno.h>
#include <libpq-fe.h>
#include <string.h>

int check_connection(struct sl_context *ctx, const char *connection)
{
	char *reason = NULL;
	PQconninfoOption *options = PQconninfoParse(connection, &reason);
	int r = 0;

	if (!options)
		r = sl_error(ctx, -EINVAL,
			"`connection` is not understood: %.*s; write for instance "
			"\"host=db.example.org dbname=shop user=sluice\"",
			reason ? (int)strcspn(reason, "\n") : 0, reason ? reason : "");
	PQconninfoFree(options);
	PQfreemem(reason);
	return r;
}
