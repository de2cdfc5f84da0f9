"""RELION's STAR grammar: what a row may hold, what ends a table, and that whatever is written is
read back.
"""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cryoposes_plugin.core.errors import InputError
from cryoposes_plugin.core.io.star_grammar import parse, read_star, text_table, write_star

HEADER = "\ndata_particles\n\nloop_\n_rlnMicrographName #1\n_rlnImageName #2\n_rlnAngleRot #3\n"


def one_table(text):
    (table,) = parse(text, "p.star")
    return table


def texts(table):
    return {label: list(column) for label, column in table.columns.items()}


def column(value, before=""):
    """What the first column of a row with this first value is read as."""
    text = f"{HEADER}{before}{value} 1@p.mrcs 0.5\n'a b' 2@p.mrcs 1\n"
    return one_table(text).columns["rlnMicrographName"][0]


@pytest.mark.parametrize(
    "word",
    [
        "data_0001.mrc",
        "data_2023/mic.mrc",
        "DATA_x",
        "loop_mic.mrc",
        "loop_",
        "_m.mrc",
        "save_1.mrc",
        "stop_",
        "global_x",
        "$1.mrc",
        "#3_mic.mrc",
        ";mic.mrc",
        "[1]mic.mrc",
        "'mic.mrc",
        '"',
        "mic'5'.mrc",
        "mic#3.mrc",
        ".",
        "?",
        "None",
        "Grün/显微镜.mrc",
        "a\u3000b",
        "a\xa0b",
    ],
)
@pytest.mark.parametrize("before", ["", "x 3@p.mrcs 2\n", "x 3@p.mrcs 2\n\n"])
def test_a_row_may_begin_with_any_word(word, before):
    table = one_table(f"{HEADER}{before}{word} 1@p.mrcs 0.5\n")
    assert (table.columns["rlnMicrographName"][-1], len(table)) == (word, 1 + bool(before))


@pytest.mark.parametrize(
    "text, value",
    [('"my mic.mrc"', "my mic.mrc"), ("'it''s'", "it''s"), ('""', ""), ("'a \"b\" c'", 'a "b" c')],
)
def test_quotes_enclose(text, value):
    assert column(text) == value


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.replace("\n", "\r\n"),
        lambda t: t.replace("\n", "\r"),
        lambda t: t.replace("\n", " \t\n"),
        lambda t: "\n".join("  " + line for line in t.split("\n")),
        lambda t: t.replace("data_particles", "data_particles # of today").replace(
            "loop_", "LOOP_"
        ),
        lambda t: t + "\n# done\n\n   ",
        lambda t: t.replace("0.5\n", "0.5 # the first\n"),
        lambda t: t.replace("0.5\n", "0.5\n\n\n"),
        lambda t: t.replace("0.5\n", "0.5\n# 3@p.mrcs was bad\n"),
        lambda t: "# version 30001\n" + t.replace("loop_", "# comment\nloop_"),
        lambda t: t + "data_other\nloop_\n_rlnX\n1\n",
        lambda t: t + "\ndata_general\n_rlnFlag 0 # off\n_rlnName 'a b'\n",
    ],
)
def test_forms_of_one_table(change):
    text = f"{HEADER}mic.mrc 1@p.mrcs 0.5\n'a b' 2@p.mrcs 1\n"
    assert texts(parse(change(text), "p.star")[0]) == texts(one_table(text))


@pytest.mark.parametrize(
    "encoding, written",
    [("utf-8-sig", "utf-8"), ("utf-16", "utf-8"), ("utf-8", "utf-8"), ("latin-1", "latin-1")],
)
def test_bytes_that_are_not_ascii(tmp_path, encoding, written):
    """Whatever the encoding was: Latin-1 is written back byte for byte."""
    (tmp_path / "p.star").write_bytes(f"{HEADER}Müller.mrc 1@p.mrcs 0.5\n".encode(encoding))
    write_star(tmp_path / "q.star", read_star(tmp_path / "p.star"))
    assert "Müller.mrc 1@p.mrcs".encode(written) in (tmp_path / "q.star").read_bytes()


def test_label_value_pairs_are_a_row():
    (table,) = parse("data_general\n\n_rlnFlag 0\n_rlnName 'a b'\n", "p.star")
    assert (table.block, texts(table), len(table)) == (
        "general",
        {"rlnFlag": ["0"], "rlnName": ["a b"]},
        1,
    )


