import { expect, test } from 'vitest'
import { startProgress } from '../../src/controlplane/cli/progress.ts'
import { createTerminal, printable, table } from '../../src/controlplane/cli/terminal.ts'

function display(isTTY: boolean, columns?: number) {
  let written = ''
  let nowMs = 0
  const stream = { write: (text: string) => (written += text), isTTY, columns }
  const progress = startProgress(createTerminal(stream, stream, {}), () => nowMs)
  return { progress, written: () => written, pass: (ms: number) => void (nowMs += ms) }
}

test('somebody who watches sees a bar, ten times a second at most, and nothing at the end', () => {
  const { progress, written, pass } = display(true)
  progress.update(0, 100, 'start')
  expect(written()).toBe('')
  pass(100)
  progress.update(50, 100, 'half way')
  progress.update(51, 100, 'too soon')
  expect(written()).toBe('\r\u001B[2K[############............]  50 % half way')
  progress.end()
  expect(written().endsWith('\r\u001B[2K')).toBe(true)
})

test('a bar is never longer than its line', () => {
  const { progress, written, pass } = display(true, 30)
  pass(100)
  progress.update(50, 100, 'a long description of what is done')
  expect(written().replace('\r\u001B[2K', '')).toHaveLength(29)
})

test('elsewhere a plain line is written every five seconds', () => {
  const { progress, written, pass } = display(false)
  pass(4999)
  progress.update(1, 4, 'reading')
  expect(written()).toBe('')
  pass(1)
  progress.update(1, 4, 'reading')
  pass(5000)
  progress.update(3, 0, 'building')
  progress.end()
  expect(written()).toBe(' 25 % reading\nbuilding\n')
})

test('texts from the network cannot command a terminal', () => {
  expect(printable('a\u001B[2Jé\n')).toBe(String.raw`a\027[2J\233\010`)
})

test('columns are as wide as their widest cell', () => {
  expect(
    table([
      ['a', 'bb', 'c'],
      ['aaa', 'b', ''],
    ]),
  ).toBe('a    bb  c\naaa  b\n')
})
