"""What a study is: one file of this folder that asks one question and answers it with an interval.

A file here is a study when it defines a class `Settings`; its name is the study's name. It holds

    docstring          its first line is the question; then `Source:`, `Expected:`, `Control:` and `Minutes:`
    Settings           a frozen dataclass with a class method `quick()`; it raises on what cannot work
    cases(settings)    a list of dicts of numbers and texts that hold every setting that affects the result
    run(case)          the rows: dicts of numbers, texts and lists; its draws are keyed by what is drawn
    table(rows)        a list of dicts, one for each line of the table that answers the question
    figure(rows)       a matplotlib `Figure` whose title says the finding
    verdict(rows)      the answer in words, with an interval
    cost(case)         optional: relative time of a case, for its place in the queue and the time left
    label(rows)        optional: what tells this run's files from another's, such as the circuit it is on; "" for none
    WORKERS            optional: how many cases may be computed at a time

Adding a study means adding such a file; nothing lists them.
"""

import ast
import dataclasses
import hashlib
import importlib
import json
import math
import re
import sys
import typing
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType

from circuits.errors import LabError, UnknownName

FOLDER = Path(__file__).parent
REQUIRED = ("Settings", "cases", "run", "table", "figure", "verdict")
FACTS = ("Source", "Expected", "Control", "Minutes")


@dataclass(frozen=True)
class Study:
    """A study by name; its module is imported when it is first needed, its docstring is read without that."""

    name: str

    @cached_property
    def module(self) -> ModuleType:
        """The study's module."""
        return importlib.import_module(f"studies.{self.name}")

    @cached_property
    def _docstring(self) -> str:
        return ast.get_docstring(ast.parse((FOLDER / f"{self.name}.py").read_text("utf-8"))) or ""

    @property
    def question(self) -> str:
        """The first line of the docstring."""
        return self._docstring.partition("\n")[0]

    @property
    def facts(self) -> dict[str, str]:
        """What the docstring says under each of `FACTS`."""
        starts = re.split(rf"^({'|'.join(FACTS)}): ", self._docstring, flags=re.MULTILINE)[1:]
        texts = (" ".join(text.partition("\n\n")[0].split()) for text in starts[1::2])
        return dict(zip(starts[::2], texts))

    def settings(self, quick: bool = False, assignments: Iterable[str] = ()):
        """The study's settings: its defaults or its quick preset, with `key=value` assignments on top.

        Raises:
            UnknownName: no setting is called so.
            LabError: a value that does not read as the setting's type, or that cannot work.
        """
        types = typing.get_type_hints(self.module.Settings)
        given = {}
        for text in assignments:
            key, equals, value = text.partition("=")
            if not equals:
                raise LabError(f"--set takes key=value, got {text!r}")
            key = key.strip().replace("-", "_")
            if key not in types:
                raise UnknownName(f"setting of {self.name}", key, types)
            given[key] = _parsed(self.name, key, value.strip(), types[key])
        preset = self.module.Settings.quick() if quick else self.module.Settings()
        return dataclasses.replace(preset, **given)

    def cost(self, case: dict) -> float:
        """Relative time of a case; 1 where the study does not say."""
        return float(getattr(self.module, "cost", lambda case: 1.0)(case))

    @property
    def most_workers(self) -> int:
        """How many processes may work at a time; a study that measures time wants the machine for itself."""
        return int(getattr(self.module, "WORKERS", sys.maxsize))


def names() -> list[str]:
    """The studies there are, by name."""
    return sorted(path.stem for path in FOLDER.glob("*.py") if _is_study(path.read_text("utf-8")))


def load(name: str) -> Study:
    """The study called `name`, hyphens and underscores alike.

    Raises:
        UnknownName: no such study; the message gives the nearest one.
    """
    wanted = str(name).replace("-", "_")
    if wanted not in names():
        raise UnknownName("study", name, names())
    study = Study(wanted)
    missing = [name for name in REQUIRED if not hasattr(study.module, name)]
    if missing or not dataclasses.is_dataclass(study.module.Settings):
        what = f"no {', '.join(missing)}" if missing else "a Settings that is no dataclass"
        raise LabError(f"the study {wanted} has {what}: the docstring of studies/base.py says what a study holds")
    return study


def case_id(study: str, case: dict, code: str) -> str:
    """The SHA-256 of all that a result depends on: the study, its case, the version of the code."""
    content = {"study": study, "case": case, "code": code}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _is_study(source: str) -> bool:
    return re.search(r"^class Settings\b", source, re.MULTILINE) is not None


def _finite(value):
    """The value, unless it is a number that JSON cannot hold."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(value)
    return value


def _parsed(study: str, key: str, text: str, kind):
    """The text as a bool, an int, a float, a str, or a tuple of these separated by commas."""
    try:
        if typing.get_origin(kind) is tuple:
            item = typing.get_args(kind)[0]
            return tuple(_finite(item(part)) for part in text.split(",") if part.strip())
        if kind is bool:
            return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[text.lower()]
        return _finite(kind(text))
    except (ValueError, KeyError):
        example = "2,4,6" if typing.get_origin(kind) is tuple else {bool: "true", float: "0.5"}.get(kind, "3")
        raise LabError(f"setting {key} of {study} cannot be {text!r}: write it like {key}={example}") from None
