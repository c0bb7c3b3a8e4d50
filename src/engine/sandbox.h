/* SPDX-License-Identifier: MIT */
/*
 * What a process that runs stage code does not need is taken from it, by itself, between a stage's `open` and its workers: what runs on a record, or breaks in on one,
 * finds little to do harm with. Once taken, nothing brings it back, and threads inherit it.
 *
 *     every stage                     no program gives it more rights than it has (no_new_privs)
 *     SL_CONFINED, no SL_NEEDS_EXEC   capabilities: none, but those over files with SL_NEEDS_FILES
 *                                     system calls: those on a list (sandbox_calls.c)
 *                                     files: the folders of the state, the sockets, what `files` tells (sandbox_files.c)
 *
 * What is refused answers EPERM (a system call, which is said in the log) or EACCES (a file). What this kernel, or a filter around us, does
 * not offer is left out, with a line at debug level. A sanitizer and Valgrind need more than any stage: under them only
 * no_new_privs is left.
 */
#ifndef ENGINE_SANDBOX_H
#define ENGINE_SANDBOX_H

#include "engine/host.h"

struct sandbox {
	unsigned needs;      /* SL_CONFINED, SL_NEEDS_... */
	bool is_off;         /* nothing is taken */
	const char *state;   /* folders that are left to it; borrowed */
	const char *runtime; /* NULL: none */
	void (*files)(void *of, sl_files_fn *tell, void *user); /* with SL_NEEDS_FILES */
	void *of;
};

/* Once, before any other thread is there that is to be confined. 0 or negative errno with `err`. */
int sandbox_enter(const struct sandbox *sandbox, struct err *err);
/* That of a stage process, in the pump's thread. */
int sandbox_enter_stage(struct host *host, const char *runtime, struct err *err);
/* What to add to the text of that error of the stage's, when the sandbox may be why; else "". */
const char *sandbox_hint(const struct host *host, int error);

/* The parts. As above; -ENOSYS: not to be had here. */
int sandbox_filter_calls(const struct sandbox *sandbox, struct err *err);
int sandbox_limit_files(const struct sandbox *sandbox, struct err *err);

#endif
