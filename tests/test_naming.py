"""Names of clusters: what may be one, the table they stand in, and the folders they give."""

from __future__ import annotations

from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinfold.errors import InputError
from kinfold.naming import LONGEST, Names, check_name, folder_names, names_text, parse_names, read_names, write_names

NAME = st.text(st.characters(exclude_categories=("C", "Z")) | st.just(" "), min_size=1, max_size=LONGEST)
NAMES = NAME.map(str.strip).filter(bool)


@settings(deadline=None)
@given(st.dictionaries(st.none() | st.integers(1, 50), st.dictionaries(st.integers(0, 99), NAMES, min_size=1)))
def test_a_table_of_names_is_read_back_as_it_was(names: Names) -> None:
    assert parse_names(names_text(names), "names.csv") == names


@settings(deadline=None)
@given(st.dictionaries(st.integers(0, 30), st.text(max_size=300)))
def test_every_name_gives_a_folder_that_every_system_takes(names: dict[int, str]) -> None:
    folders = folder_names(names, ["unsure", "cluster-1"])
    assert list(folders) == list(names)
    by_name = {names[cluster]: folder for cluster, folder in folders.items()}
    assert len({folder.casefold() for folder in by_name.values()}) == len(by_name)
    for folder in by_name.values():
        assert PurePosixPath(folder).name == PureWindowsPath(folder).name == folder
        assert folder not in ("", ".", "..") and folder.casefold() not in ("unsure", "cluster-1", "con", "nul")
        assert not folder.startswith((".", " ")) and not folder.endswith((".", " ")) and folder.isprintable()
        assert len(folder.encode()) < 200


def test_devices_and_hidden_files_get_a_line_in_front() -> None:
    given_names = {0: "con", 1: "LPT1.old", 2: ".hidden", 3: "...", 4: "conclusion"}
    assert folder_names(given_names) == {0: "_con", 1: "_LPT1.old", 2: "_.hidden", 3: "_", 4: "conclusion"}


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * (LONGEST + 1), "tab\there", "\0"])
def test_what_cannot_be_a_name(name: str) -> None:
    with pytest.raises(InputError, match="cannot be the name of a cluster; expected 1 to 100 printable characters"):
        check_name(name)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("group,name\n0,cats\n", "not a table of names; expected columns 'cluster' and 'name'"),
        ("cluster,name\nzero,cats\n", "not a table of names"),
        ("cluster,name\n-1,cats\n", "not a table of names"),
        ("cluster,name\n1\n", "not a table of names"),
        ("cut,cluster,name\n0,1,cats\n", "not a table of names"),
        ("cluster,name\n1,cats\n1,dogs\n", "names cluster 1 twice"),
        ("cluster,name\n1,\n", "cannot be the name of a cluster"),
        ('cluster,name\n1,"cats\n', "not a table of names"),
    ],
)
def test_tables_that_are_none(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        parse_names(text, "names.csv")


def test_a_table_from_a_spreadsheet_is_read(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("\ufeffcluster,name\r\n0,Kätzchen\r\n".encode())
    assert read_names(tmp_path / "t.csv") == {None: {0: "Kätzchen"}}
    (tmp_path / "t.csv").write_bytes("cluster,name\n0,Kätzchen\n".encode("latin-1"))
    with pytest.raises(InputError, match="is not UTF-8 text; save it as CSV in UTF-8"):
        read_names(tmp_path / "t.csv")


def test_no_names_are_no_file(tmp_path: Path) -> None:
    assert write_names(tmp_path, {None: {1: "cats"}}).read_text() == "cut,cluster,name\n,1,cats\n"
    write_names(tmp_path, {None: {}})
    assert not list(tmp_path.iterdir())
