# Manual pages; the reference of options in sluice.conf(5) is made from the stages' own tables.
dist_man_MANS += doc/man/sluice.1 doc/man/sluiced.8 doc/man/sluice@.service.8
nodist_man_MANS = sluice.conf.5
CLEANFILES += sluice.conf.5
EXTRA_DIST += CONTRIBUTING.md doc/architecture.md doc/coming-from.md doc/control.md doc/decisions.md doc/limits.md doc/man/sluice.conf.5.in doc/sandbox.md doc/stores.md doc/trying-a-pipeline.md doc/worked-examples.md doc/writing-a-stage.md

sluice.conf.5: $(srcdir)/doc/man/sluice.conf.5.in sluice-stage$(EXEEXT)
	$(AM_V_GEN)./sluice-stage$(EXEEXT) --reference --built-in >$@.options && \
	sed -e '/^@OPTIONS@$$/{' -e 'r $@.options' -e 'd' -e '}' $(srcdir)/doc/man/sluice.conf.5.in >$@ && rm -f $@.options
all-local: sluice.conf.5
