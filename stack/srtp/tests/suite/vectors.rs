//! Whole packets of the RFCs' appendices.

use tombolo_crypto::CryptoProvider;
use tombolo_srtp::{Config, Cryptex, InboundContext, MasterKey, OutboundContext, Profile};

use super::support::{protect, unprotect};

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|c| Some(c.to_digit(16)? as u8)).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn providers() -> [CryptoProvider; 2] {
    [tombolo_crypto::ring::provider(), tombolo_crypto::rust_crypto::provider()]
}

const CM_KEY: (&str, &str) = ("E1F97A0D3E018BE0D64FA32C06DE4139", "0EC675AD498AFEEBB6960B3AABE6");
const GCM_KEY: (&str, &str) = ("000102030405060708090a0b0c0d0e0f", "a0a1a2a3a4a5a6a7a8a9aaab");

/// RFC 6904 §A.2, in a packet: elements 1, 3 and 4 are encrypted, element 2 and the padding are not.
#[test]
fn rfc_6904_header_extension_vector() {
    let header = "900f1234 decafbad cafebabe bede0006";
    let plain = hex(&format!("{header} 17414273 A4752627 48220000 C8308E46 55996386 B395FB00"));
    let listed = hex(&format!("{header} 17588A92 70F4E15E 1C220000 C8309546 A994F0BC 54789700"));
    let (key, salt) = (hex(CM_KEY.0), hex(CM_KEY.1));
    for provider in providers() {
        for profile in [Profile::Aes128CmHmacSha1_80, Profile::Aes128CmHmacSha1_32] {
            let master = MasterKey::new(profile, &key, &salt);
            let config = Config::default().encrypted_extensions(&[1, 3, 4]);
            let mut outbound = OutboundContext::new(&provider, &master, &config).unwrap();
            let mut inbound = InboundContext::new(&provider, &master, &config).unwrap();
            let sealed = protect(&mut outbound, &plain).expect("a new packet");
            assert_eq!(sealed[..listed.len()], listed);
            assert_eq!(unprotect(&mut inbound, &sealed).as_ref(), Ok(&plain));
        }
    }
}

/// Plain, with `bede` or `1000`, and protected, of RFC 9335 §A.1.
const CRYPTEX_CM: [(&str, &str); 6] = [
    (
        "900f1235decafbadcafebabebede000151000200abababababababababababababababab",
        "900f1235decafbadcafebabec0de0001eb92365251c3e036f8de27e9c27ee3e0b4651d9fbc4218a70244522f34a5",
    ),
    (
        "900f1236decafbadcafebabe1000000105020002abababababababababababababababab",
        "900f1236decafbadcafebabec2de00014ed9cc4e6a712b3096c5ca77339d4204ce0d77396cab69585fbce38194a5",
    ),
    (
        "920f1238decafbadcafebabe0001e2400000b26ebede000151000200abababababababababababababababab",
        "920f1238decafbadcafebabe8bb6e12b5cff16ddc0de000192838c8c09e58393e1de3a9a74734d6745671338\
         c3acf11da2df8423bee0",
    ),
    (
        "920f1239decafbadcafebabe0001e2400000b26e1000000105020002abababababababababababababababab",
        "920f1239decafbadcafebabef70e513eb90b9b25c2de0001bbed4848faa644665f3d7f34125914e9f4d0ae92\
         3c6f479b95a0f7b53133",
    ),
    (
        "920f123adecafbadcafebabe0001e2400000b26ebede0000abababababababababababababababab",
        "920f123adecafbadcafebabe7130b6abfe2ab0e3c0de0000e3d9f64b25c9e74cb4cf8e43fb92e3781c2c0cea\
         b6b3a499a14c",
    ),
    (
        "920f123bdecafbadcafebabe0001e2400000b26e10000000abababababababababababababababab",
        "920f123bdecafbadcafebabecbf24c124330e1c8c2de0000599dd45bc9d687b603e8b59d771fd38e88b170e0\
         cd31e125eabe",
    ),
];

