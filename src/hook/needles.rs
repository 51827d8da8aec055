//! Whether a rule of config.toml may select a VM that has no element of ours: asked at each start of each VM, before the child is
//! made. It goes by the texts in the file and does not understand it, so that it may say yes where no rule fits; the child finds
//! that out. It never says no where one does.

use toml_parser::Source;
use toml_parser::lexer::TokenKind;

use crate::context::domain::select::Glob;
use crate::host::file;
use crate::host::paths::Host;

/// So many bytes are searched at most before the child does it, which has a deadline.
const MOST: usize = 64 << 20;

/// Whether a rule of this host may select the VM called `name`.
pub(super) fn may_select(host: &Host, name: &str, xml: &str) -> bool {
    // Of what cannot be read no rule counts.
    file::read_trusted_text(&host.config_file()).is_ok_and(|config| may_fit(&config, name, xml))
}

fn may_fit(config: &str, name: &str, xml: &str) -> bool {
    if !config.contains("select") && !config.contains('\\') {
        return false;
    }
    let (mut key, mut searched) = ("", 0_usize);
    for token in Source::new(config).lex() {
        let span = token.span();
        let raw = config.get(span.start()..span.end()).unwrap_or_default();
        match token.kind() {
            TokenKind::Atom => key = raw,
            TokenKind::BasicString | TokenKind::LiteralString => {
                let text = raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default();
                searched = searched.saturating_add(if key == "name" { name.len() } else { xml.len() });
                if raw.contains('\\') || searched > MOST || may_be(key, text, name, xml) {
                    return true;
                }
                key = text;
            }
            TokenKind::MlBasicString | TokenKind::MlLiteralString => return true,
            _ => {}
        }
    }
    false
}

/// Whether the VM may be meant by `key = "text"`.
fn may_be(key: &str, text: &str, name: &str, xml: &str) -> bool {
    match key {
        "namespace" => may_have(xml, text),
        // Or it is an element's, in which case the namespace decides.
        "name" => Glob::new(text).fits(name),
        "title" => text.split(['*', '?']).all(|piece| may_have(xml, piece)),
        _ => false,
    }
}

/// Whether the text may stand in the XML: as it is, or in one of the ways in which XML can spell a character.
fn may_have(xml: &str, text: &str) -> bool {
    let is_plain = |c: char| matches!(c, ' '..='~') && !matches!(c, '&' | '<' | '>' | '"' | '\'');
    !text.chars().all(is_plain) || xml.contains(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use quick_xml::escape::escape;

    use super::*;
    use crate::context::domain::Domain;
    use crate::host::config::Config;

    const VM: &str = "<domain><name>web</name></domain>";

    #[test]
    fn where_no_rule_can_fit_no_child_is_made() {
        let nova = "[[select]]\nelement = { namespace = 'urn:nova', name = 'web', attribute = { name = 'x' } }\n";
        for (config, may) in [
            ("", false),
            ("format = 'files'\n# select the label\nlabel = 'web'", false),
            ("[[select]]\nname = 'web*'", true),
            ("[[select]]\nname = 'db*'", false),
            ("[[select]]\ntitle = 'db*'", false),
            (&nova.replace("'web'", "'a'"), false),
            ("\"sel\\u0065ct\" = [{ name = 'web' }]", true),
            ("select = [{ name = \"\"\"web\"\"\" }]", true),
            ("[[select]]\nname = \"web'\"", false),
        ] {
            assert_eq!(may_fit(config, "web", VM), may, "{config}");
        }
        assert!(
            may_fit("[[select]]\nname = \"'web'\"", "'web'", VM) && may_fit("[[select]]\nname = '\"web'", "\"web", VM)
        );
        let many = "[[select]]\ntitle = 'db'\n".repeat(1000);
        assert!(!may_fit(&many, "web", VM) && may_fit(&many, "web", &VM.repeat(100_000)));
        assert!(may_fit(nova, "db", &VM.replace("<name>", "<metadata><a xmlns='urn:nova'/></metadata><name>")));
    }

    /// A text as TOML, in one of the ways to write it.
    fn spelt() -> impl Strategy<Value = fn(&str) -> String> {
        let ways: [fn(&str) -> String; 4] = [
            |text| format!("{text:?}"),
            |text| format!("'{text}'"),
            |text| format!("'''{text}'''"),
            |text| format!("\"{}\"", text.chars().map(|c| format!("\\u{:04x}", c as u32)).collect::<String>()),
        ];
        prop::sample::select(ways.to_vec())
    }

    proptest! {
        #[test]
        fn no_rule_that_fits_is_overlooked(
            text in "[a-c&<\u{e9}\u{153} ]{1,3}",
            stars in "[a-c&<\u{e9}\u{153} *?]{0,4}",
            what in 0..3,
            spell in spelt(),
            key in prop::sample::select(vec!["select", "\"select\"", "'select'", "\"sel\\u0065ct\""]),
            inline in any::<bool>(),
        ) {
            let value = spell(if what == 1 { &text } else { &stars });
            let rule = match what {
                0 => format!("name = {value}"),
                1 => format!("element = {{ \"namespace\" = {value}, name = 'e' }}"),
                _ => format!("title = {value}"),
            };
            let config = if inline { format!("{key} = [{{ {rule} }}]") } else { format!("[[{key}]]\n{rule}") };
            let escaped = escape(text.as_str());
            let xml = format!(
                "<domain><name>{escaped}</name><uuid>6695eb01-f6a4-8304-79aa-97f2502e193f</uuid><title>{escaped}</title>\
                 <metadata><e xmlns=\"{escaped}\"/></metadata><devices/></domain>"
            );
            let rules = Config::parse(&config).unwrap().select;
            let domain = Domain::read(&xml).unwrap();
            if rules.first_that_fits(&domain).unwrap().is_some() {
                prop_assert!(may_fit(&config, &domain.name, &xml), "{config}\n{xml}");
            }
        }
    }
}
