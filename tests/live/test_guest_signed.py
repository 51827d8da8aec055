"""What the recipe in packaging/guest/systemd-udev makes of a signed disc, and of one that only looks so.

Without a VM, in a file system of its own: a disc is a directory, which is bound where the recipe mounts its device. The
discs are made and signed here, with ssh-keygen, as hosts make them; some are what our program made, unpacked.
VIRT_RECONTEXT_GUEST names the root directory of another system that is to judge them; tests/guest/run does so for other
releases of Debian.
"""

import hashlib
import json
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab import context_metadata
from live.keys import Keys

RECIPE = Path(__file__).resolve().parents[2] / "packaging" / "guest" / "systemd-udev"
GUEST = Path(os.environ.get("VIRT_RECONTEXT_GUEST", "/"))
UUID, OTHER_UUID = "6695eb01-f6a4-8304-79aa-97f2502e193f", "11111111-2222-4333-8444-555555555555"
NOW = 179_578_252_300
MINUTE, HOUR = 60 * 100, 60 * 60 * 100  # in a generation's hundredths of a second
HEADS = ["recontext.json", "recontext.sums", "recontext.sums.sig"]

# In the root directory of the guest, which the recipe has to find mounted, with the discs and the recipe below its /mnt.
OUTSIDE = f"""
    set -eu
    [ {GUEST} = / ] || mount --bind {GUEST} {GUEST}
    mount -t tmpfs none {GUEST}/mnt
    mkdir {GUEST}/mnt/discs {GUEST}/mnt/recipe
    mount --bind "$1" {GUEST}/mnt/discs
    mount --bind {RECIPE} {GUEST}/mnt/recipe
    [ {GUEST} = / ] || mount --bind /dev {GUEST}/dev
    exec chroot {GUEST} sh -c "$2" sh "$3"
"""
# ssh-keygen wants to know whose process it is. DISC.at-N, if there is one, is in the drive from the Nth time that the disc
# is mounted.
INSIDE = f"""
    set -eu
    for directory in /run /sys; do mount -t tmpfs none $directory; done
    cp /etc/passwd /run/passwd
    mount -t tmpfs none /etc
    mv /run/passwd /etc/passwd
    mkdir -p /etc/recontext /etc/recontext.d /sys/class/dmi/id /sys/hypervisor /run/stubs
    cp /mnt/discs/allowed_signers /etc/recontext/
    echo {UUID} >/sys/class/dmi/id/product_uuid
    cat >/run/stubs/mount <<-'END'
        #!/bin/sh
        number=1
        if [ -e "$5.mounts" ]; then read -r number <"$5.mounts"; fi
        echo $((number + 1)) >"$5.mounts"
        if [ -e "$5.at-$number" ]; then mv "$5" "$5.before" && mv "$5.at-$number" "$5"; fi
        PATH=/usr/bin:/bin exec mount --bind "$5" "$6"
END
    printf '#!/bin/sh\\n' >/run/stubs/sleep
    printf '#!/bin/sh\\nprintf x >>/run/ran\\n' >/etc/recontext.d/50-tell
    chmod 755 /run/stubs/* /etc/recontext.d/*
    eval "$1"
    export PATH=/run/stubs:$PATH
    for disc in /mnt/discs/??; do
        rm -f /run/ran
        status=0
        /mnt/recipe/recontext-receive "$disc" >"$disc.said" 2>&1 || status=$?
        if [ -e /run/recontext ]; then cp -R -P -p /run/recontext/. "$disc.tree"; fi
        if [ -e /run/ran ]; then ran=$(cat /run/ran); else ran=; fi
        echo "$status $(readlink /run/recontext) $ran" >"$disc.result"
        ls /run/recontext.trees >"$disc.left"
    done"""
UNSIGNED = "rm /etc/recontext/allowed_signers"
BUSYBOX = f"""{UNSIGNED}
    for applet in cat cp find grep head ln mkdir mv readlink rm sed sha256sum sort tr; do
        ln -s "$(command -v busybox)" /run/stubs/$applet
    done"""


@dataclass
class Seen:
    """What the recipe did with one disc, and what is in /run/recontext then."""

    status: int
    generation: int | None
    programs_ran: int
    said: str
    files: dict[str, bytes]
    left: set[str]


