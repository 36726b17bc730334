#!/bin/sh
# Run as root, once, and again after a change in this folder: the SuperLink's user, its folders, and
# the files of this folder where systemd, nginx and logrotate look for them.
set -eu
id -u gdshare >/dev/null 2>&1 ||
    useradd --system --user-group --no-create-home --shell /usr/sbin/nologin gdshare
install -d -o gdshare -g gdshare -m 0700 /var/lib/gdshare /var/log/gdshare
install -d -o gdshare -g gdshare -m 0750 /srv/gdshare
chmod 0755 /etc/gdshare
chown gdshare /etc/gdshare/server.key
chmod 0600 /etc/gdshare/server.key
install -d /etc/systemd/system /etc/nginx/conf.d /etc/logrotate.d
install -m 0644 /etc/gdshare/gdshare-superlink.service /etc/systemd/system/gdshare-superlink.service
install -m 0644 /etc/gdshare/superlink-nginx.conf /etc/nginx/conf.d/gdshare.conf
install -m 0644 /etc/gdshare/superlink.logrotate /etc/logrotate.d/gdshare-superlink
nginx -t -q
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    systemctl enable gdshare-superlink nginx
    systemctl restart gdshare-superlink nginx
else
    echo "no systemd runs here: start what /etc/gdshare/gdshare-superlink.service says, and nginx"
fi
