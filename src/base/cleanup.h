/* SPDX-License-Identifier: MIT */
/*
 * Scope-exit cleanup:  _cleanup_free_ char *text = ...;  _cleanup_close_ int fd = -EBADF;
 * `take_ptr` and `take_fd` hand the thing on and disarm the cleanup.
 */
#ifndef BASE_CLEANUP_H
#define BASE_CLEANUP_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void cleanup_free_(void *p)
{
	free(*(void **)p);
}

static inline void cleanup_close_(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}

static inline void cleanup_fclose_(FILE **file)
{
	if (*file)
		(void)fclose(*file);
}

#define _cleanup_free_ __attribute__((cleanup(cleanup_free_)))
#define _cleanup_close_ __attribute__((cleanup(cleanup_close_)))
#define _cleanup_fclose_ __attribute__((cleanup(cleanup_fclose_)))

#define take_ptr(p)                                                                                \
	({                                                                                         \
		__auto_type taken = (p);                                                           \
		(p) = NULL;                                                                        \
		taken;                                                                             \
	})
#define take_fd(fd)                                                                                \
	({                                                                                         \
		int taken = (fd);                                                                  \
		(fd) = -EBADF;                                                                     \
		taken;                                                                             \
	})

#endif
