/* SPDX-License-Identifier: MIT */
/* See faults.h. Linked with -Wl,--wrap=NAME: a call of NAME comes to __wrap_NAME, and __real_NAME is the C library's. */
#include "base/faults.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

/* clang-format off */
static const struct {
	const char *name;
	int error;
} kinds[FAULT_KINDS] = {
	[FAULT_WRITE]           = { "write",           ENOSPC },
	[FAULT_PWRITE]          = { "pwrite",          ENOSPC },
	[FAULT_FSYNC]           = { "fsync",           EIO },
	[FAULT_MMAP]            = { "mmap",            ENOMEM },
	[FAULT_FTRUNCATE]       = { "ftruncate",       EIO },
	[FAULT_FALLOCATE]       = { "posix_fallocate", ENOSPC },
	[FAULT_FORK]            = { "fork",            EAGAIN },
	[FAULT_OPEN]            = { "open",            EMFILE },
	[FAULT_RENAME]          = { "rename",          EIO },
	[FAULT_MEMFD]           = { "memfd_create",    EMFILE },
	[FAULT_MALLOC]          = { "malloc",          ENOMEM },
	[FAULT_SQLITE_OPEN]     = { "sqlite-open",     EMFILE },
	[FAULT_SQLITE_WRITE]    = { "sqlite-write",    ENOSPC },
	[FAULT_SQLITE_SYNC]     = { "sqlite-sync",     EIO },
	[FAULT_SQLITE_TRUNCATE] = { "sqlite-truncate", EIO },
	[FAULT_SQLITE_MMAP]     = { "sqlite-mmap",     ENOMEM },
	[FAULT_SQLITE_MALLOC]   = { "sqlite-malloc",   ENOMEM },
};

static const struct {
	const char *name;
	int error;
} errors[] = {
	{ "ENOSPC", ENOSPC }, { "EIO", EIO }, { "EMFILE", EMFILE }, { "ENOMEM", ENOMEM }, { "EAGAIN", EAGAIN },
};
/* clang-format on */

/* Set once, before main; `calls` counts after that. */
static struct {
	enum fault_kind kind;
	unsigned at;    /* 0: none */
	unsigned until; /* the last one */
	int error;
	const char *log;
	_Atomic unsigned calls;
} fault;

/* clang-format off */
#define WRAPPED(ret, name, ...) ret __real_##name(__VA_ARGS__); ret __wrap_##name(__VA_ARGS__); ret __wrap_##name(__VA_ARGS__)
/* clang-format on */

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);

/* --- the choice --------------------------------------------------------------------------------- */

static _Noreturn void refuse(const char *text)
{
	(void)fprintf(stderr,
		"SLUICE_FAULT=%s: write KIND:N[+[M]][:ERRNO][@NAME], for instance "
		"pwrite:3:ENOSPC@save.0\n",
		text);
	_exit(2);
}

static enum fault_kind kind_named(const char *text, size_t size)
{
	for (int i = 0; i < FAULT_KINDS; i++)
		if (strlen(kinds[i].name) == size && memcmp(kinds[i].name, text, size) == 0)
			return (enum fault_kind)i;
	return FAULT_KINDS;
}

static int error_named(const char *text, size_t size)
{
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		if (strlen(errors[i].name) == size && memcmp(errors[i].name, text, size) == 0)
			return errors[i].error;
	return 0;
}

static const char *own_name(int argc, char **argv)
{
	for (int i = 1; i + 1 < argc; i++)
		if (strcmp(argv[i], "--instance") == 0)
			return argv[i + 1];
	return program_invocation_short_name;
}

/* N[+[M]]: which calls; answers what follows, and 0 calls when there is no N. */
static const char *choose_calls(const char *text, unsigned *ret_first)
{
	char *end;
	unsigned first = (unsigned)strtoul(text, &end, 10);

	fault.until = first;
	*ret_first = first;
	if (*end != '+')
		return end;
	text = end + 1;
	if (*text < '0' || *text > '9') {
		fault.until = UINT_MAX;
		return text;
	}
	fault.until += (unsigned)strtoul(text, &end, 10);
	return end;
}

