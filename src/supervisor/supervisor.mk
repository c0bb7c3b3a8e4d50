# supervisor: one process per instance, and nothing of the data.
noinst_LIBRARIES += libsupervisor.a
libsupervisor_a_CPPFLAGS = $(AM_CPPFLAGS) -DSLUICE_LIBEXECDIR='"$(pkglibexecdir)"'
libsupervisor_a_CFLAGS = $(AM_CFLAGS) $(SYSTEMD_CFLAGS)
libsupervisor_a_SOURCES = \
	src/supervisor/child.c src/supervisor/child.h \
	src/supervisor/plan.c src/supervisor/plan.h \
	src/supervisor/policy.c src/supervisor/policy.h \
	src/supervisor/resume.c src/supervisor/resume.h \
	src/supervisor/supervisor.c src/supervisor/supervisor.h
