//! The messages of PostgreSQL's output plugin `pgoutput`, protocol versions 1 and 2.
//!
//! Crates that read them exist, but want `chrono` and a second TLS library, which `deny.toml` keeps out.

use bytes::{Buf, Bytes};

use super::lsn::Lsn;

/// A message of the plugin.
#[derive(Debug, PartialEq)]
pub(super) enum Output {
    /// A transaction begins.
    Begin { xid: u32 },
    /// The transaction has been committed.
    Commit { lsn: Lsn, end: Lsn, at_micros: i64 },
    /// The form of a table, before its first row and after each change of the form.
    Relation(Relation),
    /// A row was inserted.
    Insert { xid: Option<u32>, relation: u32, new: Tuple },
    /// A row was updated.
    Update { xid: Option<u32>, relation: u32, old: Option<OldTuple>, new: Tuple },
    /// A row was deleted.
    Delete { xid: Option<u32>, relation: u32, old: OldTuple },
    /// Tables were truncated.
    Truncate { xid: Option<u32>, relations: Vec<u32> },
    /// A message of `pg_logical_emit_message`.
    Message { xid: Option<u32>, transactional: bool, prefix: String, content: Bytes },
    /// Rows of a transaction in progress follow.
    StreamStart { xid: u32 },
    /// The rows of a transaction in progress end for now.
    StreamStop,
    /// A transaction that came in streams has been committed.
    StreamCommit { xid: u32, lsn: Lsn, end: Lsn, at_micros: i64 },
    /// A transaction that came in streams, or a part of it, was rolled back.
    StreamAbort { xid: u32, part: u32 },
    /// A type or an origin, which says nothing that is needed.
    Other,
}

/// The form of a table.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Relation {
    pub(super) id: u32,
    pub(super) schema: String,
    pub(super) table: String,
    /// `d` default, `i` index, `f` full, `n` nothing.
    pub(super) identity: u8,
    pub(super) columns: Vec<Column>,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Column {
    pub(super) is_identity: bool,
    pub(super) name: String,
    pub(super) type_id: u32,
}

/// The values of a row, in the order of the columns.
pub(super) type Tuple = Vec<Cell>;

/// The values of a row before a change.
#[derive(Debug, PartialEq)]
pub(super) struct OldTuple {
    /// Whether only the columns of the identity are there.
    pub(super) only_identity: bool,
    pub(super) tuple: Tuple,
}

/// One value of a row.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell {
    Null,
    /// A large value that did not change, and is not sent.
    Unchanged,
    Text(Bytes),
}

/// A message that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a message of pgoutput ends too early or is not known")]
pub(crate) struct OutputError;

/// Reads messages. Within a stream each message carries the xid of its subtransaction.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    in_stream: bool,
}

impl Decoder {
    /// Reads one message.
    pub(super) fn read(&mut self, message: Bytes) -> Result<Output, OutputError> {
        let mut rest = Reader(message);
        let kind = rest.u8()?;
        let has_xid = self.in_stream && matches!(kind, b'R' | b'Y' | b'I' | b'U' | b'D' | b'T' | b'M');
        let xid = if has_xid { Some(rest.u32()?) } else { None };
        Ok(match kind {
            b'B' => {
                rest.skip(16)?;
                Output::Begin { xid: rest.u32()? }
            }
            b'C' => {
                rest.skip(1)?;
                Output::Commit { lsn: rest.lsn()?, end: rest.lsn()?, at_micros: rest.i64()? }
            }
            b'R' => Output::Relation(rest.relation()?),
            b'I' => {
                let relation = rest.u32()?;
                rest.expect(b'N')?;
                Output::Insert { xid, relation, new: rest.tuple()? }
            }
            b'U' => rest.update(xid)?,
            b'D' => Output::Delete { xid, relation: rest.u32()?, old: rest.old()? },
            b'T' => {
                let count = rest.u32()?;
                rest.skip(1)?;
                let relations = (0..count).map(|_| rest.u32()).collect::<Result<_, _>>()?;
                Output::Truncate { xid, relations }
            }
            b'M' => rest.message(xid)?,
            b'S' => {
                self.in_stream = true;
                Output::StreamStart { xid: rest.u32()? }
            }
            b'E' => {
                self.in_stream = false;
                Output::StreamStop
            }
            b'c' => {
                let xid = rest.u32()?;
                rest.skip(1)?;
                Output::StreamCommit { xid, lsn: rest.lsn()?, end: rest.lsn()?, at_micros: rest.i64()? }
            }
            b'A' => Output::StreamAbort { xid: rest.u32()?, part: rest.u32()? },
            b'Y' | b'O' => Output::Other,
            _ => return Err(OutputError),
        })
    }
}

struct Reader(Bytes);

impl Reader {
    fn has(&self, bytes: usize) -> Result<(), OutputError> {
        if self.0.remaining() >= bytes { Ok(()) } else { Err(OutputError) }
    }

    fn u8(&mut self) -> Result<u8, OutputError> {
        self.has(1)?;
        Ok(self.0.get_u8())
    }

    fn u32(&mut self) -> Result<u32, OutputError> {
        self.has(4)?;
        Ok(self.0.get_u32())
    }

