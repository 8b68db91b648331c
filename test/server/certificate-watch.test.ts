import { cp, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { CertificateWatch } from '../../src/controlplane/certificate-watch.ts'
import { OperationalError } from '../../src/base/errors.ts'
import type { TlsIdentity } from '../../src/dataplane/settings.ts'
import { createAuthority, type Authority, type Identity } from '../support/certificates.ts'

let authority: Authority
let first: Identity
let second: Identity
let number = 0

beforeAll(async () => {
  authority = await createAuthority()
  first = await authority.sign()
  second = await authority.sign()
})

/** A watch on copies of the first certificate's files, and what it has told. */
async function start() {
  number++
  const files = {
    certificateFile: join(authority.folder, `watched${number}.pem`),
    keyFile: join(authority.folder, `watched${number}.key`),
  }
  await put(first, files)
  const changed: TlsIdentity[] = []
  const refused: string[] = []
  const watch = new CertificateWatch(files, {
    changed: (identity) => changed.push(identity),
    refused: (reason) => refused.push(reason),
  })
  return { files, watch, changed, refused }
}

type Files = Pick<Identity, 'certificateFile' | 'keyFile'>

async function put(from: Files, files: Files): Promise<void> {
  await cp(from.certificateFile, files.certificateFile)
  await cp(from.keyFile, files.keyFile)
}

describe('the watch on a certificate', () => {
  test('tells nothing while the files stay', async () => {
    const { watch, changed, refused } = await start()
    for (let look = 0; look < 3; look++) watch.look()
    expect([changed, refused]).toEqual([[], []])
    expect(watch.identity).toMatchObject({ certificate: first.certificate.trim(), key: first.key })
  })

  test('takes a new pair at the second look, when it has stood still', async () => {
    const { files, watch, changed } = await start()
    await put(second, files)
    watch.look()
    expect(changed).toEqual([])
    watch.look()
    expect(changed.map(({ key }) => key)).toEqual([second.key])
  })

  test('waits for the key, where certificate and key come one after the other', async () => {
    const { files, watch, changed, refused } = await start()
    await cp(second.certificateFile, files.certificateFile)
    watch.look()
    await cp(second.keyFile, files.keyFile)
    watch.look()
    watch.look()
    expect([changed.length, refused]).toEqual([1, []])
  })

  test.each([
    [
      'a key of another certificate',
      async (files: Files) => cp(second.keyFile, files.keyFile),
      /not that of/,
    ],
    ['a file that is gone', async (files: Files) => rm(files.certificateFile), /ENOENT/],
    [
      'half a file',
      async (files: Files) => writeFile(files.certificateFile, '-----BEGIN'),
      /no PEM/,
    ],
    ['no key', async (files: Files) => writeFile(files.keyFile, ''), /no PEM key/],
  ] as const)('refuses %s once, and keeps the old pair', async (_what, spoil, reason) => {
    const { files, watch, changed, refused } = await start()
    await spoil(files)
    for (let look = 0; look < 4; look++) watch.look()
    expect(changed).toEqual([])
    expect(refused).toEqual([expect.stringMatching(reason)])
    expect(watch.identity.key).toBe(first.key)
    await put(second, files)
    for (let look = 0; look < 2; look++) watch.look()
    expect(changed).toHaveLength(1)
  })

  test('follows links that lead to other files', async () => {
    const { files, watch, changed } = await start()
    for (const [link, target] of [
      [files.certificateFile, second.certificateFile],
      [files.keyFile, second.keyFile],
    ] as const) {
      await rm(link)
      await symlink(target, link)
    }
    for (let look = 0; look < 2; look++) watch.look()
    expect(changed).toHaveLength(1)
  })

  test('does not begin with files that cannot be used', () => {
    const files = { certificateFile: first.certificateFile, keyFile: second.keyFile }
    const begin = () => new CertificateWatch(files, { changed: () => {}, refused: () => {} })
    expect(begin).toThrow(OperationalError)
    expect(begin).toThrow(/not that of/)
  })
})
