# systemd: units, the user, folders, the catalog. Where each goes: configure's --with-systemdsystemunitdir= and the like.
SYSTEMD_UNITS = systemd/sluice@.service systemd/sluice-run@.service
nodist_systemdsystemunit_DATA = $(SYSTEMD_UNITS)
dist_systemdsystemunit_DATA = systemd/sluice.target systemd/sluice-run@.timer
CLEANFILES += $(SYSTEMD_UNITS)
EXTRA_DIST += systemd/sluice@.service.in systemd/sluice-run@.service.in systemd/common.in systemd/sluice.sysusers systemd/sluice.tmpfiles

# Both units have the same walls: common.in.
SUFFIXES = .service .service.in
.service.in.service:
	$(AM_V_GEN)$(MKDIR_P) systemd && \
	sed -e '/^@COMMON@$$/{' -e 'r $(srcdir)/systemd/common.in' -e 'd' -e '}' $< | \
	sed -e 's|@bindir[@]|$(bindir)|g' -e 's|@sbindir[@]|$(sbindir)|g' -e 's|@docdir[@]|$(docdir)|g' >$@
$(SYSTEMD_UNITS): $(srcdir)/systemd/common.in
all-local: $(SYSTEMD_UNITS)

# Both are called sluice.conf where they are installed.
install-data-local:
	$(MKDIR_P) $(DESTDIR)$(sysusersdir) $(DESTDIR)$(tmpfilesdir)
	$(INSTALL_DATA) $(srcdir)/systemd/sluice.sysusers $(DESTDIR)$(sysusersdir)/sluice.conf
	$(INSTALL_DATA) $(srcdir)/systemd/sluice.tmpfiles $(DESTDIR)$(tmpfilesdir)/sluice.conf
uninstall-local:
	rm -f $(DESTDIR)$(sysusersdir)/sluice.conf $(DESTDIR)$(tmpfilesdir)/sluice.conf

dist_catalog_DATA = systemd/sluice.catalog

# Examples: what is in them is the user's to choose.
dropinsdir = $(docdir)/systemd
dist_dropins_DATA = \
	systemd/drop-ins/credential.conf \
	systemd/drop-ins/journal.conf \
	systemd/drop-ins/network.conf \
	systemd/drop-ins/paths.conf \
	systemd/drop-ins/programs.conf \
	systemd/drop-ins/user.conf \
	systemd/sluice-listen@.socket
