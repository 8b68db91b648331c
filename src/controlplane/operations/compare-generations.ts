/** What one generation blocks and another does not: `lists diff`. */

import * as z from 'zod'
import { OperationalError } from '../../base/errors.ts'
import { openTrie, type Trie } from '../../trie/open.ts'
import { compareImages } from '../blocklist/safety/compare-images.ts'
import { readImage } from '../compiler/image-file.ts'
import { GenerationStore } from '../generations/generation-store.ts'
import { operation } from './operation.ts'

const SAMPLES_MAX = 1_000_000
const generation = z.int().min(1).optional()

/** Compares two generations; by default the one in force with the one before it. */
export const COMPARE_GENERATIONS = operation(
  'lists-diff',
  z.strictObject({
    before: generation,
    after: generation,
    samplesMax: z.int().min(0).max(SAMPLES_MAX),
  }),
  { isHeavy: true },
  async ({ after: newer, before: older, samplesMax }, { signal, stateDirectory }) => {
    const store = new GenerationStore(stateDirectory)
    const after = newer ?? (await store.state())?.generation
    const before =
      older ?? (await store.numbers()).find((number) => after !== undefined && number < after)
    if (after === undefined || before === undefined) {
      throw new OperationalError('ERR_NO_STATE', 'there are no two generations to compare')
    }
    const tries = [await opened(store, before), await opened(store, after)] as const
    signal.throwIfAborted()
    return { before, after, ...(await compareImages(...tries, { samplesMax })) }
  },
)

async function opened(store: GenerationStore, number: number): Promise<Trie> {
  return openTrie(await readImage((await store.find(number)).imageFile))
}
