//! What holds for any bytes from outside, in one place: proptest (main.rs) and libFuzzer (libfuzzer/) both call it.
//!
//! A property takes bytes and panics if what is promised does not hold for them, or takes longer than anything may.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use tempfile::TempDir;
use virt_recontext::context::disc::budget::Limits;
use virt_recontext::context::disc::compose::compose;
use virt_recontext::context::disc::facts;
use virt_recontext::context::disc::files::File;
use virt_recontext::context::disc::format::Format;
use virt_recontext::context::disc::layer::Layer;
use virt_recontext::context::disc::marker::{Edition, Generation, Occasion, Reason};
use virt_recontext::context::domain::Domain;
use virt_recontext::context::domain::drive::Drive;
use virt_recontext::context::domain::driver::Driver;
use virt_recontext::context::domain::request::{NAMESPACE, Request, Unknown};
use virt_recontext::context::domain::rewrite;
use virt_recontext::context::iso9660::{Image, date::VolumeDate};
use virt_recontext::context::uuid::Uuid;
use virt_recontext::hook::operation::HookCall;
use virt_recontext::host::config::Config;
use virt_recontext::host::paths::Host;
use virt_recontext::host::vm::job::Job;
use virt_recontext::host::vm::results;
use virt_recontext::host::vm::state::{About, State};
use virt_recontext::host::vm::{Vm, image};

/// The VM of all job and state files.
pub const UUID: &str = "6695eb01-f6a4-8304-79aa-97f2502e193f";

/// A property.
type Property = fn(&[u8]);

/// Most of a processor's time that a property may take for one input, checks included: what is slower than linear in its
/// input shows here. Built to be debugged, all is some ten times slower than it is for users.
const MOST: Duration = Duration::from_secs(4);

/// All properties by the names of their fuzz targets.
pub const ALL: [(&str, Property); 4] =
    [("hook_input", hook_input), ("metadata", metadata), ("job_files", job_files), ("state_files", state_files)];

/// The property of a fuzz target.
pub fn called(name: &str) -> impl Fn(&[u8]) {
    let property = ALL.into_iter().find(|(known, _)| *known == name).expect("a target of the table").1;
    let time = || Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("Linux has this clock"));
    move |data| {
        let begin = time();
        property(data);
        let took = time() - begin;
        assert!(took < MOST, "it took {took:?}");
    }
}

/// A call of the hook: its arguments on the first line, the XML on stdin below. What is answered is the domain with
/// another medium in one drive, and no path that is made of it lies outside the image directory.
fn hook_input(data: &[u8]) {
    let (line, xml) = data.split_at(data.iter().position(|byte| *byte == b'\n').unwrap_or(0));
    let arguments = line.split(|byte| *byte == b' ').map(|argument| OsString::from_vec(argument.to_vec()));
    let arguments: Vec<OsString> = arguments.collect();
    for driver in Driver::ALL {
        if let Some(call) = HookCall::parse(driver, &arguments) {
            assert!(!call.operation.to_string().is_empty());
        }
    }
    let Ok(xml) = str::from_utf8(xml) else { return };
    let Ok(domain) = Domain::read(xml) else { return };
    assert!(!domain.name.is_empty());
    let config = Config::default();
    let ours = image::path(&config, &domain.uuid);
    assert_lies_in(&ours, &config.image_dir);
    for drive in &domain.drives {
        let path = drive.path().map(Path::new);
        if let Some(path) = path.filter(|path| image::may_be_made_at(&config, path, &domain.uuid)) {
            assert_lies_in(path, &config.image_dir);
        }
        let ours = ours.to_str().expect("it is made of a constant and a UUID");
        if let Ok(Some(edited)) = rewrite::with_disc(&domain, drive, ours) {
            assert_is_the_same_vm(&domain, &edited);
            let again = Domain::read(&edited).expect("an answer is a domain");
            let after = again.drives.iter().find(|after| after.target == drive.target).expect("its drive");
            assert_eq!(after.path(), Some(ours));
            assert!(matches!(rewrite::with_disc(&again, after, ours), Ok(None)), "an answer asks for another");
        }
        if let Ok(Some(edited)) = rewrite::may_be_missing(&domain, drive) {
            assert_is_the_same_vm(&domain, &edited);
        }
    }
    if let Ok(Some(request)) = domain.request() {
        let _one_or_none = domain.drive(request);
    }
}

