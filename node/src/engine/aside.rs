//! Work that nobody waits for: on a thread of its own, behind whatever else the machine has to do.

use tokio::{runtime::Handle, sync::oneshot};

use super::EngineError;

/// How much it steps back behind the work of people, as `nice` counts.
const NICENESS: i32 = 10;

/// Runs `work`, which blocks. Threads that it starts step back as well.
pub(super) async fn run<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, EngineError> {
    let (done, answer) = oneshot::channel();
    let runtime = Handle::current();
    let thread = move || {
        let _inside = runtime.enter();
        // Of this thread alone, which ends with the work: nobody could take it back. Who may not, may
        // not: then it competes with the rest.
        let _ = rustix::process::nice(NICENESS);
        let _gone = done.send(work());
    };
    std::thread::Builder::new()
        .name("aside".to_owned())
        .spawn(thread)
        .map_err(|_| EngineError::Stopped)?;
    answer.await.map_err(|_| EngineError::Stopped)
}

#[cfg(test)]
mod tests {
    use super::*;

    // RECUR-12
    #[tokio::test]
    async fn what_runs_aside_steps_back_and_nothing_else_does() {
        let before = rustix::process::nice(0).unwrap();
        let work = || {
            let inner = std::thread::spawn(|| rustix::process::nice(0).unwrap());
            (rustix::process::nice(0).unwrap(), inner.join().unwrap())
        };
        let stepped_back = (before + NICENESS).min(19);
        assert_eq!(run(work).await.unwrap(), (stepped_back, stepped_back));
        assert_eq!(rustix::process::nice(0).unwrap(), before);
        // A fault of the work is no end of the node.
        run(|| panic!("this is for the test")).await.unwrap_err();
    }
}
