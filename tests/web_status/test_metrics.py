"""What Prometheus reads; its own parser must understand it."""

from prometheus_client.parser import text_string_to_metric_families


def samples(page):
    answer = page.get("/metrics")
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/plain")
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_without_a_ledger_the_node_is_told(page):
    found = samples(page)
    assert found["safelight_info", "0.1.0"] == 1
    assert found["safelight_ledger_readable",] == 0
    assert 0 < found["safelight_disk_free_bytes",] < found["safelight_disk_size_bytes",]
    assert ("safelight_instances",) not in found


def test_what_the_ledger_has_is_counted(page, chronicle):
    chronicle.event("accepted")
    chronicle.whole_series(3)
    chronicle.arrive(series="1.2.4", count=2)
    chronicle.arrive(series="1.2.5")
    chronicle.decide(chronicle.close(series="1.2.5", grade="quiet"))
    found = samples(page)
    assert found["safelight_ledger_readable",] == 1
    assert found["safelight_instances",] == 6
    assert found["safelight_instances_bytes",] == 6 * 526_336
    assert found["safelight_associations", "open"] == 1
    assert {name[1]: n for name, n in found.items() if name[0] == "safelight_series"} == {
        "open": 1,
        "quiet": 1,
        "released": 1,
    }
    assert (found["safelight_jobs", "done"], found["safelight_jobs", "queued"]) == (1, 1)
    assert found["safelight_job_seconds_count",] == 1
    assert found["safelight_job_seconds_sum",] == 3.21
    assert found["safelight_queue_oldest_seconds",] >= 0


def test_nothing_of_a_patient_is_in_it(page, chronicle):
    chronicle.whole_series(1)
    text = page.get("/metrics").text
    for known in ("DOE", "P0042", "00012345", "Spine", "1.2.3"):
        assert known not in text
