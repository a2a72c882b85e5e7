# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The handlers of a job configuration change, and nothing else in it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from random import Random
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from ansible_collections.galaxyops.uwsgi.plugins.module_utils._job_conf import (
    LOCAL_RUNNER,
    MINIMAL,
    Handler,
    Handling,
    JobConfError,
    absent,
    check,
    check_changed,
    file_format,
    handler_problems,
    mask_secrets,
    pool_problems,
    present,
    read,
    runners,
)

TWO = Handling((Handler("handler0", ("handlers",)), Handler("handler1", ("handlers",))), ("db-preassign",), "handlers")
POOL = Handling(assign_with=("db-skip-locked",), max_grab=8, ready_window_size=50)

SAMPLE_BASIC = """\
<?xml version="1.0"?>
<!-- A sample job config that explicitly configures job running the way it is
     configured by default (if there is no explicit config). -->
<job_conf>
    <plugins>
        <plugin id="local" type="runner" load="galaxy.jobs.runners.local:LocalJobRunner" workers="4"/>
    </plugins>
    <!-- <handlers><handler id="commented_out"/></handlers> -->
    <destinations>
        <destination id="local" runner="local"><param id="x"><![CDATA[<handlers> & ]]></param></destination>
    </destinations>
</job_conf>
"""

SAMPLE_YAML = """\
# Galaxy's jobs
runners:
  local:
    load: galaxy.jobs.runners.local:LocalJobRunner
    workers: 4
    # the last words about local
    #cache: false

# Where jobs run
execution:
  default: local
  environments:
    local: {runner: local}  # here
"""


def etree_handling(content: bytes) -> dict[str, Any]:
    """The handlers as Galaxy's XML reader finds them."""
    element = ElementTree.fromstring(content).find("handlers")
    assert element is not None
    handlers = {
        handler.attrib["id"]: (handler.get("tags"), [plugin.attrib["id"] for plugin in handler.findall("plugin")])
        for handler in element.findall("handler")
    }
    return {"handlers": handlers, **element.attrib}


def xml(text: str, wanted: Handling, purge: bool = False) -> str:
    """The text with what is wanted in it."""
    content = present(text.encode(), "job_conf.xml", "xml", wanted, purge).content
    assert content is not None
    return content.decode()


def yml(text: str, wanted: Handling, purge: bool = False) -> str:
    """The text with what is wanted in it."""
    content = present(text.encode(), "job_conf.yml", "yaml", wanted, purge).content
    assert content is not None
    return content.decode()


def refused(kind: str, text: str, wanted: Handling = TWO, purge: bool = False) -> str:
    """The message with which the text is refused."""
    with pytest.raises(JobConfError) as caught:
        present(text.encode(), f"job_conf.{kind}", "xml" if kind == "xml" else "yaml", wanted, purge)
    return str(caught.value)


@pytest.mark.parametrize(
    ("path", "wanted", "expected"),
    [
        ("/c/job_conf.xml", "auto", "xml"),
        ("/c/job_conf.xml.local", "auto", "xml"),
        ("/x.xml.d/job_conf.yml", "auto", "yaml"),
        ("/c/JOB_CONF.YAML", "auto", "yaml"),
        ("/c/job_conf", "yaml", "yaml"),
    ],
)
def test_format_is_found_by_name(path: str, wanted: str, expected: str) -> None:
    assert file_format(path, wanted) == expected


def test_unknown_name_asks_for_the_format() -> None:
    with pytest.raises(JobConfError, match="format=xml or format=yaml"):
        file_format("/c/job_conf")


@pytest.mark.parametrize("name", ["", "a b", "a,b", "a/b", "a\n", "é", "a@b", '"', "a%"])
@pytest.mark.parametrize("what", ["id", "tags", "plugins"])
def test_names_that_break_something_are_refused(name: str, what: str) -> None:
    handler = Handler(name) if what == "id" else Handler("a", **{what: (name,)})
    assert repr(name) in str(handler_problems((handler,), "f")[0])


def test_duplicate_ids_and_tags_are_named() -> None:
    found = [str(finding) for finding in handler_problems((Handler("a", ("t", "t")), Handler("a")), "f")]
    assert found[0].startswith("f: handler 'a' is defined 2 times: give")
    assert "tag 't' is given twice" in found[1]


@pytest.mark.parametrize(
    ("handling", "message"),
    [
        (Handling(assign_with=("db-magic",)), "'db-magic' is not a method"),
        (Handling(max_grab=0), "max_grab is 0"),
        (Handling(ready_window_size=-1), "ready_window_size is -1"),
        (Handling((Handler("a", ("b",)), Handler("b"))), "tag 'b' is also the id"),
        (
            Handling((Handler("a", ("t",)),), default="x"),
            "default 'x' is neither the id nor a tag of a handler: use one of a, t",
        ),
    ],
)
def test_what_does_not_fit_together_is_refused(handling: Handling, message: str) -> None:
    assert message in str(pool_problems(handling, "f")[0])
    assert message in refused("xml", SAMPLE_BASIC, handling)
    assert message in refused("yml", SAMPLE_YAML, handling)


@pytest.mark.parametrize("default", ["a", "t", "_default_"])
def test_default_may_be_an_id_a_tag_or_the_untagged(default: str) -> None:
    assert pool_problems(Handling((Handler("a", ("t",)), Handler("b")), default=default), "f") == []


def test_default_of_a_pool_without_handlers_may_be_any_tag() -> None:
    assert pool_problems(Handling(default="special"), "f") == []


@pytest.mark.parametrize("kind", ["xml", "yaml"])
@pytest.mark.parametrize("wanted", [Handling(), TWO, POOL])
def test_missing_file_becomes_minimal_and_goes_again(kind: str, wanted: Handling) -> None:
    made = present(None, "f", kind, wanted)
    assert made.content is not None
    assert read(made.content, "f", kind) == wanted
    assert absent(made.content, "f", kind).content is None
    assert absent(None, "f", kind).content is None


def test_minimal_yaml_is_what_galaxy_reads() -> None:
    content = present(
        None,
        "f",
        "yaml",
        Handling((*TWO.handlers, Handler("h2", (), ("local",)), Handler("no")), ("db-self",), max_grab=3),
    ).content
    assert content is not None
    assert content.decode() == (
        MINIMAL["yaml"].decode().partition("execution:")[0]
        + """\
handling:
  assign: [db-self]
  max_grab: 3
  processes:
    handler0:
      tags: [handlers]
    handler1:
      tags: [handlers]
    h2:
      plugins: [local]
    'no':
"""
        + "execution:"
        + MINIMAL["yaml"].decode().partition("execution:")[2]
    )


def test_minimal_xml_is_what_galaxy_reads() -> None:
    content = present(
        None,
        "f",
        "xml",
        Handling(
            (Handler("a", ("t", "u"), ("local", "slurm")), Handler("b")), ("db-self", "db-skip-locked"), "t", 3, 9
        ),
    ).content
    assert content is not None
    assert content.decode() == MINIMAL["xml"].decode().replace(
        "    </plugins>\n",
        """\
    </plugins>
    <handlers assign_with="db-self,db-skip-locked" default="t" max_grab="3" ready_window_size="9">
        <handler id="a" tags="t,u">
            <plugin id="local"/>
            <plugin id="slurm"/>
        </handler>
        <handler id="b"/>
    </handlers>
""",
    )


def test_sample_without_handlers_gets_them_after_the_plugins() -> None:
    result = xml(SAMPLE_BASIC, TWO)
    inserted = """\
    <handlers assign_with="db-preassign" default="handlers">
        <handler id="handler0" tags="handlers"/>
        <handler id="handler1" tags="handlers"/>
    </handlers>
"""
    assert result == SAMPLE_BASIC.replace("    </plugins>\n", "    </plugins>\n" + inserted)


def test_yaml_without_handling_gets_it_after_the_runners_and_their_comments() -> None:
    result = yml(SAMPLE_YAML, Handling((Handler("a"),)))
    assert result == SAMPLE_YAML.replace("#cache: false\n", "#cache: false\nhandling:\n  processes:\n    a:\n")


