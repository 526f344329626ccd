"""Which files a series becomes: series built in code, converted, every frame verified."""

import nibabel as nib
import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import EnhancedMRImageStorage, UltrasoundMultiFrameImageStorage

from processor import convert
from processor.convert import Settings, convert_series
from processor.engine import Made


@pytest.fixture
def run(job, tmp_path):
    """Convert datasets; the conversion, and its files as nibabel reads them by their label."""

    def run(series, **settings):
        out = tmp_path / "out"
        out.mkdir()
        result = convert_series(
            job(series).files, out, "x", settings=Settings(**settings), unverified=tmp_path / "bad"
        )
        return result, {file.path.name: nib.load(file.path) for file in result.files}

    return run


def files(found):
    return {name.removesuffix(".nii.gz"): image.shape for name, image in found.items()}


def phases(stack, count, slices=3, **elements):
    """Volumes of one stack that differ in their pixels and by TemporalPositionIdentifier."""
    series = []
    for t in range(count):
        for k, ds in enumerate(stack(slices, Modality="MR", **elements)):
            ds.TemporalPositionIdentifier = t + 1
            ds.InstanceNumber = t * slices + k + 1
            ds.PixelData = np.full((6, 5), 100 * t + k, np.uint16).tobytes()
            series.append(ds)
    return series


def value_at(image, k, t):
    return int(np.asarray(image.dataobj)[0, 0, k, t])


@pytest.mark.parametrize("numbering", ["by time", "by slice", "backwards"])
def test_phases_are_one_4d_file_however_they_are_numbered(run, stack, numbering):
    series = phases(stack, 4, RepetitionTime=2000)
    if numbering == "by slice":
        for number, ds in enumerate(sorted(series, key=lambda ds: ds.ImagePositionPatient[2])):
            ds.InstanceNumber = number + 1
    if numbering == "backwards":
        for ds in series:
            ds.InstanceNumber = 100 - ds.InstanceNumber
    result, found = run(series)
    assert files(found) == {"x": (5, 6, 3, 4)}
    image = found["x.nii.gz"]
    assert [[value_at(image, k, t) for k in range(3)] for t in range(4)] == [
        [100 * t + k for k in range(3)] for t in range(4)
    ]
    assert image.header.get_zooms()[3] == 2.0
    assert result.verification.matched == 12


def test_the_volumes_of_a_3d_acquisition_are_as_far_apart_as_their_times(run, stack):
    series = phases(stack, 3, RepetitionTime=5, MRAcquisitionType="3D")
    for ds in series:
        ds.AcquisitionTime = f"12000{3 * ds.TemporalPositionIdentifier}.5"
    _, found = run(series)
    assert found["x.nii.gz"].header.get_zooms()[3] == 3.0


def test_a_folder_may_hold_other_files_than_dicom(job, stack, tmp_path):
    (file, *_) = job(stack(3)).files
    (file.parent / "README").write_text("no DICOM")
    result = convert_series(file.parent, tmp_path)
    assert result.verification.matched == 3


def test_a_phase_that_lacks_a_slice_is_left_out_and_named(run, stack):
    result, found = run(phases(stack, 4)[:-1])
    assert files(found) == {"x": (5, 6, 3, 3)}
    assert result.findings == ("1 of 4 volumes left out: it has 2 of 3 slices",)


def test_volumes_that_nothing_but_their_numbers_tell_apart_say_so(run, stack):
    series = phases(stack, 3)
    for ds in series:
        del ds.TemporalPositionIdentifier
    result, found = run(series)
    assert [value_at(found["x.nii.gz"], 1, t) for t in range(3)] == [1, 101, 201]
    assert result.findings == ("volumes are told apart by the order of InstanceNumber alone",)


def test_b_values_make_one_4d_file_with_all_of_them(run, stack):
    series = phases(stack, 3)
    for ds in series:
        ds.DiffusionBValue = float((0, 500, 1000)[ds.TemporalPositionIdentifier - 1])
        del ds.TemporalPositionIdentifier
    _, found = run(series)
    assert files(found) == {"x": (5, 6, 3, 3)}
    assert [value_at(found["x.nii.gz"], 0, t) for t in range(3)] == [0, 100, 200]


@pytest.mark.parametrize(
    ("keyword", "values", "names"),
    [
        ("EchoTime", (2.3, 4.6), ("x_e1", "x_e2")),
        ("ImageType", (["ORIGINAL", "PRIMARY", "M"], ["ORIGINAL", "PRIMARY", "P"]), ("x", "x_ph")),
        (
            "ImageType",
            (["DERIVED", "PRIMARY", "DIXON", "WATER"], ["DERIVED", "PRIMARY", "DIXON", "FAT"]),
            ("x_water", "x_fat"),
        ),
    ],
)
def test_echoes_components_and_dixon_images_are_files_of_their_own(
    run, stack, keyword, values, names
):
    series = phases(stack, 2)
    for ds in series:
        setattr(ds, keyword, values[ds.TemporalPositionIdentifier - 1])
        del ds.TemporalPositionIdentifier
    _, found = run(series)
    assert files(found) == dict.fromkeys(names, (5, 6, 3))
    assert [np.asarray(image.dataobj)[0, 0, 2] for image in found.values()] == [2, 102]


