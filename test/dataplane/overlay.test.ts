import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { SITE_DEFAULT } from '../../src/dataplane/client.ts'
import {
  Overlay,
  RULE_ALLOW,
  RULE_DENY,
  RULE_NONE,
  SITE_ALL,
  type NumberedRule,
  type OverlayMessage,
} from '../../src/dataplane/policy/overlay.ts'
import { NOT_BLOCKED, type Policy } from '../../src/dataplane/policy/policy.ts'
import { AskedName } from '../../src/dataplane/query.ts'
import { createPolicy } from '../../src/dataplane/worker.ts'
import { makePolicy, makeSettings, type DataplaneOptions } from '../support/dataplane.ts'
import { name } from '../support/octets.ts'
import { allow, deny, overlay, pause } from '../support/overlay.ts'

function asked(text: string): AskedName {
  const taken = new AskedName()
  taken.take(name(text), 0)
  return taken
}

interface ModelRule {
  readonly labels: readonly string[]
  readonly action: number
  readonly exact: boolean
  readonly site: number
}

/** What the header of overlay.ts says, by walking all rules. */
function decide(rules: readonly ModelRule[], labels: readonly string[], site: number) {
  const covers = ({ labels: own, exact }: ModelRule): boolean =>
    own.length <= labels.length &&
    (!exact || own.length === labels.length) &&
    own.every((label, index) => label === labels[labels.length - own.length + index])
  const covering = rules.filter(covers)
  const weight = (rule: ModelRule): number =>
    4 * rule.labels.length + (rule.exact ? 2 : 0) + (rule.site === SITE_ALL ? 0 : 1)
  const [best] = covering
    .filter((rule) => rule.site === SITE_ALL || rule.site === site)
    .toSorted((a, b) => weight(b) - weight(a))
  return {
    found: best?.action ?? RULE_NONE,
    label: best === undefined ? 0 : labels.length - best.labels.length,
    isPerSite: covering.some((rule) => rule.site !== SITE_ALL),
    allowsBelow: rules.some(
      ({ labels: own, action }) =>
        action === RULE_ALLOW &&
        own.length > labels.length &&
        labels.every((label, index) => label === own[own.length - labels.length + index]),
    ),
  }
}

test('the overlay decides as a walk through all rules would', () => {
  // Four of the longest make a name of 253 octets.
  const label = fc.constantFrom('a', 'b', 'ab', 'a\0b', '\xff', 'x'.repeat(62))
  const labels = fc.array(label, { maxLength: 4 })
  const rule = fc.record({
    labels: fc.array(label, { minLength: 1, maxLength: 4 }),
    action: fc.constantFrom(RULE_ALLOW, RULE_DENY),
    exact: fc.boolean(),
    site: fc.constantFrom(SITE_ALL, 0, 1),
  })
  // Two rules for the same names at the same place would be one: the later.
  const rules = fc.uniqueArray(rule, {
    maxLength: 40,
    selector: ({ labels: own, exact, site }) => JSON.stringify([own, exact, site]),
  })
  let decided = 0
  fc.assert(
    fc.property(rules, fc.array(labels, { minLength: 1, maxLength: 20 }), (all, names) => {
      const numbered = all.map((one): NumberedRule => ({
        ...one,
        name: wire(one.labels),
        bit: one.labels.length,
      }))
      const table = new Overlay(numbered)
      expect(table.isEmpty).toBe(all.length === 0)
      const taken = new AskedName()
      for (const own of [...names, ...all.map((one) => one.labels)]) {
        taken.take(wire(own), 0)
        for (const site of [0, 1]) {
          const wanted = decide(all, own, site)
          const found = table.find(taken, site)
          const { isPerSite, allowsBelow, label: at } = table
          const place = found === RULE_NONE ? 0 : at
          expect({ found, label: place, isPerSite, allowsBelow }).toEqual(wanted)
          if (found !== RULE_NONE) decided++
          if (found !== RULE_NONE) expect(table.bit).toBe(own.length - at)
        }
      }
    }),
  )
  expect(decided).toBeGreaterThan(100)
})

function wire(labels: readonly string[]): Buffer {
  const parts = labels.flatMap((label) => [
    Buffer.from([label.length]),
    Buffer.from(label, 'latin1'),
  ])
  return Buffer.concat([...parts, Buffer.from([0])])
}

const LISTS: DataplaneOptions = {
  rules: { adult: ['porn.example', '=exact.example'], vpn: ['vpn.example'] },
  essential: ['help.example'],
  sites: [{ name: 'lyon', from: ['127.0.0.2/32'], categories: { vpn: false } }],
}
const LYON = 1

function policyOf(overruled: OverlayMessage, options: DataplaneOptions = LISTS): Policy {
  const settings = makeSettings(options)
  return createPolicy(makePolicy({ ...options, overlay: overruled }), settings)
}

function verdict(policy: Policy, text: string, site = SITE_DEFAULT): string {
  const category = policy.categoryOf(policy.match(asked(text), site), site)
  if (category === NOT_BLOCKED) return policy.exempted === 0 ? 'passes' : 'exempted'
  return `${Buffer.from(policy.answerOf(category, site).error.text).toString()}${policy.whole ? ', whole' : ''}`
}