XML_EDITS = [
    pytest.param(
        "<handlers/>",
        Handling((Handler("a"),)),
        False,
        '<handlers>\n        <!-- Previous version: <handlers/> -->\n        <handler id="a"/>\n    </handlers>',
        id="empty element",
    ),
    pytest.param(
        "<handlers />",
        POOL,
        False,
        '<handlers assign_with="db-skip-locked" max_grab="8" ready_window_size="50">\n        <!-- Previous version: <handlers /> -->\n    </handlers>',
        id="attributes only",
    ),
    pytest.param(
        "<handlers\n        default = 'x'  extra='&lt;é'>\n        <!-- why -->\n        <handler tags='u' id='x'/> <!-- mine -->\n    </handlers>",
        Handling((Handler("a", ("u",)),), default="a"),
        False,
        "<handlers\n        default = 'a'  extra='&lt;é'>\n        <!-- why -->\n        <handler tags='u' id='x'/> <!-- mine -->\n"
        '        NOTE\n        <handler id="a" tags="u"/>\n    </handlers>',
        id="foreign handler, attribute and comments stay",
    ),
    pytest.param(
        '<handlers default="x" max_grab="2" extra="1">\n      <handler id="x"/>\n      <!-- c -->\n      <handler id="y"/> <!-- d -->\n    </handlers>',
        Handling((Handler("a"),)),
        True,
        '<handlers extra="1">\n      <!-- c -->\n      <!-- d -->\n      <handler id="a"/>\n    </handlers>',
        id="purge",
    ),
    pytest.param(
        '<handlers><handler id="a"/><handler id="b"/></handlers>',
        Handling((Handler("b"),)),
        True,
        '<handlers><handler id="b"/></handlers>',
        id="one line",
    ),
    pytest.param(
        '<handlers>\n\t<handler id="a" tags="t" note="n">\n\t\t<!-- c -->\n\t\t<plugin id="p"/>\n\t\t<plugin id="q"/>\n\t</handler>\n</handlers>',
        Handling((Handler("a", (), ("q", "r")),)),
        False,
        '<handlers>\n\t<handler id="a" note="n">\n\t\t<!-- c -->\n\t\t<plugin id="q"/>\n\t\t<plugin id="r"/>\n\t</handler>\n</handlers>',
        id="plugins",
    ),
    pytest.param(
        '<handlers><handler id="a" tags="x , y"><plugin id="q"/><plugin id="p"/></handler><handler/></handlers>',
        Handling((Handler("a", ("y", "x"), ("p", "q")),)),
        True,
        '<handlers><handler id="a" tags="x , y"><plugin id="q"/><plugin id="p"/></handler><handler/></handlers>',
        id="same meaning",
    ),
    pytest.param(
        '<handlers assign_with="DB-Self, db-skip-locked"><handler id="a" tags="_default_"></handler></handlers>',
        Handling((Handler("a"),), ("db-self", "db-skip-locked")),
        False,
        '<handlers assign_with="DB-Self, db-skip-locked"><handler id="a" tags="_default_"></handler></handlers>',
        id="same meaning of settings",
    ),
]


@pytest.mark.parametrize(("old", "wanted", "purge", "new"), XML_EDITS)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_xml_element_changes_only_where_it_differs(
    old: str, wanted: Handling, purge: bool, new: str, newline: str
) -> None:
    before, after = (
        SAMPLE_BASIC.replace("    <destinations>", f"    {part}\n    <destinations>", 1).replace("\n", newline)
        for part in (old, new)
    )
    # A setting that is changed has a note of all that was there.
    source = json.dumps(old.replace("\n", newline)).replace("--", "-\\u002d")
    after = after.replace("NOTE", f"<!-- Previous version: {source} -->")
    assert xml(before, wanted, purge) == after
    assert xml(after, wanted, purge) == after


YAML_EDITS = [
    pytest.param("handling:\n", Handling((Handler("a"),)), False, 'handling:\n  # Previous version: ""\n  processes:\n    a:\n', id="null"),
    pytest.param(
        "handling: {}  # c\n",
        POOL,
        False,
        "handling:  # c\n  # Previous version: {}\n  assign: [db-skip-locked]\n  max_grab: 8\n  ready_window_size: 50\n",
        id="empty",
    ),
    pytest.param(
        "handling: {assign: [db-self],\n  processes: {x: {environment: {A: b}}}} # c\n",
        Handling((Handler("a", ("t",)),)),
        False,
        'handling: # c\n  # Previous version: "{assign: [db-self],NEWLINE  processes: {x: {environment: {A: b}}}}"\n'
        "  assign: [db-self]\n  processes:\n    x:\n      environment:\n        A: b\n    a:\n      tags: [t]\n",
        id="flow becomes block",
    ),
    pytest.param(
        "handling:  # jobs\n  # how\n  assign: # so\n  - db-self # self\n  - db-skip-locked\n\n  # who\n  processes:\n    x:\n"
        "      #environment:\n      #  A: b\n    # after x\n",
        Handling((Handler("a", plugins=("p",)),), ("db-skip-locked",), max_grab=1),
        False,
        "handling:  # jobs\n  NOTE\n  max_grab: 1\n  # how\n  assign: [db-skip-locked] # so\n\n  # who\n  processes:\n    x:\n"
        "      #environment:\n      #  A: b\n    a:\n      plugins: [p]\n    # after x\n",
        id="comments stay",
    ),
    pytest.param(
        "handling:\n    default: x\n    extra: 1\n    processes:\n        x: # gone\n        # kept\n        y: {tags: [t], environment: {A: b}}   # y\n"
        "        z:\n            tags:\n            - t\n            environment: {A: b}\n",
        Handling((Handler("y", ("u",)), Handler("z"), Handler("a"))),
        True,
        "handling:\n    extra: 1\n    processes:\n        # kept\n        y:   # y\n            environment:\n                A: b\n"
        "            tags: [u]\n        z:\n            environment: {A: b}\n        a:\n",
        id="purge",
    ),
    pytest.param(
        "handling:\n  processes:\n    a:\n      tags: [x]\n",
        Handling((Handler("a"),)),
        True,
        "handling:\n  processes:\n    a:\n",
        id="handler emptied",
    ),
    pytest.param("handling:\n  assign: [db-self]\n", Handling(), True, "", id="nothing left"),
    pytest.param(
        "handling:\n  max_grab: 1\n  assign: [db-self]\n  processes:\n    a: {}\n",
        Handling(assign_with=("db-skip-locked",)),
        True,
        "handling:\n  assign: [db-skip-locked]\n",
        id="no handlers left",
    ),
    pytest.param(
        "handling:\n  processes: {a: , 'b': {tags: [y, x]}}\n",
        Handling((Handler("a"), Handler("b", ("x", "y")))),
        True,
        "handling:\n  processes: {a: , 'b': {tags: [y, x]}}\n",
        id="same meaning",
    ),
]


@pytest.mark.parametrize(("old", "wanted", "purge", "new"), YAML_EDITS)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("last", [False, True])
def test_yaml_mapping_changes_only_where_it_differs(
    old: str, wanted: Handling, purge: bool, new: str, newline: str, last: bool
) -> None:
    # With four spaces in the block, the rest of the file has them too.
    around = SAMPLE_YAML.replace("  ", "    ") if "\n    default" in old else SAMPLE_YAML
    before, after = (
        (around + part if last else around.replace("# Where", part + "# Where")).replace("\n", newline)
        for part in (old, new.replace("NEWLINE", json.dumps(newline)[1:-1]))
    )
    source = json.dumps(old.partition(":")[2].replace("\n", newline))
    after = after.replace("NOTE", f"# Previous version: {source}")
    assert yml(before, wanted, purge) == after
    assert yml(after, wanted, purge) == after


@pytest.mark.parametrize(
    "text",
    [
        SAMPLE_BASIC,
        "<job_conf></job_conf>",
        "<job_conf><tools/> <!-- x --></job_conf>",
        "<job_conf> <plugins/> <!--\n--> <tools/>\n</job_conf>",
    ],
)
def test_absent_undoes_present_xml(text: str) -> None:
    assert absent(xml(text, TWO).encode(), "f", "xml").content == text.encode()
    assert absent(text.encode(), "f", "xml").content == text.encode()


@pytest.mark.parametrize(
    "text",
    [
        SAMPLE_YAML,
        SAMPLE_YAML.rstrip(),
        "---\nexecution: {}\n...\n",
        "  runners: {a: 1}\n",
        "\ufeffrunners: {}",
        "runners:\r\n  a: |\r\n    x\r\n\r\n",
    ],
)
def test_absent_undoes_present_yaml(text: str) -> None:
    assert absent(yml(text, TWO).encode(), "f", "yaml").content == text.encode()
    assert absent(text.encode(), "f", "yaml").content == text.encode()


