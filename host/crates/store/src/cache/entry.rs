//! One row: what it holds, and how it is known to be undamaged.

use rusqlite::Row;
use rusqlite::types::ValueRef;

use super::error::Damage;
use super::key::Key;

/// Bytes of a checksum.
pub(super) const CHECKSUM_BYTES: usize = 16;

/// Bytes of the hash that stands for a file of states.
pub(super) const HASH_BYTES: usize = 32;

/// Names what is hashed for a checksum.
const FORM: &str = "pliant cache row 1";

/// The columns that [`Columns::read`] wants, in their order. `data` is read only where its length is within
/// `?1..=?2`, so that a length that somebody made up is not allocated.
pub(super) const COLUMNS: &str = "CASE WHEN length(key) = 32 THEN key END, kind, rows, width, \
     CASE WHEN length(data) BETWEEN ?1 AND ?2 THEN data END, created, last_used, \
     CASE WHEN length(checksum) = 16 THEN checksum END";

/// What an entry holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One vector `[C]`, in the row itself.
    Pooled,
    /// States `[L, C]`, in a file beside the database.
    Residues,
}

impl Kind {
    /// The number in the column.
    pub(super) fn number(self) -> i64 {
        match self {
            Self::Pooled => 1,
            Self::Residues => 2,
        }
    }
}

/// The shape of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// What it is.
    pub kind: Kind,
    /// L, residues with a result; 1 for a pooled vector.
    pub rows: usize,
    /// C
    pub width: usize,
}

impl Shape {
    /// Bytes of the values as f32.
    pub(super) fn bytes(self) -> usize {
        self.rows.saturating_mul(self.width).saturating_mul(size_of::<f32>())
    }

    /// Bytes of the column `data`.
    pub(super) fn column_bytes(self) -> usize {
        match self.kind {
            Kind::Pooled => self.bytes(),
            Kind::Residues => HASH_BYTES,
        }
    }
}

/// A row as it stands in the table, but for its checksum.
#[derive(Debug, Clone, Copy)]
pub(super) struct Columns<'a> {
    pub(super) key: Key,
    pub(super) kind: i64,
    pub(super) rows: i64,
    pub(super) width: i64,
    pub(super) data: &'a [u8],
    /// Day on which it was written, from 1970-01-01.
    pub(super) created: i64,
    /// Day on which it was last read.
    pub(super) last_used: i64,
}

impl<'a> Columns<'a> {
    /// The row that `COLUMNS` selected, once its checksum is known to be right.
    pub(super) fn read(row: &'a Row<'_>) -> Result<(Self, [u8; CHECKSUM_BYTES]), Damage> {
        let columns = Self {
            key: Key::from_bytes(blob(row, 0)?).ok_or(Damage::Column { column: "key" })?,
            kind: integer(row, 1, "kind")?,
            rows: integer(row, 2, "rows")?,
            width: integer(row, 3, "width")?,
            data: blob(row, 4)?,
            created: integer(row, 5, "created")?,
            last_used: integer(row, 6, "last_used")?,
        };
        let checksum = blob(row, 7)?.try_into().map_err(|_| Damage::Column { column: "checksum" })?;
        if columns.checksum() != checksum {
            return Err(Damage::Checksum);
        }
        Ok((columns, checksum))
    }

    /// BLAKE3 over every column, 16 bytes of it.
    pub(super) fn checksum(&self) -> [u8; CHECKSUM_BYTES] {
        let mut hasher = blake3::Hasher::new_derive_key(FORM);
        hasher.update(&self.key.0);
        for number in [self.kind, self.rows, self.width, self.created, self.last_used] {
            hasher.update(&number.to_le_bytes());
        }
        hasher.update(&(self.data.len() as u64).to_le_bytes()).update(self.data);
        let mut checksum = [0; CHECKSUM_BYTES];
        hasher.finalize_xof().fill(&mut checksum);
        checksum
    }

    /// The shape that the row says it has, where it is one.
    pub(super) fn shape(&self) -> Result<Shape, Damage> {
        let kinds = [Kind::Pooled, Kind::Residues];
        let kind = kinds.into_iter().find(|kind| kind.number() == self.kind).ok_or(Damage::Shape)?;
        let count = |number: i64| usize::try_from(number).ok().filter(|number| *number > 0);
        let (rows, width) = count(self.rows).zip(count(self.width)).ok_or(Damage::Shape)?;
        let shape = Shape { kind, rows, width };
        let fits = self.data.len() == shape.column_bytes() && (kind == Kind::Residues || rows == 1);
        if fits { Ok(shape) } else { Err(Damage::Shape) }
    }

    /// The hash of the file that an entry of states names.
    pub(super) fn hash(&self) -> Option<[u8; HASH_BYTES]> {
        self.data.try_into().ok().filter(|_| self.kind == Kind::Residues.number())
    }
}

fn integer(row: &Row<'_>, index: usize, column: &'static str) -> Result<i64, Damage> {
    match row.get_ref(index) {
        Ok(ValueRef::Integer(number)) => Ok(number),
        _ => Err(Damage::Column { column }),
    }
}

fn blob<'a>(row: &'a Row<'_>, index: usize) -> Result<&'a [u8], Damage> {
    let column = ["key", "kind", "rows", "width", "data", "created", "last_used", "checksum"][index];
    match row.get_ref(index) {
        Ok(ValueRef::Blob(bytes)) => Ok(bytes),
        _ => Err(Damage::Column { column }),
    }
}

/// Values as they are kept: f32, little-endian.
pub(super) fn to_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// The values that were kept, all of them numbers.
pub(super) fn to_values(bytes: &[u8]) -> Result<Vec<f32>, Damage> {
    let (numbers, rest) = bytes.as_chunks::<4>();
    let values: Vec<f32> = numbers.iter().map(|number| f32::from_le_bytes(*number)).collect();
    if rest.is_empty() && values.iter().all(|value| value.is_finite()) {
        Ok(values)
    } else {
        Err(Damage::NotFinite)
    }
}

/// Days since 1970-01-01; 0 where the clock stands before.
pub(super) fn today() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_secs() / 86_400).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_bit_for_bit() {
        let values = [0.0, -0.0, 1.5, f32::MIN_POSITIVE / 2.0, f32::MAX, -3.25e-12];
        let back = to_values(&to_bytes(&values)).unwrap();
        assert!(values.iter().zip(&back).all(|(one, other)| one.to_bits() == other.to_bits()));
        assert!(to_values(&to_bytes(&[1.0, f32::NAN])).is_err());
        assert!(to_values(&[0; 5]).is_err());
    }

    #[test]
    fn a_shape_must_fit_the_data() {
        let columns = |kind, rows, width, data| Columns {
            key: Key([7; 32]),
            kind,
            rows,
            width,
            data,
            created: 0,
            last_used: 0,
        };
        assert!(columns(1, 1, 2, &[0; 8]).shape().is_ok());
        assert!(columns(2, 1 << 40, 2, &[0; 32]).shape().is_ok(), "the file is what limits it");
        for (kind, rows, width, data) in [
            (0, 1, 2, &[0; 8][..]),
            (1, 2, 1, &[0; 8]),
            (1, 1, 3, &[0; 8]),
            (1, 1, -2, &[0; 8]),
            (1, 0, 0, &[]),
            (2, 1, 2, &[0; 8]),
            (2, i64::MAX, i64::MAX, &[0; 31]),
        ] {
            assert_eq!(columns(kind, rows, width, data).shape(), Err(Damage::Shape));
        }
    }
}