@pytest.fixture(scope="module")
def keys(tmp_path_factory) -> Keys:
    """Site A and site B have a CA each, site C a key; D nobody knows."""
    made = Keys(tmp_path_factory.mktemp("keys"))
    made.make("ca-a", "ca-b", "ca-d", "site-c")
    made.certify("host-a.site-a", "ca-a")
    made.certify("host-b.site-b", "ca-b")
    made.certify("host-d.site-a", "ca-d")
    made.certify("expired.site-a", "ca-a", "-V", "20200101:20200201")
    made.certify("later.site-a", "ca-a", "-V", "20990101:20990201")
    made.certify("sshd.site-a", "ca-a", "-h")
    made.certify("anybody.site-a", "ca-a", principals=None)
    return made


@pytest.fixture
def drive(tmp_path, keys):
    return Drive(tmp_path, keys)


@pytest.fixture
def build(drive, keys, programs, tmp_path_factory):
    """Puts in what our program makes for a VM on a host of a signer's, as the next disc."""
    host = tmp_path_factory.mktemp("host")
    put(host / "etc/virt-recontext/context/endpoint.j2", "https://{{ domain.name }}.example\n")

    def make(signer: str, form: str = "files", uuid: str = UUID) -> Path:
        keys.give(signer, host / "etc/virt-recontext")
        metadata = context_metadata("sata", attributes=f"format='{form}'")
        xml = f"<domain type='kvm'><name>vm</name><uuid>{uuid}</uuid><metadata>{metadata}</metadata></domain>"
        image, disc = host / "disc.iso", drive.next()
        subprocess.run([programs.helper, "build", "--xml", "-", "--output", image], input=xml.encode(), check=True,
                       env={"VIRT_RECONTEXT_ROOT": str(host)})
        subprocess.run(["bsdtar", "-xpf", image, "-C", disc], check=True)
        return disc

    return make


class Drive:
    """The discs that come into a guest's drive, one after the other."""

    def __init__(self, directory: Path, keys: Keys) -> None:
        self.directory, self.keys, self.count = directory, keys, 0
        allowed = [keys.allowed(*line) for line in [("*.site-a", "ca-a", "cert-authority,"),
                                                    ("*.site-b", "ca-b", "cert-authority,"), ("site-c", "site-c")]]
        (directory / "allowed_signers").write_text("".join(allowed), "ascii")

    def insert(self, **disc) -> Path:
        """A disc of its own; see make()."""
        return self.make(self.next().name, **disc)

    def next(self) -> Path:
        """The directory of the next disc."""
        self.count += 1
        made = self.directory / f"{self.count:02}"
        made.mkdir()
        return made

    def make(self, name, *, signer="host-a.site-a", key=None, generation=NOW, uuid=UUID, namespace="virt-recontext",
             facts=None, more=None, files=None, sums=lambda text: text) -> Path:
        """Makes a disc as a host does. more: members of recontext.json before the facts. sums: makes another list of it."""
        root = self.directory / name
        root.mkdir(exist_ok=True)
        marker = {"schema": 1, "generation": generation, "reason": "migrate", "built_at": "2026-11-27T12:00:00Z",
                  "domain_uuid": uuid, "host_id": 'a","signer":"b'} | ({} if signer is None else {"signer": signer})
        marker |= (more or {}) | {"facts": facts or {}}
        if not uuid:
            del marker["domain_uuid"]
        held = {"recontext.json": json.dumps(marker, separators=(",", ":"), ensure_ascii=False) + "\n",
                "endpoint": f"https://{name}.example\n", "a/b/c": "", "mode": "x"} | (files or {})
        lines = []
        for path, text in sorted(held.items(), key=lambda item: item[0].encode()):
            put(root / path, text)
            escaped = path.replace("\\", "\\\\").replace("\n", "\\n")
            mark = "\\" if escaped != path else ""
            lines.append(f"{mark}{hashlib.sha256(text.encode()).hexdigest()}  {escaped}\n")
        (root / "mode").chmod(0o400)
        (root / "recontext.sums").write_text(sums("".join(lines)), "utf-8")
        if key or signer:
            self.keys.sign(key or signer, root / "recontext.sums", namespace)
        return root

    def run(self, guest: str) -> None:
        """Has the guest receive one disc after the other. guest: what is done there before."""
        done = subprocess.run(["unshare", "--mount", "--propagation", "private", "sh", "-c", OUTSIDE, "sh",
                               self.directory, INSIDE, guest], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def seen(self, guest: str = "") -> list[Seen]:
        self.run(guest)
        return [self.seen_of(f"{number:02}") for number in range(1, self.count + 1)]

    def seen_of(self, name: str) -> Seen:
        def read(kind):
            return (self.directory / f"{name}.{kind}").read_text("utf-8", "replace")

        status, generation, ran = read("result").split(" ")
        tree = self.directory / f"{name}.tree"
        files = {str(path.relative_to(tree)): path.read_bytes() for path in tree.rglob("*") if path.is_file()}
        return Seen(int(status), int(Path(generation).name) if generation else None, len(ran.strip()), read("said"), files,
                    set(read("left").split()))


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())


