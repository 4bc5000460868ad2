/// How a tool ended; the numbers are the program's exit codes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Exit {
    /// It is done, and nothing is left to complain of.
    Done = 0,
    /// Something is left: findings, an unknown account, a part that could not be done.
    Incomplete = 1,
    /// The command line, or an answer to a question, is wrong.
    WrongUse = 2,
    /// The store cannot be reached.
    Unreachable = 3,
}
