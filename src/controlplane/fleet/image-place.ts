/** Where a fleet's image is published, and where boxes fetch it: one contract for all places. */

import type { Validators } from '../blocklist/download/fetch-file.ts'
import type { ImageManifest } from './signed-image.ts'

/** A manifest as it was fetched; nobody has checked it yet. */
export interface FetchedManifest {
  readonly octets: Buffer
  readonly validators: Validators
}

/** A place that images are fetched from. Nothing that it gives is believed. */
export interface ImageSource {
  /**
   * Fetches the manifest; undefined when it is the one that `validators` speak of.
   *
   * @throws OperationalError ERR_DOWNLOAD.
   */
  manifest(validators: Validators | undefined): Promise<FetchedManifest | undefined>
  /**
   * Writes the image's octets to a file.
   *
   * @throws OperationalError ERR_DOWNLOAD, ERR_WRITE.
   */
  image(manifest: ImageManifest, file: string): Promise<void>
  close(): void
}

/** The file names of a place that is a directory; the manifest's never changes. */
export const MANIFEST_NAME = 'niveau3-image.json'

/** Images of several manifests stand side by side: whoever fetches the old one is not disturbed. */
export function imageNameOf({ sha256 }: Pick<ImageManifest, 'sha256'>): string {
  return `niveau3-image-${sha256.slice(0, 16)}.n3`
}
