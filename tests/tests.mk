# tests: unit/ in cmocka, fuzz/ targets whose corpus is replayed here; system/ is run by scripts/test.
if HAVE_CMOCKA
TASK_TEST_LIBS = $(TASK_LIBS) libbase.a $(CMOCKA_LIBS)
LINK_TEST_LIBS = liblink.a libgraph.a $(RECORD_LIBS) libbase.a $(ZMQ_LIBS) $(CMOCKA_LIBS)

UNIT_TESTS = \
	tests/unit/test_address \
	tests/unit/test_advice \
	tests/unit/test_batch \
	tests/unit/test_cancel \
	tests/unit/test_checkpoint \
	tests/unit/test_committed \
	tests/unit/test_compare \
	tests/unit/test_child \
	tests/unit/test_dead \
	tests/unit/test_decoder \
	tests/unit/test_frame \
	tests/unit/test_group \
	tests/unit/test_groups \
	tests/unit/test_infer \
	tests/unit/test_typed \
	tests/unit/test_io \
	tests/unit/test_json \
	tests/unit/test_key \
	tests/unit/test_ledger \
	tests/unit/test_listen \
	tests/unit/test_notify \
	tests/unit/test_order \
	tests/unit/test_outlet \
	tests/unit/test_pattern \
	tests/unit/test_point \
	tests/unit/test_repeats \
	tests/unit/test_sandbox \
	tests/unit/test_secret \
	tests/unit/test_seen \
	tests/unit/test_spans \
	tests/unit/test_states \
	tests/unit/test_status \
	tests/unit/test_suspects \
	tests/unit/test_sync \
	tests/unit/test_task \
	tests/unit/test_timers \
	tests/unit/test_utf8 \
	tests/unit/test_vet \
	tests/unit/test_watch
check_PROGRAMS += $(UNIT_TESTS)
TESTS += $(UNIT_TESTS)

