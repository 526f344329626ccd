"""Several nodes on one page: asked over HTTP or read from their ledgers, dead, slow and divided.

Real daemons behind a real balancer: tests/acceptance/test_several_nodes.py.
"""

import dataclasses
import json
import re
import socket
import threading
import time
from contextlib import ExitStack

import pytest
import trustme

from ledger.writer import LedgerWriter
from web_status import node_ledger, nodes
from web_status.api.operation import PREFIX
from web_status.node_settings import NodeSettings
from web_status.roles import Role
from web_status.settings import WebSettings
from web_status.users import UsersFile

from .conftest import Chronicle

JANE = {"PatientName": "DOE^JANE", "PatientID": "P1"}


@dataclasses.dataclass
class Other:
    """Another node: its folders, and who writes its ledger."""

    context: object
    chronicle: Chronicle

    def token(self, role=Role.VIEWER):
        users = UsersFile(self.context.data)
        name = f"overview-{role}"
        users.add(name, role, "correct horse battery")
        return users.add_token(name, "page")


@pytest.fixture
def other(context, tmp_path, quick_hashes):
    """Function that makes the folders of another node."""
    with ExitStack() as opened:

        def make(name):
            data = tmp_path / name
            (data / "results").mkdir(parents=True)
            beside = dataclasses.replace(
                context,
                data=data,
                ledger=data / "ledger.sqlite",
                results=data / "results",
                identity=f"SAFELIGHT @ {name}:11112",
                version="0.1.0b",
            )
            writer = opened.enter_context(LedgerWriter(beside.ledger))
            return Other(beside, Chronicle(writer, beside.results))

        yield make


@pytest.fixture
def served(other, serve_node):
    """Function that serves another node, and returns it with its settings in ``[[nodes]]``."""

    def serve(name, role=Role.VIEWER, **settings):
        node = other(name)
        page = serve_node(dataclasses.replace(node.context, settings=WebSettings(**settings)))
        url = f"http://127.0.0.1:{page.port}"
        return node, NodeSettings(name, url, node.token(role))

    return serve


@pytest.fixture
def one_page(context, serve_node):
    """Function that serves the page of this node with others beside it."""

    def serve(*others):
        return serve_node(dataclasses.replace(context, nodes=others))

    return serve


def words(markup):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", markup)).strip()


def row(answer, name):
    (found,) = re.findall(rf'<tr id="node-{name}".*?</tr>', answer.text, re.DOTALL)
    return words(found)


def listed(answer):
    """The parts of the list in order: UID of the study, and the node."""
    return re.findall(r'data-study="([\d.]+)" data-node="(\w+)"', answer.text)


def asked(page, method, path, body=None, **headers):
    """What a program is answered."""
    content = None if body is None else json.dumps(body).encode()
    answer = page.get(
        f"{PREFIX}{path}", method, content, Content_Type="application/json", **headers
    )
    assert answer.status == 200, answer.text
    return answer.json


def csrf(page):
    form = page.get("/")
    (token,) = re.findall(r'name="csrf-token" content="(\w+)"', form.text)
    return {"Cookie": form.headers["Set-Cookie"].partition(";")[0], "X-CSRF-Token": token}


def test_each_node_says_how_it_is(one_page, served, other, chronicle):
    b, settings = served("b")
    b.chronicle.arrive(count=3)
    b.chronicle.decide(b.chronicle.close(), outcome="hold")
    c = other("c")
    c.chronicle.arrive(series="1.9.1", study="1.9", count=2)
    chronicle.whole_series(4)
    answer = one_page(settings, NodeSettings("c", data=c.context.data)).get("/nodes")
    here = row(answer, "here")
    assert "this node SAFELIGHT @ 0.0.0.0:11112 · 0.1.0 no alarms" in here
    assert "4 instances 1 study, the last 20" in here
    told = row(answer, "b")
    assert "b SAFELIGHT @ b:11112 · 0.1.0b 1 thing needs a person" in told
    assert "0 series arriving" in told
    assert re.search(r"GB free of [\d.]+ [GT]B", told)
    assert "3 instances" in told
    assert f'href="{settings.url}/studies?state=attention"' in answer.text
    told = row(answer, "c")
    assert "read from its ledger, which does not say whether it runs" in told
    assert "1 series arriving" in told
    assert f'<a href="{settings.url}/">b</a>' in answer.text


