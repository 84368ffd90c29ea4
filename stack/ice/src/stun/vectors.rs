//! The vectors of RFC 5769, byte-exact both ways (STUN-09), and malformed input (STUN-10).

use super::*;

const PASSWORD: &[u8] = b"VOkJxbRl1RmTxUk/WvJxBt";
const ID: TransactionId =
    TransactionId([0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae]);

/// RFC 5769 §2.1.
const REQUEST: &str = "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e74\
    002400046e0001ff80290008932ff9b151263b36000600096576746a3a68367659202020\
    000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a280280004e57a3bcf";
/// RFC 5769 §2.2.
const RESPONSE_V4: &str = "0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220\
    002000080001a147e112a643000800142b91f599fd9e90c38c7489f92af9ba53f06be7d780280004c07d4c96";
/// RFC 5769 §2.3.
const RESPONSE_V6: &str = "010100482112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220\
    002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d900080014a382954e4be67bf11784c97c8292c275bfe3ed41\
    80280004c8fb0b4c";
/// RFC 5769 §2.4.
const LONG_TERM: &str = "000100602112a44278ad3433c6ad72c029da412e00060012e3839ee38388e383aae38383e382af\
    e382b900000015001c662f2f3439396b39353464364f4c33346f4c394653547679363473410014000b6578616d706c652e6f7267\
    0000080014f67024656dd64a3e02b8e0712e85c9a28ca89666";

