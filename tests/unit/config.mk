# The config room: units, option tables, the graph, loading. Included by tests.mk behind UNIT_TESTS.
UNIT_TESTS += \
	tests/unit/test_graph \
	tests/unit/test_load \
	tests/unit/test_schema \
	tests/unit/test_units

# sl_print is C++ behind its header: an empty C++ source makes automake link with the C++ compiler.
CONFIG_TEST_LIBS = libconfigload.a libgraph.a $(RECORD_LIBS) libbase.a $(LIBCONFIG_LIBS) $(CMOCKA_LIBS)

tests_unit_test_graph_SOURCES = tests/unit/test_graph.c
tests_unit_test_graph_LDADD = $(CONFIG_TEST_LIBS)
nodist_EXTRA_tests_unit_test_graph_SOURCES = dummy.cxx
tests_unit_test_load_SOURCES = tests/unit/test_load.c
tests_unit_test_load_LDADD = $(CONFIG_TEST_LIBS)
nodist_EXTRA_tests_unit_test_load_SOURCES = dummy.cxx
tests_unit_test_schema_SOURCES = tests/unit/test_schema.c
tests_unit_test_schema_LDADD = $(CONFIG_TEST_LIBS)
nodist_EXTRA_tests_unit_test_schema_SOURCES = dummy.cxx
tests_unit_test_units_SOURCES = tests/unit/test_units.c
tests_unit_test_units_LDADD = libbase.a $(CMOCKA_LIBS)
