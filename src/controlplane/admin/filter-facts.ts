/** What the admin pages tell of the filter in force and of the lists that it is made of. */
import { invalidLinesOf } from '../blocklist/list-source.ts'
import type { LoadedFilter } from '../filter.ts'
import { SECOND_MS } from '../../base/units.ts'
import type { PullStatus } from '../fleet/pull-status.ts'
import type { SubscriptionKeeper } from '../generations/subscription-keeper.ts'
import type { OverruleKeeper } from '../overrule/overrule-keeper.ts'
import type { FilterFacts, FleetImageFacts, OverruleFacts } from './server-facts.ts'

/**
 * Puts the facts together.
 *
 * @param keeper undefined where nothing is subscribed to: lists are as old as the filter.
 */
export function filterFacts(
  { trie, loadedAtSeconds, reports }: LoadedFilter,
  generation: number,
  keeper: SubscriptionKeeper | undefined,
): FilterFacts {
  return {
    categories: trie.categories,
    rules: trie.categories.map((category) => ({
      category,
      rules: trie.lists
        .filter((list) => list.category === category)
        .reduce((sum, list) => sum + list.kept, 0),
    })),
    lists: trie.lists.map(({ name, rules }) => {
      const subscribed = keeper?.factsOf(name)
      const report = reports.find((each) => each.name === name)
      return {
        list: name,
        entries: rules,
        invalidLines: report === undefined ? subscribed?.invalidLines : invalidLinesOf(report),
        succeededAtSeconds: subscribed?.succeededAtSeconds ?? loadedAtSeconds,
        attemptedAtSeconds: subscribed?.attemptedAtSeconds ?? loadedAtSeconds,
      }
    }),
    subscriptions: keeper?.facts ?? [],
    isHeld: keeper?.isHeld ?? false,
    fleetImage: keeper?.pulled && fleetImageFacts(keeper.pulled),
    generation,
    memoryOctets: trie.octets,
  }
}

function fleetImageFacts({ failures, refusals, succeededAt, taken }: PullStatus): FleetImageFacts {
  return {
    generation: taken?.generation,
    builtAtSeconds: secondsOf(taken?.createdAt),
    succeededAtSeconds: secondsOf(succeededAt),
    failures,
    refusals,
  }
}

function secondsOf(time: string | undefined): number | undefined {
  return time === undefined ? undefined : Date.parse(time) / SECOND_MS
}

/** The same of what operators have overruled; nothing without a state directory. */
export function overruleFacts(overrule: OverruleKeeper | undefined): OverruleFacts {
  return {
    rules: overrule?.ruleCounts ?? { allow: 0, deny: 0 },
    actions: overrule?.counts ?? { allow: 0, deny: 0, remove: 0, pause: 0, resume: 0 },
  }
}
