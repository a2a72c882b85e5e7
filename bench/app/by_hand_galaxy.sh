#!/bin/sh
# What playbooks/site.yml does to a bare host, by hand, with the files that it has written elsewhere.
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get install -y -q --no-install-recommends python3-packaging python3-venv
useradd --system --home-dir /srv/galaxy/home --shell /usr/sbin/nologin galaxy
apt-get install -y -q nginx
tar -xf /root/outcome.tar -C /
build=$(ls /srv/galaxy/venvs/*.txt)
build=${build%.txt}
python3 -m venv "$build"
"$build/bin/pip" install -q --no-deps -r "$build.txt"
"$build/bin/galaxy-web-client-install" "$build/static"
ln -s welcome.sample.html "$build/static/welcome.html"
ln -s "$build" /srv/galaxy/venv
"$build/bin/pip" install -q 'pyuwsgi>=2.0.28,<2.1'
systemctl daemon-reload
# On an empty database one process has to make the tables.
systemctl enable -q --now galaxy-handler@handler0.service
systemctl enable -q --now galaxy-handler@handler1.service
systemctl enable -q --now galaxy-web.socket galaxy-web.service
sed -i 's/worker_connections 768/worker_connections 8192/' /etc/nginx/nginx.conf
rm -f /etc/nginx/sites-enabled/default
nginx -t -q
systemctl reload nginx
# nginx turns to its new configuration in its own time; until then another site answers.
for _ in $(seq 300); do
    if /usr/bin/python3 -c 'import urllib.request; urllib.request.urlopen("http://127.0.0.1/api/version").read()' 2>/dev/null; then
        exit 0
    fi
    sleep 0.1
done
echo "Galaxy does not answer" >&2
exit 1
