# The stages that are built in; each folder is a stage and sees include/sluice only.
noinst_LIBRARIES += libstages.a
libstages_a_CPPFLAGS = -I$(srcdir)/include -D_GNU_SOURCE
libstages_a_CFLAGS = $(AM_CFLAGS) $(SQLITE_CFLAGS)
libstages_a_SOURCES = \
	stages/aggregate/aggregate.c \
	stages/aggregate/bytes.h \
	stages/aggregate/count.c \
	stages/aggregate/fields.c stages/aggregate/fields.h \
	stages/aggregate/function.c stages/aggregate/function.h \
	stages/aggregate/groups.c stages/aggregate/groups.h \
	stages/aggregate/groups_store.c \
	stages/aggregate/marks.c stages/aggregate/marks.h \
	stages/aggregate/moment.c stages/aggregate/moment.h \
	stages/aggregate/result.c \
	stages/aggregate/sink.c stages/aggregate/sink.h \
	stages/aggregate/spec.c stages/aggregate/spec.h \
	stages/cpu/cpu.c \
	stages/dedupe/dedupe.c \
	stages/dedupe/seen.c stages/dedupe/seen.h \
	stages/delay/delay.c \
	stages/exec/answer.c \
	stages/exec/arguments.c \
	stages/exec/lines.c stages/exec/lines.h \
	stages/exec/once.c \
	stages/exec/program.c stages/exec/program.h \
	stages/exec/sink.c \
	stages/exec/source.c \
	stages/exec/stream.c \
	stages/exec/transform.c stages/exec/transform.h \
	stages/fault/fault.c \
	stages/file/beside.c stages/file/beside.h \
	stages/file/codec_options.c stages/file/codec_options.h \
	stages/file/folders.c \
	stages/file/follow.c stages/file/follow.h \
	stages/file/frozen.c \
	stages/file/identity.c stages/file/identity.h \
	stages/file/inputs.c stages/file/inputs.h \
	stages/file/journal.c stages/file/journal.h \
	stages/file/lost.c \
	stages/file/missed.c \
	stages/file/many.c stages/file/many.h \
	stages/file/outputs.c stages/file/outputs.h \
	stages/file/pattern.c stages/file/pattern.h \
	stages/file/place.c stages/file/place.h \
	stages/file/reader.c stages/file/reader.h \
	stages/file/scan.c \
	stages/file/sink.c \
	stages/file/source.c \
	stages/file/tail.c stages/file/tail.h \
	stages/file/tail_read.c \
	stages/file/watch.c stages/file/watch.h \
	stages/file/writer.c stages/file/writer.h \
	stages/filter/filter.c \
	stages/flatten/flatten.c \
	stages/http/answer.c stages/http/answer.h \
	stages/http/address.c stages/http/address.h \
	stages/http/client.c stages/http/client.h \
	stages/http/key.c stages/http/key.h \
	stages/http/packed.c stages/http/packed.h \
	stages/http/pieces.c stages/http/pieces.h \
	stages/http/pointer.c stages/http/pointer.h \
	stages/http/send.c stages/http/send.h \
	stages/http/sink.c stages/http/sink.h \
	stages/http/source.c \
	stages/http/status.c stages/http/status.h \
	stages/http/target.c stages/http/target.h \
	stages/http/template.c stages/http/template.h \
	stages/http/text.c stages/http/text.h \
	stages/http/transform.c \
	stages/inline/inline.c \
	stages/listen/datagram.c \
	stages/listen/frame.c stages/listen/frame.h \
	stages/listen/listen.c stages/listen/listen.h \
	stages/listen/message.c \
	stages/listen/peer.c \
	stages/listen/stream.c \
	stages/listen/syslog.c stages/listen/syslog.h stages/listen/syslog_room.h \
	stages/listen/syslog_data.c \
	stages/listen/syslog_time.c \
	stages/listen/string_put.c stages/listen/string_put.h \
	stages/map/fields.c stages/map/fields.h \
	stages/map/map.c \
	stages/null/null.c \
	stages/route/route.c \
	stages/sample/sample.c \
	stages/sequence/sequence.c \
	stages/spill/disk.c \
	stages/spill/group.c stages/spill/group.h \
	stages/spill/into.c stages/spill/into.h \
	stages/spill/keep.c stages/spill/keep.h \
	stages/spill/open.c \
	stages/spill/sink.c \
	stages/spill/source.c \
	stages/spill/store.c stages/spill/store.h \
	stages/spill/tidy.c \
	stages/sql/conditions.c stages/sql/conditions.h \
	stages/sql/input.c stages/sql/input.h \
	stages/sql/key_text.h \
	stages/sql/names.c stages/sql/names.h \
	stages/sql/sandbox.c stages/sql/sandbox.h \
	stages/sql/sql.c \
	stages/sql/values.c stages/sql/values.h \
	stages/sqlite/meet.c \
	stages/sqlite/page.c stages/sqlite/page.h \
	stages/sqlite/sink.c \
	stages/sqlite/source.c stages/sqlite/source.h \
	stages/sqlite/statement.c stages/sqlite/statement.h \
	stages/stdout/stdout.c \
	stages/unnest/unnest.c

EXTRA_DIST += \
	stages/aggregate/README.md \
	stages/cpu/README.md \
	stages/dedupe/README.md \
	stages/delay/README.md \
	stages/exec/README.md \
	stages/fault/README.md \
	stages/file/README.md \
	stages/filter/README.md \
	stages/flatten/README.md \
	stages/http/README.md \
	stages/inline/README.md \
	stages/listen/README.md \
	stages/map/README.md \
	stages/null/README.md \
	stages/route/README.md \
	stages/sample/README.md \
	stages/sequence/README.md \
	stages/spill/README.md \
	stages/sql/README.md \
	stages/sqlite/README.md \
	stages/stdout/README.md \
	stages/unnest/README.md