def content(disc: Path) -> dict[str, bytes]:
    return {str(path.relative_to(disc)): path.read_bytes() for path in disc.rglob("*") if path.is_file()}


def taken(seen: Seen, disc: Path) -> None:
    """All of the disc is in /run/recontext, and the programs have run once."""
    assert (seen.status, seen.programs_ran) == (0, 1), seen
    assert seen.files == content(disc)
    assert f"received generation {seen.generation}" in seen.said


def refused(drive: Drive, reasons: dict[Path, list[str]], guest: str = "") -> None:
    """Each disc, put in after a good one, is refused, and no more than these reasons are told of it: the tree stays."""
    before = drive.make("00", generation=NOW - MINUTE)
    drive.run(guest)
    taken(drive.seen_of("00"), before)
    for disc, wanted in reasons.items():
        seen = drive.seen_of(disc.name)
        assert (seen.status, seen.generation, seen.programs_ran) == (1, NOW - MINUTE, 0), seen
        assert seen.files == content(before), "the tree of before is as it was"
        assert seen.left == {str(NOW - MINUTE), "disc", "highest.host-a.site-a", "lock"}
        told = [line.partition(" is not used: ")[2] for line in seen.said.splitlines()]
        assert len(told) >= len(wanted) and all(map(str.startswith, told, wanted)), seen.said


def test_a_guest_goes_from_site_to_site(drive):
    signers = ["host-a.site-a", "host-b.site-b", "site-c", "host-a.site-a"]
    discs = [drive.insert(signer=signer, generation=NOW + step) for step, signer in enumerate(signers)]
    for seen, disc, signer in zip(drive.seen(), discs, signers, strict=True):
        taken(seen, disc)
        assert seen.said == f"received generation {seen.generation}, signed by {signer}\n"
    assert seen.left == {str(seen.generation), "disc", "lock", *(f"highest.{signer}" for signer in signers)}


def test_any_name_of_a_file_will_do(drive):
    odd = ["a b", " a", "a ", "a'b", 'a"b', "a\\b", "\\", "a\\nb", "ä/日本", "-x", "$(reboot)", "a;b", "*", "#", "a  b",
           "d/a\\/e"]
    disc = drive.insert(files={name: name for name in odd})
    [seen] = drive.seen()
    taken(seen, disc)
    assert set(odd) <= seen.files.keys()


def test_who_is_not_allowed_or_lies_about_the_name_is_refused(drive):
    others = ["host-d.site-a", "expired.site-a", "later.site-a", "sshd.site-a", "anybody.site-a"]
    lies = [("host-a.site-a", "site-c"), ("host-b.site-b", "host-a.site-a"), ("other.site-a", "host-a.site-a"),
            ("host-a.site-x", "host-a.site-a"), ("host-a.site-a", "ca-a")]
    refused(drive, {drive.insert(signer=signer, key=key): [f"it has no good signature of {signer} that /etc/recontext/"]
                    for signer, key in [(signer, signer) for signer in others] + lies})


def test_what_is_no_name_of_a_signer_is_refused(drive):
    names = ["*.site-a", "host-a.site-a,site-c", "", "host-a.site-a\n", "x" * 65, "host-a.site-a\\", "../x"]
    refused(drive, {drive.insert(key="host-a.site-a", signer=name): ["recontext.json names no signer"] for name in names})


