/* SPDX-License-Identifier: MIT */
/* See switch.h. */
#include "task/switch.h"

#include <stdint.h>

#ifdef HAVE_VALGRIND
#include <valgrind/valgrind.h>
#endif

#if defined(__SANITIZE_ADDRESS__)
#define HAS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define HAS_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define HAS_TSAN 1
#endif
#endif

#ifdef HAS_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef HAS_TSAN
#include <sanitizer/tsan_interface.h>
#endif

#if defined(HAS_ASAN) || defined(HAS_TSAN)
const unsigned switch_stack_factor = 4;
const bool switch_is_sanitized = true;
#else
const unsigned switch_stack_factor = 1;
const bool switch_is_sanitized = false;
#endif

/* --- what the tools hear ------------------------------------------------------------------------ */

static void tell_leaving(struct switch_point *from, struct switch_point *to, bool is_last)
{
	(void)from;
	(void)to;
	(void)is_last;
#ifdef HAS_ASAN
	__sanitizer_start_switch_fiber(is_last ? NULL : &from->fake_stack, to->low, to->size);
#endif
#ifdef HAS_TSAN
	__tsan_switch_to_fiber(to->fiber, 0);
#endif
}

static void tell_arrived(struct switch_point *self, struct switch_point *before)
{
	(void)self;
	(void)before;
#ifdef HAS_ASAN
	__sanitizer_finish_switch_fiber(self->fake_stack, &before->low, &before->size);
#endif
}

/* The last frames of whoever had this stack before never returned, and what they had poisoned is so still. */
static void tell_begin_of(void *low, size_t size)
{
	(void)low;
	(void)size;
#ifdef HAS_ASAN
	__asan_unpoison_memory_region(low, size);
#endif
}

static void make_fiber(struct switch_point *point, bool is_thread)
{
	(void)point;
	(void)is_thread;
#ifdef HAS_TSAN
	point->fiber = is_thread ? __tsan_get_current_fiber() : __tsan_create_fiber(0);
#endif
}

void switch_fini(struct switch_point *point)
{
	(void)point;
#ifdef HAS_TSAN
	__tsan_destroy_fiber(point->fiber);
#endif
}

unsigned switch_register_stack(void *low, size_t size)
{
#ifdef HAVE_VALGRIND
	return VALGRIND_STACK_REGISTER(low, (char *)low + size);
#else
	(void)low;
	(void)size;
	return 0;
#endif
}

void switch_forget_stack(unsigned number)
{
	(void)number;
#ifdef HAVE_VALGRIND
	VALGRIND_STACK_DEREGISTER(number);
#endif
}

void switch_adopt(struct switch_point *point)
{
	*point = (struct switch_point){ 0 };
	make_fiber(point, true);
}

/* --- Boost.Context ------------------------------------------------------------------------------ */

#ifdef HAVE_FCONTEXT

/* Boost 1.74 has no C header for these; they are extern "C" in its library. */
struct transfer {
	void *from;
	void *data;
};
extern struct transfer jump_fcontext(void *to, void *data);
extern void *make_fcontext(void *top, size_t size, void (*entry)(struct transfer));

struct passage {
	struct switch_point *from, *to;
};

static struct switch_point *arrive(struct transfer transfer)
{
	const struct passage *passage = transfer.data;
	struct switch_point *self = passage->to;

	passage->from->context = transfer.from;
	tell_arrived(self, passage->from);
	return self;
}

static void begin(struct transfer transfer)
{
	struct switch_point *self = arrive(transfer);

	self->entry(self->arg);
	__builtin_trap();
}

void switch_make(
	struct switch_point *point, void *low, size_t size, void (*entry)(void *), void *arg)
{
	*point = (struct switch_point){ .entry = entry, .arg = arg, .low = low, .size = size };
	tell_begin_of(low, size);
	point->context = make_fcontext((char *)low + size, size, begin);
	make_fiber(point, false);
}

void switch_to(struct switch_point *from, struct switch_point *to, bool is_last)
{
	struct passage passage = { .from = from, .to = to };

	tell_leaving(from, to, is_last);
	(void)arrive(jump_fcontext(to->context, &passage));
}

/* --- ucontext, where Boost is not there ----------------------------------------------------------- */

#else

static _Thread_local struct switch_point *left, *reached;

static void begin(void)
{
	struct switch_point *self = reached;

	tell_arrived(self, left);
	self->entry(self->arg);
	__builtin_trap();
}

void switch_make(
	struct switch_point *point, void *low, size_t size, void (*entry)(void *), void *arg)
{
	*point = (struct switch_point){ .entry = entry, .arg = arg, .low = low, .size = size };
	tell_begin_of(low, size);
	(void)getcontext(&point->context);
	point->context.uc_stack.ss_sp = low;
	point->context.uc_stack.ss_size = size;
	makecontext(&point->context, begin, 0);
	make_fiber(point, false);
}

void switch_to(struct switch_point *from, struct switch_point *to, bool is_last)
{
	tell_leaving(from, to, is_last);
	left = from;
	reached = to;
	(void)swapcontext(&from->context, &to->context);
	tell_arrived(from, left);
}

#endif
