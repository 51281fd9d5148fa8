//! OTLP in JSON, made of OTLP in protobuf without types in between.
//!
//! What stands in the protobuf is written, under the name that [`tables`] has for it: ids in
//! hexadecimal, enumerations as numbers, integers of 64 bits and numbers that are none as text
//! (the OTLP specification, "JSON Protobuf Encoding"). What is missing stays missing, so there is
//! no `null`. The types of `opentelemetry-proto` can be written as JSON too, but as `null` for each
//! message that is missing and for each number that is not finite, which loses it.

mod tables;

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::exporter::Unfit;
use super::parcel::{Parcel, Signal};
use crate::protobuf::{Field, Fields, varints};
use tables::{Form, Message, Spec};

/// How deep messages may be nested: far below what JSON readers allow, of which each level of a
/// value takes three.
const MAX_DEPTH: usize = 40;

/// The export request of `parcel` in JSON, in one line without an end.
///
/// # Errors
/// When it is not the request that it should be, or is nested too deep.
pub(super) fn of(parcel: &Parcel) -> Result<Vec<u8>, Unfit> {
    let table = match parcel.signal {
        Signal::Traces => &tables::TRACES,
        Signal::Metrics => &tables::METRICS,
        Signal::Logs => &tables::LOGS,
    };
    let mut out = Vec::with_capacity(parcel.message.len() * 2);
    message(&mut out, &parcel.message, table, MAX_DEPTH)?;
    Ok(out)
}

fn broken() -> Unfit {
    Unfit("it is not the protobuf of an OTLP request".to_owned())
}

/// Writes the object of a message that may hold `depth` more within each other.
fn message(out: &mut Vec<u8>, bytes: &[u8], table: &Message, depth: usize) -> Result<(), Unfit> {
    let depth = depth.checked_sub(1).ok_or_else(|| Unfit("it is nested too deep".to_owned()))?;
    let mut object = Object::open(out);
    let mut written = 0_u64;
    let mut fields = Fields::new(bytes);
    let whole = fields.clone();
    for (number, _) in fields.by_ref() {
        let Some((at, spec)) = find(table, number) else { continue };
        if written & 1 << at == 0 {
            written |= 1 << at;
            field(object.name(spec.name), &whole, spec, depth)?;
        }
    }
    if !fields.is_at_end() {
        return Err(broken());
    }
    for (at, spec) in table.0.iter().enumerate() {
        if spec.is_required && written & 1 << at == 0 {
            let empty: &[u8] = if spec.is_list { b"[]" } else { b"\"\"" };
            object.name(spec.name).extend_from_slice(empty);
        }
    }
    object.close();
    Ok(())
}

fn find(table: &Message, number: u64) -> Option<(usize, &Spec)> {
    table.0.iter().enumerate().find(|(_, spec)| spec.number == number)
}

/// An object that is being written.
struct Object<'a> {
    out: &'a mut Vec<u8>,
    is_empty: bool,
}

impl<'a> Object<'a> {
    fn open(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, is_empty: true }
    }

    /// Begins a field, whose value the caller writes.
    fn name(&mut self, name: &str) -> &mut Vec<u8> {
        if !std::mem::take(&mut self.is_empty) {
            self.out.push(b',');
        }
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    fn close(self) {
        self.out.push(b'}');
    }
}

fn field(out: &mut Vec<u8>, fields: &Fields<'_>, spec: &Spec, depth: usize) -> Result<(), Unfit> {
    if !spec.is_list {
        let last = fields.field(spec.number).ok_or_else(broken)?;
        return value(out, last, spec.form, depth);
    }
    out.push(b'[');
    let start = out.len();
    for (_, item) in fields.clone().filter(|(number, _)| *number == spec.number) {
        each(item, spec.form, |item| {
            if out.len() > start {
                out.push(b',');
            }
            value(out, item, spec.form, depth)
        })?;
    }
    out.push(b']');
    Ok(())
}

/// Gives the items of a list that may stand in one field together.
fn each<'a>(
    field: Field<'a>,
    form: Form,
    mut give: impl FnMut(Field<'a>) -> Result<(), Unfit>,
) -> Result<(), Unfit> {
    match (field, form) {
        (Field::Bytes(packed), Form::Fixed64 | Form::Double) => {
            let (items, rest) = packed.as_chunks();
            if !rest.is_empty() {
                return Err(broken());
            }
            items.iter().try_for_each(|item| give(Field::Fixed64(u64::from_le_bytes(*item))))
        }
        (Field::Bytes(packed), Form::Uint64) => {
            varints(packed).try_for_each(|item| give(Field::Uint(item)))
        }
        _ => give(field),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "how protobuf has signed numbers, and cuts those that are too long"
)]
fn value(out: &mut Vec<u8>, field: Field<'_>, form: Form, depth: usize) -> Result<(), Unfit> {
    let written = match (form, field) {
        (Form::Of(table), Field::Bytes(bytes)) => return message(out, bytes, table, depth),
        (Form::Text, Field::Bytes(bytes)) => {
            serde_json::to_writer(&mut *out, &*String::from_utf8_lossy(bytes)).map_err(Into::into)
        }
        (Form::Hex, Field::Bytes(bytes)) => {
            out.push(b'"');
            let written = bytes.iter().try_for_each(|byte| write!(out, "{byte:02x}"));
            out.push(b'"');
            written
        }
        (Form::Base64, Field::Bytes(bytes)) => write!(out, "\"{}\"", STANDARD.encode(bytes)),
        (Form::Bool, Field::Uint(value)) => write!(out, "{}", value != 0),
        (Form::Int32, Field::Uint(value)) => write!(out, "{}", value as i32),
        (Form::Uint32, Field::Uint(value)) => write!(out, "{}", value as u32),
        (Form::Sint32, Field::Uint(value)) => write!(out, "{}", zigzag(value as u32)),
        (Form::Fixed32, Field::Fixed32(value)) => write!(out, "{value}"),
        (Form::Int64, Field::Uint(value)) | (Form::Sfixed64, Field::Fixed64(value)) => {
            write!(out, "\"{}\"", value as i64)
        }
        (Form::Uint64, Field::Uint(value)) | (Form::Fixed64, Field::Fixed64(value)) => {
            write!(out, "\"{value}\"")
        }
        (Form::Double, Field::Fixed64(bits)) => double(out, f64::from_bits(bits)),
        _ => return Err(broken()),
    };
    written.expect("memory takes what is written");
    Ok(())
}

const fn zigzag(value: u32) -> i32 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

fn double(out: &mut Vec<u8>, value: f64) -> std::io::Result<()> {
    match value {
        value if value.is_nan() => write!(out, "\"NaN\""),
        f64::INFINITY => write!(out, "\"Infinity\""),
        f64::NEG_INFINITY => write!(out, "\"-Infinity\""),
        value => serde_json::to_writer(out, &value).map_err(Into::into),
    }
}

#[cfg(test)]
mod tests;
