/* SPDX-License-Identifier: MIT */
/* What becomes of a child that cannot be told anything, and of what it said last. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "supervisor/child.h"

#define WORDS_MAX 100000

static void have_child(struct child *child, int *ret_other)
{
	int ends[2];

	*child = (struct child){ .words = -1, .errors = -1, .page_fd = -1 };
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	child->words = ends[0];
	*ret_other = ends[1];
	child->pid = fork();
	assert_true(child->pid >= 0);
	if (child->pid == 0)
		for (;;)
			(void)pause();
}

static void test_one_that_does_not_read_is_killed(void **state)
{
	struct child child;
	int status, other;

	(void)state;
	have_child(&child, &other);
	for (int i = 0; i < WORDS_MAX && !child.reason[0]; i++)
		child_say(&child, WORD_PEER_GONE, NULL);
	assert_non_null(strstr(child.reason, "does not read what it is told"));
	assert_int_equal(waitpid(child.pid, &status, 0), child.pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	(void)close(child.words);
	(void)close(other);
}

/* It is not killed for that: it is dead already, and its end tells why. */
static void test_one_that_has_gone_is_not_blamed(void **state)
{
	struct child child;
	int status, other;

	(void)state;
	have_child(&child, &other);
	(void)close(other);
	child_say(&child, WORD_STOP, NULL);
	assert_int_equal(child.reason[0], '\0');
	assert_int_equal(waitpid(child.pid, &status, WNOHANG), 0);
	(void)kill(child.pid, SIGKILL);
	(void)waitpid(child.pid, &status, 0);
	(void)close(child.words);
}

/* It went while there was something for it to read. */
static void test_its_last_words_are_heard(void **state)
{
	static char payload[WORD_PAYLOAD_MAX];
	struct word word = { .type = WORD_TALLY };
	int ends[2], fds[WORD_FDS_MAX];
	size_t size;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	assert_int_equal(word_send(ends[1], &word, NULL, 0, NULL, 0), 0);
	word.type = WORD_DONE;
	assert_int_equal(word_send(ends[1], &word, NULL, 0, NULL, 0), 0);
	word.type = WORD_PEER_GONE;
	assert_int_equal(word_send(ends[0], &word, NULL, 0, NULL, 0), 0);
	(void)close(ends[1]);
	assert_int_equal(word_receive(ends[0], &word, payload, &size, fds), 1);
	assert_int_equal(word.type, WORD_TALLY);
	assert_int_equal(word_receive(ends[0], &word, payload, &size, fds), 1);
	assert_int_equal(word.type, WORD_DONE);
	assert_int_equal(word_receive(ends[0], &word, payload, &size, fds), 0);
	(void)close(ends[0]);
}

/* --- stderr ------------------------------------------------------------------------------------- */

static int line_count;
static char last_line[LOG_LINE_MAX];
static int last_level;

static void keep_line(struct child *child, enum log_event event, int level, const char *text)
{
	(void)child;
	(void)event;
	line_count++;
	last_level = level;
	(void)snprintf(last_line, sizeof(last_line), "%s", text);
}

static void give(struct child *child, const char *text, int times)
{
	int ends[2];

	*child = (struct child){ .words = -1, .errors = -1, .page_fd = -1 };
	line_count = 0;
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	(void)fcntl(ends[0], F_SETFL, O_NONBLOCK);
	for (int i = 0; i < times; i++)
		assert_int_equal(write(ends[1], text, strlen(text)), strlen(text));
	(void)close(ends[1]);
	child->errors = ends[0];
}

static void test_the_last_line_needs_no_end(void **state)
{
	struct child child;

	(void)state;
	give(&child, "<6>first\n<3>the last words", 1);
	assert_int_equal(child_read_errors(&child, keep_line), 0);
	assert_int_equal(line_count, 1);
	child_end_errors(&child, keep_line);
	assert_int_equal(line_count, 2);
	assert_string_equal(last_line, "the last words");
	assert_int_equal(last_level, 3);
	child_end_errors(&child, keep_line);
	assert_int_equal(line_count, 2);
	(void)close(child.errors);
}

/* As much as a pipe holds. */
static void test_all_that_is_left_is_read(void **state)
{
	char text[1001];
	struct child child;

	(void)state;
	memset(text, 'x', sizeof(text) - 2);
	text[sizeof(text) - 2] = '\n';
	text[sizeof(text) - 1] = '\0';
	give(&child, text, 64);
	child_end_errors(&child, keep_line);
	assert_int_equal(line_count, 64);
	(void)close(child.errors);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_that_does_not_read_is_killed),
		cmocka_unit_test(test_one_that_has_gone_is_not_blamed),
		cmocka_unit_test(test_its_last_words_are_heard),
		cmocka_unit_test(test_the_last_line_needs_no_end),
		cmocka_unit_test(test_all_that_is_left_is_read),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
