//! What the operator types: a password, the answer to a question.

use std::io::{self, IsTerminal as _, Write as _};

use rustix::termios::{self, LocalModes, OptionalActions, Termios};

use super::exit::Exit;
use super::failure::Failure;

/// Reads a password: twice from a terminal, which does not show it; otherwise the first line of standard input.
///
/// # Errors
/// If the password is empty, cannot be read, or the second one differs from the first.
pub(super) fn read_password() -> Result<String, Failure> {
    let refused = |why: &str| Failure::new(Exit::WrongUse, why);
    if !io::stdin().is_terminal() {
        return match read_line()? {
            password if password.is_empty() => {
                Err(refused("no password: write it to standard input, or use a terminal"))
            }
            password => Ok(password),
        };
    }
    let password = read_unseen("New password: ")?;
    match password == read_unseen("The same again: ")? {
        true => Ok(password),
        false => Err(refused("the two passwords differ")),
    }
}

/// Asks whether the account is to be removed.
///
/// # Errors
/// If there is no terminal to ask, or the answer is not yes.
pub(super) fn ask_before_removal(email: &str) -> Result<(), Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::new(Exit::WrongUse, "without a terminal, --yes is needed to remove an account"));
    }
    prompt(&format!("Remove the account {email} with all its projects? [y/N] "))?;
    match read_line()?.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Failure::new(Exit::WrongUse, "nothing was removed")),
    }
}

fn read_unseen(question: &str) -> Result<String, Failure> {
    prompt(question)?;
    let hidden = HiddenTyping::begin().map_err(unusable)?;
    let line = read_line();
    drop(hidden);
    prompt("\n")?;
    line
}

fn prompt(text: &str) -> Result<(), Failure> {
    let mut terminal = io::stderr().lock();
    terminal.write_all(text.as_bytes()).and_then(|()| terminal.flush()).map_err(unusable)
}

fn read_line() -> Result<String, Failure> {
    let mut line = String::new();
    io::stdin().read_line(&mut line).map_err(unusable)?;
    line.truncate(line.trim_end_matches(['\n', '\r']).len());
    Ok(line)
}

fn unusable(error: impl Into<io::Error>) -> Failure {
    Failure::new(Exit::WrongUse, format!("cannot read what is typed: {}", error.into()))
}

/// The terminal does not show what is typed until this is dropped.
struct HiddenTyping(Termios);

impl HiddenTyping {
    fn begin() -> rustix::io::Result<Self> {
        let shown = termios::tcgetattr(io::stdin())?;
        let mut hidden = shown.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        termios::tcsetattr(io::stdin(), OptionalActions::Flush, &hidden)?;
        Ok(Self(shown))
    }
}

impl Drop for HiddenTyping {
    fn drop(&mut self) {
        // There is nothing to do about a terminal that cannot be reset.
        let _ = termios::tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
    }
}
