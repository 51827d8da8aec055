//! The built hook against input that means harm, and files that mean harm: it ends in time, with bounded memory and 0, and
//! answers a whole domain or nothing.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::libc::RLIM_INFINITY;
use nix::sys::resource::{Resource, setrlimit};

use crate::site::{Site, UUID};

const SECRET: &str = "T0p-Secret";

/// The hook's deadline is 10 s; a busy machine needs some more.
const LATEST: Duration = Duration::from_secs(30);

/// The address space, in bytes, in which the hook has to do: it fails if it asks for more. Its child sets a limit of its
/// own, of 128 MiB and twice the largest disc.
const MOST_MEMORY: u64 = 300 << 20;

/// A host in a temporary directory.
struct Host(Site);

/// What the hook did.
struct Done {
    code: Option<i32>,
    answer: Vec<u8>,
    took: Duration,
}

impl Host {
    fn new() -> Host {
        let host = Host(Site::new(&[]));
        host.write("etc/virt-recontext/context/motd", "hello\n");
        host
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path(path)
    }

    fn write(&self, path: &str, text: &str) {
        self.0.write(path, text);
    }

    fn image(&self) -> PathBuf {
        self.path(&format!("var/lib/libvirt/recontext/{UUID}.iso"))
    }

    /// The hook, given what `feed` writes.
    fn fed(&self, arguments: &[&[u8]], feed: impl FnOnce(&mut dyn Write) -> std::io::Result<()> + Send) -> Done {
        let arguments: Vec<&OsStr> = arguments.iter().map(|argument| OsStr::from_bytes(argument)).collect();
        let mut hook = self.0.hook(&arguments);
        hook.stderr(Stdio::inherit());
        // SAFETY: between fork and exec it makes one system call, and allocates nothing.
        unsafe {
            hook.pre_exec(|| Ok(setrlimit(Resource::RLIMIT_AS, MOST_MEMORY, RLIM_INFINITY)?));
        }
        let begin = Instant::now();
        let mut child = hook.spawn().unwrap();
        let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let answer = std::thread::scope(|scope| {
            // It leaves when it has read enough.
            scope.spawn(move || drop(feed(&mut stdin)));
            let mut answer = Vec::new();
            std::io::Read::read_to_end(&mut stdout, &mut answer).unwrap();
            answer
        });
        let code = child.wait().unwrap().code();
        Done { code, answer, took: begin.elapsed() }
    }

    /// Gives the hook `xml` as an arrival: it ends well.
    fn arrive(&self, xml: &str) -> Done {
        let done = self.fed(&[b"vm", b"migrate", b"begin", b"-"], |stdin| stdin.write_all(xml.as_bytes()));
        done.check(xml);
        done
    }
}

impl Done {
    fn check(&self, asked: &str) {
        assert_eq!(self.code, Some(0));
        assert!(self.took < LATEST, "{:?}", self.took);
        let answer = str::from_utf8(&self.answer).unwrap();
        let (start, end) = (&asked[..20.min(asked.len())], asked.trim_end().ends_with("</domain>"));
        assert!(answer.is_empty() || (answer.starts_with(start) && end && answer.trim_end().ends_with("</domain>")));
    }
}

/// A VM with this metadata, this drive's file and something more below `<domain>`.
fn domain(metadata: &str, file: &str, more: &str) -> String {
    format!(
        "<domain type='kvm'><name>vm</name><uuid>{UUID}</uuid><metadata><c:context xmlns:c='urn:virt-recontext:1' \
         target='sda'>{metadata}</c:context></metadata><devices><graphics type='vnc' passwd='{SECRET}'/>\
         <disk type='file' device='cdrom'><source file='{file}' startupPolicy='optional'/>\
         <target dev='sda' bus='sata'/></disk></devices>{more}</domain>"
    )
}

