# Worked examples; each is run by the tests.
pipelinesdir = $(docdir)/pipelines
dist_pipelines_DATA = \
	etc/pipelines/archive.conf \
	etc/pipelines/bulk.conf \
	etc/pipelines/categories.conf \
	etc/pipelines/countries.conf \
	etc/pipelines/journal.conf \
	etc/pipelines/log-minutes.conf \
	etc/pipelines/orders.conf \
	etc/pipelines/pictures.conf \
	etc/pipelines/prices.conf \
	etc/pipelines/queue-demo.conf \
	etc/pipelines/syslog.conf \
	etc/pipelines/sqlite.conf \
	etc/pipelines/timezones.conf \
	etc/pipelines/zone-names.conf \
	etc/pipelines/unicode.conf
