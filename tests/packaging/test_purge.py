"""What purging the Debian package removes: its last script, on a file system of its own for each directory."""

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "packaging/deb/postrm"
OURS = "6695eb01-f6a4-8304-79aa-97f2502e193f"
THEIRS = "11111111-2222-4333-8444-555555555555"
DIRECTORIES = ["/etc/virt-recontext", "/var/lib/libvirt/recontext"]

# An image for each of two VMs, of which only one has a state here.
FILL = f"""
put() {{
    echo disc >"$1"
    identity=$(stat -c '"dev":%d,"ino":%i,"written":%.9Y' "$1" | tr -d .)
    echo "{{\\"uuid\\":\\"{OURS}\\",\\"image\\":\\"$1\\",\\"identity\\":{{$identity}}}}" \\
        >"/run/libvirt/recontext/state/{OURS}.json"
}}
mkdir -p /run/libvirt/recontext/state
echo x >/etc/virt-recontext/config.toml
echo disc >/var/lib/libvirt/recontext/{THEIRS}.iso
put /var/lib/libvirt/recontext/{OURS}.iso
"""


def purged(prepare: str, show: str) -> str:
    """What `show` prints after a purge that must go well. Nothing on this machine is touched."""
    script = f"""
        set -eu
        mount -t tmpfs none /mnt
        for dir in /etc /var/lib /run; do
            mkdir -p /mnt$dir/up /mnt$dir/work
            mount -t overlay -o lowerdir=$dir,upperdir=/mnt$dir/up,workdir=/mnt$dir/work none $dir
        done
        mkdir -p {" ".join(DIRECTORIES)}
        {prepare}
        sh -e {SCRIPT} purge
        {show}
    """
    done = subprocess.run(["unshare", "--mount", "--propagation", "private", "sh", "-c", script],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


LIST = f"for path in {' '.join(DIRECTORIES)} /run/libvirt/recontext; do find $path 2>/dev/null || true; done"


def test_nothing_is_left():
    assert purged(FILL, LIST) == ""


@pytest.mark.parametrize("directory", DIRECTORIES)
def test_a_directory_that_is_a_mount_point_is_emptied(directory):
    assert purged(f"mount -t tmpfs none {directory}\n{FILL}", LIST).splitlines() == [directory]


def test_nothing_is_left_on_zfs_which_is_one_hosts():
    # What coreutils say of a directory on ZFS.
    says = """
        mkdir /mnt/bin
        printf '%s\\n' '[ "$1" = -f ] && exec echo zfs' 'exec /usr/bin/stat "$@"' >/mnt/bin/stat
        chmod +x /mnt/bin/stat; sed -i '1i #!/bin/sh' /mnt/bin/stat
        PATH=/mnt/bin:$PATH
    """
    assert purged(FILL + says, LIST) == ""


def test_of_images_that_hosts_may_share_only_those_go_that_were_made_here():
    # ramfs stands for whatever is not surely this host's alone.
    share = f"mount -t ramfs none /var/lib/libvirt/recontext\n{FILL}"
    left = ["/var/lib/libvirt/recontext", f"/var/lib/libvirt/recontext/{THEIRS}.iso"]
    assert sorted(purged(share, LIST).splitlines()) == left
    replace = f"{share}\nrm /var/lib/libvirt/recontext/{OURS}.iso; echo theirs >/var/lib/libvirt/recontext/{OURS}.iso"
    assert len(purged(replace, LIST).splitlines()) == 3, "another host has put its own there"


def test_an_image_elsewhere_goes_if_it_was_made_here_and_nothing_else():
    elsewhere = f"mkdir /var/lib/discs; echo x >/var/lib/discs/other; {FILL}\nput /var/lib/discs/{OURS}.iso"
    assert purged(elsewhere, "ls /var/lib/discs") == "other\n"
    named = f"{FILL}\nput /var/lib/passwords"
    assert purged(named, "ls /var/lib/passwords") == "/var/lib/passwords\n", "it is called as no image is"
