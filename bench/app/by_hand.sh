#!/bin/sh
# What the roles uwsgi and nginx_proxy do to a bare host, by hand, with the files that they have written elsewhere.
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get install -y -q --no-install-recommends python3-packaging python3-venv
/srv/bench/venv/bin/pip install -q 'pyuwsgi>=2.0.28,<2.1'
apt-get install -y -q nginx
tar -xf /root/outcome.tar -C /
sed -i 's/worker_connections 768/worker_connections 8192/' /etc/nginx/nginx.conf
rm -f /etc/nginx/sites-enabled/default
systemctl daemon-reload
systemctl enable -q --now bench-web.socket bench-web.service
nginx -t -q
systemctl reload nginx
curl -fsS --retry 20 --retry-all-errors --retry-delay 1 -o /dev/null http://127.0.0.1/fast