    fn i64(&mut self) -> Result<i64, OutputError> {
        self.has(8)?;
        Ok(self.0.get_i64())
    }

    fn lsn(&mut self) -> Result<Lsn, OutputError> {
        self.has(8)?;
        Ok(Lsn(self.0.get_u64()))
    }

    fn skip(&mut self, bytes: usize) -> Result<(), OutputError> {
        self.bytes(bytes).map(drop)
    }

    fn expect(&mut self, kind: u8) -> Result<(), OutputError> {
        if self.u8()? == kind { Ok(()) } else { Err(OutputError) }
    }

    fn bytes(&mut self, length: usize) -> Result<Bytes, OutputError> {
        self.has(length)?;
        Ok(self.0.split_to(length))
    }

    /// Reads a text up to its zero byte.
    fn text(&mut self) -> Result<String, OutputError> {
        let length = self.0.iter().position(|byte| *byte == 0).ok_or(OutputError)?;
        let text = self.bytes(length)?;
        self.skip(1)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    fn relation(&mut self) -> Result<Relation, OutputError> {
        let id = self.u32()?;
        let (schema, table) = (self.text()?, self.text()?);
        let identity = self.u8()?;
        self.has(2)?;
        let count = self.0.get_u16();
        let column = |_| {
            let is_identity = self.u8()? & 1 == 1;
            let (name, type_id) = (self.text()?, self.u32()?);
            self.skip(4)?;
            Ok(Column { is_identity, name, type_id })
        };
        let columns = (0..count).map(column).collect::<Result<_, _>>()?;
        // An empty schema is that of the system.
        let schema = if schema.is_empty() { "pg_catalog".to_owned() } else { schema };
        Ok(Relation { id, schema, table, identity, columns })
    }

    fn update(&mut self, xid: Option<u32>) -> Result<Output, OutputError> {
        let relation = self.u32()?;
        let old = match self.0.first() {
            Some(b'K' | b'O') => Some(self.old()?),
            _ => None,
        };
        self.expect(b'N')?;
        Ok(Output::Update { xid, relation, old, new: self.tuple()? })
    }

    fn message(&mut self, xid: Option<u32>) -> Result<Output, OutputError> {
        let transactional = self.u8()? & 1 == 1;
        self.skip(8)?;
        let prefix = self.text()?;
        let length = self.u32()? as usize;
        Ok(Output::Message { xid, transactional, prefix, content: self.bytes(length)? })
    }

    fn old(&mut self) -> Result<OldTuple, OutputError> {
        let only_identity = match self.u8()? {
            b'K' => true,
            b'O' => false,
            _ => return Err(OutputError),
        };
        Ok(OldTuple { only_identity, tuple: self.tuple()? })
    }

    fn tuple(&mut self) -> Result<Tuple, OutputError> {
        self.has(2)?;
        let count = self.0.get_u16();
        let cell = |_| match self.u8()? {
            b'n' => Ok(Cell::Null),
            b'u' => Ok(Cell::Unchanged),
            b't' => {
                let length = self.u32()? as usize;
                Ok(Cell::Text(self.bytes(length)?))
            }
            _ => Err(OutputError),
        };
        (0..count).map(cell).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(message: &[u8]) -> Result<Output, OutputError> {
        Decoder::default().read(Bytes::copy_from_slice(message))
    }

    #[test]
    fn rows_are_read_and_a_message_that_is_cut_is_an_error() {
        let insert = b"I\0\0\0\x07N\0\x03t\0\0\0\x02hinu";
        let new = vec![Cell::Text(Bytes::from_static(b"hi")), Cell::Null, Cell::Unchanged];
        assert_eq!(read(insert), Ok(Output::Insert { xid: None, relation: 7, new: new.clone() }));
        let update = b"U\0\0\0\x07K\0\x01nN\0\x03t\0\0\0\x02hinu";
        let old = Some(OldTuple { only_identity: true, tuple: vec![Cell::Null] });
        assert_eq!(read(update), Ok(Output::Update { xid: None, relation: 7, old, new }));
        for length in 0..update.len() {
            assert_eq!(read(&update[..length]), Err(OutputError), "{length}");
        }
        assert_eq!(read(b"?"), Err(OutputError));
    }

    #[test]
    fn in_a_stream_each_message_carries_its_subtransaction() {
        let mut decoder = Decoder::default();
        let mut next = |message: &'static [u8]| decoder.read(Bytes::from_static(message)).unwrap();
        assert_eq!(next(b"S\0\0\0\x05\x01"), Output::StreamStart { xid: 5 });
        let delete = next(b"D\0\0\0\x06\0\0\0\x07O\0\x01n");
        let old = OldTuple { only_identity: false, tuple: vec![Cell::Null] };
        assert_eq!(delete, Output::Delete { xid: Some(6), relation: 7, old });
        assert_eq!(next(b"E"), Output::StreamStop);
        assert_eq!(next(b"A\0\0\0\x05\0\0\0\x06"), Output::StreamAbort { xid: 5, part: 6 });
        assert_eq!(next(b"T\0\0\0\x01\0\0\0\0\x07"), Output::Truncate { xid: None, relations: vec![7] });
    }
}
