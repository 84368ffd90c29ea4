//! Files that ffmpeg made are read, and ffmpeg takes files that were written here.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::Command;

use tombolo_media::annex_b::{AnnexBReader, AnnexBWriter, NalCodec};
use tombolo_media::ivf::{IvfHeader, IvfReader, IvfWriter};
use tombolo_media::mp4::{FragmentedMp4Writer, Sample, TrackFormat};
use tombolo_media::ogg::{OggOpusReader, OggOpusWriter, OpusHead};
use tombolo_media::wav::{WavEncoding, WavReader, WavWriter};
use tombolo_rtp::codec::{Codec, annex_b, av1, h265, is_keyframe};

/// Frames of each video: 3 s of 10 pictures, with a keyframe each second.
const FRAMES: usize = 30;
const FRAME_TICKS: u64 = 9000;

/// Whether the tools are there; says so when they are not.
fn has_ffmpeg(name: &str) -> bool {
    let found = ["ffmpeg", "ffprobe"].iter().all(|tool| Command::new(tool).arg("-version").output().is_ok());
    if !found {
        println!("skipped: {name}: ffmpeg is not installed");
    }
    found
}

/// Runs a tool to its end; what it says on its error output must be nothing.
fn run(tool: &str, arguments: &[&str]) -> Vec<u8> {
    let output =
        Command::new(tool).args(["-v", "error"]).args(arguments).output().expect("an installed tool");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && told.is_empty(), "{tool} {arguments:?}: {told}");
    output.stdout
}

/// A file that ffmpeg makes of a test picture.
fn video(encoder: &[&str], format: &str) -> Vec<u8> {
    let source = "testsrc=size=320x180:rate=10:duration=3";
    let pixels = ["-f", "lavfi", "-i", source, "-pix_fmt", "yuv420p", "-g", "10"];
    run("ffmpeg", &[&pixels[..], encoder, &["-f", format, "pipe:1"]].concat())
}

const H264: &[&str] = &["-c:v", "libx264", "-bf", "0", "-x264-params", "slices=3:aud=1"];
const VP8: &[&str] = &["-c:v", "libvpx", "-auto-alt-ref", "0", "-lag-in-frames", "0"];
const VP9: &[&str] = &["-c:v", "libvpx-vp9", "-auto-alt-ref", "0", "-lag-in-frames", "0", "-cpu-used", "8"];

const H265: &[&str] = &["-c:v", "libx265", "-x265-params", "bframes=0:slices=2:log-level=none"];
const AV1: &[&str] = &["-c:v", "libaom-av1", "-usage", "realtime", "-cpu-used", "8", "-lag-in-frames", "0"];

/// 2.51 s of stereo.
fn opus() -> Vec<u8> {
    let source = "sine=frequency=440:sample_rate=48000:duration=2.51";
    run("ffmpeg", &["-f", "lavfi", "-i", source, "-ac", "2", "-c:a", "libopus", "-f", "ogg", "pipe:1"])
}

