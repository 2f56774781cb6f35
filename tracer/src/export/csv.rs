//! CSV as RFC 4180 has it: a line of names, then a line per event; lines end with CR LF.
//!
//! Nothing between two commas is a missing value, `""` an empty text.

use std::io::{self, Write};

use jiff::Timestamp;

use super::row::{COLUMNS, Source, Value};
use tracer_model::escape;

/// Writes events as CSV.
pub struct Csv<W> {
    out: W,
    /// For a terminal: what steers it is made visible.
    escaped: bool,
    line: String,
}

impl<W: Write> Csv<W> {
    /// Writes the line of names.
    ///
    /// # Errors
    /// When writing fails.
    pub fn new(mut out: W, escaped: bool) -> io::Result<Self> {
        let names: Vec<_> = COLUMNS.iter().map(|column| column.name).collect();
        write!(out, "{}\r\n", names.join(","))?;
        Ok(Self {
            out,
            escaped,
            line: String::new(),
        })
    }

    /// Writes the line of an event.
    ///
    /// # Errors
    /// When writing fails.
    pub fn event(&mut self, source: &Source<'_>) -> io::Result<()> {
        self.line.clear();
        for (index, column) in COLUMNS.iter().enumerate() {
            if index > 0 {
                self.line.push(',');
            }
            match column.value {
                Value::Time(value) => {
                    let time = value(source).map(i128::from);
                    let time = time.and_then(|ns| Timestamp::from_nanosecond(ns).ok());
                    if let Some(time) = time {
                        self.line.push_str(&format!("{time:.9}"));
                    }
                }
                Value::Integer(value) => {
                    if let Some(number) = value(source) {
                        self.line.push_str(&number.to_string());
                    }
                }
                Value::Flag(value) => {
                    if let Some(flag) = value(source) {
                        self.line.push_str(if flag { "true" } else { "false" });
                    }
                }
                Value::Text(value) => {
                    if let Some(text) = value(source) {
                        match self.escaped {
                            true => quote(&mut self.line, &escape::name(text.as_bytes())),
                            false => quote(&mut self.line, &text),
                        }
                    }
                }
            }
        }
        self.line.push_str("\r\n");
        self.out.write_all(self.line.as_bytes())
    }

    /// Ends the file.
    ///
    /// # Errors
    /// When writing fails.
    pub fn finish(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// A field, in quotes where RFC 4180 needs them, or where it would look like a missing value.
pub fn quote(line: &mut String, text: &str) {
    let plain = !text.is_empty()
        && !text.starts_with(' ')
        && !text.ends_with(' ')
        && !text.contains([',', '"', '\r', '\n']);
    if plain {
        return line.push_str(text);
    }
    line.push('"');
    line.push_str(&text.replace('"', "\"\""));
    line.push('"');
}
