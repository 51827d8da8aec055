//! The manual pages and the shells' completions say what the programs do: every command and option, every configuration
//! key with its default, every call of the hook. Other people's programs judge their form.
//!
//! `UPDATE=1 cargo test --test tests manual::` writes packaging/completions anew from the command line's own definition,
//! with our own part for each shell, `words.*` in there. That this part works is for tests/deliveries.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::{Arg, CommandFactory, ValueHint};
use clap_complete::{Shell, generate};
use virt_recontext::commands::cli::Cli;
use virt_recontext::commands::complete::Words;
use virt_recontext::context::domain::driver::Driver;
use virt_recontext::hook::operation::HookCall;
use virt_recontext::host::config::Config;

const PAGES: [&str; 4] =
    ["virt-recontext.8", "virt-recontext-hook.8", "virt-recontext.toml.5", "virt-recontext-rewrite.5"];
const COMPLETIONS: [(Shell, &str); 3] =
    [(Shell::Bash, "virt-recontext.bash"), (Shell::Zsh, "_virt-recontext"), (Shell::Fish, "virt-recontext.fish")];

fn packaging(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging").join(path)
}

/// What a program says on stdout and stderr; it must go well.
fn said(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}; run tests/packages first"));
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success(), "{command:?}: {}\n{said}", output.status);
    said
}

/// A manual page, read as far as its few macros go.
struct Page(Vec<Section>);

/// What stands below one heading.
#[derive(Default)]
struct Section {
    title: String,
    paragraphs: Vec<Paragraph>,
}

/// A paragraph; in a list, with what it explains.
#[derive(Default)]
struct Paragraph {
    tag: String,
    text: String,
}

impl Page {
    fn read(name: &str) -> Page {
        let source = fs::read_to_string(packaging("man").join(name)).unwrap();
        let mut sections = vec![Section::default()];
        let mut tag_follows = false;
        for line in source.lines() {
            let (name, rest) =
                line.strip_prefix('.').map_or(("", line), |line| line.split_once(' ').unwrap_or((line, "")));
            let section = sections.last_mut().unwrap();
            match name {
                "SH" | "SS" => sections.push(Section { title: plain(rest), ..Section::default() }),
                "TP" | "PP" | "IP" | "nf" => {
                    section.paragraphs.push(Paragraph::default());
                    tag_follows = name == "TP";
                }
                "TH" | "fi" | "nh" => {}
                _ => {
                    let text = match name {
                        "" => plain(rest),
                        "B" | "I" => words(rest).join(" "),
                        "BR" | "RB" | "BI" | "IR" => words(rest).concat(),
                        other => panic!("the macro .{other} is not known here"),
                    };
                    if section.paragraphs.is_empty() {
                        section.paragraphs.push(Paragraph::default());
                    }
                    let paragraph = section.paragraphs.last_mut().unwrap();
                    if std::mem::take(&mut tag_follows) {
                        paragraph.tag = text;
                    } else {
                        paragraph.text += &format!("{text} ");
                    }
                }
            }
        }
        Page(sections)
    }

    fn section(&self, title: &str) -> &Section {
        self.0.iter().find(|section| section.title == title).unwrap_or_else(|| panic!("there is no section {title}"))
    }
}

impl Section {
    fn tags(&self) -> impl Iterator<Item = &str> {
        self.paragraphs.iter().map(|paragraph| paragraph.tag.as_str()).filter(|tag| !tag.is_empty())
    }

    fn text(&self) -> String {
        self.paragraphs.iter().map(|paragraph| paragraph.text.as_str()).collect()
    }
}

/// A text without its marks of fonts and signs.
fn plain(text: &str) -> String {
    let signs = [("\\fB", ""), ("\\fI", ""), ("\\fR", ""), ("\\-", "-"), ("\\(dq", "\""), ("\\e", "\\")];
    signs.iter().fold(text.to_owned(), |text, (mark, sign)| text.replace(mark, sign))
}

/// The words of a macro; one in quotes may hold spaces.
fn words(text: &str) -> Vec<String> {
    let parts = text.split('"').enumerate();
    let words = parts.flat_map(|(at, part)| match at % 2 {
        0 => part.split_whitespace().map(plain).collect(),
        _ => vec![plain(part)],
    });
    words.collect()
}

/// The options of a command that are its own.
fn options(command: &clap::Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|arg| arg.get_long().is_some_and(|long| !matches!(long, "help" | "version")))
}

/// An option as the manual's tag shows it.
fn shown(option: &Arg) -> String {
    let long = format!("--{}", option.get_long().unwrap());
    match option.get_value_names().filter(|_| option.get_action().takes_values()) {
        Some(names) if option.is_require_equals_set() => format!("{long}[={}]", names[0]),
        Some(names) => format!("{long} {}", names[0]),
        None => long,
    }
}

