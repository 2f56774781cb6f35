//! Parquet: a flat table that DuckDB, pandas and Spark read as it is.
//!
//! Every column is OPTIONAL. Times are TIMESTAMP(MICROS, UTC), the finest that all of them read; `time_ns` has the
//! rest. Memory is bounded by a group of rows: so many rows, and so many bytes of text.

use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;

use ::parquet::basic::{
    Compression, LogicalType, Repetition, TimeUnit, Type as Physical, ZstdLevel,
};
use ::parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, Int64Type};
use ::parquet::errors::ParquetError;
use ::parquet::file::metadata::KeyValue;
use ::parquet::file::properties::{EnabledStatistics, WriterProperties};
use ::parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use ::parquet::schema::types::{ColumnPath, Type, TypePtr};

use super::row::{COLUMNS, Source, Value};

/// Rows of a group at most.
pub const GROUP_ROWS: usize = 64 << 10;
/// Bytes of different texts of a group, about, at most.
const GROUP_TEXT: usize = 8 << 20;
/// Rows handed over at once.
const BATCH: usize = 4096;
/// Level of zstd: as the trace itself.
const LEVEL: i32 = 3;

/// Columns whose values hardly ever come twice: a dictionary only costs.
const DISTINCT: [&str; 3] = ["time", "time_ns", "boot_ns"];

/// Writes events as parquet.
pub struct Parquet<W: Write + Send> {
    file: SerializedFileWriter<W>,
    columns: Vec<Cells>,
    rows: usize,
    text_bytes: usize,
}

/// The values of a column in a group of rows.
struct Cells {
    /// Whether a row has a value; rows at the end that have none are left out.
    present: Vec<bool>,
    values: Values,
}

enum Values {
    Integers(Vec<i64>),
    Flags(Vec<bool>),
    /// Each text once, and which one a row has.
    Texts {
        numbers: HashMap<Box<str>, u32, foldhash::fast::FixedState>,
        texts: Vec<ByteArray>,
        rows: Vec<u32>,
    },
}

impl<W: Write + Send> Parquet<W> {
    /// Begins the file.
    ///
    /// # Errors
    /// When writing fails.
    pub fn new(out: W) -> Result<Self, ParquetError> {
        let mut properties = WriterProperties::builder()
            .set_created_by(format!("sendtrace version {}", env!("CARGO_PKG_VERSION")))
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(LEVEL)?))
            .set_statistics_enabled(EnabledStatistics::Chunk);
        for name in DISTINCT {
            properties = properties.set_column_dictionary_enabled(ColumnPath::from(name), false);
        }
        let file = SerializedFileWriter::new(out, schema()?, Arc::new(properties.build()))?;
        let columns = COLUMNS.iter().map(|column| Cells::new(&column.value));
        Ok(Self {
            file,
            columns: columns.collect(),
            rows: 0,
            text_bytes: 0,
        })
    }

    /// Adds the row of an event.
    ///
    /// # Errors
    /// When writing fails.
    pub fn event(&mut self, source: &Source<'_>) -> Result<(), ParquetError> {
        for (column, cells) in COLUMNS.iter().zip(&mut self.columns) {
            match (&column.value, &mut cells.values) {
                (Value::Time(value), Values::Integers(values)) => {
                    // Cut, not rounded: no event moves into the next second.
                    let value = value(source).map(|ns| ns.div_euclid(1000));
                    put(&mut cells.present, values, self.rows, value);
                }
                (Value::Integer(value), Values::Integers(values)) => {
                    put(&mut cells.present, values, self.rows, value(source));
                }
                (Value::Flag(value), Values::Flags(values)) => {
                    put(&mut cells.present, values, self.rows, value(source));
                }
                (
                    Value::Text(value),
                    Values::Texts {
                        numbers,
                        texts,
                        rows,
                    },
                ) => {
                    let Some(text) = value(source) else { continue };
                    let number = match numbers.get(text.as_ref()) {
                        Some(number) => *number,
                        None => {
                            // A group has fewer rows than 2^32.
                            let number = texts.len() as u32;
                            numbers.insert(text.as_ref().into(), number);
                            self.text_bytes += 2 * text.len() + 128;
                            texts.push(ByteArray::from(text.as_ref()));
                            number
                        }
                    };
                    put(&mut cells.present, rows, self.rows, Some(number));
                }
                // `Cells::new` made them fit.
                _ => {}
            }
        }
        self.rows += 1;
        if self.rows == GROUP_ROWS || self.text_bytes > GROUP_TEXT {
            self.write_group()?;
        }
        Ok(())
    }

    /// Ends the file, with facts about the whole of it.
    ///
    /// # Errors
    /// When writing fails.
    pub fn finish(mut self, facts: &[(&str, String)]) -> Result<(), ParquetError> {
        self.write_group()?;
        for (key, value) in facts {
            let fact = KeyValue::new((*key).to_owned(), value.clone());
            self.file.append_key_value_metadata(fact);
        }
        self.file.finish()?;
        Ok(())
    }

    fn write_group(&mut self) -> Result<(), ParquetError> {
        if self.rows == 0 {
            return Ok(());
        }
        let mut group = self.file.next_row_group()?;
        for cells in &mut self.columns {
            let Some(column) = group.next_column()? else {
                break;
            };
            cells.write(column, self.rows)?;
        }
        group.close()?;
        (self.rows, self.text_bytes) = (0, 0);
        Ok(())
    }
}

