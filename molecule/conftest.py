"""What the scenarios' tests share: the hosts, their sites as seen from outside, and further Ansible runs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest
import requests
import testinfra
import urllib3
import yaml
from xdist.scheduler import LoadScopeScheduling

TOP = Path(__file__).resolve().parents[1]
SCENARIO = os.environ["MOLECULE_SCENARIO_NAME"]
sys.path.insert(0, str(TOP / "molecule" / "utils"))

from load import Load, Rates  # noqa: E402 -- it lies where the line above says

HOSTS: dict[str, Any] = yaml.safe_load((TOP / "molecule" / SCENARIO / "hosts.yml").read_text())["molecule"]["hosts"]


def pytest_configure(config: pytest.Config) -> None:
    """Keep what people may want to look at after a run, and nothing that an earlier run knew of its hosts."""
    urllib3.disable_warnings()  # the certificates of test hosts vouch for themselves
    config.addinivalue_line("markers", "load(**rates): how much load the fixture of that name puts on the site; see Rates")
    config.addinivalue_line("markers", "one_host(name): what does not depend on the host is tested on this one, or else on the first")
    if hasattr(config, "workerinput"):  # the process that has started this one has done the rest
        return
    config.pluginmanager.register(Notes(config))
    (TOP / "build" / "screenshots").mkdir(parents=True, exist_ok=True)
    shutil.rmtree(TOP / "build" / "facts" / SCENARIO, ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what one host is enough for on the others."""
    items[:] = [item for item in items if belongs(item)]


def belongs(item: pytest.Item) -> bool:
    """Whether a test is to be run with the host that it has got; the spare one is for those that name it."""
    marker = item.get_closest_marker("one_host")
    wanted = (marker.args or list(HOSTS))[:1] if marker else HOSTS.keys() - {"spare"}
    return not hasattr(item, "callspec") or item.callspec.params["name"] in wanted


