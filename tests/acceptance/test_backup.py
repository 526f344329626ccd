"""A site backs up beside its running daemon, goes on, goes back, and has lost nothing."""

import json


def test_a_site_goes_back_to_a_backup_and_nothing_is_lost(daemon, stack, storescu, tmp_path):
    node = daemon('[ledger]\nbackup_folder = "backups"\n')
    storescu(stack(slices=2)[0].parent, port=node.port, called="SAFELIGHT")
    node.wait_for_ended(1)
    backups = node.config.parent / "backups"
    node.wait_until(lambda: list(backups.glob("*.tar")), "the daemon's own backup")
    backup = tmp_path / "by-hand.tar"
    made = node.run("ledger", "backup", str(backup))
    assert (made.returncode, made.stderr) == (0, "")
    storescu(stack(slices=3)[0].parent, port=node.port, called="SAFELIGHT")
    before = node.wait_for_ended(2)
    published = sorted((node.data / "results").rglob("manifest.json"))
    refused = node.run("ledger", "restore", str(backup))
    assert refused.returncode == 1
    assert "another Safelight" in refused.stderr
    assert node.stop() == 0
    restored = node.run("ledger", "restore", str(backup))
    assert restored.returncode == 0, restored.stderr
    assert len(node.series()) == 1

    node = daemon()
    after = node.wait_for_ended(2)
    assert {uid: row.instances for uid, row in after.items()} == {
        uid: row.instances for uid, row in before.items()
    }
    assert sorted((node.data / "results").rglob("manifest.json")) == published
    balance = json.loads(node.run("verify", "--deep", "--json").stdout)
    assert (balance["in_series"], balance["losses"]) == (5, [])
