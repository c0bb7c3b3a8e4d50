/* SPDX-License-Identifier: MIT */
/*
 * What a file is known by, whatever its name: its file system, its inode and its time of birth. A file system is known by what it is itself (the
 * UUID of an ext4, XFS or btrfs), since the number of its device may be another one after each start of the machine; one that says nothing about
 * itself (NFS, FAT) by its device.
 */
#ifndef STAGES_FILE_IDENTITY_H
#define STAGES_FILE_IDENTITY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#define INPUT_STATX (STATX_BASIC_STATS | STATX_BTIME)

/* `part`: file system (2), inode, time of birth (2): a key. `device`: where the file system is now. */
struct file_id {
	uint64_t part[5];
	uint64_t device; /* 0: not known */
};

/* Of the file `fd`, or, -1, `path`, of which `st` was told. */
struct file_id input_id(int fd, const char *path, const struct statx *st);
/* The same file, whatever its file system is called now. */
bool input_is_same(const struct file_id *a, const struct file_id *b);
/* The file system knows the time of birth. */
bool input_is_born(const struct file_id *id);
/*
 * As it was known when file systems were known by their devices: what was kept then is found under this. False: it still is known so, or the device is
 * not known.
 */
bool input_by_device(const struct file_id *id, struct file_id *ret);

/* What the file system of the file `fd`, or, -1, `path`, says about itself; 0: nothing. It is on `device` (st_dev). */
uint64_t file_system(int fd, const char *path, uint64_t device);

#endif
