//! The machine of a run, and the versions of the programs that took part: without these a figure says nothing.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::systems::Programs;

/// Returns the lines that a document begins with.
pub(crate) fn described(programs: &Programs) -> Vec<String> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let cpu = field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown CPU".to_owned());
    let memory = field(&read("/proc/meminfo"), "MemTotal").unwrap_or_default();
    let kernel = read("/proc/sys/kernel/osrelease");
    let folder = std::env::temp_dir();
    let disk = file_system(&read("/proc/mounts"), &folder).unwrap_or_else(|| "unknown".to_owned());
    let load = read("/proc/loadavg").split(' ').take(3).collect::<Vec<_>>().join(", ");
    let mut lines = vec![
        format!("{cores} cores of {cpu}, {memory} of memory, Linux {}", kernel.trim()),
        format!("files in {} ({disk}); load of the machine when the run ended: {load}", folder.display()),
    ];
    lines.extend(version(&programs.workerd));
    lines.extend(programs.redis.as_deref().and_then(version));
    lines.extend(programs.nats.as_deref().and_then(version));
    lines
}

/// Returns the first line that a program says about its version.
fn version(program: &Path) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).lines().next()?.to_owned())
}

/// Reads a field of a file of `/proc` that has one a line.
fn field(text: &str, name: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// Returns the type of the file system that a folder is on: of the mounts around it, the innermost.
fn file_system(mounts: &str, folder: &Path) -> Option<String> {
    let mounts = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        Some((words.next()?, words.next()?))
    });
    let around = mounts.filter(|(at, _)| folder.starts_with(at));
    Some(around.max_by_key(|(at, _)| at.len())?.1.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_on_the_innermost_mount_around_it() {
        let mounts = "/dev/a / ext4 rw 0 0\ntmpfs /dev/shm tmpfs rw 0 0\n/dev/b /dev/shmx xfs rw 0 0\n";
        assert_eq!(file_system(mounts, Path::new("/dev/shm/x")).as_deref(), Some("tmpfs"));
        assert_eq!(file_system(mounts, Path::new("/tmp")).as_deref(), Some("ext4"));
    }
}
