//! Reads TOML into structs: serde's reader over the tree that the crate toml makes. That crate's own reader takes the tree to
//! pieces, whatever kind of value it may hold, anew for each struct; this one looks at it, and only for what is expected:
//! together with the facts' 125 KiB of the hook.

use serde::de::value::MapAccessDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, Error, Expected, IntoDeserializer, MapAccess, SeqAccess, Unexpected, Visitor,
};
use serde::{Deserialize, forward_to_deserialize_any};
use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use super::toml_fault::Fault;

/// # Errors
/// When the text is not TOML.
pub(crate) fn parse(text: &str) -> Result<Spanned<DeTable<'_>>, Fault> {
    DeTable::parse(text).map_err(Fault::from)
}

/// What is written in a table.
///
/// # Errors
/// When something else is expected there: with the place of the innermost key or value that is wrong.
pub(crate) fn read<'t, T: Deserialize<'t>>(table: &'t Spanned<DeTable<'t>>) -> Result<T, Fault> {
    T::deserialize(MapAccessDeserializer::new(Entries::of(table.get_ref()))).map_err(|fault| fault.at(table.span()))
}

/// The same of a text.
#[cfg(test)]
pub(crate) fn read_text<T: for<'t> Deserialize<'t>>(text: &str) -> Result<T, Fault> {
    read(&parse(text)?)
}

/// A number of TOML, which has 64 bits and a sign; `None` of a larger one.
pub(crate) fn whole(number: &DeInteger) -> Option<i64> {
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}

#[derive(Clone, Copy)]
struct Value<'t>(&'t DeValue<'t>);

impl Value<'_> {
    #[cold]
    fn is_not(self, expected: &dyn Expected) -> Fault {
        let is = match self.0 {
            DeValue::String(text) => Unexpected::Str(text),
            DeValue::Integer(number) => match whole(number) {
                Some(number) => Unexpected::Signed(number),
                None => return Fault::too_large(number),
            },
            DeValue::Float(number) => return Fault::invalid_type(Unexpected::Other(number.as_str()), expected),
            DeValue::Boolean(yes) => Unexpected::Bool(*yes),
            DeValue::Datetime(_) => Unexpected::Other("date or time"),
            DeValue::Array(_) => Unexpected::Seq,
            DeValue::Table(_) => Unexpected::Map,
        };
        Fault::invalid_type(is, expected)
    }
}

impl<'de> Deserializer<'de> for Value<'de> {
    type Error = Fault;

    /// Whatever it is, but for what no key of ours takes.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.0 {
            DeValue::Boolean(yes) => visitor.visit_bool(*yes),
            DeValue::String(text) => visitor.visit_str(text),
            DeValue::Integer(number) => visitor.visit_i64(whole(number).ok_or_else(|| Fault::too_large(number))?),
            DeValue::Array(values) => visitor.visit_seq(Elements(values)),
            DeValue::Table(table) => visitor.visit_map(Entries::of(table)),
            DeValue::Float(_) | DeValue::Datetime(_) => Err(self.is_not(&visitor)),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.0 {
            DeValue::Boolean(yes) => visitor.visit_bool(*yes),
            _ => Err(self.is_not(&visitor)),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.0 {
            DeValue::String(text) => visitor.visit_str(text),
            _ => Err(self.is_not(&visitor)),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.0 {
            DeValue::Array(values) => visitor.visit_seq(Elements(values)),
            _ => Err(self.is_not(&visitor)),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.0 {
            DeValue::Table(table) => visitor.visit_map(Entries::of(table)),
            _ => Err(self.is_not(&visitor)),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match self.0 {
            DeValue::String(text) => visitor.visit_enum(text.as_ref().into_deserializer()),
            _ => Err(self.is_not(&format!("one of `{}`", variants.join("`, `")).as_str())),
        }
    }

    /// What is there is there.
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_some(self)
    }

    forward_to_deserialize_any! {
        u8 u16 u32 u64 i8 i16 i32 i64 f32 f64 char bytes byte_buf unit unit_struct newtype_struct tuple tuple_struct
        identifier ignored_any
    }
}

/// Keys with their values.
struct Entries<'t> {
    left: toml::map::Iter<'t, Spanned<toml::de::DeString<'t>>, Spanned<DeValue<'t>>>,
    value: Option<&'t Spanned<DeValue<'t>>>,
}

impl<'t> Entries<'t> {
    fn of(table: &'t DeTable<'t>) -> Entries<'t> {
        Entries { left: table.iter(), value: None }
    }
}

