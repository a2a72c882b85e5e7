# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Variables that look like an input of a role and are none: Ansible ignores a misspelled variable without a word."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator
from typing import Optional

# The roles whose inputs nobody else's variables begin like. The names of galaxy_... belong to many roles.
STRICT_ROLES = ("job_handlers", "nginx_proxy", "uwsgi")
# What the playbooks are told.
PLAYBOOK_INPUTS = frozenset({"galaxy_servers", "only_servers"})
# What the other roles read of the role galaxy, whether that is in the play or not.
SHARED_INPUTS = frozenset(
    f"galaxy_{name}"
    for name in (
        "config_dir", "config_file", "database_connection", "group", "mutable_data_dir", "root", "server_dir", "user", "venv_dir",
    )
)  # fmt: skip
# Names of Ansible, of roles for themselves, and of others.
_NOT_OURS = ("_", "ansible_", "wsgi_")
# What a role sets for the tasks after it.
_RESULTS = frozenset({"nginx_proxy_locations", "nginx_proxy_params", "nginx_proxy_site"})
# Variables of galaxyproject.galaxy, usegalaxy_eu.galaxy_systemd, and the playbooks of Galaxy's training.
_OTHERS = """
galaxy_additional_venv_packages galaxy_admin_email_from galaxy_admin_email_to galaxy_api_key
galaxy_app_config_default galaxy_app_config_section galaxy_auto_brand galaxy_backup_configfiles galaxy_become_users
galaxy_build_client galaxy_cache_dir galaxy_changeset_id galaxy_client_build_steps galaxy_client_force_build
galaxy_client_make_target galaxy_client_node_env galaxy_client_use_prebuilt galaxy_clone_depth galaxy_commit_id
galaxy_config galaxy_config_default galaxy_config_dir galaxy_config_error_email_to galaxy_config_file
galaxy_config_file_basename galaxy_config_file_template galaxy_config_files galaxy_config_files_public
galaxy_config_instance_resource_url galaxy_config_merged galaxy_config_perms galaxy_config_perms_public
galaxy_config_style galaxy_config_templates galaxy_container_resolvers galaxy_create_privsep_user galaxy_create_user
galaxy_db_host galaxy_db_name galaxy_db_port galaxy_db_user galaxy_dependency_resolvers galaxy_diff_mode_verbose
galaxy_dirs galaxy_download_url galaxy_dynamic_job_rules galaxy_dynamic_job_rules_dir
galaxy_dynamic_job_rules_src_dir galaxy_errdocs_server_name galaxy_errordocs_413_message
galaxy_errordocs_502_message galaxy_errordocs_dest galaxy_errordocs_dir galaxy_errordocs_maint_file
galaxy_errordocs_prefix galaxy_errordocs_server_name galaxy_extra_dirs galaxy_extra_privsep_dirs
galaxy_fetch_dependencies galaxy_fetch_dependencies_with_uv galaxy_file_path galaxy_file_sources
galaxy_force_checkout galaxy_gid galaxy_git_repo galaxy_gravity_command galaxy_gravity_config_default
galaxy_gravity_restart_action galaxy_gravity_state_dir galaxy_gravity_wrapper_path galaxy_group galaxy_host
galaxy_hostname galaxy_install_uv galaxy_instance_hostname galaxy_job_config galaxy_job_config_file
galaxy_job_metrics_plugins galaxy_job_working_directory galaxy_layout galaxy_local_tools galaxy_local_tools_dir
galaxy_local_tools_src_dir galaxy_log_dir galaxy_manage_cleanup galaxy_manage_clone galaxy_manage_database
galaxy_manage_download galaxy_manage_errordocs galaxy_manage_existing galaxy_manage_gravity
galaxy_manage_host_filters galaxy_manage_mutable_setup galaxy_manage_paths galaxy_manage_static_setup
galaxy_manage_subdomain_static galaxy_manage_systemd galaxy_manage_systemd_reports galaxy_manage_themes
galaxy_mutable_config_dir galaxy_mutable_config_files galaxy_mutable_config_templates galaxy_mutable_configs
galaxy_mutable_data_dir galaxy_node_version galaxy_node_version_max galaxy_packages galaxy_paste_app_factory
galaxy_pip_version galaxy_privsep_dirs galaxy_privsep_user galaxy_remote_users galaxy_repo galaxy_reports_path
galaxy_requirements_file galaxy_restart_handler_name galaxy_root galaxy_separate_privileges galaxy_server_dir
galaxy_server_type galaxy_shed_tool_conf_file galaxy_shed_tool_config_file galaxy_shed_tools_dir galaxy_static_dir
galaxy_systemd_celery galaxy_systemd_celery_beat_log_level galaxy_systemd_celery_beat_schedule_path
galaxy_systemd_celery_env galaxy_systemd_celery_external_autoscale galaxy_systemd_celery_external_concurrency
galaxy_systemd_celery_external_log_level galaxy_systemd_celery_external_max_tasks
galaxy_systemd_celery_external_pool galaxy_systemd_celery_external_workers
galaxy_systemd_celery_internal_concurrency galaxy_systemd_celery_internal_log_level
galaxy_systemd_celery_internal_max_tasks galaxy_systemd_celery_internal_pool galaxy_systemd_celery_internal_workers
galaxy_systemd_command galaxy_systemd_env galaxy_systemd_gunicorn_env galaxy_systemd_gunicorn_listen_path
galaxy_systemd_gunicorn_max_requests galaxy_systemd_gunicorn_max_requests_jitter galaxy_systemd_gunicorn_preload
galaxy_systemd_gunicorn_preload_default galaxy_systemd_gunicorn_socket_name galaxy_systemd_gunicorn_timeout
galaxy_systemd_gunicorn_workers galaxy_systemd_gunicorns galaxy_systemd_handler_env galaxy_systemd_handler_prefix
galaxy_systemd_handlers galaxy_systemd_memory_limit galaxy_systemd_memory_limit_celery_beat
galaxy_systemd_memory_limit_celery_external galaxy_systemd_memory_limit_celery_internal
galaxy_systemd_memory_limit_handler galaxy_systemd_memory_limit_mule galaxy_systemd_memory_limit_reports
galaxy_systemd_memory_limit_sse_monitor galaxy_systemd_memory_limit_workflow galaxy_systemd_memory_limit_zp
galaxy_systemd_mode galaxy_systemd_reports galaxy_systemd_root galaxy_systemd_sse_monitor
galaxy_systemd_timeout_start_sec galaxy_systemd_watchdog galaxy_systemd_watchdog_patterns
galaxy_systemd_workflow_scheduler_env galaxy_systemd_workflow_scheduler_prefix galaxy_systemd_workflow_schedulers
galaxy_systemd_zergling_env galaxy_systemd_zergling_uwsgi_config_file galaxy_systemd_zergling_uwsgi_config_style
galaxy_systemd_zerglings galaxy_themes galaxy_themes_ansible_file_path galaxy_themes_default_welcome
galaxy_themes_global_host_filters_path galaxy_themes_instance_domain galaxy_themes_static_path
galaxy_themes_subdomains galaxy_themes_tool_base_labels galaxy_themes_tool_base_sections
galaxy_themes_tool_ngs_labels galaxy_themes_tool_ngs_sections galaxy_themes_use_iframe
galaxy_themes_welcome_url_prefix galaxy_tmpclean galaxy_tmpclean_age galaxy_tmpclean_command
galaxy_tmpclean_cron_file galaxy_tmpclean_dirs galaxy_tmpclean_log galaxy_tmpclean_log_statement
galaxy_tmpclean_time galaxy_tmpclean_tmpreaper_runtime galaxy_tmpclean_verbose galaxy_tmpclean_verbose_statement
galaxy_tool_config_files galaxy_tool_data_path galaxy_tool_dependency_dir galaxy_tools galaxy_tools_admin_user
galaxy_tools_api_key galaxy_tools_galaxy_instance_url galaxy_tus_upload_store galaxy_tusd_port galaxy_uid galaxy_url
galaxy_user galaxy_user_name galaxy_user_public_ssh_key galaxy_user_singularity_cachedir
galaxy_user_singularity_tmpdir galaxy_users galaxy_uwsgi_config_default galaxy_uwsgi_yaml_parser galaxy_vault_config
galaxy_venv_dir galaxy_virtualenv_command galaxy_virtualenv_python galaxy_workflows galaxy_zergpool
galaxy_zergpool_listen_addr galaxy_zergpool_listen_path galaxy_zergpool_socket_name
"""
OTHERS = frozenset(_OTHERS.split())


