# The stages that are modules: each has a library that only its own process shall load. They are built into modules/, where an
# uninstalled sluice-stage finds them. No library is linked for the functions of include/sluice: sluice-stage has them.
stagedir = $(pkglibdir)/stages
stage_PROGRAMS =
MODULE_CPPFLAGS = -I$(srcdir)/include -D_GNU_SOURCE
MODULE_CFLAGS = $(AM_CFLAGS) -fPIC -fvisibility=hidden
MODULE_LINK_FLAGS = $(MODULE_LDFLAGS) -shared

stage_PROGRAMS += modules/journal.so
modules_journal_so_CPPFLAGS = $(MODULE_CPPFLAGS)
modules_journal_so_CFLAGS = $(MODULE_CFLAGS) $(SYSTEMD_CFLAGS)
modules_journal_so_LDFLAGS = $(MODULE_LINK_FLAGS)
modules_journal_so_LDADD = $(SYSTEMD_LIBS)
modules_journal_so_SOURCES = \
	stages/http/text.c stages/http/text.h \
	stages/journal/entry.c stages/journal/entry.h \
	stages/journal/files.c stages/journal/files.h \
	stages/journal/matches.c stages/journal/matches.h \
	stages/journal/sequences.c stages/journal/sequences.h \
	stages/journal/since.c stages/journal/since.h \
	stages/journal/source.c

if HAVE_LIBPQ
stage_PROGRAMS += modules/postgres.so
endif
modules_postgres_so_CPPFLAGS = $(MODULE_CPPFLAGS)
modules_postgres_so_CFLAGS = $(MODULE_CFLAGS) $(LIBPQ_CFLAGS)
modules_postgres_so_LDFLAGS = $(MODULE_LINK_FLAGS)
modules_postgres_so_LDADD = $(LIBPQ_LIBS)
modules_postgres_so_SOURCES = \
	stages/postgres/check.c stages/postgres/check.h \
	stages/postgres/connection.c stages/postgres/connection.h \
	stages/postgres/field.c stages/postgres/field.h \
	stages/postgres/files.c stages/postgres/files.h \
	stages/postgres/ledger.c stages/postgres/ledger.h \
	stages/postgres/literal.c stages/postgres/literal.h \
	stages/postgres/load.c stages/postgres/load.h \
	stages/postgres/module.c \
	stages/postgres/needs.c stages/postgres/needs.h \
	stages/postgres/rows.c stages/postgres/rows.h \
	stages/postgres/sink.c stages/postgres/stages.h \
	stages/postgres/source.c \
	stages/postgres/stream.c stages/postgres/stream.h \
	stages/postgres/table.c stages/postgres/table.h \
	stages/postgres/text.h

if HAVE_PCRE2
stage_PROGRAMS += modules/patterns.so
endif
modules_patterns_so_CPPFLAGS = $(MODULE_CPPFLAGS)
modules_patterns_so_CFLAGS = $(MODULE_CFLAGS) $(PCRE2_CFLAGS)
modules_patterns_so_LDFLAGS = $(MODULE_LINK_FLAGS)
modules_patterns_so_LDADD = $(PCRE2_LIBS)
modules_patterns_so_SOURCES = \
	stages/parse/module.c stages/parse/parse.h \
	stages/parse/parse.c \
	stages/parse/pattern.c stages/parse/pattern.h \
	stages/parse/place.c stages/parse/place.h \
	stages/parse/text.c stages/parse/text.h \
	stages/parse/times.c stages/parse/times.h \
	stages/validate/offences.c \
	stages/validate/rules.c stages/validate/rules.h stages/validate/rules_room.h \
	stages/validate/validate.c

EXTRA_DIST += stages/journal/README.md stages/parse/README.md stages/postgres/README.md stages/validate/README.md

# Files and SQLite always; PostgreSQL where there is libpq.
stage_PROGRAMS += modules/lookup.so
modules_lookup_so_CPPFLAGS = $(MODULE_CPPFLAGS)
modules_lookup_so_CFLAGS = $(MODULE_CFLAGS) $(SQLITE_CFLAGS)
modules_lookup_so_LDFLAGS = $(MODULE_LINK_FLAGS)
modules_lookup_so_LDADD = $(SQLITE_LIBS)
modules_lookup_so_SOURCES = \
	stages/lookup/build.c stages/lookup/build.h \
	stages/lookup/check.c stages/lookup/check.h \
	stages/lookup/keeper.c stages/lookup/keeper.h \
	stages/lookup/key.c stages/lookup/key.h \
	stages/lookup/load.c stages/lookup/load.h \
	stages/lookup/load_sqlite.c \
	stages/lookup/lookup.h \
	stages/lookup/server.h \
	stages/lookup/stage.c \
	stages/lookup/table.c stages/lookup/table.h \
	stages/sqlite/page.c stages/sqlite/page.h
if HAVE_LIBPQ
modules_lookup_so_CFLAGS += $(LIBPQ_CFLAGS)
modules_lookup_so_LDADD += $(LIBPQ_LIBS)
modules_lookup_so_SOURCES += \
	stages/lookup/server.c \
	stages/postgres/check.c stages/postgres/check.h \
	stages/postgres/field.c stages/postgres/field.h \
	stages/postgres/files.c stages/postgres/files.h
else
modules_lookup_so_SOURCES += stages/lookup/server_none.c
endif

if HAVE_LUA
stage_PROGRAMS += modules/lua.so
endif
modules_lua_so_CPPFLAGS = $(MODULE_CPPFLAGS)
modules_lua_so_CFLAGS = $(MODULE_CFLAGS) $(LUA_CFLAGS)
modules_lua_so_LDFLAGS = $(MODULE_LINK_FLAGS)
modules_lua_so_LDADD = $(LUA_LIBS)
modules_lua_so_SOURCES = \
	stages/lua/machine.c stages/lua/machine.h \
	stages/lua/stage.c \
	stages/lua/value.c stages/lua/value.h

EXTRA_DIST += stages/lookup/README.md stages/lua/README.md
