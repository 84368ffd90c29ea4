//! STUN and ICE for the Tombolo stack, sans-I/O
