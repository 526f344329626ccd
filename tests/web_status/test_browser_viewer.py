"""Looking through a volume in headless Chromium: wheel, slider, keys, window, planes and phases.

Which slice is shown is read from the canvas, and how bright it is from its pixels. Screenshots are
kept in tests/artifacts. Not covered: speed (`make bench-viewer`), touch.
"""

import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from playwright.sync_api import expect

from processor.model import Output, StepResult

SLICES = 30
BRIGHTNESS = """canvas => {
  const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d");
  copy.drawImage(canvas, 0, 0);
  const pixels = copy.getImageData(0, 0, canvas.width, canvas.height).data;
  return pixels.filter((_, at) => at % 4 === 0).reduce((sum, one) => sum + one, 0)
    / (pixels.length / 4);
}"""
FITS = "document.documentElement.scrollWidth <= window.innerWidth"


@pytest.fixture
def ct(chronicle):
    """A CT of 8 x 6 x 30 voxels, of value i + 10 j + 100 k; its output is number 1."""
    chronicle.whole_series(SLICES, Modality="CT")


@pytest.fixture
def perfusion(chronicle, context):
    """An MR of four phases, each brighter than the one before; its output is number 1."""
    chronicle.arrive(count=4)
    chronicle.decide(chronicle.close())
    folder = Path("study/perfusion")
    (context.results / folder).mkdir(parents=True)
    values = np.ones((8, 6, 5, 4)) * [100, 200, 300, 400]
    image = nib.Nifti1Image(values.astype(np.int16), np.diag([2.0, 2.0, 3.0, 1.0]))
    image.to_filename(context.results / folder / "v.nii.gz")
    outputs = (Output("v.nii.gz", "nifti", 1, ""),)
    chronicle.record(chronicle.claim(), folder, (StepResult("convert", "done", "ok", {}, outputs),))


@pytest.fixture
def viewer(open_tab):
    """Function that opens the viewer and waits for its first picture."""

    def open_it(**settings):
        tab = open_tab("/outputs/1/viewer", **settings)
        shows(tab, "axial 0 0")
        return tab

    return open_it


def shows(tab, what):
    expect(tab.locator("canvas")).to_have_attribute("data-shown", what)


def brightness(tab):
    return tab.locator("canvas").evaluate(BRIGHTNESS)


def window_of(tab):
    """Centre and width, as the page tells them."""
    told = tab.locator(".window")
    expect(told).to_contain_text("Centre")
    return tuple(map(float, re.findall(r"-?[\d.]+\d", told.inner_text())))


def window_choice(tab):
    return tab.get_by_role("combobox", name="Window")


def stage_centre(tab):
    box = tab.locator(".stage").bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_the_wheel_scrolls_both_ways_and_stops_at_the_ends(ct, viewer):
    tab = viewer()
    tab.mouse.move(*stage_centre(tab))
    tab.mouse.wheel(0, 100)
    shows(tab, "axial 1 0")
    for _ in range(SLICES + 5):
        tab.mouse.wheel(0, 100)
    shows(tab, f"axial {SLICES - 1} 0")
    expect(tab.locator(".where")).to_have_text(f"{SLICES} of {SLICES}")
    tab.mouse.wheel(0, -100)
    shows(tab, f"axial {SLICES - 2} 0")
    assert tab.evaluate("scrollY") == 0


def test_the_slider_goes_to_a_slice_by_mouse_and_keys(ct, viewer):
    tab = viewer()
    slider = tab.get_by_label("Slice", exact=True)
    box = slider.bounding_box()
    tab.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    place = tab.locator("canvas")
    expect(place).to_have_attribute("data-shown", re.compile(r"axial 1[45] 0"))
    at = int(place.get_attribute("data-shown").split()[1])
    slider.press("ArrowRight")
    shows(tab, f"axial {at + 1} 0")
    slider.press("End")
    shows(tab, f"axial {SLICES - 1} 0")


def test_the_keys_scroll_the_picture(ct, viewer):
    tab = viewer()
    stage = tab.locator(".stage")
    for key, place in (
        *(("ArrowDown", 1), ("ArrowRight", 2), ("ArrowUp", 1), ("ArrowLeft", 0)),
        *(("PageDown", 10), ("End", SLICES - 1), ("PageUp", SLICES - 11), ("Home", 0)),
    ):
        stage.press(key)
        shows(tab, f"axial {place} 0")
    expect(stage).to_be_focused()


