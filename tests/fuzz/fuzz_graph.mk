# graph_decode. Included by tests.mk behind FUZZ_TARGETS.
FUZZ_TARGETS += tests/fuzz/fuzz_graph
tests_fuzz_fuzz_graph_SOURCES = tests/fuzz/fuzz_graph.c $(FUZZ_MAIN)
tests_fuzz_fuzz_graph_LDADD = libgraph.a $(RECORD_LIBS) libbase.a
tests_fuzz_fuzz_graph_LDFLAGS = $(FUZZ_LDFLAGS)
nodist_EXTRA_tests_fuzz_fuzz_graph_SOURCES = dummy.cxx
