# cli: one file per subcommand, and the daemon.
SUPERVISOR_LIBS = libsupervisor.a libgraph.a libvalue.a libbase.a $(SYSTEMD_LIBS) $(JANSSON_LIBS) $(XXHASH_LIBS) $(MSGPUCK_LIBS) -lm

bin_PROGRAMS += sluice
sluice_CFLAGS = $(AM_CFLAGS) $(SYSTEMD_CFLAGS) $(JANSSON_CFLAGS) $(LIBCURL_CFLAGS)
sluice_SOURCES = \
	src/cli/again.c src/cli/again.h \
	src/cli/advice.c src/cli/advice.h \
	src/cli/advise.c \
	src/cli/apart.c src/cli/apart.h \
	src/cli/ask.c \
	src/cli/audit.c \
	src/cli/check.c \
	src/cli/cli.h \
	src/cli/client.c src/cli/client.h \
	src/cli/dead.c \
	src/cli/main.c \
	src/cli/part.c src/cli/part.h \
	src/cli/peek.c \
	src/cli/replay.c src/cli/replay.h \
	src/cli/run.c src/cli/run.h \
	src/cli/set.c src/cli/set.h \
	src/cli/sample.c src/cli/sample.h \
	src/cli/show.c src/cli/show.h \
	src/cli/status.c \
	src/cli/reload.c \
	src/cli/stop.c \
	src/cli/test.c
# Of libtask only curl.c, which loads libcurl when it is asked.
sluice_LDFLAGS = $(AM_LDFLAGS) $(FAULT_WRAPS)
sluice_LDADD = libtask.a $(SUPERVISOR_LIBS)

sbin_PROGRAMS += sluiced
sluiced_CFLAGS = $(AM_CFLAGS) $(SYSTEMD_CFLAGS)
sluiced_SOURCES = src/cli/again.c src/cli/again.h src/cli/sluiced.c src/cli/set.c src/cli/set.h
sluiced_LDFLAGS = $(AM_LDFLAGS) $(FAULT_WRAPS)
sluiced_LDADD = $(SUPERVISOR_LIBS)
