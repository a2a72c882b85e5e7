"""Taking the handlers away again."""

from __future__ import annotations

from typing import Any

from runs import changes_nothing

# The handlers that the tests before have left
ABSENT = ("--extra-vars", '{"job_handlers_state": "absent", "job_handlers": [{"id": "handler1"}, {"id": "other0"}]}')


def test_absent_takes_the_handlers_away_and_nothing_else(host: Any, site: Any, play: Any) -> None:
    result = play("molecule/default/handlers_alone.yml", *ABSENT)
    assert result.returncode == 0, result.stdout
    assert host.check_output("systemctl list-units --all --plain --no-legend 'galaxy-handler*'") == ""
    ours = ("/usr/local/sbin/galaxy-handlers", "/etc/galaxy/handlers.json", "/etc/galaxy/handlers.env", "/srv/galaxy/config/job_conf.xml")
    assert [path for path in ours if host.file(path).exists] == []
    assert host.file("/etc/galaxy/web.json").exists
    assert site.get("/api/version").ok
    changes_nothing(play("molecule/default/handlers_alone.yml", *ABSENT))
