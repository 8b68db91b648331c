/**
 * What operators may ask of rules and pauses, and the guards before it. The work is the store's.
 */

import { OperationalError } from '../../base/errors.ts'
import { SECOND_MS } from '../../base/units.ts'
import { nameToText, nameToWire } from '../blocklist/name-text.ts'
import type { Actor } from '../generations/audit.ts'
import { spanText } from './duration.ts'
import { compareTexts, idOf, isPause, isRule, type Entry, type RuleEntry } from './entry.ts'
import type { GuardFacts } from './guard.ts'
import { OverruleStore, type StoreOptions } from './overrule-store.ts'
import type {
  AddRules,
  ImportRules,
  OverruleChange,
  OverruleList,
  PauseBlocking,
  RemoveRules,
  ResumeBlocking,
  ShownEntry,
} from './requests.ts'

export interface OverruleOptions extends StoreOptions {
  /** What rules are held against at this moment. */
  readonly facts: () => GuardFacts
}

/** How often each kind of change was made since the start. */
export type OverruleCounts = Readonly<
  Record<'allow' | 'deny' | 'remove' | 'pause' | 'resume', number>
>

/** What operators ask for, held against the guards, and done. */
export class OverruleKeeper {
  readonly store: OverruleStore
  readonly #options: OverruleOptions
  readonly #counts = { allow: 0, deny: 0, remove: 0, pause: 0, resume: 0 }

  private constructor(store: OverruleStore, options: OverruleOptions) {
    this.store = store
    this.#options = options
  }

  /**
   * Reads the state.
   *
   * @throws OperationalError ERR_STATE when it is damaged and its copy is too.
   */
  static async open(options: OverruleOptions): Promise<OverruleKeeper> {
    return new OverruleKeeper(await OverruleStore.open(options), options)
  }

