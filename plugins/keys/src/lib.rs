//! The configuration that Pliant gives to a plugin, read in a few kilobytes: one JSON object whose values are booleans,
//! numbers, text and lists of those. A plugin whose size does not matter takes `serde_json`.

use std::str::Chars;

/// A value of the configuration.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Boolean(bool),
    /// As it is written.
    Number(String),
    Text(String),
    List(Vec<Value>),
}

/// All keys with their values.
pub struct Keys(Vec<(String, Value)>);

impl Keys {
    /// Reads the object.
    pub fn read(text: &str) -> Result<Self, String> {
        let mut input = Input { rest: text.chars() };
        let keys = input.object().ok_or("the configuration is no JSON object of plain values")?;
        Ok(Self(keys))
    }

    pub fn boolean(&self, key: &str) -> Result<bool, String> {
        match self.get(key)? {
            Value::Boolean(value) => Ok(*value),
            _ => Err(other(key)),
        }
    }

    pub fn number(&self, key: &str) -> Result<f64, String> {
        match self.get(key)? {
            Value::Number(digits) => digits.parse().map_err(|_| other(key)),
            _ => Err(other(key)),
        }
    }

    pub fn text(&self, key: &str) -> Result<String, String> {
        match self.get(key)? {
            Value::Text(text) => Ok(text.clone()),
            _ => Err(other(key)),
        }
    }

    pub fn texts(&self, key: &str) -> Result<Vec<String>, String> {
        let Value::List(values) = self.get(key)? else { return Err(other(key)) };
        let text = |value: &Value| match value {
            Value::Text(text) => Ok(text.clone()),
            _ => Err(other(key)),
        };
        values.iter().map(text).collect()
    }

    fn get(&self, key: &str) -> Result<&Value, String> {
        let found = self.0.iter().find(|(name, _)| name == key);
        found.map(|(_, value)| value).ok_or_else(|| ["the key ", key, " is missing"].concat())
    }
}

fn other(key: &str) -> String {
    ["the key ", key, " holds a value of another type"].concat()
}

struct Input<'a> {
    rest: Chars<'a>,
}

impl Input<'_> {
    fn object(&mut self) -> Option<Vec<(String, Value)>> {
        let mut keys = Vec::new();
        self.expect('{')?;
        if self.takes('}') {
            return Some(keys);
        }
        loop {
            self.expect('"')?;
            let key = self.text()?;
            self.expect(':')?;
            keys.push((key, self.value()?));
            if !self.takes(',') {
                self.expect('}')?;
                return Some(keys);
            }
        }
    }

    fn value(&mut self) -> Option<Value> {
        if self.takes('"') {
            return self.text().map(Value::Text);
        }
        if self.takes('[') {
            let mut values = Vec::new();
            if self.takes(']') {
                return Some(Value::List(values));
            }
            loop {
                values.push(self.value()?);
                if !self.takes(',') {
                    self.expect(']')?;
                    return Some(Value::List(values));
                }
            }
        }
        let rest = self.rest.as_str();
        let end = rest.find([',', ']', '}']).unwrap_or(rest.len());
        let word = rest[..end].trim();
        self.rest = rest[end..].chars();
        match word {
            "true" => Some(Value::Boolean(true)),
            "false" => Some(Value::Boolean(false)),
            word if word.starts_with(|first: char| first == '-' || first.is_ascii_digit()) => {
                Some(Value::Number(word.to_owned()))
            }
            _ => None,
        }
    }

    /// A text behind its first quote.
    fn text(&mut self) -> Option<String> {
        let mut text = String::new();
        loop {
            match self.rest.next()? {
                '"' => return Some(text),
                '\\' => text.push(self.escaped()?),
                letter => text.push(letter),
            }
        }
    }

    fn escaped(&mut self) -> Option<char> {
        match self.rest.next()? {
            'n' => Some('\n'),
            't' => Some('\t'),
            'r' => Some('\r'),
            'b' => Some('\u{8}'),
            'f' => Some('\u{c}'),
            // Pliant writes letters as they are, and so only control characters of one number.
            'u' => (0..4)
                .try_fold(0, |code, _| Some(code * 16 + self.rest.next()?.to_digit(16)?))
                .and_then(char::from_u32),
            letter => Some(letter),
        }
    }

    fn takes(&mut self, letter: char) -> bool {
        let rest = self.rest.as_str().trim_start();
        let found = rest.strip_prefix(letter);
        self.rest = found.unwrap_or(rest).chars();
        found.is_some()
    }

    fn expect(&mut self, letter: char) -> Option<()> {
        self.takes(letter).then_some(())
    }
}
