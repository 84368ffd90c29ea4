/*
 * libsrtp as a contender of `figures`: `turns PROFILE LEN protect|unprotect`.
 *
 * Reads how many packets the next turn has, a line each, and answers with the nanoseconds that they took.
 * `turns version` prints the library's version.
 */
#include <inttypes.h>
#include <srtp2/srtp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Packets that are protected in advance; after them a receiver starts anew. */
#define POOL 2048
#define ROOM 1600

static unsigned char key[46];
static srtp_policy_t policy;

static void check(int failed, const char *what)
{
    if (failed) {
        fprintf(stderr, "libsrtp: %s: %d\n", what, failed);
        exit(1);
    }
}

static srtp_t session(srtp_ssrc_type_t direction)
{
    srtp_t made;
    policy.ssrc.type = direction;
    check(srtp_create(&made, &policy), "srtp_create");
    return made;
}

static void put_header(unsigned char *packet, uint16_t seq)
{
    const unsigned char header[12] = { 0x80, 96, seq >> 8, seq & 0xff, 0, 0, 0, 1, 0, 0, 0, 9 };
    memcpy(packet, header, sizeof header);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "version") == 0) {
        puts(srtp_get_version_string());
        return 0;
    }
    check(argc != 4, "usage");
    check(srtp_init(), "srtp_init");
    memset(key, 1, sizeof key);
    policy.key = key;
    policy.window_size = 1024;
    if (strcmp(argv[1], "gcm") == 0) {
        srtp_crypto_policy_set_aes_gcm_128_16_auth(&policy.rtp);
        srtp_crypto_policy_set_aes_gcm_128_16_auth(&policy.rtcp);
    } else if (strcmp(argv[1], "gcm256") == 0) {
        srtp_crypto_policy_set_aes_gcm_256_16_auth(&policy.rtp);
        srtp_crypto_policy_set_aes_gcm_256_16_auth(&policy.rtcp);
    } else if (strcmp(argv[1], "cm32") == 0) {
        srtp_crypto_policy_set_aes_cm_128_hmac_sha1_32(&policy.rtp);
        srtp_crypto_policy_set_aes_cm_128_hmac_sha1_80(&policy.rtcp);
    } else {
        srtp_crypto_policy_set_aes_cm_128_hmac_sha1_80(&policy.rtp);
        srtp_crypto_policy_set_aes_cm_128_hmac_sha1_80(&policy.rtcp);
    }
    int len = atoi(argv[2]);
    int protects = strcmp(argv[3], "protect") == 0;
    check(len < 12 || len > ROOM - SRTP_MAX_TRAILER_LEN, "length");

    static unsigned char pool[POOL][ROOM];
    static unsigned char packet[ROOM];
    srtp_t sender = session(ssrc_any_outbound);
    int sealed = len;
    for (int at = 0; at < POOL && !protects; at++) {
        memset(pool[at], 7, len);
        put_header(pool[at], at);
        sealed = len;
        check(srtp_protect(sender, pool[at], &sealed), "srtp_protect");
    }
    srtp_t receiver = session(ssrc_any_inbound);
    memset(packet, 7, sizeof packet);
    uint16_t seq = 0;
    int next = 0;
    uint64_t packets;
    while (scanf("%" SCNu64, &packets) == 1) {
        struct timespec start, end;
        clock_gettime(CLOCK_MONOTONIC, &start);
        for (uint64_t done = 0; done < packets; done++) {
            int size = protects ? len : sealed;
            if (protects) {
                put_header(packet, seq++);
                check(srtp_protect(sender, packet, &size), "srtp_protect");
                continue;
            }
            if (next == POOL) {
                next = 0;
                srtp_dealloc(receiver);
                receiver = session(ssrc_any_inbound);
            }
            memcpy(packet, pool[next++], size);
            check(srtp_unprotect(receiver, packet, &size), "srtp_unprotect");
        }
        clock_gettime(CLOCK_MONOTONIC, &end);
        printf("%" PRId64 "\n", (int64_t)(end.tv_sec - start.tv_sec) * 1000000000 + end.tv_nsec - start.tv_nsec);
        fflush(stdout);
    }
    return 0;
}
