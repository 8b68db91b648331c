import { generateKeyPairSync, sign } from 'node:crypto'
import { expect, test } from 'vitest'
import { startListServer } from '../blocklist/download/list-server.ts'
import { makeInstallation, manyNames } from './installation.ts'

test('a signed list is taken with the signature of its key, and not with that of another file or none', async () => {
  await using server = await startListServer()
  const house = await makeInstallation()
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  const signatureOf = (text: string): Buffer => sign(null, Buffer.from(text), privateKey)
  const signingKey = publicKey.export({ format: 'der', type: 'spki' }).subarray(-32)
  const list = {
    name: 'signed',
    url: `${server.origin}/signed`,
    signatureUrl: `${server.origin}/signed.sig`,
  }
  await house.subscribe({ ...list, signingKey: signingKey.toString('base64') })
  const serve = (text: string, signature: Buffer): void => {
    server.serve('/signed', text)
    server.serve('/signed.sig', (_request, response) => void response.end(signature))
  }
  serve(manyNames(100), signatureOf(manyNames(100)))
  expect((await house.update()).outcomes[0]).toMatchObject({ outcome: 'updated' })
  expect(await house.blocks('n99.bad.example')).toBe(true)
  const before = await house.served()
  serve(manyNames(110), signatureOf(manyNames(100)))
  expect((await house.update()).outcomes[0]).toMatchObject({ code: 'ERR_SIGNATURE' })
  server.serve('/signed.sig', (_request, response) => void response.writeHead(404).end())
  expect((await house.update()).outcomes[0]?.outcome).toBe('failed')
  expect(await house.served()).toBe(before)
  expect(await house.blocks('n109.bad.example')).toBe(false)
  serve(manyNames(110), signatureOf(manyNames(110)))
  expect((await house.update()).outcomes[0]).toMatchObject({ outcome: 'updated' })
  await house.remove()
})