/// Directly in it, and with a plain name.
fn assert_lies_in(path: &Path, directory: &Path) {
    assert_eq!(path.parent(), Some(directory), "{}", path.display());
    let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
    assert!(!matches!(name, "" | "." | "..") && !name.contains(['/', '\0']), "{name:?}");
}

/// Nothing but one drive was edited.
fn assert_is_the_same_vm(before: &Domain, edited: &str) {
    let after = Domain::read(edited).expect("an answer is a domain");
    assert_eq!((&after.name, &after.uuid, &after.machine), (&before.name, &before.uuid, &before.machine));
    assert_eq!(after.targets, before.targets);
    assert_eq!(after.request().ok().flatten(), before.request().ok().flatten());
    let seen = |drive: &Drive| (drive.path().map(str::to_owned), drive.is_empty(), drive.may_be_missing());
    assert_eq!(after.drives.len(), before.drives.len());
    let changed = before.drives.iter().zip(&after.drives).filter(|(old, new)| seen(old) != seen(new)).count();
    assert!(changed <= 1, "{changed} drives were changed");
}

/// The metadata that a VM carries, below one byte for the format: its disc is whole and within the limits, the same
/// each time, holds nothing outside itself and a true marker; or there is none, with a reason.
fn metadata(data: &[u8]) {
    let Some((format, inner)) = data.split_first() else { return };
    let Ok(inner) = str::from_utf8(inner) else { return };
    let xml = format!(
        "<domain><name>vm</name><uuid>{UUID}</uuid><metadata><c:context xmlns:c='{NAMESPACE}' target='sda'>{inner}\
         </c:context></metadata></domain>"
    );
    let Ok(domain) = Domain::read(&xml) else { return };
    let Ok(Some(request)) = domain.request() else { return };
    assert_is_written_as_it_was_read(request);
    let format = Format::ALL[usize::from(*format) % Format::ALL.len()];
    let limits =
        Limits { bytes: 20_000, files: 12, disc_steps: 100_000, template_steps: 20_000, template_output: 10_000 };
    let edition = Edition { generation: Generation(179_540_670_612), reason: Reason::Migrate };
    let occasion = Occasion {
        name: "vm",
        uuid: &domain.uuid,
        host: Some("host-b"),
        edition,
        format,
        signer: None,
        new_networks: &[],
    };
    let disc = || {
        let host = Layer {
            facts: facts::from_json("{\"site\": \"b\", \"monitoring\": {\"port\": 9100}}")?,
            files: vec![("motd".to_owned(), File { bytes: b"hello\n".to_vec().into(), mode: 0o444 })],
            ..Layer::default()
        };
        compose(&[host, request.layer()?], &occasion, limits)
    };
    let disc = match disc() {
        Ok(files) => files,
        Err(error) => return assert!(!format!("{error:#}").is_empty()),
    };
    assert!(disc.iter().len() <= limits.files && disc.content_size() <= limits.bytes);
    for (path, _) in disc.iter() {
        let names = path.names();
        assert!(!names.is_empty() && names.iter().all(|name| !matches!(name.as_str(), "" | "." | "..")), "{path}");
        assert!(!names.iter().any(|name| name.contains('/') || name.chars().any(char::is_control)), "{path}");
    }
    let marker = disc.get(&"recontext.json".parse().expect("a path")).expect("every disc has a marker");
    let marker: serde_json::Value = serde_json::from_slice(&marker.bytes).expect("the marker is JSON");
    assert_eq!((&marker["domain_uuid"], &marker["reason"]), (&UUID.into(), &"migrate".into()));
    let label = request.label.clone().unwrap_or_else(|| format.label().parse().expect("a format's label"));
    let image = || Image::new(&disc, &label, VolumeDate::from_unix_centis(179_540_670_612));
    if let Ok(image_made) = image() {
        let bytes = image_made.to_bytes();
        assert!(bytes.len() as u64 == image_made.len() && bytes.len() < 2 << 20, "{} bytes", bytes.len());
        assert_eq!(bytes.get(32_769..32_774), Some(b"CD001".as_slice()));
        assert!(image().is_ok_and(|again| again.to_bytes() == bytes), "two discs of one content differ");
    }
}

