/* SPDX-License-Identifier: MIT */
/*
 * The files of a stage, by Landlock: whole folders, since files in them are replaced, rotated and renamed while a stage runs, and a rule is
 * held by the file that was there, not by its name. What is open already stays open: the counters, the words, standard input and output.
 */
#include "engine/sandbox.h"

#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/landlock.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Newer than the headers of Debian 12: from ABI 3, 5 and 6. */
#define ACCESS_TRUNCATE (UINT64_C(1) << 14)
#define ACCESS_IOCTL_DEV (UINT64_C(1) << 15)
#define SCOPE_ABSTRACT_UNIX_SOCKET (UINT64_C(1) << 0)
#define SCOPE_SIGNAL (UINT64_C(1) << 1)

#define ACCESS_ABI_1 ((LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1)
#define READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define WRITE                                                                                      \
	(LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |                           \
		LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR |                     \
		LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK | ACCESS_TRUNCATE)
#define ON_FILES (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | ACCESS_TRUNCATE)

/* As linux/landlock.h has it since ABI 6; older kernels take its begin. */
struct ruleset {
	uint64_t files;
	uint64_t network;
	uint64_t scope;
};

struct limits {
	int ruleset;
	uint64_t handled;
	char last
		[PATH_MAX]; /* the folder that was granted last, and what for: files of one folder come together */
	uint64_t last_access;
	int error;
	struct err *err;
};

/* Libraries that are loaded late, and what libc asks about the machine. */
static const char *const read_by_all[] = { "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/local/lib",
	"/lib", "/lib64", "/etc/ld.so.cache", "/etc/localtime", "/usr/share/zoneinfo",
	"/dev/urandom", "/proc/self", "/proc/sys/vm", "/sys/devices/system/cpu", NULL };
/*
 * For names and certificates. resolv.conf is replaced while the stage runs, and may be a link to one of the others: a rule for the file
 * itself would leave the stage without names from then on. What in /etc is secret is so by its mode, and no capability stands above that.
 */
static const char *const read_by_network[] = { "/etc", "/run/systemd/resolve", "/run/resolvconf",
	"/run/NetworkManager", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates",
	NULL };

/* --- rules ---------------------------------------------------------------------------------------- */

static int refuse(struct limits *limits, const char *path)
{
	if (limits->error == 0)
		limits->error = err_set(limits->err, -errno,
			"cannot limit the stage's files to %s: %s", path, err_name(errno));
	return -1;
}

/* What is not there is not needed. Pipes and the like belong to no file system, and are not limited. */
static int grant(struct limits *limits, const char *path, uint64_t access)
{
	struct landlock_path_beneath_attr rule = {
		.allowed_access = access & limits->handled,
		.parent_fd = open(path, O_PATH | O_CLOEXEC),
	};
	struct stat st;
	int r;

	if (rule.parent_fd < 0)
		return errno == ENOENT || errno == ENOTDIR || errno == EACCES
			       ? 0
			       : refuse(limits, path);
	if (fstat(rule.parent_fd, &st) == 0 && !S_ISDIR(st.st_mode))
		rule.allowed_access &= ON_FILES;
	r = (int)syscall(SYS_landlock_add_rule, limits->ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule,
		    0) < 0 &&
			    errno != EBADFD
		    ? refuse(limits, path)
		    : 0;
	(void)close(rule.parent_fd);
	return r;
}

static void grant_all(struct limits *limits, const char *const *paths, uint64_t access)
{
	for (; *paths; paths++)
		(void)grant(limits, *paths, access);
}

/* Takes the last name off a path in PATH_MAX bytes: "/a/b" -> "/a", "/a" -> "/", "a" -> ".". */
static void climb(char *path)
{
	char *slash = strrchr(path, '/');

	if (!slash)
		(void)snprintf(path, PATH_MAX, ".");
	else if (slash == path)
		path[1] = '\0';
	else
		*slash = '\0';
}

/* Everything is below that: it is never granted. */
static bool is_root(const char *folder)
{
	struct stat st, root;

	return stat(folder, &st) == 0 && stat("/", &root) == 0 && st.st_dev == root.st_dev &&
	       st.st_ino == root.st_ino;
}

/* A folder as it is, and one that is not there yet by the first above it that is. */
static void grant_folder(struct limits *limits, char *folder, uint64_t access)
{
	if (access == limits->last_access && strcmp(folder, limits->last) == 0)
		return;
	(void)snprintf(limits->last, sizeof(limits->last), "%s", folder);
	limits->last_access = access;
	while (faccessat(AT_FDCWD, folder, F_OK, AT_EACCESS) < 0 && strcmp(folder, "/") != 0 &&
		strcmp(folder, ".") != 0)
		climb(folder);
	if (!is_root(folder))
		(void)grant(limits, folder, access);
}

