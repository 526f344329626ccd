"""Jobs: publication whole, once and with a manifest; faults of steps and of the machine.

Not covered: power failure; that fsync is called is all a test can see of durability.
"""

import dataclasses
import errno
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from processor import job as job_module
from processor.errors import (
    DestinationTaken,
    FolderLost,
    OptionError,
    OutputUnavailable,
    StorageError,
    WorkerOutOfMemory,
)
from processor.job import (
    discard_remains,
    job_key,
    make_job,
    progress_of,
    publish_made,
    run_job,
)
from processor.model import StepResult
from processor.progress import Progress
from processor.publish import output_of, publish
from processor.settings import ProcessorSettings
from rules.model import Step


class Faulty:
    """A processor that raises what it is given, after writing half a file."""

    name, version = "qc", "1"

    def __init__(self, error):
        self.error = error

    def check_options(self, options):
        pass

    def run(self, context):
        (context.folder / "half.nii.gz").write_bytes(b"half")
        raise self.error


@pytest.fixture
def faulty(monkeypatch):
    def install(error):
        processors = {**job_module.PROCESSORS, "qc": Faulty(error)}
        monkeypatch.setattr(job_module, "PROCESSORS", processors)

    return install


def test_outputs_are_published_under_telling_names_with_a_manifest(job, stack):
    request = job(stack(3))
    result = run_job(request)
    assert result.folder == Path("M22_042", f"007_Routine_Brain-{request.key[:8]}")
    folder = request.results / result.folder
    assert {path.name for path in folder.iterdir()} == {
        "007_Routine_Brain.nii.gz",
        "007_Routine_Brain.json",
        "preview.png",
        "metadata.xlsx",
        "metadata.json",
        "manifest.json",
    }
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["schema"], manifest["key"], manifest["series_uid"]) == (
        1,
        request.key,
        "1.2.3.4",
    )
    outputs = [output for step in manifest["steps"] for output in step["outputs"]]
    assert len(outputs) == 5
    for output in outputs:
        content = (folder / output["path"]).read_bytes()
        assert output["bytes"] == len(content)
        assert output["sha256"] == hashlib.sha256(content).hexdigest()


def test_nothing_is_left_in_scratch(job, stack):
    request = job(stack(2))
    run_job(request)
    assert list(request.scratch.iterdir()) == []


def test_without_an_accession_number_the_study_uid_names_the_folder(job, stack):
    assert run_job(job(stack(1, AccessionNumber=""), "qc")).folder.parts[0] == "1.2.3"


def test_a_published_job_is_not_run_again(job, stack, faulty):
    request = job(stack(2))
    first = run_job(request)
    faulty(RuntimeError("would run again"))
    again = run_job(request)
    assert again.steps == tuple(
        dataclasses.replace(step, details=json.loads(json.dumps(step.details)))
        for step in first.steps
    )
    assert (again.folder, again.seconds) == (first.folder, first.seconds)


def test_another_revision_is_published_beside_the_first(job, stack):
    request = job(stack(2), "qc")
    other = dataclasses.replace(request, key=job_key("1.2.3.4", "e", "all", request.steps))
    assert run_job(request).folder != run_job(other).folder


def test_what_a_killed_worker_left_is_removed_first(job, stack):
    request = job(stack(2), "qc")
    remains = request.scratch / f"{request.key}-4711"
    remains.mkdir()
    (remains / "half.nii.gz").write_bytes(b"half")
    folder = request.results / run_job(request).folder
    assert [path.name for path in folder.iterdir()] == ["manifest.json"]
    assert list(request.scratch.iterdir()) == []


def test_remains_of_jobs_that_no_longer_run_are_discarded(tmp_path):
    for key in ("ended", "running"):
        (tmp_path / f"{key}-4711").mkdir()
        (tmp_path / f"{key}-4711" / "half.nii.gz").write_bytes(b"half")
        (tmp_path / f"{key}.progress").write_text("{}")
    discard_remains(tmp_path, {"running"})
    assert {path.name for path in tmp_path.iterdir()} == {"running-4711", "running.progress"}


