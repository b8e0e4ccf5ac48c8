//! Random numbers straight from the operating system.

/// The operating system gave no random numbers; nothing can be made without them.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gave no random numbers")]
pub struct NoRandom(#[from] getrandom::Error);

/// A random number that is not 0.
pub fn nonzero_u64() -> Result<u64, NoRandom> {
    loop {
        match getrandom::u64()? {
            0 => {}
            number => return Ok(number),
        }
    }
}

/// Random 32 bits.
pub fn any_u32() -> Result<u32, NoRandom> {
    Ok(getrandom::u32()?)
}

/// 32 random bytes.
pub fn bytes_32() -> Result<[u8; 32], NoRandom> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}
