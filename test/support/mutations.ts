/** Packets with a few octets changed, cut or added, the same ones for the same seed. */
import { SeededRandom } from './random.ts'

const OCTETS_MAX = 1400
const CHANGES_MAX = 8

/** An endless supply of mutations of a corpus. */
export class Mutations {
  readonly #corpus: readonly Buffer[]
  readonly #random: SeededRandom

  constructor(corpus: readonly Buffer[], seed: number) {
    this.#corpus = corpus.map((packet) => packet.subarray(0, OCTETS_MAX))
    this.#random = new SeededRandom(seed)
  }

  /** Returns a new packet, mostly still a query: the QR bit is left clear nine times in ten. */
  next(): Buffer {
    const random = this.#random
    const source = random.pick(this.#corpus)
    const packet = Buffer.from(source)
    for (let changes = 1 + random.below(CHANGES_MAX); changes > 0 && packet.length > 0; changes--) {
      const at = random.below(packet.length)
      packet[at] = random.percent(50) ? random.below(256) : packet[at]! ^ (1 << random.below(8))
    }
    if (packet.length > 2 && random.percent(90)) packet[2] = packet[2]! & 0x7f
    if (random.percent(10)) return packet.subarray(0, random.below(packet.length + 1))
    if (!random.percent(10)) return packet
    const more = Buffer.alloc(1 + random.below(64), random.below(256))
    return Buffer.concat([packet, more]).subarray(0, OCTETS_MAX)
  }
}
