"""The table of labels: what is read from it, and what it says where it cannot be used."""

import csv

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numbacnn.data.labels import Row, find_table, read_labels
from numbacnn.errors import DataError


def table(folder, text, encoding="utf-8"):
    path = folder / "labels.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return path


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("file,labels\na.png,cat\n", [Row(2, "a.png", ("cat",))]),
        ("\ufefffile,labels\r\na.png,cat;dog\r\n\r\nb.png,\r\n", [Row(2, "a.png", ("cat", "dog")), Row(4, "b.png", ())]),
        ("Filename , Tags\na.png, cat ; dog;;cat\n", [Row(2, "a.png", ("cat", "dog"))]),
        ("path,labels,valid\nx/a.png,cat,1\nb.png,cat,no", [Row(2, "x/a.png", ("cat",), True), Row(3, "b.png", ("cat",), False)]),
        ("is_valid,width,fname,labels\nTrue,3,a.png,cat\nFALSE,4,b.png,\n", [Row(2, "a.png", ("cat",), True), Row(3, "b.png", (), False)]),
        ('file,labels\n"a, b.png","cat;""big"" dog"\n', [Row(2, "a, b.png", ("cat", '"big" dog'))]),
        ('file,labels\n"c\nd.png",cat\ne.png,x\n', [Row(2, "c\nd.png", ("cat",)), Row(4, "e.png", ("x",))]),
        ("file,labels\n,,\n , \na.png,cat\n", [Row(4, "a.png", ("cat",))]),
    ],
)
def test_tables(tmp_path, text, rows):
    assert list(read_labels(table(tmp_path, text)).rows) == rows


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"labels\.csv, line 1: no column is called file or labels \(there are: none\)"),
        ("a.png,cat\nb.png,dog\n", r"line 1: no column is called file or labels \(there are: 'a\.png', 'cat'\): the first line names the columns"),
        ("file,kind\na.png,cat\n", r"no column is called labels \(there are: 'file', 'kind'\)"),
        ("file;labels\na.png;cat\n", r"columns are separated by commas, labels by ';'"),
        ("file,tags,labels\n", r"line 1: the columns 'tags' and 'labels' mean the same \(labels\): keep one"),
        ("file,labels\n", r"labels\.csv names no file"),
        ("file,labels\na.png,cat,dog\n", r"line 2: 3 fields, 'a\.png,cat,dog', but the first line names 2 columns; several labels are separated by ';'"),
        ("file,labels\na.png,cat\nb.png\n", r"line 3: 1 fields, 'b\.png', but"),
        ("file,labels\n,cat\n", r"line 2: no file is named"),
        ("file,labels\na.png,cat\n\na.png,dog\n", r"line 4: 'a\.png' stands on line 2 already: keep one line a file, with all labels"),
        ("file,labels,is_valid\na.png,cat,maybe\n", r"line 2: is_valid='maybe' must be True or False: whether 'a\.png'"),
        ('file,labels\na.png,cat\nb.png,"dog\n', r"line 3: .*a quote is not closed"),
        ('file,labels\n"a"b.png,cat\n', r"line 2: "),
        (b"file,labels\na.png,cat\nb.png,k\xe4se\n", r"line 3: byte 0xe4 is not UTF-8: save"),
        ("file,labels\na.png,cat\n".encode("utf-16"), r"line 1: byte 0xff is not UTF-8"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path, text, message):
    with pytest.raises(DataError, match=message) as error:
        read_labels(table(tmp_path, text))
    assert "labels.csv" in str(error.value)


def test_where_the_table_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pictures").mkdir()
    with pytest.raises(DataError, match=r"there is no file labels\.csv, neither here nor in pictures"):
        find_table("labels.csv", "pictures")
    inside, beside = table(tmp_path / "pictures", "file,labels\n"), tmp_path / "labels.csv"
    assert find_table("labels.csv", "pictures").samefile(inside)
    beside.write_text("file,labels\n")
    assert find_table("labels.csv", "pictures").samefile(beside)
    assert find_table(inside, "nowhere") == inside


text = st.text(st.characters(codec="utf-8", exclude_characters=";\r"), min_size=1, max_size=12)
words = text.map(str.strip).filter(bool)
files = text.filter(str.strip)
rows = st.lists(st.tuples(files, st.lists(words, max_size=4, unique=True), st.booleans()), min_size=1, max_size=8, unique_by=lambda row: row[0])


@given(rows, st.sampled_from(["utf-8", "utf-8-sig"]), st.sampled_from(["\n", "\r\n"]), st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]), st.booleans())
def test_what_is_written_is_read(tmp_path_factory, rows, encoding, end, quoting, divided):
    path = tmp_path_factory.mktemp("table") / "labels.csv"
    with open(path, "w", encoding=encoding, newline="") as file:
        writer = csv.writer(file, lineterminator=end, quoting=quoting)
        writer.writerow(["file", "labels", "is_valid"][: 3 if divided else 2])
        for name, labels, valid in rows:
            writer.writerow([name, ";".join(labels), valid][: 3 if divided else 2])
    found = read_labels(path)
    assert [(row.file, list(row.labels), row.valid) for row in found.rows] == [(f, labels, v if divided else None) for f, labels, v in rows]
    assert [row.line for row in found.rows] == sorted({row.line for row in found.rows})
