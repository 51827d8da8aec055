"""A site of two Xen hosts that have our package, each with its own data, as an administrator would set them up."""

from pathlib import Path
from typing import TypeVar

from lab import Cdrom, Dom0, Guest, HvmGuest, PvGuest, XenLab, xen_metadata
from live.site import CONFIG, IMAGES, STATE, Programs, Site

AnyGuest = TypeVar("AnyGuest", bound=Guest)

HOOK = "/etc/libvirt/hooks/libxl"
PACKAGE = "/root/virt-recontext.deb"


class XenSite(Site):
    """Both hosts with the package and data; and what tests ask of them."""

    lab: XenLab

    def __init__(self, lab: XenLab) -> None:
        super().__init__(lab, lambda **_: None)

    def install(self, programs: Programs) -> None:
        """Installs the package that lies beside the programs, on both hosts."""
        package = next(programs.hook.parent.glob("*.deb"))
        for host in self.lab.hosts:
            host.put(package, PACKAGE)
            with host.awaiting_reload():
                host.run("dpkg", "--no-triggers", "-i", PACKAGE)

    def reset(self) -> None:
        """Ends all guests, and takes away what the test's administrator wrote."""
        for guest in list(self.lab.guests):
            guest.remove()
        self.wait_for_helpers()
        for host in self.lab.hosts:
            host.shell(f"rm -rf {CONFIG}/context/* {CONFIG}/facts.d/* {CONFIG}/domains/*; : >{CONFIG}/config.toml")

    # VMs, as `virt-recontext enable` leaves them

    def pv(self, name: str = "vm", **options) -> PvGuest:
        """A paravirtualised VM with a drive for context."""
        return self._with_drive(PvGuest(self.lab, name, metadata=xen_metadata(PvGuest.target), **options))

    def pv_with_disk(self, name: str = "vm", **options) -> PvGuest:
        """A paravirtualised VM whose context is on a disk: that can be detached while it runs, a CD-ROM cannot."""
        made = PvGuest(self.lab, name, metadata=xen_metadata(PvGuest.target), **options)
        made.drive = (f"<disk type='file' device='disk'><driver name='phy' type='raw'/><source file='{made.image}'/>"
                      f"<target dev='xvdc' bus='xen'/><readonly/></disk>")
        return made

    def hvm(self, name: str = "vm", **options) -> HvmGuest:
        """A fully virtualised VM with a drive for context."""
        return self._with_drive(HvmGuest(self.lab, name, metadata=xen_metadata(HvmGuest.target), **options))

    @staticmethod
    def _with_drive(made: AnyGuest) -> AnyGuest:
        made.cdrom = Cdrom(made.image)
        return made

    # What is to be seen

    @staticmethod
    def files_of_ours(host: Dom0) -> list[Path]:
        """All that our programs keep on a host; the paths are the host's own."""
        found = host.shell(f"find {IMAGES} {STATE} -type f 2>/dev/null", check=False).stdout
        return [Path(line) for line in found.splitlines()]