impl Cells {
    fn new(value: &Value) -> Self {
        Self {
            present: Vec::new(),
            values: match value {
                Value::Time(_) | Value::Integer(_) => Values::Integers(Vec::new()),
                Value::Flag(_) => Values::Flags(Vec::new()),
                Value::Text(_) => Values::Texts {
                    numbers: HashMap::default(),
                    texts: Vec::new(),
                    rows: Vec::new(),
                },
            },
        }
    }

    /// Writes and forgets them.
    fn write(
        &mut self,
        mut column: SerializedColumnWriter<'_>,
        rows: usize,
    ) -> Result<(), ParquetError> {
        self.present.resize(rows, false);
        match &mut self.values {
            Values::Integers(values) => {
                write::<Int64Type, _>(&mut column, &self.present, values, |value| *value)?;
                values.clear();
            }
            Values::Flags(values) => {
                write::<BoolType, _>(&mut column, &self.present, values, |value| *value)?;
                values.clear();
            }
            Values::Texts {
                numbers,
                texts,
                rows,
            } => {
                write::<ByteArrayType, _>(&mut column, &self.present, rows, |number| {
                    // Numbers are places in `texts`.
                    texts[*number as usize].clone()
                })?;
                numbers.clear();
                texts.clear();
                rows.clear();
            }
        }
        self.present.clear();
        column.close()
    }
}

fn put<T>(present: &mut Vec<bool>, values: &mut Vec<T>, row: usize, value: Option<T>) {
    if let Some(value) = value {
        present.resize(row, false);
        present.push(true);
        values.push(value);
    }
}

/// Hands values over, some at a time.
fn write<T: DataType, V>(
    column: &mut SerializedColumnWriter<'_>,
    present: &[bool],
    values: &[V],
    value: impl Fn(&V) -> T::T,
) -> Result<(), ParquetError> {
    let mut values = values.iter();
    let column = column.typed::<T>();
    for present in present.chunks(BATCH) {
        let levels: Vec<i16> = present.iter().map(|present| i16::from(*present)).collect();
        let count = present.iter().filter(|present| **present).count();
        let batch: Vec<T::T> = values.by_ref().take(count).map(&value).collect();
        column.write_batch(&batch, Some(&levels), None)?;
    }
    Ok(())
}

fn schema() -> Result<TypePtr, ParquetError> {
    let field = |column: &super::row::Column| {
        let (physical, logical) = match column.value {
            Value::Time(_) => (
                Physical::INT64,
                Some(LogicalType::timestamp(true, TimeUnit::MICROS)),
            ),
            Value::Integer(_) => (Physical::INT64, None),
            Value::Flag(_) => (Physical::BOOLEAN, None),
            Value::Text(_) => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        };
        let field = Type::primitive_type_builder(column.name, physical)
            .with_repetition(Repetition::OPTIONAL)
            .with_logical_type(logical)
            .build()?;
        Ok(Arc::new(field))
    };
    let fields = COLUMNS
        .iter()
        .map(field)
        .collect::<Result<Vec<_>, ParquetError>>()?;
    Ok(Arc::new(
        Type::group_type_builder("events")
            .with_fields(fields)
            .build()?,
    ))
}
