#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cgm_submitter_fuzz::run("import", data));
