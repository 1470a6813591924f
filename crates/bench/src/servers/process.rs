//! A server that the benchmark starts: its process, its CPU time and its memory, as Linux counts them in `/proc`.

use std::fs;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::net::TcpStream;
use tokio::time::sleep;

/// How long a server may take until it accepts connections.
const START_LIMIT: Duration = Duration::from_secs(20);

/// A running server. Dropping it kills the process and waits until it is gone.
pub(crate) struct Process(Child);

impl Process {
    /// Starts a command and waits until a port of 127.0.0.1 accepts connections.
    pub(crate) async fn start(command: &mut Command, port: u16) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        let mut process = Self(child.with_context(|| format!("{name} does not start"))?);
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            if let Some(status) = process.0.try_wait()? {
                bail!("{name} ended at once: {status}");
            }
            if began.elapsed() > START_LIMIT {
                bail!("{name} does not listen on port {port} after {START_LIMIT:?}");
            }
            sleep(Duration::from_millis(5)).await;
        }
        Ok(process)
    }

    /// Returns the CPU time of all threads that the process has.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let mut nanoseconds = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.0.id()))? {
            // A thread may end between the listing and the reading.
            let counted = fs::read_to_string(thread?.path().join("schedstat")).unwrap_or_default();
            nanoseconds += counted.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(0);
        }
        Ok(Duration::from_nanos(nanoseconds))
    }

    /// Returns the resident memory in KiB.
    pub(crate) fn memory(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        resident(&status).context("/proc tells no resident memory")
    }

    /// Waits until the process does next to nothing, for example because its background work is done.
    pub(crate) async fn until_idle(&self) -> Result<()> {
        const WINDOW: Duration = Duration::from_millis(400);
        let mut quiet = 0;
        for _ in 0..150 {
            let before = self.cpu()?;
            sleep(WINDOW).await;
            quiet = if self.cpu()? - before < Duration::from_millis(4) { quiet + 1 } else { 0 };
            if quiet == 3 {
                return Ok(());
            }
        }
        bail!("the server is still at work after a minute")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if the process is gone already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Returns a port of 127.0.0.1 that nothing listens on.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Reads the resident KiB from the text of `/proc/PID/status`.
fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read_from_the_status_of_a_process() {
        assert_eq!(resident("Name:\tx\nVmHWM:\t 900 kB\nVmRSS:\t  812 kB\n"), Some(812));
        assert_eq!(resident("Name:\tx\n"), None);
    }
}
