#!/bin/sh
# rustc for the crates of this workspace, with the C library linked into the plugin's program. By RUSTFLAGS, all that it is made of would
# be compiled once more.
case " $* " in
*" --crate-name kubectl_drydock "*" --crate-type bin "*) exec "$@" -Ctarget-feature=+crt-static ;;
esac
exec "$@"
