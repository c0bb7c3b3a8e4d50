# Worked examples; each is run by the tests.
pipelinesdir = $(docdir)/pipelines