#[test]
fn a_domain_of_80_mb_is_left_alone() {
    let host = Host::new();
    let xml = domain("", "/old.iso", "<title>");
    let (start, end) = xml.split_at(xml.len() - "</domain>".len());
    let done = host.fed(&[b"vm", b"migrate", b"begin", b"-"], |stdin| {
        stdin.write_all(start.as_bytes())?;
        (0..80).try_for_each(|_| stdin.write_all(&vec![b'x'; 1_000_000]))?;
        stdin.write_all(b"</title>")?;
        stdin.write_all(end.as_bytes())
    });
    done.check("");
    assert!(done.answer.is_empty());
    assert!(!host.image().exists());
}

#[test]
fn an_xml_without_end_is_left_early() {
    let host = Host::new();
    let done = host.fed(&[b"vm", b"migrate", b"begin", b"-"], |stdin| {
        stdin.write_all(b"<domain xmlns:c='urn:virt-recontext:1'>")?;
        loop {
            stdin.write_all(&[b'a'; 65_536])?;
        }
    });
    done.check("");
}

#[test]
fn what_nests_repeats_or_expands_without_measure_ends_in_time() {
    let many = |piece: &str, times: usize| piece.repeat(times);
    let numbered = |count: usize, piece: fn(usize) -> String| (0..count).map(piece).collect::<String>();
    let doctype = |entities: &str| {
        domain("<c:fact name='a'>&e;</c:fact>", "/old.iso", "")
            .replace("<domain", &format!("<!DOCTYPE domain [{entities}]><domain"))
    };
    let attributes = numbered(300_000, |n| format!(" a{n}='x'"));
    for (what, xml) in [
        ("nesting", domain("", "/old.iso", &(many("<a>", 200_000) + &many("</a>", 200_000)))),
        ("nesting in our metadata", domain(&(many("<c:a>", 200_000) + &many("</c:a>", 200_000)), "/old.iso", "")),
        ("nesting that never ends", domain("", "/old.iso", &many("<a>", 2_000_000))),
        ("wide and deep", domain("", "/old.iso", &(many("<a>", 250) + &many("<b/>", 1_500_000) + &many("</a>", 250)))),
        ("attributes", domain("", "/old.iso", "").replace("<c:context", &format!("<c:context{attributes}"))),
        ("namespaces", {
            let namespaces = numbered(100_000, |n| format!(" xmlns:n{n}='x'"));
            domain("", "/old.iso", &format!("<a{namespaces}>{}</a>", many("<n0:b/>", 100_000)))
        }),
        ("one huge attribute", domain("", &many("x", 7_000_000), "")),
        ("one huge fact", domain(&format!("<c:fact name='{}'>x</c:fact>", many("a", 7_000_000)), "/old.iso", "")),
        ("a deep fact", domain(&format!("<c:fact name='{}'>x</c:fact>", many("a.", 3_000_000)), "/old.iso", "")),
        ("100000 files", domain(&numbered(100_000, |n| format!("<c:file path='f{n}'>x</c:file>")), "/old.iso", "")),
        ("100000 facts", domain(&numbered(100_000, |n| format!("<c:fact name='f{n}'>x</c:fact>")), "/old.iso", "")),
        ("an entity bomb", {
            let bombs = numbered(30, |n| format!("<!ENTITY e{} '&e{n};&e{n};&e{n};'>", n + 1));
            doctype(&format!("<!ENTITY e0 'x'>{bombs}<!ENTITY e '&e30;'>"))
        }),
        ("an external entity", doctype("<!ENTITY e SYSTEM 'file:///etc/passwd'>")),
        ("a parameter entity", doctype("<!ENTITY % p SYSTEM 'file:///dev/zero'> %p;")),
        ("a NUL", domain("", "/old\0.iso", "\0")),
    ] {
        let begin = Instant::now();
        Host::new().arrive(&xml);
        println!("{what}: {:.1} s", begin.elapsed().as_secs_f64());
    }
}

