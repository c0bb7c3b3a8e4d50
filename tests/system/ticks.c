/* SPDX-License-Identifier: MIT */
/* Preloaded by test_follow.py: a file system whose times of birth come in steps of $TICK_MS milliseconds. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

int statx(
	int folder, const char *restrict path, int flags, unsigned mask, struct statx *restrict st)
{
	int r = (int)syscall(SYS_statx, folder, path, flags, mask, st);
	const char *text = getenv("TICK_MS");
	long long tick = text ? atoll(text) : 1;
	long long ms;

	if (r < 0 || !(st->stx_mask & STATX_BTIME))
		return r;
	ms = (st->stx_btime.tv_sec * 1000 + st->stx_btime.tv_nsec / 1000000) / tick * tick;
	st->stx_btime.tv_sec = ms / 1000;
	st->stx_btime.tv_nsec = (unsigned)(ms % 1000) * 1000000;
	return r;
}