#[test]
fn the_manual_has_every_command_and_option_in_the_words_of_help_and_no_other() {
    let page = Page::read("virt-recontext.8");
    let mut cli = Cli::command();
    cli.build();
    let begin = page.0.iter().position(|section| section.title == "COMMANDS").unwrap() + 1;
    let documented = page.0[begin..].iter().take_while(|section| section.title.chars().all(char::is_lowercase));
    let documented: Vec<&str> = documented.map(|section| section.title.as_str()).collect();
    let commands: Vec<&str> = cli.get_subcommands().map(clap::Command::get_name).collect();
    assert_eq!(documented, commands);
    for command in cli.get_subcommands().filter(|command| command.get_name() != "help") {
        let (name, section) = (command.get_name(), page.section(command.get_name()));
        let about = command.get_about().unwrap_or_else(|| panic!("--help says nothing of {name}")).to_string();
        assert!(
            section.text().starts_with(&format!("{about}. ")),
            "{name}: {about:?} is not what its section begins with"
        );
        let documented: BTreeSet<String> = section.tags().map(str::to_owned).collect();
        assert_eq!(documented, options(command).map(shown).collect(), "{name}");
        for option in options(command) {
            let tag = shown(option);
            let help = format!("{}. ", option.get_help().unwrap());
            let paragraph = section.paragraphs.iter().find(|paragraph| paragraph.tag == tag).unwrap();
            assert!(
                paragraph.text.starts_with(&help),
                "{name} {tag}: {:?} does not begin with {help:?}",
                paragraph.text
            );
            for value in option.get_possible_values().iter().filter(|_| option.get_action().takes_values()) {
                assert!(paragraph.text.contains(value.get_name()), "{name} {tag}: {}", value.get_name());
            }
        }
    }
}

#[test]
fn the_synopsis_has_every_command_with_its_options() {
    let synopsis = Page::read("virt-recontext.8").section("SYNOPSIS").text();
    let cli = Cli::command();
    let lines: Vec<&str> = synopsis.split("virt-recontext ").map(str::trim).filter(|line| !line.is_empty()).collect();
    let commands: Vec<&str> = cli.get_subcommands().map(clap::Command::get_name).collect();
    let first_words: Vec<&str> = lines.iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(first_words, commands);
    for (command, line) in cli.get_subcommands().zip(lines) {
        let there = line.split([' ', '[', ']', '{', '}']).filter(|word| word.starts_with("--"));
        let options: BTreeSet<String> = options(command).map(|arg| format!("--{}", arg.get_long().unwrap())).collect();
        assert_eq!(there.map(str::to_owned).collect::<BTreeSet<_>>(), options, "{line}");
        let shown: Vec<&str> = line.split([' ', '[', ']', '{', '}', '.']).collect();
        match command.get_positionals().next() {
            Some(first) => assert!(shown.contains(&first.get_value_names().unwrap()[0].as_str()), "{line}"),
            None => assert!(!shown.contains(&"VM"), "{line}"),
        }
    }
}

/// The keys that the code knows, by its own complaint about one that it does not.
fn keys(text: &str) -> BTreeSet<String> {
    let error = toml::from_str::<Config>(text).unwrap_err().to_string();
    let (_, known) = error.split_once("expected one of ").unwrap();
    known.split(',').map(|key| key.trim().trim_matches('`').to_owned()).collect()
}

#[test]
fn the_manual_and_the_example_have_every_configuration_key_with_its_default() {
    let page = Page::read("virt-recontext.toml.5");
    let example = fs::read_to_string(packaging("config.toml")).unwrap();
    let mut all = keys("nothing = 1");
    assert!(all.remove("limits") && all.remove("select"));
    let limits = keys("[limits]\nnothing = 1");
    for (section, keys) in [("KEYS", all), ("LIMITS", limits)] {
        let tags: Vec<(&str, Option<&str>)> = page
            .section(section)
            .tags()
            .map(|tag| tag.split_once(" = ").map_or((tag, None), |(k, v)| (k, Some(v))))
            .collect();
        assert_eq!(tags.iter().map(|(key, _)| (*key).to_owned()).collect::<BTreeSet<_>>(), keys);
        for (key, default) in tags {
            let start = format!("#{key} = ");
            let in_example: Vec<&str> = example.lines().filter_map(|line| line.strip_prefix(&start)).collect();
            assert_eq!(in_example.len(), 1, "{key} in config.toml");
            match default {
                // That config.toml shows the code's own defaults is a test of config.rs.
                Some(default) => assert_eq!(default, in_example[0], "{key}"),
                None => {
                    let has_none =
                        ["image_owner", "image_group", "signer", "sign_command", "metrics_file"].contains(&key);
                    assert!(has_none, "{key} has a default");
                }
            }
        }
    }
}

