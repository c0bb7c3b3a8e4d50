/* SPDX-License-Identifier: MIT */
/* See crash.h. All below on_crash runs in a signal handler. */
#include "engine/crash.h"

#include <errno.h>
#include <execinfo.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"

#define PATIENCE 2 /* seconds */
#define SIGNAL_STACK (128u << 10)
#define FRAMES_MAX 48
#define FIRST_FRAME 2 /* behind the handler's own */
#define LINE_SIZE 512
#define ANSWER_STEP (1 * NSEC_PER_MSEC)
#define ANSWER_STEPS 100

static const int faults[] = { SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS };
#define FAULT_COUNT (sizeof(faults) / sizeof(faults[0]))

static struct host *host_of_all;
static struct sigaction before[FAULT_COUNT];
static _Atomic pid_t threads[PAGE_WORKERS_MAX]; /* by slot; 0: none */
static uint64_t sampled[PAGE_WORKERS_MAX];
static _Atomic pid_t reporter; /* the thread whose handler reports */
static _Atomic pid_t asked;    /* the thread that it asks for its stack */

static _Thread_local struct page_worker *own_slot;
static _Thread_local const struct callback *away;
static _Thread_local bool is_pump;
static _Thread_local void *signal_stack;

static pid_t own_id(void)
{
	return (pid_t)syscall(SYS_gettid);
}

static void send_to(pid_t thread, int number)
{
	(void)syscall(SYS_tgkill, getpid(), thread, number);
}

/* --- a line ------------------------------------------------------------------------------------- */

struct line {
	size_t size;
	char text[LINE_SIZE];
};

static void put(struct line *line, const char *text)
{
	size_t size = strlen(text);
	size_t room = LINE_SIZE - 1 - line->size;

	size = size < room ? size : room;
	memcpy(line->text + line->size, text, size);
	line->size += size;
}

static void put_number(struct line *line, uint64_t number, unsigned base, int digits)
{
	char text[24];
	char *at = text + sizeof(text) - 1;

	*at = '\0';
	do {
		*--at = "0123456789abcdef"[number % base];
		number /= base;
		digits--;
	} while (number > 0 || digits > 0);
	put(line, at);
}

static void put_count(struct line *line, uint64_t number)
{
	put_number(line, number, 10, 1);
}

static void put_seconds(struct line *line, int64_t ns)
{
	ns = ns < 0 ? 0 : ns;
	put_count(line, (uint64_t)(ns / NSEC_PER_SEC));
	put(line, ".");
	put_count(line, (uint64_t)(ns / (NSEC_PER_SEC / 10) % 10));
	put(line, " s");
}

static struct line begin_line(void)
{
	struct line line;

	line.size = 0;
	put(&line, "<2>");
	return line;
}

static void say(struct line *line)
{
	line->text[line->size++] = '\n';
	(void)!write(STDERR_FILENO, line->text, line->size);
}

/* --- what everybody was doing ------------------------------------------------------------------- */

static void put_work(struct line *line, const struct page_work *work)
{
	uint32_t kind = page_get(work->kind);

	if (kind == PAGE_WORK_NONE)
		return;
	put(line, ", ");
	if (kind != PAGE_WORK_BATCH) {
		put(line, "record ");
		put_count(line, page_get(work->index));
		put(line, kind == PAGE_WORK_ALONE ? " (alone) of the batch" : " of the batch");
	} else {
		put(line, "the batch");
	}
	put(line, " from ");
	put_count(line, page_get(work->start));
	put(line, " of origin ");
	put_number(line, page_get(work->origin), 16, 16);
	put(line, ", path ");
	put_number(line, page_get(work->path), 16, 16);
}

