/* SPDX-License-Identifier: MIT */
/* Preloaded by test_device.py: no file system says anything about itself, so that files are known by its device. */
#define _GNU_SOURCE
#include <string.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

int statfs64(const char *path, struct statfs64 *fs)
{
	int r = (int)syscall(SYS_statfs, path, fs);

	memset(&fs->f_fsid, 0, sizeof(fs->f_fsid));
	return r;
}

int fstatfs64(int fd, struct statfs64 *fs)
{
	int r = (int)syscall(SYS_fstatfs, fd, fs);

	memset(&fs->f_fsid, 0, sizeof(fs->f_fsid));
	return r;
}

int statfs(const char *path, struct statfs *fs)
{
	return statfs64(path, (struct statfs64 *)fs);
}

int fstatfs(int fd, struct statfs *fs)
{
	return fstatfs64(fd, (struct statfs64 *)fs);
}