SETTINGS_XML = [
    '<handlers assign_with="db-skip-locked" max_grab="16"/>',
    "<handlers assign_with='db-skip-locked' />",
    '<handlers assign_with="db-skip-locked"></handlers>',
    '<handlers assign_with="db-skip-locked">\n    </handlers>',
    '<handlers\n  max_grab="2"\n  extra="1"\n/>',
    '<handlers extra="a--b"/>',
    "<handlers>\n        <!-- none yet -->\n    </handlers>",
    '<handlers assign_with="db-self"><!-- none --></handlers>',
    '<handlers assign_with="db-self"> <!-- none\n yet --> </handlers>',
]
SETTINGS_YAML = [
    "handling: {assign: [db-skip-locked], max_grab: 16}\n",
    "handling:   {assign: [db-skip-locked],  # how\n   max_grab: 16, }  # c\n",
    "handling:\n  assign: [db-skip-locked]\n  max_grab: 16\n",
    "handling: # jobs\n  # how\n  assign:\n  - db-self # self\n    # deeper\n  # after\n",
    "handling:\n  assign: [db-self]\n  processes: {}\n",
    "handling:\n  processes: # none\n  extra: {a: 1}\n",
    "handling: {extra: 1, processes: {}}\n",
]


@pytest.mark.parametrize("part", [*SETTINGS_XML, *SETTINGS_YAML])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize(
    "wanted",
    [
        TWO,
        Handling(TWO.handlers[:1]),
        replace(TWO, max_grab=5),
        Handling(TWO.handlers, ("db-skip-locked",), max_grab=16),
    ],
)
def test_absent_undoes_present_where_there_were_settings(part: str, newline: str, last: bool, wanted: Handling) -> None:
    kind = "xml" if part.startswith("<") else "yaml"
    around, mark = (SAMPLE_BASIC, "    <destinations>") if kind == "xml" else (SAMPLE_YAML, "# Where")
    part = f"    {part}\n" if kind == "xml" else part
    text = (around + part).rstrip("\n") if last and kind == "yaml" else around.replace(mark, part + mark)
    text = text.replace("\n", newline)
    add = xml if kind == "xml" else yml
    changed = add(text, wanted)
    assert read(changed.encode(), "f", kind).by_id == wanted.by_id
    assert add(changed, wanted) == changed
    assert absent(text.encode(), "f", kind, ["handler9"]).content == text.encode()
    assert absent(changed.encode(), "f", kind, ["handler0", "handler1"]).content == text.encode()
    one = absent(changed.encode(), "f", kind, ["handler0"])
    if one.handlers:
        assert absent(one.content, "f", kind, ["handler1"]).content is not None
    assert absent(changed.encode(), "f", kind).content == absent(text.encode(), "f", kind).content


@pytest.mark.parametrize(("kind", "text"), [("xml", SAMPLE_BASIC), ("yaml", SAMPLE_YAML)])
def test_settings_that_are_as_given_go(kind: str, text: str) -> None:
    pool = present(text.encode(), "f", kind, POOL).content
    assert absent(pool, "f", kind, settings=POOL).content == text.encode()
    assert absent(pool, "f", kind, ["handler0"]).content == pool
    left = absent(pool, "f", kind, settings=replace(POOL, max_grab=9)).content
    assert left is not None
    assert read(left, "f", kind) == Handling(max_grab=8)
    assert absent(text.encode(), "f", kind, settings=POOL).content == text.encode()


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        ("xml", '<handlers>\n<handler id="a"/>\n<handler id="a"/></handlers>'),
        ("xml", '<handlers max_grab="many"/>'),
        ("yaml", "handling:\n  processes:\n    a:\n    a:\n"),
        ("yaml", "handling:\n  processes: [a]\n"),
        ("yaml", "handling:\n  assign: db-self\n  max_grab: x\n"),
        ("yaml", "handling: 1\n"),
        ("yaml", "handling: {}\nhandling: {}\n"),
    ],
)
def test_what_goes_need_not_be_right(kind: str, part: str) -> None:
    text, before = (
        (f"<job_conf>{part}<tools/></job_conf>", "<job_conf><tools/></job_conf>")
        if kind == "xml"
        else (f"{part}runners: {{}}\n", "runners: {}\n")
    )
    assert absent(text.encode(), "f", kind).content == before.encode()
    assert absent(text.encode(), "f", kind, ["a"], purge=True).content == before.encode()


@pytest.mark.parametrize(("kind", "text"), [("xml", SAMPLE_BASIC), ("yaml", SAMPLE_YAML)])
def test_absent_removes_the_listed_handlers_and_the_element_with_the_last(kind: str, text: str) -> None:
    full = present(text.encode(), "f", kind, TWO).content
    change = absent(full, "f", kind, ["handler1", "unknown"])
    assert (change.handlers, change.removed) == (("handler0",), ("handler1",))
    assert (
        change.content
        == present(text.encode(), "f", kind, Handling(TWO.handlers[:1], TWO.assign_with, TWO.default)).content
    )
    assert absent(change.content, "f", kind, ["handler0"]).content == text.encode()
    assert absent(full, "f", kind, ["handler1"], purge=True).content == text.encode()
    assert absent(full, "f", kind, ["unknown"]).content == full


def test_absent_takes_a_default_that_would_dangle() -> None:
    content = xml(SAMPLE_BASIC, Handling((Handler("a", ("t",)), Handler("b")), default="t")).encode()
    left = absent(content, "f", "xml", ["a"]).content
    assert left is not None
    assert read(left, "f", "xml") == Handling((Handler("b"),))


@pytest.mark.parametrize(
    ("declaration", "encoding"),
    [
        ('<?xml version="1.0" encoding="iso-8859-1"?>', "iso-8859-1"),
        ("<?xml version='1.0' encoding='UTF-8'?>", "utf-8-sig"),
        ('<?xml version="1.0" encoding="UTF-16"?>', "utf-16"),
        ('<?xml version="1.0" encoding="windows-1252"?>', "cp1252"),
    ],
)
def test_encodings_survive(declaration: str, encoding: str) -> None:
    text = (
        SAMPLE_BASIC.replace('<?xml version="1.0"?>', declaration)
        .replace("A sample", "Über ein Café")
        .replace("<tools", "<tools")
    )
    result = present(text.encode(encoding), "f", "xml", TWO).content
    assert result == xml(text.replace(declaration, ""), TWO).replace("\n", declaration + "\n", 1).encode(encoding)
    assert absent(result, "f", "xml").content == text.encode(encoding)


def test_doctype_entities_and_instructions_survive() -> None:
    text = '<?xml version="1.0"?>\n<!DOCTYPE job_conf [<!ENTITY w "4"><!ENTITY ext SYSTEM "file:///etc/passwd">]>\n<?pi <handlers> ?>\n<job_conf>\n'
    text += '  <plugins workers="&w;"/> <!-- <handlers>\n  </handlers> -->\n  <tools>&ext;&w;</tools>\n</job_conf>\n<!-- end -->\n'
    result = xml(text, POOL)
    assert result == text.replace(
        "</handlers> -->\n",
        '</handlers> -->\n  <handlers assign_with="db-skip-locked" max_grab="8" ready_window_size="50"/>\n',
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "f:1: malformed XML at column 1: no element found"),
        ("<job_conf>\n  <plugins>\n </job_conf>", "f:3: malformed XML at column 4: mismatched tag"),
        ("<job_conf>&unknown;</job_conf>", "malformed XML at column 11: undefined entity"),
        ("<toolbox/>", "its root element is <toolbox>, not <job_conf>"),
        ("<job_conf/>", "<job_conf/> is empty"),
        ("<job_conf>\n<handlers/>\n<handlers/></job_conf>", "f:3: has 2 <handlers> elements (lines 2, 3)"),
        (
            '<job_conf><handlers>\n<handler id="a"/>\n<handler id="a"/></handlers></job_conf>',
            "f:3: handler 'a' is defined 2 times (lines 2, 3)",
        ),
        ('<job_conf><handlers max_grab="many"/></job_conf>', "max_grab is 'many', not an integer"),
        ('<?xml version="1.0" encoding="klingon"?><job_conf/>', "encoding 'klingon', which is unknown"),
        (
            '<!DOCTYPE job_conf [<!ENTITY h "<handlers/>">]>\n<job_conf>&h;</job_conf>',
            "f:2: <handlers> comes from an entity",
        ),
        (
            "<!DOCTYPE job_conf [<!ENTITY h \"<handler id='a'/>\">]>\n<job_conf><handlers>&h;</handlers></job_conf>",
            "f:2: <handler> comes from an entity",
        ),
    ],
)
def test_xml_that_cannot_be_edited_is_refused(text: str, message: str) -> None:
    with pytest.raises(JobConfError) as caught:
        present(text.encode(), "f", "xml", TWO)
    assert message in str(caught.value)


def test_not_utf8_is_refused_with_its_line() -> None:
    for kind in ("xml", "yaml"):
        with pytest.raises(JobConfError, match=r"^f:2: is not encoded in utf-8"):
            present(b"<job_conf>\n\xff</job_conf>", "f", kind, TWO)