static void say_worker(const struct host *host, uint32_t index, int64_t now)
{
	static const char *const states[] = { "idle", "in the stage's code", "waiting" };
	const struct page_worker *slot = &host->page->workers[index];
	struct line line = begin_line();
	uint32_t state = page_get(slot->state);
	int64_t since = page_get(slot->since_ns);

	put(&line, "worker ");
	put_count(&line, index);
	put(&line, ": ");
	put(&line, states[state <= PAGE_WAITING ? state : PAGE_IDLE]);
	if (since > 0) {
		put(&line, " for ");
		put_seconds(&line, now - since);
	}
	put_work(&line, &slot->work);
	if (host->stage->coroutines > 0) {
		put(&line, ", ");
		put_count(&line, page_get(slot->tasks));
		put(&line, " tasks");
	}
	say(&line);
}

static void say_pump(const struct host *host, int64_t now)
{
	const char *phase = atomic_load_explicit(&host->phase, memory_order_relaxed);
	struct line line = begin_line();

	put(&line, "pump: ");
	put(&line, phase ? phase : "not begun");
	put(&line, ", last turn ");
	put_seconds(&line, now - page_get(host->page->pump_beat_ns));
	put(&line, " ago, ");
	put_count(&line, page_get(host->page->queued));
	put(&line, " batches queued, ");
	put_count(&line, page_get(host->page->held_bytes));
	put(&line, " bytes held");
	say(&line);
}

/* As in "worker 2"; of a thread that is neither that nor the pump "another thread". */
static void put_thread(struct line *line, const struct host *host)
{
	if (own_slot) {
		put(line, "worker ");
		put_count(line, (uint64_t)(own_slot - host->page->workers));
	} else {
		put(line, is_pump ? "the pump"
			  : away  ? "a thread that a worker waits for"
				  : "another thread");
	}
}

static void say_stack(const struct host *host)
{
	void *frames[FRAMES_MAX];
	struct line line = begin_line();
	int count = backtrace(frames, FRAMES_MAX);

	put(&line, "the stack of ");
	put_thread(&line, host);
	put(&line, ":");
	say(&line);
	if (count > FIRST_FRAME)
		backtrace_symbols_fd(frames + FIRST_FRAME, count - FIRST_FRAME, STDERR_FILENO);
}

/* The others in stage code, each in its own handler: one of them is why the process was told to end. */
static void ask_workers(const struct host *host)
{
	const struct timespec step = { .tv_nsec = ANSWER_STEP };

	for (uint32_t i = 0; i < host->stage->threads && i < PAGE_WORKERS_MAX; i++) {
		pid_t thread = atomic_load(&threads[i]);

		if (thread == 0 || thread == own_id() ||
			page_get(host->page->workers[i].state) != PAGE_BUSY)
			continue;
		atomic_store(&asked, thread);
		send_to(thread, SIGABRT);
		for (int n = 0; n < ANSWER_STEPS && atomic_load(&asked) == thread; n++)
			(void)nanosleep(&step, NULL);
	}
}

/* --- the signal --------------------------------------------------------------------------------- */

static bool is_from_outside(const siginfo_t *info)
{
	return info->si_code <= 0 && info->si_pid != getpid();
}

static void copy_work(struct page_work *to, const struct page_work *from)
{
	page_set(to->index, page_get(from->index));
	page_set(to->run, page_get(from->run));
	page_set(to->origin, page_get(from->origin));
	page_set(to->start, page_get(from->start));
	page_set(to->path, page_get(from->path));
	page_set(to->kind, page_get(from->kind));
}

static void copy_callback(struct page_work *to, const struct callback *from)
{
	if (!from->batch || from->kind == PAGE_WORK_NONE)
		return;
	page_set(to->index, from->index);
	page_set(to->run, from->batch->head.id.run);
	page_set(to->origin, from->batch->head.id.origin);
	page_set(to->start, from->batch->head.id.start);
	page_set(to->path, from->batch->head.id.path);
	page_set(to->kind, from->kind);
}

/* Of threads that the stage has started itself nobody knows what for: then it may be the work of any worker. */
static void name_culprit(struct host *host, const siginfo_t *info)
{
	struct page_work *culprit = &host->page->culprit;

	if (is_from_outside(info) || is_pump ||
		(own_slot && page_get(own_slot->work.kind) == PAGE_WORK_NONE))
		page_set(culprit->kind, PAGE_WORK_NOBODYS);
	else if (own_slot)
		copy_work(culprit, &own_slot->work);
	else if (away)
		copy_callback(culprit, away);
}

