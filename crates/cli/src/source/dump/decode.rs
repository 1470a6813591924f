//! The bytes of a dump, with gzip and zstd undone. The first bytes tell, because names lie.

use std::io::{self, BufRead, Read};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::StreamingDecoder;

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// Returns the bytes of a dump as they were before they were compressed.
pub(crate) fn decoded<'a>(mut from: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let first = from.fill_buf()?;
    if first.starts_with(GZIP) {
        return Ok(Box::new(MultiGzDecoder::new(from)));
    }
    if first.starts_with(ZSTD) {
        return Ok(Box::new(Frames { frame: Some(frame(from)?) }));
    }
    Ok(Box::new(from))
}

/// The frames of zstd, one after another: some tools compress a file in several.
struct Frames<R: BufRead> {
    /// The frame that is read; none at the end.
    frame: Option<StreamingDecoder<R, ruzstd::decoding::FrameDecoder>>,
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(current) = &mut self.frame else { return Ok(0) };
            let count = current.read(into)?;
            if count > 0 || into.is_empty() {
                return Ok(count);
            }
            let Some(ended) = self.frame.take() else { return Ok(0) };
            let mut rest = ended.into_inner();
            if rest.fill_buf()?.is_empty() {
                return Ok(0);
            }
            self.frame = Some(frame(rest)?);
        }
    }
}

fn frame<R: BufRead>(from: R) -> io::Result<StreamingDecoder<R, ruzstd::decoding::FrameDecoder>> {
    StreamingDecoder::new(from).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))
}
