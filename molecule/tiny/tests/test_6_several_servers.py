"""Two servers on one host: each has its own settings, and what happens to one does not touch the other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from runs import changes_nothing
from slots import serving

PREPARE = """
set -eu
for name in one two; do
    mkdir -p /srv/$name/static /srv/$name/data
    echo $name > /srv/$name/static/name.txt
    echo data of $name > /srv/$name/data/data.txt
    sed 's/^CODE = .*/CODE = ""/' /srv/tiny/tiny_app.py > /srv/$name/tiny_app.py
    printf '[app:main]\\npaste.app_factory = tiny_app:app_factory\\nversion = %s\\n' $name > /srv/$name/tiny.ini
    id $name >/dev/null 2>&1 || useradd --system --home-dir /srv/$name $name
    test -x /srv/$name/venv/bin/pip || { python3 -m venv /srv/$name/venv && /srv/$name/venv/bin/pip install --quiet PasteDeploy; }
done
"""
OURS = (
    "find /etc /usr/local /run /var/www /var/lib/galaxyops -xdev ! -path '/run/systemd/*' -regex '.*/{name}\\([.-].*\\)?'; "
    "systemctl list-units --type=service,socket --all --plain --no-legend '{name}-*'"
)


pytestmark = pytest.mark.one_host("trixie")


@pytest.fixture(autouse=True, scope="module")
def servers(host: Any, play: Any) -> Iterator[None]:
    """What the servers serve; the host is left as it was found."""
    host.check_output("cat > /tmp/prepare.sh <<'END'\n" + PREPARE + "END\nsh /tmp/prepare.sh")
    yield
    servers = [{"name": server, "state": "absent"} for server in ("one", "two")]
    assert play("molecule/tiny/servers.yml", "--extra-vars", json.dumps({"galaxy_servers": servers})).returncode == 0


def masters(host: Any) -> dict[str, str]:
    """The main process of each server."""
    return {name: master(host, name) for name in ("one", "two")}


def master(host: Any, name: str) -> str:
    """The main process of a server."""
    return str(host.check_output(f"systemctl show --property=MainPID --value {name}-web@{serving(host, name)}"))


def answer(site: Any, name: str) -> Any:
    """What a server answers."""
    response = site.get("/", headers={"Host": f"{name}.example.org"})
    assert response.status_code == 200, response.text
    return response.json()


def test_each_serves_under_its_own_name_with_its_own_settings(host: Any, play: Any, site: Any) -> None:
    result = play("molecule/tiny/servers.yml")
    assert result.returncode == 0, result.stdout
    for name in ("one", "two"):
        assert answer(site, name)["version"] == name
    assert host.check_output("sed -n 's/^processes = //p' /srv/one/tiny.ini /srv/two/tiny.ini").split() == ["1", "2"]
    owners = host.check_output("stat -c %U /run/one/web.sock /run/two/web.sock").split()
    assert owners == ["one", "two"]


def test_a_restart_of_one_leaves_the_other_alone(host: Any) -> None:
    before = masters(host)
    host.check_output("two-web restart")
    after = masters(host)
    assert after["one"] == before["one"]
    assert after["two"] != before["two"]


def test_a_change_of_one_leaves_the_other_alone(host: Any, play: Any, site: Any) -> None:
    before = masters(host)
    host.check_output("sed -i 's/^version = .*/version = 1.1/' /srv/one/tiny.ini")
    assert play("molecule/tiny/servers.yml").returncode == 0
    assert answer(site, "one")["version"] == "1.1"
    after = masters(host)
    assert after["one"] != before["one"]
    assert after["two"] == before["two"]


def test_the_restart_playbook_restarts_the_one_that_is_named(host: Any, play: Any) -> None:
    before = masters(host)
    servers = [{"name": "one"}, {"name": "two"}]
    variables = {"site_hosts": "molecule", "restart": "web", "galaxy_servers": servers, "only_servers": ["one"]}
    result = play("playbooks/restart.yml", "--extra-vars", json.dumps(variables))
    assert result.returncode == 0, result.stdout
    after = masters(host)
    assert after["one"] != before["one"]
    assert after["two"] == before["two"]


# Listed the other way round on purpose.
ON_ONE_SITE = [
    {
        "name": name,
        "nginx_proxy_prefix": f"/{name}",
        "nginx_proxy_static_dir": f"/srv/{name}/static",
        "nginx_proxy_x_accel_dirs": [f"/srv/{name}/data"],
        "nginx_proxy_log_format": "json",
        **site,
    }
    for name, site in (("two", {"nginx_proxy_beside": "one"}), ("one", {"nginx_proxy_server_names": ["one.example.org"], "uwsgi_processes": 1}))
]


def test_two_are_served_on_one_site_by_their_prefixes(host: Any, play: Any, site: Any) -> None:
    """Each had a site of its own before."""
    before = masters(host)
    result = play("molecule/tiny/servers.yml", "--extra-vars", json.dumps({"galaxy_servers": ON_ONE_SITE}))
    assert result.returncode == 0, result.stdout
    again = play("molecule/tiny/servers.yml", "--extra-vars", json.dumps({"galaxy_servers": ON_ONE_SITE}))
    changes_nothing(again)
    assert masters(host) == before
    versions = {name: host.check_output(f"sed -n 's/^version = //p' /srv/{name}/tiny.ini") for name in ("one", "two")}

    def get(path: str) -> Any:
        return site.get(path, headers={"Host": "one.example.org", "X-Forwarded-Proto": "https"}, allow_redirects=False)

    for name, base in (("one", ""), ("two", "/two")):
        # The last one is a static file that is not there.
        for path in ("/", "/a%20b/c?d=e", "/static/none.txt"):
            found = get(f"/{name}{path}").json()
            assert found["version"] == versions[name]
            environ = found["environ"]
            assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == (f"/{name}", path.partition("?")[0].replace("%20", " "))
            assert (environ["HTTP_HOST"], environ["wsgi.url_scheme"], environ["HTTP_X_FORWARDED_PROTO"]) == ("one.example.org", "http", "http")
        redirect = get(f"/{name}?d=e")
        assert (redirect.status_code, redirect.headers["Location"]) == (308, f"/{name}/?d=e")
        assert get(f"/{name}/static/name.txt").text == f"{name}\n"
        assert get(f"/{name}/download?base={base}&file=/srv/{name}/data/data.txt").text == f"data of {name}\n"
        assert get(f"{base}/_x_accel_redirect/srv/{name}/data/data.txt").status_code == 404
        log = [json.loads(line) for line in host.check_output(f"tail -n 4 /var/log/nginx/{name}.access.log").splitlines()]
        assert f"/{name}/static/name.txt" in [entry["uri"] for entry in log]


def test_one_does_not_tell_the_other_on_its_site_who_the_user_is(host: Any, play: Any) -> None:
    """Both ways round: the one with the site gets the header, or the other one gets its user from it."""
    header = "uwsgi_param HTTP_X_SSO_USER $host;"
    host.check_output(
        "sed '/^paste.app_factory/a use_remote_user = True\\nremote_user_header = HTTP_X_SSO_USER' /srv/two/tiny.ini > /srv/two/user.ini"
    )
    two = {
        **ON_ONE_SITE[0],
        "nginx_proxy_config_file": "/srv/two/user.ini",
        "nginx_proxy_remote_user": "$remote_user",
        "nginx_proxy_location_snippet": "auth_basic Staff;\nauth_basic_user_file /etc/nginx/none;\n",
    }
    one = {**ON_ONE_SITE[1], "nginx_proxy_server_snippet": header}

    def run(*servers: dict[str, Any]) -> str:
        result = play("molecule/tiny/servers.yml", "--extra-vars", json.dumps({"galaxy_servers": servers}))
        return f"rc={result.returncode} {' '.join((result.stdout + result.stderr).split())}"

    for first, second in (((ON_ONE_SITE[0], one), (two, one)), ((two, ON_ONE_SITE[1]), (two, one))):
        done = run(*first)
        assert done.startswith("rc=0"), done
        refused = run(*second)
        assert not refused.startswith("rc=0"), refused
        assert "the nginx_proxy_server_snippet of one sets a header that tells another instance on its site who the user is" in refused
        assert "(HTTP_X_SSO_USER): remove the uwsgi_param from the snippet" in refused
        assert "changed=0 " in refused
        back = run(*ON_ONE_SITE)
        assert back.startswith("rc=0"), back


def test_the_server_with_the_site_is_not_removed_while_another_is_served_on_it(play: Any) -> None:
    variables = {"site_hosts": "molecule", "galaxy_servers": [{"name": "one", "state": "absent"}]}
    result = play("playbooks/site.yml", "--extra-vars", json.dumps(variables))
    assert result.returncode != 0
    assert "The site of one has two too, which would be gone with it: remove that first" in result.stdout, result.stdout
    assert "changed=0 " in result.stdout, result.stdout


def test_removing_one_leaves_the_other_alone(host: Any, play: Any, site: Any) -> None:
    # Its own page says so, while nobody is there to answer.
    host.check_output("systemctl stop two-web.socket 'two-web@*'")
    page = site.get("/two/", headers={"Host": "one.example.org"})
    assert (page.status_code, page.headers["Retry-After"]) == (503, "30")
    assert site.get("/one/", headers={"Host": "one.example.org"}).status_code == 200
    before = master(host, "one")
    servers = [{"name": "two", "state": "absent"}, ON_ONE_SITE[1]]
    result = play("molecule/tiny/servers.yml", "--extra-vars", json.dumps({"galaxy_servers": servers}))
    assert result.returncode == 0, result.stdout
    assert host.check_output(OURS.format(name="two")) == ""
    assert host.check_output("cat /srv/two/tiny.ini").count("[") == 1
    assert not host.file("/etc/nginx/galaxyops").exists
    assert site.get("/one/", headers={"Host": "one.example.org"}).status_code == 200
    assert site.get("/two/", headers={"Host": "one.example.org"}).status_code == 404
    assert master(host, "one") == before


def test_site_finds_what_two_servers_would_share_before_anything_changes(host: Any, play: Any) -> None:
    """The whole of site.yml, which stops at its checks: the variables say that both have one configuration file."""
    # Not the one of the application that this host serves already: that is refused for the first server.
    path = "/srv/tiny/shared.ini"
    host.check_output(f"cp -a /srv/tiny/tiny.ini {path}")
    variables = {"site_hosts": "molecule", "uwsgi_config_file": path, "galaxy_servers": [{"name": "three"}, {"name": "four"}]}
    result = play("playbooks/site.yml", "--extra-vars", json.dumps(variables))
    host.check_output(f"rm {path}")
    assert result.returncode != 0
    assert "the servers three and four would share the configuration file /srv/tiny/shared.ini: give four a uwsgi_config_file" in result.stdout, result.stdout
    assert "changed=0 " in result.stdout, result.stdout
