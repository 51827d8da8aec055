"""Live migrations between two Xen hosts: all that the hook gets from libvirt is a `prepare` like that of a start."""

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


def test_a_fully_virtualised_guest_has_the_data_of_the_host_it_arrives_on(site, lab):
    a, b = lab.hosts
    vm = site.hvm()
    vm.create(a)
    vm.wait_for_text(site.text(a))
    vm.migrate(b)
    # Its new device model begins a new file.
    assert vm.wait_for("context").text == site.text(b)
    assert all(line.kind != "booted" for line in vm.said()), "it went on"
    wait_until_nothing_is_left(site, a, vm)
