//! Drydock on a real cluster: real API server, kubelet, containers and network. `e2e/run.sh` runs these, two at a time
//! for the machine's sake, and each has a namespace of its own under Pod Security `restricted`.

mod ab_test;
mod autoscaled_rollout;
mod autoscaling;
mod bad_canaries;
mod bad_input;
mod children;
mod control;
mod data_plane;
mod examples;
mod nobody_asks;
mod nodes;
mod operator_killed;
mod promotions;
mod quickstart;
mod quiet;
mod requests;
mod sources;
mod store;
mod strategies;
mod support;
mod validation;
