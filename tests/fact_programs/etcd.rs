//! The shipped program `etcd`, with a real one.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

use serde_json::json;

use super::shipped::Shipped;
use crate::servers::Etcd;

fn with(etcd: impl FnOnce(std::path::PathBuf) -> Etcd) -> (Shipped, Etcd) {
    let shipped = Shipped::called("etcd");
    let etcd = etcd(shipped.site.beside("etcd-data"));
    shipped.configure(&settings(&etcd));
    (shipped, etcd)
}

fn settings(etcd: &Etcd) -> String {
    format!("endpoints={}\nprefix=/site\n", etcd.url())
}

#[test]
fn what_lies_below_a_prefix_is_tables_of_texts() {
    let (shipped, etcd) = with(Etcd::new);
    for (key, value) in [
        ("/site/monitoring/endpoint", "https://a.example/?x=1"),
        ("/site/monitoring/empty", ""),
        ("/site/monitoring-x", "q\"ü\\\nsecond line \u{fffd}"),
        ("/site/port", "9090"),
        ("/site2/other", "of another site"),
    ] {
        etcd.put(key, value);
    }
    let facts = json!({
        "monitoring": {"endpoint": "https://a.example/?x=1", "empty": ""},
        "monitoring-x": "q\"ü\\\nsecond line \u{fffd}",
        "port": "9090",
    });
    assert_eq!(shipped.facts(), facts);
    shipped.link_as("50-other");
    shipped.configure_as("50-other", &format!("endpoints={}\nprefix=/site2/\n", etcd.url()));
    assert_eq!(shipped.facts_as("50-other"), json!({"other": "of another site"}));
    // A value is as it is, up to the end of its line.
    etcd.put("/site=/what", "else");
    shipped.configure_as("50-other", &format!("endpoints={}\nprefix=/site=\n", etcd.url()));
    assert_eq!(shipped.facts_as("50-other"), json!({"what": "else"}));
    assert_eq!(shipped.facts(), facts);
}

#[test]
fn facts_are_asked_for_in_one_query() {
    let (shipped, etcd) = with(Etcd::new);
    (0..20).for_each(|number| etcd.put(format!("/site/key/{number}"), "x"));
    let before = etcd.queries();
    shipped.facts();
    assert_eq!(etcd.queries(), before + 1);
}

#[test]
fn whatever_is_in_doubt_is_no_facts() {
    let (shipped, mut etcd) = with(Etcd::new);
    shipped.assert_refused("nothing lies below /site/");
    etcd.put("/site/a", "x");
    let not_utf8 = OsStr::from_bytes(b"\xff\xfe");
    for (key, value, why) in [
        (OsStr::new("/site/a/b"), OsStr::new("x"), "the key /site/a/b lies below another that has a value"),
        ("/site/".as_ref(), "x".as_ref(), "the key /site/ has an empty part"),
        ("/site/t/".as_ref(), "x".as_ref(), "the key /site/t/ has an empty part"),
        ("/site//t".as_ref(), "x".as_ref(), "the key /site//t has an empty part"),
        ("/site/b".as_ref(), not_utf8, "the value of /site/b is not UTF-8"),
        (OsStr::from_bytes(b"/site/\xff"), "x".as_ref(), "a key below /site/ is not UTF-8"),
    ] {
        etcd.put(key, value);
        shipped.assert_refused(why);
        etcd.ctl("del --prefix /site/");
        etcd.put("/site/a", "x");
        // What sorts between a key and those below it.
        etcd.put("/site/a-b", "x");
        assert_eq!(shipped.facts(), json!({"a": "x", "a-b": "x"}));
    }
    for tool in ["etcdctl", "jq"] {
        let complaint = shipped.complaint_with(tool, None);
        assert!(complaint.contains(&format!("the program {tool} is missing")), "{complaint}");
    }
    for cut in ["printf '{\"header\":{},\"kvs\":[{\"key\":'", "true"] {
        let complaint = shipped.complaint_with("etcdctl", Some(cut));
        assert!(complaint.contains("the answer is missing or was cut"), "{complaint}");
    }
    // Less than limits.program_time, after which nothing would be known of why.
    etcd.stop();
    let begin = Instant::now();
    shipped.assert_refused(&format!("asking etcd at {}: Error: context deadline exceeded", etcd.url()));
    assert!(begin.elapsed() < Duration::from_secs(9));
    etcd.kill();
    shipped.assert_refused("Error: context deadline exceeded");
}

#[test]
fn its_settings_are_looked_at() {
    let (shipped, etcd) = with(Etcd::new);
    etcd.put("/site/a", "x");
    shipped.assert_settings_are_looked_at(&settings(&etcd));
    shipped.configure("endpoints=x\n");
    shipped.assert_refused("endpoints= and prefix= must be there");
}

#[test]
fn it_asks_as_a_user_who_is_known_by_password_and_may_read_the_prefix() {
    let (shipped, etcd) = with(Etcd::new);
    etcd.put("/site/a", "x");
    for line in [
        "user add root:r",
        "user grant-role root root",
        "user add reader:p\"w:$x",
        "role add reader",
        "role grant-permission reader --prefix=true read /site/",
        "user grant-role reader reader",
        "auth enable",
    ] {
        etcd.ctl(line);
    }
    shipped.assert_refused("user name is empty");
    let password = shipped.site.beside("password");
    let with_user = format!("{}user=reader\npassword_file={}\n", settings(&etcd), password.display());
    shipped.configure(&with_user);
    shipped.assert_refused(&format!("there is no file password_file={}", password.display()));
    fs::write(&password, "wrong\n").unwrap();
    shipped.assert_refused("authentication failed");
    fs::write(&password, "p\"w:$x\n").unwrap();
    assert_eq!(shipped.facts(), json!({"a": "x"}));
    shipped.configure(&with_user.replace("/site", "/secret"));
    shipped.assert_refused("permission denied");
}

#[test]
fn it_asks_with_certificates_and_of_nobody_else_than_theirs() {
    let (shipped, etcd) = with(Etcd::with_tls);
    etcd.put("/site/a", "x");
    let (cert, key) = etcd.tls.clone().unwrap();
    let (cert, key) = (cert.display(), key.display());
    shipped.configure(&format!("{}cacert={cert}\ncert={cert}\nkey={key}\n", settings(&etcd)));
    assert_eq!(shipped.facts(), json!({"a": "x"}));
    for missing in [format!("cacert={cert}\n"), format!("cert={cert}\nkey={key}\n")] {
        shipped.configure(&format!("{}{missing}", settings(&etcd)));
        shipped.assert_refused(&format!("asking etcd at {}", etcd.url()));
    }
}
