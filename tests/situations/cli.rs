//! The command line, as far as it goes without libvirt.

use std::fs;
use std::path::Path;
use std::process::Output;

use super::site::{Site, UUID, here, install, run};
use super::situation::usual_vm;

const VERBS: [&str; 10] =
    ["enable", "disable", "set", "unset", "preview", "build", "refresh", "status", "doctor", "deliver"];

/// A host with the usual VM's XML in `vm.xml`.
fn site() -> (Site, String) {
    let site = Site::usual();
    let xml = site.beside("vm.xml");
    fs::write(&xml, usual_vm(&here(), "running.xml", "vm")).unwrap();
    (site, xml.to_str().unwrap().to_owned())
}

fn say(site: &Site, arguments: &[&str]) -> Output {
    run(&mut site.recontext(arguments), b"")
}

/// What a command prints that must go well.
fn printed(site: &Site, arguments: &[&str]) -> String {
    let output = say(site, arguments);
    assert_eq!(text(&output.stderr), "", "{arguments:?}");
    assert!(output.status.success(), "{arguments:?}: {}", output.status);
    text(&output.stdout)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The files of a disc, read by bsdtar: name and content.
fn on_disc(disc: &Path) -> Vec<(String, String)> {
    let bsdtar = |arguments: &[&str]| {
        let output = std::process::Command::new("bsdtar").args(arguments).output().expect("bsdtar is not installed");
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let disc = disc.to_str().unwrap();
    let mut names: Vec<String> = bsdtar(&["-tf", disc]).lines().map(str::to_owned).collect();
    names.retain(|name| name != "." && name != "etc");
    names.sort();
    names
        .into_iter()
        .map(|name| (bsdtar(&["-xOf", disc, &name]), name))
        .map(|(content, name)| (name, content))
        .collect()
}

/// The marker without what tells one making from another.
fn without_occasion(files: Vec<(String, String)>) -> Vec<(String, String)> {
    let blank = |(name, content): (String, String)| match name.as_str() {
        "recontext.json" => {
            let mut marker: serde_json::Value = serde_json::from_str(&content).unwrap();
            for key in ["generation", "reason", "built_at"] {
                assert!(marker.as_object_mut().unwrap().remove(key).is_some(), "{key}");
            }
            (name, marker.to_string())
        }
        // Its sum is one of those too.
        "recontext.sums" => {
            let (marker, others): (Vec<&str>, Vec<&str>) =
                content.lines().partition(|line| line.ends_with("  recontext.json"));
            assert_eq!(marker.len(), 1);
            (name, others.join("\n"))
        }
        _ => (name, content),
    };
    files.into_iter().map(blank).collect()
}

#[test]
fn build_writes_the_disc_that_the_hook_makes() {
    let (site, xml) = site();
    let output = site.beside("own.iso");
    assert_eq!(printed(&site, &["build", "--xml", &xml, "--output", output.to_str().unwrap()]), "");
    run(&mut site.hook(&["vm", "prepare", "begin", "-"]), &fs::read(&xml).unwrap());
    let hooks = site.root().join(format!("var/lib/libvirt/recontext/{UUID}.iso"));
    assert_eq!(without_occasion(on_disc(&output)), without_occasion(on_disc(&hooks)));
    assert_eq!(fs::metadata(&output).unwrap().len(), fs::metadata(&hooks).unwrap().len());
}

#[test]
fn build_needs_no_metadata_in_the_xml() {
    let (site, xml) = site();
    fs::write(&xml, format!("<domain><name>vm</name><uuid>{UUID}</uuid></domain>")).unwrap();
    let output = site.beside("own.iso");
    printed(&site, &["build", "--xml", &xml, "--output", output.to_str().unwrap()]);
    assert_eq!(on_disc(&output).len(), 4);
}

#[test]
fn the_xml_may_come_from_a_pipe_and_begin_with_a_byte_order_mark() {
    let (site, xml) = site();
    let usual = printed(&site, &["preview", "--xml", &xml]);
    let marked = [b"\xef\xbb\xbf", fs::read(&xml).unwrap().as_slice()].concat();
    for from in ["-", "/dev/stdin", "/proc/self/fd/0"] {
        let said = run(&mut site.recontext(&["preview", "--xml", from]), &marked);
        assert_eq!((text(&said.stderr), text(&said.stdout)), (String::new(), usual.clone()), "{from}");
        let said = run(&mut site.recontext(&["build", "--xml", from, "--output", "-"]), &marked);
        assert_eq!((text(&said.stderr), said.stdout.len()), (String::new(), 1 << 20), "{from}");
    }
    let said = run(&mut site.recontext(&["preview", "--xml", "-"]), &vec![b' '; (8 << 20) + 1]);
    assert_eq!(text(&said.stderr), "virt-recontext: reading stdin: it is larger than 8388608 bytes\n");
    let said = run(&mut site.recontext(&["preview", "--xml", "/dev/zero"]), b"");
    assert_eq!(text(&said.stderr), "virt-recontext: reading /dev/zero: it is larger than 8388608 bytes\n");
    let said = run(&mut site.recontext(&["preview", "--xml", "-"]), b"\xff");
    assert!(text(&said.stderr).starts_with("virt-recontext: reading stdin: it is not UTF-8"), "{}", text(&said.stderr));
}

#[test]
fn what_a_vm_carries_takes_no_more_memory_of_whoever_looks_at_its_disc_than_a_disc_may() {
    let (site, xml) = site();
    let template = "{% set s = 'x' * 1000000 %}{{ ([s] * 700)|join|length }}";
    let element =
        format!("<r:context xmlns:r='urn:virt-recontext:1'><r:file path='a.j2'>{template}</r:file></r:context>");
    let domain = format!("<domain><name>vm</name><uuid>{UUID}</uuid><metadata>{element}</metadata></domain>");
    fs::write(&xml, domain).unwrap();
    for words in [&["preview", "--xml", &xml][..], &["build", "--xml", &xml, "--output", "/dev/null"]] {
        let said = text(&say(&site, words).stderr);
        assert!(said.contains("memory allocation of "), "{said}");
    }
}

#[test]
fn build_leaves_what_is_no_regular_file_what_it_is() {
    let (site, xml) = site();
    let beside = |name: &str| site.beside(name).to_str().unwrap().to_owned();
    let build = |output: &str| say(&site, &["build", "--xml", &xml, "--output", output]);
    let disc = build("-").stdout;
    assert!(disc.len() == 1 << 20 && disc[32769..32774] == *b"CD001");
    let read = |disc: &[u8]| {
        fs::write(beside("read.iso"), disc).unwrap();
        (disc.len(), without_occasion(on_disc(Path::new(&beside("read.iso")))))
    };
    let same = |other: &[u8]| read(other) == read(&disc);

    // Through links, to a file that is there and to one that is not; with more in it than the disc has.
    fs::write(beside("old"), vec![b'x'; 2 << 20]).unwrap();
    for target in ["old", "new"] {
        std::os::unix::fs::symlink(beside(target), beside("link")).unwrap();
        assert!(build(&beside("link")).status.success());
        assert!(fs::symlink_metadata(beside("link")).unwrap().is_symlink());
        assert!(same(&fs::read(beside(target)).unwrap()), "{target}");
        fs::remove_file(beside("link")).unwrap();
    }
    let made = std::process::Command::new("mknod").args([&beside("null"), "c", "1", "3"]).status().unwrap();
    assert!(made.success());
    assert!(build(&beside("null")).status.success());
    assert!(!fs::symlink_metadata(beside("null")).unwrap().is_file());
    nix::unistd::mkfifo(beside("pipe").as_str(), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let pipe = beside("pipe");
    let reader = std::thread::spawn(move || fs::read(pipe).unwrap());
    assert!(build(&beside("pipe")).status.success());
    assert!(same(&reader.join().unwrap()));
    assert!(text(&build(&beside(".")).stderr).contains("Is a directory"));
}

#[test]
fn build_that_fails_leaves_what_was_there() {
    let (site, xml) = site();
    site.write("etc/virt-recontext/context/a.j2", "one\n{{ nothing }}\n");
    let output = site.beside("own.iso");
    fs::write(&output, "old").unwrap();
    let said = say(&site, &["build", "--xml", &xml, "--output", output.to_str().unwrap()]);
    assert_eq!(said.status.code(), Some(1));
    let place = site.root().join("etc/virt-recontext/context/a.j2");
    let complaint = format!(
        "virt-recontext: the template {}, line 2: it uses a name that is not defined; there are domain, event, facts, host\n",
        place.display()
    );
    assert_eq!(text(&said.stderr), complaint);
    assert_eq!(fs::read(&output).unwrap(), b"old");
}

#[test]
fn preview_lists_the_files_and_shows_each() {
    let (site, xml) = site();
    let list = printed(&site, &["preview", "--xml", &xml]);
    let lines: Vec<&str> = list.lines().collect();
    assert_eq!(lines[..2], ["0444        75  /etc/probe.conf", "0444        34  /motd"]);
    assert!(lines[2].ends_with("  /recontext.json  (generated)") && lines.len() == 4, "{list}");
    assert!(lines[3].ends_with("  /recontext.sums  (generated)"), "{list}");
    let probe = "endpoint=https://monitor.host-b.example:9100 site=berlin host=host-b vm=vm\n";
    for path in ["etc/probe.conf", "/etc/probe.conf"] {
        assert_eq!(printed(&site, &["preview", "--xml", &xml, "--file", path]), probe);
    }
    let said = say(&site, &["preview", "--xml", &xml, "--file", "etc"]);
    assert_eq!((said.status.code(), text(&said.stdout)), (Some(1), String::new()));
    assert_eq!(text(&said.stderr), "virt-recontext: the disc would have no file /etc\n");
    assert!(!site.root().join("run/libvirt/recontext").exists(), "it writes nothing");
}

#[test]
fn preview_says_on_stderr_what_does_not_count() {
    let (site, xml) = site();
    let usual = printed(&site, &["preview", "--xml", &xml]);
    for file in ["facts.d/site.toml~", "context/etc/.probe.conf.swp", "domains/vm/facts.d/README"] {
        site.write(&format!("etc/virt-recontext/{file}"), "{{");
    }
    let said = say(&site, &["preview", "--xml", &xml]);
    assert_eq!(text(&said.stdout), usual);
    let told: Vec<String> = text(&said.stderr).lines().map(str::to_owned).collect();
    let dir = site.path("etc/virt-recontext");
    let line = |file: &str| format!("virt-recontext: {}/{file} does not count, by its name", dir.display());
    assert_eq!(told, ["facts.d/site.toml~", "context/etc/.probe.conf.swp", "domains/vm/facts.d/README"].map(line));
    assert!(said.status.success());
}

#[test]
fn preview_says_on_stderr_what_keeps_the_vm_from_its_disc() {
    let (site, xml) = site();
    let usual = printed(&site, &["preview", "--xml", &xml]);
    let domain = fs::read_to_string(&xml).unwrap();
    for (has, instead, why) in [
        ("<target dev='sda' bus='sata'/>", "<target dev='sdq' bus='sata'/>", "has no CD-ROM drive sda"),
        (
            "urn:virt-recontext:1",
            "urn:other",
            "does not take part, and gets no such disc; to let it: virt-recontext enable vm",
        ),
    ] {
        assert!(domain.contains(has), "{has}");
        let other = site.beside("other.xml");
        fs::write(&other, domain.replace(has, instead)).unwrap();
        let said = say(&site, &["preview", "--xml", other.to_str().unwrap()]);
        assert_eq!((said.status.success(), text(&said.stdout).lines().count()), (true, usual.lines().count()));
        assert!(text(&said.stderr).contains(why), "{}", text(&said.stderr));
    }
}

#[test]
fn what_nobody_reads_on_ends_quietly() {
    let (site, xml) = site();
    for command in [vec!["preview", "--xml", &xml], vec!["build", "--xml", &xml, "--output", "-"]] {
        let (read, write) = std::io::pipe().unwrap();
        drop(read);
        let mut command = site.recontext(&command);
        let output = run(command.stdout(write), b"");
        assert_eq!((text(&output.stderr), output.status.code()), (String::new(), Some(141)), "{command:?}");
    }
    // Elsewhere it is a failure.
    let pipe = site.beside("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut build = site.recontext(&["build", "--xml", &xml, "--output", pipe.to_str().unwrap()]);
    let build = build.spawn().unwrap();
    // The image is larger than the pipe, so it cannot have been written before nobody reads any more.
    drop(fs::File::open(&pipe).unwrap());
    let output = build.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        text(&output.stderr),
        format!("virt-recontext: writing {}: Broken pipe (os error 32)\n", pipe.display())
    );
}

#[test]
fn preview_says_on_stderr_that_an_empty_directory_is_not_on_the_disc() {
    let (site, xml) = site();
    let usual = printed(&site, &["preview", "--xml", &xml]);
    let context = site.path("etc/virt-recontext/context");
    fs::create_dir_all(context.join("etc/a/b")).unwrap();
    site.write("etc/virt-recontext/context/etc/c/copy~", "");
    let said = say(&site, &["preview", "--xml", &xml]);
    assert_eq!((text(&said.stdout), said.status.success()), (usual, true));
    let told: Vec<String> = text(&said.stderr).lines().map(str::to_owned).collect();
    let line = |dir: &str| {
        let dir = context.join(dir);
        format!("virt-recontext: {} is empty, and would not be on the disc without a file in it", dir.display())
    };
    assert_eq!(told[1..], ["etc/a/b", "etc/c"].map(line));
}

/// A host whose libvirt has no VM.
fn site_without_vms() -> Site {
    let (site, _) = site();
    let node = site.beside("node.xml");
    fs::write(&node, "<node/>").unwrap();
    site.write("etc/virt-recontext/config.toml", &format!("uri = 'test://{}'\n", node.display()));
    site
}

/// States of two VMs, and a job of one, as the programs leave them.
fn prepare_states(site: &Site) {
    let second = "11111111-2222-4333-8444-555555555555";
    site.write(
        &format!("run/libvirt/recontext/state/{UUID}.json"),
        &format!(
            "{{\"uuid\":\"{UUID}\",\"name\":\"web\",\"progress\":\"waiting\",\"since\":179540670612,\"reason\":\"migrate\",\
             \"message\":\"the guest has not let go\",\"edition\":{{\"generation\":179540670612,\"reason\":\"migrate\"}},\
             \"image\":\"/var/lib/libvirt/recontext/{UUID}.iso\",\"identity\":{{\"dev\":1,\"ino\":2}}}}"
        ),
    );
    site.write(
        &format!("run/libvirt/recontext/jobs/{UUID}.json"),
        &format!("{{\"uuid\":\"{UUID}\",\"name\":\"web\",\"reason\":\"migrate\",\"force\":false,\"noted\":179540670612,\"id\":\"1-1\"}}"),
    );
    site.write(
        &format!("run/libvirt/recontext/state/{second}.json"),
        &format!(
            "{{\"uuid\":\"{second}\",\"name\":\"db\",\"progress\":\"failed\",\"since\":179540670600,\"reason\":\"start\",\
             \"message\":\"no drive\",\"edition\":null,\"image\":null,\"identity\":null}}"
        ),
    );
    site.write("run/libvirt/recontext/state/README", "not ours to judge");
}

#[test]
fn status_shows_every_vm_what_is_wrong_first() {
    let site = site_without_vms();
    assert_eq!(text(&say(&site, &["status"]).stdout), "");
    assert_eq!(printed(&site, &["status", "--json"]), "[]\n");
    prepare_states(&site);
    let web = "web: waiting (migrate, disc 179540670612, 2026-11-23T04:05:06.12Z): the guest has not let go\n";
    let db = "db: failed (start, disc -, 2026-11-23T04:05:06.00Z): no drive\n";
    let all = say(&site, &["status"]);
    assert_eq!((all.status.code(), text(&all.stdout)), (Some(1), [db, web].concat()));
    assert_eq!(printed(&site, &["status", "web"]), web);
    assert_eq!(printed(&site, &["status", &UUID.to_uppercase()]), web);
}

#[test]
fn status_as_json_says_all() {
    let site = site_without_vms();
    prepare_states(&site);
    let json: serde_json::Value = serde_json::from_slice(&say(&site, &["status", "--json"]).stdout).unwrap();
    assert_eq!(
        json,
        serde_json::json!([
            {"name": "db", "uuid": "11111111-2222-4333-8444-555555555555", "state": "failed", "reason": "start",
             "generation": null, "since": "2026-11-23T04:05:06.00Z", "message": "no drive", "image": null,
             "job_waiting": false, "takes_part": null, "running": false, "rules": null, "took": null,
             "until_next_start": false, "disc": null, "read": null, "read_bytes": null, "read_seen": null},
            {"name": "web", "uuid": UUID, "state": "waiting", "reason": "migrate", "generation": 179_540_670_612_u64,
             "since": "2026-11-23T04:05:06.12Z", "message": "the guest has not let go",
             "image": format!("/var/lib/libvirt/recontext/{UUID}.iso"), "job_waiting": true,
             "takes_part": null, "running": false, "rules": null, "took": null, "until_next_start": false,
             "disc": null, "read": null, "read_bytes": null, "read_seen": null},
        ])
    );
}

#[test]
fn status_leaves_a_damaged_state_out() {
    let site = site_without_vms();
    prepare_states(&site);
    site.write(&format!("run/libvirt/recontext/state/{UUID}.json"), "{");
    assert_eq!(text(&say(&site, &["status"]).stdout).lines().count(), 1);
}

#[test]
fn wrong_usage_is_told_and_exits_with_2() {
    let (site, xml) = site();
    for arguments in [
        &[][..],
        &["unknown"],
        &["--unknown"],
        &["enable"],
        &["enable", "vm", "--target", "../x"],
        &["enable", "vm", "--format", "zip"],
        &["preview"],
        &["preview", "vm", "--xml", &xml],
        &["build", "--xml", &xml],
        &["refresh"],
        &["refresh", "vm", "--all"],
        &["status", "a", "b"],
        &["status", "a", "--all"],
        &["status", "--json", "--verbose"],
        &["doctor", "vm"],
        &["deliver", "x"],
    ] {
        let output = say(&site, arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(text(&output.stdout), "", "{arguments:?}");
        assert!(text(&output.stderr).contains("--help"), "{arguments:?}: {}", text(&output.stderr));
    }
}

#[test]
fn what_cannot_be_done_is_told_in_one_line_and_exits_with_1() {
    let site = site_without_vms();
    site.write("etc/virt-recontext/empty.xml", "");
    let empty = site.root().join("etc/virt-recontext/empty.xml");
    for (arguments, why) in [
        (&["status", "nobody"][..], "there is no VM \"nobody\" here; \"virsh list --all\" shows all"),
        (&["preview", "--xml", "/nowhere.xml"], "reading /nowhere.xml: No such file or directory (os error 2)"),
        (&["preview", "--xml", "/"], "reading /: Is a directory (os error 21)"),
        (&["preview", "--xml", empty.to_str().unwrap()], "reading the domain's XML: there is no XML element"),
    ] {
        let output = say(&site, arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert_eq!(text(&output.stdout), "", "{arguments:?}");
        assert_eq!(text(&output.stderr), format!("virt-recontext: {why}\n"));
    }
}

#[test]
fn only_root_may_look() {
    use std::os::unix::process::CommandExt;
    let site = site_without_vms();
    let mut recontext = site.recontext(&["status"]);
    let copy = site.beside("recontext");
    install(Path::new(recontext.get_program()), &copy);
    let mut recontext_as_user = std::process::Command::new(&copy);
    recontext_as_user.arg("status").uid(65534).gid(65534).current_dir("/");
    let output = recontext_as_user.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("only root"), "{}", text(&output.stderr));
    assert!(run(&mut recontext, b"").status.success());
}

#[test]
fn deliver_without_a_daemon_leaves_the_jobs_and_says_so() {
    let (site, _) = site();
    prepare_states(&site);
    site.write("etc/virt-recontext/config.toml", "uri = 'test:///nowhere.xml'\n");
    let output = say(&site, &["deliver"]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.starts_with("virt-recontext: connecting to libvirt at test:///nowhere.xml: "), "{said}");
    let log = site.log_lines();
    assert!(log.len() == 1 && log[0].ends_with("; the jobs are left for the next helper"), "{log:?}");
    assert!(site.root().join(format!("run/libvirt/recontext/jobs/{UUID}.json")).exists());
}

#[test]
fn a_refresh_of_all_where_no_vm_runs_asks_no_daemon() {
    let (site, _) = site();
    site.write("run/libvirt/qemu/driver.pid", "");
    assert_eq!(printed(&site, &["refresh", "--all"]), "");
}

#[test]
fn every_help_fits_80_columns_and_goes_to_stdout() {
    let (site, _) = site();
    let mut too_wide = Vec::new();
    let helps = VERBS.iter().flat_map(|verb| [vec![*verb, "--help"], vec![*verb, "-h"]]);
    for arguments in helps.chain([vec!["--help"], vec!["-h"], vec!["help"], vec!["--version"]]) {
        let help = printed(&site, &arguments);
        assert!(!help.is_empty(), "{arguments:?}");
        let wide = help.lines().filter(|line| line.chars().count() > 80);
        too_wide.extend(wide.map(|line| format!("{arguments:?}: {line}")));
    }
    assert!(too_wide.is_empty(), "wider than 80 columns:\n{}", too_wide.join("\n"));
}
