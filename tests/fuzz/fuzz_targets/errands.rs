//! libFuzzer on `larder_tests::fuzz_targets::errands`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| larder_tests::fuzz_targets::errands(bytes));
