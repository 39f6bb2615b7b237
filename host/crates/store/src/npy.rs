//! Headers and strings of numpy arrays.

use std::io;

use npyz::{DType, NpyHeader, TypeStr, WriteOptions, WriterBuilder};

use crate::values::OutDtype;

/// Longest header that is read. Those of this crate have 128 bytes; numpy itself stops at 10,000.
const MAX_HEADER_BYTES: usize = 10_000;

/// The numpy name of a number type.
pub(crate) fn descr(dtype: OutDtype) -> &'static str {
    match dtype {
        OutDtype::F32 => "<f4",
        OutDtype::F16 => "<f2",
    }
}

/// The numpy name of strings of up to `longest` characters. numpy knows no strings of width 0.
pub(crate) fn string_descr(longest: usize) -> String {
    format!("<U{}", longest.max(1))
}

/// Everything of an array in front of its data.
///
/// # Errors
/// A type that numpy does not have.
pub(crate) fn header(descr: &str, shape: &[u64]) -> io::Result<Vec<u8>> {
    let known: TypeStr = descr.parse().map_err(io::Error::other)?;
    WriteOptions::new_header_only()
        .dtype(DType::new_scalar(known))
        .shape(shape)
        .writer(Vec::new())
        .write_header_only()
}

/// Appends `text` as UTF-32 with zeros up to `longest` characters, at least one.
pub(crate) fn put_string(text: &str, longest: usize, into: &mut Vec<u8>) {
    let end = into.len() + longest.max(1) * 4;
    into.extend(text.chars().flat_map(|letter| u32::from(letter).to_le_bytes()));
    into.resize(end, 0);
}

/// Reads a header from the front of `bytes`: type, shape and where the data begins.
///
/// # Errors
/// A header that is broken, too long, in Fortran order, or that announces 2^63 items or more. What
/// passes cannot make the parser recurse deeply or overflow.
pub(crate) fn read_header(mut bytes: &[u8]) -> io::Result<(String, Vec<u64>, usize)> {
    let total = bytes.len();
    check_header(bytes)?;
    let header = NpyHeader::from_reader(&mut bytes)?;
    if header.order() != npyz::Order::C && header.shape().len() > 1 {
        return Err(bad("its array is in Fortran order, C order was wanted"));
    }
    let descr = match header.dtype() {
        DType::Plain(plain) => plain.to_string(),
        _ => return Err(bad("its array has fields, plain numbers or strings were wanted")),
    };
    Ok((descr, header.shape().to_vec(), total - bytes.len()))
}

/// Bounds a header before the parser sees it.
fn check_header(bytes: &[u8]) -> io::Result<()> {
    let length = match (bytes.get(..8), bytes.get(8..12)) {
        (Some(b"\x93NUMPY\x01\x00"), Some(size)) => 2 + usize::from(u16::from_le_bytes([size[0], size[1]])),
        (Some(b"\x93NUMPY\x02\x00" | b"\x93NUMPY\x03\x00"), Some(size)) => {
            4 + u32::from_le_bytes([size[0], size[1], size[2], size[3]]) as usize
        }
        _ => return Err(bad("it does not begin as a numpy array of format 1 to 3")),
    };
    if length > MAX_HEADER_BYTES {
        return Err(bad("its header has more than 10,000 bytes"));
    }
    let text = bytes.get(8..8 + length).ok_or_else(|| bad("its header is cut off"))?;
    let opens = text.iter().filter(|byte| matches!(byte, b'(' | b'[' | b'{')).count();
    if opens > 2 {
        return Err(bad("its header is nested, one array of plain numbers or strings was wanted"));
    }
    // Multiplies every whole number in the header, so the shape and its strides are bounded.
    text.split(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_')
        .filter(|word| word.first().is_some_and(u8::is_ascii_digit))
        .try_fold(1_i64, |product, word| {
            let number: i64 = std::str::from_utf8(word).ok()?.parse().ok()?;
            product.checked_mul(number.max(1))
        })
        .map(|_| ())
        .ok_or_else(|| bad("its shape is too large"))
}

/// An error about the content of a file.
pub(crate) fn bad(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_back() {
        for (descr, shape) in [("<f4", vec![3, 320]), ("<f2", vec![0, 5]), ("<i8", vec![7]), ("<U12", vec![])]
        {
            let mut bytes = header(descr, &shape).unwrap();
            assert_eq!(bytes.len() % 64, 0, "numpy aligns data to 64 bytes");
            let length = bytes.len();
            bytes.extend_from_slice(b"data");
            assert_eq!(read_header(&bytes).unwrap(), (descr.to_owned(), shape, length));
        }
    }

    #[test]
    fn hostile_headers_are_errors() {
        let make = |dictionary: &str| {
            let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
            bytes.extend_from_slice(&(dictionary.len() as u16).to_le_bytes());
            bytes.extend_from_slice(dictionary.as_bytes());
            bytes
        };
        let deep = format!("{{'descr': '<f4', 'shape': {}", "(".repeat(9_000));
        for text in [
            "{'descr': '<f4', 'fortran_order': False, 'shape': (9999999999, 9999999999), }",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999999), }",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (0xffffffffffffffff, 3), }",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (18_446_744_073_709_551_615, 3), }",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (-3, 3), }",
            "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }",
            "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,), }",
            "{'descr': '<f4', 'fortran_order': False}",
            "",
            &deep,
        ] {
            assert!(read_header(&make(text)).is_err(), "{text:.80}");
        }
        let whole = make("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n");
        assert!(read_header(&whole).is_ok());
        for end in 0..whole.len() {
            assert!(read_header(&whole[..end]).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn strings_are_padded() {
        let mut bytes = Vec::new();
        put_string("aé", 3, &mut bytes);
        put_string("", 0, &mut bytes);
        assert_eq!(bytes, [b'a', 0, 0, 0, 0xe9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    }
}
