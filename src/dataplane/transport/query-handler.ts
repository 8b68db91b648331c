/** What a transport needs of the pipeline, so that neither imports the other. */
import type { Client } from '../client.ts'
import type { ReplySink } from '../query.ts'

/** The pipeline, as a transport sees it. */
export interface QueryHandler {
  /** After `handle` returned octets: what `countSent` has to be told. */
  readonly replyCode: number
  /**
   * Takes one message. A positive result is the octets of the reply in `out`, to be sent now; 0:
   * dropped and counted; negative: the answer will come through `sink`. `client` is read during the
   * call only.
   */
  handle(
    message: Uint8Array,
    octets: number,
    out: Uint8Array,
    client: Client,
    sink: ReplySink,
    receivedMs: number,
  ): number
  /** A reply was given to the socket, so long after its query came. */
  countSent(code: number, milliseconds: number): void
  /** It could not be. */
  countUnsent(): void
}
