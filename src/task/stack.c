/* SPDX-License-Identifier: MIT */
/* See stack.h. */
#include "task/stack.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "task/switch.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#define SELF (-10000) /* PIDFD_SELF: this process */

#define PAGE 4096u
#define SLAB_STACKS 64u
#define SLAB_BYTES_MAX (32u << 20)
#define SAMPLE 64u /* every so many releases the depth is looked at */
#define PAGES_MAX 1024u
#define MAPPINGS_DEFAULT 65530

struct stack_slab {
	struct stack_slab *next;
	char *low;
	size_t bytes;
	unsigned valgrind;
};

/* Guards that cost a mapping each, of all pools; and how many may be made. */
static atomic_int split_guards;
static atomic_int split_guards_max;

static int read_split_guards_max(void)
{
	FILE *file = fopen("/proc/sys/vm/max_map_count", "re");
	int count = MAPPINGS_DEFAULT;

	if (file) {
		if (fscanf(file, "%d", &count) != 1)
			count = MAPPINGS_DEFAULT;
		(void)fclose(file);
	}
	return count / 4;
}

static bool make_guard(void *at)
{
	if (madvise(at, PAGE, MADV_GUARD_INSTALL) == 0)
		return true;
	if (atomic_load(&split_guards_max) == 0)
		atomic_store(&split_guards_max, read_split_guards_max());
	if (atomic_fetch_add(&split_guards, 1) < atomic_load(&split_guards_max) &&
		mprotect(at, PAGE, PROT_NONE) == 0)
		return true;
	(void)atomic_fetch_sub(&split_guards, 1);
	return false;
}

void stack_pool_init(struct stack_pool *pool, size_t size)
{
	*pool = (struct stack_pool){ .size = (size + PAGE - 1) / PAGE * PAGE };
}

void stack_pool_fini(struct stack_pool *pool)
{
	struct stack_slab *slab, *next;

	assert(pool->used == 0);
	for (slab = pool->slabs; slab; slab = next) {
		next = slab->next;
		switch_forget_stack(slab->valgrind);
		(void)munmap(slab->low, slab->bytes);
		free(slab);
	}
}

static void **link_of(const struct stack_pool *pool, void *low)
{
	return (void **)((char *)low + pool->size - sizeof(void *));
}

static void push(struct stack_pool *pool, void *low)
{
	*link_of(pool, low) = pool->free;
	pool->free = low;
}

/* The same advice for a page of every slot: one call for what would be SLAB_STACKS. False: this kernel has none of that. */
static bool advise_all(char *first, size_t slot, size_t count, int advice)
{
	struct iovec pages[SLAB_STACKS];

	for (size_t i = 0; i < count; i++)
		pages[i] = (struct iovec){ .iov_base = first + i * slot, .iov_len = PAGE };
	return syscall(SYS_process_madvise, SELF, pages, count, advice, 0) ==
	       (ssize_t)(count * PAGE);
}

static bool add_slab(struct stack_pool *pool)
{
	size_t slot = pool->size + PAGE;
	size_t count = SLAB_BYTES_MAX / slot;
	struct stack_slab *slab = malloc(sizeof(*slab));

	if (!slab)
		return false;
	count = count < 1 ? 1 : count > SLAB_STACKS ? SLAB_STACKS : count;
	slab->bytes = slot * count;
	slab->low = mmap(NULL, slab->bytes, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
	if (slab->low == MAP_FAILED) {
		free(slab);
		return false;
	}
	/* A huge page would make each first touch cost 2 MiB. */
	(void)madvise(slab->low, slab->bytes, MADV_NOHUGEPAGE);
	slab->valgrind = switch_register_stack(slab->low, slab->bytes);
	slab->next = pool->slabs;
	pool->slabs = slab;
	pool->fresh = slab->low;
	pool->fresh_count = count;
	pool->fresh_is_guarded = advise_all(slab->low, slot, count, MADV_GUARD_INSTALL);
	/* Where many are used all of these will be: their first pages at once cost less than one by one. */
	if (slab->next)
		(void)advise_all(slab->low + pool->size, slot, count, MADV_POPULATE_WRITE);
	return true;
}

static void *take_fresh(struct stack_pool *pool)
{
	char *low = pool->fresh + PAGE;

	if (!pool->fresh_is_guarded && !make_guard(pool->fresh))
		pool->unguarded++;
	pool->fresh += pool->size + PAGE;
	pool->fresh_count--;
	return low;
}

void *stack_take(struct stack_pool *pool)
{
	void *low = pool->free;

	if (!low && pool->fresh_count == 0 && !add_slab(pool))
		return NULL;
	if (low)
		pool->free = *link_of(pool, low);
	else
		low = take_fresh(pool);
	pool->used++;
	return low;
}

/* How deep was it ever used? Pages that were touched are there. */
static void sample_depth(struct stack_pool *pool, void *low)
{
	unsigned char there[PAGES_MAX];
	size_t pages = pool->size / PAGE;
	size_t first = 0;

	if (pages > PAGES_MAX || mincore(low, pool->size, there) < 0)
		return;
	while (first < pages && !(there[first] & 1))
		first++;
	if ((pages - first) * PAGE > pool->deepest)
		pool->deepest = (pages - first) * PAGE;
}

void stack_release(struct stack_pool *pool, void *low)
{
	if (pool->released++ % SAMPLE == 0)
		sample_depth(pool, low);
	pool->used--;
	push(pool, low);
}

bool stack_is_guard(const void *low, const void *address)
{
	const char *at = address;

	return at < (const char *)low && at >= (const char *)low - PAGE;
}