def test_a_signer_among_the_facts_is_none(drive):
    lies = {"signer": "site-c", "x": {"signer": "site-c"}, "y": '","signer":"site-c","z":"'}
    refused_disc = drive.insert(signer=None, key="site-c", facts=lies)
    disc = drive.insert(facts=lies, more={"new_networks": ["52:54:00:aa:bb:cc"]})
    refused(drive, {refused_disc: ["recontext.json names no signer"]})
    taken(drive.seen_of(disc.name), disc)
    assert "signed by host-a.site-a" in drive.seen_of(disc.name).said


def test_a_disc_without_a_signature_of_its_list_is_refused(drive):
    reasons = {drive.insert(signer=None): ["it is not signed: it has no recontext.sums.sig"]}
    older = drive.insert(signer=None)
    (older / "recontext.sums").unlink()
    reasons[older] = ["it is not signed: it has no recontext.sums"]
    for namespace in ("file", "virt-recontext2"):
        reasons[drive.insert(namespace=namespace)] = ["it has no good signature of host-a.site-a"]
    for signature in (b"", b"x", b"-----BEGIN SSH SIGNATURE-----\n-----END SSH SIGNATURE-----\n"):
        disc = drive.insert()
        (disc / "recontext.sums.sig").write_bytes(signature)
        reasons[disc] = ["it has no good signature of host-a.site-a"]
    tampered = drive.insert()
    (tampered / "endpoint").write_text("https://evil.example\n", "ascii")
    sums = tampered / "recontext.sums"
    good = hashlib.sha256(f"https://{tampered.name}.example\n".encode()).hexdigest()
    evil = hashlib.sha256(b"https://evil.example\n").hexdigest()
    assert good in sums.read_text("utf-8")
    sums.write_text(sums.read_text("utf-8").replace(good, evil), "utf-8")
    reasons[tampered] = ["it has no good signature of host-a.site-a"]
    refused(drive, reasons)


def test_what_was_changed_is_refused_and_each_file_told(drive):
    changed = drive.insert(files={"a\\b": "", "c d": ""})
    for name in ("endpoint", "a\\b", "c d"):
        (changed / name).write_text("https://evil.example\n", "ascii")
    (changed / "a/b/c").unlink()
    reasons = {changed: [f"{name} is not as recontext.sums has it" for name in ("a/b/c", "a\\b", "c d", "endpoint")]}
    for old, new in ((str(NOW), str(NOW + 1)), (OTHER_UUID, UUID), ('"facts":{', '"facts":{"x":1')):
        disc = drive.insert(uuid=OTHER_UUID if old == OTHER_UUID else UUID)
        text = (disc / "recontext.json").read_text("utf-8")
        assert old in text
        (disc / "recontext.json").write_text(text.replace(old, new), "utf-8")
        reasons[disc] = ["recontext.json is not as recontext.sums has it"]
    refused(drive, reasons)


def test_a_file_that_is_not_listed_is_refused_and_told(drive):
    names = ["-x", "a b", "a/more", "a/recontext.sums", "a\\b", "d/e/f", "recontext.sums.sig2", "ä"]
    disc = drive.insert()
    for name in names:
        put(disc / name, "x")
    refused(drive, {disc: [f"{name} is not listed in recontext.sums" for name in names]})


def test_a_name_with_a_control_character_is_refused(drive):
    reasons = {}
    for name in ("\x1b[31m", f"x\n{hashlib.sha256(b'').hexdigest()}  more"):
        put(drive.insert() / name, "")
        for disc in (drive.directory / f"{drive.count:02}", drive.insert(files={name: ""})):
            reasons[disc] = ["a name has a control character"]
    refused(drive, reasons)


def test_a_list_of_what_could_not_be_on_the_disc_is_refused(drive):
    put(drive.directory / "outside", "x")
    reasons = {}
    for path in ("../outside", "/etc/passwd", "./endpoint", "a/../mode"):
        line = f"{hashlib.sha256(b'x').hexdigest()}  {path}\n"
        reasons[drive.insert(sums=lambda text, line=line: text + line)] = [f"{path} is not as recontext.sums has it"]
    for text in ("", "x\n"):
        reasons[drive.insert(sums=lambda _, text=text: text)] = [""]
    reasons[drive.insert(sums=lambda text: text.splitlines(keepends=True)[0] + text)] = [""]
    refused(drive, reasons)


