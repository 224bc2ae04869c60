//! What the operator decides. Values in, values out: no client, no clock, no log.
//!
//! ```text
//! observe ─▶ resolve ─▶ plan ─▶ apply ─▶ status
//!   shell      here     here    shell    here
//! ```
//!
//! - [`resolve`] turns a ModelDeployment into a [`Resolved`], or into everything that is wrong with it.
//! - [`plan`] looks at what is asked for, what is there, what was remembered and the time, and says what to write, what to
//!   remove, what to remember, what to tell and when to look again.
//! - [`status`] says how it stands, for people and for programs.
//! - [`keep`], [`guard`] and [`invalid_status`] stand in for the three while the spec cannot be worked with.
//!
//! Every function is total.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unreachable)
)]

mod applied;
mod ask;
mod child;
mod children;
mod compare;
mod external;
mod hash;
mod job_state;
mod labels;
mod memory;
mod missing;
mod names;
mod observed;
mod optimization;
mod outlook;
mod plan;
mod pod_state;
mod quantity;
mod record;
mod report;
mod resolve;
mod resolved;
mod revision;
mod rollout;
mod route;
mod selection;

pub use applied::{Applied, FailedWrite};
pub use ask::{PodToAsk, pods_to_ask};
pub use child::{Child, ChildKind, ChildRef};
pub use external::{Answer, Heard, Question, Request, of_prometheus, of_web_hook};
pub use labels::REVISION as REVISION_LABEL;
pub use memory::{AT_ONCE, Memory, remembered, wake};
pub use missing::pods_are_missing;
pub use observed::Observed;
pub use outlook::Outlook;
pub use plan::{Notice, Plan, PodSplit, Scale, Wake, guard, plan};
pub use record::{OfPackage, served_last};
pub use report::{announced, invalid_status, status};
pub use resolve::{SpecError, SpecErrors, keep, resolve};
pub use resolved::{Defaults, Resolved};
pub use rollout::{Step, course};
pub use route::{GROUP as GATEWAY_API_GROUP, GrpcRoute, HttpRoute, ParentReference, RouteParentStatus, RouteStatus};
pub use selection::numbers;
