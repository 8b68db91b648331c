import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { EXIT } from '../../src/base/errors.ts'
import { startNiveau3, runNiveau3 } from '../support/niveau3.ts'
import { runToEnd, startProcess } from '../support/processes.ts'
import { answerAddresses, silence, startScriptedUpstream } from '../support/scripted-upstream.ts'
import { run } from './in-process.ts'

test('serve takes its file anew at SIGHUP, and keeps the old one when it is wrong', async () => {
  const upstream = await startScriptedUpstream(answerAddresses)
  const config = 'categories: {vpn: {response: refused}}\n'
  const blocklists = { vpn: ['vpn.example'] }
  const server = await startNiveau3({ upstreams: [upstream], blocklists, config })
  const rcode = async (name: string) => {
    const { json } = await run(['query', name, '--server', server.endpoint, '--json'])
    return json()['rcode']
  }
  expect(await rcode('www.vpn.example')).toBe('REFUSED')
  expect(await rcode('free.example')).toBe('NOERROR')

  await writeFile(join(server.folder, 'niveau3.yaml'), 'categories: {vpn: {response: nodata}}\n')
  server.process.signal('SIGHUP')
  await server.process.line(/"event":"reloaded"/)
  expect(await rcode('www.vpn.example')).toBe('NOERROR')

  await writeFile(join(server.folder, 'niveau3.yaml'), 'categories: {vpn: {response: nope}}\n')
  server.process.signal('SIGHUP')
  const refused = await server.process.line(/"event":"reload_failed"/)
  expect(JSON.parse(refused)).toMatchObject({ level: 'error', code: 'ERR_CONFIG', line: 1 })
  expect(await rcode('www.vpn.example')).toBe('NOERROR')

  expect(await server.stop()).toEqual({ code: EXIT.ok, signal: null })
})

test('serve that cannot start says why in one object of --json', async () => {
  const { code, stdout } = await runNiveau3(['serve', '--image', 'package.json', '--json'])
  expect(code).toBe(EXIT.invalid)
  expect(JSON.parse(stdout)).toMatchObject({
    schema: 'niveau3.error/1',
    error: { code: 'ERR_IMAGE', file: expect.stringMatching(/package\.json$/) },
  })
})

test('SIGINT ends a command that waits with 130', async () => {
  const upstream = await startScriptedUpstream(silence)
  const args = ['dist/bin.js', 'query', 'x.example', '--server', upstream.endpoint]
  const waiting = await startProcess(process.execPath, args)
  await upstream.query(1)
  waiting.signal('SIGINT')
  expect(await waiting.exited).toEqual({ code: 130, signal: null })
})

test('a reader that stops reading is no reason for a complaint', async () => {
  const command = `"${process.execPath}" dist/bin.js config schema | head -n 1`
  const done = await runToEnd('bash', ['-c', `set -o pipefail; ${command}`])
  expect(done).toEqual({ code: EXIT.ok, signal: null, stdout: '{\n', stderr: '' })
})
