# config: from a libconfig file to a resolved graph.
# libgraph.a is what the supervisor and the command line need; it knows nothing of libconfig.
noinst_LIBRARIES += libgraph.a libconfigload.a
libgraph_a_CFLAGS = $(AM_CFLAGS) $(XXHASH_CFLAGS)
libgraph_a_SOURCES = \
	src/config/arena.c src/config/arena.h \
	src/config/graph.c src/config/graph.h \
	src/config/graph_decode.c src/config/graph_room.h \
	src/config/graph_join.c \
	src/config/graph_print.c src/config/graph_print.h
libconfigload_a_CFLAGS = $(AM_CFLAGS) $(LIBCONFIG_CFLAGS)
libconfigload_a_SOURCES = \
	src/config/convert.c \
	src/config/describe.c src/config/describe.h \
	src/config/expand.c src/config/expand.h \
	src/config/lexer.c src/config/lexer.h \
	src/config/load.c src/config/load.h src/config/loader.h \
	src/config/mismatch.c \
	src/config/options.c \
	src/config/outputs.c \
	src/config/peers.c src/config/peers.h \
	src/config/problems.c src/config/problems.h \
	src/config/report.c src/config/report.h \
	src/config/resolve.c \
	src/config/rules.c \
	src/config/schema.c src/config/schema.h \
	src/config/shape.c \
	src/config/stores.c \
	src/config/suggest.c src/config/suggest.h \
	src/config/syntax.c src/config/syntax.h \
	src/config/test_records.c \
	src/config/tests.c src/config/tests.h \
	src/config/text.c src/config/text.h \
	src/config/wire.c
