/** What a transport needs of the pipeline, so that neither imports the other. */
import type { ReplySink } from '../query.ts'

export interface QueryHandler {
  /** Holds the answer after `handle` returned its octets; reused by the next call. */
  readonly reply: Uint8Array
  /**
   * Takes one message. A positive result is the octets of `reply` to send now; 0: dropped and
   * counted; negative: the answer will come through `sink`.
   */
  handle(
    message: Uint8Array,
    octets: number,
    proto: number,
    family: number,
    sink: ReplySink,
    address: string,
    port: number,
    receivedMs: number,
  ): number
  /** The answer of the last `handle` was given to the socket. */
  countSent(receivedMs: number): void
  /** It could not be. */
  countUnsent(): void
}
