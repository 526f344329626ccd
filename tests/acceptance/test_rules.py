"""Rules in a running daemon: chains, findings, destinations, and a reload that nothing stops."""

import signal

CHAIN = """
[[rule]]
name = "Check"
[rule.run]
qc = {}
convert = { when = { qc_state = "done" } }
[rule.deliver]
to = "study/{PatientID}/{SeriesNumber:03d}_{SeriesDescription}"

[[rule]]
name = "Picture of what was converted"
match = { convert_state = "done" }
run = { preview = {} }
"""
DROP = '[[rule]]\nname = "No more"\nthen = { drop = "the study is over" }\n'


def test_rules_chain_deliver_and_are_reloaded_without_a_restart(daemon, stack, tmp_path):
    (tmp_path / "site").mkdir()
    rules = tmp_path / "site" / "rules.toml"
    rules.write_text(CHAIN)
    node = daemon('[rules]\nfile = "rules.toml"')
    folder = node.data / "results" / "study" / "P1" / "003_Thorax"

    node.run_sender(stack()[0].parent)
    (row,) = node.wait_for_ended(1).values()
    node.wait_until(lambda: node.outputs(row, "preview"), "the job that waited for the first one")
    assert {path.name for path in folder.glob("*.nii.gz")} == {"003_Thorax.nii.gz"}
    assert "results/A0001/003_Thorax-" in str(node.outputs(row, "preview")[0])

    rules.write_text(DROP.replace("then", "them"))
    node.process.send_signal(signal.SIGHUP)
    node.wait_until(lambda: "NOT taken" in node.run("status").stdout, "the refusal to be told")
    assert 'rule "No more": them: unknown key' in node.run("status").stdout
    assert "the rules before stay in force" in (tmp_path / "site" / "log").read_text()

    rules.write_text(DROP)
    node.process.send_signal(signal.SIGHUP)
    node.wait_until(lambda: "NOT taken" not in node.run("status").stdout, "the new rules")
    files = stack(slices=2)
    node.run_sender(files[0].parent)
    assert node.wait_for_ended(2)[files[0].parent.name].state == "dropped"
    assert node.stop() == 0


def test_the_command_that_reloads_waits_for_the_outcome_and_tells_it(daemon, tmp_path):
    (tmp_path / "site").mkdir()
    rules = tmp_path / "site" / "rules.toml"
    rules.write_text(DROP)
    node = daemon('[rules]\nfile = "rules.toml"')

    rules.write_text(CHAIN)
    reloaded = node.run("rules", "reload")
    assert (reloaded.returncode, reloaded.stdout) == (0, "2 rules are in force\n")

    rules.write_text(DROP.replace("then", "them"))
    refused = node.run("rules", "reload")
    assert refused.returncode == 1
    assert 'rule "No more": them: unknown key' in refused.stderr
    assert refused.stderr.endswith("the rules before stay in force\n")

    assert node.stop() == 0
    alone = node.run("rules", "reload")
    assert alone.returncode == 1
    assert "no daemon runs with" in alone.stderr
