"""The version of the code behind a study's rows: a hash of the sources that compute them, of nothing else.

It holds the definitions of the study's file that `run` reaches, and every file of ours that those, the
circuits, the layer, the backends and the gradients import. So a new figure, verdict or command leaves
stored rows valid; a changed kernel does not.
"""

import ast
import hashlib
import importlib
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("circuits", "qml", "studies")
# Found by name while running, so no import statement leads to them.
ENGINE = ("circuits", "qml/backends", "qml/native", "qml/gradients", "qml/layer.py")


@lru_cache
def code_version(study: str, root: Path = ROOT) -> str:
    """Twelve hexadecimal digits that change when the code that computes the study's rows does.

    Cost: reads and parses about fifty files, once per process.
    """
    own = reached((root / "studies" / f"{study}.py").read_text("utf-8"))
    digest = hashlib.sha256(own.encode())
    for path in files(own, root):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0")
        digest.update(path.read_bytes().replace(b"\r\n", b"\n") + b"\0")
    return digest.hexdigest()[:12]


def reached(source: str, start: str = "run") -> str:
    """The text of the top-level definitions that `start` refers to, itself included, in the file's order."""
    tree, lines = ast.parse(source), source.splitlines()
    homes = {name: node for node in tree.body for name in _bound(node)}
    found, queue = {}, [start]
    while queue:
        node = homes.get(queue.pop())
        if node is not None and id(node) not in found:
            found[id(node)] = node
            queue += [part.id for part in ast.walk(node) if isinstance(part, ast.Name)]
    nodes = sorted(found.values(), key=lambda node: node.lineno)
    return "\n".join("\n".join(lines[_first_line(node) - 1 : node.end_lineno]) for node in nodes)


def _bound(node: ast.stmt) -> list[str]:
    """The names a top-level statement binds."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [alias.asname or alias.name.partition(".")[0] for alias in node.names]
    return [part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)]


def _first_line(node: ast.stmt) -> int:
    return min([node.lineno, *(part.lineno for part in getattr(node, "decorator_list", []))])


def files(source: str, root: Path = ROOT) -> list[Path]:
    """Our files that the source or the engine imports, and those they import in turn, sorted."""
    queue = list(_imports(source, root))
    for place in ENGINE:
        queue += sorted((root / place).rglob("*.py")) if (root / place).is_dir() else [root / place]
    found: set[Path] = set()
    while queue:
        path = queue.pop()
        if path not in found:
            found.add(path)
            queue += _imports(path.read_text("utf-8"), root)
    return sorted(found)


def _imports(source: str, root: Path) -> Iterator[Path]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _homes(alias.name, [""], root)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from _homes(node.module, [alias.name for alias in node.names], root)


def _homes(module: str, names: Iterable[str], root: Path) -> Iterator[Path]:
    """The files behind `from module import names`; the name "" means all that the package offers."""
    if module.partition(".")[0] not in PACKAGES:
        return
    place = root.joinpath(*module.split("."))
    if place.with_suffix(".py").is_file():
        yield place.with_suffix(".py")
        if place.name == "base" and place.parent.name != "studies":  # members of the family are found by name
            yield from sorted(place.parent.glob("*.py"))
        return
    if not (place / "__init__.py").is_file():
        return
    yield place / "__init__.py"
    offered = getattr(importlib.import_module(module), "_HOME", {})
    for name in offered if "" in names else names:
        if (place / f"{name}.py").is_file():
            yield place / f"{name}.py"
        elif name in offered:
            yield from _homes(offered[name], [], root)
