"""Facts that programs print: run by the helper, remembered for the hook."""

PROGRAM = "/etc/virt-recontext/facts.d/rack"


def set_rack(host, rack):
    """Replaces the fact about the site by one that a program prints."""
    host.write("/etc/virt-recontext/context/endpoint.j2", "rack: {{ facts.rack }}\n")
    host.write(PROGRAM, f"#!/bin/sh\necho '{{\"rack\": \"{rack}\"}}'\n", mode=0o755)


def test_a_program_that_never_ran_here_fills_the_drive_after_the_arrival(site, lab):
    a, b = lab.hosts
    for host in lab.hosts:
        set_rack(host, f"rack of {host.name}")
    vm = site.guest()
    vm.create(a)
    assert vm.wait_for("context").text == "rack: rack of host-a"
    mark = vm.mark()
    vm.migrate(b)
    assert vm.wait_for("context", since=mark).text == "rack: rack of host-b", "an empty drive, never the other host's disc"
    site.wait_for_state(b, vm, "delivered")
    assert vm.state() == "running"


def test_a_program_that_fails_keeps_its_last_good_result(site, lab):
    a, _ = lab.hosts
    set_rack(a, "seven")
    vm = site.guest()
    vm.create(a)
    assert vm.wait_for("context").text == "rack: seven"
    a.write(PROGRAM, "#!/bin/sh\necho 'no sensor' >&2\nexit 1\n", mode=0o755)
    a.write("/etc/virt-recontext/context/endpoint.j2", "rack {{ facts.rack }}\n")
    mark = vm.mark()
    said = site.recontext(a, "refresh", vm.name).stdout
    assert vm.wait_for("context", since=mark).text == "rack seven"
    assert "no sensor" in said and "are used" in said
    assert "no sensor" in site.status(a, vm)["message"]