@pytest.mark.parametrize("text", ["", "\n", "# nothing", "# nothing\n", "# one\n\n# two\n"])
def test_file_without_any_key_gets_handlers_and_is_as_it_was_without_them(text: str) -> None:
    changed = present(text.encode(), "job_conf.yml", "yaml", TWO).content
    assert changed is not None and read(changed, "job_conf.yml", "yaml").same_as(TWO)
    assert absent(changed, "job_conf.yml", "yaml", ["handler0", "handler1"]).content == text.encode()


def test_file_of_handlers_alone_can_be_emptied_and_filled_again() -> None:
    first = present(b"handling:\n  processes:\n    handler0:\n", "job_conf.yml", "yaml", TWO, purge=True).content
    emptied = absent(first, "job_conf.yml", "yaml").content
    assert emptied == b""
    assert absent(emptied, "job_conf.yml", "yaml").content == b""
    filled = present(emptied, "job_conf.yml", "yaml", TWO, purge=True).content
    assert filled is not None and read(filled, "job_conf.yml", "yaml").same_as(TWO)
    assert absent(filled, "job_conf.yml", "yaml").content == emptied


@pytest.mark.parametrize("text", [b"", b"# nothing\n", b"handling:\n  processes:\n    handler0:\n"])
def test_file_that_says_nothing_of_runners_is_an_error_before_anything_is_changed(text: bytes) -> None:
    assert "runners" in " ".join(finding.message for finding in check(text, "job_conf.yml"))
    assert "runners" in " ".join(finding.message for finding in check_changed(text, "job_conf.yml", TWO)[0])


@pytest.mark.parametrize("text", ["execution: {default: a, environments: {a: {}}}\n", "runners:\nexecution: {}\n", "runners: [local]\nexecution: {}\n"])
def test_yaml_without_a_mapping_of_runners_is_an_error(text: str) -> None:
    # Galaxy: job_config_dict["runners"].items()
    message = "has no mapping 'runners', and Galaxy does not start without one"
    assert message in " ".join(finding.message for finding in check(text.encode(), "job_conf.yml"))
    assert message in " ".join(finding.message for finding in check_changed(text.encode(), "job_conf.yml", TWO)[0])


def test_exploding_entities_are_refused() -> None:
    text = (
        '<!DOCTYPE job_conf [<!ENTITY a0 "0123456789">'
        + "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
        + "]>"
    )
    assert "malformed XML" in refused("xml", text + "<job_conf><plugins/>&a9;</job_conf>")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n", "job_conf.yml:1: its root is not a mapping"),
        (
            "a: 1\n\tb: 2\n",
            "job_conf.yml:2: malformed YAML at column 1: while scanning for the next token: found character '\\t'",
        ),
        ("a: 1\nb: [1\n", "job_conf.yml:2: malformed YAML at column 4: while parsing a flow sequence"),
        # libyaml reads these two, and Galaxy does not.
        (
            "a: 1\t# one\n",
            "job_conf.yml:1: malformed YAML at column 5: while scanning for the next token: found character '\\t'",
        ),
        ("a: {b?: 1}\n", "malformed YAML"),
        ("a: 1\n--- \nb: 1\n", "malformed YAML"),
        ("a: !secret x\n", "job_conf.yml:1: malformed YAML at column 4: could not determine a constructor"),
        ("a: 1\nb: \x00\n", "job_conf.yml:2: malformed YAML"),
        ("a: 2026-13-45\n", "malformed YAML"),
        ("[" * 1000, "nested too deeply"),
        ("{runners: {}}\n", "job_conf.yml:1: a mapping in { } cannot be edited"),
        ("? runners\n: {}\n", "job_conf.yml:1: a key that does not start its line"),
        ("handling: 1\n", "job_conf.yml:1: 'handling' is not a mapping"),
        ("a: 1\nhandling: {}\nhandling: {}\n", "job_conf.yml:3: has 2 keys 'handling' (lines 2, 3)"),
        ("handling:\n  processes:\n    a:\n    a:\n", "job_conf.yml:4: handler 'a' is defined 2 times (lines 3, 4)"),
        ("handling:\n  processes: [a]\n", "'processes' in 'handling' is not a mapping"),
        ("handling:\n  processes:\n    1:\n", "quote it, '1'"),
        ("handling:\n  processes:\n    a: b\n", "job_conf.yml:3: handler 'a' is 'b', not a mapping"),
        (
            "handling:\n  processes:\n    a:\n      tags: b\n",
            "job_conf.yml:3: handler 'a': tags is 'b': write a list, [b]",
        ),
        ("handling:\n  assign: db-self\n", "assign is 'db-self': write a list"),
        ("handling:\n  max_grab: x\n", "max_grab is 'x', not an integer"),
        ("handling:\n  processes:\n    b: &b {tags: [t]}\nx: *b\n", "job_conf.yml:3: &b in 'handling'"),
        ("x: &b {tags: [t]}\nhandling:\n  processes:\n    b: *b\n", "job_conf.yml:4: *b in 'handling'"),
        ("x: &b {processes: {}}\nhandling: *b\n", "job_conf.yml:2: *b in 'handling'"),
        ("x: &b {handling: {processes: {a: }}}\n<<: *b\n", "'handling' comes from a merge key"),
        ("handling:\n  assign: !!seq\n  - db-self\n", "job_conf.yml:2: !!seq in 'handling' cannot be edited safely"),
        (
            "handling:\n  processes:\n    <<: {handler0: {tags: [x]}}\n    handler1:\n",
            "is written in a way that cannot be edited safely",
        ),
    ],
)
def test_yaml_that_cannot_be_edited_is_refused(text: str, message: str) -> None:
    assert message in refused("yml", text)


def test_aliases_elsewhere_are_no_obstacle() -> None:
    text = "runners:\n  a: &a {x: 1}\n  b: *a\nexecution: {}\n"
    assert yml(text, Handling((Handler("h"),))) == text.replace(
        "execution", "handling:\n  processes:\n    h:\nexecution"
    )


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("job_conf.xml", SAMPLE_BASIC, []),
        ("job_conf.yml", SAMPLE_YAML, []),
        ("job_conf", SAMPLE_BASIC, []),
        ("job_conf", SAMPLE_YAML, []),
        ("job_conf.xml", "<job_conf>\n", ["job_conf.xml:2: malformed XML"]),
        ("job_conf", "\n<jobs/>\n", ["job_conf:2: its root element is <jobs>"]),
        (
            "job_conf.xml",
            '<job_conf>\n<handlers assign_with="x">\n<handler id="a"/>\n<handler id="a"/></handlers></job_conf>',
            ["job_conf.xml:4: handler 'a' is defined 2 times (lines 3, 4)", "job_conf.xml:2: assign_with 'x'"],
        ),
        (
            "job_conf.yml",
            "handling:\n  processes:\n    a:\n    a:\n",
            ["job_conf.yml:4: handler 'a' is defined 2 times (lines 3, 4)"],
        ),
    ],
)
def test_check_says_what_is_wrong_and_where(name: str, text: str, expected: list[str]) -> None:
    found = check(text.encode(), name)
    assert len(found) == len(expected)
    for finding, start in zip(found, expected):
        assert str(finding).startswith(start)
        assert finding.severity == "error"


ROUTED_XML = """\
<job_conf>
    <plugins><plugin id="local" type="runner" load="galaxy.jobs.runners.local:LocalJobRunner"/></plugins>
    <handlers default="{default}">
        <handler id="handler0" tags="handlers"/>
        <handler id="special0" tags="special"/>
    </handlers>
    <destinations>
        <destination id="local" runner="local">
            <resubmit condition="memory_limit_reached" handler="{resubmit}"/>
        </destination>
    </destinations>
    <tools>
        <tool id="upload1" destination="local"/>
        <tool id="bwa" handler="{tool}"/>
    </tools>
</job_conf>
"""
ROUTED_YAML = """\
handling:
  default: {default}
  processes:
    handler0: {{tags: [handlers]}}
    special0: {{tags: [special]}}
execution:
  environments:
    local:
      runner: local
      resubmit:
      - condition: memory_limit_reached
        handler: {resubmit}
tools:
- id: upload1
- class: local
  handler: {tool}
runners: {{local: {{load: galaxy.jobs.runners.local:LocalJobRunner}}}}
"""