impl<'t> MapAccess<'t> for Entries<'t> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'t>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        let Some((key, value)) = self.left.next() else { return Ok(None) };
        self.value = Some(value);
        let read = seed.deserialize(key.get_ref().as_ref().into_deserializer());
        read.map(Some).map_err(|fault: Fault| fault.at(key.span()))
    }

    fn next_value_seed<S: DeserializeSeed<'t>>(&mut self, seed: S) -> Result<S::Value, Fault> {
        let value = self.value.take().ok_or_else(|| Fault::custom("a value without its key"))?;
        seed.deserialize(Value(value.get_ref())).map_err(|fault| fault.at(value.span()))
    }
}

struct Elements<'t>(&'t [Spanned<DeValue<'t>>]);

impl<'t> SeqAccess<'t> for Elements<'t> {
    type Error = Fault;

    fn next_element_seed<S: DeserializeSeed<'t>>(&mut self, seed: S) -> Result<Option<S::Value>, Fault> {
        let Some((value, left)) = self.0.split_first() else { return Ok(None) };
        self.0 = left;
        seed.deserialize(Value(value.get_ref())).map(Some).map_err(|fault| fault.at(value.span()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct All {
        text: String,
        number: u8,
        large: u64,
        yes: bool,
        list: Vec<i64>,
        one: Option<One>,
        table: BTreeMap<String, String>,
        below: Option<Box<All>>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum One {
        This,
        That,
    }

    #[test]
    fn each_kind_of_value_is_read_wherever_it_stands() {
        let text = "text = \"a\\tb\"\nnumber = 0o17\nlarge = 1_000\nyes = true\nlist = [1, -2]\none = 'that'\n\
                    table = { b = 'c', 'd.e' = '''f''' }\nbelow.below.text = 'x'\n[below.table]\ng = 'h'\n";
        let pairs = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let below = All {
            table: pairs(&[("g", "h")]),
            below: Some(Box::new(All { text: "x".to_owned(), ..All::default() })),
            ..All::default()
        };
        let all = All {
            text: "a\tb".to_owned(),
            number: 15,
            large: 1000,
            yes: true,
            list: vec![1, -2],
            one: Some(One::That),
            table: pairs(&[("b", "c"), ("d.e", "f")]),
            below: Some(Box::new(below)),
        };
        assert_eq!(read_text::<All>(text).unwrap(), all);
        assert_eq!(read_text::<All>("").unwrap(), All::default());
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_what_is_expected() {
        for (text, told) in [
            ("text = 1", "line 1: invalid type: integer `1`, expected a string"),
            ("\ntext = 1979-05-27", "line 2: invalid type: date or time, expected a string"),
            ("\nnumber = 'x'", "line 2: invalid type: string \"x\", expected u8"),
            ("number = 256", "line 1: invalid value: integer `256`, expected u8"),
            ("number = 1.5", "line 1: invalid type: 1.5, expected u8"),
            ("large = -1", "line 1: invalid value: integer `-1`, expected u64"),
            ("large = 0x8000000000000000", "line 1: the number 0x8000000000000000 is too large"),
            ("text = 0x8000000000000000", "line 1: the number 0x8000000000000000 is too large"),
            ("yes = 'true'", "line 1: invalid type: string \"true\", expected a boolean"),
            ("list = [\n1,\n'x' ]", "line 3: invalid type: string \"x\", expected i64"),
            ("list = {}", "line 1: invalid type: map, expected a sequence"),
            ("table = true", "line 1: invalid type: boolean `true`, expected a map"),
            ("[table]\na = 'b'\nc = []", "line 3: invalid type: sequence, expected a string"),
            ("below = [1]", "line 1: invalid type: sequence, expected struct All"),
            ("\n[below]\n\nbelow.txt = 1", "line 4: unknown field `txt`, expected one of `text`, `number`, "),
            ("one = 'other'", "line 1: unknown variant `other`, expected `this` or `that`"),
            ("one.this = 1", "line 1: invalid type: map, expected one of `this`, `that`"),
            ("text = 'a'\ntext = 'b'", "line 2: duplicate key"),
            ("text = ", "line 1: "),
        ] {
            let fault = read_text::<All>(text).unwrap_err().told(text).to_string();
            assert!(fault.starts_with(told), "{text}: {fault}");
        }
    }

    #[test]
    fn a_key_that_is_missing_is_told_with_the_line_of_its_table() {
        #[derive(Debug, Deserialize)]
        struct Outer {
            #[expect(dead_code)]
            inner: Vec<Inner>,
        }
        #[derive(Debug, Deserialize)]
        struct Inner {
            #[expect(dead_code)]
            key: String,
        }
        let text = "[[inner]]\nkey = 'x'\n[[inner]]\n";
        let fault = read_text::<Outer>(text).unwrap_err().told(text).to_string();
        assert_eq!(fault, "line 3: missing field `key`");
    }
}
