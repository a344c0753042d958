"""Names from other people's files, shown in terminals, JSON, spreadsheets and Markdown."""

import io
import json
import re
import unicodedata

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.errors import DataError
from datasets.texts.safe_text import (
    escape_markdown,
    hide_password,
    printable,
    printable_json,
    printable_lines,
    spreadsheet_cell,
    spreadsheet_frame,
    write_spreadsheet,
)

WILD = st.text(
    st.one_of(
        st.characters(exclude_categories=("Cs",)),
        st.sampled_from("\x1b\x9b\x07\r\n\t\u202e\u2066\u2028\x85\ufeff=+-@<>&|*_`[]\\\"',;"),
    ),
    max_size=30,
)


def acts(text: str) -> list[str]:
    """Characters that move the cursor, end the line or turn text around."""
    kept = "\u200c\u200d\u200e\u200f"
    hidden = ("Cc", "Cf", "Cs", "Zl", "Zp")
    return [sign for sign in text if unicodedata.category(sign) in hidden and sign not in kept]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Café del Mar – ☃ 🎵", "Café del Mar – ☃ 🎵"),
        ("\x1b]0;owned\x07", "\\x1b]0;owned\\x07"),
        ("\x9b2J", "\\x9b2J"),
        ("a\rb\nc", "a\\rb\\nc"),
        ("abc\u202egpj", "abc\\u202egpj"),
        ("\u2066hidden\u2069", "\\u2066hidden\\u2069"),
        ("می\u200cخواهم", "می\u200cخواهم"),  # a joiner of ordinary Persian
        ("👩\u200d🎤", "👩\u200d🎤"),
        ("file\udce9", "file\\udce9"),  # a file name that is not UTF-8
    ],
)
def test_what_a_terminal_gets(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.one_of(WILD, st.text(st.characters(categories=("Cc", "Cf")))))
def test_nothing_acts_on_a_terminal_and_json_keeps_its_meaning(text: str) -> None:
    assert not acts(printable(text))
    assert acts(printable_lines(text)) == ["\n"] * text.count("\n")
    document = printable_json(json.dumps({text: [text]}, ensure_ascii=False, indent=1))
    assert json.loads(document) == {text: [text]}
    assert set(acts(document)) <= {"\n"}


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+41 79", "'+41 79"),
        ("-dash", "'-dash"),
        ("@mention", "'@mention"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        (" =1", "' =1"),
        ("＝1", "'＝1"),
        ("-12.5e3", "-12.5e3"),
        ("a=1", "a=1"),
        ("", ""),
    ],
)
def test_a_spreadsheet_runs_no_formula(text: str, cell: str) -> None:
    assert spreadsheet_cell(text) == cell


def test_column_names_and_texts_of_any_type_are_safe_and_numbers_stay() -> None:
    frame = pd.DataFrame(
        {
            "=name": pd.Series(["=a", None, 3], dtype=object),
            "kind": pd.Categorical(["@x", "@x", "y"]),
            "n": [-1, 2, 3],
        }
    )
    safe = spreadsheet_frame(frame)
    assert list(safe.columns) == ["'=name", "kind", "n"]
    assert safe.iloc[:, 0].tolist() == ["'=a", None, 3]
    assert safe["kind"].tolist() == ["'@x", "'@x", "y"]
    assert safe["n"].tolist() == [-1, 2, 3]
    assert list(frame.columns) == ["=name", "kind", "n"]  # the frame itself is unchanged


@given(st.lists(st.tuples(WILD, WILD), min_size=1, max_size=4))
def test_a_spreadsheet_has_the_rows_of_the_frame(rows: list[tuple[str, str]]) -> None:
    stream = io.StringIO(newline="")
    frame = pd.DataFrame(rows, columns=["a", "b"], dtype=object)
    write_spreadsheet(frame, stream)
    stream.seek(0)
    back = pd.read_csv(stream, dtype=str, keep_default_na=False, lineterminator=None)
    expected = [[spreadsheet_cell(cell) for cell in row] for row in rows]
    assert [
        [cell.replace("\r\n", "\n").replace("\r", "\n") for cell in row]
        for row in back.values.tolist()
    ] == [
        [cell.replace("\r\n", "\n").replace("\r", "\n") for cell in row] for row in expected
    ]  # fmt: skip


@given(WILD)
def test_markdown_gets_no_html_and_no_table_cell(text: str) -> None:
    escaped = escape_markdown(text)
    assert not set("<>") & set(escaped)
    assert not re.search(r"(?<!\\)(\\\\)*[|*_`\[\]#]", escaped)
    assert not acts(escaped)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://anna:se/cr@t@host/db: down", "postgresql://anna:***@host/db: down"),
        ("'postgresql://:x y@host'", "'postgresql://:***@host'"),
        ("http://user@host:80/path", "http://user@host:80/path"),
        ("sqlite:///a.sqlite?password=x&b=1", "sqlite:///a.sqlite?password=***&b=1"),
        ("host=h password=secret dbname=d", "host=h password=*** dbname=d"),
        ("host=h password='a secret' dbname=d", "host=h password=*** dbname=d"),
        ("PGPASSWORD=secret psql", "PGPASSWORD=*** psql"),
        (
            "'postgresql://h/d?sslmode=require&sslpassword=x'",
            "'postgresql://h/d?sslmode=require&sslpassword=***'",
        ),
        ("https://h/?access_token=x&api_key=y", "https://h/?access_token=***&api_key=***"),
    ],
)
def test_passwords_are_hidden(text: str, shown: str) -> None:
    assert hide_password(text) == shown


def test_every_error_is_one_line_without_control_characters() -> None:
    error = DataError("a.csv\x1b[2J: row\r1\u202e of http://a:b@c is\nwrong")
    assert str(error) == "a.csv\\x1b[2J: row\\r1\\u202e of http://a:***@c is\\nwrong"
