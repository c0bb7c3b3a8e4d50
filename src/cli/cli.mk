# cli: one file per subcommand, and the daemon.
SUPERVISOR_LIBS = libsupervisor.a libgraph.a libvalue.a libbase.a $(SYSTEMD_LIBS) $(XXHASH_LIBS) $(MSGPUCK_LIBS)

bin_PROGRAMS += sluice
sluice_CFLAGS = $(AM_CFLAGS) $(SYSTEMD_CFLAGS)
sluice_SOURCES = \
	src/cli/advice.c src/cli/advice.h \
	src/cli/advise.c \
	src/cli/ask.c \
	src/cli/check.c \
	src/cli/cli.h \
	src/cli/dead.c \
	src/cli/main.c \
	src/cli/replay.c src/cli/replay.h \
	src/cli/run.c src/cli/run.h \
	src/cli/sample.c src/cli/sample.h \
	src/cli/show.c src/cli/show.h
sluice_LDADD = $(SUPERVISOR_LIBS) -lm

sbin_PROGRAMS += sluiced
sluiced_CFLAGS = $(AM_CFLAGS) $(SYSTEMD_CFLAGS)
sluiced_SOURCES = src/cli/sluiced.c
sluiced_LDADD = $(SUPERVISOR_LIBS)
