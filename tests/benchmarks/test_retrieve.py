"""The retrieve benchmark is honest: a turn counts only where all instances came."""

import pytest

from benchmarks.programs import PeerFailed
from benchmarks.receive.instances import KINDS
from benchmarks.retrieve.contestants import Study, site


def test_each_fetches_all_of_a_study_and_a_turn_that_lacks_one_is_none(program, tmp_path):
    for name in ("movescu", "storescp", "Orthanc"):
        program(name)
    with site(tmp_path) as place:
        study = place.load(KINDS["MR"], "A1", 6)
        for name, retrieve in place.contestants.items():
            turn = retrieve(study)
            assert 0 < turn.arrived <= turn.durable, name
            assert (turn.order is None) == ("ours" not in name)
        short = Study("A2", place.load(KINDS["MR"], "A2", 3).uid, 4)
        for name in ("movescu", "ours, C-MOVE"):
            with pytest.raises(PeerFailed, match="3 of 4 instances came"):
                place.contestants[name](short)
