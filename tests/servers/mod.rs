//! Servers that programs for facts ask, and node_exporter: the real ones of the distribution, each on a port of its own.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::site::wait_for;

/// A server that is at work until it is dropped.
struct Server {
    process: Child,
}

impl Server {
    fn start(command: &mut Command, log: &Path) -> Server {
        let log = File::create(log).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let process = command.spawn();
        Server { process: process.unwrap_or_else(|error| panic!("{command:?}: {error}; run tests/packages first")) }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.process.id()).unwrap()), signal).unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended_before = self.process.kill();
        self.process.wait().unwrap();
    }
}

/// A port that nobody has now.
fn free_port() -> u16 {
    loop {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        if UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

fn answers(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// What the server at a port says of itself.
fn metrics(port: u16) -> String {
    let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    connection.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    let (_, metrics) = answer.split_once("\r\n\r\n").unwrap();
    metrics.to_owned()
}

/// dnsmasq, which knows the records of one zone and asks nobody else.
pub struct Dnsmasq {
    server: Server,
    pub port: u16,
}

/// The zone.
pub const ZONE: &str = "site.example";

impl Dnsmasq {
    /// With records as its own options tell of them, and its log at `log`.
    pub fn with(records: &[String], log: &Path) -> Dnsmasq {
        let port = free_port();
        let mut command = Command::new("dnsmasq");
        command.args([
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--pid-file=",
            "--user=root",
            "--log-facility=-",
        ]);
        command.args(["--no-resolv", "--no-hosts", "--listen-address=127.0.0.1", "--bind-interfaces"]);
        command.args([format!("--port={port}"), format!("--local=/{ZONE}/")]).args(records);
        let server = Server::start(&mut command, log);
        wait_for("dnsmasq to answer", || answers(port));
        Dnsmasq { server, port }
    }

    /// It stands still, and whoever asks it waits.
    pub fn stop(&self) {
        self.server.signal(Signal::SIGSTOP);
    }
}

/// etcd, with its data in a directory.
pub struct Etcd {
    server: Option<Server>,
    directory: PathBuf,
    port: u16,
    peer_port: u16,
    /// Its certificate, which is its clients' as well, and the key; or it speaks in plain text.
    pub tls: Option<(PathBuf, PathBuf)>,
}

impl Etcd {
    pub fn new(directory: PathBuf) -> Etcd {
        let mut etcd = Etcd { server: None, directory, port: free_port(), peer_port: free_port(), tls: None };
        etcd.start();
        etcd
    }

    /// One that answers only who has a certificate.
    pub fn with_tls(directory: PathBuf) -> Etcd {
        let (cert, key) = (directory.with_extension("pem"), directory.with_extension("key"));
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]);
        openssl.args(["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]);
        let made = openssl.arg("-out").arg(&cert).arg("-keyout").arg(&key).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let tls = Some((cert, key));
        let mut etcd = Etcd { server: None, directory, port: free_port(), peer_port: free_port(), tls };
        etcd.start();
        etcd
    }

    /// Starts it, with the data that it had when it ended.
    pub fn start(&mut self) {
        let (url, peer_url) = (self.url(), format!("http://127.0.0.1:{}", self.peer_port));
        let mut command = Command::new("etcd");
        // One that is alone needs no second to find that out.
        command.args(["--heartbeat-interval=10", "--election-timeout=100", "--data-dir"]).arg(&self.directory);
        command.args(["--listen-client-urls", &url, "--advertise-client-urls", &url]);
        command.args(["--listen-peer-urls", &peer_url, "--initial-advertise-peer-urls", &peer_url]);
        command.args(["--initial-cluster", &format!("default={peer_url}")]);
        if let Some((cert, key)) = &self.tls {
            command.arg("--client-cert-auth").arg("--trusted-ca-file").arg(cert);
            command.arg("--cert-file").arg(cert).arg("--key-file").arg(key);
        }
        self.server = Some(Server::start(&mut command, &self.directory.with_extension("log")));
        wait_for("etcd to answer", || answers(self.port) && self.ask(&["get".as_ref(), "x".as_ref()]).status.success());
    }

    /// It ends, as in a crash.
    pub fn kill(&mut self) {
        self.server = None;
    }

    /// It stands still, and whoever asks it waits.
    pub fn stop(&self) {
        self.server.as_ref().unwrap().signal(Signal::SIGSTOP);
    }

    pub fn go_on(&self) {
        self.server.as_ref().unwrap().signal(Signal::SIGCONT);
    }

    pub fn url(&self) -> String {
        format!("http{}://127.0.0.1:{}", if self.tls.is_some() { "s" } else { "" }, self.port)
    }

    fn ask(&self, arguments: &[&OsStr]) -> Output {
        let mut etcdctl = Command::new("etcdctl");
        etcdctl.env("ETCDCTL_API", "3").env("ETCDCTL_ENDPOINTS", self.url()).args(arguments);
        if let Some((cert, key)) = &self.tls {
            etcdctl.env("ETCDCTL_CACERT", cert).env("ETCDCTL_CERT", cert).env("ETCDCTL_KEY", key);
        }
        etcdctl.output().unwrap_or_else(|error| panic!("etcdctl: {error}; run tests/packages first"))
    }

    /// What `etcdctl` does, which must go well.
    pub fn ctl(&self, line: &str) {
        self.done(&line.split(' ').map(OsStr::new).collect::<Vec<_>>());
    }

    pub fn put(&self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) {
        self.done(&["put".as_ref(), "--".as_ref(), key.as_ref(), value.as_ref()]);
    }

    fn done(&self, arguments: &[&OsStr]) {
        let output = self.ask(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// How many queries it has answered, by its own count.
    pub fn queries(&self) -> u64 {
        let metrics = metrics(self.port);
        let count = metrics.lines().find_map(|line| line.strip_prefix("etcd_debugging_mvcc_range_total "));
        count.unwrap().trim().parse().unwrap()
    }
}

/// A program of Prometheus, where tests/packages has unpacked it.
pub fn prometheus(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/cache/prometheus/usr/bin").join(name)
}

/// node_exporter, which knows nothing but the files of one directory.
pub struct NodeExporter {
    _server: Server,
    port: u16,
}

impl NodeExporter {
    /// With the files in `directory`, and its log at `log`.
    pub fn of(directory: &Path, log: &Path) -> NodeExporter {
        let port = free_port();
        let mut command = Command::new(prometheus("prometheus-node-exporter"));
        command.args(["--collector.disable-defaults", "--web.disable-exporter-metrics", "--collector.textfile"]);
        command.arg("--collector.textfile.directory").arg(directory);
        command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
        let server = Server::start(&mut command, log);
        wait_for("node_exporter to answer", || answers(port));
        NodeExporter { _server: server, port }
    }

    /// What Prometheus would be given now.
    pub fn scrape(&self) -> String {
        metrics(self.port)
    }
}
