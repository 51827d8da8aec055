"""The packages as files: what the tools of Debian and of rpm think of them.

tests/live/test_installed.py installs them, tests/reproducible builds them once more.
"""

import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
DIST = TOP / "target" / "dist"


def run(*argv):
    """A program's output; it must succeed."""
    done = subprocess.run([str(word) for word in argv], capture_output=True, text=True, cwd=TOP, check=False)
    assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
    return done.stdout


# The least of a policy: the types and permissions that our module names, and what the compiler asks of every policy.
LEAST_POLICY = """
(class file (getattr open read map execute execute_no_trans ioctl lock relabelfrom))
(class dir (getattr open read search ioctl lock))
(class lnk_file (getattr read))
(class process (transition))
(classorder (file dir lnk_file process))
(sid kernel)
(sidorder (kernel))
(user u)
(role r)
(type virtqemud_t)
(type virt_hook_t)
(type virt_var_lib_t)
(type unconfined_service_t)
(typeattribute cil_gen_require)
(roletype r virtqemud_t)
(userrole u r)
(sensitivity s)
(sensitivityorder (s))
(userlevel u (s))
(userrange u ((s)(s)))
(sidcontext kernel (u r virtqemud_t ((s)(s))))
"""


@pytest.fixture
def deb():
    return next(DIST.glob("*.deb"))


@pytest.fixture
def rpm():
    return next(DIST.glob("*.rpm"))


def files_of_the_list(zsh):
    """What packaging/files says is installed: path, mode and kind of each."""
    lines = [line.split() for line in (TOP / "packaging/files").read_text("utf-8").splitlines() if line[0] != "#"]
    return {(target.replace("{zsh}", zsh), mode, kind) for mode, kind, _, target in lines}


def test_lintian_finds_nothing(deb):
    assert run("lintian", "--allow-root", "--fail-on", "error,warning", "--display-level", ">=warning", deb) == ""


def test_the_rpm_is_whole_and_holds_the_list(rpm):
    run("rpm", "--nosignature", "-K", rpm)
    held = {tuple(line.split("|")) for line in run(
        "rpm", "-qp", "--qf", "[%{FILENAMES}|%{FILEMODES:octal}|%{FILEUSERNAME}|%{FILEFLAGS:fflags}\n]", rpm).splitlines()}
    for target, mode, kind in files_of_the_list("/usr/share/zsh/site-functions"):
        kind_bits = "40" if kind == "dir" else "100"
        flags = {"conf": "cn"}.get(kind, "d" if "/share/doc/" in target or "/share/man/" in target else "")
        assert (target, kind_bits + mode, "root", flags) in held


def test_the_deb_holds_the_list(deb):
    held = {line.split()[-1].removeprefix(".").rstrip("/"): line.split()[:2]
            for line in run("dpkg-deb", "-c", deb).splitlines()}
    for target, mode, _ in files_of_the_list("/usr/share/zsh/vendor-completions"):
        letters = {"755": "rwxr-xr-x", "644": "rw-r--r--"}[mode]
        assert held[target][0][1:] == letters and held[target][1] == "root/root"
    assert run("dpkg-deb", "-I", deb, "conffiles") == "/etc/virt-recontext/config.toml\n"


def test_both_hold_every_recipe_and_page(deb, rpm):
    recipes = [str(path) for place in ("guest", "platforms", "prometheus") for path in (TOP / "packaging" / place).rglob("*") if path.is_file()]
    wanted = {path.replace(f"{TOP}/packaging", "/usr/share/doc/virt-recontext/examples") for path in recipes}
    assert wanted <= {line.split()[-1].removeprefix(".") for line in run("dpkg-deb", "-c", deb).splitlines()}
    assert wanted <= set(run("rpm", "-qlp", rpm).splitlines())


@pytest.mark.parametrize("script", ["preinst", "postinst", "prerm", "postrm"])
def test_the_scripts_are_sound_for_every_shell(deb, script, tmp_path):
    text = tmp_path / script
    text.write_text(run("dpkg-deb", "-I", deb, script), encoding="utf-8")
    run("shellcheck", "--exclude", "SC2317", text)
    run("dash", "-n", text)


def test_the_selinux_module_compiles(tmp_path):
    policy = tmp_path / "least.cil"
    policy.write_text(LEAST_POLICY, encoding="utf-8")
    run("secilc", "-o", tmp_path / "policy", "-f", tmp_path / "contexts", policy, "packaging/selinux/virt-recontext.cil")
