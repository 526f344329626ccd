"""The conversion benchmark on series small enough for a test; other programs are not needed."""

from dataclasses import replace

import pytest
from pydicom import dcmread

from benchmarks.convert.contestants import ConversionFailed, nifti_bytes, ours
from benchmarks.convert.series import CT, CT_JPEG2000, MR, write_series

SMALL = [replace(kind, slices=3, side=32) for kind in (CT, MR, CT_JPEG2000)]


@pytest.mark.parametrize("kind", SMALL, ids=lambda kind: kind.name)
def test_our_turn_converts_the_series_and_is_measured(kind, tmp_path):
    series = write_series(kind, tmp_path / "series")
    place = tmp_path / "place"
    place.mkdir()
    turn = ours("convert", "qc", "preview", "metadata")(series, place)
    assert turn.output_bytes == nifti_bytes(place) > 352
    assert turn.seconds > 0
    assert turn.cpu_seconds > 0
    assert turn.peak_bytes > 1 << 20


def test_the_series_is_of_12_bits_in_the_syntax_asked_for(tmp_path):
    found = [dcmread(path) for path in write_series(SMALL[2], tmp_path).iterdir()]
    assert {ds.file_meta.TransferSyntaxUID for ds in found} == {CT_JPEG2000.transfer_syntax_uid}
    assert 1000 < max(ds.pixel_array.max() for ds in found) < 4096


def test_a_contestant_that_left_nothing_has_failed(tmp_path):
    with pytest.raises(ConversionFailed):
        nifti_bytes(tmp_path)