def test_two_runs_of_one_job_publish_once_and_both_know_what(job, stack, monkeypatch):
    request = job(stack(2), "qc")
    published = []

    def after_the_other(*arguments):
        monkeypatch.setattr(job_module, "publish", publish)
        published.append(publish_for_another(request, request.scratch / "other"))
        publish(*arguments)

    def publish_for_another(request, scratch):
        return run_job(dataclasses.replace(request, scratch=scratch))

    monkeypatch.setattr(job_module, "publish", after_the_other)
    result = run_job(request)
    assert [result.seconds] == [other.seconds for other in published]
    manifests = list(request.results.rglob("manifest.json"))
    assert manifests == [request.results / result.folder / "manifest.json"]


def test_a_fault_in_one_step_costs_only_that_step_and_tells_no_patient_data(job, stack, faulty):
    faulty(RuntimeError("Doe^Jane"))
    request = job(stack(2))
    result = run_job(request)
    states = {step.processor: step.state for step in result.steps}
    assert states == {"convert": "done", "qc": "failed", "preview": "done", "metadata": "done"}
    assert result.steps[1].summary.startswith("failed: RuntimeError at test_job.py:")
    folder = request.results / result.folder
    assert "Doe" not in (folder / "manifest.json").read_text()
    assert not (folder / "half.nii.gz").exists()


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.ENOSPC, "full", "/M22"), OutputUnavailable),
        (OSError(errno.EROFS, "read-only", "/M22"), OutputUnavailable),
        (OSError(errno.EIO, "M22"), StorageError),
        (MemoryError(), WorkerOutOfMemory),
    ],
)
def test_a_failing_machine_fails_the_whole_job_and_publishes_nothing(
    job, stack, faulty, error, expected
):
    faulty(error)
    request = job(stack(2))
    with pytest.raises(expected) as raised:
        run_job(request)
    assert type(raised.value) is expected
    assert "M22" not in str(raised.value)
    assert list(request.results.iterdir()) == []
    assert list(request.scratch.iterdir()) == []


def test_steps_run_in_the_order_in_which_the_rule_has_them(job, stack):
    result = run_job(job(stack(2), "preview", "qc", "convert"))
    assert [step.processor for step in result.steps] == ["preview", "qc", "convert"]


def with_condition(request, condition):
    """A request that checks quality and converts when `condition` holds."""
    steps = (Step("qc", {}), Step("convert", {}, condition))
    return dataclasses.replace(request, steps=steps, key=job_key("1.2.3.4", "d", "all", steps))


@pytest.mark.parametrize(
    ("condition", "state"),
    [({"Low_quality": 1}, "done"), ({"Low_quality": 0}, "refused"), ({"qc_state": "done"}, "done")],
)
def test_a_step_runs_when_what_an_earlier_one_found_is_as_it_asks(job, stack, condition, state):
    request = with_condition(job(stack(2, pixels=np.zeros((6, 5), np.uint16)), "qc"), condition)
    quality, convert = run_job(request).steps
    assert quality.details["low_quality"] == 1
    assert convert.state == state
    if state == "refused":
        assert convert.summary == "not run: Low_quality = 1: is 0"


def test_a_condition_that_cannot_be_judged_fails_its_step_for_a_person_to_look_at(
    job, stack, faulty
):
    faulty(RuntimeError())
    quality, convert = run_job(with_condition(job(stack(2), "qc"), {"Low_quality": 0})).steps
    assert (quality.state, convert.state) == ("failed", "failed")
    assert convert.summary == "its condition cannot be judged: Low_quality is absent"


def at(request, destination, **changes):
    key = job_key("1.2.3.4", changes.get("digest", "d"), "all", request.steps, destination)
    return dataclasses.replace(request, destination=destination, key=key, **changes)


def test_outputs_go_where_the_rule_wants_them_and_never_onto_another_jobs(job, stack):
    request = at(job(stack(2), "qc"), "P1/20240102/007_Brain")
    assert run_job(request).folder == Path("P1/20240102/007_Brain")
    later = at(request, "P1/20240102/007_Brain", digest="e")
    assert run_job(later).folder == Path(f"P1/20240102/007_Brain-{later.key[:8]}")
    assert run_job(request).folder == Path("P1/20240102/007_Brain")
    within = at(request, "P1/20240102/007_Brain/deeper")
    with pytest.raises(DestinationTaken):
        run_job(within)


def test_a_job_whose_folder_was_taken_while_it_ran_takes_another_name_when_it_is_tried_again(
    job, stack
):
    request = at(job(stack(2), "qc"), "P1/20240102/007_Brain")
    other = at(request, "P1/20240102/007_Brain", digest="e")
    made = make_job(other)
    run_job(request)
    with pytest.raises(FolderLost):
        publish_made(made)
    assert list(request.scratch.iterdir()) == []
    assert run_job(other).folder == Path(f"P1/20240102/007_Brain-{other.key[:8]}")