@pytest.mark.parametrize(("name", "text"), [("job_conf.xml", ROUTED_XML), ("job_conf.yml", ROUTED_YAML)])
def test_a_tag_that_nobody_listens_to_is_named(name: str, text: str) -> None:
    good = {"default": "handlers", "resubmit": "special0", "tool": "special"}
    assert check(text.format(**good).encode(), name) == []
    for who, place in (("resubmit", "local"), ("tool", "bwa" if "xml" in name else "local")):
        (finding,) = check(text.format(**{**good, who: "gpu"}).encode(), name)
        line = next(number for number, content in enumerate(text.splitlines(), 1) if f"{{{who}}}" in content)
        assert (finding.line, finding.severity) == (line, "error")
        assert finding.message.startswith(who)
        assert f"{place!r}: no handler has the id or tag 'gpu', so its jobs would wait for ever" in finding.message
        assert finding.message.endswith("use one of handler0, handlers, special, special0")


def test_jobs_that_name_no_handler_need_one() -> None:
    text = '<job_conf><plugins/>\n<handlers{}>\n<handler id="a" tags="b"/></handlers></job_conf>'
    (finding,) = check(text.format("").encode(), "job_conf.xml")
    assert finding.line == 2
    assert "make one of a, b the default (job_handlers_default)" in finding.message
    for setting in (' default="b"', ' default_from_environ="X"', ' default_from_config="x"'):
        assert check(text.format(setting).encode(), "job_conf.xml") == []


def test_without_handlers_tags_are_those_of_pools() -> None:
    assert check(b'<job_conf><tools><tool id="x" handler="pool"/></tools></job_conf>', "job_conf.xml") == []


CHANGED = '<job_conf>\n<handlers>\n<handler id="a"/>\n<handler id="b" tags="t"/>\n</handlers>\n<tools><tool id="x" handler="t"/></tools>\n</job_conf>\n'


def test_a_change_is_checked_before_it_is_made() -> None:
    findings, handling = check_changed(
        CHANGED.encode(), "job_conf.xml", Handling((Handler("a"), Handler("c", ("t",))), ("db-preassign",)), True
    )
    assert findings == []
    assert list(handling.by_id) == ["a", "c"]
    findings, _handling = check_changed(CHANGED.encode(), "job_conf.xml", Handling((Handler("a"),)), True)
    assert [(finding.line, finding.severity) for finding in findings] == [(6, "error")]
    assert "tool 'x': no handler has the id or tag 't'" in findings[0].message


def test_a_handler_without_a_process_here_is_warned_about() -> None:
    findings, _handling = check_changed(CHANGED.encode(), "job_conf.xml", Handling((Handler("a"),)))
    assert [(finding.line, finding.severity) for finding in findings] == [(4, "warning")]
    assert "handler 'b' has no process on this host" in findings[0].message


@pytest.mark.parametrize("name", ["job_conf.xml", "job_conf.yml"])
def test_a_file_that_is_about_to_be_made_is_checked(name: str) -> None:
    assert check_changed(None, name, Handling((Handler("a"),), ("db-preassign",)), True)[0] == []
    (finding,) = check_changed(None, name, Handling((Handler("a", ("t",)),)), True)[0]
    assert (finding.line, finding.severity) == (0, "error")
    (finding,) = check_changed(None, name, Handling((Handler("a"), Handler("a"))), True)[0]
    assert "'a' is defined 2 times" in finding.message


def test_what_cannot_be_changed_is_found() -> None:
    assert "malformed XML" in check_changed(b"<job_conf>", "job_conf.xml", Handling((Handler("a"),)))[0][0].message
    assert "none of .xml" in check_changed(None, "job_conf", Handling((Handler("a"),)))[0][0].message


# --- Names ------------------------------------------------------------------------------------------------------------

NAMED_XML = """\
<job_conf>
    <plugins>
        <plugin id="local" type="runner" load="galaxy.jobs.runners.local:LocalJobRunner"/>
        <plugin id="slurm" type="runner" load="galaxy.jobs.runners.slurm:SlurmJobRunner"/>
    </plugins>
    <handlers>
        <handler id="handler0"><plugin id="slurm"/></handler>
    </handlers>
    <destinations default="tpv">
        <destination id="tpv" runner="dynamic"><param id="function">map_tool_to_destination</param></destination>
        <destination id="cluster" runner="slurm" tags="big, long">
            <resubmit condition="memory_limit_reached" destination="local"/>
        </destination>
        <destination id="local" runner="local"/>
    </destinations>
    <tools>
        <tool id="bwa" destination="big"/>
        <tool class="local" destination="local"/>
    </tools>
    <limits>
        <limit type="destination_user_concurrent_jobs" tag="long">2</limit>
        <limit type="destination_total_concurrent_jobs" id="local">2</limit>
    </limits>
</job_conf>
"""
NAMED_YAML = """\
runners:
  local:
    load: galaxy.jobs.runners.local:LocalJobRunner
  slurm:
    load: galaxy.jobs.runners.slurm:SlurmJobRunner
handling:
  processes:
    handler0:
      plugins: [slurm]
      environment: {A: b}
execution:
  default: tpv
  environments:
    tpv:
      runner: dynamic_tpv
      tpv_config_files: [/srv/galaxy/tpv.yml]
    cluster:
      runner: slurm
      tags: [big, long]
      resubmit:
      - condition: memory_limit_reached
        environment: local
    local:
      runner: local
tools:
- id: bwa
  environment: big
  source: trackster
- class: local
  environment: local
limits:
- type: environment_user_concurrent_jobs
  tag: long
  value: 2
- type: environment_total_concurrent_jobs
  id: local
  value: 2
"""
NAMED = {"job_conf.xml": NAMED_XML, "job_conf.yml": NAMED_YAML}


def listed(text: str) -> str:
    """The YAML file with its environments in a list."""
    return re.sub(r"(?m)^    (\w+):\n      runner", r"    - id: \1\n      runner", text)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *NAMED.items(),
        ("job_conf.yml", listed(NAMED_YAML)),
        ("job_conf.yml", NAMED_YAML.replace("    local:\n      runner", "    local: &l\n      runner") + "x: *l\n"),
        (
            "job_conf.xml",
            NAMED_XML.replace("<destinations default", "<destinations default_from_environ='X' default").replace(
                '"tpv">', '"nowhere">'
            ),
        ),
        (
            "job_conf.xml",
            NAMED_XML.replace('default="tpv"', 'default="small"').replace(
                "</destinations>", '<expand macro="m" id="small"/></destinations>'
            ),
        ),
        (
            "job_conf.xml",
            NAMED_XML.replace('destination="big"', 'destination="@BIG@"').replace(
                'runner="slurm"', 'runner="@RUNNER@"'
            ),
        ),
        (
            "job_conf.xml",
            NAMED_XML.replace("    <handler id", '    <expand macro="h"/>\n<handler id').replace(
                '"bwa"', '"bwa" handler="h"'
            ),
        ),
        ("job_conf.yml", NAMED_YAML.replace("    local:\n      runner: local", "    <<: {local: {runner: local}}")),
    ],
)
def test_what_galaxy_accepts_has_no_findings(name: str, text: str) -> None:
    assert [str(finding) for finding in check(text.encode(), name) if "does not read 'x'" not in finding.message] == []


