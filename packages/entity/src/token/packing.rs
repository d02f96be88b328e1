//! Numbers in few bytes.

/// How many bits the largest value needs.
pub(super) fn width(values: impl Iterator<Item = u64>) -> u8 {
    let bits = values
        .map(|value| u64::BITS - value.leading_zeros())
        .max()
        .unwrap_or(0);
    u8::try_from(bits).unwrap_or(64)
}

/// Seven bits per byte, lowest first; the high bit says that more follow.
pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let low = u8::try_from(value & 0x7f).unwrap_or_default();
        value >>= 7;
        if value == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

/// Reads from the front.
pub(super) struct Reader<'a> {
    /// What is left.
    pub(super) bytes: &'a [u8],
}

impl Reader<'_> {
    pub(super) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(*first)
    }

    pub(super) fn varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}

/// Packs values, lowest bit first.
pub(super) struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    pending: u8,
    filled: u8,
}

impl<'a> BitWriter<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>) -> Self {
        Self {
            out,
            pending: 0,
            filled: 0,
        }
    }

    pub(super) fn put(&mut self, value: u64, width: u8) {
        for bit in 0..width {
            if value >> bit & 1 == 1 {
                self.pending |= 1 << self.filled;
            }
            self.filled += 1;
            if self.filled == 8 {
                self.out.push(self.pending);
                (self.pending, self.filled) = (0, 0);
            }
        }
    }

    pub(super) fn finish(self) {
        if self.filled > 0 {
            self.out.push(self.pending);
        }
    }
}

/// Unpacks what [`BitWriter`] packed.
pub(super) struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> BitReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn take(&mut self, width: u8) -> Option<u64> {
        if width > 64 {
            return None;
        }
        let mut value = 0;
        for bit in 0..width {
            let byte = self.bytes.get(self.at / 8)?;
            value |= u64::from(byte >> (self.at % 8) & 1) << bit;
            self.at += 1;
        }
        Some(value)
    }

    /// What comes after the last byte of which bits were taken.
    pub(super) fn rest(&self) -> Option<&'a [u8]> {
        self.bytes.get(self.at.div_ceil(8)..)
    }
}
