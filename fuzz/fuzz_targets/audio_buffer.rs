#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tombolo_fuzz_targets::audio_buffer(data));