class Astray:
    """A processor that declares an output that is not in its folder."""

    name, version = "qc", "1"

    def __init__(self, kind):
        self.kind = kind

    def check_options(self, options):
        pass

    def run(self, context):
        elsewhere = context.request.scratch / "elsewhere.txt"
        elsewhere.write_text("elsewhere")
        output = output_of(elsewhere, elsewhere.parent, "rows")
        if self.kind == "link":
            (context.folder / output.path).symlink_to(elsewhere)
        else:
            output = dataclasses.replace(output, path="../elsewhere.txt")
        return StepResult("qc", "done", "Normal", outputs=(output,))


@pytest.mark.parametrize("kind", ["link", "parent"])
def test_an_output_outside_the_jobs_folder_is_not_published(job, stack, monkeypatch, kind):
    monkeypatch.setattr(job_module, "PROCESSORS", {**job_module.PROCESSORS, "qc": Astray(kind)})
    request = job(stack(2), "qc")
    result = run_job(request)
    assert [(step.state, step.outputs) for step in result.steps] == [("failed", ())]
    assert [path.name for path in (request.results / result.folder).iterdir()] == ["manifest.json"]


def test_a_results_folder_that_is_read_only_lets_the_job_wait(job, stack, mounted):
    request = job(stack(2), "qc")
    with mounted(request.results, "ro"), pytest.raises(OutputUnavailable, match="EROFS while"):
        run_job(request)
    assert run_job(request).steps[0].state == "done"


def test_a_results_folder_that_is_full_lets_the_job_wait(job, stack, mounted):
    request = job(stack(3))
    with mounted(request.scratch, "size=16k"), pytest.raises(OutputUnavailable, match="ENOSPC"):
        run_job(request)
    assert {step.state for step in run_job(request).steps} == {"done"}


def test_a_series_without_any_readable_file_still_has_a_result(job, tmp_path):
    path = tmp_path / "noise.dcm"
    path.write_bytes(b"noise")
    result = run_job(job([path]))
    assert result.folder.parts[0] == "1.2.3"
    assert [step.state for step in result.steps] == ["refused", "done", "refused", "done"]


def test_the_key_changes_with_whatever_changes_the_work():
    steps = (Step("convert", {"compression": 1}),)
    same = job_key("1.2", "d", "r", steps)
    assert same == job_key("1.2", "d", "r", (Step("convert", {"compression": 1}),))
    others = {
        job_key("1.3", "d", "r", steps),
        job_key("1.2", "e", "r", steps),
        job_key("1.2", "d", "s", steps),
        job_key("1.2", "d", "r", (Step("convert", {"compression": 2}),)),
        job_key("1.2", "d", "r", (Step("convert", {}), Step("qc", {}))),
        job_key("1.2", "d", "r", (Step("qc", {}), Step("convert", {}))),
        job_key("1.2", "d", "r", (Step("convert", {"compression": 1}, {"Low_quality": 0}),)),
        job_key("1.2", "d", "r", steps, "P1/7"),
    }
    assert len(others | {same}) == 9


def test_an_unknown_processor_is_refused_with_a_suggestion():
    with pytest.raises(OptionError, match=r"unknown processor convrt \(did you mean convert\?\)"):
        job_key("1.2", "d", "r", (Step("convrt", {}),))


def test_progress_can_be_read_while_a_step_runs_and_is_gone_after(tmp_path):
    progress = Progress(tmp_path / "k.progress")
    report = progress.of_step("convert")
    report(0.0)
    assert progress_of(tmp_path, "k") == {"step": "convert", "fraction": 0.0}
    report(1.0)
    assert progress_of(tmp_path, "k") == {"step": "convert", "fraction": 1.0}
    progress.close()
    assert progress_of(tmp_path, "k") is None


def test_a_wrong_template_fails_only_the_metadata_and_names_no_path(job, stack, tmp_path):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "ct.json").write_text('["EchoTimes"]')
    request = job(stack(2), settings=ProcessorSettings(templates=tmp_path / "own"))
    result = run_job(request)
    assert isinstance(result.steps[3], StepResult)
    assert result.steps[3].state == "failed"
    assert result.steps[3].summary.startswith("failed: TemplateError at templates.py:")
