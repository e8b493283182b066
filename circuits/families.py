"""A family is a folder in which `base.py` holds the contract and every other file holds exactly one member.

A member's file name is its name everywhere (command line, stored rows, test ids), with `_` read as `-` where the
field writes a hyphen. Adding a member means adding a file: nothing here or elsewhere lists them.
"""

import importlib
import inspect
import pkgutil
from types import ModuleType

from circuits.errors import UnknownName


def members(package: ModuleType | str) -> list[str]:
    """The file names of a family's members, sorted; `base` and names with a leading underscore are not members."""
    package = importlib.import_module(package) if isinstance(package, str) else package
    names = (info.name for info in pkgutil.iter_modules(package.__path__))
    return sorted(name for name in names if name != "base" and not name.startswith("_"))


def member(package: ModuleType | str, name: str, kind: str) -> ModuleType:
    """The module of the member called `name`, hyphens and underscores alike.

    Raises:
        UnknownName: no file of that name; the message gives the nearest one.
    """
    package = importlib.import_module(package) if isinstance(package, str) else package
    names = members(package)
    wanted = str(name).replace("-", "_")
    if wanted not in names:
        raise UnknownName(kind, name, names)
    return importlib.import_module(f"{package.__name__}.{wanted}")


def function(module_name: str, name: str, kind: str):
    """The public function called `name` that the module itself defines and that builds a member of `kind`.

    Raises:
        UnknownName: no such function; the message gives the nearest one.
    """
    module = importlib.import_module(module_name)
    found = {
        key: value
        for key, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module_name and "name" in inspect.signature(value).parameters
        and not key.startswith("_") and key != "by_name"
    }  # fmt: skip
    wanted = str(name).replace("-", "_")
    if wanted not in found:
        raise UnknownName(kind, name, found)
    return found[wanted]
