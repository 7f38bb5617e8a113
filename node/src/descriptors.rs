//! How many files this process may have open, and what is done when it has them all.

use std::{sync::OnceLock, thread::sleep, time::Duration};

use rustix::{
    io::Errno,
    process::{Resource, Rlimit, getrlimit, setrlimit},
};

/// How often an open is tried again, and after what time: five seconds in all.
const TRIES: u32 = 250;
const TRY_EVERY: Duration = Duration::from_millis(20);

/// How many files may be open at once. The usual soft limit is for programs of the time of
/// `select`; it is raised to the hard one, once.
fn open_max() -> u64 {
    static OPEN_MAX: OnceLock<u64> = OnceLock::new();
    *OPEN_MAX.get_or_init(|| {
        let limit = getrlimit(Resource::Nofile);
        if limit.current < limit.maximum || limit.maximum.is_none() {
            // Refused in some sandboxes: then the soft limit is what there is.
            let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
        }
        getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
    })
}

/// One part in `parts` of the files that this process may have open, as a number of things that are at least `least` and at most
/// `most`.
pub(crate) fn share(parts: u64, least: usize, most: usize) -> usize {
    usize::try_from(open_max() / parts).unwrap_or(usize::MAX).clamp(least, most)
}

/// Opens something, waiting while others have all descriptors: what cannot be opened would be
/// missing from a backup. Before each further try `give_way` closes what the caller can spare.
///
/// # Errors
/// Those of `open`; for want of descriptors after five seconds only.
pub(crate) fn patiently<T, E: From<Errno> + PartialEq>(
    mut open: impl FnMut() -> Result<T, E>,
    mut give_way: impl FnMut(),
) -> Result<T, E> {
    let is_want = |error: &E| [Errno::MFILE, Errno::NFILE].map(E::from).contains(error);
    for _ in 0..TRIES {
        match open() {
            Err(error) if is_want(&error) => {
                give_way();
                sleep(TRY_EVERY);
            }
            result => return result,
        }
    }
    open()
}

#[cfg(test)]
mod tests {
    use super::*;

    // FILES-45
    #[test]
    fn want_of_descriptors_is_waited_out_and_nothing_else_is() {
        let (mut tries, mut gave_way) = (0, 0);
        let open = |outcomes: &'static [Errno]| {
            let mut outcomes = outcomes.iter();
            move || outcomes.next().map_or(Ok(()), |errno| Err(*errno))
        };
        let mut full = open(&[Errno::MFILE, Errno::NFILE]);
        let full = || {
            tries += 1;
            full()
        };
        assert_eq!(patiently(full, || gave_way += 1), Ok(()));
        assert_eq!((tries, gave_way), (3, 2));
        let give_way = || panic!("nothing is gained by it");
        assert_eq!(patiently(open(&[Errno::ACCESS]), give_way), Err(Errno::ACCESS));
    }
}
