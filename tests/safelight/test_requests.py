"""Requests to the daemon: whole files, in order, answered by removal."""

import pytest

from safelight.requests import Request, Requests


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "requests"
    folder.mkdir()
    return folder


def test_requests_are_read_in_the_order_they_were_left_and_are_gone_when_answered(folder):
    requests = Requests(folder)
    asked = [
        Request("pause", processor="convert"),
        Request("resend", job=12),
        Request("cancel", job=7),
        Request("resume"),
    ]
    paths = [requests.leave(request) for request in asked]
    assert [request for _, request in requests.pending()] == asked
    requests.answer(paths[1])
    assert [path for path, _ in requests.pending()] == [paths[0], *paths[2:]]


@pytest.mark.parametrize("content", ['{"what": "delete"}', '{"what": "resend", "job": "x"}', "{"])
def test_what_is_no_request_is_set_aside_and_told_and_the_others_are_read(folder, caplog, content):
    (folder / "1.json").write_text(content)
    requests = Requests(folder)
    requests.leave(Request("resume"))
    assert [request.what for _, request in requests.pending()] == ["resume"]
    assert (folder / "1.refused").read_text() == content
    assert "1.json" in caplog.text


def test_without_the_daemons_folder_nothing_is_left_anywhere(tmp_path):
    with pytest.raises(FileNotFoundError):
        Requests(tmp_path / "absent").leave(Request("pause"))
    assert list(tmp_path.iterdir()) == []
