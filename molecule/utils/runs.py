"""What a run of a playbook has done."""

from __future__ import annotations

import subprocess


def changes_nothing(result: subprocess.CompletedProcess[str]) -> None:
    """See that a run ended well and had nothing to do. A run that fails early changes nothing either."""
    assert result.returncode == 0, result.stdout + result.stderr
    assert "changed=0 " in result.stdout, result.stdout
