#!/bin/sh
# Run as root, once, and again after a change in this folder: the SuperLink's user, its folders, and
# the files of this folder where systemd, nginx and logrotate look for them.
set -eu
id -u ${user} >/dev/null 2>&1 ||
    useradd --system --user-group --no-create-home --shell /usr/sbin/nologin ${user}
install -d -o ${user} -g ${user} -m 0700 ${state} ${logs}
install -d -o ${user} -g ${user} -m 0750 ${work}
chmod 0755 ${folder}
chown ${user} ${folder}/server.key
chmod 0600 ${folder}/server.key
install -d /etc/systemd/system /etc/nginx/conf.d /etc/logrotate.d
install -m 0644 ${folder}/gdshare-superlink.service /etc/systemd/system/gdshare-superlink.service
install -m 0644 ${folder}/superlink-nginx.conf /etc/nginx/conf.d/gdshare.conf
install -m 0644 ${folder}/superlink.logrotate /etc/logrotate.d/gdshare-superlink
nginx -t -q
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    systemctl enable gdshare-superlink nginx
    systemctl restart gdshare-superlink nginx
else
    echo "no systemd runs here: start what ${folder}/gdshare-superlink.service says, and nginx"
fi