def test_each_orientation_of_a_localizer_is_a_file(run, stack):
    coronal = stack(2, ImageOrientationPatient=[1, 0, 0, 0, 0, -1])
    for k, ds in enumerate(coronal):
        ds.ImagePositionPatient = [0, 5 * k, 0]
    _, found = run([*stack(3), *coronal])
    assert files(found) == {"x_axial": (5, 6, 3), "x_coronal": (5, 6, 2)}


def test_each_matrix_is_a_file(run, stack):
    small = stack(2, pixels=np.ones((4, 4), np.uint16))
    for ds in small:
        ds.InstanceNumber += 3
    _, found = run([*stack(3), *small])
    assert files(found) == {"x_axial_1": (5, 6, 3), "x_axial_2": (4, 4, 2)}


def test_stacks_side_by_side_are_files_of_their_own(run, stack):
    beside = stack(3)
    for ds in beside:
        ds.InstanceNumber += 3
        ds.ImagePositionPatient = [310, 20, ds.ImagePositionPatient[2]]
    result, found = run([*stack(3), *beside])
    assert files(found) == {"x_axial_1": (5, 6, 3), "x_axial_2": (5, 6, 3)}
    assert found["x_axial_2.nii.gz"].affine[0, 3] == -310
    assert result.verification.matched == 6


def test_a_change_of_the_slice_distance_makes_two_parts(run, stack):
    series = stack(7)
    for ds, z in zip(series, (0, 4, 8, 12, 19, 26, 33), strict=True):
        ds.ImagePositionPatient = [10, 20, z]
    _, found = run(series)
    assert files(found) == {"x_part1": (5, 6, 4), "x_part2": (5, 6, 3)}


def test_a_slice_that_came_twice_is_dropped_and_named(run, stack):
    series = stack(3)
    result, found = run([*series, *stack(1)])
    assert files(found) == {"x": (5, 6, 3)}
    assert result.findings == ("1 frame repeats another pixel for pixel",)


def test_missing_slices_of_a_ct_are_air_and_are_named(run, stack):
    series = stack(5, RescaleSlope=1, RescaleIntercept=-1024)
    del series[2]
    result, found = run(series)
    assert np.all(found["x.nii.gz"].get_fdata()[:, :, 2] == -1024)
    assert result.findings == ("1 of 5 slices missing between z = 3.0 mm and 9.0 mm",)


def test_a_tilted_gantry_keeps_its_shear_in_the_sform(run, stack):
    series = stack(3)
    for k, ds in enumerate(series):
        ds.ImagePositionPatient = [10, 20 + k, 3 * k]
    _, found = run(series)
    image = found["x.nii.gz"]
    np.testing.assert_allclose(image.affine[:3, 2], [0, -1, 3])
    assert (image.header["qform_code"], image.header["sform_code"]) == (0, 1)


def enhanced(frames, **elements):
    """An enhanced MR object; each frame a (z, time, value)."""
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = EnhancedMRImageStorage, "1.2.3.9"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2.3", "1.2.3.4"
    ds.Modality, ds.SeriesNumber, ds.InstanceNumber = "MR", 7, 1
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 0
    ds.Rows, ds.Columns, ds.NumberOfFrames = 6, 5, len(frames)
    shared, measures, orientation = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [2, 0.5], 3
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
    ds.SharedFunctionalGroupsSequence = [shared]
    groups = []
    for z, time, _ in frames:
        group, place, content = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient, content.TemporalPositionIndex = [10, 20, z], time
        group.PlanePositionSequence, group.FrameContentSequence = [place], [content]
        groups.append(group)
    ds.PerFrameFunctionalGroupsSequence = groups
    ds.PixelData = b"".join(np.full((6, 5), value, np.uint16).tobytes() for *_, value in frames)
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    return ds


def test_an_enhanced_object_is_placed_by_its_functional_groups(run):
    order = [(z, t, 10 * t + z) for z in (6, 0, 3) for t in (2, 1)]
    _, found = run([enhanced(order)])
    image = found["x.nii.gz"]
    assert image.shape == (5, 6, 3, 2)
    assert [[value_at(image, k, t) for k in range(3)] for t in range(2)] == [
        [10, 13, 16],
        [20, 23, 26],
    ]
    np.testing.assert_allclose(image.affine[:3, 3], [-10, -30, 0])


def test_an_enhanced_object_that_describes_too_few_frames_is_refused(run):
    result, _ = run([enhanced([(0, 1, 5), (3, 1, 6)], NumberOfFrames=1)])
    assert result.reason == "1 frames, but 2 are described"


