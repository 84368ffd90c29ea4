//! Tests of Tombolo against browsers and other stacks