tests_unit_test_address_SOURCES = tests/unit/test_address.c
tests_unit_test_address_LDADD = libbase.a $(CMOCKA_LIBS)
tests_unit_test_advice_SOURCES = tests/unit/test_advice.c src/cli/advice.c
tests_unit_test_advice_CFLAGS = $(AM_CFLAGS)
tests_unit_test_advice_LDADD = $(LINK_TEST_LIBS) -lm
nodist_EXTRA_tests_unit_test_advice_SOURCES = dummy.cxx
tests_unit_test_batch_SOURCES = tests/unit/test_batch.c
tests_unit_test_batch_LDADD = $(LINK_TEST_LIBS)
nodist_EXTRA_tests_unit_test_batch_SOURCES = dummy.cxx
tests_unit_test_checkpoint_SOURCES = tests/unit/test_checkpoint.c
tests_unit_test_checkpoint_LDADD = libstate.a $(LINK_TEST_LIBS) $(SQLITE_LIBS)
nodist_EXTRA_tests_unit_test_checkpoint_SOURCES = dummy.cxx
tests_unit_test_committed_SOURCES = tests/unit/test_committed.c
tests_unit_test_committed_LDADD = libstate.a $(LINK_TEST_LIBS) $(SQLITE_LIBS)
nodist_EXTRA_tests_unit_test_committed_SOURCES = dummy.cxx
tests_unit_test_compare_SOURCES = tests/unit/test_compare.c
tests_unit_test_compare_LDADD = $(LINK_TEST_LIBS) -lm
nodist_EXTRA_tests_unit_test_compare_SOURCES = dummy.cxx
tests_unit_test_dead_SOURCES = tests/unit/test_dead.c
tests_unit_test_dead_LDADD = libstate.a $(LINK_TEST_LIBS) $(SQLITE_LIBS)
nodist_EXTRA_tests_unit_test_dead_SOURCES = dummy.cxx
tests_unit_test_decoder_SOURCES = tests/unit/test_decoder.c
tests_unit_test_decoder_LDADD = $(LINK_TEST_LIBS)
nodist_EXTRA_tests_unit_test_decoder_SOURCES = dummy.cxx
tests_unit_test_frame_SOURCES = tests/unit/test_frame.c
tests_unit_test_frame_LDADD = $(LINK_TEST_LIBS)
nodist_EXTRA_tests_unit_test_frame_SOURCES = dummy.cxx
tests_unit_test_infer_SOURCES = tests/unit/test_infer.c
tests_unit_test_infer_LDADD = $(LINK_TEST_LIBS)
nodist_EXTRA_tests_unit_test_infer_SOURCES = dummy.cxx
tests_unit_test_typed_SOURCES = tests/unit/test_typed.c
tests_unit_test_typed_LDADD = $(LINK_TEST_LIBS)
nodist_EXTRA_tests_unit_test_typed_SOURCES = dummy.cxx
tests_unit_test_json_SOURCES = tests/unit/test_json.c
tests_unit_test_json_LDADD = $(LINK_TEST_LIBS)
nodist_EXTRA_tests_unit_test_json_SOURCES = dummy.cxx
tests_unit_test_ledger_SOURCES = tests/unit/test_ledger.c
tests_unit_test_ledger_LDADD = libengine.a $(LINK_TEST_LIBS)
nodist_EXTRA_tests_unit_test_ledger_SOURCES = dummy.cxx
tests_unit_test_key_SOURCES = tests/unit/test_key.c
tests_unit_test_key_LDADD = libstages.a $(LINK_TEST_LIBS)
nodist_EXTRA_tests_unit_test_key_SOURCES = dummy.cxx
tests_unit_test_seen_SOURCES = tests/unit/test_seen.c
tests_unit_test_seen_LDADD = libstages.a $(LINK_TEST_LIBS)
nodist_EXTRA_tests_unit_test_seen_SOURCES = dummy.cxx
tests_unit_test_listen_SOURCES = tests/unit/test_listen.c
tests_unit_test_listen_LDADD = libstages.a $(LINK_TEST_LIBS)
nodist_EXTRA_tests_unit_test_listen_SOURCES = dummy.cxx
tests_unit_test_notify_SOURCES = tests/unit/test_notify.c
tests_unit_test_notify_LDADD = libsupervisor.a $(LINK_TEST_LIBS) $(SYSTEMD_LIBS) $(JANSSON_LIBS) -lm
nodist_EXTRA_tests_unit_test_notify_SOURCES = dummy.cxx
tests_unit_test_order_SOURCES = tests/unit/test_order.c
tests_unit_test_order_LDADD = $(LINK_TEST_LIBS)
nodist_EXTRA_tests_unit_test_order_SOURCES = dummy.cxx
tests_unit_test_pattern_SOURCES = tests/unit/test_pattern.c stages/file/pattern.c
tests_unit_test_pattern_LDADD = $(LINK_TEST_LIBS)
nodist_EXTRA_tests_unit_test_pattern_SOURCES = dummy.cxx
tests_unit_test_outlet_SOURCES = tests/unit/test_outlet.c
tests_unit_test_outlet_LDADD = $(LINK_TEST_LIBS)
nodist_EXTRA_tests_unit_test_outlet_SOURCES = dummy.cxx
tests_unit_test_repeats_SOURCES = tests/unit/test_repeats.c
tests_unit_test_repeats_LDADD = libsupervisor.a libbase.a $(CMOCKA_LIBS)
tests_unit_test_sandbox_SOURCES = tests/unit/test_sandbox.c
tests_unit_test_sandbox_LDADD = libengine.a $(CONFIG_TEST_LIBS) $(SECCOMP_LIBS)
nodist_EXTRA_tests_unit_test_sandbox_SOURCES = dummy.cxx
tests_unit_test_secret_SOURCES = tests/unit/test_secret.c
tests_unit_test_secret_LDADD = libbase.a $(CMOCKA_LIBS)
tests_unit_test_spans_SOURCES = tests/unit/test_spans.c
tests_unit_test_spans_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=malloc
tests_unit_test_spans_LDADD = $(LINK_TEST_LIBS)
nodist_EXTRA_tests_unit_test_spans_SOURCES = dummy.cxx
tests_unit_test_states_SOURCES = tests/unit/test_states.c
tests_unit_test_states_LDADD = libsupervisor.a $(LINK_TEST_LIBS)
nodist_EXTRA_tests_unit_test_states_SOURCES = dummy.cxx
tests_unit_test_status_SOURCES = tests/unit/test_status.c
tests_unit_test_status_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
tests_unit_test_status_LDADD = libsupervisor.a $(LINK_TEST_LIBS) $(JANSSON_LIBS) -lm
nodist_EXTRA_tests_unit_test_status_SOURCES = dummy.cxx
tests_unit_test_point_SOURCES = tests/unit/test_point.c
tests_unit_test_point_LDADD = libstate.a $(LINK_TEST_LIBS) $(SQLITE_LIBS)
nodist_EXTRA_tests_unit_test_point_SOURCES = dummy.cxx
tests_unit_test_suspects_SOURCES = tests/unit/test_suspects.c
tests_unit_test_suspects_LDADD = libsupervisor.a libengine.a libstate.a $(TASK_LIBS) $(LINK_TEST_LIBS) $(SQLITE_LIBS)
nodist_EXTRA_tests_unit_test_suspects_SOURCES = dummy.cxx
tests_unit_test_utf8_SOURCES = tests/unit/test_utf8.c
tests_unit_test_utf8_LDADD = libbase.a $(CMOCKA_LIBS)
tests_unit_test_vet_SOURCES = tests/unit/test_vet.c
tests_unit_test_vet_LDADD = libengine.a $(CONFIG_TEST_LIBS)
nodist_EXTRA_tests_unit_test_vet_SOURCES = dummy.cxx
tests_unit_test_child_SOURCES = tests/unit/test_child.c
tests_unit_test_child_LDADD = libsupervisor.a $(LINK_TEST_LIBS) $(SYSTEMD_LIBS) $(JANSSON_LIBS) -lm
nodist_EXTRA_tests_unit_test_child_SOURCES = dummy.cxx
tests_unit_test_watch_SOURCES = tests/unit/test_watch.c
tests_unit_test_watch_LDADD = libsupervisor.a $(LINK_TEST_LIBS) $(SYSTEMD_LIBS) $(JANSSON_LIBS) -lm
nodist_EXTRA_tests_unit_test_watch_SOURCES = dummy.cxx
tests_unit_test_cancel_SOURCES = tests/unit/test_cancel.c tests/unit/tasks.h
tests_unit_test_cancel_LDADD = $(TASK_TEST_LIBS)
tests_unit_test_group_SOURCES = tests/unit/test_group.c tests/unit/tasks.h
tests_unit_test_group_LDADD = $(TASK_TEST_LIBS)
tests_unit_test_groups_SOURCES = tests/unit/test_groups.c
tests_unit_test_groups_LDADD = libsupervisor.a libbase.a $(CMOCKA_LIBS)
tests_unit_test_io_SOURCES = tests/unit/test_io.c tests/unit/tasks.h
tests_unit_test_io_LDADD = $(TASK_TEST_LIBS)
tests_unit_test_sync_SOURCES = tests/unit/test_sync.c tests/unit/tasks.h
tests_unit_test_sync_LDADD = $(TASK_TEST_LIBS)
tests_unit_test_task_SOURCES = tests/unit/test_task.c tests/unit/tasks.h
tests_unit_test_task_LDADD = $(TASK_TEST_LIBS)
tests_unit_test_timers_SOURCES = tests/unit/test_timers.c tests/unit/tasks.h
tests_unit_test_timers_LDADD = $(TASK_TEST_LIBS)
include tests/unit/config.mk
TESTS += tests/unit/test_graph tests/unit/test_load tests/unit/test_schema tests/unit/test_units
endif