@pytest.mark.parametrize(
    ("xml_change", "yaml_change", "severity", "message"),
    [
        (
            ('<plugin id="slurm"/>', '<plugin id="pbs"/>'),
            ("plugins: [slurm]", "plugins: [pbs]"),
            "error",
            "handler 'handler0': there is no runner 'pbs'",
        ),
        (
            ('default="tpv"', 'default="nowhere"'),
            ("default: tpv", "default: nowhere"),
            "error",
            "default 'nowhere' is neither the id nor a tag",
        ),
        (
            (' default="tpv"', ""),
            ("  default: tpv\n", ""),
            "error",
            "there is no default among big, cluster, local, long, tpv",
        ),
        (
            ('runner="slurm"', 'runner="pbs"'),
            ("runner: slurm", "runner: pbs"),
            "error",
            "'cluster': there is no runner 'pbs'",
        ),
        (
            (
                '        <destination id="local"',
                "<destination id='old' runner='pbs'/>\n        <destination id=\"local\"",
            ),
            ("    local:\n      runner", "    old: {runner: pbs}\n    local:\n      runner"),
            "warning",
            "'old': there is no runner 'pbs'",
        ),
        (
            ('destination="big"', 'destination="gone"'),
            ("environment: big", "environment: gone"),
            "error",
            "tool 'bwa': no",
        ),
        (
            ('destination="local"/>\n    </tools>', 'destination="gone"/>\n    </tools>'),
            ("local\nlimits", "gone\nlimits"),
            "error",
            "tool 'local': no",
        ),
        (
            ('destination="local"/>\n        </d', 'destination="gone"/>\n        </d'),
            ("environment: local\n    local", "environment: gone\n    local"),
            "error",
            "resubmit of ",
        ),
        (('tag="long"', 'tag="gone"'), ("tag: long", "tag: gone"), "warning", "so this limits nothing"),
        (('id="local">2', 'id="gone">2'), ("id: local", "id: gone"), "warning", "so this limits nothing"),
        (
            ('id="tpv" runner', 'id="cluster" runner'),
            ("    tpv:", "    cluster:"),
            "warning",
            "'cluster' is defined 2 times",
        ),
        (
            ('plugin id="local"', 'plugin id="slurm"'),
            ("  local:\n    load", "  slurm:\n    load"),
            "warning",
            "'slurm' is defined 2 times",
        ),
        (
            (' load="galaxy.jobs.runners.slurm:SlurmJobRunner"', ""),
            ("    load: galaxy.jobs.runners.slurm:SlurmJobRunner\n", "    laod: galaxy.jobs.runners.slurm:SlurmJobRunner\n"),
            "error",
            "'cluster': there is no runner 'slurm'",
        ),
        (
            ('runner="local"', 'runnr="local"'),
            ("      runner: local\n", "      runnr: local\n"),
            "warning",
            "'local' has no runner",
        ),
        (
            ('user_concurrent_jobs" tag', 'user_concurent_jobs" tag'),
            ("user_concurrent_jobs\n  tag", "user_concurent_jobs\n  tag"),
            "error",
            "is none that Galaxy knows, so this limits nothing: write ",
        ),
        (('"long">2<', '"long">two<'), ("long\n  value: 2", "long\n  value: two"), "error", "is 'two', which stops Galaxy"),
        (('class="local"', 'class="locals"'), ("class: local", "class: locals"), "error", "class 'locals' of tools is none"),
        (('<tool class="local" ', "<tool "), ("- class: local\n  env", "- env"), "error", "a tool has neither id nor class"),
    ],
)
@pytest.mark.parametrize("name", sorted(NAMED))
def test_a_name_that_refers_to_nothing_is_found(
    xml_change: tuple[str, str], yaml_change: tuple[str, str], severity: str, message: str, name: str
) -> None:
    old, new = xml_change if name.endswith("xml") else yaml_change
    assert old in NAMED[name]
    text = NAMED[name].replace(old, new, 1)
    (finding, *_others) = [found for found in check(text.encode(), name) if message in found.message]
    assert finding.severity == severity
    assert finding.line > 0
    # The same before a change of the handlers
    wanted = read(text.encode(), name, file_format(name))
    changed = check_changed(text.encode(), name, replace(wanted, max_grab=3))[0]
    assert [(found.severity, found.line) for found in changed if message in found.message] == [(severity, finding.line)]


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        (
            "job_conf.yml",
            "handling:\n",
            "handling:\n  assign_with: [db-preassign]\n",
            "7: error: 'handling': Galaxy does not read 'assign_with' here: write a",
        ),
        (
            "job_conf.yml",
            "handling:\n",
            "handling:\n  max-grab: 3\n",
            "7: error: 'handling': Galaxy does not read 'max-grab' here: write max_grab",
        ),
        (
            "job_conf.yml",
            "handling:\n",
            "handling:\n  colour: red\n",
            "7: warning: 'handling': Galaxy does not read 'colour' here: remove it",
        ),
        (
            "job_conf.yml",
            "      plugins:",
            "      tag: [a]\n      plugins:",
            "9: error: handler 'handler0': Galaxy does not read 'tag' here: write tags",
        ),
        (
            "job_conf.yml",
            "runners:",
            "destinations: {}\nrunners:",
            "1: error: the file: Galaxy does not read 'destinations' here: write execution",
        ),
        (
            "job_conf.yml",
            "  environment: big",
            "  environment: big\n  destination: big",
            "error: tool 'bwa': Galaxy does not read 'destination' here",
        ),
        (
            "job_conf.yml",
            "        environment: local\n",
            "        destination: local\n",
            "error: resubmit of environment 'cluster': Galaxy does not",
        ),
        (
            "job_conf.xml",
            "<handlers>",
            '<handlers assign="db-preassign">',
            "6: error: <handlers>: Galaxy does not read 'assign' here: write assign_with",
        ),
        (
            "job_conf.xml",
            "<handlers>",
            '<handlers colour="red">',
            "6: warning: <handlers>: Galaxy does not read 'colour' here: remove it",
        ),
        (
            "job_conf.xml",
            '<handler id="handler0"',
            '<handler id="handler0" tag="a"',
            "7: error: handler 'handler0': Galaxy does not read 'tag' here: write",
        ),
        (
            "job_conf.xml",
            "<plugins>",
            "<runners/>\n<plugins>",
            "2: error: <job_conf>: Galaxy does not read 'runners' here: write plugins",
        ),
        (
            "job_conf.xml",
            'id="bwa" destination',
            'id="bwa" environment',
            "error: tool 'bwa': Galaxy does not read 'environment' here: write destination",
        ),
        (
            "job_conf.xml",
            'id="slurm" type',
            'id="slurm" worker="2" type',
            "4: error: plugin 'slurm': Galaxy does not read 'worker' here: write workers",
        ),
        (
            "job_conf.xml",
            'id="local" runner',
            'id="local" plugin="x" runner',
            "error: destination 'local': Galaxy does not read 'plugin' here: write runner",
        ),
    ],
)
def test_a_key_that_galaxy_does_not_read_is_named(name: str, old: str, new: str, message: str) -> None:
    assert old in NAMED[name]
    (finding,) = check(NAMED[name].replace(old, new, 1).encode(), name)
    assert message in f"{finding.line}: {finding.severity}: {finding.message}"


OFF = [
    ("job_conf.xml", 'JobRunner"/>\n    </plugins>', 'JobRunner"><param id="enabled">false</param></plugin>\n    </plugins>', "no runner 'slurm'"),
    ("job_conf.yml", "slurm:SlurmJobRunner\n", "slurm:SlurmJobRunner\n    enabled: false\n", "no runner 'slurm'"),
    ("job_conf.yml", "slurm:SlurmJobRunner\n", "slurm:SlurmJobRunner\n    kwds: {enabled: 'no'}\n", "no runner 'slurm'"),
    ("job_conf.yml", "      runner: dynamic_tpv\n", "      runner: dynamic_tpv\n      enabled: false\n", "default 'tpv' is neither"),
]


@pytest.mark.parametrize(("name", "old", "new", "message"), OFF)
def test_what_is_switched_off_is_not_there(name: str, old: str, new: str, message: str) -> None:
    assert old in NAMED[name]
    assert [found for found in check(NAMED[name].replace(old, new, 1).encode(), name) if message in found.message]
    on = NAMED[name].replace(old, re.sub("false|'no'", "true", new), 1)
    assert check(on.encode(), name) == []


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("job_conf.xml", "    <limits>", "    <destinations/>\n    <limits>", "there are 2 <destinations> elements (lines"),
        ("job_conf.yml", "tools:\n", "execution: {}\ntools:\n", "there are 2 keys 'execution' (lines"),
        ("job_conf.yml", "runners:\n", "runners: {}\nrunners:\n", "there are 2 keys 'runners' (lines"),
        ("job_conf.xml", '<plugin id="slurm"/>', '<plugins id="slurm"/>', "handler 'handler0': Galaxy does not read 'plugins' here: write plugin"),
        ("job_conf.xml", '<plugin id="slurm"/>', '<plugin name="slurm"/>', "plugin of handler 'handler0': Galaxy does not read 'name' here: write id"),
        ("job_conf.xml", "<destinations d", "<tools><tol id='x'/></tools><destinations d", "<tools>: Galaxy does not read 'tol' here: write tool"),
    ],
)
def test_what_galaxy_takes_no_notice_of_is_named(name: str, old: str, new: str, message: str) -> None:
    assert old in NAMED[name]
    (finding,) = [found for found in check(NAMED[name].replace(old, new, 1).encode(), name) if message in found.message]
    assert (finding.severity, finding.line > 0) == ("error", True)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("yaml", "runners: {}\nhandling:\n  assign_with: [db-preassign]\n"),
        ("yaml", "runners: {}\nhandling:\n  processes:\n    handler0: {tag: [a]}\n"),
        ("yaml", "runners: {}\nhandlers: {processes: {a: }}\n"),
        ("xml", '<job_conf>\n<handlers assign="db-preassign"/></job_conf>'),
        ("xml", '<job_conf>\n<handlers><handler name="handler0"/></handlers></job_conf>'),
        ("xml", '<job_conf>\n<handling><handler id="handler0"/></handling></job_conf>'),
    ],
)
def test_a_misspelled_key_is_not_doubled(kind: str, text: str) -> None:
    with pytest.raises(JobConfError, match="does not read"):
        present(text.encode(), "f", kind, TWO)
    # What goes need not be right.
    assert absent(text.encode(), "f", kind).handlers == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("galaxy:\n  job_config_file: job_conf.yml\n", "its keys are galaxy, so this is Galaxy's own configuration"),
        (
            "# c\ngravity: {}\nuwsgi: {}\ngalaxy: {}\n",
            "f:2: its keys are galaxy, gravity, uwsgi, so this is Galaxy's own",
        ),
        (
            "galaxy_root: /srv/galaxy\njob_handlers: 2\na: 1\nb: 2\n",
            "its keys are a, b, galaxy_root, ..., so this is another file",
        ),
        ("[app:main]\nuse = egg:x\n", "the file is an INI file"),
        ("; c\n[uwsgi]\nprocesses = 2\n", "the file is an INI file"),
        ("<job_conf>\n</job_conf>\n", "the file is XML"),
        ("- hosts: all\n", "its root is not a mapping"),
    ],
)
def test_another_file_is_refused(text: str, message: str) -> None:
    for attempt in (
        lambda: present(text.encode(), "f", "yaml", TWO),
        lambda: absent(text.encode(), "f", "yaml"),
        lambda: read(text.encode(), "f", "yaml"),
    ):
        with pytest.raises(JobConfError) as caught:
            attempt()
        assert message in str(caught.value)
    if "XML" not in message:
        assert message in str(check(text.encode(), "f")[0])
        assert "not XML" in str(check(text.encode(), "f.xml")[0]) or "INI" in message


