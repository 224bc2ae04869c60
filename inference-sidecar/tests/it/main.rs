//! The server as its users see it: real HTTP and gRPC clients on loopback, a real model.

mod process;
mod protocols;
mod splitter;
mod support;
