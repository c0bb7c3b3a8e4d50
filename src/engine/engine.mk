# engine: the life of a stage process.
noinst_LIBRARIES += libengine.a
libengine_a_CPPFLAGS = $(AM_CPPFLAGS) -DSLUICE_STAGE_DIR='"$(pkglibdir)/stages"'
libengine_a_CFLAGS = $(AM_CFLAGS) $(SECCOMP_CFLAGS) $(ZMQ_CFLAGS) $(LIBUV_CFLAGS) $(SQLITE_CFLAGS)
libengine_a_SOURCES = \
	src/engine/alone.c src/engine/alone.h \
	src/engine/attempt.c src/engine/attempt.h \
	src/engine/callback.c \
	src/engine/crash.c src/engine/crash.h \
	src/engine/crew.c src/engine/crew.h \
	src/engine/host.c src/engine/host.h \
	src/engine/judge.c src/engine/judge.h \
	src/engine/keeper.c src/engine/keeper.h \
	src/engine/ledger.c src/engine/ledger.h \
	src/engine/left.c src/engine/left.h \
	src/engine/letters.c src/engine/letters.h \
	src/engine/memory.c src/engine/memory.h \
	src/engine/modules.c src/engine/modules.h \
	src/engine/output.c src/engine/output.h \
	src/engine/peek.c src/engine/peek.h \
	src/engine/points.c src/engine/points.h \
	src/engine/pump.c src/engine/pump.h src/engine/pump_room.h \
	src/engine/pump_words.c \
	src/engine/pump_work.c \
	src/engine/quarantine.c src/engine/quarantine.h \
	src/engine/refuse.c \
	src/engine/registry.c src/engine/registry.h \
	src/engine/sandbox.c src/engine/sandbox.h \
	src/engine/sandbox_calls.c \
	src/engine/sandbox_files.c \
	src/engine/segment.c src/engine/segment.h \
	src/engine/table.c src/engine/table.h \
	src/engine/tap.c src/engine/tap.h \
	src/engine/tasks.c src/engine/tasks.h \
	src/engine/vet.c src/engine/vet.h \
	src/engine/worker.c src/engine/worker.h src/engine/worker_room.h \
	src/engine/worker_roles.c

# Beside the others at run time in the build folder; in libexec once installed.
pkglibexec_PROGRAMS = sluice-stage
sluice_stage_SOURCES = src/engine/stage_main.c src/engine/api.c
nodist_EXTRA_sluice_stage_SOURCES = dummy.cxx
# Modules call the functions of include/sluice: they are looked up in the program.
sluice_stage_LDFLAGS = $(AM_LDFLAGS) $(EXPORT_LDFLAGS) $(FAULT_WRAPS)
if FAULT_INJECTION
sluice_stage_SOURCES += src/engine/faults_sqlite.c
endif
sluice_stage_LDADD = libengine.a libstages.a liblink.a libstate.a $(TASK_LIBS) libconfigload.a libgraph.a $(RECORD_LIBS) libbase.a \
	$(SECCOMP_LIBS) $(ZMQ_LIBS) $(LIBCONFIG_LIBS) $(SQLITE_LIBS) -lpthread