#[test]
fn the_manual_and_the_example_have_every_key_of_a_rule() {
    let page = Page::read("virt-recontext.toml.5");
    let documented: BTreeSet<String> =
        page.section("SELECT").tags().map(|tag| tag.split(" = ").next().unwrap().to_owned()).collect();
    let example = fs::read_to_string(packaging("config.toml")).unwrap();
    let keys = keys("[[select]]\nnothing = 1");
    assert_eq!(documented, keys);
    for key in keys {
        assert!(example.contains(&format!("\n#   {key} = ")), "{key} in config.toml");
    }
}

#[test]
fn the_manual_has_every_call_that_the_hook_acts_on() {
    let page = Page::read("virt-recontext-hook.8");
    let documented: BTreeSet<&str> = page.section("CALLS").tags().collect();
    let operations = ["prepare", "start", "started", "stopped", "release", "migrate", "restore", "reconnect", "attach"];
    let calls = operations.iter().flat_map(|operation| ["begin", "end"].map(|sub| format!("{operation} {sub}")));
    let acts = |call: &String| {
        let line: Vec<OsString> = format!("vm {call} -").split(' ').map(OsString::from).collect();
        Driver::ALL.into_iter().any(|driver| HookCall::parse(driver, &line).is_some())
    };
    let acted_on: Vec<String> = calls.filter(acts).collect();
    assert_eq!(documented, acted_on.iter().map(String::as_str).collect());
}

#[test]
fn the_manual_pages_are_well_formed_to_all_who_read_them() {
    for page in PAGES {
        let path = packaging("man").join(page);
        assert_eq!(said(Command::new("mandoc").args(["-Tlint", "-Wstyle"]).arg(&path)), "", "{page}");
        let mut groff = Command::new("groff");
        let groff = groff.args(["-ww", "-man", "-Tutf8", "-z"]).arg(&path);
        assert_eq!(said(groff), "", "{page}");
        let mut man = Command::new("man");
        let man = man.args(["--warnings=w", "--local-file"]).arg(&path);
        let man = man.env("LC_ALL", "C.UTF-8").env("MANWIDTH", "80").env_remove("MAN_KEEP_FORMATTING");
        let text = said(man);
        let wide: Vec<&str> = text.lines().filter(|line| line.chars().count() > 80).collect();
        assert_eq!(wide, [""; 0], "{page}");
    }
}

#[test]
fn each_page_is_of_this_version_and_names_only_pages_that_are_there() {
    for page in PAGES {
        let source = fs::read_to_string(packaging("man").join(page)).unwrap();
        let (name, section) = page.rsplit_once('.').unwrap();
        let title = format!(".TH {} {section} ", name.to_uppercase());
        let version = format!(" \"virt-recontext {}\" ", env!("CARGO_PKG_VERSION"));
        let first = source.lines().next().unwrap();
        assert!(first.starts_with(&title) && first.contains(&version), "{first}");
        assert!(source.contains(&format!("\n{name} \\- ")), "{page}");
        for reference in Page::read(page).section("SEE ALSO").text().split(',').map(str::trim) {
            let (name, section) = reference.strip_suffix(')').unwrap().split_once('(').unwrap();
            assert!(name == "virsh" || PAGES.contains(&format!("{name}.{section}").as_str()), "{page}: {reference}");
        }
    }
}

/// A shell's completion: as the command line's definition gives it, and with our own part for what only the host knows.
fn completion(shell: Shell) -> String {
    // An argument for which the host knows words is one for the names of hosts: of these there are none, and a shell's own
    // words for them are easy to find.
    let mut cli = Cli::command().mut_subcommands(|command| {
        let verb = command.get_name().to_owned();
        command.mut_args(|argument| match Words::of(&verb, argument.get_id().as_str()) {
            Some(_) => argument.value_hint(ValueHint::Hostname),
            None => argument,
        })
    });
    let mut out = Vec::new();
    generate(shell, &mut cli, "virt-recontext", &mut out);
    let script = String::from_utf8(out).unwrap();
    let own = |ending: &str| fs::read_to_string(packaging("completions/words").with_extension(ending)).unwrap();
    match shell {
        Shell::Bash => {
            // clap_complete 4.6.11 takes a hyphen of the program's name for a command's end in half of its script.
            let script = script.replace("virt__subcmd__recontext", "virt__recontext");
            own("bash") + "\n" + &script.replace("complete -F _virt__recontext ", "complete -F _virt_recontext_words ")
        }
        Shell::Zsh => {
            let (first, rest) = script.split_once('\n').unwrap();
            // Before its functions take the words apart.
            let typed = "_virt-recontext() {\n    local -a typed=(\"${(@Q)words[2,CURRENT]}\")\n";
            let rest = rest.replace("_virt-recontext() {\n", typed).replace(":_hosts'", ":_virt-recontext_words'");
            format!("{first}\n\n{}{rest}", own("zsh"))
        }
        Shell::Fish => script.replace("__fish_print_hostnames", "__fish_virt_recontext_words") + "\n" + &own("fish"),
        other => panic!("{other} has no part of ours"),
    }
}

