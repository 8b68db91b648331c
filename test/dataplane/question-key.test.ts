import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { AskedName } from '../../src/dataplane/query.ts'
import { QuestionKey, createKey } from '../../src/dataplane/question-key.ts'
import { ParsedQuery } from '../../src/wire/query.ts'
import { wireOf } from '../compiler/model.ts'

interface Asked {
  readonly name: readonly string[]
  readonly type: number
  readonly dnssecOk: boolean
  readonly checkingDisabled: boolean
}

/** Few of each, so that many are alike. */
const ASKED = fc.record({
  name: fc.array(fc.constantFrom('a', 'b', 'aa', 'www'), { maxLength: 3 }),
  type: fc.constantFrom(1, 28, 256, 65_281),
  dnssecOk: fc.boolean(),
  checkingDisabled: fc.boolean(),
})

function keyOf({ name, type, dnssecOk, checkingDisabled }: Asked): QuestionKey {
  const asked = new AskedName()
  asked.take(wireOf(name), 0)
  const query = new ParsedQuery(new Uint8Array(0))
  query.type = type
  query.dnssecOk = dnssecOk
  query.rdAndCd = checkingDisabled ? 0x0010 : 0
  return asked.key(query)
}

describe('a question key', () => {
  test('equals another exactly when name, type, DO and CD do, and its text says the same', () => {
    fc.assert(
      fc.property(ASKED, ASKED, (one, other) => {
        const isSame = JSON.stringify(one) === JSON.stringify(other)
        const [left, right] = [keyOf(one), keyOf(other)]
        expect(left.equals(right)).toBe(isSame)
        expect(left.text === right.text).toBe(isSame)
        if (isSame) expect(left.hash).toBe(right.hash)
      }),
    )
  })

  test('comes back from its text as it was', () => {
    fc.assert(
      fc.property(ASKED, (asked) => {
        const key = keyOf(asked)
        const again = createKey(key.text)
        expect(again.equals(key)).toBe(true)
        expect(again.text).toBe(key.text)
      }),
    )
  })

  test('says the text of the name that it was set to last', () => {
    const octets = new Uint8Array(8)
    const key = new QuestionKey(octets, 2)
    octets.set([1, 0x61, 0], 2)
    key.set(3, 1, 0, 7)
    expect(key.text).toBe('\x01a\0\0\x01\0')
    octets.set([1, 0x62, 0], 2)
    key.set(3, 28, 3, 7)
    expect(key.text).toBe('\x01b\0\0\x1c\x03')
  })
})
