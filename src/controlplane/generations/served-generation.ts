/**
 * The generation that a server answers by: the one in force, or, where its image cannot be used,
 * the newest one that can. Never the network.
 */

import { OperationalError } from '../../base/errors.ts'
import { openTrie, type Trie } from '../../trie/open.ts'
import { addressFault, type AddressSource } from '../blocklist/address-rules.ts'
import { readImage } from '../compiler/image-file.ts'
import { currentFileOf, GenerationStore, type GenerationReport } from './generation-store.ts'

/** An image of the state directory, opened. */
export interface ServedGeneration {
  readonly number: number
  readonly trie: Trie
  readonly report: GenerationReport
}

/** What the state directory has to offer. */
export interface ServedSearch {
  readonly served: ServedGeneration | undefined
  /** Why better generations are not served, one sentence each. */
  readonly passedOver: readonly string[]
}

/**
 * Opens the generation in force, for a server that has a filter already: where anything is wrong
 * the one that runs is better than a guess. Undefined before the first generation.
 *
 * @throws OperationalError ERR_STATE, ERR_PERMISSION, ERR_NO_STATE, ERR_IMAGE…, ERR_NO_LIST.
 */
export async function openNamedGeneration(
  stateDirectory: string,
): Promise<ServedGeneration | undefined> {
  const store = new GenerationStore(stateDirectory)
  const state = await store.state()
  if (state !== undefined) return open(store, state.generation)
  if ((await store.numbers()).length === 0) return undefined
  const file = currentFileOf(stateDirectory)
  const why = `${file} is gone, which names the generation in force: restore it from a backup`
  throw new OperationalError('ERR_STATE', `${why}, or "niveau3 lists update"`, { file })
}

async function open(store: GenerationStore, number: number): Promise<ServedGeneration> {
  const { imageFile, report } = await store.find(number)
  const trie = openTrie(await readImage(imageFile))
  if (trie.digest !== report.digest) {
    const why = `${imageFile} is not the image of its report`
    throw new OperationalError('ERR_IMAGE', why, { file: imageFile })
  }
  if (trie.names > 0) return { number, trie, report }
  throw new OperationalError('ERR_NO_LIST', 'it holds no name')
}

/**
 * Finds the generation to start with; `served` is undefined when no usable one is there. What a
 * rollback has taken out of force is none of them.
 *
 * @param addressRules of the configuration: a generation without their categories is passed over.
 * @throws OperationalError ERR_PERMISSION when the generations cannot be listed.
 */
export async function findServedGeneration(
  stateDirectory: string,
  addressRules: readonly AddressSource[] = [],
): Promise<ServedSearch> {
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
    if (number !== inForce && (await store.isWithdrawn(number))) continue
    try {
      const served = await open(store, number)
      const fault = addressFault(addressRules, served.trie.categories)
      if (fault === undefined) return { served, passedOver }
      passedOver.push(`generation ${number}: ${fault}`)
    } catch (error) {
      if (!(error instanceof OperationalError)) throw error
      passedOver.push(`generation ${number}: ${error.message}`)
    }
  }
  return { served: undefined, passedOver }
}