#[test]
fn templates_that_loop_or_allocate_end_in_time() {
    for template in [
        "{% for a in range(100000) %}{% for b in range(100000) %}{{ b }}{% endfor %}{% endfor %}",
        "{{ 'x' * 99999999999 }}",
        "{{ range(99999999)|list }}",
        "{% set n = namespace(x='x') %}{% for i in range(99) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
        "{% set n = namespace(x=[1]) %}{% for i in range(99) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x }}",
        "{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}",
        "{{ 'x'|indent(999999999) }}",
        "{{ ('x,' * 300000).split(',')|sort|join('x' * 10000) }}",
        "{{ 'aaaa'|replace('', 'x' * 9999999) }}",
        "{{ [1]|batch(999999999, 'x')|list }}",
    ] {
        let host = Host::new();
        let begin = Instant::now();
        let metadata = format!("<c:file path='x.j2'>{template}</c:file>");
        host.arrive(&domain(&metadata, "/old.iso", ""));
        println!("{template}: {:.1} s", begin.elapsed().as_secs_f64());
        assert!(!host.image().exists(), "{template}");
    }
    // Thousands that each stay within their limit.
    let many: String = (0..9_000)
        .map(|n| format!("<c:file path='{n}.j2'>{{% for a in range(30000) %}}{{% endfor %}}</c:file>"))
        .collect();
    Host::new().arrive(&domain(&many, "/old.iso", ""));
}

#[test]
fn nothing_that_a_vm_is_called_becomes_a_path() {
    let host = Host::new();
    host.write("etc/passwd", "secret\n");
    let before = everything(&host);
    let usual = domain("", "/old.iso", "");
    for uuid in ["../../../../etc/passwd", "/etc/passwd", "..", "6695eb01/f6a4-8304-79aa-97f2502e193f", "%2e%2e%2f", ""]
    {
        assert!(host.arrive(&usual.replace(UUID, uuid)).answer.is_empty(), "{uuid}");
    }
    for path in ["../x", "/x", "a/../../x", "a//b", "a&#10;b", "."] {
        host.arrive(&domain(&format!("<c:file path='{path}'>x</c:file>"), "/old.iso", ""));
        assert!(!host.image().exists(), "{path}");
    }
    for file in
        ["/var/lib/libvirt/recontext/../../../../etc/passwd", "/etc/passwd", "/var/lib/libvirt/recontext/a/../../x.iso"]
    {
        let done =
            host.fed(&[b"vm", b"prepare", b"begin", b"-"], |stdin| stdin.write_all(domain("", file, "").as_bytes()));
        done.check("");
    }
    for name in ["../../../etc", "..", "a/b", "&#10;"] {
        host.arrive(&usual.replace("<name>vm</name>", &format!("<name>{name}</name>")));
    }
    let new: Vec<String> = everything(&host).into_iter().filter(|path| !before.contains(path)).collect();
    assert!(
        new.iter()
            .all(|path| path.starts_with("run/libvirt/recontext") || path.starts_with("var/lib/libvirt/recontext")),
        "{new:?}"
    );
    assert_eq!(fs::read_to_string(host.path("etc/passwd")).unwrap(), "secret\n");
}

#[test]
fn arguments_and_xml_of_any_bytes_are_got_over() {
    let host = Host::new();
    let mut xml = domain("", "/old.iso", "").into_bytes();
    xml.splice(30..30, *b"\xff\xfe\xc0\xaf");
    host.fed(&[b"\xff\xfe/../", b"migrate", b"begin", b"-"], |stdin| stdin.write_all(&xml)).check("");
    let xml = domain("", "/old.iso", "");
    for arguments in [
        [b"\xff".as_slice(), b"migrate", b"begin", b"-"],
        [b"", b"", b"", b""],
        [b"vm", b"migrate\n", b"begin", b"-"],
        [&[b'x'; 100_000], b"migrate", b"begin", b"-"],
    ] {
        host.fed(&arguments, |stdin| stdin.write_all(xml.as_bytes())).check(&xml);
    }
}

