"""Which jobs of a submission are new, which the store holds already, and which of those have to run again."""

from dataclasses import dataclass, field
from typing import Any

from circuits.errors import LabError
from qml.job_rows import IN_FLIGHT, AddedMeanwhile
from qml.store import Store
from qml.submission.fingerprint import is_same_request
from qml.submission.owners import is_alive

LONGEST_TAG = 100


@dataclass
class Settled:
    """The ids of a submission's jobs in their order; those `new` to the store; those that are to run `again`, as judged."""

    ids: list[str] = field(default_factory=list)
    new: list[dict] = field(default_factory=list)
    again: list[dict] = field(default_factory=list)


def checked(tag: Any) -> str | None:
    """The tag, once it is one."""
    if tag is not None and not (isinstance(tag, str) and tag.strip() and len(tag) <= LONGEST_TAG and tag.isprintable()):
        raise LabError(f"a tag is a line of 1 to {LONGEST_TAG} characters, got {tag!r}")
    return tag


def settle(store: Store, records: list[dict], tag: str | None, reuse: bool, is_seeded: bool) -> Settled:
    """Every record is in the store, added now or found there, also where another process adds the same at this moment.

    Args:
        records: the rows of a submission, one for each circuit.
        reuse: whether any job that is done and asked for the same is an answer; a circuit without fingerprint has none.
        is_seeded: whether an answer must have the record's seed.

    Raises:
        LabError: the tag belongs to another submission.
    """
    try:
        return _settled(store, records, tag, reuse, is_seeded)
    except AddedMeanwhile:  # all in one transaction: whoever was first has added every job of this tag
        return _settled(store, records, tag, reuse, is_seeded)


def _settled(store: Store, records: list[dict], tag: str | None, reuse: bool, is_seeded: bool) -> Settled:
    before = {row["number"]: row for row in store.jobs(tag=tag)} if tag is not None else {}
    # One result answers one circuit: the same circuit asked for twice wants two samples.
    answers: dict[tuple, list[dict]] = {}
    asked = {record["fingerprint"] for record in records} - {None} if reuse else ()
    given = {row["id"] for row in before.values()}
    for row in (row for row in store.answers(asked) if row["id"] not in given):
        answers.setdefault((row["fingerprint"], row["seed"] if is_seeded else None), []).append(row)
    settled = Settled()
    for record in records:
        key = record["fingerprint"], record["seed"] if is_seeded else None
        if row := before.get(record["number"]):
            _check_same(row, record, is_seeded)
            settled.ids.append(row["id"])
            if row["state"] in ("failed", "cancelled") or (row["state"] in IN_FLIGHT and not is_alive(row["owner"])):
                # As it was judged: where it has changed since, another process has it by now.
                judged = {name: row[name] for name in ("state", "owner")}
                settled.again.append(store.job(row["id"]) | judged | {"time_limit": record["time_limit"]})
        elif answers.get(key):
            settled.ids.append(answers[key].pop(0)["id"])
        else:
            settled.ids.append(record["id"])
            settled.new.append(record)
    store.add_jobs(settled.new)
    return settled


def _check_same(row: dict, record: dict, is_seeded: bool) -> None:
    if record["fingerprint"] is None:
        raise LabError(
            f"the tag {row['tag']!r} is taken, and circuit {row['number']} holds something that cannot be compared with "
            "what was submitted (such as a gate without definition): choose another tag"
        )
    is_same = is_same_request(row["fingerprint"], record["fingerprint"]) and (not is_seeded or row["seed"] == record["seed"])
    if not is_same:
        raise LabError(
            f"the tag {row['tag']!r} belongs to another submission, whose circuit {row['number']} or its settings differ: "
            "choose another tag"
        )
