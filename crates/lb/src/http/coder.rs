//! An answer that is compressed on its way. Which one is, and what its head says, is decided in
//! [`relevo_proto::coding`].

use std::cell::Cell;
use std::fmt;
use std::io::{self, Write};
use std::rc::Rc;

use flate2::write::GzEncoder;
use relevo_model::cluster::Coding;

/// Most answers that one worker compresses at a time; more go out as they are. A coder needs 0.3 to 2 MiB.
const MOST: u32 = 128;
/// A pause of the server after fewer bytes than this brings nothing out, if the answer's length is known.
const HELD: usize = 64 * 1024;
/// The window of Brotli and Zstandard, as a power of two: what a coder remembers.
const WINDOW: u32 = 18;

/// The answers that a worker compresses now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Coders(Rc<Cell<u32>>);

/// One answer's coder.
pub(super) struct Coder {
    engine: Engine,
    /// Whether what comes out is put into chunks.
    chunks: bool,
    /// Whether the client waits for each piece: nobody knows how long the answer will be.
    streams: bool,
    /// Bytes that went in since the last flush.
    held: usize,
    running: Rc<Cell<u32>>,
}

enum Engine {
    Gzip(GzEncoder<Vec<u8>>),
    Br(Box<brotli::CompressorWriter<Vec<u8>>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl Coder {
    /// `None`: too many answers are being compressed.
    pub(super) fn new(coders: &Coders, coding: Coding, chunks: bool, streams: bool) -> Option<Self> {
        if coders.0.get() >= MOST {
            return None;
        }
        let engine = match coding {
            Coding::Gzip => Engine::Gzip(GzEncoder::new(Vec::new(), flate2::Compression::new(5))),
            Coding::Br => {
                Engine::Br(Box::new(brotli::CompressorWriter::new(Vec::new(), 16 * 1024, 4, WINDOW)))
            }
            Coding::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).ok()?;
                encoder.window_log(WINDOW).ok()?;
                Engine::Zstd(encoder)
            }
        };
        let running = Rc::clone(&coders.0);
        running.set(running.get() + 1);
        Some(Self { engine, chunks, streams, held: 0, running })
    }

    /// Takes content; what comes out, if anything, goes behind `out`.
    pub(super) fn push(&mut self, data: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        self.held += data.len();
        self.writer().write_all(data)?;
        self.take(out);
        Ok(())
    }

    /// The server pauses: brings out what the client should not wait for.
    pub(super) fn pause(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        if self.held == 0 || !self.streams && self.held < HELD {
            return Ok(());
        }
        self.held = 0;
        self.writer().flush()?;
        self.take(out);
        Ok(())
    }

    /// The content was complete.
    pub(super) fn finish(mut self, out: &mut Vec<u8>) -> io::Result<()> {
        match &mut self.engine {
            Engine::Gzip(encoder) => encoder.try_finish()?,
            Engine::Zstd(encoder) => encoder.do_finish()?,
            Engine::Br(encoder) => {
                let empty = brotli::CompressorWriter::new(Vec::new(), 1024, 0, 10);
                let rest = std::mem::replace(&mut **encoder, empty).into_inner();
                *encoder.get_mut() = rest;
            }
        }
        self.take(out);
        if self.chunks {
            out.extend_from_slice(b"0\r\n\r\n");
        }
        Ok(())
    }

    fn writer(&mut self) -> &mut dyn Write {
        match &mut self.engine {
            Engine::Gzip(encoder) => encoder,
            Engine::Br(encoder) => encoder,
            Engine::Zstd(encoder) => encoder,
        }
    }

    /// Moves what has come out.
    fn take(&mut self, out: &mut Vec<u8>) {
        let bytes = match &mut self.engine {
            Engine::Gzip(encoder) => encoder.get_mut(),
            Engine::Br(encoder) => encoder.get_mut(),
            Engine::Zstd(encoder) => encoder.get_mut(),
        };
        if bytes.is_empty() {
            return;
        }
        if self.chunks {
            out.extend_from_slice(format!("{:x}\r\n", bytes.len()).as_bytes());
        }
        out.extend_from_slice(bytes);
        if self.chunks {
            out.extend_from_slice(b"\r\n");
        }
        bytes.clear();
    }
}

impl Drop for Coder {
    fn drop(&mut self) {
        self.running.set(self.running.get().saturating_sub(1));
    }
}

impl fmt::Debug for Coder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let coding = match self.engine {
            Engine::Gzip(_) => Coding::Gzip,
            Engine::Br(_) => Coding::Br,
            Engine::Zstd(_) => Coding::Zstd,
        };
        formatter.debug_struct("Coder").field("coding", &coding).finish_non_exhaustive()
    }
}
