//! The system packages that tests and figures need, and how they come onto the machine.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{Outcome, output, program, root, run};

/// A Debian package and a file that shows it is there.
struct Package {
    name: &'static str,
    file: &'static str,
    needed_for: &'static str,
}

const fn package(name: &'static str, file: &'static str, needed_for: &'static str) -> Package {
    Package { name, file, needed_for }
}

const PACKAGES: [Package; 11] = [
    package("chromium", "/usr/bin/chromium", "the browser suites"),
    package("firefox-esr", "/usr/bin/firefox-esr", "the browser suites"),
    package("iproute2", "/usr/sbin/ip", "the browser suites"),
    package("pulseaudio", "/usr/bin/pulseaudio", "sound in Firefox"),
    package("fonts-dejavu-core", "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf", "the page in a browser"),
    package("ffmpeg", "/usr/bin/ffmpeg", "the recordings that the WHIP cells send, and the media files"),
    package("nodejs", "/usr/bin/node", "the browser client and suites"),
    package("npm", "/usr/bin/npm", "the browser client and suites"),
    package("python3-venv", "/usr/share/doc/python3-venv", "the encoder of the WHIP cells"),
    package("openssl", "/usr/bin/openssl", "the DTLS peers"),
    package("valgrind", "/usr/bin/valgrind", "the gate"),
];

/// The peer that is written in C.
const PEERS: [Package; 1] = [package("libsrtp2-dev", "/usr/include/srtp2/srtp.h", "the figures of libsrtp")];

/// Those of the tests.
pub(crate) fn ensure() -> Outcome {
    provide(&PACKAGES)
}

/// Those of the figures.
pub(crate) fn ensure_peers() -> Outcome {
    provide(&PEERS)
}

/// Installs what is missing when this is root on Debian; else names it and goes on.
fn provide(packages: &[Package]) -> Outcome {
    let missing: Vec<&Package> =
        packages.iter().filter(|package| !Path::new(package.file).exists()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = missing.iter().map(|package| package.name).collect();
    if is_root() && Path::new("/etc/debian_version").exists() {
        run(program("apt-get", &["update", "-q"]))?;
        let mut install = program("apt-get", &["install", "-qy", "--no-install-recommends"]);
        install.args(&names).env("DEBIAN_FRONTEND", "noninteractive");
        return run(install);
    }
    for package in missing {
        println!("missing: {}: needed for {}", package.name, package.needed_for);
    }
    println!("as root on Debian: apt-get install --no-install-recommends {}", names.join(" "));
    Ok(())
}

fn is_root() -> bool {
    output(program("id", &["-u"])).is_ok_and(|(uid, _)| uid.trim() == "0")
}

/// `npm ci` in a folder of the workspace, unless its modules are those of its lock file already.
pub(crate) fn npm_ci(folder: &str) -> Outcome {
    let folder = root().join(folder);
    let lock = fs::read(folder.join("package-lock.json"))
        .map_err(|error| format!("{}: {error}", folder.display()))?;
    // A copy of the lock file says what the modules were installed from.
    let stamp = folder.join("node_modules/.installed-from");
    if fs::read(&stamp).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    let mut npm = Command::new("npm");
    npm.args(["ci", "--no-audit", "--no-fund"]).current_dir(&folder).env("PUPPETEER_SKIP_DOWNLOAD", "1");
    run(npm)?;
    fs::write(&stamp, lock).map_err(|error| format!("{}: {error}", stamp.display()))
}

/// An FFmpeg that speaks WHIP, which Debian's does not yet: `TOMBOLO_FFMPEG`, else the one that PyPI's imageio-ffmpeg
/// carries, in an environment of its own. `None`: it cannot be had, and its cells are skipped.
pub(crate) fn whip_encoder() -> Option<PathBuf> {
    if let Some(path) = env::var_os("TOMBOLO_FFMPEG") {
        return Some(path.into());
    }
    let environment = root().join("interop-tests/.cache/python");
    let python = environment.join("bin/python3").into_os_string().into_string().ok()?;
    let path = ["-c", "import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe())"];
    if let Ok((told, _)) = output(program(&python, &path)) {
        return Some(told.trim().into());
    }
    let make = ["-m", "venv", environment.to_str()?];
    let install = ["-m", "pip", "install", "--quiet", "imageio-ffmpeg==0.8.1"];
    run(program("python3", &make)).and_then(|()| run(program(&python, &install))).ok()?;
    let (told, _) = output(program(&python, &path)).ok()?;
    Some(told.trim().into())
}