/* glibc gives a constructor what main gets. */
__attribute__((constructor(101))) static void choose(int argc, char **argv)
{
	const char *text = getenv("SLUICE_FAULT");
	const char *name, *at;
	unsigned first;

	if (!text || !*text)
		return;
	name = strchrnul(text, '@');
	fault.kind = kind_named(text, strcspn(text, ":@"));
	at = text + strcspn(text, ":@");
	if (fault.kind == FAULT_KINDS || *at != ':')
		refuse(text);
	fault.error = kinds[fault.kind].error;
	fault.log = getenv("SLUICE_FAULT_LOG");
	at = choose_calls(at + 1, &first);
	if (*at == ':')
		fault.error = error_named(at + 1, (size_t)(name - at - 1));
	if (first == 0 || fault.error == 0 || (*at != ':' && at != name))
		refuse(text);
	if (*name == '\0' || strcmp(name + 1, own_name(argc, argv)) == 0)
		fault.at = first;
}

/* Whoever makes the file has the fault, when there is one only. */
static bool is_ours(void)
{
	int fd = fault.log ? __real_open(fault.log, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)
			   : -1;

	if (fd < 0)
		return fault.until > fault.at || !fault.log;
	(void)close(fd);
	return true;
}

int fault_due(enum fault_kind kind)
{
	int saved = errno;
	unsigned call;
	bool is_due;

	if (fault.at == 0 || kind != fault.kind)
		return 0;
	call = ++fault.calls;
	is_due = call >= fault.at && call <= fault.until && is_ours();
	errno = saved;
	return is_due ? fault.error : 0;
}

static bool fails(enum fault_kind kind)
{
	int error = fault_due(kind);

	if (error > 0)
		errno = error;
	return error > 0;
}

/* --- what the linker wraps ---------------------------------------------------------------------- */

WRAPPED(ssize_t, write, int fd, const void *data, size_t size)
{
	return fails(FAULT_WRITE) ? -1 : __real_write(fd, data, size);
}

WRAPPED(ssize_t, pwrite, int fd, const void *data, size_t size, off_t offset)
{
	return fails(FAULT_PWRITE) ? -1 : __real_pwrite(fd, data, size, offset);
}

WRAPPED(int, fsync, int fd)
{
	return fails(FAULT_FSYNC) ? -1 : __real_fsync(fd);
}

WRAPPED(void *, mmap, void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
	return fails(FAULT_MMAP) ? MAP_FAILED
				 : __real_mmap(address, size, protection, flags, fd, offset);
}

WRAPPED(int, ftruncate, int fd, off_t size)
{
	return fails(FAULT_FTRUNCATE) ? -1 : __real_ftruncate(fd, size);
}

/* Answers the error, and leaves errno. */
WRAPPED(int, posix_fallocate, int fd, off_t offset, off_t size)
{
	int error = fault_due(FAULT_FALLOCATE);

	return error > 0 ? error : __real_posix_fallocate(fd, offset, size);
}

WRAPPED(pid_t, fork, void)
{
	return fails(FAULT_FORK) ? -1 : __real_fork();
}

int __wrap_open(const char *path, int flags, ...)
{
	va_list arguments;
	mode_t mode = 0;

	if (flags & (O_CREAT | __O_TMPFILE)) {
		va_start(arguments, flags);
		mode = va_arg(arguments, mode_t);
		va_end(arguments);
	}
	return fails(FAULT_OPEN) ? -1 : __real_open(path, flags, mode);
}

WRAPPED(int, rename, const char *from, const char *to)
{
	return fails(FAULT_RENAME) ? -1 : __real_rename(from, to);
}

WRAPPED(int, memfd_create, const char *name, unsigned flags)
{
	return fails(FAULT_MEMFD) ? -1 : __real_memfd_create(name, flags);
}

WRAPPED(void *, malloc, size_t size)
{
	return fails(FAULT_MALLOC) ? NULL : __real_malloc(size);
}

WRAPPED(void *, calloc, size_t count, size_t size)
{
	return fails(FAULT_MALLOC) ? NULL : __real_calloc(count, size);
}

WRAPPED(void *, realloc, void *data, size_t size)
{
	return fails(FAULT_MALLOC) ? NULL : __real_realloc(data, size);
}

WRAPPED(char *, strdup, const char *text)
{
	return fails(FAULT_MALLOC) ? NULL : __real_strdup(text);
}
