/** A fleet's image on a web server: conditional, bounded requests, as for lists. */

import { readFile, rm } from 'node:fs/promises'

import { fetchFile, type FetchOptions, type Validators } from '../blocklist/download/fetch-file.ts'
import { imageNameOf, type FetchedManifest, type ImageSource } from './image-place.ts'
import { MANIFEST_OCTETS_MAX, type ImageManifest } from './signed-image.ts'

export interface WebSourceOptions {
  /** Of the manifest. */
  readonly url: string
  readonly octetsMax: number
  readonly secondsMax: number
  readonly redirectsMax: number
  readonly environment: Readonly<Record<string, string | undefined>>
  /** Where the manifest is written for a moment. */
  readonly scratchFile: string
  readonly signal?: AbortSignal | undefined
}

/** Makes the source; the image lies beside the manifest. */
export function createWebSource(options: WebSourceOptions): ImageSource {
  const { url, scratchFile } = options
  return {
    manifest: async (validators): Promise<FetchedManifest | undefined> => {
      const fetched = await fetchFile(url, scratchFile, {
        ...fetchOptions(options, MANIFEST_OCTETS_MAX),
        validators,
      })
      if (fetched.kind === 'unchanged') return undefined
      try {
        return { octets: await readFile(scratchFile), validators: ownValidators(fetched) }
      } finally {
        await rm(scratchFile, { force: true })
      }
    },
    image: async (manifest: ImageManifest, file) => {
      const at = new URL(imageNameOf(manifest), url)
      await fetchFile(at.href, file, fetchOptions(options, manifest.octets))
    },
    close: () => undefined,
  }
}

function ownValidators({ validators }: { readonly validators: Validators }): Validators {
  return validators
}

/** The operator named the server: it may stand in the network of the house. */
function fetchOptions(options: WebSourceOptions, octetsMax: number): FetchOptions {
  const { environment, redirectsMax, secondsMax, signal } = options
  return {
    limits: { octetsMax: Math.min(octetsMax, options.octetsMax), secondsMax, redirectsMax },
    allowPrivate: true,
    asStored: true,
    environment,
    signal,
  }
}
