//! The disposal of doomed objects, which any actor may do.

use notestamp_store::{ObjectId, ObjectState};

use crate::model::{Fault, Protocol, State};

/// Deletes the bytes of each of these objects, then forgets its row.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Disposal {
    objects: Vec<ObjectId>,
    half_done: bool,
}

impl Disposal {
    /// The disposal of these objects, in this order.
    pub(crate) fn of(objects: impl IntoIterator<Item = ObjectId>) -> Self {
        Self { objects: objects.into_iter().collect(), half_done: false }
    }

    /// Whether no object is left to dispose of.
    pub(crate) fn is_done(&self) -> bool {
        self.objects.is_empty()
    }
}

impl State {
    /// Takes the next step of a disposal; returns its remaining steps.
    pub(crate) fn dispose(&mut self, model: &Protocol, mut disposal: Disposal) -> Disposal {
        let object = disposal.objects[0];
        if disposal.half_done == model.has(Fault::ForgottenBeforeDeleted) {
            self.world.blobs.remove(&model.path(object));
        } else if self.world.ledger.get(&object).is_some_and(|row| row.state == ObjectState::Doomed) {
            self.forget(model, object);
        }
        if disposal.half_done {
            disposal.objects.remove(0);
        }
        disposal.half_done = !disposal.half_done;
        disposal
    }
}
