/* SPDX-License-Identifier: MIT */
/* See overflow.h. The handler runs on a stack of its own and calls nothing that is not async-signal-safe. */
#include "task/overflow.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "task/task.h"

#define SIGNAL_STACK (64u << 10)

static _Thread_local void *signal_stack;
static struct sigaction segv_before, bus_before;

static struct iovec text_of(const char *text)
{
	return (struct iovec){ .iov_base = (void *)text, .iov_len = strlen(text) };
}

static const char *print_number(size_t number, char text[24])
{
	char *at = text + 23;

	*at = '\0';
	do {
		*--at = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0);
	return at;
}

static void say_overflow(const struct loop *loop)
{
	const struct sl_group *group = loop->current->group;
	char digits[24], number[24], place[24];
	struct iovec line[] = {
		text_of("<3>stage `"),
		text_of(loop->setup->name ? loop->setup->name : "?"),
		text_of("`: task "),
		text_of(print_number(loop->current->number, number)),
		text_of(group ? ", a member of the group opened at " : ""),
		text_of(group ? group->file : ""),
		text_of(group ? ":" : ""),
		text_of(group ? print_number((size_t)group->line, place) : ""),
		text_of(group ? "," : ""),
		text_of(" overflowed its stack of "),
		text_of(print_number(loop->stacks.size / 1024, digits)),
		text_of(" KiB: write a larger `stack_size`\n"),
	};

	(void)!writev(STDERR_FILENO, line, sizeof(line) / sizeof(line[0]));
}

static void on_fault(int number, siginfo_t *info, void *context)
{
	const struct sigaction *before = number == SIGSEGV ? &segv_before : &bus_before;
	const struct loop *loop = loop_of_thread();

	if (loop && loop->current && loop->current->stack &&
		stack_is_guard(loop->current->stack, info->si_addr))
		say_overflow(loop);
	/* The faulting instruction runs again, and then it ends the process: unless others have to say something, too. */
	(void)sigaction(number, before, NULL);
	if (before->sa_flags & SA_SIGINFO)
		before->sa_sigaction(number, info, context);
}

static void take_signal(void)
{
	struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_ONSTACK | SA_SIGINFO };

	(void)sigaction(SIGSEGV, &action, &segv_before);
	(void)sigaction(SIGBUS, &action, &bus_before);
}

void overflow_watch_thread(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	stack_t stack = { .ss_size = SIGNAL_STACK };

	if (switch_is_sanitized)
		return;
	signal_stack = malloc(SIGNAL_STACK);
	if (!signal_stack)
		return;
	stack.ss_sp = signal_stack;
	(void)sigaltstack(&stack, NULL);
	(void)pthread_once(&once, take_signal);
}

void overflow_forget_thread(void)
{
	const stack_t none = { .ss_flags = SS_DISABLE };

	if (!signal_stack)
		return;
	(void)sigaltstack(&none, NULL);
	free(signal_stack);
	signal_stack = NULL;
}