def family(role: str, inputs: Iterable[str]) -> list[str]:
    """The I(inputs) of one role."""
    return sorted(name for name in inputs if name == role or name.startswith(f"{role}_"))


def problems(
    names: Iterable[str], roles: Iterable[str], inputs: Collection[str], allowed: Collection[str] = ()
) -> tuple[list[str], list[str]]:
    """Say which of the variables I(names) are misspelled inputs of I(roles): as errors, and as warnings.

    What begins as the inputs of one of STRICT_ROLES do, or resembles one of those, is an error. Other roles have variables that begin with
    C(galaxy_), so there only a resemblance counts, and is a warning. I(allowed) are for something else.
    """
    known = {*inputs, *PLAYBOOK_INPUTS, *_RESULTS, *OTHERS, *allowed}
    errors, warnings = [], []
    strict = [role for role in roles if role in STRICT_ROLES]
    wanted = sorted({*(name for role in roles for name in family(role, inputs)), *SHARED_INPUTS, *PLAYBOOK_INPUTS})
    for name in sorted({str(name) for name in names} - known):
        if name.startswith(_NOT_OURS):
            continue
        role = next((role for role in strict if name.lower().startswith(f"{role}_")), "")
        meant = next(_meant(name, wanted), "") or _closest(name, role, inputs)
        if not role and not meant:
            continue
        owner = role or next((role for role in (*STRICT_ROLES, "galaxy") if meant in family(role, inputs)), "")
        what = f"{name} is no input of {f'the role {owner}' if owner else 'the playbooks'}"
        listed = f"list the name in {owner or 'galaxy'}_other_variables if the variable is for something else"
        if meant.startswith("galaxy_"):
            warnings.append(f"{what} and has no effect there, but resembles {meant}: write {meant}, or {listed}")
        else:
            errors.append(f"{what}: {f'write {meant}' if meant else 'correct the name'}, or {listed}")
    return errors, warnings


