# task: coroutines and what they can wait for.
noinst_LIBRARIES += libtask.a
libtask_a_CFLAGS = $(AM_CFLAGS) $(LIBUV_CFLAGS) $(LIBCURL_CFLAGS) $(SODIUM_CFLAGS)
libtask_a_SOURCES = \
	src/task/curl.c \
	src/task/group.c \
	src/task/http.c \
	src/task/io.c \
	src/task/loop.c src/task/loop.h \
	src/task/offload.c \
	src/task/overflow.c src/task/overflow.h \
	src/task/program.c \
	src/task/stack.c src/task/stack.h \
	src/task/switch.c src/task/switch.h \
	src/task/sync.c \
	src/task/task.c src/task/task.h \
	src/task/timers.c src/task/timers.h
# Without LIBCURL_LIBS: curl.c loads it. libzmq has libsodium with it anyway.
TASK_LIBS = libtask.a $(LIBUV_LIBS) $(SODIUM_LIBS) $(CONTEXT_LIBS)
