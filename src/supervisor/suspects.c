/* SPDX-License-Identifier: MIT */
/* See suspects.h. */
#include "supervisor/suspects.h"

#include <signal.h>
#include <stddef.h>

static enum page_suspect_state state_of(const struct page_suspect *suspect)
{
	return page_get(suspect->state) & ((1u << PAGE_SUSPECT_BITS) - 1);
}

static uint64_t death_of(const struct page_suspect *suspect)
{
	return page_get(suspect->state) >> PAGE_SUSPECT_BITS;
}

static void set_state(struct page_suspect *suspect, uint64_t death, enum page_suspect_state state)
{
	atomic_store_explicit(
		&suspect->state, death << PAGE_SUSPECT_BITS | state, memory_order_release);
}

bool suspects_is_fault(int number)
{
	return number == SIGSEGV || number == SIGABRT || number == SIGBUS || number == SIGFPE ||
	       number == SIGILL || number == SIGTRAP || number == SIGSYS;
}

/* --- cells -------------------------------------------------------------------------------------- */

static bool is_of(const struct page_suspect *suspect, uint32_t stage, const struct page_work *work)
{
	return page_get(suspect->stage) == stage &&
	       page_get(suspect->start) == page_get(work->start) &&
	       page_get(suspect->origin) == page_get(work->origin) &&
	       page_get(suspect->path) == page_get(work->path) &&
	       page_get(suspect->run) == page_get(work->run);
}

static uint32_t known_index(const struct page_work *work)
{
	return page_get(work->kind) == PAGE_WORK_BATCH ? PAGE_ANY_RECORD : page_get(work->index);
}

/* A suspect of that batch: the one for that very record rather than another. */
static struct page_suspect *find(
	struct page_shared *shared, uint32_t stage, const struct page_work *work)
{
	struct page_suspect *found = NULL;

	for (uint32_t i = 0; i < page_get(shared->suspects_used); i++) {
		struct page_suspect *suspect = &shared->suspects[i];

		if (state_of(suspect) != PAGE_SUSPECT_SUSPECTED || !is_of(suspect, stage, work))
			continue;
		if (page_get(suspect->index) == known_index(work))
			return suspect;
		found = suspect;
	}
	return found;
}

static uint32_t count_suspected(const struct page_shared *shared, uint32_t stage)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < page_get(shared->suspects_used); i++)
		count += state_of(&shared->suspects[i]) == PAGE_SUSPECT_SUSPECTED &&
			 page_get(shared->suspects[i].stage) == stage;
	return count;
}

/* A free cell; else that of the record which was found the longest ago; NULL: all are suspects. */
static struct page_suspect *take_cell(struct page_shared *shared)
{
	uint32_t used = page_get(shared->suspects_used);
	struct page_suspect *oldest = NULL;

	for (uint32_t i = 0; i < used; i++) {
		struct page_suspect *suspect = &shared->suspects[i];

		if (state_of(suspect) == PAGE_SUSPECT_FREE)
			return suspect;
		if (state_of(suspect) == PAGE_SUSPECT_POISON &&
			(!oldest || death_of(suspect) < death_of(oldest)))
			oldest = suspect;
	}
	if (used == PAGE_SUSPECTS_MAX)
		return oldest;
	page_set(shared->suspects_used, used + 1);
	return &shared->suspects[used];
}

static void fill(
	struct page_suspect *suspect, uint32_t stage, const struct page_work *work, uint32_t cause)
{
	page_set(suspect->stage, stage);
	page_set(suspect->index, known_index(work));
	page_set(suspect->cause, cause);
	page_set(suspect->run, page_get(work->run));
	page_set(suspect->origin, page_get(work->origin));
	page_set(suspect->start, page_get(work->start));
	page_set(suspect->path, page_get(work->path));
}

/* One above all that there are: cells of a death have its number. */
static uint64_t next_death(const struct page_shared *shared)
{
	uint64_t last = 0;

	for (uint32_t i = 0; i < page_get(shared->suspects_used); i++)
		if (death_of(&shared->suspects[i]) > last)
			last = death_of(&shared->suspects[i]);
	return last + 1;
}

/* --- blame -------------------------------------------------------------------------------------- */

