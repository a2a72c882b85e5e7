# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every role's README tells its options as they are."""

from __future__ import annotations

from pathlib import Path

import pytest
import role_readme


@pytest.mark.parametrize("role", sorted(path.name for path in role_readme.ROLES.glob("[!.]*")))
def test_option_table_is_current(role: str, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = role_readme.main(["--check", str(root / "roles" / role)])
    assert status == 0, "".join(capsys.readouterr())