fn scratch(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// Puts bytes into a file, has ffmpeg decode all of it, and gives what ffprobe says, a line a field.
fn probe(name: &str, bytes: &[u8]) -> String {
    let path = scratch(name);
    fs::write(&path, bytes).expect("a writable folder");
    let path = path.to_str().expect("a path of UTF-8");
    run("ffmpeg", &["-i", path, "-f", "null", "-"]);
    let fields = "format=duration:stream=codec_name,width,height,channels,sample_rate,nb_read_frames";
    let told = run("ffprobe", &["-count_frames", "-show_entries", fields, "-of", "default=nw=1", path]);
    String::from_utf8(told).expect("text of UTF-8")
}

#[track_caller]
fn assert_told(told: &str, lines: &[&str]) {
    for line in lines {
        assert!(told.lines().any(|found| found == *line), "no {line} in\n{told}");
    }
}

/// The length of a file in seconds.
fn duration(told: &str) -> f64 {
    let found = told.lines().find_map(|line| line.strip_prefix("duration=")?.parse().ok());
    found.unwrap_or_else(|| panic!("no duration in\n{told}"))
}

fn ivf_frames(file: &[u8]) -> (IvfHeader, Vec<Vec<u8>>) {
    let mut reader = IvfReader::new(file).expect("a file that ffmpeg made");
    let mut frames = Vec::new();
    while let Some(frame) = reader.next_frame().expect("good frames") {
        assert_eq!(reader.header().presentation(frame.time).as_millis(), frames.len() as u128 * 100);
        frames.push(frame.data);
    }
    (*reader.header(), frames)
}

fn units(file: &[u8], codec: NalCodec) -> Vec<Vec<u8>> {
    let mut reader = AnnexBReader::new(file, codec);
    std::iter::from_fn(|| reader.next_unit().expect("a good stream")).collect()
}

fn packets(file: &[u8]) -> (OpusHead, Vec<Vec<u8>>) {
    let mut reader = OggOpusReader::new(file).expect("a file that ffmpeg made");
    let (mut all, mut samples) = (Vec::new(), 0);
    while let Some(packet) = reader.next_packet().expect("good packets") {
        assert_eq!(packet.start, 960 * all.len() as u64);
        samples += u64::from(packet.samples - packet.trimmed);
        all.push(packet.data);
    }
    assert_eq!(samples - u64::from(reader.head().pre_skip), 48_000 * 251 / 100, "what is to be heard");
    (*reader.head(), all)
}

#[test]
fn ivf_goes_both_ways() {
    if !has_ffmpeg("IVF") {
        return;
    }
    for (encoder, fourcc, name) in [(VP8, *b"VP80", "vp8"), (VP9, *b"VP90", "vp9")] {
        let (header, frames) = ivf_frames(&video(encoder, "ivf"));
        assert_eq!((header.codec, header.width, header.height), (fourcc, 320, 180));
        assert_eq!(frames.len(), FRAMES);
        let header = IvfHeader::with_rtp_clock(fourcc, 320, 180);
        let mut writer = IvfWriter::new(Cursor::new(Vec::new()), &header).expect("a good header");
        for (time, frame) in (0..).step_by(FRAME_TICKS as usize).zip(&frames) {
            writer.write(time, frame).expect("a good frame");
        }
        let file = writer.finish_counted().expect("an end").into_inner();
        let told = probe(&format!("{name}.ivf"), &file);
        let codec = format!("codec_name={name}");
        assert_told(&told, &[&codec, "width=320", "height=180", "nb_read_frames=30"]);
    }
}

#[test]
fn ogg_opus_goes_both_ways() {
    if !has_ffmpeg("Ogg/Opus") {
        return;
    }
    let (head, packets) = packets(&opus());
    assert_eq!((head.channels, head.input_sample_rate), (2, 48_000));
    let mut writer = OggOpusWriter::new(Vec::new(), &head, 1).expect("a good header");
    for (at, packet) in packets.iter().enumerate() {
        if at == 50 {
            writer.write_gap(std::time::Duration::from_secs(1)).expect("a gap");
        }
        writer.write(packet).expect("a good packet");
    }
    let told = probe("gap.opus", &writer.finish().expect("an end"));
    assert_told(&told, &["codec_name=opus", "channels=2", "sample_rate=48000"]);
    let length = (packets.len() + 50) as f64 * 0.02;
    assert!((duration(&told) - length).abs() < 0.001, "{told}");
}

#[test]
fn byte_streams_go_both_ways() {
    if !has_ffmpeg("Annex-B") {
        return;
    }
    for (encoder, codec, format) in [(H264, NalCodec::H264, "h264"), (H265, NalCodec::H265, "hevc")] {
        let stream = video(encoder, format);
        let units = units(&stream, codec);
        assert_eq!(units.len(), FRAMES, "{format}");
        if codec == NalCodec::H264 {
            assert!((0..FRAMES).all(|at| annex_b::is_keyframe(&units[at]) == (at % 10 == 0)));
        }
        let mut writer = AnnexBWriter::new(Vec::new());
        units.iter().for_each(|unit| writer.write(unit).expect("a unit"));
        let name = format!("codec_name={format}");
        let told = probe(&format!("stream.{format}"), &writer.finish().expect("an end"));
        assert_told(&told, &[&name, "width=320", "height=180", "nb_read_frames=30"]);
    }
}

#[test]
fn wav_goes_both_ways() {
    if !has_ffmpeg("WAV") {
        return;
    }
    for (encoder, encoding) in [
        ("pcm_s16le", WavEncoding::Pcm16),
        ("pcm_alaw", WavEncoding::ALaw),
        ("pcm_mulaw", WavEncoding::MuLaw),
    ] {
        let path = scratch(&format!("{encoder}.wav"));
        let name = path.to_str().expect("a path of UTF-8");
        let source = "sine=sample_rate=8000:duration=1.5";
        let make = ["-y", "-f", "lavfi", "-i", source, "-c:a", encoder, "-f", "wav"];
        run("ffmpeg", &[&make[..], &[name]].concat());
        let piped = run("ffmpeg", &[&make[..], &["pipe:1"]].concat());
        for file in [fs::read(&path).expect("the file of ffmpeg"), piped] {
            let mut reader = WavReader::new(&file[..]).expect("a file that ffmpeg made");
            let format = *reader.format();
            assert_eq!((format.encoding, format.channels, format.sample_rate_hz), (encoding, 1, 8000));
            let sound = reader.next_samples(20_000).expect("good samples").expect("some samples");
            assert_eq!(sound.len(), if encoding == WavEncoding::Pcm16 { 24_000 } else { 12_000 });
            assert_eq!(reader.next_samples(1).expect("the end"), None);
            let mut sized = WavWriter::new(Cursor::new(Vec::new()), format).expect("a good format");
            sized.write(&sound).expect("whole samples");
            let sized = sized.finish_sized().expect("an end").into_inner();
            let mut piped = WavWriter::new(Vec::new(), format).expect("a good format");
            piped.write(&sound).expect("whole samples");
            let codec = format!("codec_name={encoder}");
            for (kind, bytes) in [("sized", sized), ("piped", piped.finish().expect("an end"))] {
                let told = probe(&format!("{encoder}-{kind}.wav"), &bytes);
                assert_told(&told, &[&codec, "sample_rate=8000", "channels=1"]);
                assert!((duration(&told) - 1.5).abs() < 0.001, "{kind}: {told}");
            }
        }
    }
}

/// A recording of pictures and sound.
fn record(format: TrackFormat, frames: &[Vec<u8>], is_keyframe: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let (head, sound) = packets(&opus());
    let tracks = vec![format, TrackFormat::Opus { channels: head.channels, pre_skip: head.pre_skip }];
    let mut writer = FragmentedMp4Writer::new(Vec::new(), tracks).expect("good formats");
    let mut sound = sound.iter().zip((0..).step_by(960)).peekable();
    for (frame, time) in frames.iter().zip((0..).step_by(FRAME_TICKS as usize)) {
        // Sound up to the picture, as it comes from the network.
        while let Some((data, at)) = sound.next_if(|(_, at)| at * 90 <= time * 48) {
            writer.write(1, Sample { time: at, is_keyframe: true, data }).expect("a good packet");
        }
        let sample = Sample { time, is_keyframe: is_keyframe(frame), data: frame };
        writer.write(0, sample).expect("a good frame");
    }
    for (data, time) in sound {
        writer.write(1, Sample { time, is_keyframe: true, data }).expect("a good packet");
    }
    writer.finish().expect("an end")
}

#[test]
fn ffmpeg_plays_recordings() {
    if !has_ffmpeg("fragmented MP4") {
        return;
    }
    let h264 = units(&video(H264, "h264"), NalCodec::H264);
    let format = TrackFormat::h264_of(&h264[0]).expect("parameter sets");
    let h264 = record(format, &h264, annex_b::is_keyframe);
    let vp8 = ivf_frames(&video(VP8, "ivf")).1;
    // The bit that tells keyframes is in the first byte of the frame (RFC 6386 §9.1).
    let vp8 = record(TrackFormat::Vp8 { width: 320, height: 180 }, &vp8, |frame| frame[0] & 1 == 0);
    let vp9 = ivf_frames(&video(VP9, "ivf")).1;
    let format = TrackFormat::Vp9 { width: 320, height: 180, profile: 0, bit_depth: 8 };
    let vp9 = record(format, &vp9, |frame| frame[0] & 0x04 == 0);
    let h265 = units(&video(H265, "hevc"), NalCodec::H265);
    let format = TrackFormat::h265_of(&h265[0]).expect("parameter sets");
    let h265 = record(format, &h265, h265::is_keyframe);
    let av1 = ivf_frames(&video(AV1, "ivf")).1;
    let format = TrackFormat::av1_of(&av1[0]).expect("a sequence header");
    let av1 = record(format, &av1, av1::is_keyframe);
    for (name, file) in [("h264", h264), ("hevc", h265), ("vp8", vp8), ("vp9", vp9), ("av1", av1)] {
        let told = probe(&format!("{name}.mp4"), &file);
        let codec = format!("codec_name={name}");
        assert_told(&told, &[&codec, "width=320", "height=180", "nb_read_frames=30"]);
        assert_told(&told, &["codec_name=opus", "channels=2", "sample_rate=48000"]);
        assert!((duration(&told) - 3.0).abs() < 0.05, "{told}");
    }
}

/// What stands in the file when the recorder is gone can be played.
#[test]
fn ffmpeg_plays_a_recording_that_was_cut_off() {
    if !has_ffmpeg("fragmented MP4 that was cut off") {
        return;
    }
    let units = units(&video(H264, "h264"), NalCodec::H264);
    let format = TrackFormat::h264_of(&units[0]).expect("parameter sets");
    let file = record(format, &units, annex_b::is_keyframe);
    let third = file.windows(4).enumerate().filter(|(_, name)| name == b"moof").nth(2);
    let (at, _) = third.expect("a third fragment");
    let told = probe("cut.mp4", &file[..at - 4]);
    let frames: usize =
        told.lines().find_map(|line| line.strip_prefix("nb_read_frames=")?.parse().ok()).expect("a count");
    assert!((1..FRAMES).contains(&frames), "{told}");
}

/// The payload format's idea of a keyframe and the file's are the same.
#[test]
fn keyframes_of_a_file_are_those_of_the_packets() {
    if !has_ffmpeg("keyframes") {
        return;
    }
    let frames = ivf_frames(&video(VP8, "ivf")).1;
    for (at, frame) in frames.iter().enumerate() {
        // A payload descriptor that begins a partition (RFC 7741 §4.2).
        let payload = [&[0x10][..], frame].concat();
        assert_eq!(is_keyframe(Codec::Vp8, &payload), at % 10 == 0, "frame {at}");
    }
}
