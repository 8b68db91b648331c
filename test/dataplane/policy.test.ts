import { describe, expect, test } from 'vitest'
import { EssentialNames } from '../../src/dataplane/policy/essential-names.ts'
import { SITE_DEFAULT } from '../../src/dataplane/client.ts'
import { NOT_BLOCKED, type Policy } from '../../src/dataplane/policy/policy.ts'
import { AskedName } from '../../src/dataplane/query.ts'
import { createPolicy } from '../../src/dataplane/worker.ts'
import { makeCategories, makePolicy, type PolicyOptions } from '../support/dataplane.ts'
import { join, name } from '../support/octets.ts'

function asked(text: string): AskedName {
  const taken = new AskedName()
  taken.take(name(text), 0)
  return taken
}

function looksAt(set: EssentialNames, what: string) {
  return { covers: set.covers(asked(what)), liesAbove: set.liesAbove }
}

function policyOf(options: PolicyOptions): Policy {
  return createPolicy(makePolicy(options), { categories: makeCategories(options), sites: [] })
}

/** What is decided about a name: the category by name, and what the answer may say. */
function decide(options: PolicyOptions, text: string): unknown {
  const policy = policyOf(options)
  const category = policy.categoryOf(policy.match(asked(text), SITE_DEFAULT), SITE_DEFAULT)
  if (category === NOT_BLOCKED) return policy.exempted === 0 ? 'passes' : 'exempted'
  const { error } = policy.answerOf(category, SITE_DEFAULT)
  const owner = Buffer.from(asked(text).octets.subarray(policy.ruleStart))
  const rule = owner.subarray(0, owner.indexOf(0) + 1)
  return { by: Buffer.from(error.text).toString(), rule, whole: policy.whole }
}

describe('a decision', () => {
  const rules = { adult: ['porn.example', '=exact.example', '@fine.porn.example'] }

  test.each([
    { what: 'porn.example', whole: false, why: 'an exception lies below it' },
    { what: 'www.porn.example', whole: true, why: 'all below it is blocked' },
    { what: 'exact.example', whole: false, why: 'the rule is for this name only' },
  ])('$what is blocked; NXDOMAIN may be said: $whole, because $why', ({ what, whole }) => {
    expect(decide({ rules }, what)).toMatchObject({ by: 'category adult', whole })
  })

  test.each([
    { what: 'fine.porn.example', why: 'it is an exception' },
    { what: 'a.fine.porn.example', why: 'it lies below an exception' },
    { what: 'below.exact.example', why: 'the rule is for one name only' },
    { what: 'example', why: 'it is above the rules' },
    { what: 'xporn.example', why: 'labels are compared, not letters' },
    { what: '.', why: 'the root is no name of a list' },
  ])('$what passes: $why', ({ what }) => {
    expect(decide({ rules }, what)).toBe('passes')
  })

  test('names the rule by where it begins in the asked name', () => {
    expect(decide({ rules }, 'a.b.porn.example')).toMatchObject({ rule: name('porn.example') })
  })

  test('ignores letter case, of ASCII letters only', () => {
    expect(decide({ rules }, 'WWW.PORN.Example')).toMatchObject({ by: 'category adult' })
    expect(decide({ rules: { adult: ['k.example'] } }, '\u00cb.example')).toBe('passes')
  })

  test('goes to the first category by name when several block', () => {
    const several = { vpn: ['both.example'], adult: ['both.example'] }
    expect(decide({ rules: several }, 'both.example')).toMatchObject({ by: 'category adult' })
    const options = { rules: several, categories: { adult: false } } as const
    expect(decide(options, 'both.example')).toMatchObject({ by: 'category vpn' })
  })

  test('leaves names of a category that is switched off alone', () => {
    const options = { rules: { adult: ['a.example'] }, categories: { adult: false } } as const
    expect(decide(options, 'a.example')).toBe('passes')
  })

  test('blocks categories that the configuration does not name', () => {
    const settings = { categories: [], sites: [] }
    const policy = createPolicy(makePolicy({ rules: { other: ['a.example'] } }), settings)
    expect(policy.categoryOf(policy.match(asked('a.example'), SITE_DEFAULT), SITE_DEFAULT)).toBe(0)
    expect(policy.answerOf(0, SITE_DEFAULT).response.kind).toBe('nxdomain')
  })

  test('keeps the category apart for each of thirty-one', () => {
    const many = Object.fromEntries(
      Array.from({ length: 31 }, (_, index) => [
        `c${String(index).padStart(2, '0')}`,
        [`n${index}.example`],
      ]),
    )
    const policy = policyOf({ rules: many })
    for (let index = 0; index < 31; index++) {
      expect(policy.match(asked(`n${index}.example`), SITE_DEFAULT)).toBe(1 << index)
    }
  })
})

describe('essential names', () => {
  const options = {
    rules: { adult: ['example.org', 'deep.help.example'] },
    essential: ['help.example.org', 'help.example'],
  }

  test.each([
    { what: 'help.example.org', verdict: 'exempted', why: 'it is one' },
    { what: 'www.help.example.org', verdict: 'exempted', why: 'it lies below one' },
    { what: 'x.deep.help.example', verdict: 'exempted', why: 'the longer rule does not win' },
    { what: 'help.example', verdict: 'passes', why: 'no list blocks it' },
    { what: 'nohelp.example', verdict: 'passes', why: 'no list blocks it' },
  ])('$what: $verdict, because $why', ({ what, verdict }) => {
    expect(decide(options, what)).toBe(verdict)
  })

  test.each([
    { what: 'example.org', whole: false, why: 'NXDOMAIN would deny the essential name below' },
    { what: 'other.example.org', whole: true, why: 'no essential name lies below' },
    { what: 'xhelp.example.org', whole: true, why: 'no essential name lies below' },
  ])('$what is blocked; NXDOMAIN may be said: $whole, because $why', ({ what, whole }) => {
    expect(decide(options, what)).toMatchObject({ whole })
  })

  test('are read one after another, none of them too', () => {
    const names = new EssentialNames(join(name('a.example'), name('b.c.example')))
    expect(looksAt(names, 'a.example')).toEqual({ covers: true, liesAbove: false })
    expect(looksAt(names, 'x.B.c.example')).toEqual({ covers: true, liesAbove: false })
    expect(looksAt(names, 'c.example')).toEqual({ covers: false, liesAbove: true })
    expect(looksAt(names, 'example')).toEqual({ covers: false, liesAbove: true })
    expect(looksAt(names, 'b.c.example')).toEqual({ covers: true, liesAbove: false })
    expect(looksAt(names, 'other.example')).toEqual({ covers: false, liesAbove: false })
    const none = new EssentialNames(new Uint8Array(0))
    expect(looksAt(none, 'example')).toEqual({ covers: false, liesAbove: false })
  })
})

describe('AskedName', () => {
  test('knows its labels and suffixes, folded', () => {
    const taken = asked('WwW.Example.com')
    expect(taken.labels).toBe(3)
    expect(taken.length).toBe(17)
    expect(taken.suffix(1)).toBe('\x07example\x03com\0')
    expect(taken.suffix(3)).toBe('\0')
    taken.take(name('.'), 0)
    expect([taken.labels, taken.length, taken.suffix(0)]).toEqual([0, 1, '\0'])
  })
})
