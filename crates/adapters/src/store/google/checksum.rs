//! CRC-32C (Castagnoli; RFC 3720, appendix B.4), by which Google says what a payload should be. It finds
//! damage, not forgery.

/// The polynomial, its bits in reverse.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// The checksum of the bytes.
pub(super) fn crc32c(bytes: &[u8]) -> u32 {
    // A payload has 64 KiB at most: no table is needed.
    !bytes.iter().fold(!0_u32, |register, byte| {
        (0..8).fold(register ^ u32::from(*byte), |register, _| {
            if register & 1 == 0 { register >> 1 } else { (register >> 1) ^ POLYNOMIAL }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3720, appendix B.4, and the check value of the CRC catalogue.
    #[test]
    fn sums_like_the_published_examples() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        let ascending: Vec<u8> = (0..32).collect();
        assert_eq!(crc32c(&ascending), 0x46dd_794e);
        assert_eq!(crc32c(b""), 0);
    }
}
