/**
 * What a fleet's boxes are told of an image: a manifest under an Ed25519 signature. It names the
 * image by its digest, so whoever has checked the signature can take the octets from anywhere.
 */

import { sign, verify, type KeyObject } from 'node:crypto'
import { z } from 'zod'

import { OperationalError } from '../../base/errors.ts'
import { KiB, MiB } from '../../base/units.ts'
import { FORMAT_VERSION, IMAGE_OCTETS_MAX } from '../../trie/layout.ts'
import { parseSigningKey } from '../blocklist/download/verify-signature.ts'
import { GenerationReport } from '../generations/generation-store.ts'
import type { Refusal } from './refusals.ts'

/** A manifest holds a report with a few samples, and no name list. */
export const MANIFEST_OCTETS_MAX = 4 * MiB
/** What is read at once of an image in Redis. */
export const CHUNK_OCTETS = 256 * KiB

/** What is signed begins with this, so that a signature of something else is none of an image. */
const SIGNED_PREFIX = Buffer.from('niveau3 fleet image\n')
const digest = z.string().regex(/^[0-9a-f]{64}$/)

const ImageManifest = z.object({
  schema: z.literal('niveau3.fleet-image/1'),
  /** Grows with everything that is published; a box takes no lower one than it has had. */
  sequence: z.int().min(1),
  createdAt: z.iso.datetime(),
  /** Version of the image format. */
  imageFormat: z.int().min(1),
  /** Of the image, as `openTrie` tells it. */
  digest,
  /** Of the octets. */
  sha256: digest,
  octets: z.int().min(1).max(IMAGE_OCTETS_MAX),
  /** What the machine that built it has found. */
  report: GenerationReport,
})

export type ImageManifest = z.output<typeof ImageManifest>

const Envelope = z.object({
  schema: z.literal('niveau3.signed/1'),
  content: z.base64(),
  signature: z.base64(),
})

/** An image that was fetched and is not taken. */
export class RefusedImage extends OperationalError {
  readonly reason: Refusal

  constructor(reason: Refusal, why: string) {
    super('ERR_FLEET_IMAGE', `the fleet's image is refused: ${why}; the one in force stays`)
    this.reason = reason
  }
}

/** Signs a manifest; returns the octets that are published. */
export function signManifest(manifest: ImageManifest, key: KeyObject): Buffer {
  const content = Buffer.from(JSON.stringify(manifest))
  const signature = sign(null, Buffer.concat([SIGNED_PREFIX, content]), key)
  const envelope = {
    schema: 'niveau3.signed/1',
    content: content.toString('base64'),
    signature: signature.toString('base64'),
  }
  return Buffer.from(`${JSON.stringify(envelope)}\n`)
}

/**
 * Opens what somebody says to be a manifest.
 *
 * @param publicKey 32 octets in base64.
 * @throws RefusedImage for anything that the key's owner has not signed, or that we cannot read.
 */
export function openManifest(octets: Uint8Array, publicKey: string): ImageManifest {
  const envelope = Envelope.safeParse(jsonOf(octets))
  if (!envelope.success) throw new RefusedImage('format', 'its manifest is no signed manifest')
  const key = parseSigningKey(publicKey)?.key
  const content = Buffer.from(envelope.data.content, 'base64')
  const signature = Buffer.from(envelope.data.signature, 'base64')
  if (!key || !verify(null, Buffer.concat([SIGNED_PREFIX, content]), key, signature)) {
    throw new RefusedImage('signature', 'its manifest is not signed with the key fleet.publicKey')
  }
  const manifest = ImageManifest.safeParse(jsonOf(content))
  if (!manifest.success) throw new RefusedImage('format', 'another version has made its manifest')
  if (manifest.data.imageFormat !== FORMAT_VERSION) {
    const formats = `its format is ${manifest.data.imageFormat}, and this version reads ${FORMAT_VERSION}`
    throw new RefusedImage('format', formats)
  }
  return manifest.data
}

function jsonOf(octets: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(octets).toString('utf8'))
  } catch {
    return undefined
  }
}
