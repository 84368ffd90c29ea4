//! Virtual clock, seeded links and the Pair harness for tests of the Tombolo stack.
//!
//! A test implements [`Machine`] for what it drives (often a small struct around a protocol machine that also
//! collects its events), joins two of them with a [`Pair`] and lets virtual time pass. Nothing here sleeps, and
//! the same seed gives the same run, byte for byte.
//!
//! | module | what |
//! |---|---|
//! | [`codec`] | [`Codec`]: a model of a video encoder that follows a bitrate |
//! | [`cubic`] | a model of a TCP flow with CUBIC |
//! | [`clock`] | the instant at which every virtual clock starts |
//! | [`dumbbell`] | [`Dumbbell`]: many flows through one bottleneck |
//! | [`link`] | [`Link`]: what one direction of the network does to datagrams |
//! | [`machine`] | [`Machine`]: what a [`Pair`] can drive |
//! | [`pair`] | [`Pair`]: two machines, two links, one clock |
//! | [`record`] | [`Record`]: what the tap saw; pcap files |
//!
//! ```
//! use std::time::Duration;
//! use tombolo_netsim::{Link, Pair, Silent, start};
//!
//! let mut pair = Pair::new(Silent, Silent, 1);
//! pair.set_links(&Link::default().latency(Duration::from_millis(20)).loss(0.1));
//! pair.run_for(Duration::from_secs(1));
//! assert_eq!(pair.now(), start() + Duration::from_secs(1));
//! ```

pub mod clock;
pub mod codec;
pub mod cubic;
pub mod dumbbell;
pub mod link;
pub mod machine;
pub mod pair;
pub mod record;

pub use clock::start;
pub use codec::{Codec, CodecConfig, Frame};
pub use dumbbell::{Delivery, Dumbbell};
pub use link::{GilbertElliott, Link, LinkDrop};
pub use machine::{Machine, Silent};
pub use pair::{Pair, Side, Translation};
pub use record::{Fate, Record};