  /** How often each kind of change was made since the start. */
  get counts(): OverruleCounts {
    return { ...this.#counts }
  }

  /** Rules by name, pauses by their end. */
  list(): OverruleList {
    const open = this.store.inForce()
    const rules = open.filter(isRule).toSorted((a, b) => compareTexts(sortKey(a), sortKey(b)))
    const pauses = open
      .filter(isPause)
      .toSorted((a, b) => this.store.endOf(a) - this.store.endOf(b))
    const shown = (entry: Entry): ShownEntry => this.store.shown(entry)
    return { revision: this.store.revision, rules: rules.map(shown), pauses: pauses.map(shown) }
  }

  /** Rules in force by action. */
  get ruleCounts(): { readonly allow: number; readonly deny: number } {
    const rules = this.store.inForce().filter(isRule)
    const allow = rules.filter(({ action }) => action === 'allow').length
    return { allow, deny: rules.length - allow }
  }

  /**
   * Allows or denies names; a rule for the same names at the same place is replaced.
   *
   * @throws OperationalError ERR_USAGE, ERR_RULE_REFUSED for any of them: then none is taken;
   *   ERR_WRITE.
   */
  async add(request: AddRules, who: Actor): Promise<OverruleChange> {
    const { action, names, exact, site, category, untilMs, reason, force } = request
    const rules = names.map((name) => ({
      action,
      name,
      exact,
      site,
      category,
      untilMs,
      reason,
    }))
    return this.#addAll(rules, force, who, 'add')
  }

  /**
   * Adds rules of any kind at once, all or none.
   *
   * @throws OperationalError as `add` does.
   */
  async importRules({ rules, force }: ImportRules, who: Actor): Promise<OverruleChange> {
    const wanted = rules.map(({ until, ...rule }) => ({
      ...rule,
      untilMs: until === null ? null : Date.parse(until),
    }))
    return this.#addAll(wanted, force, who, 'import')
  }

  /**
   * Removes rules by id or by name.
   *
   * @throws OperationalError ERR_NO_STATE when there is no such rule: then none is removed.
   */
  async remove({ targets, reason = '' }: RemoveRules, who: Actor): Promise<OverruleChange> {
    const change = await this.store.change('rule-remove', who, () => {
      const rules = this.store.inForce().filter(isRule)
      const entries = targets.flatMap((target) => {
        const name = plainText(target)
        const found = rules.filter((rule) => rule.id === target || rule.name === name)
        if (found.length === 0) {
          const message = `there is no rule "${target}"; niveau3 rules ls shows those that there are`
          throw new OperationalError('ERR_NO_STATE', message)
        }
        return found
      })
      return { entries: [...new Set(entries)].map((entry) => this.#goneBy(entry, who, reason)) }
    })
    this.#counts.remove += change.removed.length
    return change
  }

  /**
   * Lets blocks of a category, or all, rest for a while.
   *
   * @throws OperationalError ERR_USAGE for a longer time than the configuration allows, or for a
   *   category or site that there is not.
   */
  async pause(request: PauseBlocking, who: Actor): Promise<OverruleChange> {
    const { seconds, category, site, reason } = request
    const { requireCategory, requireSite } = await loadGuard()
    const change = await this.store.change('pause', who, () => {
      const secondsMax = this.#options.pauseSecondsMax()
      if (seconds > secondsMax) {
        const most = spanText(secondsMax * SECOND_MS)
        const message = `a pause may last ${most} at most (overrule.pauseSecondsMax)`
        throw new OperationalError('ERR_USAGE', message)
      }
      const facts = this.#options.facts()
      requireCategory(category, facts)
      requireSite(site, facts)
      const id = idOf({ kind: 'pause', category, site })
      const versionMs = this.store.nextVersionMs()
      const untilMs = Date.now() + seconds * SECOND_MS
      const rest = { gone: false, user: who.user, reason, site, category, versionMs, untilMs }
      return { entries: [{ kind: 'pause', id, ...rest }] }
    })
    this.#counts.pause++
    return change
  }

  /**
   * Ends pauses before their time: all, or those of a category or site.
   *
   * @throws OperationalError ERR_NO_STATE when there is none of them.
   */
  async resume(request: ResumeBlocking, who: Actor): Promise<OverruleChange> {
    const { category, site, reason = '' } = request
    const change = await this.store.change('resume', who, () => {
      const pauses = this.store.inForce().filter(isPause)
      const ended = pauses.filter(
        (pause) =>
          (category === undefined || pause.category === category) &&
          (site === undefined || pause.site === site),
      )
      if (ended.length === 0) {
        const what = pauses.length === 0 ? 'nothing is paused' : 'there is no such pause'
        throw new OperationalError(
          'ERR_NO_STATE',
          `${what}; niveau3 rules ls shows rules and pauses`,
        )
      }
      return { entries: ended.map((entry) => this.#goneBy(entry, who, reason)) }
    })
    this.#counts.resume += change.removed.length
    return change
  }

  async #addAll(
    rules: readonly (Omit<AddRules, 'names' | 'force'> & { readonly name: string })[],
    isForced: boolean,
    who: Actor,
    what: 'add' | 'import',
  ): Promise<OverruleChange> {
    const { guardName, requireCategory, requireSite } = await loadGuard()
    const change = await this.store.change(`rule-${what}`, who, () => {
      const facts = this.#options.facts()
      const versionMs = this.store.nextVersionMs()
      const notes: string[] = []
      const entries = rules.map((rule): RuleEntry => {
        const { action, exact, site, untilMs, reason } = rule
        const category = action === 'deny' ? rule.category : null
        requireSite(site, facts)
        requireCategory(rule.category, facts)
        if (action === 'allow' && rule.category !== null) {
          throw new OperationalError('ERR_USAGE', 'a category is for denials: allow needs none')
        }
        if (untilMs !== null && untilMs <= Date.now()) {
          throw new OperationalError('ERR_USAGE', `the rule for ${rule.name} has ended already`)
        }
        const guarded = guardName(rule.name, rule, facts, isForced)
        notes.push(...guarded.notes)
        const { name } = guarded
        const id = idOf({ kind: 'rule', name, exact, site })
        const rest = { gone: false, user: who.user, reason, site, category, versionMs, untilMs }
        return { kind: 'rule', id, name, action, exact, ...rest }
      })
      // Of two rules for one name in one request the last counts.
      const last = [...new Map(entries.map((entry) => [entry.id, entry])).values()]
      return { entries: last, notes }
    })
    for (const { what: action } of change.added) if (action !== 'pause') this.#counts[action]++
    return change
  }

  #goneBy(entry: Entry, who: Actor, reason: string): Entry {
    return { ...entry, gone: true, versionMs: this.store.nextVersionMs(), user: who.user, reason }
  }
}

/** The list of public suffixes takes memory: it is loaded when the first rule is made. */
function loadGuard() {
  return import('./guard.ts')
}

/** The name as entries have it; what is none stays as it is, and is found nowhere. */
function plainText(text: string): string {
  const wire = nameToWire(text)
  return typeof wire === 'string' ? text : nameToText(wire)
}

/** By domain, the parent before what is below it. */
function sortKey({ name }: RuleEntry): string {
  return name.split('.').toReversed().join('\0')
}
