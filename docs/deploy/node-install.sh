#!/bin/sh
# Run as root, once, and again after a change in this folder: the node's user, its folders, its
# right to read, and its unit where systemd looks for it.
set -eu
id -u gdshare-node >/dev/null 2>&1 ||
    useradd --system --user-group --no-create-home --shell /usr/sbin/nologin gdshare-node
install -d -o gdshare-node -g gdshare-node -m 0700 /var/lib/gdshare-node /var/log/gdshare-node
chmod 0755 /etc/gdshare
for key in node-key tls.key; do
    chown gdshare-node /etc/gdshare/$key
    chmod 0600 /etc/gdshare/$key
done
# Its group reads what the node hands over, counts and goes by, and what is added later; nobody but
# the owner writes there.
for path in /srv/gdshare/outbox /srv/gdshare/outbox-announcements /srv/gdshare/cohort /srv/gdshare/peers /srv/gdshare/peers-ledger.jsonl /srv/gdshare/peers-ledger.jsonl.head; do
    [ -e "$path" ] || continue
    chgrp -R gdshare-node "$path"
    chmod -R g+rX,g-w "$path"
    find "$path" -type d -exec chmod g+s {} +
done
install -d /etc/systemd/system
install -m 0644 /etc/gdshare/gdshare-node.service /etc/systemd/system/gdshare-node.service
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    systemctl enable gdshare-node
    systemctl restart gdshare-node
else
    echo "no systemd runs here: start what /etc/gdshare/gdshare-node.service says"
fi