def test_studies_of_all_nodes_are_in_one_list_by_time_page_after_page(
    one_page, served, chronicle, monkeypatch
):
    monkeypatch.setattr("web_status.nodes_page.PAGE_SIZE", 2)
    b, settings = served("b")
    for number in range(1, 6):  # 5 is the latest
        hand = b.chronicle if number % 2 else chronicle
        hand.arrive(series=f"1.{number}.1", study=f"1.{number}")
        time.sleep(0.002)  # the ledger's clock has milliseconds
    page = one_page(settings)
    path, found = "/nodes", []
    while path:
        answer = page.get(path)
        found.append(listed(answer))
        older = re.findall(r'<a href="(/nodes\?older=[^"]+)">Older', answer.text)
        path = older[0] if older else None
    assert found == [
        [("1.5", "b"), ("1.4", "here")],
        [("1.3", "b"), ("1.2", "here")],
        [("1.1", "b")],
    ]
    links = re.findall(r'href="([^"]*/studies/\d+)"', page.get("/nodes").text)
    assert links == [f"{settings.url}/studies/3", "/studies/2"]


def divided(page):
    found = asked(page, "POST", "/nodes/studies", {}, **csrf(page))["items"]
    return {one["StudyInstanceUID"]: one for one in found}


def test_a_series_of_which_each_node_has_a_part_is_an_alarm_with_its_counts_and_a_remedy(
    one_page, served, chronicle
):
    b, settings = served("b")
    chronicle.arrive(series="1.1.1", study="1.1", count=3)
    b.chronicle._instances = 2  # so that b has the third of those, and two others
    b.chronicle.arrive(series="1.1.1", study="1.1", count=3)
    page = one_page(settings)
    told = words(page.get("/nodes").text)
    assert "No node has this study whole, nor every series of it 1.1 " in told
    assert "MR 7 T2 TSE sagittal: " in told
    assert "3 on this node" in told
    assert "3 on b, " in told
    assert "5 together" in told
    assert "safelight send 1.1 --to" in told
    one = divided(page)["1.1"]
    (shared,) = one["shared"]
    assert shared["instances"] == {"here": 3, "b": 3}
    assert (shared["together"], shared["whole_on"], one["is_divided"]) == (5, [], True)


def test_series_of_a_study_on_different_nodes_divide_it_too(one_page, served, chronicle):
    b, settings = served("b")
    chronicle.arrive(series="1.1.1", study="1.1")
    b.chronicle.arrive(series="1.1.2", study="1.1")
    page = one_page(settings)
    assert "each series is whole on one" in words(page.get("/nodes").text)
    one = divided(page)["1.1"]
    assert (one["is_divided"], one["shared"], one["whole_on"]) == (True, [], [])


def test_what_one_node_has_whole_is_divided_no_more(one_page, served, chronicle):
    b, settings = served("b")
    chronicle.arrive(series="1.1.1", study="1.1", count=2)
    b.chronicle.arrive(series="1.1.1", study="1.1", count=4)
    b.chronicle.arrive(series="1.1.2", study="1.1")
    page = one_page(settings)
    answer = page.get("/nodes")
    assert 'id="divided"' not in answer.text
    assert "whole on b" in words(answer.text)
    one = divided(page)["1.1"]
    assert (one["is_divided"], one["whole_on"]) == (False, ["b"])


def test_a_half_that_came_long_before_is_found_though_the_list_does_not_reach_it(
    one_page, served, chronicle, monkeypatch
):
    monkeypatch.setattr("web_status.nodes_page.PAGE_SIZE", 2)
    b, settings = served("b")
    b.chronicle.arrive(series="1.1.1", study="1.1")
    for number in range(2, 6):
        b.chronicle.arrive(series=f"1.{number}.1", study=f"1.{number}")
    time.sleep(0.002)
    chronicle.arrive(series="1.1.2", study="1.1")
    assert listed(one_page(settings).get("/nodes"))[:2] == [("1.1", "here"), ("1.1", "b")]