def test_what_is_no_file_is_refused_and_a_link_is_not_followed(drive):
    outside = drive.directory / "outside"
    outside.mkdir()
    reasons = {}
    for name, told in {"recontext.json": "there is no generation", "recontext.sums": "it is not signed",
                       "recontext.sums.sig": "it is not signed", "endpoint": None, "a": None}.items():
        disc = drive.insert()
        (disc / name).rename(outside / disc.name)
        (disc / name).symlink_to(f"/mnt/discs/outside/{disc.name}")
        reasons[disc] = [told or f"{name} is neither a file nor a directory"]
    for kind in (["p"], ["c", "1", "3"]):
        disc = drive.insert()
        subprocess.run(["mknod", disc / "odd", *kind], check=True)
        (disc / "link").symlink_to("endpoint")
        reasons[disc] = ["link is neither a file nor a directory", "odd is neither a file nor a directory"]
    refused(drive, reasons)


def test_a_disc_for_another_machine_is_refused(drive):
    refused(drive, {drive.insert(uuid=uuid): [f"it is for another machine, {told}; the UUID of this one is {UUID}"]
                    for uuid, told in [(OTHER_UUID, OTHER_UUID), (None, "of no UUID"), (UUID[:-1], "of no UUID")]})


@pytest.mark.parametrize("guest", [
    "tr a-f A-F </sys/class/dmi/id/product_uuid >/run/it; mv /run/it /sys/class/dmi/id/product_uuid",
    "mv /sys/class/dmi/id/product_uuid /sys/hypervisor/uuid",
    f"cp /sys/class/dmi/id/product_uuid /etc/recontext/uuid; echo {OTHER_UUID} >/sys/class/dmi/id/product_uuid"])
def test_the_machines_uuid_is_found(drive, guest):
    disc = drive.insert()
    [seen] = drive.seen(guest)
    taken(seen, disc)


@pytest.mark.parametrize("guest", ["rm /sys/class/dmi/id/product_uuid", "echo x >/etc/recontext/uuid"])
def test_a_machine_without_a_known_uuid_takes_nothing_and_says_what_to_do(drive, guest):
    drive.insert()
    [seen] = drive.seen(guest)
    assert (seen.status, seen.files) == (1, {})
    assert "this machine's UUID is not known; put the domain's into /etc/recontext/uuid" in seen.said


def test_a_generation_is_refused_when_it_is_too_old_for_its_signer(drive):
    generations = [NOW, NOW - 2 * HOUR, NOW - 2 * MINUTE, NOW - HOUR, NOW - HOUR - 1, NOW + 5, NOW - HOUR + 4]
    discs = [drive.insert(generation=generation) for generation in generations]
    results = drive.seen()
    for number in (0, 2, 3, 5):
        taken(results[number], discs[number])
    for number, held, highest in (1, NOW, NOW), (4, NOW - HOUR, NOW), (6, NOW + 5, NOW + 5):
        seen = results[number]
        assert (seen.status, seen.generation, seen.programs_ran) == (1, held, 0)
        assert f"it is too old: {highest} was received from host-a.site-a" in seen.said


def test_each_signer_has_a_clock_of_its_own_which_refused_discs_do_not_set(drive):
    discs = [drive.insert(), drive.insert(signer="host-b.site-b", generation=NOW - 24 * HOUR),
             drive.insert(signer="site-c", generation=1)]
    put(drive.insert(generation=NOW + 24 * HOUR) / "more", "x")
    discs.append(drive.insert(generation=NOW + 1))
    *seen, refused_one, last = drive.seen()
    assert (refused_one.status, refused_one.generation) == (1, 1)
    for one, disc in zip([*seen, last], discs, strict=True):
        taken(one, disc)


