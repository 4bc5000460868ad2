//! Generated files and pseudo-random choices.

use bytes::Bytes;
use futures_util::{Stream, stream};

/// A file of that size, always the same.
pub fn file(size: usize) -> Bytes {
    (0..size).map(|n| ((n * n) >> 7) as u8).collect()
}

/// The bytes of a file as a stream, like from a network.
pub fn pieces(bytes: &Bytes) -> impl Stream<Item = Bytes> + Send + use<> {
    let bytes = bytes.clone();
    let starts = (0..bytes.len()).step_by(100_000);
    stream::iter(starts.map(move |start| bytes.slice(start..bytes.len().min(start + 100_000))))
}

/// Pseudo-random numbers (SplitMix64), the same for the same seed.
pub struct Numbers(pub u64);

impl Numbers {
    /// The next number, below that bound.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ mixed >> 31) % bound as u64) as usize
    }
}