/* The others that could have been it are not. */
static void excuse_others(struct page_shared *shared, const struct page_suspect *poison)
{
	for (uint32_t i = 0; i < page_get(shared->suspects_used); i++) {
		struct page_suspect *suspect = &shared->suspects[i];

		if (suspect != poison && death_of(suspect) == death_of(poison) &&
			state_of(suspect) != PAGE_SUSPECT_POISON)
			set_state(suspect, death_of(suspect), PAGE_SUSPECT_FREE);
	}
}

/* It died alone: it is known now. */
static enum suspects_verdict name(
	struct page_shared *shared, uint32_t stage, const struct page_work *work, uint32_t cause)
{
	struct page_suspect *suspect = find(shared, stage, work);
	uint64_t death = suspect ? death_of(suspect) : next_death(shared);

	if (!suspect)
		suspect = take_cell(shared);
	if (!suspect)
		return SUSPECTS_NOBODY;
	set_state(suspect, death, PAGE_SUSPECT_FREE);
	fill(suspect, stage, work, cause);
	set_state(suspect, death, PAGE_SUSPECT_POISON);
	excuse_others(shared, suspect);
	return SUSPECTS_NAMED;
}

static enum suspects_verdict suspect_one(struct page_shared *shared, uint32_t stage,
	const struct page_work *work, uint32_t cause, uint64_t death)
{
	struct page_suspect *suspect;

	switch (page_get(work->kind)) {
	case PAGE_WORK_ALONE:
		return name(shared, stage, work, cause);
	case PAGE_WORK_BATCH:
	case PAGE_WORK_RECORD:
		break;
	default:
		return SUSPECTS_NOBODY;
	}
	suspect = find(shared, stage, work);
	if (suspect && page_get(suspect->index) == known_index(work))
		return SUSPECTS_FOUND;
	suspect = count_suspected(shared, stage) < SUSPECTS_PER_STAGE ? take_cell(shared) : NULL;
	if (!suspect)
		return SUSPECTS_NOBODY;
	fill(suspect, stage, work, cause);
	set_state(suspect, death, PAGE_SUSPECT_SUSPECTED);
	return SUSPECTS_FOUND;
}

enum suspects_verdict suspects_blame(struct page_shared *shared, uint32_t stage,
	const struct page *page, int worker, uint32_t cause)
{
	enum suspects_verdict verdict = SUSPECTS_NOBODY;
	uint64_t death = next_death(shared);

	if (worker >= 0)
		return suspect_one(shared, stage, &page->workers[worker].work, cause, death);
	if (page_get(page->culprit.kind) != PAGE_WORK_NONE)
		return suspect_one(shared, stage, &page->culprit, cause, death);
	for (int i = 0; i < PAGE_WORKERS_MAX; i++) {
		enum suspects_verdict one =
			suspect_one(shared, stage, &page->workers[i].work, cause, death);

		verdict = one > verdict ? one : verdict;
	}
	return verdict;
}

void suspects_forget_work(struct page *page)
{
	page_set(page->culprit.kind, PAGE_WORK_NONE);
	for (int i = 0; i < PAGE_WORKERS_MAX; i++)
		page_set(page->workers[i].work.kind, PAGE_WORK_NONE);
}

/* --- what was no record's fault ----------------------------------------------------------------- */

static bool has_others(const struct page_shared *shared, const struct page_suspect *cleared)
{
	for (uint32_t i = 0; i < page_get(shared->suspects_used); i++) {
		const struct page_suspect *suspect = &shared->suspects[i];

		if (suspect != cleared && death_of(suspect) == death_of(cleared) &&
			state_of(suspect) != PAGE_SUSPECT_FREE)
			return true;
	}
	return false;
}

uint32_t suspects_unexplained(struct page_shared *shared, uint32_t stage)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < page_get(shared->suspects_used); i++) {
		struct page_suspect *suspect = &shared->suspects[i];
		enum page_suspect_state state = state_of(suspect);

		if (page_get(suspect->stage) != stage ||
			(state != PAGE_SUSPECT_CLEARED && state != PAGE_SUSPECT_EXCUSED))
			continue;
		count += state == PAGE_SUSPECT_CLEARED && !has_others(shared, suspect);
		set_state(suspect, death_of(suspect), PAGE_SUSPECT_FREE);
	}
	return count;
}
