"""A typical context: ten files and 20 KB, of which some are templates with this host's facts."""

from pathlib import Path

CONTEXT = "etc/virt-recontext/context"
FACTS = "etc/virt-recontext/facts.d/site.toml"
ENDPOINT = "monitoring endpoint: {{ facts.monitoring.endpoint }}\n"


def endpoint(host: str) -> str:
    return f"https://monitor.{host}.example:9100"


def facts(host: str) -> str:
    return f'[monitoring]\nendpoint = "{endpoint(host)}"\n'


def files() -> dict[str, str]:
    """Path below the context directory, and content; `.j2` are templates."""
    lines = "".join(f"option_{number} = value of the option with the number {number}\n" for number in range(40))
    plain = {f"conf.d/service-{number}.conf": lines[:2200] for number in range(7)}
    templates = {"endpoint.j2": ENDPOINT, "probe.conf.j2": f"{lines[:2000]}{ENDPOINT}",
                 "mirror.list.j2": f"{lines[:2000]}{ENDPOINT}"}
    return plain | templates


def put(root: Path, host: str) -> None:
    """Writes the context and the facts below a root."""
    for name, text in files().items():
        file = root / CONTEXT / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    (root / FACTS).parent.mkdir(parents=True, exist_ok=True)
    (root / FACTS).write_text(facts(host), encoding="utf-8")
