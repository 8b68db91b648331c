import { access, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { pino } from 'pino'
import { expect, onTestFinished, test, vi } from 'vitest'
import { SubscriptionKeeper } from '../../src/controlplane/generations/subscription-keeper.ts'
import { runToEnd } from '../support/processes.ts'
import { makeInstallation } from './installation.ts'

const KEEPER = join(import.meta.dirname, '../../dist/subscription-keeper.js')

/** Leaves one free descriptor: enough to read a file, too few for the pipe of an update. */
const WITHOUT_DESCRIPTORS = `
  import { closeSync, openSync } from 'node:fs'
  const { default: program } = await import(process.argv[1])
  setInterval(() => undefined, 1000)
  const keeper = new program.SubscriptionKeeper({
    stateDirectory: process.argv[2],
    configFile: undefined,
    isAutomatic: () => true,
    onChange: () => undefined,
    command: [process.execPath, '--version'],
    log: {
      info: () => undefined,
      error: (facts) => {
        console.log(facts.event, facts.exit)
        void keeper.stop().then(() => process.exit(0))
      },
    },
  })
  const taken = []
  try {
    for (;;) taken.push(openSync('/dev/null'))
  } catch {
    closeSync(taken.pop())
  }
  await keeper.start()
`

test('a server without a free descriptor says that no update could be started, and goes on', async () => {
  const house = await makeInstallation()
  await house.subscribe({ name: 'mine', url: 'http://127.0.0.1:9/mine' })
  const line = 'ulimit -n 100; exec "$0" --input-type=module --eval "$1" "$2" "$3"'
  const args = ['-c', line, process.execPath, WITHOUT_DESCRIPTORS, KEEPER, house.folder]
  const { stdout, stderr, code } = await runToEnd('sh', args)
  expect({ stdout, stderr, code }).toEqual({
    stdout: expect.stringMatching(/^update_incomplete spawn .* EMFILE\n$/) as string,
    stderr: '',
    code: 0,
  })
  await house.remove()
})

test(
  'a server that ends does not wait for an update that will not',
  { timeout: 30_000 },
  async () => {
    const house = await makeInstallation()
    await house.subscribe({ name: 'mine', url: 'http://127.0.0.1:9/mine' })
    const ready = join(house.folder, 'ready')
    const keeper = new SubscriptionKeeper({
      stateDirectory: house.folder,
      configFile: undefined,
      isAutomatic: () => true,
      onChange: () => undefined,
      command: ['sh', '-c', `trap "" TERM; : > '${ready}'; exec sleep 60`],
      log: pino({ enabled: false }),
    })
    await keeper.start()
    const isReady = () =>
      access(ready).then(
        () => true,
        () => false,
      )
    while (!(await isReady())) await sleep(10)
    const startMs = performance.now()
    await keeper.stop()
    expect(performance.now() - startMs).toBeLessThan(15_000)
    await house.remove()
  },
)

/** Under fake timers: until the keeper has set its next one, whatever it waits for before. */
async function nextTimer(): Promise<void> {
  while (vi.getTimerCount() === 0) await new Promise((resolve) => setImmediate(resolve))
}

test('an update that ends before it notes anything is tried again ever less often, up to the interval', async () => {
  const house = await makeInstallation()
  await house.subscribe({ name: 'mine', url: 'http://127.0.0.1:9/mine', intervalHours: 1 })
  const runs = join(house.folder, 'runs')
  const keeper = new SubscriptionKeeper({
    stateDirectory: house.folder,
    configFile: undefined,
    environment: { NIVEAU3_REDIS__URL: 'redis://:secret@127.0.0.1:9' },
    isAutomatic: () => true,
    onChange: () => undefined,
    command: ['sh', '-c', `echo "$NIVEAU3_REDIS__URL" >> '${runs}'; exit 73`],
    log: pino({ enabled: false }),
  })
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] })
  onTestFinished(() => void vi.useRealTimers())
  await keeper.start()
  let before = Date.now()
  const startedAfter: number[] = []
  for (let run = 0; run < 6; run += 1) {
    vi.advanceTimersToNextTimer()
    await nextTimer()
    startedAfter.push(Math.round((Date.now() - before) / 60_000))
    before = Date.now()
  }
  const lines = (await readFile(runs, 'utf8')).trimEnd().split('\n')
  expect(lines).toEqual(Array<string>(6).fill('redis://:secret@127.0.0.1:9'))
  expect(startedAfter.slice(1)).toEqual([5, 10, 20, 40, 60])
  await keeper.stop()
  await house.remove()
})
