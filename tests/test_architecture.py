"""The shape of the repository: imports point down, files stay small, a family is its folder."""

import ast
import pathlib

import pytest

from circuits.families import member, members

ROOT = pathlib.Path(__file__).resolve().parents[1]
HEIGHT = {"circuits": 0, "qml": 1, "studies": 2}
FILES = sorted(path for package in HEIGHT for path in (ROOT / package).rglob("*.py"))
FAMILIES = {
    "qml.backends": "BACKEND", "qml.gradients": "METHOD", "qml.commands": "register", "qml.pennylane_devices": "DEVICE",
}  # fmt: skip


def imported(path: pathlib.Path) -> set[str]:
    """Top-level packages that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(node.module.split(".")[0])
    return found


def test_there_is_code_to_look_at():
    assert len(FILES) > 20


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path):
    own = HEIGHT[path.relative_to(ROOT).parts[0]]
    above = {name for name in imported(path) if HEIGHT.get(name, -1) > own}
    assert not above, f"{path.name} imports {above}, which stand above it"
    assert "tests" not in imported(path)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_stay_small(path):
    text = path.read_text()
    assert text.count("\n") <= 400
    assert path.stem not in ("utils", "util", "common", "helpers", "misc")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < 60 or node.name == "__init__", f"{path.name}: {node.name}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_says_what_it_is(path):
    assert ast.get_docstring(ast.parse(path.read_text()))


def test_only_two_files_of_ours_know_pennylane_and_no_circuit_knows_torch():
    knows = {str(path.relative_to(ROOT)) for path in FILES if path.parts[-2] == "circuits" and "pennylane" in imported(path)}
    assert knows == {"circuits/interop.py"}
    assert not [path for path in (ROOT / "circuits").rglob("*.py") if "torch" in imported(path)]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_member_of_a_family_is_one_file_that_exports_it(family):
    assert members(family)
    for name in members(family):
        exported = getattr(member(family, name, family), FAMILIES[family])
        assert callable(exported)
        if hasattr(exported, "name"):
            assert exported.name.removeprefix("qml.").replace("-", "_") == name


def test_pennylane_is_imported_under_its_own_alias():
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    assert alias.name != "pennylane" or alias.asname == "qp", path


def test_the_file_tree_of_the_readme_has_a_place_for_every_file():
    tree = (ROOT / "README.md").read_text().partition("## Where things are")[2]
    words = set(tree.replace(",", " ").replace(";", " ").split())
    files = [path.relative_to(ROOT) for path in FILES if not path.name.startswith("__")]
    named_folders = {word.rstrip("/") for word in words if word.endswith("/")}
    # A folder whose files are members, or parts of one thing, is named as a whole; the engine's files each for themselves.
    lacking = [
        str(path)
        for path in files
        if path.name not in words and (len(path.parts) == 2 or path.parts[1] in ("native", "native_gpu"))
    ]
    lacking += [str(path) for path in files if len(path.parts) > 2 and path.parts[1] not in named_folders]
    assert not lacking, f"not in the README's file tree: {', '.join(lacking)}"
