//! Directories without room: what is there stays, and the job with it, until there is room again.

use std::fs;

use super::node::{Node, Vm, said, told};
use crate::site::run;

/// Runs a command twice on a host one directory of which is a small file system: first full, then not any more. What the
/// full one held after the first time is left in `beside("full")`.
fn without_room(node: &Node, dir: &str, arguments: &[&str]) -> [(i32, String); 2] {
    let beside = |name: &str| node.site.beside(name).display().to_string();
    let commands = format!(
        "cp -a {dir} {kept}; mount -t tmpfs -o size=512k,mode=\"$(stat -c %a {dir})\" tmpfs {dir}; cp -a {kept}/. {dir}
         cat /dev/zero > {dir}/filler 2> /dev/null || true
         \"$0\" \"$@\" > {said} 2>&1 && echo 0 >> {said} || echo $? >> {said}
         cp -a --sparse=always {dir} {full}; rm {dir}/filler
         trap 'rm -r {kept}; cp -a --sparse=always {dir} {kept}' EXIT; \"$0\" \"$@\" && exit 0 || exit $?",
        kept = beside("kept"),
        full = beside("full"),
        said = beside("said"),
    );
    let second = run(&mut node.site.in_mounts(&commands, &node.site.recontext(arguments)), b"");
    let first = fs::read_to_string(beside("said")).unwrap();
    let (text, code) = first.trim_end().rsplit_once('\n').unwrap_or(("", first.trim_end()));
    // The host has what the small file system had at last.
    fs::remove_dir_all(node.site.path(dir)).unwrap();
    fs::rename(beside("kept"), node.site.path(dir)).unwrap();
    [(code.parse().unwrap(), text.to_owned()), said(&second)]
}

#[test]
fn a_full_image_directory_keeps_the_old_disc_and_the_job() {
    let (web, same) = (Vm::called("web"), Vm::called("same"));
    let node = Node::with(&[&web, &same]);
    node.serve(&web);
    node.serve(&same);
    let (old, generation) = (fs::read(node.image(&web)).unwrap(), node.generation(&web));
    node.site.write("etc/virt-recontext/domains/web/context/large", &"x".repeat(100_000));
    node.note(&web, "restore");
    node.note(&same, "restore");
    let [(first, _), (second, _)] = without_room(&node, "var/lib/libvirt/recontext", &["deliver"]);
    // The job is given up for now, which is no failure of the helper.
    assert_eq!([first, second], [0, 0]);
    let full = |vm: &Vm| node.site.beside("full").join(format!("{}.iso", vm.uuid));
    assert!(fs::read(full(&web)).unwrap() == old, "the old disc is not whole any more");
    let mut names: Vec<_> = fs::read_dir(node.site.beside("full")).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.retain(|name| !name.to_str().unwrap().ends_with(".iso"));
    assert_eq!(names, ["filler"], "half a disc was left");
    let log = node.site.messages();
    let failed = log.iter().find(|line| line.starts_with("web: ") && line.contains("No space left on device"));
    assert!(failed.is_some_and(|line| line.contains("given up for now")), "{log:?}");
    let same_again = log.iter().position(|line| line.starts_with("same: restore: disc ")).unwrap();
    let delivered = log.iter().position(|line| line.starts_with("web: restore: disc ")).unwrap();
    assert!(same_again < delivered, "a VM whose disc was there had to wait: {log:?}");
    assert_eq!(node.progress(&web), told("delivered", "restore"));
    assert!(node.generation(&web) > generation && !node.job(&web).exists() && !node.job(&same).exists());
}

#[test]
fn a_full_run_directory_keeps_the_job_and_the_state() {
    let web = Vm::called("web");
    let node = Node::with(&[&web]);
    node.serve(&web);
    let generation = node.generation(&web);
    node.site.write("etc/virt-recontext/context/motd", "moved\n");
    node.note(&web, "restore");
    let (job, state) = (fs::read(node.job(&web)).unwrap(), fs::read(node.state_file(&web)).unwrap());
    let [(first, _), (second, _)] = without_room(&node, "run/libvirt/recontext", &["deliver"]);
    // As above, one VM's job.
    assert_eq!([first, second], [0, 0]);
    let full = |dir: &str| fs::read(node.site.beside("full").join(format!("{dir}/{}.json", web.uuid))).unwrap();
    assert!(full("jobs") == job && full("state") == state);
    let log = node.site.messages();
    assert!(log[0].starts_with("web: ") && log[0].contains("No space left on device"), "{log:?}");
    assert!(log[0].contains("given up for now"), "{log:?}");
    assert_eq!(node.progress(&web), told("delivered", "restore"));
    assert!(node.generation(&web) > generation && node.is_on_disc(&web, "moved\n") && !node.job(&web).exists());
}

#[test]
fn a_refresh_without_room_for_its_job_is_told_and_ends_with_1() {
    let web = Vm::called("web");
    let node = Node::with(&[&web]);
    node.serve(&web);
    let state = fs::read(node.state_file(&web)).unwrap();
    let [(first, said), second] = without_room(&node, "run/libvirt/recontext", &["refresh", "web"]);
    assert!(first == 1 && said.contains("No space left on device"), "{first}: {said}");
    let full = |path: &str| node.site.beside("full").join(format!("{path}/{}.json", web.uuid));
    assert!(!full("jobs").exists() && fs::read(full("state")).unwrap() == state);
    assert_eq!(second, (0, "web: the content is the same; the disc stays\n".to_owned()));
}