static void report(struct host *host, int number, const siginfo_t *info)
{
	const char *text = sigabbrev_np(number);
	int64_t now = clock_now();
	struct line line = begin_line();

	name_culprit(host, info);
	put(&line, "SIG");
	put(&line, text ? text : "?");
	put(&line, is_from_outside(info) ? " from outside, in " : " in ");
	put_thread(&line, host);
	say(&line);
	say_pump(host, now);
	for (uint32_t i = 0; i < host->stage->threads && i < PAGE_WORKERS_MAX; i++)
		say_worker(host, i, now);
	say_stack(host);
	if (is_from_outside(info))
		ask_workers(host);
}

/* To whoever had the signal before, at last the kernel: by the fault itself once more, so that a core shows it, or by a signal. */
static void pass_on(int number, const siginfo_t *info)
{
	for (size_t i = 0; i < FAULT_COUNT; i++)
		if (faults[i] == number)
			(void)sigaction(number, &before[i], NULL);
	if (info->si_code <= 0)
		send_to(own_id(), number);
}

static void on_crash(int number, siginfo_t *info, void *context)
{
	int error = errno;
	pid_t nobody = 0;

	(void)context;
	if (atomic_compare_exchange_strong(&reporter, &nobody, own_id())) {
		report(host_of_all, number, info);
	} else if (atomic_load(&asked) == own_id()) {
		say_stack(host_of_all);
		atomic_store(&asked, 0);
		errno = error;
		return;
	} else if (nobody != own_id()) {
		/* Two at once: the first one ends the process, if it is not held up; a sanitizer lets it wait for this one. */
		for (unsigned left = PATIENCE; left > 0;)
			left = sleep(left);
	}
	pass_on(number, info);
}

/* --- beginning and end -------------------------------------------------------------------------- */

static void make_stack(void)
{
	stack_t stack = { .ss_size = SIGNAL_STACK };

	/* A sanitizer has its own, and frees what it finds in its place. */
	if (switch_is_sanitized)
		return;
	signal_stack = malloc(SIGNAL_STACK);
	if (!signal_stack)
		return;
	stack.ss_sp = signal_stack;
	(void)sigaltstack(&stack, NULL);
}

void crash_start(struct host *host)
{
	struct sigaction action = { .sa_sigaction = on_crash,
		.sa_flags = SA_ONSTACK | SA_SIGINFO | SA_RESTART };
	void *frames[4];

	host_of_all = host;
	is_pump = true;
	make_stack();
	/* The first call loads a library, which no handler may. */
	(void)backtrace(frames, 4);
	for (size_t i = 0; i < FAULT_COUNT; i++)
		(void)sigaction(faults[i], &action, &before[i]);
}

void crash_watch_thread(struct page_worker *slot)
{
	own_slot = slot;
	make_stack();
	atomic_store(&threads[slot - host_of_all->page->workers], own_id());
}

void crash_forget_thread(void)
{
	const stack_t none = { .ss_flags = SS_DISABLE };

	atomic_store(&threads[own_slot - host_of_all->page->workers], 0);
	own_slot = NULL;
	if (!signal_stack)
		return;
	(void)sigaltstack(&none, NULL);
	free(signal_stack);
	signal_stack = NULL;
}

void crash_away(const struct sl_task *task)
{
	away = task ? task->context.user : NULL;
}

void crash_sample(struct host *host)
{
	int64_t now = clock_now();

	for (uint32_t i = 0; i < host->stage->threads && i < PAGE_WORKERS_MAX; i++) {
		struct page_worker *slot = &host->page->workers[i];
		uint64_t calls = page_get(slot->calls);

		if (calls != sampled[i] || page_get(slot->state) != PAGE_BUSY)
			page_set(slot->since_ns, now);
		sampled[i] = calls;
	}
}
