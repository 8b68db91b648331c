/** Signs the generation in force, or another one, for the fleet. */

import { createHash, type KeyObject } from 'node:crypto'
import { join } from 'node:path'
import { z } from 'zod'

import { OperationalError } from '../../base/errors.ts'
import { FORMAT_VERSION } from '../../trie/layout.ts'
import { openTrie } from '../../trie/open.ts'
import { readImage } from '../compiler/image-file.ts'
import { GenerationStore, type Generation } from '../generations/generation-store.ts'
import { readStateFile, writeStateFile } from '../generations/state-file.ts'
import { signManifest, type ImageManifest } from './signed-image.ts'

const Published = z.object({
  schema: z.literal('niveau3.fleet-published/1'),
  sequence: z.int().min(1),
})

/** What can be published anywhere. */
export interface SignedImage {
  readonly generation: Generation
  readonly image: SharedArrayBuffer
  readonly manifest: ImageManifest
  readonly signed: Buffer
}

/**
 * Signs a generation under a sequence number higher than any before: wall clock, or one more than
 * the last, so that a second machine with the key can take over.
 *
 * @param number undefined: the generation in force.
 * @throws OperationalError ERR_NO_STATE, ERR_IMAGE…, ERR_WRITE.
 */
export async function signGeneration(
  stateDirectory: string,
  number: number | undefined,
  key: KeyObject,
): Promise<SignedImage> {
  const store = new GenerationStore(stateDirectory)
  const generation = number === undefined ? await store.current() : await store.find(number)
  if (generation === undefined) {
    const why = 'there is no generation to publish; "niveau3 lists update" makes the first one'
    throw new OperationalError('ERR_NO_STATE', why)
  }
  const { imageFile, report } = generation
  const image = await readImage(imageFile)
  const { digest } = openTrie(image)
  if (digest !== report.digest) {
    const why = `${imageFile} is not the image of its report`
    throw new OperationalError('ERR_IMAGE', why, { file: imageFile })
  }
  const manifest: ImageManifest = {
    schema: 'niveau3.fleet-image/1',
    sequence: await nextSequence(stateDirectory),
    createdAt: new Date().toISOString(),
    imageFormat: FORMAT_VERSION,
    digest,
    sha256: createHash('sha256').update(new Uint8Array(image)).digest('hex'),
    octets: image.byteLength,
    report,
  }
  return { generation, image, manifest, signed: signManifest(manifest, key) }
}

async function nextSequence(stateDirectory: string): Promise<number> {
  const file = join(stateDirectory, 'fleet-published.json')
  const last = await readStateFile(file, Published)
  const sequence = Math.max(Date.now(), (last?.sequence ?? 0) + 1)
  await writeStateFile(file, { schema: 'niveau3.fleet-published/1', sequence })
  return sequence
}
