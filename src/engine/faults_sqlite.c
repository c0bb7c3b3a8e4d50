/* SPDX-License-Identifier: MIT */
/*
 * Fault injection below SQLite, which is a shared library that the linker's wrapping does not reach: its real error paths run.
 * SQLite lets a test replace the system calls of its unix VFS and its allocator; a sync is not among the calls, so the
 * methods of each file that it opens are copied and that one is replaced. Before main, while there is one thread.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>

#include <sqlite3.h>

#include "base/faults.h"

static sqlite3_mem_methods memory;
static sqlite3_io_methods methods;
static const sqlite3_io_methods *real_methods;
static int (*real_open)(sqlite3_vfs *, sqlite3_filename, sqlite3_file *, int, int *);

static int fails(enum fault_kind kind)
{
	int error = fault_due(kind);

	if (error > 0)
		errno = error;
	return error > 0;
}

/* --- system calls ------------------------------------------------------------------------------- */

/* SQLite's own: those of our name here would be wrapped. */
static struct {
	int (*open)(const char *, int, int);
	ssize_t (*write)(int, const void *, size_t);
	ssize_t (*pwrite)(int, const void *, size_t, off_t);
	ssize_t (*pwrite64)(int, const void *, size_t, off_t);
	int (*ftruncate)(int, off_t);
	void *(*mmap)(void *, size_t, int, int, int, off_t);
} real;

static int open_call(const char *path, int flags, int mode)
{
	return fails(FAULT_SQLITE_OPEN) ? -1 : real.open(path, flags, mode);
}

static ssize_t write_call(int fd, const void *data, size_t size)
{
	return fails(FAULT_SQLITE_WRITE) ? -1 : real.write(fd, data, size);
}

static ssize_t pwrite_call(int fd, const void *data, size_t size, off_t offset)
{
	return fails(FAULT_SQLITE_WRITE) ? -1 : real.pwrite(fd, data, size, offset);
}

static ssize_t pwrite64_call(int fd, const void *data, size_t size, off_t offset)
{
	return fails(FAULT_SQLITE_WRITE) ? -1 : real.pwrite64(fd, data, size, offset);
}

static int truncate_call(int fd, off_t size)
{
	return fails(FAULT_SQLITE_TRUNCATE) ? -1 : real.ftruncate(fd, size);
}

static void *mmap_call(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
	return fails(FAULT_SQLITE_MMAP) ? MAP_FAILED
					: real.mmap(address, size, protection, flags, fd, offset);
}

static const struct {
	const char *name;
	sqlite3_syscall_ptr ours;
	void *real;
} calls[] = {
	{ "open", (sqlite3_syscall_ptr)open_call, &real.open },
	{ "write", (sqlite3_syscall_ptr)write_call, &real.write },
	{ "pwrite", (sqlite3_syscall_ptr)pwrite_call, &real.pwrite },
	{ "pwrite64", (sqlite3_syscall_ptr)pwrite64_call, &real.pwrite64 },
	{ "ftruncate", (sqlite3_syscall_ptr)truncate_call, &real.ftruncate },
	{ "mmap", (sqlite3_syscall_ptr)mmap_call, &real.mmap },
};

/* A build of SQLite has pwrite or pwrite64; the other one is NULL. */
static void replace_calls(sqlite3_vfs *vfs)
{
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		sqlite3_syscall_ptr is = vfs->xGetSystemCall(vfs, calls[i].name);

		if (!is)
			continue;
		memcpy(calls[i].real, &is, sizeof(is));
		(void)vfs->xSetSystemCall(vfs, calls[i].name, calls[i].ours);
	}
}

/* --- files and memory --------------------------------------------------------------------------- */

static int sync_method(sqlite3_file *file, int flags)
{
	return fails(FAULT_SQLITE_SYNC) ? SQLITE_IOERR_FSYNC : real_methods->xSync(file, flags);
}

/* All files have the same methods, those of "unix". */
static int open_method(
	sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *file, int flags, int *ret_flags)
{
	int code = real_open(vfs, name, file, flags, ret_flags);

	if (code != SQLITE_OK || !file->pMethods)
		return code;
	if (!real_methods) {
		methods = *file->pMethods;
		methods.xSync = sync_method;
		real_methods = file->pMethods;
	}
	if (file->pMethods == real_methods)
		file->pMethods = &methods;
	return code;
}

static void *allocate(int size)
{
	return fails(FAULT_SQLITE_MALLOC) ? NULL : memory.xMalloc(size);
}

static void *reallocate(void *data, int size)
{
	return fails(FAULT_SQLITE_MALLOC) ? NULL : memory.xRealloc(data, size);
}

static void replace_memory(void)
{
	sqlite3_mem_methods ours;

	if (sqlite3_config(SQLITE_CONFIG_GETMALLOC, &memory) != SQLITE_OK)
		return;
	ours = memory;
	ours.xMalloc = allocate;
	ours.xRealloc = reallocate;
	(void)sqlite3_config(SQLITE_CONFIG_MALLOC, &ours);
}

__attribute__((constructor(102))) static void replace(void)
{
	sqlite3_vfs *vfs;

	replace_memory();
	vfs = sqlite3_vfs_find(NULL);
	if (!vfs)
		return;
	replace_calls(vfs);
	real_open = vfs->xOpen;
	vfs->xOpen = open_method;
}
