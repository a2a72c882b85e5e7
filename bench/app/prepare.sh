#!/bin/sh
# Put the application on a bare host, with what all servers need.
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -y -q --no-install-recommends wrk python3-venv curl
id bench >/dev/null 2>&1 || useradd --system --home-dir /srv/bench bench
cd /srv/bench
[ -x venv/bin/pip ] || python3 -m venv venv
venv/bin/pip install -q -r requirements.txt
for instance in bench benchtcp benchhttp; do
    [ -e "$instance.ini" ] || cp app.ini "$instance.ini"
done
mkdir -p static
head -c 20000 /dev/zero | tr '\0' x > static/file.txt