@pytest.fixture
def deaf():
    """The URL of something that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_nodes_that_do_not_answer_are_told_with_a_remedy_and_the_others_come_in_time(
    one_page, served, chronicle, deaf, free_port, monkeypatch
):
    monkeypatch.setattr(nodes, "SECONDS", 2.0)
    b, settings = served("b")
    b.chronicle.arrive(series="1.2.1", study="1.2")
    chronicle.arrive(series="1.1.1", study="1.1")
    gone = NodeSettings("gone", f"http://127.0.0.1:{free_port()}", "x")
    silent = [NodeSettings(f"silent{number}", deaf, "x") for number in range(20)]
    page = one_page(settings, gone, *silent)
    began = time.monotonic()
    answer = page.get("/nodes")
    took = time.monotonic() - began
    assert took < 50, took  # seconds; one after another would take 80
    assert {node for _, node in listed(answer)} == {"here", "b"}
    assert "it cannot be reached See that its service runs" in row(answer, "gone")
    assert "it did not answer in time" in row(answer, "silent4")
    told = words(answer.text)
    assert "The studies of gone are missing in this list: it cannot be reached" in told
    items = {one["name"]: one for one in asked(page, "GET", "/nodes")["items"]}
    assert items["gone"]["state"] is None
    assert items["gone"]["trouble"]["reason"] == "it cannot be reached"
    assert items["b"]["state"]["overview"]["studies"] == 1


def test_a_wrong_token_says_how_to_make_one(one_page, served):
    _, settings = served("b")
    wrong = dataclasses.replace(settings, token="safelight_wrong")
    answer = one_page(wrong).get("/nodes")
    assert "it does not know the token Make one there with" in row(answer, "b")


@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        (200, b"{}", "its answer is not what this version expects"),
        (200, b"<html>", "its answer is not what this version expects"),
        (302, b"", "its answer is not what this version expects"),
        (422, b"{}", "its answer is not what this version expects"),
        (421, b"{}", "its page is not reached by this name Add the name in url"),
        (503, b"{}", "it cannot read its ledger now"),
    ],
)
def test_what_answers_otherwise_says_what_to_change(one_page, status, body, why):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            for _ in range(2):  # the state, and the studies
                peer, _ = server.accept()
                with peer:
                    peer.recv(1 << 16)
                    head = f"HTTP/1.1 {status} X\r\nLocation: /\r\nContent-Length: {len(body)}"
                    peer.sendall(f"{head}\r\nConnection: close\r\n\r\n".encode() + body)

        thread = threading.Thread(target=serve)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        answer = one_page(NodeSettings("old", url, "x")).get("/nodes")
        thread.join(60)
    assert why in row(answer, "old")


def test_a_certificate_is_believed_by_its_authority(
    one_page, other, serve_node, chronicle, tmp_path
):
    authority, stranger = trustme.CA(), trustme.CA()
    made = authority.issue_cert("127.0.0.1")
    for name, blob in (("cert.pem", made.cert_chain_pems[0]), ("key.pem", made.private_key_pem)):
        blob.write_to_path(tmp_path / name)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    stranger.cert_pem.write_to_path(tmp_path / "stranger.pem")
    b = other("b")
    settings = WebSettings(certificate=tmp_path / "cert.pem", private_key=tmp_path / "key.pem")
    page = serve_node(dataclasses.replace(b.context, settings=settings))
    known = NodeSettings("known", f"https://127.0.0.1:{page.port}", b.token(), tmp_path / "ca.pem")
    strange = dataclasses.replace(known, name="strange", authorities=tmp_path / "stranger.pem")
    absent = dataclasses.replace(known, name="absent", authorities=tmp_path / "none.pem")
    answer = one_page(known, strange, absent).get("/nodes")
    assert "no alarms" in row(answer, "known")
    assert "its certificate is of no authority that is known here" in row(answer, "strange")
    assert "authorities cannot be read here, or is not PEM" in row(answer, "absent")


def test_a_patient_is_looked_for_where_the_token_may_and_nowhere_in_an_address(
    one_page, served, chronicle, context
):
    b, reads_names = served("b", Role.OPERATOR)
    c, reads_none = served("c")
    for hand in (chronicle, b.chronicle, c.chronicle):
        hand.arrive(series="1.1.1", study="1.1", **JANE)
        hand.arrive(series="1.2.1", study="1.2", PatientName="ROE^RICHARD", PatientID="P3")
    page = one_page(reads_names, reads_none)
    form = {"Content_Type": "application/x-www-form-urlencoded", **csrf(page)}
    answer = page.get("/nodes", "POST", b"patient=jane", **form)
    assert [node for uid, node in listed(answer) if uid == "1.1"] == ["b", "here"]
    assert {uid for uid, _ in listed(answer)} == {"1.1"}
    assert "Looking for a patient needs a token of an operator" in words(answer.text)
    assert page.get("/nodes?patient=jane").status == 400
    audit = (context.data / "audit.log").read_text()
    assert '"studies searched"' in audit
    assert "jane" not in audit.lower() + (b.context.data / "audit.log").read_text().lower()
    narrow = page.get("/nodes", "POST", b"modality=MR", **form)
    assert (narrow.status, narrow.headers["Location"]) == (303, "/nodes?modality=MR")
    assert len(listed(page.get("/nodes?modality=MR"))) == 6
    assert listed(page.get("/nodes?modality=CT")) == []


def test_viewers_learn_no_name_whatever_the_tokens_may(one_page, served, chronicle, users, log_in):
    b, settings = served("b", Role.OPERATOR)
    b.chronicle.arrive(**JANE, StudyDescription="Spine of Jane")
    page = one_page(settings)
    victor = log_in(page, "victor")
    answer = page.get("/nodes", **victor)
    found = page.get(
        f"{PREFIX}/nodes/studies", "POST", b"{}", Content_Type="application/json", **victor
    )
    assert [node for _, node in listed(answer)] == ["b"]
    for text in (answer.text, found.text):
        assert "(hidden)" in text
        assert not re.search("doe|jane|P1", text, re.IGNORECASE)
    form = {"Content_Type": "application/x-www-form-urlencoded", **victor}
    assert page.get("/nodes", "POST", b"patient=jane", **form).status == 403


def test_a_viewers_token_brings_no_name_to_anybody(one_page, served, chronicle):
    b, settings = served("b")
    b.chronicle.arrive(**JANE)
    page = one_page(settings)
    answer = page.get("/nodes")
    assert [node for _, node in listed(answer)] == ["b"]
    assert "DOE" not in answer.text
    time.sleep(0.002)
    b.chronicle.arrive(series="1.2.9", study="1.2", **JANE)
    chronicle.arrive(**JANE)  # what is here as well has its name from here
    assert "DOE, JANE" in page.get("/nodes").text


def test_a_ledger_on_another_machine_is_not_opened(one_page, other, monkeypatch):
    c = other("c")
    kinds = {c.context.data: "nfs4"}
    monkeypatch.setattr(node_ledger, "filesystem_of", lambda folder: kinds.get(folder, "ext4"))
    answer = one_page(NodeSettings("c", data=c.context.data)).get("/nodes")
    assert "SQLite cannot be read over a network Give the node url and token" in row(answer, "c")


def test_a_data_folder_without_a_ledger_is_told(one_page, tmp_path):
    (tmp_path / "empty").mkdir()
    answer = one_page(NodeSettings("c", data=tmp_path / "empty")).get("/nodes")
    assert "there is no ledger in its data folder" in row(answer, "c")
    assert "no alarms" in row(answer, "here")  # which has none yet, and is well


def test_a_study_of_a_node_without_a_page_has_no_link(one_page, other):
    c = other("c")
    c.chronicle.arrive()
    answer = one_page(NodeSettings("c", data=c.context.data)).get("/nodes")
    assert "c study 1" in words(answer.text)
    assert "/studies/1" not in answer.text


def test_without_others_the_page_says_how_to_name_one_and_is_in_no_menu(page):
    answer = page.get("/nodes")
    assert "the only node that the configuration names" in answer.text
    assert 'href="/nodes">' not in page.get("/").text


def test_where_there_are_others_it_is_in_the_menu(one_page, free_port):
    gone = NodeSettings("gone", f"http://127.0.0.1:{free_port()}", "x")
    assert 'href="/nodes">Nodes' in one_page(gone).get("/").text


@pytest.mark.parametrize("query", ["older=x", "older=b~1,", "older=b~1;c~2", "patient=jane"])
def test_a_place_in_the_list_that_is_none_of_ours_is_refused(page, query):
    assert page.get(f"/nodes?{query}").status == 400


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"name": "here"}, "name: expected 1 to 32"),
        ({"name": "a b"}, "name: expected 1 to 32"),
        ({"name": "b"}, "url: missing"),
        ({"name": "b", "url": "https://b:8080"}, "token: missing"),
        ({"name": "b", "url": "http://b:8080", "token": "x"}, "url: expected https"),
        ({"name": "b", "url": "https://b/nodes", "token": "x"}, "url: expected a page"),
        ({"name": "b", "url": "javascript:alert(1)", "token": "x"}, "url: expected a page"),
        ({"name": "b", "url": "https://u:p@b", "token": "x"}, "url: expected a page"),
        ({"name": "b", "url": "https://b:99999", "token": "x"}, "url: expected a page"),
        ({"name": "b", "url": "https://b", "token": "x\r\nX: y"}, "token: expected what"),
        ({"name": "b", "data": "/srv/b", "token": "x"}, "token: a node with data is not asked"),
    ],
)
def test_wrong_settings_name_the_key(given, why):
    with pytest.raises(ValueError, match=f"^{why}"):
        NodeSettings(**given)


def test_a_token_is_in_no_representation():
    assert "secret" not in repr(NodeSettings("b", "https://b:8080", "secret"))