# Each fuzz target with its corpus: replayed as a test in every build, fuzzed where --enable-fuzzing was given
# (`make fuzz`).
FUZZ_TARGETS = tests/fuzz/fuzz_frame tests/fuzz/fuzz_graph tests/fuzz/fuzz_json tests/fuzz/fuzz_csv tests/fuzz/fuzz_listen
if HAVE_PCRE2
FUZZ_TARGETS += tests/fuzz/fuzz_parse
endif
EXTRA_DIST += tests/fuzz/corpus
if FUZZING
noinst_PROGRAMS += $(FUZZ_TARGETS)
FUZZ_MAIN =
FUZZ_LINK = $(AM_LDFLAGS) -fsanitize=fuzzer
else
check_PROGRAMS += $(FUZZ_TARGETS)
FUZZ_MAIN = tests/fuzz/replay.c
FUZZ_LINK = $(AM_LDFLAGS)
TESTS += tests/fuzz/replay.sh
endif
EXTRA_DIST += tests/fuzz/replay.sh
AM_TESTS_ENVIRONMENT = top_srcdir=$(abs_top_srcdir) top_builddir=$(abs_top_builddir); export top_srcdir top_builddir;
tests_fuzz_fuzz_frame_SOURCES = tests/fuzz/fuzz_frame.c $(FUZZ_MAIN)
tests_fuzz_fuzz_frame_LDADD = liblink.a libgraph.a $(RECORD_LIBS) libbase.a $(ZMQ_LIBS)
tests_fuzz_fuzz_frame_LDFLAGS = $(FUZZ_LINK)
nodist_EXTRA_tests_fuzz_fuzz_frame_SOURCES = dummy.cxx
tests_fuzz_fuzz_graph_SOURCES = tests/fuzz/fuzz_graph.c $(FUZZ_MAIN)
tests_fuzz_fuzz_graph_LDADD = libgraph.a $(RECORD_LIBS) libbase.a
tests_fuzz_fuzz_graph_LDFLAGS = $(FUZZ_LINK)
nodist_EXTRA_tests_fuzz_fuzz_graph_SOURCES = dummy.cxx
tests_fuzz_fuzz_json_SOURCES = tests/fuzz/fuzz_json.c $(FUZZ_MAIN)
tests_fuzz_fuzz_json_LDADD = $(RECORD_LIBS) libbase.a
tests_fuzz_fuzz_json_LDFLAGS = $(FUZZ_LINK)
nodist_EXTRA_tests_fuzz_fuzz_json_SOURCES = dummy.cxx
tests_fuzz_fuzz_csv_SOURCES = tests/fuzz/fuzz_csv.c $(FUZZ_MAIN)
tests_fuzz_fuzz_csv_LDADD = $(RECORD_LIBS) libbase.a
tests_fuzz_fuzz_csv_LDFLAGS = $(FUZZ_LINK)
nodist_EXTRA_tests_fuzz_fuzz_csv_SOURCES = dummy.cxx
tests_fuzz_fuzz_listen_SOURCES = tests/fuzz/fuzz_listen.c $(FUZZ_MAIN)
tests_fuzz_fuzz_listen_LDADD = libstages.a $(RECORD_LIBS) libbase.a
tests_fuzz_fuzz_listen_LDFLAGS = $(FUZZ_LINK)
nodist_EXTRA_tests_fuzz_fuzz_listen_SOURCES = dummy.cxx
tests_fuzz_fuzz_parse_SOURCES = tests/fuzz/fuzz_parse.c stages/parse/pattern.c stages/parse/text.c stages/parse/times.c $(FUZZ_MAIN)
tests_fuzz_fuzz_parse_CFLAGS = $(AM_CFLAGS) $(PCRE2_CFLAGS)
tests_fuzz_fuzz_parse_LDADD = $(RECORD_LIBS) libbase.a $(PCRE2_LIBS)
tests_fuzz_fuzz_parse_LDFLAGS = $(FUZZ_LINK)
nodist_EXTRA_tests_fuzz_fuzz_parse_SOURCES = dummy.cxx

FUZZ_SECONDS = 60
fuzz: all
	for target in $(FUZZ_TARGETS); do \
		mkdir -p found/$$(basename $$target) && \
		$$target -max_total_time=$(FUZZ_SECONDS) found/$$(basename $$target) $(srcdir)/tests/fuzz/corpus/$$(basename $$target) || exit 1; \
	done
# The model of the link, larger than runtests has it.
model:
	$(srcdir)/tests/model/run --large
# What this machine's kernel cannot show, in a virtual machine.
check-vm: all
	$(srcdir)/tests/vm/run $(builddir)
clean-local:
	rm -rf vm
EXTRA_DIST += tests/vm/run tests/vm/vm tests/vm/init
.PHONY: fuzz model check-vm
