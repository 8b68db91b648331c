import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { DescriptorLedger, createLedgerWords } from '../../src/sys/descriptor-ledger.ts'
import type { Libc } from '../../src/sys/libc.ts'

/** What of the system's calls the ledger needs: it remembers what was closed. */
function closing(closed: number[]): Libc {
  return { close: (fd: number) => closed.push(fd) } as unknown as Libc
}

test('what was noted and not forgotten is closed, once, whatever came between', () => {
  const step = fc.record({ fd: fc.nat(2000), isOpen: fc.boolean() })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const ledger = new DescriptorLedger(createLedgerWords(2001))
      const model = new Set<number>()
      for (const { fd, isOpen } of steps) {
        if (isOpen) expect(ledger.note(fd)).toBe(true)
        else ledger.forget(fd)
        if (isOpen) model.add(fd)
        else model.delete(fd)
      }
      const closed: number[] = []
      expect(ledger.closeAll(closing(closed))).toBe(model.size)
      expect(closed).toEqual([...model].toSorted((a, b) => a - b))
      expect(ledger.closeAll(closing(closed))).toBe(0)
    }),
  )
})

test('a descriptor past its room is refused', () => {
  const ledger = new DescriptorLedger(createLedgerWords(64))
  expect(ledger.note(63)).toBe(true)
  expect(ledger.note(64)).toBe(false)
})

test('two threads see the same ledger', () => {
  const words = createLedgerWords(1024)
  expect(words.buffer).toBeInstanceOf(SharedArrayBuffer)
  new DescriptorLedger(words).note(77)
  const closed: number[] = []
  new DescriptorLedger(words).closeAll(closing(closed))
  expect(closed).toEqual([77])
})
