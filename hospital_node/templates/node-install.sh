#!/bin/sh
# Run as root, once, and again after a change in this folder: the node's user, its folders, its
# right to read, and its unit where systemd looks for it.
set -eu
id -u ${user} >/dev/null 2>&1 ||
    useradd --system --user-group --no-create-home --shell /usr/sbin/nologin ${user}
install -d -o ${user} -g ${user} -m 0700 ${state} ${logs}
chmod 0755 ${folder}
for key in node-key tls.key; do
    chown ${user} ${folder}/$$key
    chmod 0600 ${folder}/$$key
done
# Its group reads what the node hands over, counts and goes by, and what is added later; nobody but
# the owner writes there.
for path in ${reads}; do
    [ -e "$$path" ] || continue
    chgrp -R ${user} "$$path"
    chmod -R g+rX,g-w "$$path"
    find "$$path" -type d -exec chmod g+s {} +
done
install -d /etc/systemd/system
install -m 0644 ${folder}/gdshare-node.service /etc/systemd/system/gdshare-node.service
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    systemctl enable gdshare-node
    systemctl restart gdshare-node
else
    echo "no systemd runs here: start what ${folder}/gdshare-node.service says"
fi
