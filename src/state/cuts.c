/* SPDX-License-Identifier: MIT */
/* See cuts.h. */
#include "state/cuts.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

#define MAGIC UINT64_C(0x32737475632d6c73) /* "sl-cuts2" */

struct header {
	uint64_t magic;
	uint64_t cells;
	uint64_t shape;
	_Atomic uint64_t ended; /* 0, or how + 1, of ended_run */
	_Atomic uint64_t ended_run;
	_Atomic uint64_t ended_term;
	uint64_t reserved[2];
};

struct slot {
	_Atomic uint64_t sequence; /* 0: never taken */
	_Atomic uint64_t is_settled;
	uint64_t run;
	uint64_t origin;
	uint64_t start;
	uint64_t end;
	uint64_t line;
	uint64_t mark;
	uint64_t is_done;
	uint64_t tally[];
};

struct cuts {
	struct header *header; /* the mapping */
	size_t size;
	size_t slot_size;
	uint32_t cells;
	uint64_t run;
	uint64_t sequence; /* of the last cut */
	uint32_t *left;    /* slots, by sequence */
	uint32_t left_count;
	uint32_t *free; /* a stack */
	uint32_t free_count;
};

static struct slot *slot_at(const struct cuts *cuts, uint32_t slot)
{
	return (struct slot *)(void *)((char *)(cuts->header + 1) + slot * cuts->slot_size);
}

/* All zeros, with its blocks: 0, or -1 and errno. */
static int make_file(int fd, size_t size)
{
	if (ftruncate(fd, 0) < 0)
		return -1;
	errno = posix_fallocate(fd, 0, (off_t)size);
	return errno == 0 ? 0 : -1;
}

static bool has_unsettled(const struct cuts *cuts, size_t size, const struct cuts_for *what)
{
	size_t slot_size = sizeof(struct slot) + cuts->header->cells * sizeof(uint64_t);

	for (size_t at = sizeof(struct header); at + slot_size <= size; at += slot_size) {
		const struct slot *slot =
			(const struct slot *)(const void *)((const char *)cuts->header + at);

		if (slot->sequence > what->head && slot->run == what->run && !slot->is_settled)
			return true;
	}
	return false;
}

/* The mapping, with size in cuts->size. */
static int map(struct cuts *cuts, int fd, size_t size)
{
	cuts->header = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	cuts->size = size;
	if (cuts->header != MAP_FAILED)
		return 0;
	cuts->header = NULL;
	return -errno;
}

/* 1: the file is ours as it is, and mapped; 0: it is to be made anew; negative errno. */
static int look_at(
	struct cuts *cuts, int fd, const char *path, const struct cuts_for *what, struct err *err)
{
	struct stat st;
	bool is_ours;
	int r;

	if (fstat(fd, &st) < 0)
		return err_set(err, -errno, "cannot look at %s: %s", path, err_name(errno));
	if ((size_t)st.st_size < sizeof(struct header))
		return 0;
	r = map(cuts, fd, (size_t)st.st_size);
	if (r < 0)
		return err_set(err, r, "cannot map %s: %s", path, err_name(r));
	is_ours = cuts->header->magic == MAGIC && cuts->header->cells == what->cells &&
		  cuts->header->shape == what->shape &&
		  cuts->size == sizeof(struct header) + CUTS_MAX * cuts->slot_size;
	if (is_ours)
		return 1;
	if (cuts->header->magic == MAGIC && !what->accept_mixed &&
		has_unsettled(cuts, cuts->size, what))
		return err_set(err, -EUCLEAN,
			"the last run ended in the middle, and the config has changed since: "
			"records "
			"that were under way may have been written as the old one says; begin anew "
			"with --from-start, which reads all of them again, or say --accept-mixed, "
			"or finish with the old config");
	(void)munmap(cuts->header, cuts->size);
	cuts->header = NULL;
	return 0;
}

static int map_file(struct cuts *cuts, const struct cuts_for *what, struct err *err)
{
	_cleanup_close_ int fd = -1;
	char path[PATH_MAX];
	int r;

	if (snprintf(path, sizeof(path), "%s/cuts.%s.%u", what->state, what->stage,
		    what->instance) >= (int)sizeof(path))
		return err_set(err, -ENAMETOOLONG, "%s: the path is too long", what->state);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set(err, -errno, "cannot open %s: %s", path, err_name(errno));
	r = look_at(cuts, fd, path, what, err);
	if (r != 0)
		return r < 0 ? r : 0;
	if (make_file(fd, sizeof(struct header) + CUTS_MAX * cuts->slot_size) < 0)
		return err_set(err, -errno, "cannot make %s: %s", path, err_name(errno));
	r = map(cuts, fd, sizeof(struct header) + CUTS_MAX * cuts->slot_size);
	if (r < 0)
		return err_set(err, r, "cannot map %s: %s", path, err_name(r));
	*cuts->header =
		(struct header){ .magic = MAGIC, .cells = what->cells, .shape = what->shape };
	return 0;
}

static int by_sequence(const void *a, const void *b, void *user)
{
	uint64_t first = cuts_sequence(user, *(const uint32_t *)a);
	uint64_t second = cuts_sequence(user, *(const uint32_t *)b);

	return first < second ? -1 : first > second;
}

