/** What a list would do here, before anybody subscribes to it: `lists test`. */

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as z from 'zod'
import { openTrie } from '../../trie/open.ts'
import { compareImages } from '../blocklist/safety/compare-images.ts'
import { loadPopularNames } from '../blocklist/safety/control-names.ts'
import { readImage } from '../compiler/image-file.ts'
import { checkList } from '../generations/check-list.ts'
import { fetchCandidate } from '../generations/fetch-candidate.ts'
import { GenerationStore } from '../generations/generation-store.ts'
import { ListVersions } from '../generations/list-versions.ts'
import { maskedUrl } from '../generations/masked-url.ts'
import { newSubscription } from '../generations/subscriptions.ts'
import { operation } from './operation.ts'

/** Holds a list to the safety contract, and counts what would be new; changes nothing. */
export const TEST_LIST = operation(
  'lists-test',
  z.strictObject({ url: z.string(), category: z.string(), format: z.enum(['auto', 'ut1']) }),
  { isHeavy: true },
  async ({ category, format, url }, context) => {
    const { compile, control, environment, signal, stateDirectory } = context
    const subscription = newSubscription({ name: 'tested', category, url, format })
    const folder = await mkdtemp(join(tmpdir(), 'niveau3-lists-test-'))
    try {
      const versions = new ListVersions(folder, 'tested')
      const surroundings = { updates: control.updates, environment, signal }
      const candidate = await fetchCandidate(subscription, versions, undefined, surroundings)
      const file = candidate?.file ?? ''
      const { faults, image, names, report } = await checkList(
        subscription,
        file,
        versions,
        undefined,
        {
          compile,
          safety: control.safety,
          popular: await loadPopularNames(),
          signal,
          onProgress: (progress) => {
            context.onProgress({ phase: 'check', list: 'tested', compile: progress })
          },
        },
      )
      const current = await new GenerationStore(stateDirectory).current()
      const newNames =
        current === undefined
          ? names
          : (await compareImages(openTrie(await readImage(current.imageFile)), openTrie(image)))
              .added.names
      return { list: maskedUrl(url), names, newNames, faults, report }
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  },
)
