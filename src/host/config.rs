//! `/etc/virt-recontext/config.toml`: every key has a default. A key that is not known is one of another version or a slip:
//! where VMs wait it is logged and does not count, and whoever looks at the configuration is told that it is wrong.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Error, Result, ensure};
use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer};
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::file;
use super::paths::Host;
use crate::context::disc::budget;
use crate::context::disc::format::Format;
use crate::context::domain::driver::Driver;
use crate::context::domain::select::Rules;
use crate::context::toml_reader;

/// Longest name of a signer, in bytes.
const MAX_SIGNER: usize = 64;

#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The libvirt daemon of this host; `None` is the one of the host's hypervisor.
    pub(crate) uri: Option<String>,
    pub image_dir: PathBuf,
    /// Owner of an image, for hosts where libvirt does not set it.
    pub(crate) image_owner: Option<u32>,
    /// Group of an image, likewise.
    pub(crate) image_group: Option<u32>,
    pub(crate) image_mode: u32,
    /// The disc's format for VMs that name none.
    pub(crate) format: Format,
    /// What guests may know of this host's identity.
    pub(crate) expose_host: ExposeHost,
    /// For how long a guest that does not let go of the old disc is asked before it is made to. `None` is for ever: the
    /// new disc waits.
    #[serde(deserialize_with = "time_or_never")]
    pub(crate) force_after: Option<Duration>,
    /// What happens to the VM when its disc cannot be made.
    pub(crate) on_error: OnError,
    /// For how long is kept what a program printed before and does not print any more.
    #[serde(deserialize_with = "time")]
    pub(crate) facts_grace: Duration,
    /// Who signs the discs, if another than the key or its certificate says.
    pub(crate) signer: Option<String>,
    /// The program that signs them, with its arguments; empty if a key that lies here does.
    #[serde(deserialize_with = "command")]
    pub(crate) sign_command: Vec<String>,
    /// Where metrics are written for node_exporter.
    pub(crate) metrics_file: Option<String>,
    pub(crate) limits: Limits,
    /// Which VMs take part without an element of ours.
    pub(crate) select: Rules,
    /// For each key that is not known the line for the log.
    #[serde(skip)]
    pub(crate) unknown: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ExposeHost {
    Name,
    /// A pseudonym that stays the same: guests can tell hosts apart, and do not learn their names.
    Hash,
    None,
}

/// What happens to a VM whose disc cannot be made when it starts, arrives or is restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OnError {
    /// It goes on, with its old disc or none.
    Continue,
    /// It is refused; when it arrives, it stays where it was.
    Refuse,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Bytes of all files together.
    #[serde(deserialize_with = "size")]
    pub(crate) disc_size: u64,
    pub(crate) files: usize,
    /// Steps of all templates of a disc together; at least those of one.
    pub(crate) disc_steps: u64,
    /// Steps of one template; 64 bytes of what it works with count as a step.
    pub(crate) template_steps: u64,
    /// Bytes that one template gives.
    #[serde(deserialize_with = "size")]
    pub(crate) template_output: u64,
    #[serde(deserialize_with = "time")]
    pub(crate) program_time: Duration,
    /// Bytes that one program prints.
    #[serde(deserialize_with = "size")]
    pub(crate) program_output: u64,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            uri: None,
            image_dir: PathBuf::from("/var/lib/libvirt/recontext"),
            image_owner: None,
            image_group: None,
            image_mode: 0o600,
            format: Format::Files,
            expose_host: ExposeHost::Name,
            force_after: Some(Duration::from_secs(15)),
            on_error: OnError::Continue,
            facts_grace: Duration::from_secs(60 * 60),
            signer: None,
            sign_command: Vec::new(),
            metrics_file: None,
            limits: Limits::default(),
            select: Rules::default(),
            unknown: Vec::new(),
        }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            disc_size: 64 << 20,
            files: 10_000,
            disc_steps: 10_000_000,
            template_steps: 1_000_000,
            template_output: 4 << 20,
            program_time: Duration::from_secs(10),
            program_output: 1 << 20,
        }
    }
}

