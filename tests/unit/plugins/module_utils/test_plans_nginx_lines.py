# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines of nginx that somebody else has written."""

from __future__ import annotations

from ansible_collections.galaxyops.uwsgi.plugins.module_utils._plans.nginx_lines import server_params

SNIPPET = """
# uwsgi_param HTTP_COMMENT "no";
uwsgi_param HTTP_X_ONE yes;  # and a comment; with a semicolon
uwsgi_param HTTP_X_TWO "a; b {"
    if_not_empty;
location = /own {
    uwsgi_param HTTP_X_INNER no;
    if ($x) { return 404; }
    uwsgi_param HTTP_X_INNER no;
}
auth_basic 'uwsgi_param HTTP_X_QUOTED no;';
uwsgi_param HTTP_X_THREE ${remote_addr}x; uwsgi_param HTTP_X_FOUR 'it\\'s';
"""


def test_those_of_the_server_are_found_and_those_of_blocks_are_not() -> None:
    assert server_params(SNIPPET) == [
        "uwsgi_param HTTP_X_ONE yes;",
        'uwsgi_param HTTP_X_TWO "a; b {" if_not_empty;',
        "uwsgi_param HTTP_X_THREE ${remote_addr}x;",
        "uwsgi_param HTTP_X_FOUR 'it\\'s';",
    ]


def test_without_lines_there_are_none() -> None:
    assert server_params("") == []
