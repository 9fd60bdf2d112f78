//! What of an answer waits to be sent as DATA, and how much it holds.
//!
//! Pieces are parts of what the engine has sent, without a copy; but small chunks that come together are put together: each
//! frame, and each piece that waits for one, costs more than they are.

use std::collections::VecDeque;

use bytes::{Buf, Bytes};

use crate::http::chunked::{Chunked, Fed, NotChunked};

/// Chunks of fewer bytes are put together with their neighbours.
const SMALL: usize = 1024;

/// Pieces in their order.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pieces: VecDeque<Piece>,
    /// Bytes that they hold.
    held: usize,
}

/// A part of the answer's body.
#[derive(Debug)]
struct Piece {
    bytes: Bytes,
    /// How many bytes are let go with the last of these: all that came at once is held by its last piece, however small.
    holds: usize,
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Bytes that are held because some of them wait.
    pub(super) const fn held(&self) -> usize {
        self.held
    }

    /// Adds the first `count` of these bytes.
    pub(super) fn push(&mut self, raw: &Bytes, count: usize) {
        if count > 0 {
            self.held += raw.len();
            self.pieces.push_back(Piece { bytes: raw.slice(..count), holds: raw.len() });
        }
    }

    /// Adds the data of chunks; returns what was taken of the bytes.
    pub(super) fn push_chunks(&mut self, raw: &Bytes, chunked: &mut Chunked) -> Result<Fed, NotChunked> {
        let Self { pieces, .. } = self;
        let before = pieces.len();
        // Small ones, from the second on.
        let mut joined = Vec::new();
        let fed = chunked.feed_all(raw, |data| {
            let is_small = data.len() < SMALL;
            if is_small && !joined.is_empty() {
                return joined.extend_from_slice(data);
            }
            join(pieces, &mut joined);
            let is_after_small =
                pieces.len() > before && pieces.back().is_some_and(|last| last.bytes.len() < SMALL);
            if is_small && is_after_small {
                let first = pieces.pop_back().map(|last| last.bytes).unwrap_or_default();
                joined.extend_from_slice(&first);
                return joined.extend_from_slice(data);
            }
            pieces.push_back(Piece { bytes: raw.slice_ref(data), holds: 0 });
        })?;
        join(pieces, &mut joined);
        if let Some(last) = pieces.range_mut(before..).rev().find(|piece| piece.holds == 0) {
            last.holds = raw.len();
        }
        self.held += pieces.range(before..).map(|piece| piece.holds).sum::<usize>();
        Ok(fed)
    }

    /// How long the next piece is.
    pub(super) fn next_length(&self) -> Option<usize> {
        self.pieces.front().map(|piece| piece.bytes.len())
    }

    /// Takes so many bytes of the next piece, or all of it; and how many are let go with them.
    pub(super) fn take(&mut self, most: usize) -> (Bytes, usize) {
        let Some(piece) = self.pieces.front_mut() else { return Default::default() };
        let part = piece.bytes.split_to(most.min(piece.bytes.len()));
        if piece.bytes.has_remaining() {
            return (part, 0);
        }
        let holds = piece.holds;
        self.held -= holds;
        self.pieces.pop_front();
        (part, holds)
    }
}

/// Adds what was put together.
fn join(pieces: &mut VecDeque<Piece>, joined: &mut Vec<u8>) {
    if !joined.is_empty() {
        let bytes = Bytes::from(std::mem::take(joined).into_boxed_slice());
        let holds = bytes.len();
        pieces.push_back(Piece { bytes, holds });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Chunks of these sizes, and what they carry.
    fn chunks(sizes: &[usize]) -> (Bytes, Vec<u8>) {
        let (mut raw, mut body) = (Vec::new(), Vec::new());
        for (number, size) in sizes.iter().enumerate() {
            let data = vec![b'a' + u8::try_from(number % 26).unwrap(); *size];
            raw.extend_from_slice(format!("{size:x}\r\n").as_bytes());
            raw.extend_from_slice(&data);
            raw.extend_from_slice(b"\r\n");
            body.extend_from_slice(&data);
        }
        (raw.into(), body)
    }

    /// All that is in it, by so many bytes at a time.
    fn drain(queue: &mut Queue, most: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while queue.next_length().is_some() {
            let held = queue.held();
            let (part, let_go) = queue.take(most);
            assert!(!part.is_empty() && queue.held() == held - let_go);
            all.extend_from_slice(&part);
        }
        assert_eq!(queue.held(), 0, "something is held by nothing");
        all
    }

    #[test]
    fn chunks_keep_their_order_whatever_their_sizes_are() {
        for sizes in [
            &[5][..],
            &[5, 6],
            &[SMALL],
            &[1, 2000, 3],
            &[1, 1, 2000, 1, 1, 1, 3000, 4000, 1],
            &[2000, 1, 1],
            &[1, SMALL - 1, SMALL, 1],
        ] {
            for most in [1, 100, 100_000] {
                let (raw, body) = chunks(sizes);
                let mut queue = Queue::default();
                let mut chunked = Chunked::new();
                assert_eq!(queue.push_chunks(&raw, &mut chunked).unwrap().used, raw.len());
                // Others come behind them.
                queue.push(&Bytes::from_static(b"end and more"), 3);
                assert!(queue.held() <= raw.len() + body.len() + 12, "{sizes:?}: {}", queue.held());
                assert_eq!(drain(&mut queue, most), [&body[..], b"end"].concat(), "{sizes:?} by {most}");
            }
        }
    }

    #[test]
    fn small_chunks_are_one_piece_and_hold_what_they_are() {
        let (raw, body) = chunks(&[1; 10_000]);
        let mut queue = Queue::default();
        queue.push_chunks(&raw, &mut Chunked::new()).unwrap();
        assert_eq!((queue.next_length(), queue.held()), (Some(10_000), 10_000));
        assert_eq!(drain(&mut queue, 4096), body);
        // What is only framing is held by nobody.
        queue.push_chunks(&Bytes::from_static(b"1"), &mut Chunked::new()).unwrap();
        queue.push(&Bytes::from_static(b"x"), 0);
        assert!(queue.is_empty() && queue.held() == 0);
    }

    #[test]
    fn a_large_chunk_is_not_copied() {
        let (raw, _) = chunks(&[1, SMALL, 1]);
        let mut queue = Queue::default();
        queue.push_chunks(&raw, &mut Chunked::new()).unwrap();
        queue.take(1);
        let (large, let_go) = queue.take(SMALL);
        assert!(raw.as_ptr_range().contains(&large.as_ptr()));
        // The last one holds all.
        assert_eq!((let_go, queue.held()), (0, raw.len()));
    }
}