def test_a_good_disc_after_a_refused_one_is_taken_and_the_same_again_does_nothing(drive):
    drive.insert(signer=None, generation=NOW + 1)
    disc = drive.insert()
    drive.insert()
    first, second, third = drive.seen()
    assert (first.status, first.generation, first.files, first.programs_ran) == (1, None, {}, 0)
    taken(second, disc)
    assert (third.status, third.programs_ran, third.said, third.files) == (0, 0, "", second.files)


@pytest.mark.parametrize("form", ["files", "nocloud", "configdrive", "opennebula"])
def test_what_our_program_signs_is_taken_and_with_a_byte_changed_or_for_another_machine_refused(drive, build, form):
    signer = "host-b.site-b"
    other = build(signer, form, uuid=OTHER_UUID)
    reasons = {other: [f"it is for another machine, {OTHER_UUID}"]}
    for name in [name for name, data in content(other).items() if data and name != "recontext.sums.sig"]:
        disc = build(signer, form)
        *data, last = (disc / name).read_bytes()
        (disc / name).write_bytes(bytes([*data, last ^ 1]))
        reasons[disc] = [f"it has no good signature of {signer}" if name == "recontext.sums"
                         else f"{name} is not as recontext.sums has it"]
    disc = build(signer, form)
    refused(drive, reasons)
    taken(drive.seen_of(disc.name), disc)
    assert f"signed by {signer}" in drive.seen_of(disc.name).said


def test_hosts_of_one_signer_are_both_taken_where_the_clock_of_the_one_that_was_left_is_ahead(drive, build):
    ahead = int(time.time() * 100) + 2 * MINUTE
    discs = [drive.insert(signer="site-c", generation=ahead), build("site-c")]
    seen = drive.seen()
    for one, disc in zip(seen, discs, strict=True):
        taken(one, disc)
    assert ahead - HOUR < seen[1].generation < ahead


@pytest.mark.parametrize("at", [2, 3, 4])
def test_a_disc_that_changes_while_it_is_read_is_read_again(drive, at):
    first, second = drive.insert(), drive.make(f"01.at-{at}", generation=NOW + 1, signer="host-b.site-b")
    if at == 4:  # What was read before is of both.
        (first / "endpoint").write_bytes((second / "endpoint").read_bytes())
    wanted = content(second)
    [seen] = drive.seen()
    assert (seen.status, seen.generation, seen.files, seen.programs_ran) == (0, NOW + 1, wanted, 1), seen


@pytest.mark.parametrize("guest", [
    ">/etc/recontext/allowed_signers", "ln -sf nowhere /etc/recontext/allowed_signers",
    "printf '#!/bin/sh\\nexit 127\\n' >/run/stubs/ssh-keygen; chmod 755 /run/stubs/ssh-keygen"])
def test_where_nobody_can_be_known_to_be_allowed_nothing_is_taken(drive, guest):
    drive.insert()
    [seen] = drive.seen(guest)
    assert (seen.status, seen.files) == (1, {}) and "it has no good signature of host-a.site-a" in seen.said


def guests_without_signers():
    guests = {"coreutils": UNSIGNED} | ({"busybox": BUSYBOX} if GUEST == Path("/") else {})
    return pytest.mark.parametrize("guest", guests.values(), ids=guests)


@guests_without_signers()
def test_without_the_file_every_whole_disc_is_taken_and_a_torn_one_refused(drive, guest):
    discs = [drive.insert(signer=None, files={"a\\b": "x", "a b": "", "ä": ""}),
             drive.insert(signer="host-d.site-a", generation=NOW - 9 * HOUR, uuid=OTHER_UUID),
             drive.insert(signer=None, generation=NOW + 2)]
    (discs[2] / "recontext.sums").unlink()
    torn = drive.insert(signer=None, generation=NOW + 3, files={"a\\b": ""})
    (torn / "endpoint").write_bytes((discs[0] / "endpoint").read_bytes())
    *results, last = drive.seen(guest)
    for seen, disc in zip(results, discs, strict=True):
        taken(seen, disc)
        assert seen.said == f"received generation {seen.generation}\n"
        assert seen.left == {str(seen.generation), "disc", "lock"}
    assert (last.status, last.programs_ran, last.files) == (1, 0, content(discs[2]))
    assert last.said == (f"the disc in the drive, generation {NOW + 3}, is not used: "
                         "endpoint is not as recontext.sums has it\n")
