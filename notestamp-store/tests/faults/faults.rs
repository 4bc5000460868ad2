//! What goes wrong, and at which of the calls to the backends.

use std::io;
use std::sync::{Mutex, PoisonError};

use tokio::sync::{Semaphore, watch};

/// What happens to a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// It fails, and nothing has happened.
    FailsBefore,
    /// It happens, and then its answer is lost.
    FailsAfter,
    /// It fails, and so does every later one: to the store, the same as its own end.
    GoneForGood,
    /// It happens only when it is released.
    HangsBefore,
    /// It happens, and is answered when it is released.
    HangsAfter,
}

pub const FAILURES: [Fault; 3] = [Fault::FailsBefore, Fault::FailsAfter, Fault::GoneForGood];
pub const HANGS: [Fault; 2] = [Fault::HangsBefore, Fault::HangsAfter];

/// Counts the calls to all backends of a store, and breaks one.
#[derive(Debug)]
pub struct Faults {
    plan: Mutex<Plan>,
    hanging: watch::Sender<bool>,
    release: Semaphore,
}

#[derive(Clone, Default, Debug)]
struct Plan {
    calls: Vec<&'static str>,
    /// Which call, counted from 0.
    at: Option<(usize, Fault)>,
}

impl Faults {
    pub fn none() -> Self {
        Self { plan: Mutex::default(), hanging: watch::Sender::new(false), release: Semaphore::const_new(0) }
    }

    /// Counts anew, and breaks that call.
    pub fn plan(&self, nth: usize, fault: Fault) {
        *self.lock() = Plan { calls: Vec::new(), at: Some((nth, fault)) };
    }

    /// Breaks nothing any more.
    pub fn mend(&self) {
        self.lock().at = None;
    }

    /// The call that was broken, if it has come that far.
    pub fn broken(&self) -> Option<&'static str> {
        let plan = self.lock();
        plan.at.and_then(|(nth, _)| plan.calls.get(nth).copied())
    }

    /// Waits until a call hangs.
    pub async fn hang(&self) {
        let hanging = self.hanging.subscribe().wait_for(|hanging| *hanging).await.map(drop);
        hanging.expect("the sender is in reach");
    }

    /// Lets the call that hangs, or will hang, go on.
    pub fn release(&self) {
        self.release.add_permits(1);
    }

    /// Lets a call pass, or not.
    pub async fn pass<T, E>(
        &self,
        name: &'static str,
        call: impl Future<Output = Result<T, E>> + Send,
        failure: impl Fn() -> E + Send,
    ) -> Result<T, E> {
        match self.fault_of(name) {
            None => call.await,
            Some(Fault::FailsBefore | Fault::GoneForGood) => Err(failure()),
            Some(Fault::FailsAfter) => call.await.and_then(|_| Err(failure())),
            Some(Fault::HangsBefore) => {
                self.wait_for_release().await;
                call.await
            }
            Some(Fault::HangsAfter) => {
                let answer = call.await;
                self.wait_for_release().await;
                answer
            }
        }
    }

    async fn wait_for_release(&self) {
        self.hanging.send_replace(true);
        self.release.acquire().await.expect("it is never closed").forget();
    }

    fn fault_of(&self, name: &'static str) -> Option<Fault> {
        let mut plan = self.lock();
        let number = plan.calls.len();
        plan.calls.push(name);
        let (nth, fault) = plan.at?;
        (number == nth || number > nth && fault == Fault::GoneForGood).then_some(fault)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a broken call says.
pub fn reason() -> io::Error {
    io::Error::other("broken on purpose")
}
