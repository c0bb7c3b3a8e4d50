# supervisor: one process per instance, and nothing of the data.
noinst_LIBRARIES += libsupervisor.a
libsupervisor_a_CPPFLAGS = $(AM_CPPFLAGS) -DSLUICE_LIBEXECDIR='"$(pkglibexecdir)"'
libsupervisor_a_CFLAGS = $(AM_CFLAGS) $(SYSTEMD_CFLAGS) $(MICROHTTPD_CFLAGS) $(JANSSON_CFLAGS)
# Without MICROHTTPD_LIBS: mhd.c loads it.
libsupervisor_a_SOURCES = \
	src/supervisor/audit.c src/supervisor/audit.h \
	src/supervisor/child.c src/supervisor/child.h \
	src/supervisor/fill.c src/supervisor/fill.h \
	src/supervisor/control.c src/supervisor/control.h src/supervisor/control_room.h \
	src/supervisor/group.c src/supervisor/group.h \
	src/supervisor/groups.c src/supervisor/groups.h \
	src/supervisor/journal.c src/supervisor/journal.h \
	src/supervisor/limits.c src/supervisor/limits.h \
	src/supervisor/listeners.c src/supervisor/listeners.h \
	src/supervisor/metrics.c \
	src/supervisor/mhd.c src/supervisor/mhd.h \
	src/supervisor/notify.c src/supervisor/notify.h \
	src/supervisor/plan.c src/supervisor/plan.h \
	src/supervisor/points.c src/supervisor/points.h \
	src/supervisor/policy.c src/supervisor/policy.h \
	src/supervisor/repeats.c src/supervisor/repeats.h \
	src/supervisor/resume.c src/supervisor/resume.h \
	src/supervisor/rates.c src/supervisor/rates.h \
	src/supervisor/routes.c \
	src/supervisor/starved.c src/supervisor/starved.h \
	src/supervisor/status.c src/supervisor/status.h \
	src/supervisor/suspects.c src/supervisor/suspects.h \
	src/supervisor/watch.c src/supervisor/watch.h \
	src/supervisor/family.c \
	src/supervisor/reload.c src/supervisor/reload.h \
	src/supervisor/supervisor_room.h \
	src/supervisor/supervisor.c src/supervisor/supervisor.h
