//! File descriptors: each connection takes one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Beside the users' connections: those that are refused, those of the admin port and to a canary, files and libraries.
const OTHERS: u64 = 256;

/// Raises the process's limit as far as it may. How many connections it leaves room for, `wanted` at most.
pub(crate) fn connections(wanted: u32) -> u32 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = current == maximum || setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok();
    let limit = if raised { maximum } else { current };
    let room = room(wanted, limit);
    if room < wanted {
        tracing::warn!(
            "{wanted} connections need {} file descriptors, and the process may have {}: {room} are taken at one time; raise the hard \
             limit (ulimit -Hn, LimitNOFILE), or lower --max-connections",
            u64::from(wanted) + OTHERS,
            limit.unwrap_or_default(),
        );
    }
    room
}

/// `limit`: `None` is none.
fn room(wanted: u32, limit: Option<u64>) -> u32 {
    let left = limit.map_or(u64::MAX, |limit| limit.saturating_sub(OTHERS));
    wanted.min(u32::try_from(left).unwrap_or(u32::MAX)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_have_what_is_left_of_the_descriptors() {
        for (wanted, limit, expected) in [
            (1024, None, 1024),
            (1024, Some(1 << 40), 1024),
            (1024, Some(1280), 1024),
            (1024, Some(1024), 768),
            (1024, Some(64), 1),
        ] {
            assert_eq!(room(wanted, limit), expected, "{limit:?}");
        }
    }
}
