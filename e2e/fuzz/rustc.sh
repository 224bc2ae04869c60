#!/bin/sh
# rustc for the crates of this workspace, with the counters that libFuzzer reads. Build scripts and macros run in the compiler, where
# nobody counts.
case " $* " in
*" build_script_build "* | *"proc-macro"*) exec "$@" ;;
esac
exec "$@" -Ccodegen-units=1 -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
  -Cllvm-args=-sanitizer-coverage-trace-compares
