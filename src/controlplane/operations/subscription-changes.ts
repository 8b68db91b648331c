/** Operations on what an installation subscribes to: `lists add`, `rm`, `enable`, `disable`. */

import * as z from 'zod'
import { OperationalError } from '../../base/errors.ts'
import { loadCatalogue } from '../blocklist/catalogue.ts'
import { ListVersions } from '../generations/list-versions.ts'
import { maskedUrl } from '../generations/masked-url.ts'
import {
  defaultSubscriptions,
  loadSubscriptions,
  newSubscription,
  requireSubscription,
  saveSubscriptions,
  subscriptionOf,
  withSubscription,
  type Subscription,
} from '../generations/subscriptions.ts'
import { changeState } from './change.ts'
import { operation } from './operation.ts'

const reason = z.string().optional()

/** What of a subscription is not the catalogue's. */
const changes = {
  sections: z.array(z.string()).optional(),
  intervalHours: z.number().optional(),
  namesMin: z.number().optional(),
  sha256: z.string().optional(),
  signingKey: z.string().optional(),
  signatureUrl: z.string().optional(),
  licence: z.string().optional(),
  allowPrivate: z.boolean().optional(),
}
const Added = z.strictObject({
  name: z.string(),
  /** Undefined: the list of that name in the catalogue. */
  url: z.string().optional(),
  category: z.string().optional(),
  format: z.enum(['auto', 'ut1']).optional(),
  ...changes,
  /** As the first subscription: without the default set. */
  only: z.boolean().default(false),
  reason,
})

/** Subscribes to a list. */
export const ADD_LIST = operation(
  'lists-add',
  Added,
  { isChange: true },
  async ({ only, reason: why, ...given }, context) => {
    const { stateDirectory } = context
    const subscription = await wanted(given)
    const { name, url } = subscription
    const facts = { list: name, url: maskedUrl(url), reason: why }
    await changeState(context, 'lists-add', facts, async () => {
      const known = await loadSubscriptions(stateDirectory)
      if (known?.some((other) => other.name === name)) {
        throw new OperationalError('ERR_USAGE', `list "${name}" is subscribed to already`)
      }
      const first = only ? [] : defaultSubscriptions(await loadCatalogue())
      const others = (known ?? first).filter((other) => other.name !== name)
      await saveSubscriptions(stateDirectory, [...others, subscription])
    })
    return { list: maskedSubscription(subscription) }
  },
)

/** Ends a subscription and removes what was fetched. */
export const REMOVE_LIST = operation(
  'lists-rm',
  z.strictObject({ list: z.string(), reason }),
  { isChange: true },
  async ({ list, reason: why }, context) => {
    const { stateDirectory } = context
    await changeState(context, 'lists-rm', { list, reason: why }, async () => {
      const subscriptions = (await loadSubscriptions(stateDirectory)) ?? []
      requireSubscription(subscriptions, list)
      const others = subscriptions.filter(({ name }) => name !== list)
      await saveSubscriptions(stateDirectory, others)
      await new ListVersions(stateDirectory, list).remove()
    })
    return { list }
  },
)

/** Uses a subscribed list again, or keeps it without using it. */
export const ENABLE_LIST = operation(
  'lists-enable',
  z.strictObject({ list: z.string(), enabled: z.boolean(), reason }),
  { isChange: true },
  async ({ enabled, list, reason: why }, context) => {
    const { stateDirectory } = context
    const what = enabled ? 'lists-enable' : 'lists-disable'
    await changeState(context, what, { list, reason: why }, async () => {
      const subscriptions = (await loadSubscriptions(stateDirectory)) ?? []
      await saveSubscriptions(stateDirectory, withSubscription(subscriptions, list, { enabled }))
    })
    return { list, enabled }
  },
)

/** A subscription as it is shown: its URLs without what may be a secret. */
export function maskedSubscription(subscription: Subscription): Subscription {
  const { signatureUrl, url } = subscription
  return {
    ...subscription,
    url: maskedUrl(url),
    ...(signatureUrl !== undefined && { signatureUrl: maskedUrl(signatureUrl) }),
  }
}

type Given = Omit<z.output<typeof Added>, 'only' | 'reason'>

async function wanted({ category, format, name, url, ...more }: Given): Promise<Subscription> {
  const own = Object.fromEntries(Object.entries(more).filter(([, value]) => value !== undefined))
  if (url === undefined) {
    const { sources } = await loadCatalogue()
    const source = sources.find(({ id }) => id === name)
    if (source !== undefined) return newSubscription({ ...subscriptionOf(source), ...own })
    const message = `"${name}" is not in the catalogue (niveau3 lists ls --catalogue); give --url`
    throw new OperationalError('ERR_USAGE', message)
  }
  if (category === undefined) {
    throw new OperationalError('ERR_USAGE', 'a list of your own needs --category')
  }
  return newSubscription({ name, url, category, ...(format !== undefined && { format }), ...own })
}
