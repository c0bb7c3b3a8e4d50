# Stages out of tree, as doc/writing-a-stage.md has them. Not built here: the tests do that with the document's own commands.
EXTRA_DIST += \
	examples/stage-ask/Makefile examples/stage-ask/README.md examples/stage-ask/ask.c \
	examples/stage-ask/pipeline.conf examples/stage-ask/cities/London examples/stage-ask/cities/Paris \
	examples/stage-upper/Makefile examples/stage-upper/README.md examples/stage-upper/upper.c \
	examples/stage-upper/pipeline.conf examples/stage-upper/people.ndjson examples/stage-upper/expected.ndjson
