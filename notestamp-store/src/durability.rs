/// How much an answered change survives.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Durability {
    /// Loss of power: files, folders and commits are synced before the answer.
    #[default]
    Full,
    /// The end of the process, `kill -9` included: the operating system writes when it likes.
    Relaxed,
}
