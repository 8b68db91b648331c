import { pino } from 'pino'
import { expect, test } from 'vitest'
import { EssentialNames } from '../../src/controlplane/blocklist/essential.ts'
import { ACTION_BLOCK, COVERS_SUBTREE } from '../../src/controlplane/blocklist/rule.ts'
import { loadConfig } from '../../src/controlplane/config/load.ts'
import { Niveau3Server } from '../../src/controlplane/serve.ts'
import { openTrie } from '../../src/trie/open.ts'
import { buildFrom } from '../compiler/model.ts'

test('a reload that meets a defect is logged with its own name, not with a code', async () => {
  const rule = { labels: ['example'], coverage: COVERS_SUBTREE, action: ACTION_BLOCK } as const
  const { image } = buildFrom([{ name: 'adult', category: 'adult', rules: [rule] }])
  const source = { name: 'niveau3.yaml', text: 'upstreams: ["127.0.0.1:1"]' }
  const filter = {
    trie: openTrie(image),
    image,
    essential: EssentialNames.none(),
    reports: [],
    addresses: null,
    privateZones: new Uint8Array(0),
    loadedAtSeconds: 0,
  }
  const lines: string[] = []
  const server = new Niveau3Server(loadConfig({ source, environment: {} }), filter, {
    reloadConfig: () => {
      throw new TypeError('nothing is as it should be')
    },
    log: pino({ base: null }, { write: (line) => lines.push(line) }),
    onFatal: () => expect.unreachable(),
  })
  await server.reload()
  const [logged] = lines.map((line) => JSON.parse(line) as Record<string, unknown>)
  expect(logged).toMatchObject({ event: 'reload_failed', name: 'TypeError' })
  expect(logged?.['msg']).toContain('nothing is as it should be')
  expect(logged).not.toHaveProperty('code')
})
