//! Templates in the Jinja language as MiniJinja has it, with nothing in reach but the values they are given.
//!
//! A name that does not exist is an error, not an empty text. There is no loader, so no template reads a file. Fuel
//! pays for each step and each byte, so neither one nor all of a disc together run for ever or fill the memory, wherever
//! they came from.

use std::str;

use anyhow::{Context, Result, anyhow};
use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, ErrorKind, State, UndefinedBehavior, Value};
use minijinja_contrib::pycompat::unknown_method_callback;

use super::budget::{BYTES_A_STEP, Budget};
use super::undefined::Undefined;

/// Renders templates with one set of values.
pub(crate) struct Templates {
    environment: Environment<'static>,
    values: Value,
}

impl Templates {
    /// Templates that see `values`.
    pub(crate) fn new(values: Value) -> Result<Templates> {
        let mut environment = Environment::new();
        environment.set_unknown_method_callback(methods);
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        // The files are configuration in any syntax, so nothing is right to escape; templates may use |tojson.
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_syntax(SyntaxConfig::builder().keep_trailing_newline(true).build()?);
        Ok(Templates { environment, values })
    }

    /// What the template `source` gives within the `budget`; `name` is for errors.
    pub(crate) fn render(&mut self, name: &str, source: &[u8], budget: &mut Budget) -> Result<Vec<u8>> {
        let source = str::from_utf8(source).with_context(|| format!("the template {name} is not UTF-8 text"))?;
        let (steps, limit) = budget.steps();
        self.environment.set_fuel(Some(steps));
        let fault = |error: minijinja::Error| {
            let line = error.line().map_or(String::new(), |line| format!(", line {line}"));
            let place = format!("the template {name}{line}");
            match (error.kind(), error.detail()) {
                (ErrorKind::OutOfFuel, _) => anyhow!("{place}: it takes more steps than {limit}"),
                (ErrorKind::UndefinedError, None) => {
                    let line = error.line().and_then(|line| source.lines().nth(line.saturating_sub(1)));
                    Undefined::of(&place, line.unwrap_or_default(), &self.values).into()
                }
                (kind, None) => anyhow!("{place}: {kind}"),
                (kind, Some(detail)) => anyhow!("{place}: {kind}: {detail}"),
            }
        };
        let template = self.environment.template_from_named_str(name, source).map_err(fault)?;
        let rendered = template.render_captured(self.values.clone()).map_err(fault)?;
        let text = rendered.output();
        budget.spend_steps(rendered.state().fuel_levels().map_or(0, |(taken, _)| taken), source);
        budget.check_output(name, text.len())?;
        Ok(text.as_bytes().to_vec())
    }
}

/// The methods that Jinja has from Python, each at the price of what it looks at: most look at all of it, and some at all of their
/// arguments for each part of it. But not `format`, which makes a text of any length; the filter of that name pays for it.
fn methods(state: &mut State, value: &Value, method: &str, args: &[Value]) -> Result<Value, minijinja::Error> {
    if method == "format" {
        return Err(minijinja::Error::new(
            ErrorKind::UnknownMethod,
            "instead of .format() there is the filter |format",
        ));
    }
    let arguments = args.iter().map(size).fold(1, u64::saturating_add);
    state.consume_fuel(size(value).saturating_add(1).saturating_mul(arguments) - 1)?;
    unknown_method_callback(state, value, method, args)
}

/// How much there is to look at in a value, in steps.
fn size(value: &Value) -> u64 {
    let text = value.as_str().map(|text| text.len() as u64 / BYTES_A_STEP);
    text.or_else(|| Some(value.len()? as u64)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::disc::budget::Limits;
    use minijinja::value::Serde;
    use serde_json::json;

    fn render(source: &str) -> Result<String> {
        let limits =
            Limits { bytes: 0, files: 0, disc_steps: 1_000_000, template_steps: 100_000, template_output: 1 << 20 };
        let values = json!({"facts": {"port": 9100, "hosts": ["a", "b"], "quote": "<\"'&>"}});
        let mut templates = Templates::new(Value::from(Serde(values)))?;
        templates
            .render("x.j2", source.as_bytes(), &mut Budget::new(limits))
            .map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn values_loops_and_conditions_work() {
        assert_eq!(render("port={{ facts.port }}\n").unwrap(), "port=9100\n");
        assert_eq!(render("{% for h in facts.hosts %}{{ h }};{% endfor %}").unwrap(), "a;b;");
        assert_eq!(render("{% if facts.port > 1 %}x{% endif %}").unwrap(), "x");
        assert_eq!(render("{{ facts.quote }}").unwrap(), "<\"'&>", "nothing is escaped on its own");
        assert_eq!(render("{{ facts.hosts|tojson }}").unwrap(), "[\"a\", \"b\"]");
        assert_eq!(render("{{ facts.none|default('d') }}").unwrap(), "d");
    }

    #[test]
    fn texts_and_tables_have_the_methods_that_jinja_has_from_python() {
        assert_eq!(
            render("{% for k, v in {'a': 1, 'b': 2}.items() %}{{ k }}={{ v }};{% endfor %}").unwrap(),
            "a=1;b=2;"
        );
        assert_eq!(render("{{ 'a.b c'.split('.')[1].upper() }} {{ facts.get('none', 'd') }}").unwrap(), "B C d");
        assert_eq!(render("{% for k, v in facts.items() %}{{ k }};{% endfor %}").unwrap(), "hosts;port;quote;");
        let error = render("{{ facts.quote.nothing() }}").unwrap_err().to_string();
        assert!(error.contains("line 1: unknown method: string has no method named nothing"), "{error}");
    }

    #[test]
    fn a_name_that_does_not_exist_is_an_error_with_its_line() {
        let error = format!("{:#}", render("one\n{{ facts.monitoring }}").unwrap_err());
        assert!(error.contains("not defined") && error.contains("x.j2, line 2"), "{error}");
    }

    #[test]
    fn no_template_reads_a_file_loops_for_ever_or_fills_the_memory() {
        for source in [
            "{% include '/etc/passwd' %}",
            "{% import '/etc/passwd' as x %}",
            "{% for a in range(100000) %}{% for b in range(100000) %}{{ b }}{% endfor %}{% endfor %}",
            "{{ 'x' * 1000000000 }}",
            "{% set n = namespace(x='x') %}{% for i in range(64) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
            "{{ ('x' * 60000).replace('x', 'x' * 60000)|length }}",
            "{{ ('x' * 60000).join(range(60000))|length }}",
            "{% set s = 'x' * 60000 %}{% for i in range(5000) %}{% if s.count('y') %}{% endif %}{% endfor %}",
            "{% set s = range(6000)|list %}{% for i in range(5000) %}{% if s.count('y') %}{% endif %}{% endfor %}",
            "{% set l = ('x' * 6000)|list %}{% for i in range(5000) %}{% if 'a'.endswith(l) %}{% endif %}{% endfor %}",
            "{% set c = 'x' * 60000 ~ ' ' %}{% if (' ' * 60000).strip(c) %}{% endif %}",
            "{{ '%1000000000s'|format(1)|length }}",
            "{{ '{:>1000000000}'.format(1)|length }}",
            "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
            "{% for i in range(90000) %}xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx{% endfor %}",
        ] {
            assert!(render(source).is_err(), "{source}");
        }
    }
}
