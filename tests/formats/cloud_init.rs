//! cloud-init, of which one process reads all discs of a test.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;
use virt_recontext::context::disc::format::Format;

const CODE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/cache/cloud-init/usr/lib/python3/dist-packages");

pub struct CloudInit {
    process: Child,
    answers: BufReader<ChildStdout>,
}

impl CloudInit {
    pub fn start() -> CloudInit {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/formats/cloud_init.py");
        let mut process = Command::new("/usr/bin/python3")
            .args(["-B", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("/usr/bin/python3: {error}: apt-get install python3"));
        let answers = BufReader::new(process.stdout.take().unwrap());
        CloudInit { process, answers }
    }

    /// What cloud-init makes of a disc's files: see cloud_init.py.
    pub fn read(&mut self, format: Format, dir: &Path) -> Value {
        let found = self.try_to_read(format, dir);
        assert_eq!(found["error"], Value::Null, "{format}: cloud-init cannot read the disc");
        found
    }

    /// The same, or an object with the key `error`.
    pub fn try_to_read(&mut self, format: Format, dir: &Path) -> Value {
        let mut line = String::new();
        // A process that has ended shows in the empty answer; it has said why on standard error.
        let _ = writeln!(self.process.stdin.as_mut().unwrap(), "{format} {}", dir.display());
        self.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{format}: {line:.500?}: {error}"))
    }
}

impl Drop for CloudInit {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        self.process.wait().unwrap();
    }
}

/// `cloud-init schema` for a file of user-data.
pub fn schema(file: &Path) -> Command {
    let mut command = Command::new("/usr/bin/python3");
    command.args(["-B", "-m", "cloudinit.cmd.main", "schema", "-c"]).arg(file).env("PYTHONPATH", CODE);
    command
}
