"""The exporter for Prometheus that the documentation names, set up with the lines that stand there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny_proof import VARIABLES, play_uwsgi
from waiting import until

SECTION = (Path(__file__).parents[3] / "docs" / "watching.md").read_text().partition("\n## Prometheus\n")[2].partition("\n## ")[0]
# What it is called there, and here.
SECTION = SECTION.replace("/run/galaxy/", "/run/tiny/").replace("User=galaxy", "User=tiny")
METRICS = "curl -sf http://127.0.0.1:9117/metrics"


pytestmark = pytest.mark.one_host


def block(language: str) -> str:
    """The code in one language."""
    (found,) = re.findall(rf"(?ms)^```{language}\n(.*?)^```", SECTION)
    return str(found)


def workers(host: Any) -> list[str]:
    """The numbers of the workers that have been started once."""
    return re.findall(r'(?m)^uwsgi_workers_respawn_count\{worker="(\d+)"\} 1\.0$', host.run(METRICS).stdout)


def test_the_exporter_tells_of_the_workers_and_follows_a_handover(host: Any, play: Any, site: Any) -> None:
    options = {**VARIABLES["vars"]["uwsgi_options"], **yaml.safe_load(block("yaml"))["uwsgi_options"]}
    result = play_uwsgi(play, uwsgi_options=options)
    assert result.returncode == 0, result.stdout
    host.check_output(block("sh").replace("\n", " && ").removesuffix(" && "))
    unit = block("ini")
    path = unit.splitlines()[0].removeprefix("# ")
    host.check_output(f"cat > {path} <<'END'\n{unit}END\nsystemctl daemon-reload && systemctl start uwsgi-exporter")
    try:
        assert site.get("/", headers={"Cookie": "session=nobodys-business"}).ok
        until(lambda: workers(host) == ["1", "2", "3"], 30)
        metrics = host.check_output(METRICS)
        for name in sorted(set(re.findall(r"uwsgi_workers_\w+", SECTION)) | {"uwsgi_workers_requests", "uwsgi_workers_rss"}):
            assert re.search(rf"(?m)^{name}\{{.*\}} [\d.e+]+$", metrics), name
        assert re.search(r"(?m)^uwsgi_workers_rss\{.*\} [1-9]", metrics)
        assert "nobodys-business" not in metrics
        before = host.check_output("readlink /run/tiny/stats.sock")
        host.check_output("tiny-web restart")
        assert host.check_output("readlink /run/tiny/stats.sock") != before
        assert workers(host) == ["1", "2", "3"]
    finally:
        host.check_output("systemctl stop uwsgi-exporter && rm -rf /etc/systemd/system/uwsgi-exporter.service /opt/uwsgi_exporter")