/// The same of §A.2.
const CRYPTEX_GCM: [(&str, &str); 6] = [
    (
        "900f1235decafbadcafebabebede000151000200abababababababababababababababab",
        "900f1235decafbadcafebabec0de000139972dc9572c4d99e8fc355de743fb2e94f9d8ff54e72f4193bbc5c7\
         4ffab0fa9fa0fbeb",
    ),
    (
        "900f1236decafbadcafebabe1000000105020002abababababababababababababababab",
        "900f1236decafbadcafebabec2de0001bb75a4c545cd1f413bdb7daa2b1e3263de313667c963249081b35a65\
         f5cb6c88b394235f",
    ),
    (
        "920f1238decafbadcafebabe0001e2400000b26ebede000151000200abababababababababababababababab",
        "920f1238decafbadcafebabe63bbccc4a7f695c4c0de00018ad7c71fac70a80c92866b4c6ba98546ef913586\
         e95ffaaffe956885bb0647a8bc094ac8",
    ),
    (
        "920f1239decafbadcafebabe0001e2400000b26e1000000105020002abababababababababababababababab",
        "920f1239decafbadcafebabe3680524f8d312b00c2de0001c78d120038422bc111a7187a18246f980c059cc6\
         bc9df8b626394eca344e4b05d80fea83",
    ),
    (
        "920f123adecafbadcafebabe0001e2400000b26ebede0000abababababababababababababababab",
        "920f123adecafbadcafebabe15b6bb4337906fffc0de0000b7b964537a2b03ab7ba5389ce93317126b5d974d\
         f30c6884dcb651c5e120c1da",
    ),
    (
        "920f123bdecafbadcafebabe0001e2400000b26e10000000abababababababababababababababab",
        "920f123bdecafbadcafebabedcb38c9e48bf95f4c2de000061ee432cf920317076613258d3ce4236c06ac429\
         681ad08413512dc98b5207d8",
    ),
];

#[test]
fn rfc_9335_vectors() {
    for provider in providers() {
        for (profile, (key, salt), vectors) in [
            (Profile::Aes128CmHmacSha1_80, CM_KEY, CRYPTEX_CM),
            (Profile::AeadAes128Gcm, GCM_KEY, CRYPTEX_GCM),
        ] {
            let (key, salt) = (hex(key), hex(salt));
            let master = MasterKey::new(profile, &key, &salt);
            let config = Config::default().cryptex(Cryptex::Required);
            let mut outbound = OutboundContext::new(&provider, &master, &config).unwrap();
            let mut inbound = InboundContext::new(&provider, &master, &config).unwrap();
            for (at, (plain, sealed)) in vectors.into_iter().enumerate() {
                let (plain, sealed) = (hex(plain), hex(sealed));
                assert_eq!(protect(&mut outbound, &plain).as_ref(), Ok(&sealed), "{profile:?}, number {at}");
                assert_eq!(unprotect(&mut inbound, &sealed), Ok(plain), "{profile:?}, number {at}");
            }
        }
    }
}

/// RFC 9335 §5.1: the same protected packet comes of one with sources and no extension as of one with an empty one.
#[test]
fn rfc_9335_sources_without_extension() {
    let provider = CryptoProvider::default();
    for (profile, (key, salt), vectors) in
        [(Profile::Aes128CmHmacSha1_80, CM_KEY, CRYPTEX_CM), (Profile::AeadAes128Gcm, GCM_KEY, CRYPTEX_GCM)]
    {
        let (key, salt) = (hex(key), hex(salt));
        let master = MasterKey::new(profile, &key, &salt);
        let config = Config::default().cryptex(Cryptex::On);
        let mut outbound = OutboundContext::new(&provider, &master, &config).unwrap();
        let (with_extension, sealed) = (hex(vectors[4].0), hex(vectors[4].1));
        let mut plain = with_extension;
        plain.drain(20..24);
        plain[0] &= !0x10;
        assert_eq!(protect(&mut outbound, &plain), Ok(sealed));
    }
}
