#![no_main]

#[path = "../structured.rs"]
mod structured;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    structured::run(data);
});
