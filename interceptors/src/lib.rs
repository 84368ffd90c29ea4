//! NACK, RTX, reports, feedback and keyframe requests for RTP, sans-I/O