class HostByHost(LoadScopeScheduling):  # type: ignore[misc]
    """Hosts are tested side by side, each by a process of its own and in the order of its tests."""

    def _split_scope(self, nodeid: str) -> str:
        parameters = nodeid.partition("[")[2].rstrip("]").split("-")
        return next((name for name in HOSTS if name in parameters), nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> HostByHost:
    """Have xdist ask the class above where a test belongs."""
    return HostByHost(config, log)


class Notes:
    """Print what tests have noted as soon as they have ended, whichever process has run them."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Print the notes of one test."""
        terminal = self.config.pluginmanager.get_plugin("terminalreporter")
        if report.when == "teardown" and terminal:
            for _name, text in report.user_properties:
                terminal.ensure_newline()
                terminal.write_line(f"    {report.nodeid.rpartition('::')[2]}: {text}")


@pytest.fixture
def note(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Note what a person may want to know of a test that has passed."""

    def add(text: str) -> None:
        request.node.user_properties.append(("note", text))

    return add


@pytest.fixture(scope="session", params=HOSTS)
def name(request: pytest.FixtureRequest) -> str:
    """The inventory name of a host."""
    return str(request.param)


def container_of(name: str) -> str:
    """The container that is a host."""
    return f"{os.environ['CONTAINER_PREFIX']}-{SCENARIO}-{name}"


@pytest.fixture(scope="session")
def container(name: str) -> str:
    """The container that is the host."""
    return container_of(name)


@pytest.fixture(scope="session")
def all_hosts() -> list[Any]:
    """Every host, in the order of the inventory, for what concerns them together."""
    return [testinfra.get_host(f"podman://{container_of(name)}") for name in HOSTS]


@pytest.fixture(scope="session")
def manager(name: str) -> str:
    """What runs the processes on the host."""
    return str((HOSTS[name] or {}).get("uwsgi_service_manager", "systemd"))


@pytest.fixture(scope="session")
def host(container: str) -> Any:
    """The host, as testinfra sees it."""
    return testinfra.get_host(f"podman://{container}")


class Site:
    """The site on a host, as the world sees it."""

    def __init__(self, container: str) -> None:
        self.container = container

    def address(self, port: int) -> str:
        """Where a port of the host is reached from here; this may change when the host is restarted."""
        published = subprocess.run(["podman", "port", self.container, str(port)], capture_output=True, text=True, check=True).stdout
        return published.splitlines()[0]

    @property
    def url(self) -> str:
        """Where the site answers."""
        return f"http://{self.address(80)}"

    @property
    def tls_url(self) -> str:
        """Where the site answers with TLS."""
        return f"https://{self.address(443)}"

    def get(self, path: str, **options: Any) -> requests.Response:
        """GET a path of the site."""
        return requests.get(self.url + path, **{"timeout": 60, **options})

    def tls_get(self, path: str, **options: Any) -> requests.Response:
        """GET a path of the site with TLS, whose certificate vouches for itself."""
        return requests.get(self.tls_url + path, **{"timeout": 60, "verify": False, **options})

    def post(self, path: str, **options: Any) -> requests.Response:
        """POST to a path of the site."""
        return requests.post(self.url + path, **{"timeout": 300, **options})

    def wait(self, path: str, seconds: int = 180) -> requests.Response:
        """Wait until the path answers with success."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                response = self.get(path)
                if response.ok or time.monotonic() > deadline:
                    response.raise_for_status()
                    return response
            except (requests.ConnectionError, requests.Timeout):
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.5)


@pytest.fixture(scope="session")
def site(container: str) -> Site:
    """The site on the host, as the world sees it."""
    return Site(container)


Play = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def play(name: str) -> Play:
    """Run a playbook of the scenario once more against the host, with the variables of the scenario or of another inventory."""

    def run(playbook: str, *arguments: str, hosts: str = "hosts.yml") -> subprocess.CompletedProcess[str]:
        path = playbook if playbook.startswith("galaxyops.") else str(TOP / playbook)
        command = ["ansible-playbook", "--limit", name, path, *arguments]
        for inventory in (TOP / "molecule" / SCENARIO / hosts, TOP / "molecule" / "inventory"):
            command += ["--inventory", str(inventory)]
        # Facts do not change while the tests run: gathering them once saves each run a few seconds.
        cache = {"ANSIBLE_CACHE_PLUGIN": "ansible.builtin.jsonfile", "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(TOP / "build" / "facts" / SCENARIO)}
        if "--flush-cache" in arguments:
            cache = {}  # such a run is about facts that do not hold for the others
        environment = {**os.environ, **cache, "ANSIBLE_CONFIG": str(TOP / "ansible.cfg"), "ANSIBLE_FORCE_COLOR": "0", "NO_COLOR": "1"}
        process = subprocess.run(command, cwd=TOP, env=environment, capture_output=True, text=True, check=False)
        assert "DEPRECATION WARNING" not in process.stdout + process.stderr, process.stderr
        return process

    return run


@pytest.fixture
def load(request: pytest.FixtureRequest, site: Site, name: str, note: Callable[[str], None]) -> Iterator[Load]:
    """Load on the site while a test runs. What it found is printed, and kept with every request in build/load."""
    marker = request.node.get_closest_marker("load")
    rates = dict(marker.kwargs) if marker else {}
    running = Load(site.tls_url if rates.pop("tls", False) else site.url, Rates(**rates)).start()
    # What happens in a window is compared with what was before it.
    time.sleep(2)
    yield running
    report = running.stop()
    test = "-".join(part for part in re.split(r"[^\w.]+", request.node.name) if part and part != name)
    note(str(report))
    report.write(TOP / "build" / "load" / f"{SCENARIO}-{name}-{test}.json")


@pytest.fixture
def restore(host: Any) -> Iterator[Callable[[str], None]]:
    """Remember files on the host, and put them back as they were after the test."""
    kept: list[str] = []

    def remember(path: str) -> None:
        host.check_output("cp -a %s %s", path, f"{path}.before-test")
        kept.append(path)

    yield remember
    for path in kept:
        host.check_output("rm -rf %s && mv %s %s", path, f"{path}.before-test", path)


@pytest.fixture(scope="session")
def admin_key(host: Any) -> str:
    """The administrator's key that was made on the host."""
    return str(host.check_output("sed -n 's/^bootstrap_admin_api_key = //p' /srv/galaxy/config/galaxy.ini"))