@pytest.mark.parametrize(
    "text, sentence",
    [
        (
            HEADER + "m 1@p.mrcs 2\nm 1@p.mrcs\n",
            r"row 2 of data_particles \(line 9\) has 2 values, but the table has 3 columns",
        ),
        (
            HEADER + "m 1@p.mrcs 2\n9\nm 1@p.mrcs 3\n",
            r"row 2 of data_particles \(line 9\) has 1 value, but",
        ),
        (HEADER + "my mic 1@p.mrcs 2\n", "has 4 values, but the table has 3 columns"),
        (HEADER + "m 1@p.mrcs 2\n\nexported by\n", "row 2 .* has 2 values"),
        (HEADER.replace("_rlnAngleRot", "_rlnImageName"), "_rlnImageName in line 7 occurs twice"),
        ("data_\nloop_\n1 2\n", "loop_ in line 2 has no labels"),
        ("data_\n_rlnImageName #1\n_rlnAngleRot #2\n1@p 2\n", "if loop_ is missing"),
        ("loop_\n_rlnImageName\n1@p\n", "begins with 'loop_', but a STAR file begins with data_"),
        ("data_\nhello\n", "line 2 begins with 'hello'"),
    ],
)
def test_what_is_no_table_is_one_sentence(text, sentence):
    with pytest.raises(InputError, match=sentence):
        parse(text, "p.star")


def test_a_binary_file_is_one_sentence(tmp_path):
    (tmp_path / "p.star").write_bytes(b"data_\n\x1f\x8b\x08\x00")
    with pytest.raises(InputError, match="holds the byte 0 in line 2, so it is not text"):
        read_star(tmp_path / "p.star")


def test_many_lone_quotes_cost_no_square():
    """A line of 20,000 words that might each be the beginning of a quotation."""
    labels, lone = "".join(f"_c{i}\n" for i in range(20_000)), " 'a"
    table = one_table(f"data_\nloop_\n{labels}{lone * 20_000}\n")
    assert list(table.columns["c19999"]) == ["'a"]


words = st.text(
    st.characters(
        blacklist_categories=["Cs"],
        blacklist_characters="".join(map(chr, [*range(9), *range(10, 32)])),
    )
)


@settings(deadline=None)
@given(st.lists(st.tuples(words, words), min_size=1, max_size=5))
@example(
    [("", "#3"), ("_a", "data_x"), ("data_x", "loop_"), (";", "'"), ('"', "' "), ("a 'b", 'a" b')]
)
@example(
    [
        ("it's my mic", 'x"'),
        ("显微镜 1", "é\tà"),
        (".", "?"),
        ("#", "##"),
        ("\x7f", "\x85\u2028\u3000"),
    ]
)
def test_whatever_is_written_is_read(tmp_path_factory, rows):
    path = tmp_path_factory.getbasetemp() / "round_trip.star"
    columns = {"a": [row[0] for row in rows], "b": [row[1] for row in rows]}
    try:
        write_star(path, [text_table(block, columns, path) for block in ("one", "two")])
    except InputError as error:
        assert "both kinds of quotes" in str(error)
        return
    tables = read_star(path)
    assert [t.block for t in tables] == ["one", "two"]
    assert all(texts(t) == columns for t in tables)


@pytest.mark.parametrize("value", ["two\nlines", "a\rb", "nul\0", "\ud800", 'a\' "b c" d'])
def test_what_star_cannot_hold_is_one_sentence(tmp_path, value):
    with pytest.raises(InputError, match="_label of row 2, .* which STAR files cannot"):
        write_star(tmp_path / "p.star", [text_table("x", {"label": ["fine", value]}, "p.star")])
    assert not list(tmp_path.iterdir())


def test_many_rows_are_what_single_rows_are():
    """Rows in bulk, and the same rows one by one because of a quote in each."""
    words = [f"{'x' * (i % 50)}y {i}@p.mrcs {i / 7:.4f}" for i in range(20_000)]
    bulk = one_table(HEADER + "\n".join(words) + "\n\n")
    single = one_table(HEADER + "\n".join(f"{row} # it's" for row in words))
    assert (texts(bulk), len(bulk)) == (texts(single), 20_000)


def test_a_wrong_row_among_many_is_named():
    rows = "m 1@p.mrcs 2\n" * 15_000
    with pytest.raises(
        InputError, match=r"row 15001 of data_particles \(line 15008\) has 2 values"
    ):
        one_table(f"{HEADER}{rows}m 1@p.mrcs\n{rows}")
