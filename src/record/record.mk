# record: values, batches, codecs. libvalue.a is what the supervisor needs of it: no codec, no C++.
noinst_LIBRARIES += libvalue.a librecord.a
libvalue_a_SOURCES = src/record/value.c src/record/value.h src/record/writer.c
librecord_a_SOURCES = \
	src/record/batch.c src/record/batch.h \
	src/record/codec.c src/record/codec.h \
	src/record/compare.c src/record/compare.h \
	src/record/csv.c \
	src/record/csv_write.c \
	src/record/infer.c src/record/infer.h \
	src/record/fixed.c src/record/fixed.h \
	src/record/fixed_layout.c \
	src/record/typed.c src/record/typed.h \
	src/record/json.cc src/record/json.h \
	src/record/json_read.cc \
	src/record/json_stream.c \
	src/record/print.c \
	src/record/sniff.c \
	src/record/stream.c src/record/stream.h \
	src/record/text.c

RECORD_LIBS = librecord.a libvalue.a $(SIMDJSON_LIBS) $(ZSTD_LIBS) $(ZLIB_LIBS) $(XXHASH_LIBS) $(CSV_LIBS) $(MSGPUCK_LIBS)