/* The folder of a file; of one in the root, the file. */
static void grant_around(struct limits *limits, const char *path, uint64_t access)
{
	char folder[PATH_MAX];

	(void)snprintf(folder, sizeof(folder), "%s", path);
	climb(folder);
	if (is_root(folder))
		(void)grant(limits, path, access);
	else
		grant_folder(limits, folder, access);
}

/* Where a link leads, also when nothing is there yet. False: it is none, or leads too far. */
static bool follow_link(const char *path, char *ret)
{
	char target[PATH_MAX], folder[PATH_MAX];
	ssize_t size = readlink(path, target, sizeof(target) - 1);

	if (size < 0)
		return false;
	target[size] = '\0';
	if (realpath(path, ret))
		return true;
	(void)snprintf(folder, sizeof(folder), "%s", path);
	climb(folder);
	return snprintf(ret, PATH_MAX, "%s%s%s", target[0] == '/' ? "" : folder,
		       target[0] == '/' ? "" : "/", target) < PATH_MAX;
}

/* A link leads to a file elsewhere, with a folder of its own. */
static void tell(void *user, const char *path, unsigned how)
{
	struct limits *limits = user;
	uint64_t access = how & SL_FILES_WRITE ? READ | WRITE : READ;
	char real[PATH_MAX];
	struct stat st;

	if (strlen(path) >= PATH_MAX)
		return;
	if (how & SL_FILES_EXACT) {
		(void)grant(limits, path, access);
		return;
	}
	if (follow_link(path, real)) {
		grant_around(limits, path, access);
		path = real;
	}
	if (lstat(path, &st) < 0 || S_ISREG(st.st_mode))
		grant_around(limits, path, access);
	else
		(void)grant(limits, path, access);
}

/* --- all of it ------------------------------------------------------------------------------------ */

static uint64_t handled_by(int abi)
{
	return ACCESS_ABI_1 | (abi >= 2 ? LANDLOCK_ACCESS_FS_REFER : 0) |
	       (abi >= 3 ? ACCESS_TRUNCATE : 0) | (abi >= 5 ? ACCESS_IOCTL_DEV : 0);
}

static void grant_needs(struct limits *limits, const struct sandbox *sandbox)
{
	grant_all(limits, read_by_all, READ);
	(void)grant(limits, "/dev/null", READ | WRITE);
	(void)grant(limits, sandbox->state, READ | WRITE);
	if (sandbox->runtime)
		(void)grant(limits, sandbox->runtime, READ | WRITE);
	if (sandbox->needs & SL_NEEDS_NETWORK)
		grant_all(limits, read_by_network, READ);
#ifdef SLUICE_COVERAGE
	/* The counts are written beside the objects, when the process ends. */
	(void)grant(limits, "/", READ | WRITE);
#endif
#ifdef SLUICE_FAULT_INJECTION
	/* That a fault has happened is written down by whom it happened to. */
	if (getenv("SLUICE_FAULT_LOG"))
		tell(limits, getenv("SLUICE_FAULT_LOG"), SL_FILES_WRITE);
#endif
	if (sandbox->needs & SL_NEEDS_FILES)
		sandbox->files(sandbox->of, tell, limits);
}

/*
 * SQLite's own, for what does not fit into memory: of all folders it may try, this is one that the process has. Not that of the state, where it can: when
 * its disk is full, room is made in a store by statements that need a file of this kind.
 */
static int keep_temporaries(const struct sandbox *sandbox)
{
	const char *folder = sandbox->runtime ? sandbox->runtime : sandbox->state;

	return setenv("SQLITE_TMPDIR", folder, 1) < 0 ? -errno : 0;
}

int sandbox_limit_files(const struct sandbox *sandbox, struct err *err)
{
	int abi =
		(int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	struct limits limits = { .handled = handled_by(abi), .err = err };
	struct ruleset ruleset = { .files = limits.handled, .scope = SCOPE_SIGNAL };

	if (abi < 0)
		return -ENOSYS;
	if (!(sandbox->needs & SL_NEEDS_NETWORK))
		ruleset.scope |= SCOPE_ABSTRACT_UNIX_SOCKET;
	if (keep_temporaries(sandbox) < 0)
		return err_set(err, -ENOMEM, "no memory");
	limits.ruleset = (int)syscall(SYS_landlock_create_ruleset, &ruleset,
		abi >= 6 ? sizeof(ruleset) : sizeof(ruleset.files), 0);
	if (limits.ruleset < 0)
		return err_set(err, -errno, "cannot limit files: %s", err_name(errno));
	grant_needs(&limits, sandbox);
	if (limits.error == 0 && syscall(SYS_landlock_restrict_self, limits.ruleset, 0) < 0)
		limits.error = err_set(err, -errno, "cannot limit files: %s", err_name(errno));
	(void)close(limits.ruleset);
	return limits.error;
}
