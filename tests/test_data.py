"""Laws of reading data: a CSV file is read as it is, or refused in one line that says where it is wrong."""

import numpy as np
import pytest

from circuits.errors import LabError
from qml.data import digits, load_csv, read_table, split


@pytest.fixture
def written(tmp_path):
    """Write text to a file called data.csv and return its path."""

    def write(text, name="data.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


@pytest.mark.parametrize("delimiter", [",", ";", "\t", ", "])
@pytest.mark.parametrize("header", ["", "a{}b{}kind\n"])
def test_delimiter_and_header_are_found(written, delimiter, header):
    header = header.format(*[delimiter] * 2)
    rows = [["1.5", "-2", "cat"], ["3e-1", "4", "dog"]]
    data = load_csv(written(header + "\n".join(delimiter.join(row) for row in rows) + "\n"))
    np.testing.assert_array_equal(data.features, [[1.5, -2.0], [0.3, 4.0]])
    assert data.features.dtype == np.float64
    assert data.labels.tolist() == ["cat", "dog"]
    assert data.feature_names == (["a", "b"] if header else None)
    assert (data.name, data.label, data.label_name) == ("data", 2, "kind" if header else None)


@pytest.mark.parametrize(("label", "position"), [("last", 2), ("b", 1), ("0", 0), (0, 0), ("-1", 2), (-3, 0), ("kind", 2)])
def test_label_is_a_name_an_index_or_last(written, label, position):
    data = load_csv(written("a,b,kind\n1,2,3\n4,5,6\n"), label)
    table = np.array([[1, 2, 3], [4, 5, 6]])
    assert data.labels.tolist() == table[:, position].tolist()
    np.testing.assert_array_equal(data.features, np.delete(table, position, axis=1))
    assert data.feature_names == [name for index, name in enumerate(("a", "b", "kind")) if index != position]


def test_numeric_labels_are_whole_numbers(written):
    labels = load_csv(written("0.5,1.0\n0.25,-1\n")).labels
    assert labels.tolist() == [1, -1]
    assert labels.dtype == np.int64


@pytest.mark.parametrize("text", ["1,2,a\n3,4,b\n", "1,2,5\n3,4,6\n", "0.1,7\n", "x,2,1\n1,2,3\n"])
def test_a_first_row_with_a_number_among_its_features_is_no_header(written, text):
    assert read_table(written(text)).header is None


def test_numbered_columns_with_a_named_label_are_a_header(written):
    data = load_csv(written("0,1,target\n5,6,0\n7,8,1\n"))
    assert data.feature_names == ["0", "1"]
    assert data.labels.tolist() == [0, 1]


def test_columns_that_are_numbered_all_of_them_are_a_header(written):
    data = load_csv(written("0,1,2\n5,6,0\n7,8,1\n3,4,0\n"))
    assert (data.feature_names, data.label_name, data.labels.tolist()) == (["0", "1"], "2", [0, 1, 0])
    assert read_table(written("0,1,2\n5,6,2\n7,8,1\n")).header is None  # 2 is a class
    assert read_table(written("0,1,2\n")).header is None


def test_sodium_is_a_name(written):
    text = "RI,Na,Mg,Type\n1.5,13.6,4.4,1\n1.6,13.8,3.6,2\n"
    for label in ("last", "Type"):
        data = load_csv(written(text), label)
        assert data.feature_names == ["RI", "Na", "Mg"] and data.labels.tolist() == [1, 2]
    for first in ("1.5,NA,4.4,x", "NA,nan,?,x", "NA,1,2,none"):  # samples with values missing
        assert read_table(written(f"{first}\n1,2,3,y\n")).header is None


def test_labels_can_be_kept_as_they_are_written(written):
    path = written("0.5,0.0\n0.25,01\n")
    assert load_csv(path).labels.tolist() == [0, 1]
    assert load_csv(path, labels_are_text=True).labels.tolist() == ["0.0", "01"]


def test_blank_lines_quotes_and_a_byte_order_mark_change_nothing(written):
    text = b"\xef\xbb\xbf" + b'"a","kind"\r\n\r\n1,"x, y"\r\n2,z\r\n\r\n'
    data = load_csv(written(text))
    assert data.feature_names == ["a"]
    assert data.labels.tolist() == ["x, y", "z"]


def test_a_file_without_labels_is_all_features(written):
    data = load_csv(written("a,b\n1,2\n3,4\n"), label=None)
    assert data.features.shape == (2, 2)
    assert data.labels is None


WRONG = {
    "empty": ("", {}, "is empty"),
    "blank": ("\n \n", {}, "is empty"),
    "header only": ("a,b\n", {}, "a header and no data"),
    "ragged": ("a,b\n1,2\n1,2,3\n", {}, "line 3 has 3 columns where line 1 has 2"),
    "text": ("a,b,y\n1,2,0\n3,four,1\n", {}, r"line 3, column 2 \(b\) is 'four', not a finite number"),
    "empty cell": ("a,b,y\n1,,0\n", {}, r"line 2, column 2 \(b\) is empty, not a finite number"),
    "nan": ("1,2,0\n3,nan,1\n", {}, "line 2, column 2 is 'nan', not a finite number"),
    "infinite": ("1,-inf,0\n3,4,1\n", {}, "line 1, column 2 is '-inf', not a finite number"),
    "overflow": ("1,1e999,0\n3,4,1\n", {}, "line 1, column 2 is '1e999', not a finite number"),
    "underscore": ("1,1_0,0\n3,4,1\n", {}, "line 1, column 2 is '1_0'"),
    "unlabelled": ("a,y\n1,0\n2,\n", {}, r"line 3, column 2 \(y\) is empty, so the row has no label"),
    "nan label": ("a,y\n1,0\n2,NaN\n", {}, "'NaN', so the row has no label"),
    "fraction": ("a,y\n1,0\n2,0.37\n", {}, "0.37, and a label must be a name or a whole number"),
    "one column": ("1\n2\n", {}, "one column only"),
    "unknown name": ("a,kind\n1,0\n", {"label": "knd"}, "unknown label column 'knd': did you mean 'kind'"),
    "no header": ("1,0\n2,1\n", {"label": "kind"}, "no header in which to find the label column 'kind'"),
    "index": ("1,0\n2,1\n", {"label": "2"}, "2 columns, so there is no column 2"),
    "twice": ("a,a,y\n1,2,0\n", {"label": "a"}, "2 columns called 'a'"),
    "pandas index": (",a,y\n0,1,0\n1,2,1\n", {}, "like an index that pandas wrote"),
    "binary": (b"\x89PNG\x00\xff", {}, "not text in UTF-8"),
    "zero bytes": (b"1,2\x00\n", {}, "zero bytes"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_file_is_refused_with_line_and_column(written, case):
    text, options, message = WRONG[case]
    with pytest.raises(LabError, match=message) as caught:
        load_csv(written(text), **options)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(LabError, match="there is no file"):
        load_csv(tmp_path / "none.csv")
    with pytest.raises(LabError, match="is a folder"):
        load_csv(tmp_path)


def test_digits_are_all_ten_classes_and_split_by_seed():
    data = digits()
    assert data.features.shape == (1797, 64)
    train, test = split(data, seed=3)
    assert len(test.labels) == 450 and len(train.labels) == 1347
    shares = np.bincount(test.labels) / np.bincount(data.labels)
    assert np.abs(shares - 0.25).max() < 0.005
    again = split(data, seed=3)[1]
    other = split(data, seed=4)[1]
    np.testing.assert_array_equal(test.features, again.features)
    assert not np.array_equal(test.features, other.features)


def test_no_sample_is_in_both_parts(written):
    rows = "".join(f"{number},{number % 2}\n" for number in range(40))
    train, test = split(load_csv(written(rows)), seed=0)
    assert sorted([*train.features[:, 0], *test.features[:, 0]]) == list(range(40))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("1,a\n2,a\n3,a\n", "holds 1 class only, a"),
        ("1,a\n2,a\n3,b\n", "one sample of class b"),
        ("1,a\n2,a\n3,b\n4,b\n", "4 samples of 2 classes, too few"),
    ],
)
def test_data_too_small_to_split_are_refused(written, rows, message):
    with pytest.raises(LabError, match=message):
        split(load_csv(written(rows)), seed=0)
