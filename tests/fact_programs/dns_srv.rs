//! The shipped program `dns-srv`, with dnsmasq.

use std::time::{Duration, Instant};

use serde_json::json;

use super::shipped::Shipped;
use crate::servers::{Dnsmasq, ZONE};

fn with(records: &[&str]) -> (Shipped, Dnsmasq) {
    let shipped = Shipped::called("dns-srv");
    let records: Vec<String> = records.iter().map(|record| record.replace("ZONE", ZONE)).collect();
    let dns = Dnsmasq::with(&records, &shipped.site.beside("dnsmasq.log"));
    (shipped, dns)
}

fn settings(dns: &Dnsmasq, records: &str) -> String {
    format!("server=127.0.0.1\nport={}\nrecords={}\n", dns.port, records.replace("ZONE", ZONE))
}

#[test]
fn services_are_lists_of_where_they_are_and_the_best_comes_first() {
    let (shipped, dns) = with(&[
        "--srv-host=_monitoring._tcp.ZONE,last.ZONE,9090,20,9",
        "--srv-host=_monitoring._tcp.ZONE,light.ZONE,9091,10,1",
        "--srv-host=_monitoring._tcp.ZONE,heavy-2.ZONE,9092,10,10",
        "--srv-host=_monitoring._tcp.ZONE,heavy-1.ZONE,9092,10,10",
        "--cname=_ntp._udp.ZONE,_time._udp.ZONE",
        "--srv-host=_time._udp.ZONE,time.ZONE,123,0,0",
        "--srv-host=_off._tcp.ZONE",
    ]);
    // It gives them in another order each time.
    for _ in 0..4 {
        shipped.configure(&settings(&dns, "_monitoring._tcp.ZONE _ntp._udp.ZONE. _off._tcp.ZONE"));
        let at = |host: &str, port: u16, priority: u8, weight: u8| json!({"host": format!("{host}.{ZONE}"), "port": port, "priority": priority, "weight": weight});
        let monitoring = json!([
            at("heavy-1", 9092, 10, 10),
            at("heavy-2", 9092, 10, 10),
            at("light", 9091, 10, 1),
            at("last", 9090, 20, 9)
        ]);
        let services = json!({"monitoring": monitoring, "ntp": [at("time", 123, 0, 0)], "off": []});
        assert_eq!(shipped.facts(), json!({"services": services}));
    }
    shipped.link_as("dns-b");
    shipped.configure_as("dns-b", &format!("{}table=b\n", settings(&dns, "_off._tcp.ZONE")));
    assert_eq!(shipped.facts_as("dns-b"), json!({"b": {"off": []}}));
}

#[test]
fn an_answer_too_long_for_a_datagram_is_whole() {
    let records: Vec<String> = (0..100)
        .map(|number| format!("--srv-host=_many._tcp.ZONE,a-host-with-a-long-name-and-{number}.ZONE,80,1,1"))
        .collect();
    let (shipped, dns) = with(&records.iter().map(String::as_str).collect::<Vec<_>>());
    shipped.configure(&settings(&dns, "_many._tcp.ZONE"));
    assert_eq!(shipped.facts()["services"]["many"].as_array().unwrap().len(), 100);
}

#[test]
fn whatever_is_in_doubt_is_no_facts() {
    let (shipped, dns) = with(&["--srv-host=_a._tcp.ZONE,a.ZONE,80,1,1", "--txt-record=_b._tcp.ZONE,x"]);
    for (records, why) in [
        ("_a._tcp.ZONE _none._tcp.ZONE", "asking for _none._tcp.site.example: status: NXDOMAIN"),
        ("_b._tcp.ZONE", "asking for _b._tcp.site.example: there are no SRV records"),
        ("_a._tcp.elsewhere.example", "status: REFUSED"),
        ("_a._tcp.ZONE _a._udp.ZONE", "two records are called a"),
        ("a.ZONE", "a.site.example is not like _monitoring._tcp.example.org"),
        ("_a._tcp.ZONE;x", "is not like"),
        ("+short", "is not like"),
    ] {
        shipped.configure(&settings(&dns, records));
        shipped.assert_refused(why);
    }
    shipped.configure(&settings(&dns, "_a._tcp.ZONE"));
    for tool in ["dig", "jq"] {
        let complaint = shipped.complaint_with(tool, None);
        assert!(complaint.contains(&format!("the program {tool} is missing")), "{complaint}");
    }
    let header = "echo ';; ->>HEADER<<- opcode: QUERY, status: NOERROR, id: 1'";
    for (answer, why) in [
        ("true", "an answer without a status"),
        (&format!("{header}; echo '_a._tcp.{ZONE}. 0 IN SRV 1 1'"), "the target \"1 1\" has no form that is known"),
        (&format!("{header}; echo '_a._tcp.{ZONE}. 0 IN SRV 1 1 80 a\\032b.'"), "has no form that is known"),
    ] {
        let complaint = shipped.complaint_with("dig", Some(answer));
        assert!(complaint.contains(why), "{complaint}");
    }
    // Less than limits.program_time, after which nothing would be known of why.
    dns.stop();
    let begin = Instant::now();
    shipped.assert_refused("asking for _a._tcp.site.example: ");
    assert!(begin.elapsed() < Duration::from_secs(9));
    drop(dns);
    shipped.assert_refused("no servers could be reached");
}

#[test]
fn it_says_that_dns_cannot_be_watched() {
    let (shipped, dns) = with(&["--srv-host=_a._tcp.ZONE,a.ZONE,80,1,1"]);
    shipped.configure(&settings(&dns, "_a._tcp.ZONE"));
    let complaint = shipped.complaint_about("watch");
    assert!(complaint.contains("DNS tells nobody of a change"), "{complaint}");
}

#[test]
fn its_settings_are_looked_at() {
    let (shipped, dns) = with(&["--srv-host=_a._tcp.ZONE,a.ZONE,80,1,1"]);
    shipped.assert_settings_are_looked_at(&settings(&dns, "_a._tcp.ZONE"));
}
