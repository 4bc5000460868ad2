/// Which failures a completed change survives.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Durability {
    /// Loss of power: file and folder are synced before the call returns.
    #[default]
    Full,
    /// A crash of the process, but not a loss of power.
    Relaxed,
}
