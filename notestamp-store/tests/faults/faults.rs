//! Fault injection: what goes wrong, and at which of the calls to the backends.

use std::fmt;
use std::io;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{self, BoxFuture};
use tokio::sync::{Semaphore, watch};

/// What happens to a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// It fails without an effect.
    FailsBefore,
    /// It takes effect, and its response is lost.
    FailsAfter,
    /// It fails, and so does every later call: for the stored state, the same as a crash of the process.
    GoneForGood,
    /// It fails, and the next call is refused. If it is a write, it takes effect later, after its caller has gone on.
    ComesLate,
    /// It hangs, and takes effect only when it is released.
    HangsBefore,
    /// It takes effect, and returns only when it is released.
    HangsAfter,
}

pub const FAILURES: [Fault; 3] = [Fault::FailsBefore, Fault::FailsAfter, Fault::GoneForGood];
pub const HANGS: [Fault; 2] = [Fault::HangsBefore, Fault::HangsAfter];

/// Counts the calls to all backends of a store, and injects a fault into one of them.
pub struct Faults {
    plan: Mutex<Plan>,
    /// The delayed writes that have not taken effect yet.
    late: Mutex<Vec<BoxFuture<'static, ()>>>,
    hanging: watch::Sender<bool>,
    release: Semaphore,
}

#[derive(Clone, Default, Debug)]
struct Plan {
    calls: Vec<&'static str>,
    /// The call to break, counted from 0, and its fault.
    at: Option<(usize, Fault)>,
}

impl Faults {
    pub fn none() -> Self {
        Self {
            plan: Mutex::default(),
            late: Mutex::default(),
            hanging: watch::Sender::new(false),
            release: Semaphore::const_new(0),
        }
    }

    /// Restarts the count, and breaks the `nth` call from now on.
    pub fn plan(&self, nth: usize, fault: Fault) {
        *lock(&self.plan) = Plan { calls: Vec::new(), at: Some((nth, fault)) };
    }

    /// Removes the fault: no further call is broken.
    pub fn mend(&self) {
        lock(&self.plan).at = None;
    }

    /// The name of the call that was broken; absent if the count has not reached it.
    pub fn broken(&self) -> Option<&'static str> {
        let plan = lock(&self.plan);
        plan.at.and_then(|(nth, _)| plan.calls.get(nth).copied())
    }

    /// The names of the calls since the plan was made.
    pub fn calls(&self) -> Vec<&'static str> {
        lock(&self.plan).calls.clone()
    }

    /// Waits until a call hangs.
    pub async fn hang(&self) {
        let hanging = self.hanging.subscribe().wait_for(|hanging| *hanging).await.map(drop);
        hanging.expect("the sender is in reach");
    }

    /// Lets the call that hangs, or will hang, continue.
    pub fn release(&self) {
        self.release.add_permits(1);
    }

    /// Lets the delayed writes take effect.
    pub async fn arrive(&self) {
        let late = mem::take(&mut *lock(&self.late));
        future::join_all(late).await;
    }

    /// Passes a call on, or injects the fault.
    pub async fn pass<T, E>(
        &self,
        name: &'static str,
        call: impl Future<Output = Result<T, E>> + Send,
        failure: impl Fn() -> E + Send,
    ) -> Result<T, E> {
        self.suffer(self.fault_of(name), call, failure).await
    }

    /// Passes on a call that makes an object appear, or injects the fault.
    pub async fn pass_write<T: 'static, E: 'static>(
        &self,
        name: &'static str,
        write: impl Future<Output = Result<T, E>> + Send + 'static,
        failure: impl Fn() -> E + Send,
        refusal: impl Fn() -> E + Send,
    ) -> Result<T, E> {
        let fault = self.fault_of(name);
        if fault == Some(Fault::ComesLate) {
            let mut late = lock(&self.late);
            if !late.is_empty() {
                return Err(refusal());
            }
            late.push(write.map(drop).boxed());
            return Err(failure());
        }
        self.suffer(fault, write, failure).await
    }

    async fn suffer<T, E>(
        &self,
        fault: Option<Fault>,
        call: impl Future<Output = Result<T, E>> + Send,
        failure: impl Fn() -> E + Send,
    ) -> Result<T, E> {
        match fault {
            None => call.await,
            Some(Fault::FailsBefore | Fault::GoneForGood | Fault::ComesLate) => Err(failure()),
            Some(Fault::FailsAfter) => call.await.and_then(|_| Err(failure())),
            Some(Fault::HangsBefore) => {
                self.wait_for_release().await;
                call.await
            }
            Some(Fault::HangsAfter) => {
                let outcome = call.await;
                self.wait_for_release().await;
                outcome
            }
        }
    }

    async fn wait_for_release(&self) {
        self.hanging.send_replace(true);
        self.release.acquire().await.expect("it is never closed").forget();
    }

    fn fault_of(&self, name: &'static str) -> Option<Fault> {
        let mut plan = lock(&self.plan);
        let number = plan.calls.len();
        plan.calls.push(name);
        let (nth, fault) = plan.at?;
        let is_broken = match fault {
            Fault::GoneForGood => number >= nth,
            Fault::ComesLate => number == nth || number == nth + 1,
            _ => number == nth,
        };
        is_broken.then_some(fault)
    }
}

/// Shows the plan only; a delayed write has no debug form.
impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Faults").field(&self.plan).finish()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The error of a broken call.
pub fn reason() -> io::Error {
    io::Error::other("broken on purpose")
}