#[test]
fn a_fault_of_any_length_is_got_over_once_it_is_mended() {
    let host = Host::new();
    host.arrive(&domain(&format!("<c:fact name='a..{}'>x</c:fact>", "a".repeat(7_000_000)), "/old.iso", ""));
    host.arrive(&domain("", "/old.iso", ""));
    assert!(host.image().exists(), "the fault stands in the way of the next disc");
}

#[test]
fn links_in_our_directories_lead_nothing_of_ours_elsewhere() {
    for operation in ["prepare", "migrate"] {
        let host = Host::new();
        let victim = host.path("victim");
        host.write("victim", "untouched\n");
        let before = fs::metadata(&victim).unwrap();
        let run = host.path("run/libvirt/recontext");
        for dir in ["jobs", "state"] {
            fs::create_dir_all(run.join(dir)).unwrap();
        }
        fs::create_dir_all(host.image().parent().unwrap()).unwrap();
        // A hard link, and links by name: to a file that is there and to one that is not.
        fs::hard_link(&victim, host.image()).unwrap();
        symlink(&victim, run.join(format!("jobs/{UUID}.json"))).unwrap();
        symlink(&victim, run.join(format!("state/{UUID}.json"))).unwrap();
        symlink(host.path("made"), run.join(format!("{UUID}.lock"))).unwrap();
        let path = format!("/var/lib/libvirt/recontext/{UUID}.iso");
        for (operation, when) in [(operation, "begin"), ("stopped", "end"), ("release", "end")] {
            let arguments = [b"vm".as_slice(), operation.as_bytes(), when.as_bytes(), b"-"];
            host.fed(&arguments, |stdin| stdin.write_all(domain("", &path, "").as_bytes())).check("");
        }
        let after = fs::metadata(&victim).unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched\n");
        assert_eq!((after.mode(), after.uid(), after.len()), (before.mode(), before.uid(), before.len()));
        assert!(!host.path("made").exists(), "a lock was made where a link leads");
    }
}

#[test]
fn a_run_directory_that_others_can_write_gets_nothing() {
    for (owner, mode) in [(65_534, 0o700), (0, 0o777)] {
        let host = Host::new();
        let run = host.path("run/libvirt/recontext");
        fs::create_dir_all(&run).unwrap();
        fs::set_permissions(&run, Permissions::from_mode(mode)).unwrap();
        std::os::unix::fs::chown(&run, Some(owner), None).unwrap();
        host.arrive(&domain("", "/old.iso", ""));
        assert_eq!(fs::read_dir(&run).unwrap().count(), 0, "{mode:o}");
    }
}

#[test]
fn images_jobs_and_states_are_roots_alone_and_hold_no_secret() {
    let host = Host::new();
    let done = host.arrive(&domain("<c:fact name='a'>b</c:fact>", "/old.iso", ""));
    assert!(!done.answer.is_empty());
    let ours = everything(&host).into_iter().filter(|path| path.contains("libvirt/recontext"));
    for path in ours {
        let metadata = fs::symlink_metadata(host.path(&path)).unwrap();
        let wanted = match path.as_str() {
            "var/lib/libvirt/recontext" => 0o711,
            _ if metadata.is_dir() => 0o700,
            _ => 0o600,
        };
        assert_eq!((metadata.mode() & 0o7777, metadata.uid()), (wanted, 0), "{path}");
        if metadata.is_file() {
            let bytes = fs::read(host.path(&path)).unwrap();
            assert!(!bytes.windows(SECRET.len()).any(|bytes| bytes == SECRET.as_bytes()), "{path}");
        }
    }
}

/// All paths below the host's root.
fn everything(host: &Host) -> Vec<String> {
    fn walk(root: &Path, dir: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            found.push(path.strip_prefix(root).unwrap().to_string_lossy().into_owned());
            if path.is_dir() && !path.is_symlink() {
                walk(root, &path, found);
            }
        }
    }
    let mut found = Vec::new();
    let root = host.0.root();
    walk(&root, &root, &mut found);
    found
}
