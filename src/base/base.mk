# base: errors, units, cleanup, clock, log, the words between supervisor and instance. No policy.
# stats: one page of counters per instance, in shared memory.
noinst_LIBRARIES += libbase.a
libbase_a_SOURCES = \
	src/base/cleanup.h \
	src/base/clock.h \
	src/base/cores.h \
	src/base/err.c src/base/err.h \
	src/base/log.c src/base/log.h \
	src/base/units.c src/base/units.h \
	src/base/word.c src/base/word.h \
	src/stats/page.c src/stats/page.h
