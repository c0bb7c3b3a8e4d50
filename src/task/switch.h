/* SPDX-License-Identifier: MIT */
/*
 * The switch between stacks, and every word that a sanitizer or Valgrind must hear about it: nowhere else in the tree.
 * A point is where a stack stands while another runs: of a thread (switch_adopt) or of a task (switch_make). Both ends
 * of a switch belong to one thread.
 */
#ifndef TASK_SWITCH_H
#define TASK_SWITCH_H

#include <stdbool.h>
#include <stddef.h>

#ifdef HAVE_CONFIG_H
#include "config.h"
#endif
#ifndef HAVE_FCONTEXT
#include <ucontext.h>
#endif

struct switch_point {
#ifdef HAVE_FCONTEXT
	void *context;
#else
	ucontext_t context;
#endif
	void (*entry)(void *arg);
	void *arg;
	const void *low; /* of its stack; of a thread's: known once it was left */
	size_t size;
	void *fake_stack; /* AddressSanitizer's */
	void *fiber;      /* ThreadSanitizer's */
};

/* The running thread's own point. */
void switch_adopt(struct switch_point *point);
/* A point at the top of [low, low + size): the first switch to it calls entry(arg), which must never return. */
void switch_make(
	struct switch_point *point, void *low, size_t size, void (*entry)(void *), void *arg);
/* Leaves `from`, goes on at `to`. is_last: nothing will switch to `from` again. */
void switch_to(struct switch_point *from, struct switch_point *to, bool is_last);
/* After its last switch, from another stack. */
void switch_fini(struct switch_point *point);

/* Tells Valgrind of memory that is used as stacks. The number is for switch_forget_stack. */
unsigned switch_register_stack(void *low, size_t size);
void switch_forget_stack(unsigned number);

/* Under a sanitizer frames are larger: stacks are given so many times as much. */
extern const unsigned switch_stack_factor;
/* A sanitizer has its own handler for bad addresses. */
extern const bool switch_is_sanitized;

#endif