/* The lowest free slot is taken first, so that few pages are touched. */
static int sort_out(struct cuts *cuts, uint64_t head)
{
	cuts->left = calloc(CUTS_MAX, sizeof(*cuts->left));
	cuts->free = calloc(CUTS_MAX, sizeof(*cuts->free));
	if (!cuts->left || !cuts->free)
		return -ENOMEM;
	cuts->sequence = head;
	for (uint32_t i = CUTS_MAX; i > 0; i--) {
		const struct slot *slot = slot_at(cuts, i - 1);
		uint64_t sequence = atomic_load(&slot->sequence);

		if (sequence > head && slot->run == cuts->run)
			cuts->left[cuts->left_count++] = i - 1;
		else
			cuts->free[cuts->free_count++] = i - 1;
		if (sequence > cuts->sequence)
			cuts->sequence = sequence;
	}
	qsort_r(cuts->left, cuts->left_count, sizeof(*cuts->left), by_sequence, cuts);
	return 0;
}

int cuts_open(const struct cuts_for *what, struct cuts **ret, struct err *err)
{
	struct cuts *cuts = calloc(1, sizeof(*cuts));
	int r;

	if (!cuts)
		return err_set(err, -ENOMEM, "no memory");
	cuts->cells = what->cells;
	cuts->run = what->run;
	cuts->slot_size = sizeof(struct slot) + what->cells * sizeof(uint64_t);
	r = map_file(cuts, what, err);
	if (r == 0 && sort_out(cuts, what->head) < 0)
		r = err_set(err, -ENOMEM, "no memory");
	if (r < 0) {
		cuts_close(cuts);
		return r;
	}
	*ret = cuts;
	return 0;
}

void cuts_close(struct cuts *cuts)
{
	if (!cuts)
		return;
	if (cuts->header)
		(void)munmap(cuts->header, cuts->size);
	free(cuts->left);
	free(cuts->free);
	free(cuts);
}

uint32_t cuts_left(const struct cuts *cuts)
{
	return cuts->left_count;
}

uint32_t cuts_slot(const struct cuts *cuts, uint32_t i)
{
	return cuts->left[i];
}

struct cut cuts_get(const struct cuts *cuts, uint32_t index)
{
	const struct slot *slot = slot_at(cuts, index);

	return (struct cut){
		.run = slot->run,
		.origin = slot->origin,
		.start = slot->start,
		.end = slot->end,
		.line = slot->line,
		.mark = slot->mark,
		.is_done = slot->is_done,
	};
}

uint64_t cuts_sequence(const struct cuts *cuts, uint32_t slot)
{
	return atomic_load_explicit(&slot_at(cuts, slot)->sequence, memory_order_relaxed);
}

const uint64_t *cuts_tally(const struct cuts *cuts, uint32_t index)
{
	const struct slot *slot = slot_at(cuts, index);

	return atomic_load_explicit(&slot->is_settled, memory_order_acquire) ? slot->tally : NULL;
}

uint32_t cuts_take(struct cuts *cuts, const struct cut *cut)
{
	struct slot *slot;
	uint32_t index;

	if (cuts->free_count == 0)
		return UINT32_MAX;
	index = cuts->free[--cuts->free_count];
	slot = slot_at(cuts, index);
	/* Whoever finds it half written must not take it for what it was before. */
	atomic_store_explicit(&slot->sequence, 0, memory_order_release);
	atomic_store_explicit(&slot->is_settled, 0, memory_order_release);
	slot->run = cut->run;
	slot->origin = cut->origin;
	slot->start = cut->start;
	slot->end = cut->end;
	slot->line = cut->line;
	slot->mark = cut->mark;
	slot->is_done = cut->is_done;
	atomic_store_explicit(&slot->sequence, ++cuts->sequence, memory_order_release);
	return index;
}

uint32_t cuts_free_count(const struct cuts *cuts)
{
	return cuts->free_count;
}

void cuts_settle(struct cuts *cuts, uint32_t index, const uint64_t *cells)
{
	struct slot *slot = slot_at(cuts, index);

	memcpy(slot->tally, cells, cuts->cells * sizeof(*cells));
	atomic_store_explicit(&slot->is_settled, 1, memory_order_release);
}

void cuts_free(struct cuts *cuts, uint32_t slot)
{
	cuts->free[cuts->free_count++] = slot;
}

void cuts_set_ended(struct cuts *cuts, int how, uint64_t term)
{
	atomic_store(&cuts->header->ended, 0);
	atomic_store(&cuts->header->ended_run, cuts->run);
	atomic_store(&cuts->header->ended_term, term);
	atomic_store(&cuts->header->ended, (uint64_t)(how + 1));
}

bool cuts_has_ended(const struct cuts *cuts, int *ret_how, uint64_t *ret_term)
{
	uint64_t ended = atomic_load(&cuts->header->ended);

	*ret_how = (int)ended - 1;
	*ret_term = atomic_load(&cuts->header->ended_term);
	return ended > 0 && atomic_load(&cuts->header->ended_run) == cuts->run;
}
