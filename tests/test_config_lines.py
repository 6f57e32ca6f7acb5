"""Lines of keys: against tomllib for what keys there are, against the text for where they stand."""

import tomllib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipconf.config_lines import key_lines, line_of


def paths_of(value: Any, path: tuple = ()) -> set[tuple]:
    """Every key path of a parsed document, the plain-loop way."""
    found = {path} if path else set()
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        found |= paths_of(inner, (*path, key))
    return found


TRICKY = '''# first
a.b.c = 1      # ]]] "
"quoted key" = "x # no comment"
'lit.eral' = '\\'
"esc\\u0041ped\\"" = 2

[table]   # a comment [not] a = header
text = """
[fake]
key = 1
four quotes: """"
after = \'\'\'
x = "y"\'\'\'\'
list = [ # one
  1, # [two]
  "]",
  [ 2,
    3 ], { deep = [ 4 ], er = { } },
]
when = 1979-05-27 07:32:00
[[things]]
name = "a"
[things.sub]
x = 1
[[things.parts]]
y = 1
[[things.parts]]
y = 2
[[things]]
name = "b"
parts = []
[[things]]
name = "c"
[  spaced . out  ]
k = { p.q = 1, "r s" = [ ] }
'''


def test_a_text_of_everything():
    lines = key_lines(TRICKY)
    assert set(lines) == paths_of(tomllib.loads(TRICKY))
    expected = {
        ("a", "b", "c"): 2,
        ("quoted key",): 3,
        ("lit.eral",): 4,
        ('escAped"',): 5,
        ("table",): 7,
        ("table", "text"): 8,
        ("table", "after"): 12,
        ("table", "list"): 14,
        ("table", "list", 1): 16,
        ("table", "list", 2, 1): 18,
        ("table", "list", 3, "deep", 0): 18,
        ("table", "when"): 20,
        ("things", 0): 21,
        ("things", 0, "sub", "x"): 24,
        ("things", 0, "parts", 1, "y"): 28,
        ("things", 1): 29,
        ("things", 1, "name"): 30,
        ("things", 2, "name"): 33,
        ("spaced", "out"): 34,
        ("spaced", "out", "k", "p", "q"): 35,
    }
    assert {path: lines[path] for path in expected} == expected


def test_windows_line_ends_count_once():
    assert key_lines("a = 1\r\n\r\nb = 2\r\n") == {("a",): 1, ("b",): 3}


def test_nearest_written_thing_around_a_missing_key():
    lines = key_lines("[[users]]\n\n[[users]]\nname = 'x'\n")
    assert line_of(lines, ("users", 1, "extension")) == 3
    assert line_of(lines, ("sip", "listen")) == 1


KEY = st.sampled_from(["alpha", "beta-2", "g_3", "4", '"quo ted"', '"dot.ted"', "'li\"t'", '"esc\\t\\u00e9"'])
SCALAR = st.sampled_from(
    ["1", "-1.5e3", "true",
     '"text # [x] ="', "'raw \\'", '"q\\"q"', '"""a\nb = 1\n[c]"""', "'''\n\"\"\"\n'''", '""',
     '"""\\\n  x\\"""" """', "''''in'''", "1979-05-27T07:32:00Z", "07:32:00", "inf", '""""two"" """']
)  # fmt: skip
SPACE = st.sampled_from(["", " ", "\n", " # c ]}\"'\n", "\n\n  "])


def array(inner):
    return st.lists(st.tuples(SPACE, inner, SPACE), max_size=3).map(
        lambda items: "[" + ",".join("".join(item) for item in items) + "]"
    )


def inline(inner):
    return st.lists(st.tuples(KEY, inner), max_size=3, unique_by=lambda pair: pair[0]).map(
        lambda pairs: "{ " + ", ".join(f"{key} = {value}" for key, value in pairs) + " }"
    )


VALUE = st.recursive(SCALAR, lambda inner: array(inner) | inline(inner), max_leaves=8)
PAIRS = st.lists(st.tuples(st.lists(KEY, min_size=1, max_size=2).map(" . ".join), VALUE), max_size=4)
HEADER = st.tuples(st.lists(KEY, min_size=1, max_size=3).map(".".join), st.booleans())
TABLES = st.lists(st.tuples(HEADER, PAIRS, st.sampled_from(["\n", "\n\n# note = [1\n", " # [x]\n"])), max_size=6)


def render(first, tables) -> str:
    text = "".join(f"{key} = {value}\n" for key, value in first)
    for (name, double), pairs, gap in tables:
        text += (f"[[{name}]]" if double else f"[{name}]") + gap
        text += "".join(f"  {key}={value} # t\n" for key, value in pairs)
    return text


@settings(max_examples=300, deadline=None)
@given(PAIRS, TABLES)
def test_same_keys_as_tomllib_and_each_on_its_line(first, tables):
    text = render(first, tables)
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return  # doubled keys and the like: not a text this is for
    lines = key_lines(text)
    assert set(lines) == paths_of(document)
    source = text.split("\n")
    for path, line in lines.items():
        assert 1 <= line <= len(source)
        if isinstance(path[-1], str):
            written = source[line - 1].replace("\\t", "\t").replace("\\u00e9", "é")
            assert path[-1] in written, (path, line)
    for path, line in lines.items():
        if len(path) > 1 and isinstance(path[-1], int) and path[-1] > 0:
            assert line >= lines[(*path[:-1], path[-1] - 1)]


@pytest.mark.parametrize("text", ["", "\n", "# only this", "a = 1"])
def test_short_texts(text):
    assert set(key_lines(text)) == paths_of(tomllib.loads(text))