#[test]
fn the_completions_are_those_of_the_command_line() {
    for (shell, name) in COMPLETIONS {
        let path = packaging("completions").join(name);
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&path, completion(shell)).unwrap();
        }
        let there = fs::read_to_string(&path).unwrap_or_default();
        assert!(there == completion(shell), "{name} is old: UPDATE=1 cargo test --test tests manual::");
    }
}

#[test]
fn bash_completes_commands_options_and_values() {
    let file = packaging("completions/virt-recontext.bash");
    said(Command::new("bash").arg("-n").arg(&file));
    for (line, completed) in [
        ("virt-recontext do", "doctor"),
        ("virt-recontext doctor --j", "--json"),
        ("virt-recontext enable --format n", "nocloud"),
        ("virt-recontext refresh --", "--all --force --accept-loss --settle --spread --help"),
    ] {
        let script = "source \"$1\"; COMP_WORDS=($2); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); \
                      registered=($(complete -p virt-recontext)); \
                      ${registered[-2]} virt-recontext \"${COMP_WORDS[-1]}\" \"${COMP_WORDS[-2]}\"; echo \"${COMPREPLY[*]}\"";
        let mut bash = Command::new("bash");
        let bash = bash.args(["--norc", "-c", script, "bash"]).arg(&file).arg(line);
        assert_eq!(said(bash).trim_end(), completed, "{line}");
    }
}

#[test]
fn fish_completes_commands_options_and_values() {
    let file = packaging("completions/virt-recontext.fish");
    let home = tempfile::tempdir().unwrap();
    let fish = || {
        let mut fish = Command::new("fish");
        fish.arg("--no-config").env("HOME", home.path()).env("XDG_RUNTIME_DIR", home.path());
        fish
    };
    said(fish().arg("--no-execute").arg(&file));
    for (line, completed) in [
        ("virt-recontext do", "doctor"),
        ("virt-recontext doctor --j", "--json"),
        ("virt-recontext enable --format n", "nocloud"),
    ] {
        let script = format!("source {}; complete --do-complete '{line}'", file.display());
        let told = said(fish().args(["--command", &script]));
        let first: Vec<&str> = told.lines().map(|line| line.split('\t').next().unwrap()).collect();
        assert_eq!(first, [completed], "{line}");
    }
}

#[test]
fn zsh_completes_commands_options_and_values() {
    let dir = packaging("completions");
    said(Command::new("zsh").args(["-f", "-n"]).arg(dir.join("_virt-recontext")));
    // A shell at a terminal of its own, to which a person's keys are sent; what it shows is read until it is there.
    let script = r#"
        zmodload zsh/zpty
        zpty -b terminal "TERM=dumb zsh -f -i"
        zpty -w terminal "PS1=; unsetopt zle_bracketed_paste prompt_sp; fpath=($1 \$fpath); autoload -U compinit; compinit -D -u; echo rea''dy"
        shown=
        await() { local end=$((SECONDS + 20)); while [[ $shown != *$1* ]]; do
            zpty -r -t terminal part && shown+=$part || { (( SECONDS < end )) || { print -r -- "$shown"; exit 1 }; sleep 0.02 }
        done }
        await ready
        zpty -w -n terminal "$2"$'\t'
        await "$3"
        zpty -d terminal
    "#;
    for (line, completed) in [
        ("virt-recontext do", "virt-recontext doctor "),
        ("virt-recontext doctor --j", "virt-recontext doctor --json "),
        ("virt-recontext enable --format n", "virt-recontext enable --format nocloud "),
    ] {
        said(Command::new("zsh").args(["-f", "-c", script, "zsh"]).arg(&dir).args([line, completed]));
    }
}

#[test]
fn the_manual_has_every_place_that_a_rule_can_change() {
    let page = fs::read_to_string(packaging("man/virt-recontext-rewrite.5")).unwrap();
    let table = fs::read_to_string(packaging("../src/context/domain/rules/place.rs")).unwrap();
    let names: Vec<&str> = table.split("row(Place::").skip(1).filter_map(|row| row.split('"').nth(1)).collect();
    assert!(names.len() > 30, "{names:?}");
    for name in names {
        let is_bold =
            page.lines().any(|line| line.starts_with(".B") && line.split([' ', '"', ',']).any(|word| word == name));
        assert!(is_bold, "{name}");
    }
}
