# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Does what get-pip.py does, from the copy of pip that comes with Python.

ansible-test runs it in each empty virtual environment where it cannot download the real one:
pip and setuptools in the versions it asks for then come from the package index.
"""

from __future__ import annotations

import subprocess
import sys

# Bootstrapping here instead would leave ensurepip's PIP_CONFIG_FILE=/dev/null in the environment of the install.
subprocess.check_call([sys.executable, "-m", "ensurepip", "--default-pip"])
requirements = [argument for argument in sys.argv[1:] if argument not in ("--no-setuptools", "--no-wheel")]
sys.exit(subprocess.call([sys.executable, "-m", "pip", "install", *requirements]))
