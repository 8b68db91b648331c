/** Operations on generations: `lists rollback`, `resume`, `pin` (which is for lists as well). */

import * as z from 'zod'
import { OperationalError } from '../../base/errors.ts'
import { openTrie } from '../../trie/open.ts'
import { readImage } from '../compiler/image-file.ts'
import { GenerationStore } from '../generations/generation-store.ts'
import {
  loadSubscriptions,
  saveSubscriptions,
  withSubscription,
} from '../generations/subscriptions.ts'
import { changeState } from './change.ts'
import { operation } from './operation.ts'

const generation = z.int().min(1)
const reason = z.string().optional()

/** Puts an older generation in force at once, and holds automatic updates. */
export const ROLL_BACK = operation(
  'lists-rollback',
  z.strictObject({ generation: generation.optional(), reason }),
  { isChange: true },
  async ({ generation: wanted, reason: given }, context) => {
    const store = new GenerationStore(context.stateDirectory)
    const state = await store.state()
    const target =
      wanted ?? (await store.numbers()).find((number) => number < (state?.generation ?? 0))
    if (state === undefined || target === undefined) {
      throw new OperationalError('ERR_NO_STATE', 'there is no older generation to go back to')
    }
    // A damaged image is found here, not by the server.
    const trie = openTrie(await readImage((await store.find(target)).imageFile))
    const why = given ?? `rollback from generation ${state.generation}`
    const facts = { from: state.generation, to: target, digest: trie.digest, reason: why }
    const rollBack = (): Promise<void> =>
      store.rollBack(target, { since: new Date().toISOString(), why })
    await changeState(context, 'lists-rollback', facts, rollBack, 'overtakes')
    return { ...facts, held: true, names: trie.names }
  },
)

/** Lets automatic updates go on. */
export const RESUME = operation(
  'lists-resume',
  z.strictObject({ reason }),
  { isChange: true },
  async (facts, context) => {
    const store = new GenerationStore(context.stateDirectory)
    await changeState(context, 'lists-resume', facts, () => store.release())
    return { held: false }
  },
)

/** Keeps a generation for good, or a list at the version that is there; or no longer. */
export const PIN = operation(
  'lists-pin',
  z.strictObject({ target: z.union([generation, z.string()]), pinned: z.boolean(), reason }),
  { isChange: true },
  async ({ pinned, reason: why, target }, context) => {
    const { stateDirectory } = context
    await changeState(context, 'lists-pin', { target, pinned, reason: why }, async () => {
      if (typeof target === 'number') {
        await new GenerationStore(stateDirectory).pin(target, pinned)
        return
      }
      const subscriptions = (await loadSubscriptions(stateDirectory)) ?? []
      await saveSubscriptions(stateDirectory, withSubscription(subscriptions, target, { pinned }))
    })
    return { target, pinned }
  },
)
