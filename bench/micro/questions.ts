/** Messages as clients send them, and the answers that an upstream would give. */
import { type OptAnswer, encode } from 'dns-packet'

const EDNS_OCTETS = 1232
const TTL_SECONDS = 300

/** A query in a buffer with room for its answer, as a transport holds it. */
export interface Question {
  readonly name: string
  readonly message: Uint8Array
  readonly octets: number
}

/** Every second one with EDNS, as half of the resolvers in a house send it. */
export function questionOf(name: string, index: number): Question {
  const encoded = encode({
    type: 'query',
    id: index & 0xffff,
    flags: 0x0100,
    questions: [{ type: 'A', class: 'IN', name }],
    additionals: index % 2 === 0 ? [] : [optRecord()],
  })
  const message = new Uint8Array(EDNS_OCTETS * 2)
  message.set(encoded)
  return { name, message, octets: encoded.length }
}

/** One address, as most answers are. */
export function answerTo(name: string, id: number): Buffer {
  return encode({
    type: 'response',
    id,
    flags: 0x0180,
    questions: [{ type: 'A', class: 'IN', name }],
    answers: [{ type: 'A', class: 'IN', name, ttl: TTL_SECONDS, data: '192.0.2.1' }],
  })
}

function optRecord(): OptAnswer {
  const flags = { flags: 0, flag_do: false, extendedRcode: 0, ednsVersion: 0 }
  return { type: 'OPT', name: '.', udpPayloadSize: EDNS_OCTETS, options: [], ...flags }
}