def _closest(name: str, role: str, inputs: Iterable[str]) -> str:
    """The input of a role that is most like a name that begins as those do, if one is."""
    if not role:
        return ""
    rest = {candidate[len(role) + 1 :]: candidate for candidate in family(role, inputs)}
    return next((rest[found] for found in difflib.get_close_matches(name[len(role) + 1 :], rest, n=1)), "")


def _meant(name: str, inputs: Collection[str]) -> Iterator[str]:
    """The inputs that a name resembles, the most likely one first."""
    lower = name.lower()
    distances = {
        candidate: distance(lower, candidate, 2) for candidate in inputs if abs(len(candidate) - len(lower)) <= 2
    }
    yield from (candidate for candidate, found in distances.items() if found is not None and found <= 1)
    yield from (candidate for candidate in inputs if _same_words(lower.split("_"), candidate.split("_")))
    # In a short word two letters are too much.
    yield from (candidate for candidate, found in distances.items() if found == 2 and len(candidate) >= 12)


def _same_words(words: list[str], others: list[str]) -> bool:
    """Whether two names have the same words in another order, or one of them short for the other's."""
    if len(words) != len(others) or words[0] != others[0]:
        return False
    return sorted(words) == sorted(others) or all(
        min(len(word), len(other)) >= 3 and (word.startswith(other) or other.startswith(word))
        for word, other in zip(words, others)
    )


def distance(one: str, other: str, most: int) -> Optional[int]:
    """How many letters are wrong, missing, too many or exchanged with the next; nothing where these are more than I(most)."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for number, letter in enumerate(one, 1):
        earlier, before, row = before, row, [number]
        for position, wanted in enumerate(other, 1):
            cost = min(before[position] + 1, row[-1] + 1, before[position - 1] + (letter != wanted))
            if earlier and position > 1 and letter == other[position - 2] and one[number - 2] == wanted:
                cost = min(cost, earlier[position - 2] + 1)
            row.append(cost)
        if min(row) > most:
            return None
    return row[-1] if row[-1] <= most else None
