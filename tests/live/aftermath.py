"""What must hold on a host when it is over with a VM, however that came."""

import json

from lab import Guest, Host
from live.site import Site

# So long a helper waits for a VM that was announced and does not come, and then some for a busy machine.
CLEANED_UP = 75


def let_half_a_minute_pass(site: Site, host: Host) -> None:
    """Makes the jobs of a host so old that their helper does not expect the VMs any more."""
    for job in [path for path in site.files_of_ours(host) if path.parent.name == "jobs"]:
        noted = json.loads(job.read_text(encoding="utf-8"))
        noted["noted"] -= 31 * 100
        aged = job.with_name("aged")
        aged.write_text(json.dumps(noted), encoding="utf-8")
        aged.rename(job)


def let_a_minute_pass(site: Site, host: Host) -> None:
    """Makes what was left of VMs that do not run here so old that a helper removes it, if nothing names it."""
    for state in [path for path in site.files_of_ours(host) if path.parent.name == "state"]:
        written = json.loads(state.read_text(encoding="utf-8"))
        written["since"] -= 61 * 100
        state.write_text(json.dumps(written), encoding="utf-8")


def wait_until_nothing_is_left(site: Site, host: Host, vm: Guest, seconds: float = CLEANED_UP) -> None:
    """Waits until a host has no file of the VM's and no helper, and status knows nothing of it."""
    def left() -> list[str]:
        return [str(path) for path in site.files_of_ours(host) if vm.uuid in path.name]

    site.lab.wait_for(lambda: not left() and not helper_runs(host), seconds,
                      f"{host.name} to be rid of {vm.name}")
    assert site.status(host, vm) == {}


def wait_until_delivered(site: Site, host: Host, vm: Guest) -> None:
    """Waits until the VM has this host's disc, with no job and no helper left."""
    site.wait_for_state(host, vm, "delivered", 40)
    site.lab.wait_for(lambda: not helper_runs(host), 20, f"the helper on {host.name} to end")
    assert jobs(site, host) == []
    assert vm.state() == "running"


def helper_runs(host: Host) -> bool:
    """Whether a helper is at work."""
    return host.run("pidof", "-x", "virt-recontext", check=False).returncode == 0


def jobs(site: Site, host: Host) -> list[str]:
    """The names of the job files in the spool."""
    return [path.name for path in site.files_of_ours(host) if path.parent.name == "jobs"]
