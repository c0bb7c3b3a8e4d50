/* SPDX-License-Identifier: MIT */
/*
 * See files.h. Each file alone: a home folder has more in it than the password of a database. A file that takes the place of one of these is seen by
 * the next process of the stage. What a service file names is not known here: it must stand in `connection`, or in the environment.
 */
#include "files.h"

#include <libpq-fe.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct telling {
	const PQconninfoOption *written, *defaults;
	const char *home; /* NULL: none */
	sl_files_fn *tell;
	void *user;
};

static void tell_one(const struct telling *t, const char *path)
{
	t->tell(t->user, path, SL_FILES_READ | SL_FILES_EXACT);
}

static void tell_at_home(const struct telling *t, const char *name)
{
	char path[PATH_MAX];

	if (t->home && snprintf(path, sizeof(path), "%s/%s", t->home, name) < (int)sizeof(path))
		tell_one(t, path);
}

static const char *value_of(const PQconninfoOption *option, const char *keyword)
{
	for (; option && option->keyword; option++)
		if (strcmp(option->keyword, keyword) == 0)
			return option->val && *option->val ? option->val : NULL;
	return NULL;
}

/* As `connection` says, else the environment, else where libpq looks by itself. */
static void tell_option(const struct telling *t, const char *keyword, const char *at_home)
{
	const char *path = value_of(t->written, keyword);

	if (!path)
		path = value_of(t->defaults, keyword);
	if (path)
		tell_one(t, path);
	else if (at_home)
		tell_at_home(t, at_home);
}

static void tell_service(const struct telling *t)
{
	const char *path = getenv("PGSERVICEFILE");

	if (path)
		tell_one(t, path);
	else
		tell_at_home(t, ".pg_service.conf");
}

static void tell_kerberos(const struct telling *t)
{
	const char *name = getenv("KRB5CCNAME");
	char path[64];

	(void)snprintf(path, sizeof(path), "/tmp/krb5cc_%u", (unsigned)getuid());
	if (name && strncmp(name, "FILE:", 5) == 0)
		name += 5;
	tell_one(t, name ? name : path);
}

static const char *home(void)
{
	const char *folder = getenv("HOME");
	const struct passwd *user = folder ? NULL : getpwuid(geteuid());

	return user ? user->pw_dir : folder;
}

void files_tell(const char *connection, sl_files_fn *tell, void *user)
{
	PQconninfoOption *written = PQconninfoParse(connection, NULL);
	PQconninfoOption *defaults = PQconndefaults();
	const struct telling t = {
		.written = written, .defaults = defaults, .home = home(), .tell = tell, .user = user
	};

	tell_option(&t, "passfile", ".pgpass");
	tell_option(&t, "sslcert", ".postgresql/postgresql.crt");
	tell_option(&t, "sslkey", ".postgresql/postgresql.key");
	tell_option(&t, "sslrootcert", ".postgresql/root.crt");
	tell_option(&t, "sslcrl", ".postgresql/root.crl");
	tell_option(&t, "sslcrldir", NULL);
	tell_service(&t);
	tell_kerberos(&t);
	PQconninfoFree(written);
	PQconninfoFree(defaults);
}
