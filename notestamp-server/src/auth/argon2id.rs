//! Argon2id (RFC 9106). Its memory is reused while passwords wait to be hashed, and returned to the system afterwards.

use std::sync::{Mutex, PoisonError};

use argon2::password_hash::generate_salt;
use argon2::password_hash::phc::{Output, PasswordHash as Phc, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use notestamp_store::PasswordHash;

/// The most memory that a stored hash may demand, in KiB. A hash that demands more is damaged: no password matches it.
const MEMORY_KIB_MAX: u32 = 256 * 1024;

/// The minimum size of each allocation, in blocks of 1 KiB; only the part that a hash uses becomes resident.
///
/// glibc serves an allocation of more than 32 MiB (`DEFAULT_MMAP_THRESHOLD_MAX` in mallopt(3)) by a separate mapping,
/// and `free` returns it to the system. With smaller allocations that happens only once: the first `free` raises the
/// threshold, and from then on each thread that hashed keeps 19 MiB in its arena.
const BLOCKS_MIN: usize = 32 * 1024 + 1;

/// Hashes and verifies passwords with Argon2id. Both take long: call them on a thread that may block.
pub(crate) struct Argon2id {
    params: Params,
    /// Memory that is not in use now, for the next hashes.
    free: Mutex<Vec<Vec<Block>>>,
}

/// With 19 MiB, 2 passes and 1 lane: OWASP's first choice.
impl Default for Argon2id {
    fn default() -> Self {
        Self { params: Params::DEFAULT, free: Mutex::default() }
    }
}

impl Argon2id {
    /// Returns a new hash of a password, with a new salt.
    pub(crate) fn hash(&self, password: &[u8]) -> PasswordHash {
        let made = || {
            let salt = Salt::new(&generate_salt()).ok()?;
            let mut output = [0; Params::DEFAULT_OUTPUT_LEN];
            self.compute(
                argon2(Algorithm::Argon2id, Version::default(), &self.params),
                password,
                &salt,
                &mut output,
            )?;
            let phc = Phc {
                algorithm: Algorithm::Argon2id.ident(),
                version: Some(Version::default().into()),
                params: (&self.params).try_into().ok()?,
                salt: Some(salt),
                hash: Some(Output::new(&output).ok()?),
            };
            Some(PasswordHash::new(phc.to_string()))
        };
        made().expect("the parameters and the password's length are allowed")
    }

    /// Returns whether the hash is of this password; false if the hash is damaged. The parameters in the hash decide
    /// how long it takes.
    pub(crate) fn verify(&self, password: &[u8], hash: &PasswordHash) -> bool {
        let matches = || {
            let phc = Phc::new(hash.as_phc()).ok()?;
            let params = Params::try_from(&phc).ok().filter(|params| params.m_cost() <= MEMORY_KIB_MAX)?;
            let algorithm = Algorithm::try_from(phc.algorithm.as_str()).ok()?;
            let version = phc.version.map(Version::try_from).transpose().ok()?.unwrap_or_default();
            let (salt, expected) = (phc.salt?, phc.hash?);
            let mut buffer = [0; Output::MAX_LENGTH];
            let output = buffer.get_mut(..expected.len())?;
            self.compute(argon2(algorithm, version, &params), password, &salt, output)?;
            // `Output` compares in constant time.
            Some(Output::new(output).ok()? == expected)
        };
        matches().unwrap_or(false)
    }

    /// Returns whether a hash was made with weaker parameters than are used now, or by another algorithm.
    pub(crate) fn is_weak(&self, hash: &PasswordHash) -> bool {
        let Ok(phc) = Phc::new(hash.as_phc()) else { return true };
        let Ok(made_with) = Params::try_from(&phc) else { return true };
        phc.algorithm != Algorithm::Argon2id.ident()
            || made_with.m_cost() < self.params.m_cost()
            || made_with.t_cost() < self.params.t_cost()
    }

    /// Returns the memory that is not in use to the system.
    pub(crate) fn free_memory(&self) {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Computes a hash, in reused memory if some is free. Returns `None` if the parameters are not allowed.
    fn compute(&self, argon2: Argon2<'_>, password: &[u8], salt: &[u8], output: &mut [u8]) -> Option<()> {
        let count = argon2.params().block_count();
        let free = || self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let reused = free().pop();
        let mut blocks = reused.unwrap_or_else(|| Vec::with_capacity(count.max(BLOCKS_MIN)));
        if blocks.len() < count {
            blocks.resize(count, Block::new());
        }
        let computed = argon2.hash_password_into_with_memory(password, salt, output, &mut blocks[..count]);
        free().push(blocks);
        computed.ok()
    }
}

fn argon2(algorithm: Algorithm, version: Version, params: &Params) -> Argon2<'static> {
    Argon2::new(algorithm, version, params.clone())
}

#[cfg(test)]
mod tests {
    use argon2::{PasswordHasher as _, PasswordVerifier as _};

    use super::*;

    #[test]
    fn hashes_are_those_of_the_library() {
        let (ours, theirs) = (Argon2id::default(), Argon2::default());
        let hash = ours.hash(b"seventeen otters");
        theirs.verify_password(b"seventeen otters", hash.as_phc()).unwrap();
        let weaker = argon2(Algorithm::Argon2id, Version::V0x13, &Params::new(8 * 1024, 1, 1, None).unwrap());
        for argon2 in [theirs, weaker] {
            let made = PasswordHash::new(argon2.hash_password(b"seventeen otters").unwrap().to_string());
            assert!(ours.verify(b"seventeen otters", &made));
            assert!(!ours.verify(b"seventeen Otters", &made));
        }
    }

    #[test]
    fn a_hash_that_asks_for_too_much_memory_matches_no_password() {
        let hash = Argon2id::default().hash(b"seventeen otters");
        let greedy = hash.as_phc().replace("m=19456", "m=4194304");
        assert!(!Argon2id::default().verify(b"seventeen otters", &PasswordHash::new(greedy)));
    }

    #[test]
    fn memory_is_reused_until_it_is_freed() {
        let argon2id = Argon2id::default();
        argon2id.hash(b"one");
        argon2id.hash(b"two");
        assert_eq!(argon2id.free.lock().unwrap().len(), 1);
        argon2id.free_memory();
        assert!(argon2id.free.lock().unwrap().is_empty());
    }

    #[test]
    fn an_allocation_is_large_enough_to_be_returned_to_the_system() {
        let argon2id = Argon2id::default();
        argon2id.hash(b"one");
        assert!(argon2id.free.lock().unwrap()[0].capacity() * Block::SIZE > 32 << 20);
    }
}