impl From<Limits> for budget::Limits {
    fn from(limits: Limits) -> budget::Limits {
        budget::Limits {
            bytes: limits.disc_size,
            files: limits.files,
            disc_steps: limits.disc_steps.max(limits.template_steps),
            template_steps: limits.template_steps,
            template_output: limits.template_output,
        }
    }
}

impl Config {
    /// Reads the host's configuration; without a file everything has its default. Keys that are not known do not count.
    ///
    /// # Errors
    /// When the file cannot be read or trusted, or holds a wrong value: with the file, the line and what is allowed.
    pub(crate) fn load(host: &Host) -> Result<Config> {
        let path = host.config_file();
        let Some(text) = file::if_there(file::read_trusted_text(&path))? else { return Ok(Config::default()) };
        let mut config = Config::parse(&text).with_context(|| format!("reading {}", path.display()))?;
        for key in &mut config.unknown {
            *key = format!("reading {}: {key}", path.display());
        }
        Ok(config)
    }

    /// The same, for somebody who can mend it.
    ///
    /// # Errors
    /// Also when a key is not known: with what is.
    #[cfg(feature = "libvirt")]
    pub(crate) fn load_exactly(host: &Host) -> Result<Config> {
        let config = Config::load(host)?;
        ensure!(config.unknown.is_empty(), config.unknown.join("; "));
        Ok(config)
    }

    /// The configuration, or what may be assumed of one that is broken: where libvirt is, if that can still be read, and else
    /// the defaults. For those who only look.
    pub(crate) fn assumed(host: &Host) -> Config {
        Config::load(host).unwrap_or_else(|_| {
            let text = file::read_trusted_text(&host.config_file()).unwrap_or_default();
            let uri = toml_reader::parse(&text)
                .ok()
                .and_then(|table| table.get_ref().get("uri")?.get_ref().as_str().map(str::to_owned));
            Config { uri, ..Config::default() }
        })
    }

    pub(crate) fn parse(text: &str) -> Result<Config> {
        Config::parse_judged(text, &mut Err)
    }

    /// The same without each wrong value: for that, `fault` is called, and where that fails, it is the end.
    pub(crate) fn parse_judged(text: &str, fault: &mut dyn FnMut(Error) -> Result<()>) -> Result<Config> {
        let mut table = toml_reader::parse(text).map_err(|fault| fault.told(text))?;
        let mut unknown = Vec::new();
        // One key after the other: only the first is told.
        let mut config = loop {
            let wrong = match toml_reader::read::<Config>(&table) {
                Ok(config) => break config,
                Err(wrong) => wrong,
            };
            // serde has words for this error and no kind.
            let is_unknown = wrong.message().starts_with("unknown field");
            let place = wrong.place().unwrap_or_default();
            match remove(table.get_mut(), &|key, value| match is_unknown {
                true => key.span() == place,
                false => value.span().start <= place.start && place.end <= value.span().end,
            }) {
                Some(Removed::Key) if is_unknown => unknown.push(format!("{}; it is ignored", wrong.told(text))),
                Some(Removed::Rules) if is_unknown => unknown
                    .push(format!("{}; so no rule of [[select]] counts, and no VM is selected", wrong.told(text))),
                Some(_) => fault(wrong.told(text))?,
                None => return Err(wrong.told(text)),
            }
        };
        config.unknown = unknown;
        config.check().or_else(fault)?;
        Ok(config)
    }

    /// Checks what its values say.
    fn check(&self) -> Result<()> {
        let Config { image_dir: dir, image_mode: mode, .. } = self;
        ensure!(dir.is_absolute() && dir.to_str().is_some(), "image_dir = {dir:?} is not an absolute path");
        ensure!(dir.components().count() > 2, "image_dir = {dir:?} must be a directory of its own");
        if let Some(signer) = &self.signer {
            ensure!(
                is_signer(signer),
                "signer = {signer:?} is not a name of up to {MAX_SIGNER} letters, digits and . _ @ -"
            );
        }
        if let Some(program) = self.sign_command.first() {
            ensure!(program.starts_with('/'), "sign_command begins with {program:?}, which is not an absolute path");
        }
        if let Some(file) = &self.metrics_file {
            ensure!(file.starts_with('/'), "metrics_file = {file:?} is not an absolute path");
        }
        ensure!(*mode <= 0o777, "image_mode = 0o{mode:o} is not a file mode such as 0o640");
        Ok(())
    }

