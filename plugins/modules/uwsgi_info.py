#!/usr/bin/python
# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell what the workers of uWSGI do."""

from __future__ import annotations

DOCUMENTATION = r"""
module: uwsgi_info
short_description: Tell what the workers of uWSGI do
version_added: 1.1.0
description:
  - Asks the stats server of the web processes of an instance, or of any other uWSGI, how many workers are busy, how many requests
    they have served, how many of these ended in an exception, how much memory they take, and how many requests wait.
  - The stats server would also show the cookies and keys of the requests under way. They are never returned.
author:
  - Galaxy operators (@galaxyops)
extends_documentation_fragment:
  - galaxyops.uwsgi._attributes
  - galaxyops.uwsgi._attributes.read_only
options:
  instance:
    description:
      - The instance of the role P(galaxyops.uwsgi.uwsgi#role), whose slots have their stats sockets below C(/run/<instance>).
      - During a handover there are two slots, and both are told of.
    type: str
  address:
    description:
      - The stats server of any uWSGI on this host, as its option C(stats) has it, such as V(/run/wiki/stats.sock), V(127.0.0.1:9191),
        V(:9191), V([::1]:9191) or the name of an abstract socket, V(@stats). An address that stands for every address of the host is asked on loopback.
    type: str
  timeout:
    description:
      - How many seconds a stats server may take to answer.
    type: int
    default: 5
  run_dir:
    description:
      - The directory in which O(instance) has its own.
    type: path
    default: /run
seealso:
  - name: uWSGI's stats server
    description: Where the numbers come from.
    link: https://uwsgi-docs.readthedocs.io/en/latest/StatsServer.html
notes:
  - Only root and the user of the application may read the sockets of an O(instance).
  - What it cannot tell is V(null), such as the C(pss) of processes of another user.
"""

EXAMPLES = r"""
- name: Ask the web processes
  galaxyops.uwsgi.uwsgi_info:
    instance: galaxy
  become: true
  register: galaxy_web

- name: Fail where all threads are busy and requests wait
  ansible.builtin.assert:
    that: galaxy_web.listen_queue == 0 or galaxy_web.busy_threads < galaxy_web.threads
    fail_msg: "{{ galaxy_web.listen_queue }} requests wait: raise uwsgi_processes or uwsgi_threads"

- name: Show what has been under way for more than a minute
  ansible.builtin.debug:
    msg: "{{ galaxy_web.servers | map(attribute='workers_info') | flatten | map(attribute='running') | flatten | selectattr('seconds', '>', 60) }}"

- name: Ask another uWSGI, with stats = 127.0.0.1:9191
  galaxyops.uwsgi.uwsgi_info:
    address: 127.0.0.1:9191
"""

