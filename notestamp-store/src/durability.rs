/// How much an answered change survives.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Durability {
    /// Loss of power: file and folder are synced before the answer.
    #[default]
    Full,
    /// The end of the process, however sudden.
    Relaxed,
}
