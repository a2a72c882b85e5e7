# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of what an application gets, against the real Paste Deploy that really loads applications."""

from __future__ import annotations

import configparser
import sys
import tempfile
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import hypothesis
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from paste.deploy import appconfig, loadapp

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _paste_ini as paste_ini
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._paste_loading import Application
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._paste_values import on_host

FACTORIES = "factories_of_test_paste_loading"


class Made(NamedTuple):
    """An application or a filter that Paste Deploy has made: what its factory got, and the application in it."""

    shared: dict[str, str]
    values: dict[str, str]
    inner: Any = None


def make_application(global_conf: Mapping[str, str], **local_conf: str) -> Made:
    """A factory of an application."""
    return Made(dict(global_conf), local_conf)


def make_filter(global_conf: Mapping[str, str], **local_conf: str) -> Any:
    """A factory of a filter."""
    return lambda inner: Made(dict(global_conf), local_conf, inner)


def make_map(loader: Any, global_conf: Mapping[str, str], **local_conf: str) -> list[Any]:
    """A factory that leads to further applications by their names, as that of Paste does."""
    return [loader.get_app(name, global_conf=global_conf) for name in local_conf.values()]


@pytest.fixture(scope="module", autouse=True)
def eggs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Installed packages with these factories; the one that leads to applications has the name of Paste's."""
    module = types.ModuleType(FACTORIES)
    vars(module).update(application=make_application, filter=make_filter, map=make_map)
    directory = tmp_path_factory.mktemp("eggs")
    points = {
        "Eggs": f"[paste.app_factory]\nmain = {FACTORIES}:application\n[paste.filter_factory]\nfilter = {FACTORIES}:filter\n",
        "Paste": f"[paste.composite_factory]\nurlmap = {FACTORIES}:map\n",
    }
    for name, text in points.items():
        place = directory / f"{name}-1.0.dist-info"
        place.mkdir()
        (place / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
        (place / "entry_points.txt").write_text(text, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, FACTORIES, module)
        patch.syspath_prepend(str(directory))
        yield


def leaves(made: Any, filters: tuple[Made, ...] = ()) -> Iterator[tuple[Made, tuple[Made, ...]]]:
    """The applications in what Paste Deploy has made, each with the filters around it."""
    if isinstance(made, types.FunctionType):
        raise LookupError("Paste Deploy has made no application, but a filter of filters")
    if isinstance(made, list):
        for one in made:
            yield from leaves(one, filters)
    elif made.inner is None:
        yield made, filters
    else:
        yield from leaves(made.inner, (*filters, made._replace(inner=None)))


def as_made(application: Application) -> Made:
    return Made(dict(application.shared), dict(application.values))


def render(sections: Mapping[str, Mapping[str, str]]) -> str:
    return "".join(
        f"[{name}]\n" + "".join(f"{option} = {value}\n" for option, value in options.items())
        for name, options in sections.items()
    )


VALUES = ["1", "%(x)s", "%(here)s/y", "%(__file__)s", "50%%", "x:y"]
APPLICATIONS = ["a", "a", "b", "b", "b", "p", "n", "m"]
FILTERS = ["f", "g", "egg:Eggs#filter"]
OTHER = ["config:other.ini", "config:other.ini#a", "config:%(here)s/other.ini#p", "config:sub/../other%%2Eini#b"]
FILTER = "egg:Eggs#filter"

values = st.sampled_from(VALUES)
own = st.dictionaries(st.sampled_from(["x", "y", "here", "brand", "debug"]), values, max_size=2)
sets = st.dictionaries(st.sampled_from(["set x", "set y", "set  z", "set __file__", "set use"]), values, max_size=2)
gets = st.dictionaries(st.sampled_from(["get x", "get w", "get  use"]), st.sampled_from(["x", "here"]), max_size=1)
gets = st.one_of(st.just({}), gets)
rarely_wrong = st.sampled_from([{}] * 60 + [{"brand": "%(nothing)s"}, {"brand": "50%"}, {"get v": "gone"}])
plain = st.tuples(own, sets, gets, rarely_wrong).map(lambda parts: {k: v for part in parts for k, v in part.items()})
defaults = st.tuples(st.just({"x": "0", "y": "%(here)s"}), plain).map(lambda parts: {**parts[0], **parts[1]})
around = st.sampled_from([{}] * 3 + [{"filter-with": name} for name in [*FILTERS, "config:other.ini#f"]])


def with_plain(options: st.SearchStrategy[dict[str, str]]) -> st.SearchStrategy[dict[str, str]]:
    return st.tuples(options, around, plain).map(lambda parts: {**parts[0], **parts[1], **parts[2]})


applications = with_plain(
    st.one_of(
        st.fixed_dictionaries({"use": st.sampled_from(["egg:Eggs", *APPLICATIONS, *OTHER])}),
        st.just({"use": "egg:Eggs"}),
        st.sampled_from(
            [
                {"use": f"call:{FACTORIES}:application"},
                {"use": "egg:Eggs#main", "get z": "x"},
                {"paste.app_factory": f"{FACTORIES}:application"},
                {
                    "paste.composite_factory": f"{FACTORIES}:application",
                    "paste.app_factory": f"{FACTORIES}:application",
                },
                {"use": "nothing"},
                {"use": "egg:Eggs", "paste.app_factory": f"{FACTORIES}:application"},
            ]
        ),
    )
)
maps = st.fixed_dictionaries({"use": st.just("egg:Paste#urlmap"), "/": st.sampled_from(APPLICATIONS)}).flatmap(
    lambda options: st.sampled_from([options, {**options, "/x": "a", "set y": "2"}, {**options, "filter-with": "f"}])
)
pipelines = st.lists(st.sampled_from(FILTERS), max_size=2).flatmap(
    lambda steps: st.sampled_from(APPLICATIONS).map(lambda app: {"pipeline": " ".join([*steps, app])})
)
nexts = with_plain(
    st.fixed_dictionaries(
        {"next": st.sampled_from(APPLICATIONS), "use": st.sampled_from(["f", FILTER, f"call:{FACTORIES}:filter"])}
    )
)
filters = with_plain(st.fixed_dictionaries({"use": st.sampled_from([*FILTERS, f"call:{FACTORIES}:filter"])}))
files = st.fixed_dictionaries(
    {
        "DEFAULT": defaults,
        "app:main": applications,
        "app:a": applications,
        "app: b": st.just({"use": "egg:Eggs", "y": "%(x)s"}),
        "pipeline:p": pipelines,
        "filter-app:n": nexts,
        "composite:m": maps,
        "filter:f": filters,
        "filter:g": with_plain(st.just({"use": FILTER})),
    },
    optional={"uwsgi": st.just({"master": "%n"}), "application:a": applications},
)
files = st.tuples(files, st.sampled_from([None] * 19 + ["DEFAULT"])).map(
    lambda drawn: {name: options for name, options in drawn[0].items() if name != drawn[1]}
)


@hypothesis.settings(max_examples=300)
@given(files, files, st.sampled_from(["main", "p", "n", "m"]))
@example({"app:main": {"use": "egg:Eggs", "x": "1"}, "DEFAULT": {"x": "2"}}, {}, "main")
@example(
    {"app:main": {"use": "a", "x": "1"}, "app:a": {"use": "egg:Eggs", "filter-with": FILTER, "y": "2"}}, {}, "main"
)
@example(
    {"app:main": {"use": "p", "x": "1"}, "pipeline:p": {"pipeline": "a"}, "app:a": {"use": "egg:Eggs"}}, {}, "main"
)
@example({"app:main": {"use": OTHER[0], "set x": "50%%"}}, {"app:main": {"use": "egg:Eggs", "y": "%(here)s"}}, "main")
@example({"app:main": {"use": OTHER[0], "set x": "%%%%"}}, {"app:main": {"use": "egg:Eggs", "y": "%(x)s"}}, "main")
@example({"app:main": {"use": "a"}, "app:a": {"use": "egg:Eggs", "set __file__": "x"}}, {}, "main")
@example(
    {"app:main": {"use": OTHER[0], "set x": "1"}},
    {"DEFAULT": {"x": "2"}, "app:main": {"use": "egg:Eggs", "y": "%(x)s"}},
    "main",
)
@example({"app:main": {"use": "a", "filter-with": "f"}, "app:a": {"use": "egg:Eggs", "filter-with": "f"}}, {}, "main")
def test_an_application_gets_what_paste_deploy_hands_to_it(
    sections: dict[str, dict[str, str]], other: dict[str, dict[str, str]], app: str
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "sub").mkdir()
        path = Path(directory) / "galaxy.ini"
        text = render(sections)
        path.write_text(text, encoding="utf-8")
        (Path(directory) / "other.ini").write_text(render(other), encoding="utf-8")
        loading = paste_ini.load(text, str(path), app, on_host)
        errors = [
            finding
            for finding in paste_ini.check(text, str(path), app, handlers=False, read=on_host)
            if finding.severity == "error"
        ]
        try:
            made = list(leaves(loadapp(f"config:{path}#{app}")))
        except (LookupError, RecursionError, OSError, configparser.Error, AssertionError) as error:
            hypothesis.event(f"Paste Deploy refuses: {type(error).__name__}")
            assert errors
            return
    hypothesis.event("Paste Deploy loads")
    assert [(as_made(found), tuple(map(as_made, found.filters))) for found in loading.applications] == made
    shadowed = {"here", "__file__"} | {option for file in (sections, other) for option in file.get("DEFAULT", {})}
    assert [finding for finding in errors if finding.option not in shadowed] == []


def test_the_test_above_sees_each_kind_of_section(tmp_path: Path) -> None:
    sections = {
        "DEFAULT": {"x": "1"},
        "composite:main": {"use": "egg:Paste#urlmap", "/": "p", "/n": "n"},
        "pipeline:p": {"pipeline": "f a"},
        "filter-app:n": {"next": "a", "use": "f"},
        "filter:f": {"use": FILTER, "prefix": "/x"},
        "app:a": {"use": "config:other.ini", "brand": "%(x)s%(here)s", "set x": "2", "get w": "x"},
    }
    path = tmp_path / "galaxy.ini"
    path.write_text(render(sections), encoding="utf-8")
    other = {"DEFAULT": {"x": "3", "v": "4"}, "app:main": {"use": "egg:Eggs", "brand": "no", "logo": "%(x)s%(v)s"}}
    (tmp_path / "other.ini").write_text(render(other), encoding="utf-8")
    made = list(leaves(loadapp(f"config:{path}")))
    assert [application.values for application, _filters in made] == [
        {"brand": f"1{tmp_path}", "logo": "34", "w": "2"}
    ] * 2
    assert [[one.values for one in filters] for _application, filters in made] == [[{"prefix": "/x"}]] * 2
    found = paste_ini.load(path.read_text(encoding="utf-8"), str(path), read=on_host).applications
    assert [(as_made(one), tuple(map(as_made, one.filters))) for one in found] == made
    assert [(one.section, one.factory, one.places["logo"].path) for one in found] == [
        ("app:a", "egg:Eggs", str(tmp_path / "other.ini"))
    ] * 2
    assert appconfig(f"config:{path}", "a").local_conf == found[0].values
