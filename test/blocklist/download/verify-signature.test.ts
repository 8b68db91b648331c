import { createHash, generateKeyPairSync, sign, type KeyObject } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  parseSigningKey,
  requireSignature,
  type SigningKey,
} from '../../../src/controlplane/blocklist/download/verify-signature.ts'

const TEXT = Buffer.from('a.example\nb.example\n')
const ID = Buffer.from('0102030405060708', 'hex')
const { privateKey, publicKey } = generateKeyPairSync('ed25519')
const other = generateKeyPairSync('ed25519')

let folder: string
let file: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'niveau3-signature-'))
  file = join(folder, 'list')
  await writeFile(file, TEXT)
})
afterAll(() => rm(folder, { recursive: true, force: true }))

function rawKey(key: KeyObject): Buffer {
  return key.export({ format: 'der', type: 'spki' }).subarray(-32)
}

function minisignKey(key: KeyObject, id = ID): SigningKey {
  const parsed = parseSigningKey(
    Buffer.concat([Buffer.from('Ed'), id, rawKey(key)]).toString('base64'),
  )
  return parsed ?? expect.unreachable()
}

/** A minisign signature file, as `minisign -S` writes it. */
function minisign(content: Buffer, algorithm: 'Ed' | 'ED', comment = 'timestamp:1'): Buffer {
  const signed = algorithm === 'ED' ? createHash('blake2b512').update(content).digest() : content
  const own = sign(null, signed, privateKey)
  const global = sign(null, Buffer.concat([own, Buffer.from(comment)]), privateKey)
  const head = Buffer.concat([Buffer.from(algorithm), ID, own]).toString('base64')
  return Buffer.from(
    `untrusted comment: x\n${head}\ntrusted comment: ${comment}\n${global.toString('base64')}\n`,
  )
}

test.each(['Ed', 'ED'] as const)(
  'a minisign signature (%s) holds for its file alone',
  async (kind) => {
    const key = minisignKey(publicKey)
    await expect(requireSignature(file, minisign(TEXT, kind), key)).resolves.toBeUndefined()
    const forOther = minisign(Buffer.from('evil.example\n'), kind)
    await expect(requireSignature(file, forOther, key)).rejects.toMatchObject({
      code: 'ERR_SIGNATURE',
    })
  },
)

test('a bare signature of 64 octets holds with a bare key', async () => {
  const key = parseSigningKey(rawKey(publicKey).toString('base64')) ?? expect.unreachable()
  const signature = sign(null, TEXT, privateKey)
  await expect(requireSignature(file, signature, key)).resolves.toBeUndefined()
  signature[0]! ^= 1
  await expect(requireSignature(file, signature, key)).rejects.toThrow(/does not match/)
})

test('another key, another comment or another file format is refused', async () => {
  const signature = minisign(TEXT, 'ED')
  const strange = minisignKey(other.publicKey, Buffer.alloc(8, 9))
  await expect(requireSignature(file, signature, strange)).rejects.toThrow(/another key/)
  await expect(requireSignature(file, signature, minisignKey(other.publicKey))).rejects.toThrow(
    /does not match/,
  )
  const key = minisignKey(publicKey)
  const commented = Buffer.from(signature.toString().replace('timestamp:1', 'timestamp:2'))
  await expect(requireSignature(file, commented, key)).rejects.toThrow(/trusted comment/)
  await expect(requireSignature(file, Buffer.from('<html>'), key)).rejects.toThrow(/neither/)
})

test('a text that is no key is told from one', () => {
  expect(parseSigningKey('not a key')).toBeUndefined()
  expect(parseSigningKey(Buffer.alloc(42).toString('base64'))).toBeUndefined()
})
