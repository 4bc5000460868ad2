//! Passwords: hashed with Argon2id on the blocking pool, behind a bound.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash as Phc;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier};
use notestamp_store::{InvalidValue, PasswordHash};
use tokio::sync::Semaphore;

use super::common_passwords::is_common;
use crate::error::{ApiError, Code};

/// How many hashings may wait for their turn; one more is refused with 503.
///
/// Each takes some 25 ms of a core and 19 MiB, so on two cores the last one waits less than two seconds.
const WAITING_MAX: usize = 64;

/// What somebody typed as their password. Printed nowhere.
#[derive(Clone)]
pub struct Password(String);

impl Password {
    /// The shortest password, in bytes.
    pub const BYTES_MIN: usize = 8;
    /// The longest password, in bytes; nothing is ever cut off.
    pub const BYTES_MAX: usize = 1024;

    /// A password as it was typed, right or wrong.
    pub fn typed(text: String) -> Self {
        Self(text)
    }

    /// Whether it may become somebody's password.
    ///
    /// # Errors
    /// Where it is too short, too long, or among the most common ones.
    pub fn check_new(&self) -> Result<(), InvalidValue> {
        let refused = |why: &str| Err(InvalidValue::new("password", why));
        match self.0.len() {
            0..Self::BYTES_MIN => refused("is shorter than 8 bytes"),
            Self::BYTES_MIN..=Self::BYTES_MAX if is_common(&self.0) => {
                refused("is one of the most common ones")
            }
            Self::BYTES_MIN..=Self::BYTES_MAX => Ok(()),
            _ => refused("is longer than 1,024 bytes"),
        }
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// Hashes and verifies passwords, on no more than half of the cores.
pub struct Passwords {
    argon2: Argon2<'static>,
    turns: Arc<Semaphore>,
    waiting: AtomicUsize,
    /// Verified in place of an account that is not there, so that it takes as long.
    nobody: PasswordHash,
}

/// With Argon2id, 19 MiB, 2 passes, 1 lane (RFC 9106; OWASP's first choice).
impl Default for Passwords {
    fn default() -> Self {
        let argon2 = Argon2::default();
        // Half of the cores, so that a storm of sign-ins leaves the others to everybody else.
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let at_once = (cores / 2).max(1);
        let nobody = hash(&argon2, "the password of nobody");
        Self { argon2, turns: Arc::new(Semaphore::new(at_once)), waiting: AtomicUsize::new(0), nobody }
    }
}

impl Passwords {
    /// The hash to keep of a new password.
    ///
    /// # Errors
    /// 503 where too many wait.
    pub async fn hash(&self, password: &Password) -> Result<PasswordHash, ApiError> {
        let (argon2, password) = (self.argon2.clone(), password.clone());
        self.in_turn(move || hash(&argon2, &password.0)).await
    }

    /// Whether this is the password of that hash. For no hash it is not, and takes as long to tell.
    ///
    /// # Errors
    /// 503 where too many wait.
    pub async fn verify(&self, password: &Password, hash: Option<&PasswordHash>) -> Result<bool, ApiError> {
        let (argon2, password) = (self.argon2.clone(), password.clone());
        let (known, hash) = (hash.is_some(), hash.unwrap_or(&self.nobody).clone());
        let matches = move || {
            let phc = Phc::new(hash.as_phc());
            phc.is_ok_and(|phc| argon2.verify_password(password.0.as_bytes(), &phc).is_ok())
        };
        Ok(self.in_turn(matches).await? && known)
    }

    /// Whether a hash was made with weaker parameters than are used now, or by another algorithm.
    pub fn is_weak(&self, hash: &PasswordHash) -> bool {
        let current = self.argon2.params();
        let Ok(phc) = Phc::new(hash.as_phc()) else { return true };
        let Ok(made_with) = Params::try_from(&phc) else { return true };
        phc.algorithm != Algorithm::Argon2id.ident()
            || made_with.m_cost() < current.m_cost()
            || made_with.t_cost() < current.t_cost()
    }

    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let _waiting = Waiting::enter(&self.waiting)?;
        let turn = self.turns.clone().acquire_owned().await;
        let turn = turn.expect("the semaphore is never closed");
        // The turn ends with the work, not with a caller that goes away.
        let done = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(turn);
            result
        });
        done.await.map_err(|e| ApiError::new(Code::Internal, "something went wrong here").caused_by(e))
    }
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passwords").finish_non_exhaustive()
    }
}

fn hash(argon2: &Argon2<'_>, password: &str) -> PasswordHash {
    let phc = argon2.hash_password(password.as_bytes());
    PasswordHash::new(phc.expect("the parameters and the password's length are allowed").to_string())
}

/// One that waits, for as long as this lives.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn enter(count: &'a AtomicUsize) -> Result<Self, ApiError> {
        let entered = Self(count);
        if count.fetch_add(1, Ordering::Relaxed) >= WAITING_MAX {
            let after = Duration::from_secs(2);
            return Err(ApiError::retry_after(Code::Busy, "too many are signing in at once", after));
        }
        Ok(entered)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_verifies() {
        let passwords = Passwords::default();
        let right = Password::typed("seventeen otters".to_owned());
        let hash = passwords.hash(&right).await.unwrap();
        assert!(passwords.verify(&right, Some(&hash)).await.unwrap());
        let wrong = Password::typed("seventeen Otters".to_owned());
        assert!(!passwords.verify(&wrong, Some(&hash)).await.unwrap());
        assert!(!passwords.verify(&right, None).await.unwrap());
        assert!(!passwords.is_weak(&hash));
    }

    #[test]
    fn a_hash_with_weaker_parameters_is_weak() {
        let weaker = Argon2::new(
            Algorithm::Argon2id,
            argon2::Version::V0x13,
            Params::new(8 * 1024, 1, 1, None).unwrap(),
        );
        assert!(Passwords::default().is_weak(&hash(&weaker, "seventeen otters")));
    }

    #[test]
    fn new_passwords_are_neither_short_nor_long_nor_common() {
        let check = |text: &str| Password::typed(text.to_owned()).check_new();
        assert!(check("1234567").is_err());
        assert!(check("password").is_err());
        assert!(check(&"x".repeat(1025)).is_err());
        assert!(check(&"xyzzy ".repeat(170)).is_ok());
        assert!(check("äöüß").is_ok(), "eight bytes are enough, whatever the script");
    }
}
