//! RTP and RTCP views, encoders and payload formats for the Tombolo stack
