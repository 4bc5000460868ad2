//! Makes the allocator give freed memory back to the system.
//!
//! glibc keeps most of what is freed. After the first free of a large block it serves all blocks of up to that size from
//! the arenas of its threads, which give back only what lies at their end: after 20 saves of 16 MiB, a server kept
//! 256 MiB at rest, with these settings 11 MiB.

/// The settings of glibc's allocator (mallopt(3)). Blocks of 128 KiB or more have mappings of their own, whatever was
/// freed before, and are given back when they are freed.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const SETTINGS: [(&str, &str); 3] =
    [("MALLOC_ARENA_MAX", "2"), ("MALLOC_MMAP_THRESHOLD_", "131072"), ("MALLOC_TRIM_THRESHOLD_", "131072")];

/// Starts this program again, in the same process, with the settings of the allocator; returns if it runs with settings
/// already, or if that fails.
///
/// glibc reads them once, when a program starts. To change them later, or to replace the allocator by one that gives
/// memory back, takes unsafe code or a large dependency.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn give_memory_back() {
    use std::os::unix::process::CommandExt as _;
    use std::process::Command;

    // An operator's own setting has precedence. All of them are set after the restart, so it happens once.
    if SETTINGS.iter().any(|(name, _)| std::env::var_os(name).is_some()) {
        return;
    }
    let Ok(program) = std::env::current_exe() else { return };
    let mut arguments = std::env::args_os();
    let mut again = Command::new(program);
    again.envs(SETTINGS);
    if let Some(name) = arguments.next() {
        again.arg0(name);
    }
    // Returns only if it fails. Then the server runs as it is, and keeps more memory.
    let _ = again.args(arguments).exec();
}

/// Other allocators need no settings.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn give_memory_back() {}