# --- Properties -------------------------------------------------------------------------------------------------------

names = st.text("abXY01_-.", min_size=1, max_size=4)


@st.composite
def handlings(draw: st.DrawFn) -> Handling:
    """Any set of handlers and settings that fits together."""
    ids = draw(st.lists(names, unique=True, max_size=4))
    tags = st.lists(names.filter(lambda name: name not in ids), unique=True, max_size=2).map(tuple)
    plugins = st.lists(names, unique=True, max_size=2).map(tuple)
    handlers = tuple(Handler(name, draw(tags), draw(plugins)) for name in ids)
    size = st.none() | st.integers(1, 99)
    assign = st.none() | st.lists(st.sampled_from(["db-self", "db-skip-locked"]), min_size=1, unique=True).map(tuple)
    default = draw(st.none() | st.sampled_from(sorted(Handling(handlers).names) or ["any"]))
    return Handling(handlers, draw(assign), default, draw(size), draw(size))


JUNK_XML = st.sampled_from(
    [
        "<!-- <handlers> -->",
        "<!-- é\n  b -->",
        "<tools>\n<tool id='x'/></tools>",
        "<limits/>",
        "<?pi x?>",
        "<resources><![CDATA[<handlers>]]></resources>",
        "",
        "  ",
        "&lt;",
    ]
)
JUNK_YAML = st.sampled_from(
    [
        "# handling:",
        "  # deeper",
        "",
        "x: [1, 2]",
        "y:\n  handling: {}\n  # c",
        "z: |\n  handling:\n    a",
        "é: 'ü'  # ö",
        "w:\n- 1\n-  a: b",
    ]
)
newlines = st.sampled_from(["\n", "\r\n"])


@st.composite
def xml_documents(draw: st.DrawFn) -> str:
    """A job_conf.xml without handlers."""
    plugins = draw(st.sampled_from(["", '<plugins><plugin id="é"/></plugins>', "<plugins/>"]))
    separators = st.sampled_from(["\n    ", "\n\t", "\n\n  ", ""])
    parts = [
        draw(separators) + part
        for part in [*draw(st.lists(JUNK_XML, max_size=3)), plugins, *draw(st.lists(JUNK_XML, max_size=3))]
    ]
    head = draw(
        st.sampled_from(
            [
                "",
                '<?xml version="1.0"?>\n',
                "\ufeff<?xml version='1.0' encoding='utf-8'?>\n<!DOCTYPE job_conf>\n<!-- c -->",
            ]
        )
    )
    return (
        head
        + "<job_conf>"
        + "".join(parts)
        + draw(st.sampled_from(["\n", ""]))
        + "</job_conf>"
        + draw(st.sampled_from(["\n", ""]))
    ).replace("\n", draw(newlines))


@st.composite
def yaml_documents(draw: st.DrawFn) -> str:
    """A job_conf.yml without handling."""
    block = "runners:\n    local:\n        workers: 4\n        # c\n"
    runners = draw(
        st.sampled_from(["execution: {}\n", block, "runners: {local: {workers: 4}}\n", "runners: # c\n  x:\n"])
    )
    before, after = (draw(st.lists(JUNK_YAML, max_size=3, unique=True)) for _part in range(2))
    text = (
        "".join(f"{part}\n" for part in before)
        + runners
        + "".join(f"{part}\n" for part in after if part not in before)
        + "last: 1"
    )
    return (
        draw(st.sampled_from(["", "---\n", "\ufeff# c\n"])) + text + draw(st.sampled_from(["\n", "", "\n\n# end\n"]))
    ).replace("\n", draw(newlines))


def outside(before: str, after: str) -> bool:
    """Whether I(after) is I(before) with something inserted in one place."""
    start = next((i for i, (old, new) in enumerate(zip(before, after)) if old != new), min(len(before), len(after)))
    return any(before[:i] + after[i : len(after) - len(before) + i] + before[i:] == after for i in range(start + 1))


@settings(deadline=None)
@given(xml_documents(), handlings(), handlings(), st.booleans())
@example("<job_conf><tools/></job_conf>", TWO, POOL, True)
def test_any_xml_keeps_everything_else(document: str, first: Handling, second: Handling, purge: bool) -> None:
    one = xml(document, first)
    assert outside(document, one)
    assert xml(one, first) == one == xml(one, first, purge=True)
    if first != Handling():
        found = etree_handling(one.encode())
        assert found["handlers"] == {
            handler.id: (",".join(handler.tags) or None, list(handler.plugins)) for handler in first.handlers
        }
        assert found.get("assign_with") == (",".join(first.assign_with) if first.assign_with else None)
    two = xml(one, second, purge=True)
    assert read(two.encode(), "f", "xml").same_as(second)
    assert xml(two, second, purge) == two
    assert absent(two.encode(), "f", "xml").content == document.encode()


@settings(deadline=None)
@given(yaml_documents(), handlings(), handlings(), st.booleans())
def test_any_yaml_keeps_everything_else(document: str, first: Handling, second: Handling, purge: bool) -> None:
    one = yml(document, first)
    assert outside(document, one)
    assert yml(one, first) == one == yml(one, first, purge=True)
    data = yaml.safe_load(one)
    handling = data.pop("handling", {})
    assert data == yaml.safe_load(document)
    expected = {
        handler.id: {key: list(getattr(handler, key)) for key in ("tags", "plugins") if getattr(handler, key)} or None
        for handler in first.handlers
    }
    assert handling.get("processes", {}) == expected
    assert handling.get("assign") == (list(first.assign_with) if first.assign_with else None)
    two = yml(one, second, purge=True)
    assert read(two.encode(), "f", "yaml").same_as(second)
    assert yml(two, second, purge) == two
    assert absent(two.encode(), "f", "yaml").content == document.encode()


EMPTY_XML = ["<handlers/>", "<handlers />", "<handlers></handlers>", "<handlers >\n    </handlers >", "<handlers> </handlers>"]
EMPTY_YAML = ["handling:\n", "handling: {}\n", "handling: { } # c\n", "handling: null  # c\n", "handling: ~\n  # c\n"]
OTHERS_XML = ['<handlers><handler id="o0"/></handlers>', '<handlers default="t">\n <handler id="o0" tags="t"/><handler id="o1"/> </handlers>']
OTHERS_YAML = ["handling: {processes: {o0: {tags: [t]}}} # c\n", "handling:\n  processes: {o0: , o1: {plugins: [x]}}\n  max_grab: 1\n"]


@st.composite
def starts(draw: st.DrawFn) -> tuple[str, str]:
    """The format of a job configuration, and its text: with nothing about handlers, with something that says nothing, with settings, with handlers."""
    kind = draw(st.sampled_from(["xml", "yaml"]))
    if kind == "xml":
        document = draw(xml_documents())
        part = draw(st.sampled_from(["", *EMPTY_XML, *SETTINGS_XML, *OTHERS_XML]))
        part = draw(st.sampled_from(["", "\n    ", "\n\t"])) + part
        text = document.replace("</job_conf>", f"{part}</job_conf>") if part.strip() else document
    else:
        document = draw(yaml_documents())
        part = draw(st.sampled_from(["", *EMPTY_YAML, *SETTINGS_YAML, *OTHERS_YAML]))
        start = document.index("last: 1")
        text = document[:start] + part + document[start:] if draw(st.booleans()) else document
        text = f"{document}\n{part}" if part and text == document else text
        text = text.rstrip("\n") if draw(st.booleans()) else text
    text = re.sub("\r?\n", draw(newlines), text)
    add = xml if kind == "xml" else yml
    found = read(text.encode(), "f", kind)
    others = tuple(handler for handler in draw(handlings()).handlers if found.default in (None, *handler.tags))
    return kind, add(text, Handling(others)) if others and draw(st.booleans()) else text