describe('a rule of the operator', () => {
  test.each([
    [
      'opens what a list blocks, and all below',
      [allow('porn.example')],
      'a.porn.example',
      'exempted',
    ],
    [
      'opens the name alone when exact',
      [allow('porn.example', { exact: true })],
      'a.porn.example',
      'category adult, whole',
    ],
    [
      'blocks what no list has, and all below',
      [deny('bad.example')],
      'a.bad.example',
      'category denied, whole',
    ],
    [
      'blocks the name alone when exact',
      [deny('bad.example', { exact: true })],
      'a.bad.example',
      'passes',
    ],
    [
      'that is exact denies no name below',
      [deny('bad.example', { exact: true })],
      'bad.example',
      'category denied',
    ],
    [
      'for a longer name wins: a denial',
      [allow('porn.example'), deny('a.porn.example')],
      'a.porn.example',
      'category adult, whole',
    ],
    [
      'for a longer name wins: a permission',
      [deny('bad.example'), allow('a.bad.example')],
      'b.a.bad.example',
      'passes',
    ],
    [
      'above a permission denies no subtree',
      [deny('bad.example'), allow('a.bad.example')],
      'bad.example',
      'category denied',
    ],
    [
      'opens below a list rule, which then denies no subtree',
      [allow('a.porn.example')],
      'porn.example',
      'category adult',
    ],
    [
      'has the category that it names',
      [deny('bad.example', { category: 'vpn' })],
      'bad.example',
      'category vpn, whole',
    ],
    [
      'of a category that nobody knows is still a denial',
      [deny('bad.example', { category: 'gone' })],
      'bad.example',
      'category denied, whole',
    ],
    ['loses to an essential name below it', [deny('example')], 'www.help.example', 'exempted'],
    ['above an essential name denies no subtree', [deny('example')], 'example', 'category denied'],
    [
      'wins over the essential name that it is for',
      [deny('help.example')],
      'help.example',
      'category denied, whole',
    ],
    [
      'wins over the essential name that it lies below',
      [deny('a.help.example')],
      'a.help.example',
      'category denied, whole',
    ],
    [
      'for a site that is gone rules nowhere',
      [deny('bad.example', { site: 'gone' })],
      'bad.example',
      'passes',
    ],
  ])('%s', (_what, rules, text, wanted) => {
    expect(verdict(policyOf(overlay(...rules)), text)).toBe(wanted)
  })

  test('of one site is nobody else’s, and says so', () => {
    const policy = policyOf(overlay(allow('porn.example', { site: 'lyon' })))
    expect(verdict(policy, 'porn.example', LYON)).toBe('exempted')
    expect(policy.isCommon).toBe(false)
    expect(verdict(policy, 'porn.example')).toBe('category adult, whole')
    expect(policy.isCommon).toBe(false)
    expect(verdict(policy, 'other.example')).toBe('passes')
    expect(policy.isCommon).toBe(true)
  })

  test('of those in no site is a site’s as well', () => {
    const policy = policyOf(overlay(deny('bad.example', { site: 'default' })))
    expect(verdict(policy, 'bad.example')).toBe('category denied, whole')
    expect(verdict(policy, 'bad.example', LYON)).toBe('passes')
  })

  test('in a category blocks where the category is blocked', () => {
    const policy = policyOf(overlay(deny('bad.example', { category: 'vpn' })))
    expect(verdict(policy, 'bad.example', LYON)).toBe('passes')
  })
})

describe('a pause', () => {
  const later = Date.now() + 3_600_000

  test('lets pass what would be blocked, denials too, and says it of no category', () => {
    const policy = policyOf(overlay(pause(later), deny('bad.example')))
    for (const text of ['porn.example', 'vpn.example', 'bad.example']) {
      expect(verdict(policy, text)).toBe('passes')
    }
  })

  test('of a category or a site leaves the others', () => {
    const adult = policyOf(overlay(pause(later, { category: 'adult' })))
    expect(verdict(adult, 'porn.example')).toBe('passes')
    expect(verdict(adult, 'vpn.example')).toBe('category vpn, whole')
    const lyon = policyOf(overlay(pause(later, { site: 'lyon' })))
    expect(verdict(lyon, 'porn.example', LYON)).toBe('passes')
    expect(verdict(lyon, 'porn.example')).toBe('category adult, whole')
  })

  test('keeps the verdict as it is: the day after needs no other stamp', () => {
    const policy = policyOf(overlay(pause(later)))
    expect(policy.match(asked('porn.example'), SITE_DEFAULT)).not.toBe(0)
  })

  test('ends at its time, as rules do, each under another stamp', () => {
    const wallMs = Date.now()
    const policy = policyOf(
      overlay(pause(wallMs + 1000), allow('vpn.example', { untilMs: wallMs + 2000 })),
    )
    const startMs = performance.now()
    expect(policy.endsMs - startMs).toBeLessThanOrEqual(1000)
    const second = policy.createSuccessor(policy.endsMs)
    expect(verdict(second, 'porn.example')).toBe('category adult, whole')
    expect(verdict(second, 'vpn.example')).toBe('exempted')
    const third = second.createSuccessor(second.endsMs)
    expect(verdict(third, 'vpn.example')).toBe('category vpn, whole')
    expect(third.endsMs).toBe(Number.POSITIVE_INFINITY)
    expect(new Set([policy.stamp, second.stamp, third.stamp]).size).toBe(3)
    // However many have ended: what is shared has room for a stamp of one length.
    expect(third.stamp.split('+')).toHaveLength(2)
  })
})
