//! A program of packaging/facts on a host, called as those who run programs for facts call it.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::site::{Site, make_dir};

/// Where programs are found that nobody has hidden.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub struct Shipped {
    pub site: Site,
    name: &'static str,
}

impl Shipped {
    /// The program called `name`, linked for all VMs.
    pub fn called(name: &'static str) -> Shipped {
        let shipped = Shipped { site: Site::new(&[]), name };
        shipped.link_as(name);
        shipped
    }

    /// Links it under another name, and thereby for other settings.
    pub fn link_as(&self, link: &str) {
        let facts_d = self.site.path("etc/virt-recontext/facts.d");
        make_dir(&facts_d);
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/facts").join(self.name);
        symlink(program, facts_d.join(link)).unwrap();
    }

    /// The settings of the link of this name.
    pub fn conf(&self, link: &str) -> PathBuf {
        self.site.path(&format!("etc/virt-recontext/{link}.conf"))
    }

    pub fn configure_as(&self, link: &str, settings: &str) {
        fs::write(self.conf(link), settings).unwrap();
        fs::set_permissions(self.conf(link), Permissions::from_mode(0o644)).unwrap();
    }

    pub fn configure(&self, settings: &str) {
        self.configure_as(self.name, settings);
    }

    fn run(&self, link: &str, path: &str) -> Output {
        let mut program = Command::new(self.site.path(&format!("etc/virt-recontext/facts.d/{link}")));
        program.env_clear().env("PATH", path).env("LC_ALL", "C").current_dir("/").stdin(Stdio::null());
        program.output().unwrap()
    }

    pub fn facts_as(&self, link: &str) -> Value {
        let output = self.run(link, PATH);
        assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    pub fn facts(&self) -> Value {
        self.facts_as(self.name)
    }

    /// The one line that says why there are no facts.
    pub fn complaint(&self) -> String {
        self.complaint_of(self.name, PATH)
    }

    fn complaint_of(&self, link: &str, path: &str) -> String {
        Self::complaint_in(link, self.run(link, path))
    }

    /// The complaint where it is called with an argument.
    pub fn complaint_about(&self, argument: &str) -> String {
        let link = self.site.path(&format!("etc/virt-recontext/facts.d/{}", self.name));
        Self::complaint_in(self.name, Command::new(link).arg(argument).output().unwrap())
    }

    fn complaint_in(link: &str, output: Output) -> String {
        assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.starts_with(&format!("{link}: ")) && said.lines().count() == 1, "{said:?}");
        said
    }

    /// That a failure is told whose line has `why`.
    pub fn assert_refused(&self, why: &str) {
        let complaint = self.complaint();
        assert!(complaint.contains(why), "{complaint}");
    }

    /// The complaint where one of the programs that it calls is `script` instead, or is not there.
    pub fn complaint_with(&self, program: &str, script: Option<&str>) -> String {
        let bin = self.site.beside("bin");
        make_dir(&bin);
        for name in ["stat", "etcdctl", "dig", "jq", "grep", "awk"] {
            let _missing = fs::remove_file(bin.join(name));
            if name != program {
                symlink(Path::new("/usr/bin").join(name), bin.join(name)).unwrap();
            }
        }
        if let Some(script) = script {
            fs::write(bin.join(program), format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(bin.join(program), Permissions::from_mode(0o755)).unwrap();
        }
        self.complaint_of(self.name, bin.to_str().unwrap())
    }

    /// What is true of settings whatever the program; `good` are some that work.
    pub fn assert_settings_are_looked_at(&self, good: &str) {
        let conf = self.conf(self.name);
        let example = format!("/usr/share/doc/virt-recontext/examples/facts/{}.conf", self.name);
        let _missing = fs::remove_file(&conf);
        self.assert_refused(&format!("{} is missing: copy {example} there, and edit it", conf.display()));
        for (settings, why) in [
            (format!("{good}\nnothing=1"), "\"nothing\" is none of its settings"),
            (format!("{good}\nexport x=1\n"), "\"export x\" is none of its settings"),
            (format!("{good}\nPATH=/tmp\n"), "\"PATH\" is none of its settings"),
            (String::new(), "must be there"),
        ] {
            self.configure(&settings);
            self.assert_refused(why);
        }
        for mode in [0o664, 0o646] {
            self.configure(good);
            fs::set_permissions(&conf, Permissions::from_mode(mode)).unwrap();
            self.assert_refused("must be a file of root's that nobody else may write");
        }
        // Without an end of the last line, too.
        self.configure(&format!("# comment\n\n{}", good.trim_end()));
        self.facts();
    }
}

#[test]
fn the_examples_have_every_setting_and_no_other() {
    for name in ["etcd", "dns-srv"] {
        let facts = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/facts");
        let program = fs::read_to_string(facts.join(name)).unwrap();
        let known =
            program.lines().find_map(|line| line.trim().split_once(") printf -v ").map(|(known, _)| known.to_owned()));
        let known: Vec<String> = known.unwrap().split(" | ").map(str::to_owned).collect();
        let example = fs::read_to_string(facts.join(format!("{name}.conf"))).unwrap();
        let shown = example.lines().filter_map(|line| line.trim_start_matches('#').split_once('='));
        let shown: Vec<String> = shown.map(|(name, _)| name.to_owned()).filter(|name| !name.contains(' ')).collect();
        // NAME=VALUE is of the form itself.
        assert_eq!(shown, known, "{name}");
    }
}
