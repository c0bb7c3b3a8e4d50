/* SPDX-License-Identifier: MIT */
/* How a mark knows the file that was written: its length, file system, inode, and a hash of what stands before the length. Four fields of an array. */
#ifndef STAGES_FILE_PLACE_H
#define STAGES_FILE_PLACE_H

#include <sluice/stage.h>

#define PLACE_FIELDS 4

struct file_place {
	uint64_t length, system, inode, hash;
};

/* Of what was written to `fd` so far. 0 or negative errno. */
int place_of(int fd, const char *path, struct file_place *ret);
void place_put(struct sl_writer *w, const struct file_place *place);
/* From the four fields. */
bool place_get(const struct sl_value *fields, struct file_place *ret);
/*
 * The very file; or one with the same before the length: after a power cut it may have been written anew, and the number of its device may be another
 * one after any start of the machine. Not for a `fd` below 0.
 */
bool place_is_in(int fd, const struct file_place *place);

#endif
