import { describe, expect, test } from 'vitest'
import { HotTable } from '../../src/dataplane/cache/hot-table.ts'
import { CacheEntry } from '../../src/dataplane/cache/cache-entry.ts'
import { AskedName } from '../../src/dataplane/query.ts'
import { AnswerFacts } from '../../src/wire/answer.ts'
import { HEADER_OCTETS } from '../../src/wire/header.ts'
import { ParsedQuery } from '../../src/wire/query.ts'
import { wireOf } from '../compiler/model.ts'

interface Question {
  readonly asked: AskedName
  readonly query: ParsedQuery
}

function questionOf(name: string, type = 1, dnssecOk = false): Question {
  const asked = new AskedName()
  asked.take(wireOf(name.split('.')), 0)
  const query = new ParsedQuery(new Uint8Array(0))
  query.type = type
  query.dnssecOk = dnssecOk
  return { asked, query }
}

function entryFor({ asked, query }: Question): CacheEntry {
  const facts = new AnswerFacts()
  const questionEnd = HEADER_OCTETS + asked.length + 4
  facts.octets = questionEnd
  const message = new Uint8Array(questionEnd)
  const entry = new CacheEntry()
  entry.take(message, facts, asked.key(query), 0)
  return entry
}

describe('the hot table', () => {
  test('holds an answer once, however often it is put, and forgets it wholly', () => {
    const table = new HotTable()
    const question = questionOf('www.example')
    const entry = entryFor(question)
    table.putAnswer(question.asked, question.query, entry, 'first')
    table.putAnswer(question.asked, question.query, entry, 'second')
    expect(entry.hotStamp).toBe('second')
    table.forget(entry)
    expect(table.answer(question.asked, question.query)).toBeNull()
    expect(entry.hotStamp).toBe('')
  })

  test('gives an answer to its own question only: name, type and flags', () => {
    const table = new HotTable()
    const question = questionOf('www.example')
    const entry = entryFor(question)
    table.putAnswer(question.asked, question.query, entry, 'stamp')
    expect(table.answer(question.asked, question.query)).toBe(entry)
    for (const other of [
      questionOf('www.example', 28),
      questionOf('www.example', 1, true),
      questionOf('ww.example'),
      questionOf('xww.example'),
      questionOf('example'),
    ]) {
      expect(table.answer(other.asked, other.query)).toBeNull()
    }
  })

  test('never mixes up names, however many share its slots', () => {
    const table = new HotTable()
    const questions = Array.from({ length: 40_000 }, (_, index) => questionOf(`n${index}.example`))
    for (const question of questions) {
      table.putAnswer(question.asked, question.query, entryFor(question), 'stamp')
    }
    let found = 0
    for (const { asked, query } of questions) {
      const entry = table.answer(asked, query)
      if (entry === null) continue
      found++
      const name = entry.message.subarray(HEADER_OCTETS, HEADER_OCTETS + entry.nameOctets)
      expect(Buffer.from(name).equals(asked.octets.subarray(0, asked.length))).toBe(true)
    }
    expect(found).toBeGreaterThan(10_000)
  })

  test('forgets an entry that the cache lets go of, and only that one', () => {
    const table = new HotTable()
    const question = questionOf('www.example')
    const old = entryFor(question)
    const fresh = entryFor(question)
    table.putAnswer(question.asked, question.query, old, 'stamp')
    table.putAnswer(question.asked, question.query, fresh, 'stamp')
    // The later answer has taken the place of the one before.
    expect(table.answer(question.asked, question.query)).toBe(fresh)
    expect(old.hotSlot).toBe(-1)
    table.forget(old)
    expect(table.answer(question.asked, question.query)).toBe(fresh)
    table.forget(fresh)
    expect(table.answer(question.asked, question.query)).toBeNull()
  })

  test('keeps a verdict from its second sighting on, under its own policy stamp', () => {
    const table = new HotTable()
    const { asked } = questionOf('a.blocked.example')
    table.noteBlock(asked, 2, 2, true, 'one')
    expect(table.block(asked, 'one')).toBeNull()
    table.noteBlock(asked, 2, 2, true, 'one')
    expect(table.block(asked, 'one')).toMatchObject({ matched: 2, ruleStart: 2, whole: true })
    expect(table.block(asked, 'two')).toBeNull()
    expect(table.block(questionOf('b.blocked.example').asked, 'one')).toBeNull()
  })

  test('finds nearly all of ten thousand answers and five thousand verdicts', () => {
    const table = new HotTable()
    const answered = Array.from({ length: 10_000 }, (_, index) => questionOf(`a${index}.example`))
    for (const question of answered) {
      table.putAnswer(question.asked, question.query, entryFor(question), 'stamp')
    }
    const found = answered.filter(({ asked, query }) => table.answer(asked, query) !== null)
    expect(found.length).toBeGreaterThan(9700)
    const blocked = Array.from({ length: 5000 }, (_, index) => questionOf(`b${index}.example`))
    // Asked for in turn, as clients do: names that share a place must not keep each other out.
    for (let round = 0; round < 4; round++) {
      for (const { asked } of blocked) {
        if (table.block(asked, 'stamp') === null) table.noteBlock(asked, 2, 2, true, 'stamp')
      }
    }
    const known = blocked.filter(({ asked }) => table.block(asked, 'stamp') !== null)
    expect(known.length).toBeGreaterThan(4960)
  })

  test('tells an entry that another question has pushed it out', () => {
    const table = new HotTable()
    const questions = Array.from({ length: 40_000 }, (_, index) => questionOf(`n${index}.example`))
    const entries = questions.map((question) => entryFor(question))
    for (const [index, { asked, query }] of questions.entries()) {
      table.putAnswer(asked, query, entries[index]!, 'stamp')
    }
    let pushed = 0
    for (const [index, { asked, query }] of questions.entries()) {
      const entry = entries[index]!
      const isThere = table.answer(asked, query) === entry
      expect(entry.hotSlot !== -1).toBe(isThere)
      if (!isThere) pushed++
    }
    expect(pushed).toBeGreaterThan(5000)
  })

  test('asks for the LRU to be told of a hit once in two seconds, however many there are', () => {
    const table = new HotTable()
    const entry = entryFor(questionOf('www.example'))
    const due = Array.from({ length: 960 }, (_, hit) => table.isTouchDue(entry, 2000 + hit * 25))
    expect(due.filter(Boolean)).toHaveLength(12)
  })
})