@settings(deadline=None, max_examples=400)
@given(starts(), handlings(), st.randoms(use_true_random=False))
@example(("xml", "<job_conf><handlers></handlers></job_conf>"), TWO, Random(0))
@example(("xml", "<job_conf><handlers/></job_conf>"), POOL, Random(0))
@example(("yaml", "handling: {}\nrunners: {}\n"), TWO, Random(0))
@example(("yaml", "runners: {}\nhandling:"), POOL, Random(0))
@example(("xml", SAMPLE_BASIC), Handling(), Random(0))
@example(
    ("xml", '<job_conf><handlers default="t"><handler id="o" tags="t"/></handlers></job_conf>'),
    Handling((Handler("0"), Handler("1")), default="1"),
    Random(3),
)
@example(("yaml", "runners: {}\nhandling:\n  max_grab: 4 # mine\n"), POOL, Random(0))
@example(("yaml", "runners: {}\nhandling:\n  assign: [db-self]\n  processes:\n    o0:\n"), POOL, Random(0))
@example(("xml", '<job_conf><handlers max_grab="4"/></job_conf>'), POOL, Random(0))
@example(("xml", '<job_conf>\n <handlers assign_with="db-self">\n  <handler id="o0"/>\n </handlers>\n</job_conf>'), POOL, Random(0))
def test_absent_undoes_present_whatever_was_there(start: tuple[str, str], wanted: Handling, order: Random) -> None:
    """For all handlers at once, and for one after the other to the last; for settings alone, and for nothing."""
    kind, text = start
    before = read(text.encode(), "f", kind)
    given_settings = {name: getattr(wanted, name) for name in ("assign_with", "default", "max_grab", "ready_window_size")}
    known = {name for name, value in given_settings.items() if value is not None and getattr(before, name) is not None}
    # What is there already is not added, so that nothing can tell it from what is.
    assume(not before.names & wanted.names)
    same = {name for name in known if given_settings[name] == getattr(before, name)}
    assume(not same or (wanted.handlers and not before.handlers))
    # Galaxy fails on an empty 'processes', so that does not stay without handlers, whatever is set.
    assume(wanted.handlers or before.handlers or "processes:" not in text)
    wanted_alone = replace(wanted, handlers=())
    ids = list(wanted.by_id)
    try:
        changed = present(text.encode(), "f", kind, wanted).content
    except JobConfError as error:
        assert "default" in str(error) or "also the id" in str(error)
        return
    if not known:
        assert absent(text.encode(), "f", kind, ids, settings=wanted_alone).content == text.encode()
    assert absent(changed, "f", kind, ids, settings=wanted_alone).content == text.encode()
    order.shuffle(ids)
    for name in ids[:-1]:
        changed = absent(changed, "f", kind, [name]).content
    assert absent(changed, "f", kind, ids[-1:], settings=wanted_alone).content == text.encode()


@pytest.mark.parametrize("kind", ["xml", "yaml"])
def test_absent_undoes_changes_of_a_setting_that_was_there(kind: str) -> None:
    """Also where the setting was changed again, where handlers came later, and after somebody has changed the rest."""
    text = {
        "xml": '<job_conf>\n    <handlers max_grab="4"/>\n</job_conf>\n',
        "yaml": "runners: {}\nhandling:\n  max_grab: 4\n",
    }[kind]
    eight, more = Handling(max_grab=8), Handling(max_grab=16)
    changed = present(present(text.encode(), "f", kind, eight).content, "f", kind, more).content
    assert absent(changed, "f", kind, [], settings=eight).content == changed
    assert absent(changed, "f", kind, [], settings=more).content == text.encode()
    both = present(present(text.encode(), "f", kind, eight).content, "f", kind, TWO).content
    assert absent(both, "f", kind, list(TWO.by_id), settings=eight).content == text.encode()
    theirs = changed.replace(b"16", b"99")
    assert absent(theirs, "f", kind, [], settings=more).content == theirs
    assert read(absent(theirs, "f", kind, [], settings=Handling(max_grab=99)).content, "f", kind).max_grab in (None, 4)


@settings(deadline=None)
@given(st.text("<>/handlersjob_conf -!\n\"='&;[]{}:#ax1", max_size=60), st.sampled_from(["xml", "yaml"]))
def test_any_text_is_edited_or_refused_but_never_a_crash(text: str, kind: str) -> None:
    try:
        content = present(text.encode(), "f", kind, TWO).content
    except JobConfError as error:
        assert str(error).startswith("f")
    else:
        assert content is not None
        assert read(content, "f", kind).by_id.keys() >= TWO.by_id.keys()
    assert isinstance(check(text.encode(), f"f.{kind}"), list)


@settings(deadline=None)
@given(st.text("handlingproces:{}[]#- \n&*a'", max_size=60))
def test_any_handling_block_is_edited_or_refused(text: str) -> None:
    document = f"runners: {{}}\nhandling:\n  {text}\nexecution: {{}}\n"
    try:
        content = yml(document, TWO)
    except JobConfError:
        return
    assert yaml.safe_load(content)["handling"]["processes"]["handler0"] == {"tags": ["handlers"]}
    assert yml(content, TWO) == content


@pytest.mark.parametrize("kind", ["xml", "yaml"])
def test_a_file_of_ours_follows_the_local_runner_and_goes_again(kind: str) -> None:
    plain = present(None, "f", kind, TWO).content
    other = present(plain, "f", kind, TWO, local_runner="mine:Runner").content
    assert plain is not None and other is not None
    assert [(runner.id, runner.load, runner.ends_with_handler) for runner in runners(plain, "f", kind)] == [
        ("local", LOCAL_RUNNER, True)
    ]
    assert [(runner.id, runner.load, runner.ends_with_handler) for runner in runners(other, "f", kind)] == [
        ("local", "mine:Runner", False)
    ]
    assert other == present(None, "f", kind, TWO, local_runner="mine:Runner").content
    assert present(other, "f", kind, TWO).content == plain
    assert absent(other, "f", kind).content is None


@pytest.mark.parametrize(("kind", "sample"), [("xml", SAMPLE_BASIC), ("yml", SAMPLE_YAML)])
def test_a_file_of_somebody_else_keeps_its_runners(kind: str, sample: str) -> None:
    kind = file_format(f"f.{kind}")
    before = runners(sample.encode(), "f", kind)
    content = present(sample.encode(), "f", kind, TWO, local_runner="mine:Runner").content
    assert before
    assert runners(content, "f", kind) == before
    assert runners(None, "f", kind) == ()


# --- What is shown ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ('<param id="private_token">hunter2</param>', '<param id="private_token">********</param>'),
        ('<param id="workers">4</param>', '<param id="workers">4</param>'),
        (
            '<param id="amqp_url">pyamqp://galaxy:hunter2@host//</param>',
            '<param id="amqp_url">pyamqp://galaxy:********@host//</param>',
        ),
        ('<param id="password"><![CDATA[hunter2\n]]></param>', '<param id="password">********</param>'),
        ('<env id="ANYTHING">hunter2</env>', '<env id="ANYTHING">********</env>'),
        (
            '<env file="/etc/environment"/><env id="A">hunter2</env>',
            '<env file="/etc/environment"/><env id="A">********</env>',
        ),
        ('<handler id="token0" tags="a"/>', '<handler id="token0" tags="a"/>'),
        ("    password: hunter2", "    password: ********"),
        ("    workers: 4", "    workers: 4"),
        ("- {name: A, value: hunter2}", "- {name: A, value: ********"),
        ("  value: 'hunter2, hunter2'  # hunter2\r", "  value: ********\r"),
        ("  - value: |\n      hunter2\n\n      hunter2\n- name: A", "  - value: |\n    ********\n- name: A"),
        ("  private_key: >-\n    hunter2\n  b: 1", "  private_key: ********\n    ********\n  b: 1"),
        ("  text: |\n    plain\n  b: 1", "  text: |\n    plain\n  b: 1"),
    ],
)
def test_secrets_are_masked(line: str, shown: str) -> None:
    assert mask_secrets(f"{line}\n") == f"{shown}\n"
