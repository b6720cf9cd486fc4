/** What both kinds of vsock are like. */
import type { TransportTraits } from '../../src/contracts/types.ts'

/** Linux' virtio transport sends at most so much in a packet (VIRTIO_VSOCK_MAX_PKT_BUF_SIZE). */
const PACKET_BYTES = 64 * 1024
/** What stands before a frame's payload (docs/reference/wire-format.md). */
const HEADER_BYTES = 9

/**
 * A frame fills a packet with its header. With 64 KiB of payload each frame's last bytes were a
 * packet of their own, a buffer and an interrupt on both sides: bulk had 13 to 15 % of what a bare
 * loop reached, and has 50 (docs/internals/performance.md).
 */
export const VSOCK_TRAITS: TransportTraits = {
  lossless: true,
  connected: true,
  preferredFrameBytes: PACKET_BYTES - HEADER_BYTES,
}
