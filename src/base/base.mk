# base: errors, units, cleanup, clock, log, the words between supervisor and instance. No policy.
# stats: one page of counters per instance, in shared memory.
noinst_LIBRARIES += libbase.a
libbase_a_SOURCES = \
	src/base/address.c src/base/address.h \
	src/base/cleanup.h \
	src/base/clock.h \
	src/base/cores.h \
	src/base/err.c src/base/err.h \
	src/base/log.c src/base/log.h \
	src/base/secret.c src/base/secret.h \
	src/base/units.c src/base/units.h \
	src/base/utf8.c src/base/utf8.h \
	src/base/word.c src/base/word.h \
	src/stats/page.c src/stats/page.h

# With --enable-fault-injection, for the programs: calls that a test can let fail. Nobody else refers to faults.o.
if FAULT_INJECTION
libbase_a_SOURCES += src/base/faults.c src/base/faults.h
FAULT_WRAPS = -Wl,--wrap=write,--wrap=pwrite,--wrap=fsync,--wrap=mmap,--wrap=ftruncate,--wrap=posix_fallocate,--wrap=fork \
	-Wl,--wrap=open,--wrap=rename,--wrap=memfd_create,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup
endif
