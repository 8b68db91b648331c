/** What is subscribed to, how it went, and which generations there are: `lists ls`. */

import * as z from 'zod'
import { GenerationStore, type CurrentGeneration } from '../generations/generation-store.ts'
import { ListVersions, type ListStatus, type ListVersion } from '../generations/list-versions.ts'
import { loadSubscriptions, type Subscription } from '../generations/subscriptions.ts'
import { operation } from './operation.ts'
import { maskedSubscription } from './subscription-changes.ts'

/** A subscription with what there is of it; null before the first update. */
export interface ShownList extends Subscription {
  readonly version: ListVersion | null
  readonly status: ListStatus | null
}

/** A generation, without the details of its lists. */
export interface ShownGeneration {
  readonly generation: number
  readonly digest: string
  readonly createdAt: string
  readonly names: number
  readonly octets: number
  readonly forced: readonly string[]
  readonly folder: string
}

export interface ShownLists {
  readonly lists: readonly ShownList[]
  /** In force; null before the first. */
  readonly generation: number | null
  readonly hold: CurrentGeneration['hold']
  readonly pinned: readonly number[]
  readonly generations: readonly ShownGeneration[]
}

/** Shows lists and generations; changes nothing. */
export const SHOW_LISTS = operation(
  'lists-ls',
  z.strictObject({}),
  {},
  async (_nothing, { stateDirectory }): Promise<ShownLists> => {
    const subscriptions = (await loadSubscriptions(stateDirectory)) ?? []
    const lists = await Promise.all(
      subscriptions.map(async (subscription): Promise<ShownList> => {
        const versions = new ListVersions(stateDirectory, subscription.name)
        const version = (await versions.current()) ?? null
        const status = (await versions.status()) ?? null
        return { ...maskedSubscription(subscription), version, status }
      }),
    )
    const store = new GenerationStore(stateDirectory)
    const state = await store.state()
    const numbers = await store.numbers()
    const generations = await Promise.all(
      numbers.map(async (number): Promise<ShownGeneration> => {
        const { folder, report } = await store.find(number)
        const { createdAt, digest, forced, names, octets } = report
        return { generation: number, digest, createdAt, names, octets, forced, folder }
      }),
    )
    return {
      lists,
      generation: state?.generation ?? null,
      hold: state?.hold ?? null,
      pinned: state?.pinned ?? [],
      generations,
    }
  },
)
