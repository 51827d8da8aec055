"""Keys and certificates for those who sign discs, made with ssh-keygen, as packaging/guest/systemd-udev says."""

import shutil
import subprocess
from pathlib import Path


class Keys:
    """Those in a directory, by name."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def make(self, *names: str) -> None:
        for name in names:
            keygen("-t", "ed25519", "-N", "", "-C", name, "-f", self.directory / name)

    def certify(self, name: str, authority: str, *options: str, principals: str | None = "itself") -> None:
        """Makes a key, and a certificate of it by an authority that is there."""
        self.make(name)
        names = ["-n", name] if principals else []
        keygen("-s", self.directory / authority, "-I", name, *names, *options, self.directory / f"{name}.pub")

    def allowed(self, who: str, name: str, options: str = "") -> str:
        """The line of allowed_signers by which a key is believed for these names; a CA has "cert-authority," as options."""
        public = (self.directory / f"{name}.pub").read_text("ascii").strip()
        return f'{who} {options}namespaces="virt-recontext" {public}\n'

    def sign(self, name: str, file: Path, namespace: str) -> None:
        certificate = self.directory / f"{name}-cert.pub"
        key = certificate if certificate.exists() else self.directory / name
        keygen("-Y", "sign", "-n", namespace, "-f", key, file)

    def give(self, name: str, config: Path) -> None:
        """Has the host with this /etc/virt-recontext sign with a key, and nothing of the one before be left."""
        config.mkdir(parents=True, exist_ok=True)
        take_key(config)
        for ending in ("", "-cert.pub"):
            if (self.directory / f"{name}{ending}").exists():
                shutil.copy(self.directory / f"{name}{ending}", config / f"signing_key{ending}")


def take_key(config: Path) -> None:
    """Has the host with this /etc/virt-recontext sign no more."""
    for ending in ("", "-cert.pub"):
        (config / f"signing_key{ending}").unlink(missing_ok=True)


def keygen(*arguments: object) -> None:
    subprocess.run(["ssh-keygen", "-q", *map(str, arguments)], check=True, capture_output=True,
                   stdin=subprocess.DEVNULL)
