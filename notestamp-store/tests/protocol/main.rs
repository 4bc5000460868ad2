//! Every interleaving of the save protocol.

mod deleter;
mod disposal;
mod model;
mod saver;
mod sweeper;
mod transaction;
mod world;

use model::*;
use stateright::{Checker, Model};

#[test]
fn probe() {
    for scenario in [Scenario::notes_are_replaced(), Scenario::digest_is_offered(), Scenario::new_project_is_deleted(), Scenario::old_project_is_deleted()] {
        for isolation in [Isolation::Serializable, Isolation::Snapshot] {
            for clocks in [Clocks::Kept, Clocks::Ignored] {
                let start = std::time::Instant::now();
                let model = Protocol { scenario: scenario.clone(), isolation, clocks, fault: None };
                let checker = model.checker().target_state_count(6_000_000).spawn_dfs().join();
                eprintln!("{isolation:?} {clocks:?} {} {} {:?} {:?}", checker.unique_state_count(), checker.state_count(), checker.discoveries().keys(), start.elapsed());
            }
        }
    }
}
