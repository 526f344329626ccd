"""What a spool holds, compared with what a sender sent and was told."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from upper_layer import Instance, dataset_of


def files_in(spool: Path) -> set[tuple[str, str]]:
    """SOP Instance UID and the dataset's SHA-256 of every file below instances/."""
    files = [path for path in (spool / "instances").rglob("*") if path.is_file()]
    assert all(path.suffix == ".dcm" for path in files), files
    return {(path.stem, _digest(path)) for path in files}


def kept_in(spool: Path) -> Mapping[str, str]:
    """The same as a mapping; no SOP Instance UID may have two files."""
    files = files_in(spool)
    kept = dict(files)
    assert len(kept) == len(files)
    return kept


def quarantined_in(spool: Path) -> set[str]:
    """SHA-256 of every dataset in quarantine; each must have its reason beside it."""
    files = list((spool / "quarantine").glob("*.dcm"))
    for path in files:
        assert json.loads(path.with_suffix(".json").read_bytes())["reason"]
    return {_digest(path) for path in files}


def _digest(path: Path) -> str:
    return hashlib.sha256(dataset_of(path.read_bytes())).hexdigest()


def require_acknowledged(spool: Path, acknowledged: Iterable[Instance]) -> None:
    """Every acknowledged instance is in the spool, unaltered."""
    kept, aside = kept_in(spool), quarantined_in(spool)
    lost = [
        instance.sop_instance_uid
        for instance in acknowledged
        if kept.get(instance.sop_instance_uid) != instance.sha256 and instance.sha256 not in aside
    ]
    assert lost == []


def require_whole(spool: Path, sent: Iterable[Instance]) -> None:
    """Every file in the spool is an instance that was sent, whole and under its own UID."""
    expected = {(instance.sop_instance_uid, instance.sha256) for instance in sent}
    assert files_in(spool) <= expected
    assert quarantined_in(spool) <= {digest for _, digest in expected}
