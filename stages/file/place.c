/* SPDX-License-Identifier: MIT */
/* See place.h. */
#include "place.h"

#include <errno.h>
#include <sys/stat.h>

#include "inputs.h"

int place_of(int fd, const char *path, struct file_place *ret)
{
	struct stat st;
	uint64_t system;

	if (fstat(fd, &st) < 0)
		return -errno;
	system = file_system(fd, path, st.st_dev);
	*ret = (struct file_place){
		.length = (uint64_t)st.st_size,
		.system = system ? system : st.st_dev,
		.inode = st.st_ino,
		.hash = input_mark(fd, (uint64_t)st.st_size),
	};
	return 0;
}

void place_put(struct sl_writer *w, const struct file_place *place)
{
	sl_put_uint(w, place->length);
	sl_put_uint(w, place->system);
	sl_put_uint(w, place->inode);
	sl_put_uint(w, place->hash);
}

bool place_get(const struct sl_value *fields, struct file_place *ret)
{
	return sl_get_uint(fields[0], &ret->length) && sl_get_uint(fields[1], &ret->system) &&
	       sl_get_uint(fields[2], &ret->inode) && sl_get_uint(fields[3], &ret->hash);
}

/* An older mark has the device; and where the file system says nothing about itself there is nothing else. */
static bool is_there(int fd, const struct stat *st, const struct file_place *place)
{
	return st->st_ino == place->inode &&
	       (st->st_dev == place->system || file_system(fd, NULL, st->st_dev) == place->system);
}

bool place_is_in(int fd, const struct file_place *place)
{
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || (uint64_t)st.st_size < place->length)
		return false;
	return is_there(fd, &st, place) ||
	       (place->hash != 0 && input_mark(fd, place->length) == place->hash);
}
