# Stages out of tree, as doc/writing-a-stage.md has them. Not built here: the tests do that with the document's own commands.
EXTRA_DIST += \
	examples/stage-lookup/Makefile examples/stage-lookup/README.md examples/stage-lookup/lookup.c \
	examples/stage-lookup/pipeline.conf examples/stage-lookup/cities/London examples/stage-lookup/cities/Paris \
	examples/stage-upper/Makefile examples/stage-upper/README.md examples/stage-upper/upper.c \
	examples/stage-upper/pipeline.conf examples/stage-upper/people.ndjson examples/stage-upper/expected.ndjson
