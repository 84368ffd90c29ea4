//! SRTP and SRTCP for the Tombolo stack, in place
