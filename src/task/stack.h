/* SPDX-License-Identifier: MIT */
/*
 * Stacks of tasks: one pool per thread. A stack is address space that costs memory only where it was touched, nearly always
 * one page at its top; below it stands a guard page, so that an overflow is a fault at a known address and not somebody else's
 * data. Stacks are mapped in slabs and used again, the last one first; a slab is returned with its pool.
 *
 * Guards: MADV_GUARD_INSTALL (Linux 6.13) costs no mapping. Before, a guard splits its mapping in two, and the kernel allows
 * vm.max_map_count (65530) of them: when half of that is used up, further stacks have none (stack_pool.unguarded counts
 * them), and an overflow is seen only when the task waits.
 */
#ifndef TASK_STACK_H
#define TASK_STACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct stack_slab;

struct stack_pool {
	size_t size; /* usable bytes of each, whole pages */
	struct stack_slab *slabs;
	char *fresh; /* of the newest slab: the part that was never used */
	size_t fresh_count;
	bool fresh_is_guarded;
	void *free; /* the first free stack; the next one is named in its top word */
	uint32_t used;
	uint32_t unguarded;
	uint32_t released; /* ever */
	size_t deepest;    /* bytes that a task has used at most, in pages, sampled */
};

void stack_pool_init(struct stack_pool *pool, size_t size);
void stack_pool_fini(struct stack_pool *pool); /* all must have been released */
/* The lowest usable address; pool->size bytes are there. NULL: no memory. */
void *stack_take(struct stack_pool *pool);
void stack_release(struct stack_pool *pool, void *low);
/* Is it the guard of the stack at `low`? Async-signal-safe. */
bool stack_is_guard(const void *low, const void *address);

#endif