fn bytes(hex: &str) -> Vec<u8> {
    hex.as_bytes()
        .chunks_exact(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

#[test]
fn request_of_rfc_5769_2_1() {
    let data = bytes(REQUEST);
    assert!(is_stun(&data));
    let message = Message::parse(&data).unwrap();
    let key = IntegrityKey::new(PASSWORD);
    assert_eq!((message.class(), message.method()), (Class::Request, Method::BINDING));
    assert_eq!(message.transaction_id(), ID);
    assert_eq!(message.ufrags(), Some((&b"evtj"[..], &b"h6vY"[..])));
    assert_eq!(message.priority(), Some(0x6e00_01ff));
    assert_eq!(message.ice_controlled(), Some(0x932f_f9b1_5126_3b36));
    assert_eq!(message.ice_controlling(), None);
    assert!(message.has_fingerprint() && message.verify_integrity(&key));
    assert!(!message.verify_integrity(&IntegrityKey::new(b"VOkJxbRl1RmTxUk/WvJxBu")));

    let mut out = Vec::new();
    Encoder::new(&mut out, Class::Request, Method::BINDING, ID)
        .padding(b' ')
        .attribute(AttributeType::SOFTWARE, b"STUN test client")
        .attribute(AttributeType::PRIORITY, &0x6e00_01ff_u32.to_be_bytes())
        .attribute(AttributeType::ICE_CONTROLLED, &0x932f_f9b1_5126_3b36_u64.to_be_bytes())
        .ice_username("evtj", "h6vY")
        .integrity(&key)
        .finish_with_fingerprint();
    assert_eq!(out, data);
}

#[test]
fn responses_of_rfc_5769_2_2_and_2_3() {
    let key = IntegrityKey::new(PASSWORD);
    let v6 = "[2001:db8:1234:5678:11:2233:4455:6677]:32853";
    for (hex, address) in [(RESPONSE_V4, "192.0.2.1:32853"), (RESPONSE_V6, v6)] {
        let data = bytes(hex);
        let message = Message::parse(&data).unwrap();
        let address = address.parse().unwrap();
        assert_eq!(message.class(), Class::Success);
        assert_eq!(message.xor_mapped_address(), Some(address));
        assert!(message.has_fingerprint() && message.verify_integrity(&key));

        let mut out = Vec::new();
        Encoder::new(&mut out, Class::Success, Method::BINDING, ID)
            .padding(b' ')
            .attribute(AttributeType::SOFTWARE, b"test vector")
            .xor_mapped_address(address)
            .integrity(&key)
            .finish_with_fingerprint();
        assert_eq!(out, data);
    }
}

#[test]
fn long_term_request_of_rfc_5769_2_4() {
    let data = bytes(LONG_TERM);
    let message = Message::parse(&data).unwrap();
    // MD5 of "マトリックス:example.org:TheMatrIX".
    let key = IntegrityKey::new(&bytes("e8ca7ad59d5eb0518e312911d2dab2a9"));
    assert!(message.verify_integrity(&key) && !message.has_fingerprint());

    let mut out = Vec::new();
    Encoder::new(&mut out, Class::Request, Method::BINDING, message.transaction_id())
        .attribute(AttributeType::USERNAME, "マトリックス".as_bytes())
        .attribute(AttributeType::NONCE, b"f//499k954d6OL34oL9FSTvy64sA")
        .attribute(AttributeType::REALM, b"example.org")
        .integrity(&key)
        .finish();
    assert_eq!(out, data);
}

/// STUN-09: what follows MESSAGE-INTEGRITY does not count.
#[test]
fn an_attribute_after_the_integrity_is_ignored() {
    let key = IntegrityKey::new(PASSWORD);
    let mut out = Vec::new();
    Encoder::new(&mut out, Class::Request, Method::BINDING, ID)
        .ice_username("evtj", "h6vY")
        .integrity(&key)
        .attribute(AttributeType::USE_CANDIDATE, &[])
        .finish_with_fingerprint();
    let message = Message::parse(&out).unwrap();
    assert!(message.verify_integrity(&key));
    assert!(!message.use_candidate());
    assert_eq!(message.ufrags(), Some((&b"evtj"[..], &b"h6vY"[..])));
}

/// STUN-10: every truncation and every wrong length is refused; padding may have any value.
#[test]
fn malformed_messages_are_refused() {
    let data = bytes(REQUEST);
    for len in 0..data.len() {
        assert!(Message::parse(&data[..len]).is_err(), "{len} bytes");
    }
    for delta in [-4_i16, -1, 1, 4] {
        let mut wrong = data.clone();
        wrong[2..4].copy_from_slice(&(0x58 + delta).to_be_bytes());
        assert_eq!(Message::parse(&wrong).unwrap_err(), DecodeError::Length, "{delta}");
    }
    // An attribute past the end: the length of SOFTWARE.
    let mut wrong = data.clone();
    wrong[22..24].copy_from_slice(&0x55_u16.to_be_bytes());
    assert_eq!(Message::parse(&wrong).unwrap_err(), DecodeError::AttributePastEnd);
    for (at, bit) in [(0, 0x80), (0, 0x40), (4, 1), (7, 1)] {
        let mut wrong = data.clone();
        wrong[at] ^= bit;
        assert_eq!(Message::parse(&wrong).unwrap_err(), DecodeError::NotStun);
        assert!(!is_stun(&wrong));
    }
}

/// STUN-11: a wrong FINGERPRINT means: not STUN.
#[test]
fn every_flipped_bit_is_noticed_by_the_fingerprint() {
    let data = bytes(REQUEST);
    for at in 8..data.len() {
        let mut wrong = data.clone();
        wrong[at] ^= 1;
        assert!(
            Message::parse(&wrong).is_err() || !Message::parse(&wrong).unwrap().has_fingerprint(),
            "byte {at}"
        );
    }
}

#[test]
fn types_hold_every_class_and_method() {
    for method in [0x001, 0x003, 0x07f, 0xabc, 0xfff].map(Method) {
        for class in [Class::Request, Class::Indication, Class::Success, Class::Error] {
            let mut out = Vec::new();
            Encoder::new(&mut out, class, method, ID).finish();
            let message = Message::parse(&out).unwrap();
            assert_eq!((message.class(), message.method()), (class, method));
        }
    }
}

#[test]
fn errors_and_unknown_attributes_survive() {
    let mut out = Vec::new();
    Encoder::new(&mut out, Class::Error, Method::BINDING, ID)
        .error_code(ErrorCode::UNKNOWN_ATTRIBUTE)
        .unknown_attributes([AttributeType(0x7ffe), AttributeType(0x7ffd), AttributeType(0x7ffc)])
        .finish_with_fingerprint();
    let message = Message::parse(&out).unwrap();
    assert_eq!(message.error_code(), Some(ErrorCode(420)));
    let listed: Vec<u16> = message.unknown_attributes().map(|kind| kind.0).collect();
    assert_eq!(listed, [0x7ffe, 0x7ffd, 0x7ffc]);
}