    /// Where `driver` is reached on this host.
    pub(crate) fn uri_of(&self, driver: Driver) -> &str {
        let configured = self.uri.as_deref().filter(|uri| Driver::of_uri(uri) == driver);
        configured.unwrap_or(driver.default_uri())
    }

    /// The driver that this host's VMs are with: the one that is configured, or else Xen's on a host that Xen runs.
    pub(crate) fn driver(&self, host: &Host) -> Driver {
        match &self.uri {
            Some(uri) => Driver::of_uri(uri),
            None if host.is_run_by_xen() => Driver::Xen,
            None => Driver::Qemu,
        }
    }
}

/// Whether guests can be told this name of a signer: their shells and `ssh-keygen` take it as it is.
pub(crate) fn is_signer(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._@-".contains(&byte);
    // An argument that begins with a dash is an option.
    (1..=MAX_SIGNER).contains(&name.len()) && name.bytes().all(is_plain) && !name.starts_with('-')
}

/// What was removed from a configuration.
enum Removed {
    Key,
    /// All rules: one that has lost a condition would fit more VMs than it is to, and one that is gone keeps none out.
    Rules,
}

/// Which key with its value it is.
type IsIt<'i> = &'i dyn Fn(&Spanned<Cow<str>>, &Spanned<DeValue>) -> bool;

/// Removes the key that it is, the innermost, with all rules if it is in one; `None` if there is no such key.
fn remove(table: &mut DeTable, is_it: IsIt) -> Option<Removed> {
    let array = table.iter_mut().find_map(|(key, value)| match value.get_mut() {
        DeValue::Array(tables) => holds(tables, is_it).then(|| key.clone()),
        _ => None,
    });
    if let Some(key) = array {
        return table.remove(&key).map(|_| Removed::Rules);
    }
    let below = table.iter_mut().find_map(|(_, value)| match value.get_mut() {
        DeValue::Table(below) => remove(below, is_it),
        _ => None,
    });
    if below.is_some() {
        return below;
    }
    let key = table.iter().find(|(key, value)| is_it(key, value)).map(|(key, _)| key.clone())?;
    table.remove(&key).map(|_| Removed::Key)
}

fn holds(tables: &mut DeArray, is_it: IsIt) -> bool {
    tables.iter_mut().any(|value| match value.get_mut() {
        DeValue::Table(table) => remove(table, is_it).is_some(),
        _ => false,
    })
}

/// What is written of a time or a size; a mere number lacks its unit, and is told so.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    struct Text;
    impl Visitor<'_> for Text {
        type Value = String;

        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str("a text such as \"15s\" or \"64MiB\"")
        }

        fn visit_str<E>(self, text: &str) -> Result<String, E> {
            Ok(text.to_owned())
        }

        fn visit_i64<E>(self, number: i64) -> Result<String, E> {
            Ok(number.to_string())
        }
    }
    deserializer.deserialize_any(Text)
}

/// A program that is set is one that is wanted: where it is not named, nothing else is done in its stead.
fn command<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let command = Vec::deserialize(deserializer)?;
    if command.is_empty() { Err(D::Error::custom("it names no program")) } else { Ok(command) }
}

fn time_or_never<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = text(deserializer)?;
    if text == "never" {
        return Ok(None);
    }
    let wrong = || format!("{text:?} is neither a time such as \"15s\", \"2m\" or \"1h\", nor \"never\"");
    seconds(&text).map(Some).ok_or_else(|| D::Error::custom(wrong()))
}

fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = text(deserializer)?;
    seconds(&text).ok_or_else(|| D::Error::custom(format!("{text:?} is not a time such as \"10s\"")))
}

/// A time as the configuration and the command line have it.
pub(crate) fn seconds(text: &str) -> Option<Duration> {
    number_with_unit(text, &[("s", 1), ("m", 60), ("h", 3600)]).map(Duration::from_secs)
}

fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let text = text(deserializer)?;
    let units = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
    number_with_unit(&text, &units).ok_or_else(|| D::Error::custom(format!("{text:?} is not a size such as \"64MiB\"")))
}

fn number_with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (number, factor) = units.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)))?;
    number.trim_end().parse::<u64>().ok()?.checked_mul(*factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn parse(text: &str) -> Result<Config> {
        Config::parse(text)
    }

    #[test]
    fn every_key_of_the_commented_example_is_known_and_shows_the_default() {
        let example = include_str!("../../packaging/config.toml");
        let set: String = example
            .lines()
            .filter_map(|line| line.strip_prefix('#'))
            .filter(|line| !line.starts_with(' '))
            .map(|line| format!("{line}\n"))
            .collect();
        let config = parse(&set).unwrap();
        assert_eq!(
            format!(
                "{:?}",
                Config {
                    uri: None,
                    image_owner: None,
                    image_group: None,
                    signer: None,
                    sign_command: Vec::new(),
                    metrics_file: None,
                    ..config
                }
            ),
            format!("{:?}", Config::default())
        );
        let keys = [
            "uri",
            "image_dir",
            "image_owner",
            "image_group",
            "image_mode",
            "format",
            "expose_host",
            "force_after",
            "on_error",
            "facts_grace",
            "signer",
            "sign_command",
            "metrics_file",
            "disc_size",
            "files",
            "template_steps",
            "template_output",
            "program_time",
            "program_output",
        ];
        for format in Format::ALL {
            assert!(example.contains(&format!("\n# {:?}: ", format.name())), "{format} is not in the example");
        }
        for key in keys {
            assert!(
                set.contains(&format!("\n{key} = ")) || set.starts_with(&format!("{key} = ")),
                "{key} is not in the example"
            );
        }
    }

    #[test]
    fn each_driver_is_reached_where_the_configuration_says_or_else_where_it_usually_is() {
        let uris = |text: &str| Driver::ALL.map(|driver| parse(text).unwrap().uri_of(driver).to_owned());
        assert_eq!(uris(""), ["qemu:///system", "xen:///system"]);
        assert_eq!(uris("uri = 'qemu+tls://h/system'"), ["qemu+tls://h/system", "xen:///system"]);
        assert_eq!(uris("uri = 'xen+tls://h/system'"), ["qemu:///system", "xen+tls://h/system"]);
    }

    #[test]
    fn a_wrong_key_or_value_is_told_with_its_line_and_what_is_allowed() {
        for (text, line, allowed) in [
            ("force_after = '3'", "line 1", "15s"),
            ("force_after = 3", "line 1", "15s"),
            ("force_after = true", "line 1", "boolean"),
            ("on_error = 'panic'", "line 1", "refuse"),
            ("[limits]\ndisc_size = '64'", "line 2", "64MiB"),
            ("format = 'zip'", "line 1", "configdrive"),
            ("image_dir = 'x'", "", "absolute"),
            ("image_dir = '/tmp'", "", "directory of its own"),
            ("image_mode = 0o1777", "", "0o640"),
            ("signer = 'site c'", "", "letters, digits and . _ @ -"),
            ("signer = '-c'", "", "letters, digits and . _ @ -"),
            ("sign_command = ['ssh-keygen']", "", "absolute"),
            ("sign_command = '/bin/sign'", "line 1", "sequence"),
            ("sign_command = []", "line 1", "it names no program"),
            ("sign_command = ['']", "", "absolute"),
            ("metrics_file = 'x.prom'", "", "absolute"),
            ("on_error.continue = 1", "line 1", ""),
            ("on_error.refused = 1", "line 1", "refuse"),
            ("[limits]\ndisc_size.x = '1MiB'", "line 2", ""),
            ("[select]\nname = 'a'", "line 1: [select] is no rule: each begins with [[select]]", "double brackets"),
            ("select = 'a'", "line 1", "rules, each of which begins with [[select]]"),
        ] {
            let error = format!("{:#}", parse(text).unwrap_err());
            assert!(error.contains(line) && error.contains(allowed), "{text}: {error}");
        }
    }

    #[test]
    fn a_key_that_is_not_known_does_not_count_and_is_told_with_its_line_and_what_is_known() {
        let config = parse(
            "on_error = 'refuse'\nforce_afer = '3s'\n[limits]\ndisk_size = '1MiB'\nfiles = 7\n[[rewrite]]\na = 1\n\
             [[rewrite]]\nb = 2\n[sign]\nkey = 'x'",
        );
        let config = config.unwrap();
        assert_eq!((config.on_error, config.limits.files), (OnError::Refuse, 7));
        let told = [("line 2", "force_after"), ("line 4", "disc_size"), ("line 6", "rewrite"), ("line 10", "sign")];
        assert_eq!(config.unknown.len(), told.len(), "{:?}", config.unknown);
        for (line, word) in told {
            let found = |key: &String| key.starts_with(&format!("{line}: ")) && key.contains(word);
            assert!(config.unknown.iter().any(found), "{line}: {:?}", config.unknown);
        }
        let error = format!("{:#}", parse("sign = 1\nforce_after = '3'").unwrap_err());
        assert!(error.starts_with("line 2: "), "{error}");
    }

    #[test]
    fn of_rules_with_a_key_that_is_not_known_none_counts() {
        let good = "format = 'nocloud'\n[[select]]\nname = 'a'\n[[select]]\ndrive = 'none'\nname = '*'\n";
        assert_eq!(parse(good).unwrap().select.numbered().count(), 2);
        for bad in ["machine = 'q35'", "element = { namespace = 'n', name = 'e', atribute = {} }"] {
            let config = parse(&format!("{good}{bad}")).unwrap();
            assert!(config.select.is_empty() && config.format == Format::NoCloud);
            let [told] = config.unknown.as_slice() else { panic!("{:?}", config.unknown) };
            assert!(
                told.starts_with("line 7: ")
                    && told.ends_with("so no rule of [[select]] counts, and no VM is selected"),
                "{told}"
            );
        }
    }

    #[test]
    fn whoever_judges_it_hears_of_each_wrong_value() {
        let text = "image_dir = 7\nformat = 'zip'\n[limits]\nfiles = 'x'\ndisc_size = '3'\nprogram_time = '3s'\n\
                    [[select]]\nname = 'a'\n[[select]]\nname = 'b'\ndrive = 'x'\n";
        let mut faults = Vec::new();
        let mut note = |fault: Error| {
            faults.push(fault.to_string());
            Ok(())
        };
        let config = Config::parse_judged(text, &mut note).unwrap();
        assert_eq!((config.limits.program_time, config.format), (Duration::from_secs(3), Format::Files));
        faults.sort();
        let lines: Vec<&str> = faults.iter().map(|fault| fault.split(':').next().unwrap()).collect();
        assert_eq!(lines, ["line 11", "line 1", "line 2", "line 4", "line 5"], "{faults:?}");
        let mut faults = 0;
        Config::parse_judged("image_dir = 'x'\nnothing = 1", &mut |_| {
            faults += 1;
            Ok(())
        })
        .unwrap();
        assert_eq!(faults, 1);
        assert!(Config::parse_judged("a = ", &mut |_| Ok(())).is_err());
    }

    #[test]
    fn times_and_sizes_have_units() {
        let config = parse("force_after = '2m'\n[limits]\ndisc_size = '1 GiB'").unwrap();
        assert_eq!(config.force_after, Some(Duration::from_secs(120)));
        assert_eq!(config.limits.disc_size, 1 << 30);
        assert_eq!(parse("force_after = 'never'").unwrap().force_after, None);
        let error = format!("{:#}", parse("force_after = 15").unwrap_err());
        assert!(error.contains("\"15\" is neither a time such as \"15s\""), "{error}");
        let error = format!("{:#}", parse("[limits]\ndisc_size = 64").unwrap_err());
        assert!(error.contains("\"64\" is not a size such as \"64MiB\""), "{error}");
    }
}
