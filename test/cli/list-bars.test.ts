import { expect, test } from 'vitest'
import { MiB } from '../../src/base/units.ts'
import { ListBars } from '../../src/controlplane/cli/list-bars.ts'
import { createTerminal } from '../../src/controlplane/cli/terminal.ts'

function bars(isTTY: boolean, times: readonly number[]) {
  const written: string[] = []
  const stream = { write: (text: string) => written.push(text), isTTY, columns: 60 }
  const clock = [...times]
  const terminal = createTerminal(stream, stream, { TERM: 'xterm' })
  return { written, bars: new ListBars(terminal, () => clock.shift() ?? 0) }
}

const fetching = (list: string, octets: number, of: number) =>
  ({ phase: 'fetch', list, octets, of }) as const

test('on a terminal each list at work has a bar, drawn over the one before', () => {
  const { written, bars: drawn } = bars(true, [0, 50, 200, 200, 400, 400])
  drawn.update(fetching('ut1-adult', 0, 4 * MiB))
  expect(written).toEqual([])
  drawn.update(fetching('oisd', MiB, 0))
  expect(written.join('')).toBe(
    'ut1-adult [....................] 0.0 MiB of 4.0\noisd      1.0 MiB\n',
  )
  written.length = 0
  drawn.update(fetching('ut1-adult', 2 * MiB, 4 * MiB))
  expect(written.join('')).toContain('\u001B[2A\r\u001B[0J')
  expect(written.join('')).toContain('ut1-adult [##########..........] 2.0 MiB of 4.0\n')
  drawn.clear()
  expect(written.at(-1)).toBe('\u001B[2A\r\u001B[0J')
  written.length = 0
  drawn.clear()
  expect(written).toEqual([])
})

test('in a pipe there is a plain line now and then, without control characters', () => {
  const { written, bars: told } = bars(false, [0, 1000, 6000, 6000])
  told.update(fetching('oisd', MiB, 2 * MiB))
  told.update(fetching('oisd', 2 * MiB, 2 * MiB))
  told.clear()
  expect(written).toEqual(['oisd: [####################] 2.0 MiB of 2.0\n'])
})