RETURN = r"""
workers:
  description: The number of worker processes.
  returned: success
  type: int
  sample: 4
busy:
  description: How many of them are at a request at least.
  returned: success
  type: int
  sample: 1
idle:
  description: How many of them wait for a request. Those that the option C(cheaper) has put to sleep are neither busy nor idle.
  returned: success
  type: int
  sample: 3
threads:
  description: How many requests all workers together can be at.
  returned: success
  type: int
  sample: 16
busy_threads:
  description: How many requests they are at.
  returned: success
  type: int
  sample: 2
requests:
  description: How many requests they have served since they were started.
  returned: success
  type: int
  sample: 10432
exceptions:
  description: How many of these ended in an exception that the application did not handle.
  returned: success
  type: int
  sample: 0
rss:
  description: The memory of the workers in bytes, with what they share counted in each.
  returned: success
  type: int
  sample: 1184890880
vsz:
  description: Their address space in bytes.
  returned: success
  type: int
  sample: 4865392640
pss:
  description: The memory of the workers in bytes, with what they share counted once.
  returned: success
  type: int
  sample: 1027604480
listen_queue:
  description: How many requests wait because no worker has accepted them yet. For unix sockets it is the kernel that tells this, since uWSGI cannot.
  returned: success
  type: int
  sample: 0
servers:
  description:
    - Each uWSGI that answered, with the values above of its own. One slot, except during a handover.
  returned: success
  type: list
  elements: dict
  contains:
    address:
      description: The stats server.
      type: str
      sample: /run/galaxy/web-1/stats.sock
    slot:
      description: The slot, V(1), V(2) or V(candidate); V(null) for an O(address).
      type: str
      sample: "1"
    version:
      description: The version of uWSGI.
      type: str
      sample: "2.0.30"
    pid:
      description: The master process.
      type: int
      sample: 9141
    sockets:
      description: The sockets that requests come in by. A C(queue) is the number of requests that wait in it.
      type: list
      elements: dict
      sample: [{"name": "/run/galaxy/web.sock", "protocol": "uwsgi", "queue": 0}]
    workers_info:
      description:
        - The worker processes. The C(status) is uWSGI's, such as V(idle), V(busy) or V(cheap); one that is not C(accepting) is starting
          or stopping. C(running) are the requests under way, without their query and headers.
      type: list
      elements: dict
      sample:
        - id: 1
          pid: 9150
          status: busy
          accepting: true
          threads: 4
          busy_threads: 1
          requests: 2608
          exceptions: 0
          respawns: 0
          harakiris: 0
          average_milliseconds: 41.7
          rss: 296222720
          vsz: 1216348160
          pss: 256901120
          running: [{"method": "GET", "path": "/api/histories", "seconds": 2}]
"""

import glob
import os
from collections.abc import Sequence
from typing import Any, Optional

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _uwsgi_stats as uwsgi_stats

TOTALS = ("workers", "busy", "idle", "threads", "busy_threads", "requests", "exceptions", "rss", "vsz", "pss", "listen_queue")


def addresses(instance: str, run_dir: str) -> dict[str, str]:
    """The stats sockets of the slots that there are, by the names of the slots."""
    prefix = os.path.join(run_dir, instance, "web-")
    return {path[len(prefix) : -len("/stats.sock")]: path for path in sorted(glob.glob(f"{glob.escape(prefix)}*/stats.sock"))}


def server(address: str, slot: Optional[str], timeout: int) -> dict[str, Any]:
    """What one stats server says."""
    return {"address": address, "slot": slot, **uwsgi_stats.ask(address, timeout).as_dict()}


def add(servers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The totals of several."""
    return {name: None if any(one[name] is None for one in servers) else sum(one[name] for one in servers) for name in TOTALS}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "instance": {"type": "str"},
            "address": {"type": "str"},
            "timeout": {"type": "int", "default": 5},
            "run_dir": {"type": "path", "default": "/run"},
        },
        mutually_exclusive=[("instance", "address")],
        required_one_of=[("instance", "address")],
        supports_check_mode=True,
    )
    params = module.params
    if params["timeout"] < 1:
        module.fail_json(msg=f"timeout is {params['timeout']}: write a number of seconds, at least 1")
    if params["address"]:
        try:
            servers = [server(params["address"], None, params["timeout"])]
        except uwsgi_stats.StatsError as error:
            module.fail_json(msg=str(error))
    else:
        servers, problems = [], []
        for slot, address in addresses(params["instance"], params["run_dir"]).items():
            # One of two slots may end at any moment.
            try:
                servers.append(server(address, slot, params["timeout"]))
            except uwsgi_stats.StatsError as error:
                problems.append(str(error))
        if not servers:
            directory = os.path.join(params["run_dir"], params["instance"])
            problems = problems or [f"there is no {directory}/web-*/stats.sock that this user can see"]
            remedy = f"start them with {params['instance']}-web apply, correct instance, or look as root"
            module.fail_json(msg=f"no web process of {params['instance']} answers: {'; '.join(problems)}. If they do not run, {remedy}")
    module.exit_json(changed=False, servers=servers, **add(servers))


if __name__ == "__main__":
    main()
