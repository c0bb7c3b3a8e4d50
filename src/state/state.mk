# state: what outlives a process, in SQLite files in the state folder.
noinst_LIBRARIES += libstate.a
libstate_a_CFLAGS = $(AM_CFLAGS) $(SQLITE_CFLAGS)
libstate_a_SOURCES = \
	src/state/checkpoint.c src/state/checkpoint.h \
	src/state/committed.c src/state/committed.h \
	src/state/cuts.c src/state/cuts.h \
	src/state/dead.c src/state/dead.h \
	src/state/left.c src/state/left.h \
	src/state/point.c src/state/point.h \
	src/state/store.c src/state/store.h
STATE_LIBS = libstate.a $(SQLITE_LIBS)