/// `enable` and `disable` write the element again.
fn assert_is_written_as_it_was_read(request: &Request) {
    let text = request.to_xml().replacen("<context", &format!("<context xmlns='{NAMESPACE}'"), 1);
    let text = format!("<domain><name>vm</name><uuid>{UUID}</uuid><metadata>{text}</metadata></domain>");
    let domain = Domain::read(&text).expect("what we write can be read");
    // What this version does not know, `enable` refuses, lest it be lost.
    let known = Request { unknown: Unknown::default(), ..request.clone() };
    assert_eq!(domain.request().expect("and is no fault").expect("and is there"), &known);
}

/// A job file of any content: there is a job, for this VM and no other, which can be done and is gone then.
fn job_files(data: &[u8]) {
    let (_root, host, uuid) = host();
    write(&host.job_file(&uuid), data);
    let job = Job::of(&host, &uuid).expect("no content makes a job unreadable").expect("no content hides a job");
    assert_eq!(job.uuid, uuid);
    assert_eq!(Job::all(&host).expect("nor the spool"), std::slice::from_ref(&job));
    let _any_age = job.age();
    let vm = Vm::hold(&host, &uuid).expect("the lock");
    assert!(job.is_newest(&host).expect("it can be read again"));
    vm.drop_job().expect("it can be done");
    assert_eq!(Job::of(&host, &uuid).expect("there is none"), None);
    let next = Job::new(uuid.clone(), &job.name, Driver::Qemu, Reason::Refresh, job.force);
    vm.note(&next).expect("the next one is noted");
    assert_eq!(Job::of(&host, &uuid).expect("it can be read").map(|next| next.name), Some(job.name));
}

/// A state file, and one of what programs printed, of any content: it is this VM's or none, it is shown, the next one
/// can be written, and nothing is removed that it has no right to.
fn state_files(data: &[u8]) {
    let (root, host, uuid) = host();
    write(&host.state_file(&uuid), data);
    write(&host.facts_file(&uuid), data);
    let bystander = root.path().join("var/lib/libvirt/recontext/other.iso");
    write(&bystander, b"x");
    let state = State::of(&host, &uuid).expect("no content makes a state unreadable");
    assert!(state.as_ref().is_none_or(|state| state.uuid == uuid));
    assert_eq!(State::all(&host).expect("nor the list of them").len(), usize::from(state.is_some()));
    let results = results::of(&host, &uuid).expect("nor what programs printed");
    let vm = Vm::hold(&host, &uuid).expect("the lock");
    vm.remember(&results).expect("nor in the way");
    let _any_age = state.map(|state| state.age());
    let known = State::known(&host, &uuid).expect("nor that of a VM that has ended").and_then(|state| state.edition);
    let edition = vm.next_edition(Reason::Start).expect("the next disc has a number");
    assert!(
        known.is_none_or(|known| known.generation == Generation(u64::MAX) || known.generation < edition.generation)
    );
    let about = About::coming("vm", Driver::Qemu, Reason::Start);
    vm.waits(about, None, &String::from_utf8_lossy(data)).expect("the next one is written");
    let next = State::of(&host, &uuid).expect("and can be read").expect("and is there");
    assert_eq!((&next.uuid, next.edition), (&uuid, known));
    vm.forget().expect("all of the VM goes");
    assert!(bystander.exists(), "a state had a file removed that is not the VM's");
}

/// A host of its own, in memory where there is room for it.
fn host() -> (TempDir, Host, Uuid) {
    let memory = Path::new("/dev/shm");
    let root = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() }.expect("a directory");
    let host = Host::new(root.path().to_owned(), "host-b".to_owned());
    (root, host, UUID.parse().expect("a UUID"))
}

fn write(path: &Path, bytes: &[u8]) {
    std::fs::create_dir_all(path.parent().expect("a directory")).expect("making it");
    std::fs::write(path, bytes).expect("writing a file");
}
