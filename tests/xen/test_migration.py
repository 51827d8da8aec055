"""A live migration between two Xen hosts."""

from live.aftermath import wait_until_nothing_is_left


def test_a_paravirtualised_guest_has_each_hosts_data_on_its_way_there_and_back(site, lab):
    a, b = lab.hosts
    vm = site.pv()
    vm.create(a)
    vm.wait_for_text(site.text(a))
    for source, target in ((a, b), (b, a)):
        mark = vm.mark()
        vm.migrate(target)
        assert vm.wait_for("context", since=mark).text == site.text(target)
        wait_until_nothing_is_left(site, source, vm)
    assert [line.kind for line in vm.said()].count("booted") == 1, "it went on"
