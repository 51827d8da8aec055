"""What tests/demo shows last, which needs more of the lab than the rest: so that it works when a stranger tries it."""

from lab.demo.sites import VM, third_act


def test_the_demonstration_moves_a_vm_to_a_site_that_has_nothing_in_common_with_its_own(site, lab, capsys):
    third_act(lab)
    told = capsys.readouterr().out
    assert f"{VM} is still running on host-a" in told, "refused without rules"
    assert "to the monitor http://10.2.0.1:9100" in told and "never rebooted" in told