def test_frames_of_a_plain_multi_frame_image_are_images_along_time(run, instance):
    pixels = np.arange(90, dtype=np.uint16).reshape(3, 6, 5)
    ds = instance(
        SOPClassUID=UltrasoundMultiFrameImageStorage,
        Modality="US",
        NumberOfFrames=3,
        FrameTime=40,
        pixels=pixels[0],
        PixelData=pixels.tobytes(),
    )
    _, found = run([ds])
    image = found["x_0001.nii.gz"]
    assert image.shape == (5, 6, 1, 3)
    np.testing.assert_array_equal(np.asarray(image.dataobj)[:, ::-1, 0, 2].T, pixels[2])
    assert image.header.get_zooms()[3] == pytest.approx(0.04)
    assert (image.header["qform_code"], image.header["sform_code"]) == (0, 0)


def coloured(ds, pixels, **elements):
    ds.SamplesPerPixel, ds.PlanarConfiguration = 3, 0
    ds.PhotometricInterpretation = "RGB"
    ds.BitsAllocated = ds.BitsStored = 8 * pixels.itemsize
    ds.HighBit = ds.BitsStored - 1
    ds.PixelData = pixels.tobytes()
    return ds


def test_colour_is_written_as_rgb(run, stack):
    pixels = np.arange(90, dtype=np.uint8).reshape(6, 5, 3)
    _, found = run([coloured(ds, pixels + k) for k, ds in enumerate(stack(3))])
    voxels = np.asarray(found["x.nii.gz"].dataobj)
    assert voxels.dtype.names == ("R", "G", "B")
    for sample, name in enumerate("RGB"):
        np.testing.assert_array_equal(voxels[name][:, ::-1, 1].T, pixels[..., sample] + 1)


def test_colour_of_16_bits_is_refused_since_nifti_has_none(run, stack):
    pixels = np.arange(90, dtype=np.uint16).reshape(6, 5, 3)
    result, _ = run([coloured(ds, pixels) for ds in stack(1)])
    assert result.reason.startswith("colour of 16 bits a sample in instance")


def test_colour_becomes_no_npz(run, stack):
    pixels = np.arange(90, dtype=np.uint8).reshape(6, 5, 3)
    result, _ = run([coloured(ds, pixels) for ds in stack(1)], format="npz")
    assert result.reason == "colour images become NIfTI only, never NPZ"


@pytest.mark.parametrize(
    ("dtype", "elements"),
    [
        (np.uint8, {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}),
        (np.int16, {"BitsStored": 16, "HighBit": 15, "PixelRepresentation": 1}),
        (np.uint32, {"BitsAllocated": 32, "BitsStored": 32, "HighBit": 31}),
        (
            np.int32,
            {"BitsAllocated": 32, "BitsStored": 32, "HighBit": 31, "PixelRepresentation": 1},
        ),
    ],
)
def test_integers_of_every_width_keep_their_type(run, stack, dtype, elements):
    limits = np.iinfo(dtype)
    pixels = np.linspace(limits.min, limits.max, 30).astype(dtype).reshape(6, 5)
    _, found = run(stack(2, pixels=pixels, **elements))
    image = found["x.nii.gz"]
    assert image.get_data_dtype() == dtype
    np.testing.assert_array_equal(np.asarray(image.dataobj.get_unscaled())[:, ::-1, 0].T, pixels)


def test_without_compression_the_file_is_plain_nifti(run, stack):
    result, _ = run(stack(2), compression=0)
    assert [file.path.name for file in result.files] == ["x.nii"]


def test_a_file_that_was_damaged_after_it_was_written_is_not_handed_on(
    run, stack, tmp_path, monkeypatch
):
    """One byte of the compressed voxels: the file has its length still."""

    def damaged(request):
        made = convert.natively(request)
        path = made.files[0].path
        content = bytearray(path.read_bytes())
        content[made.files[0].block_ends[-1] // 2] ^= 1
        path.write_bytes(content)
        return made

    monkeypatch.setattr(convert, "_MAKERS", {"native": damaged})
    noise = np.random.default_rng(0).integers(0, 4096, (512, 512), dtype=np.uint16)
    result, _ = run(stack(3, pixels=noise), engine="native")
    assert (result.state, result.reason) == ("refused", "x.nii.gz: damaged (BadGzipFile)")
    assert not list((tmp_path / "out").iterdir())


def test_what_does_not_match_is_kept_apart_with_the_report(run, stack, tmp_path, monkeypatch):
    """An engine that swaps two slices: its file must never be among the results."""

    def wrong(request):
        made = convert.natively(request)
        path = made.files[0].path
        image = nib.load(path)
        voxels = np.asarray(image.dataobj)[:, :, [1, 0, 2]]
        nib.Nifti1Image(voxels, image.affine).to_filename(path)
        return Made(made.files, made.stacks)

    monkeypatch.setattr(convert, "_MAKERS", {"native": wrong})
    result, _ = run(stack(3), engine="native")
    assert result.state == "unverified"
    assert result.reason == (
        "of the written files 1 of 3 frames equal the source, 2 planes hold no frame of it"
    )
    assert sorted(path.name for path in (tmp_path / "bad" / "native").iterdir()) == [
        "verification.json",
        "x.json",
        "x.nii.gz",
    ]
    assert not list((tmp_path / "out").iterdir())