def test_presets_change_the_window_and_the_picture(ct, viewer, wait_until):
    tab = viewer()
    stage = tab.locator(".stage")
    for _ in range(3):
        stage.press("ArrowDown")
    shows(tab, "axial 3 0")  # values from 300 to 357
    presets = window_choice(tab)
    assert presets.locator("option").all_inner_texts()[:2] == ["automatic", "soft tissue"]
    for name, window, grey in (
        ("soft tissue", (40, 400), (255, 255)),
        ("bone", (400, 1800), (113, 122)),  # (300 + 500) / 1800 of white, to (357 + 500) / 1800
        ("lung", (-600, 1500), (255, 255)),
    ):
        presets.select_option(label=name)
        expect(tab.locator(".window")).to_contain_text(f"width {window[1]}")
        assert window_of(tab) == window
        low, high = grey
        wait_until(lambda low=low, high=high: low - 2 <= brightness(tab) <= high + 2, name)
    presets.select_option(label="automatic")
    expect(tab.locator(".window")).not_to_contain_text("width 1500")


def test_dragging_changes_width_to_the_side_and_centre_downwards(ct, viewer):
    tab = viewer()
    before = window_of(tab)
    x, y = stage_centre(tab)
    tab.mouse.move(x, y)
    tab.mouse.down()
    tab.mouse.move(x + 100, y + 50, steps=5)
    tab.mouse.up()
    expect(window_choice(tab)).to_have_value("own")
    centre, width = window_of(tab)
    assert (centre, width) == (before[0] + 0.2 * before[1], before[1] * 1.4)
    tab.mouse.move(x, y)  # the button is up: nothing more
    assert window_of(tab) == (centre, width)


def test_inverting_turns_dark_into_bright(ct, viewer, wait_until):
    tab = viewer()
    window_choice(tab).select_option(label="brain")
    tab.locator(".stage").press("End")  # far above the window: white
    shows(tab, f"axial {SLICES - 1} 0")
    wait_until(lambda: brightness(tab) > 250, "white")
    tab.get_by_label("inverted").check()
    wait_until(lambda: brightness(tab) < 5, "black")


def test_the_three_planes_are_shown_with_their_letters(ct, viewer):
    tab = viewer()
    for plane, slices, letters in (
        ("coronal", 6, "RLHF"),
        ("sagittal", 8, "APHF"),
        ("axial", SLICES, "RLAP"),
    ):
        button = tab.get_by_role("button", name=plane)
        button.click()
        shows(tab, f"{plane} {slices // 2} 0")
        expect(button).to_have_attribute("aria-pressed", "true")
        expect(tab.locator("[aria-pressed=true]")).to_have_count(1)
        sides = [f".letter.{side}" for side in ("left", "right", "top", "bottom")]
        assert "".join(tab.locator(side).inner_text() for side in sides) == letters
        expect(tab.get_by_label("Slice", exact=True)).to_have_attribute("max", str(slices))


def test_the_phases_of_a_series_in_time_are_gone_through(perfusion, viewer):
    tab = viewer()
    phase = tab.get_by_label("Phase")
    expect(phase).to_have_attribute("max", "4")
    phase.press("ArrowRight")
    shows(tab, "axial 0 1")
    expect(tab.locator(".where")).to_have_text("1 of 5, phase 2 of 4")
    phase.press("End")
    shows(tab, "axial 0 3")
    tab.locator(".stage").press("ArrowDown")
    shows(tab, "axial 1 3")


def test_a_volume_of_one_phase_or_plane_offers_no_choice_of_them(ct, viewer):
    tab = viewer()
    expect(tab.get_by_label("Phase")).to_be_hidden()


def test_what_cannot_be_shown_is_told_in_the_picture(ct, viewer, open_tab, context):
    open_tab.forgiven.append("status of 404")
    tab = viewer()
    for volume in context.results.rglob("*.nii.gz"):
        volume.unlink()
    tab.locator(".stage").press("End")
    expect(tab.get_by_role("alert")).to_contain_text("file")


@pytest.mark.parametrize("width", [400, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_viewer_fits_its_window(ct, viewer, width, scheme, keep_picture):
    tab = viewer(viewport={"width": width, "height": 800}, color_scheme=scheme)
    assert tab.evaluate(FITS)
    box = tab.locator("canvas").bounding_box()
    stage = tab.locator(".stage").bounding_box()
    assert box["width"] <= stage["width"] + 1
    assert box["height"] <= stage["height"] + 1
    keep_picture(tab, f"viewer-{width}-{scheme}", full_page=False)
