/* SPDX-License-Identifier: MIT */
/*
 * The cgroup v2 tree that was delegated to this process (systemd: Delegate=yes), and what becomes of it:
 *
 *     sluice@orders.service            ours; the controllers are enabled here, so no process may stay in it
 *     +-- supervisor                   this process, and what it runs to check a config
 *     +-- vat.0, vat.1, save.0 ...     one per instance: group.h
 *
 * A tree is used by one supervisor at a time (flock). What a killed one left in it is removed at the start, what this one made at the end. A
 * group that is writable and not delegated belongs to somebody else: nothing is done to it. The supervisor's thread.
 */
#ifndef SUPERVISOR_GROUPS_H
#define SUPERVISOR_GROUPS_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

struct groups {
	int root;        /* of the tree; -1: there is none */
	bool has_moved;  /* this process, into `supervisor` */
	bool has_memory; /* the controllers that instances' groups have */
	bool has_cpu;    /* only where it was wished for */
	bool has_tasks;
	char path[PATH_MAX]; /* of the tree, in the hierarchy */
	char why[PATH_MAX +
		 128]; /* there is no tree, or a controller is not in it; "": all is there */
};

/* Finds the tree and makes it ours. Without one, `root` is -1 and `why` says the reason. */
void groups_open(struct groups *groups);
/*
 * The controllers are enabled. That of the processor only where somebody `wants_cpu`: with it each instance has the same share, however many
 * threads it has.
 */
void groups_enable(struct groups *groups, bool wants_cpu);
/* No instance runs. Everything is as it was. */
void groups_close(struct groups *groups);

/* --- for group.c and tests ---------------------------------------------------------------------- */

/* Is that what an instance's group is called: "vat.0"? */
bool groups_is_instance(const char *name);
/* The group in the text of /proc/PID/cgroup, into `path`; false: it has none in the v2 hierarchy. */
bool groups_parse_own(const char *text, char *path, size_t size);
/* A line of a file in `folder`; 0 or negative errno. */
int groups_write(int folder, const char *file, const char *text);
/* A whole small file, with a 0 behind it: its size or negative errno. */
int groups_read(int folder, const char *file, char *text, size_t size);
/* Ends what is in the group of that name and removes it: 0, also when there is none; or negative errno: what is in it does not end at once. */
int groups_remove(int root, const char *name);

#endif
