# Socket activation, as an example: ports and names are the user's.
systemdexamplesdir = $(docdir)/systemd
dist_systemdexamples_DATA = systemd/sluice-listen@.socket
