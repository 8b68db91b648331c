/** Puts sections together into one image: header, section table, checksum. */

import { OperationalError } from '../../base/errors.ts'
import { imageDigest } from '../../trie/digest.ts'
import {
  FORMAT_VERSION,
  HEADER_OCTETS,
  IMAGE_OCTETS_MAX,
  MAGIC,
  OFFSET_DIGEST,
  OFFSET_OCTETS,
  OFFSET_SECTION_COUNT,
  OFFSET_VERSION,
  SECTION_ALIGN,
  SECTION_ENTRY_OCTETS,
} from '../../trie/layout.ts'

/** A section's number (`SECTION_...` of the layout) and its content. */
export interface Section {
  readonly id: number
  readonly content: Uint8Array
}

/** Returns the finished image; the order of `sections` is their order in it. */
export function assembleImage(sections: readonly Section[]): SharedArrayBuffer {
  let octets = aligned(HEADER_OCTETS + sections.length * SECTION_ENTRY_OCTETS)
  const offsets = sections.map(({ content }) => {
    const offset = octets
    octets = aligned(octets + content.length)
    return offset
  })
  if (octets > IMAGE_OCTETS_MAX) {
    throw new OperationalError(
      'ERR_LIST_TOO_LARGE',
      `the image would take ${octets} octets of ${IMAGE_OCTETS_MAX}; leave a list out`,
    )
  }
  const image = new SharedArrayBuffer(octets)
  const bytes = new Uint8Array(image)
  const view = new DataView(image)
  bytes.set(MAGIC, 0)
  view.setUint32(OFFSET_VERSION, FORMAT_VERSION, true)
  view.setUint32(OFFSET_OCTETS, octets, true)
  view.setUint32(OFFSET_SECTION_COUNT, sections.length, true)
  for (const [index, { id, content }] of sections.entries()) {
    const entry = HEADER_OCTETS + index * SECTION_ENTRY_OCTETS
    view.setUint32(entry, id, true)
    view.setUint32(entry + 4, offsets[index]!, true)
    view.setUint32(entry + 8, content.length, true)
    bytes.set(content, offsets[index])
  }
  bytes.set(imageDigest(bytes), OFFSET_DIGEST)
  return image
}

function aligned(octets: number): number {
  return Math.ceil(octets / SECTION_ALIGN) * SECTION_ALIGN
}
