# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the roles do, planned on the controller: inputs with types go in, files and configurations come out.

C(web), C(handlers) and C(nginx) are one plan each. They read no file and ask no host, so a test of a plan takes milliseconds.
"""
