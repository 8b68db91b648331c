/**
 * The generation that a server answers by: the one in force, or, where its image cannot be used,
 * the newest one that can. Never the network.
 */

import { OperationalError } from '../../base/errors.ts'
import { openTrie, type Trie } from '../../trie/open.ts'
import { readImage } from '../compiler/image-file.ts'
import { GenerationStore } from './generation-store.ts'

/** An image of the state directory, opened. */
export interface ServedGeneration {
  readonly number: number
  readonly image: SharedArrayBuffer
  readonly trie: Trie
}

/** What the state directory has to offer. */
export interface ServedSearch {
  readonly served: ServedGeneration | undefined
  /** Why better generations are not served, one sentence each. */
  readonly passedOver: readonly string[]
}

/** Finds the generation to serve; `served` is undefined when no usable one is there. */
export async function findServedGeneration(stateDirectory: string): Promise<ServedSearch> {
  const store = new GenerationStore(stateDirectory)
  const passedOver: string[] = []
  let inForce: number | undefined
  try {
    inForce = (await store.state())?.generation
  } catch (error) {
    if (!(error instanceof OperationalError)) throw error
    passedOver.push(error.message)
  }
  const numbers = await store.numbers()
  const older = numbers.filter((number) => inForce === undefined || number < inForce)
  const candidates = inForce === undefined ? older : [inForce, ...older]
  for (const number of candidates) {
    try {
      const image = await readImage((await store.find(number)).imageFile)
      const trie = openTrie(image)
      if (trie.names > 0) return { served: { number, image, trie }, passedOver }
      passedOver.push(`generation ${number} holds no name`)
    } catch (error) {
      if (!(error instanceof OperationalError)) throw error
      passedOver.push(`generation ${number}: ${error.message}`)
    }
  }
  return { served: undefined, passedOver }
}
